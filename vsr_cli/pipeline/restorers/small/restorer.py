"""Clips through the shipped family: motion, latents, frames."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from functools import partial

import torch
from torch import Tensor

from vsr_cli.config import UpscaleConfig
from vsr_cli.events import Report
from vsr_cli.models.flow import DisFlow
from vsr_cli.models.small.int8 import round_convolutions
from vsr_cli.models.small.model import BODY_STRIDE, LATENT_STRIDE, SmallModel
from vsr_cli.ops.color import match_color
from vsr_cli.ops.precision import beside_int8
from vsr_cli.ops.resize import crop
from vsr_cli.ops.windows import TileSum
from vsr_cli.pipeline.clips import Clip, ClipState, RestoredClip
from vsr_cli.pipeline.prefetch import prefetch
from vsr_cli.pipeline.progress import WorkMeter
from vsr_cli.pipeline.restorers.base import Restorer
from vsr_cli.pipeline.restorers.flow import RAFT_UPDATES, make_flow
from vsr_cli.pipeline.restorers.small.adaptive import AdaptiveNetworks
from vsr_cli.pipeline.restorers.small.compiled import compile_networks
from vsr_cli.pipeline.restorers.small.memory import region_overlap
from vsr_cli.pipeline.restorers.small.regions import Region, Regions, plan_regions
from vsr_cli.pipeline.restorers.small.stages import (
    ClipDecoder,
    Prepared,
    RegionClip,
    Sampled,
    estimate_motion,
    sample_region,
)
from vsr_cli.pipeline.restorers.small.states import (
    ReadState,
    RegionStates,
    SmallState,
    WholeStates,
)
from vsr_cli.pipeline.restorers.small.storage import Shape, Storage
from vsr_cli.pipeline.run_plan import RunPlan, native_scale
from vsr_cli.pipeline.threads import compute_alone

States = WholeStates | RegionStates


class SmallRestorer(Restorer):
    """Restores clips in three stages, motion, latents, frames: as wholes, or region by region."""

    splits_shots = True

    def __init__(
        self, model: SmallModel, config: UpscaleConfig, run_plan: RunPlan, report: Report
    ) -> None:
        """Move the model to its device and load the flow estimator; see `Family.restorer`."""
        self.clip_length = run_plan.clip_length
        self.clip_overlap = config.clip.overlap
        self._config, self._run_plan = config, run_plan
        self._flow = make_flow(config, run_plan.device, num_updates=RAFT_UPDATES)
        if run_plan.dtype == torch.int8:
            round_convolutions(model, model.config.activation_ranges)
            model.to(beside_int8())
        else:
            model.to(run_plan.device, run_plan.dtype)
        model.to(memory_format=torch.channels_last)
        if config.compile:
            compile_networks(model, run_plan.device)
        scale = native_scale(model.offered_scales, config)
        self.networks = AdaptiveNetworks(model, scale, report=report)
        self.meter = WorkMeter(config.sampler.steps or model.default_steps)

    def restore(self, clips: Iterator[Clip], state: ClipState | None) -> Iterator[RestoredClip]:
        """See `Restorer.restore`."""
        scale, plan = self.networks.scale, self._run_plan
        # What is restored region by region lies on the device only as far as it is needed there.
        device = plan.device if plan.tile_size is None else torch.device("cpu")
        prepared = estimate_motion(clips, self._flow, scale=scale, device=device)
        states: States | None = None
        regions: Regions | None = None
        # Reading and flow are the CPU's work and go on while the networks compute: where those do
        # so there, too, no more is done at once than there is room for.
        is_crowded = plan.device.type == "cpu" and isinstance(self._flow, DisFlow)
        begin = compute_alone if is_crowded else None
        ahead = prepared if plan.is_out_of_core else prefetch(prepared, 1, begin=begin)
        with closing(ahead) as ready:
            for clip in ready:
                if regions is None or states is None:
                    regions = self._plan_regions(clip)
                    states = self._states(regions, state)
                starts_shot = clip.clip.num_shared == 0
                if starts_shot:
                    states.forget()
                frames = self._frames(clip, regions, states)
                headers, first = clip.clip.headers, clip.clip.fresh.start
                newest = partial(_newest, states)
                yield RestoredClip(first, frames, headers, newest, starts_shot)
                for _ in frames:  # that nobody has wanted
                    pass

    def find_latents(self, clip: RegionClip, history: SmallState | None) -> Sampled:
        """Sample the latents of a region's clip; those who are given latents do otherwise.

        Args:
            clip: to find them for.
            history: what the clip before has handed on; it is used up.
        """
        trajectory = history.trajectory if history else None
        return sample_region(clip, self.networks, self._config, trajectory, on_step=self.meter.step)

    def read_state(self, tensors: Mapping[str, Tensor]) -> ClipState:
        """See `Restorer.read_state`."""
        return ReadState(tensors)

    def _plan_regions(self, clip: Prepared) -> Regions:
        height, width = clip.lr_frames.shape[-2:]
        scale, side = self.networks.scale, self._run_plan.tile_size
        size = (height * scale // LATENT_STRIDE, width * scale // LATENT_STRIDE)
        if side is not None and side >= max(size):
            side = None
        return plan_regions(size, side, region_overlap(side) if side else 0, scale)

    def _states(self, regions: Regions, state: ClipState | None) -> States:
        tensors = state.tensors() if state else None
        guidance, plan = self._config.sampler.guidance or "bounded", self._run_plan
        if not regions.is_whole:
            return RegionStates(
                regions,
                tensors,
                guidance=guidance,
                device=plan.device,
                folder=plan.scratch_folder if plan.is_state_on_disk else None,
            )
        if tensors is None:
            return WholeStates(None)
        on_device = {name: x.to(plan.device) for name, x in tensors.items()}
        return WholeStates(SmallState.read(on_device, guidance))

    def _frames(self, clip: Prepared, regions: Regions, states: States) -> Iterator[Tensor]:
        """The fresh frames of a clip (3, H, W), with the colours of the source."""
        scale = self.networks.scale
        height, width = clip.clip.frames.shape[-2:]
        self.meter.begin_clip(len(clip.clip.fresh), len(regions.all))
        if regions.is_whole:
            decoded = self._region_frames(clip, regions.all[0], states)
        else:
            decoded = self._merged_frames(clip, regions, states)
        for index, frame in enumerate(decoded):
            body_frame = clip.body_frames[0, index].to(frame.device)
            with torch.inference_mode():
                matched = match_color(frame, body_frame, self._config.color)
            del frame
            self.meter.give()
            yield crop(matched, (height * scale, width * scale))
            self.meter.take()

    def _merged_frames(self, clip: Prepared, regions: Regions, states: States) -> Iterator[Tensor]:
        """Region after region, each for all frames of the clip, and then the frames."""
        storage = self._planes(regions, len(clip.clip.fresh))
        wholes = [
            TileSum(regions.output_grid, plane.dtype, plane=plane) for plane in storage.take()
        ]
        for region in regions.all:
            for whole, frame in zip(wholes, self._region_frames(clip, region, states), strict=True):
                whole.add(frame.cpu())
                storage.release()
        states.advance()
        while wholes:
            yield wholes.pop(0).whole()
            storage.release()

    def _planes(self, regions: Regions, count: int) -> Storage:
        """Zeros for so many frames in the making."""
        size = tuple(BODY_STRIDE * side for side in regions.body_size)
        shape = Shape((3, *size), torch.float16, is_channels_last=False)
        folder = self._run_plan.scratch_folder if self._run_plan.is_out_of_core else None
        return Storage({str(index): shape for index in range(count)}, folder)

    def _region_frames(self, clip: Prepared, region: Region, states: States) -> Iterator[Tensor]:
        """The fresh frames of a clip within a region, one after the other."""
        here = RegionClip.of(clip, region, self._run_plan.device)
        before = states.before(region)
        memory_features = before.memory_features if before else None
        decoder = ClipDecoder(
            self.find_latents(here, before), self.networks, self._config, memory_features
        )
        del before
        for frame in decoder.frames():
            self.meter.decode()
            yield frame
            del frame
        assert decoder.memory_features is not None
        states.keep(region, SmallState(decoder.sampled.trajectory, decoder.memory_features))


def _newest(states: States) -> ClipState | None:
    return states.newest
