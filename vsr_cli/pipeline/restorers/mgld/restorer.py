"""Clips through an imported model: five frames at a time, each shot without seams."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from vsr_cli.config import UpscaleConfig
from vsr_cli.diffusion.motion import Motion, guide_paper
from vsr_cli.diffusion.sampler import sample_from_lr
from vsr_cli.diffusion.schedule import keyed_noise, make_respaced_chain
from vsr_cli.events import Report
from vsr_cli.models.flow import FlowEstimator
from vsr_cli.models.mgld.config import LATENT_CHANNELS, LATENT_STRIDE
from vsr_cli.models.mgld.model import MgldModel
from vsr_cli.ops.color import match_color
from vsr_cli.ops.resize import crop, pad_to_multiple, resize
from vsr_cli.ops.windows import Grid
from vsr_cli.pipeline.clips import Clip, ClipState, RestoredClip
from vsr_cli.pipeline.progress import WorkMeter
from vsr_cli.pipeline.restorers.base import Restorer
from vsr_cli.pipeline.restorers.flow import RAFT_UPDATES, make_flow
from vsr_cli.pipeline.restorers.mgld.memory import DECODER_OVERLAP, MgldRunPlan, work_size
from vsr_cli.pipeline.restorers.mgld.networks import Networks, enlarge

FLOW_STRIDE = 4  # pixels of a frame for each pixel that flow is estimated on


@dataclass(frozen=True)
class MgldState:
    """The last two frames of a clip at the start of the chain and after each step.

    states: for each of these, latents (1, 2, 4, h, w).
    """

    states: list[Tensor]

    def tensors(self) -> dict[str, Tensor]:
        """See `ClipState`."""
        return {f"state.{index}": x for index, x in enumerate(self.states)}

    def release(self) -> None:
        """See `ClipState`: nothing of it lies on disk."""


class MgldRestorer(Restorer):
    """Restores clips of one shot as one video, at least as large as the target.

    The networks see five frames: one that was finished before, three new ones, and one ahead, so
    that each is sampled and decoded with a neighbour on either side. The first two are those that
    the clip before saw last, and go through the states they had there: every frame has one
    trajectory, and where clips meet nothing is blended. What is to be finished is fixed by the
    shot alone; there is no clip length to choose.
    """

    splits_shots = True

    def __init__(
        self, model: MgldModel, config: UpscaleConfig, run_plan: MgldRunPlan, report: Report
    ) -> None:
        """Move the model to its device and load the flow estimator; see `Family.restorer`."""
        self.clip_length = run_plan.clip_length
        self.clip_overlap = config.clip.overlap
        self._model, self._config, self._device = model, config, run_plan.device
        self._flow = make_flow(
            config,
            run_plan.device,
            num_updates=RAFT_UPDATES,
            bundled_weights=model.path if model.has_flow else None,
        )
        model.to(run_plan.device, run_plan.dtype).to(memory_format=torch.channels_last)
        self._networks = Networks(model, run_plan, report)
        self.meter = WorkMeter(config.sampler.steps or model.default_steps)

    def restore(self, clips: Iterator[Clip], state: ClipState | None) -> Iterator[RestoredClip]:
        """See `Restorer.restore`."""
        assert state is None or isinstance(state, MgldState)
        for clip, ahead in _look_ahead(clips):
            if clip.num_shared == 0:
                state = None
            self.meter.begin_clip(len(clip.fresh), 1)
            with torch.inference_mode():
                frames, kept = self._restore(clip, ahead, state.states if state else None)
            state = after = MgldState(kept) if ahead is not None else None
            start = clip.fresh.start
            handed_on, starts_shot = partial(_identity, after), clip.num_shared == 0
            yield RestoredClip(start, self._given(frames), clip.headers, handed_on, starts_shot)

    def _given(self, frames: Tensor) -> Iterator[Tensor]:
        for frame in frames:
            self.meter.decode()
            self.meter.give()
            yield frame
            self.meter.take()

    def read_state(self, tensors: Mapping[str, Tensor]) -> MgldState:
        """See `Restorer.read_state`."""
        return MgldState([tensors[f"state.{k}"].to(self._device) for k in range(len(tensors))])

    def _restore(
        self, clip: Clip, ahead: Tensor | None, known_states: list[Tensor] | None
    ) -> tuple[Tensor, list[Tensor]]:
        """The fresh frames (T, 3, H, W) of a clip, and what the next one needs.

        Args:
            clip: of LR frames.
            ahead: the frame after it, (3, H, W); None where its shot ends.
            known_states: of the clip before; None at the start of a shot.
        """
        config = self._config
        held = torch.cat([clip.frames, *([ahead[None]] if ahead is not None else [])])
        # The last clip of a shot is short; the networks get five frames nonetheless.
        short = self._model.config.clip_length - len(held)
        filled = torch.cat([held, held[-1:].expand(short, -1, -1, -1)]) if short > 0 else held
        size = work_size(config, _size(held), self._model.config.least_side)
        padded = pad_to_multiple(enlarge(filled.to(self._device), size), LATENT_STRIDE)
        latents, kept = _sample(
            self._networks,
            padded,
            config,
            self._flow,
            start=clip.start,
            known_states=known_states,
            num_carried=0 if ahead is None else 2,
            on_step=self.meter.step,
        )
        done = _decode(self._networks, latents, padded, config.fidelity)
        sr_frames = crop(done, size)[clip.num_shared : len(clip.frames)].clamp(-1, 1)
        lr_frames = clip.frames[clip.num_shared :].to(self._device)
        return match_color(sr_frames, lr_frames, config.color), kept


def _identity(state: ClipState | None) -> ClipState | None:
    return state


def _look_ahead(clips: Iterator[Clip]) -> Iterator[tuple[Clip, Tensor | None]]:
    """Each clip with the frame after it; None where its shot ends."""
    clip = next(clips, None)
    while clip is not None:
        following = next(clips, None)
        goes_on = following is not None and following.num_shared > 0
        yield clip, following.frames[following.num_shared] if following and goes_on else None
        clip = following


def _sample(
    networks: Networks,
    padded: Tensor,
    config: UpscaleConfig,
    flow: FlowEstimator,
    *,
    start: int,
    known_states: list[Tensor] | None,
    num_carried: int,
    on_step: Callable[[], None],
) -> tuple[Tensor, list[Tensor]]:
    """Latents (1, T, 4, h, w) of enlarged frames (T, 3, H, W), and what the next clip needs."""
    height, width = (side // LATENT_STRIDE for side in padded.shape[-2:])
    lr_latents = networks.encode(padded)
    guide: Callable[[Tensor, float], Tensor] | None = None
    if config.sampler.motion_scale > 0:
        small = (padded.shape[-2] // FLOW_STRIDE, padded.shape[-1] // FLOW_STRIDE)
        found = flow(resize(padded, small)[None])
        forward, backward = (field.to(padded.device) for field in found)
        motion = Motion.from_flow(forward, backward).resized((height, width))

        def guide(latents: Tensor, sigma: float) -> Tensor:
            strength = config.sampler.motion_scale
            return guide_paper(latents, motion, strength=strength, variance=sigma**2)

    def noise(step: int) -> Tensor:
        return keyed_noise(
            config.sampler.seed,
            frames=range(start, start + len(padded)),
            step=step,
            channels=LATENT_CHANNELS,
            rows=range(height),
            columns=range(width),
            device=padded.device,
        )[None]

    def predict_noise(x: Tensor, t: int) -> Tensor:
        predicted = networks.predict_noise(x, lr_latents, t)
        on_step()
        return predicted

    with networks.sampling():
        return sample_from_lr(
            predict_noise,
            lr_latents,
            chain=make_respaced_chain(config.sampler.steps or networks.model.default_steps),
            noise=noise,
            guide=guide,
            known_states=known_states,
            num_carried=num_carried,
        )


def _decode(networks: Networks, latents: Tensor, padded: Tensor, fidelity: float) -> Tensor:
    """Frames (T, 3, H, W): whole, or in tiles that are faded into each other."""
    size = (latents.shape[-2], latents.shape[-1])
    grid = Grid.plan(size, networks.run_plan.tile_size, DECODER_OVERLAP)
    pixels = grid.scaled(LATENT_STRIDE)
    pieces = [
        networks.decode(of_latents, of_frames, fidelity)
        for of_latents, of_frames in zip(grid.cut(latents), pixels.cut(padded), strict=True)
    ]
    return pixels.merge(pieces)


def _size(frames: Tensor) -> tuple[int, int]:
    return frames.shape[-2], frames.shape[-1]
