"""Clips through the shipped family: motion, latents, frames."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from vsr_cli.config import UpscaleConfig
from vsr_cli.diffusion.sampler import Trajectory
from vsr_cli.events import Report
from vsr_cli.models.small.model import SmallModel
from vsr_cli.pipeline.clips import Clip, ClipState, RestoredClip
from vsr_cli.pipeline.prefetch import prefetch
from vsr_cli.pipeline.restorers.base import Restorer
from vsr_cli.pipeline.restorers.flow import make_flow
from vsr_cli.pipeline.restorers.small.adaptive import AdaptiveNetworks
from vsr_cli.pipeline.restorers.small.stages import (
    ClipDecoder,
    Prepared,
    Sampled,
    estimate_motion,
    sample_clips,
)
from vsr_cli.pipeline.run_plan import RunPlan, native_scale

RAFT_UPDATES = 12  # for each pair of frames

FindLatents = Callable[[Iterable[Prepared]], Iterator[Sampled]]


@dataclass(frozen=True)
class SmallState:
    """What a clip hands on.

    trajectory: of the sampler; None where latents were given.
    memory_features: the decoder's memory, (1, C, H, W).
    """

    trajectory: Trajectory | None
    memory_features: Tensor

    def tensors(self) -> dict[str, Tensor]:
        """See `ClipState`."""
        found = {"memory_features": self.memory_features}
        if self.trajectory is not None:
            for step, state in enumerate(self.trajectory.states):
                found |= {f"state.{step}.{index}": x for index, x in enumerate(state)}
            found |= _numbered("prediction", self.trajectory.predictions)
            found |= _numbered("stepped", self.trajectory.stepped_latents)
        return found


class SmallRestorer(Restorer):
    """Restores clips in three stages: motion, latents, frames."""

    splits_shots = True

    def __init__(
        self, model: SmallModel, config: UpscaleConfig, run_plan: RunPlan, report: Report
    ) -> None:
        """Move the model to its device and load the flow estimator; see `Family.restorer`."""
        self.clip_length = run_plan.clip_length
        self.clip_overlap = config.clip.overlap
        self._config, self._run_plan = config, run_plan
        self._flow = make_flow(config, run_plan.device, num_updates=RAFT_UPDATES)
        model.to(run_plan.device, run_plan.dtype).to(memory_format=torch.channels_last)
        self.networks = AdaptiveNetworks(
            model,
            native_scale(model.scales, config.scale),
            tile_size=run_plan.tile_size,
            may_tile=config.tile != 0,
            report=report,
        )

    def restore(self, clips: Iterator[Clip], state: ClipState | None) -> Iterator[RestoredClip]:
        """See `Restorer.restore`."""
        assert state is None or isinstance(state, SmallState)
        history = state.trajectory if state else None

        def sample(ready: Iterable[Prepared]) -> Iterator[Sampled]:
            return sample_clips(ready, self.networks, self._config, self._run_plan, history)

        yield from self.run_stages(clips, sample, state.memory_features if state else None)

    def run_stages(
        self, clips: Iterable[Clip], find_latents: FindLatents, memory_features: Tensor | None
    ) -> Iterator[RestoredClip]:
        """Run all stages, whichever way the latents are come by.

        Args:
            clips: of LR frames.
            find_latents: samples them, or gives others.
            memory_features: the decoder's memory after the clip before the first one, (1, C, H, W).
        """
        device = self._run_plan.device
        prepared = estimate_motion(clips, self._flow, scale=self.networks.scale, device=device)
        # Reading and flow are the CPU's work and go on while the networks compute.
        with closing(prefetch(prepared, 1)) as ready:
            for sampled in find_latents(ready):
                clip = sampled.prepared.clip
                if clip.num_shared == 0:
                    memory_features = None
                decoder = ClipDecoder(sampled, self.networks, self._config, memory_features)
                frames = decoder.frames()
                state = partial(_state_after, decoder)
                yield RestoredClip(clip.fresh.start, frames, clip.headers, state)
                for _ in frames:  # that nobody has wanted
                    pass
                memory_features = decoder.memory_features

    def read_state(self, tensors: Mapping[str, Tensor]) -> SmallState:
        """See `Restorer.read_state`."""
        memory_features = tensors["memory_features"]
        predictions = _collect("prediction", tensors)
        if not predictions:
            return SmallState(None, memory_features)
        guidance = self._config.sampler.guidance or "bounded"
        trajectory = Trajectory.reserve(len(predictions), predictions[0][0], guidance)
        for step, prediction in enumerate(predictions):
            trajectory.keep_state(step, _collect(f"state.{step}", tensors))
            trajectory.predictions[step].copy_(prediction)
        stepped = _collect("stepped", tensors)
        for kept, x in zip(trajectory.stepped_latents, stepped, strict=True):
            kept.copy_(x)
        return SmallState(trajectory, memory_features)


def _state_after(decoder: ClipDecoder) -> SmallState:
    """What a clip hands on whose frames are all decoded."""
    assert decoder.memory_features is not None
    return SmallState(decoder.sampled.trajectory, decoder.memory_features)


def _numbered(name: str, tensors: list[Tensor]) -> dict[str, Tensor]:
    """Tensors by the names `name.0`, `name.1` and so on."""
    return {f"{name}.{index}": x for index, x in enumerate(tensors)}


def _collect(name: str, tensors: Mapping[str, Tensor]) -> list[Tensor]:
    """Those called `name.0`, `name.1` and so on, in order."""
    found: list[Tensor] = []
    while (key := f"{name}.{len(found)}") in tensors:
        found.append(tensors[key])
    return found
