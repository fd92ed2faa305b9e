"""Clips through SeedVR2: latents that fade into each other, and frames decoded as one video."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil

import torch
from torch import Tensor

from vsr_cli.config import UpscaleConfig
from vsr_cli.diffusion.flow_chain import walk_straight
from vsr_cli.diffusion.schedule import keyed_noise
from vsr_cli.models.seedvr2.autoencoder import Stream
from vsr_cli.models.seedvr2.config import (
    FRAME_STRIDE,
    LATENT_CHANNELS,
    LATENT_STRIDE,
    SIZE_MULTIPLE,
)
from vsr_cli.models.seedvr2.model import SeedVr2Model
from vsr_cli.ops.color import match_color
from vsr_cli.ops.resize import crop
from vsr_cli.pipeline.clips import Clip, ClipState, RestoredClip
from vsr_cli.pipeline.progress import WorkMeter
from vsr_cli.pipeline.restorers.base import Restorer
from vsr_cli.pipeline.restorers.seedvr2.memory import SeedVr2RunPlan
from vsr_cli.pipeline.restorers.seedvr2.networks import Networks

CONTEXT, TILED_CONTEXT = 8, 3  # latent frames that a new stream of the decoder begins with
LONGEST_STREAM = 128  # latent frames: what is decoded again where an unfinished job goes on
_START, _POSTERIOR = 0, 1  # draws of noise


@dataclass(frozen=True)
class SeedVr2State:
    """The latent frames that the decoder's stream has seen, (N, 16, h, w), scaled.

    stream: what it remembers of them; empty where they are to be decoded again first.
    """

    latents: Tensor
    stream: Stream

    def tensors(self) -> dict[str, Tensor]:
        """See `ClipState`. What the stream remembers would be gigabytes, and comes of these."""
        return {"latents": self.latents}

    def release(self) -> None:
        """See `ClipState`: nothing of it lies on disk."""


class SeedVr2Restorer(Restorer):
    """Restores clips of one shot as one video.

    Latent frames stand for four frames each, counted from the start of the shot, the first one for
    a single frame. Neighbouring clips share some, and see the same noise there; their latents fade
    into each other before any of them is decoded, for which the next clip is looked at ahead.

    Decoding knows no clips: one stream goes on from each to the next. From time to time it begins
    anew, with the last latent frames that it has seen, so that a job that was interrupted need not
    decode a whole shot again to go on exactly. In tiles, whose streams would take as much memory
    as whole frames do, every clip begins anew.
    """

    splits_shots = True

    def __init__(
        self, model: SeedVr2Model, config: UpscaleConfig, run_plan: SeedVr2RunPlan
    ) -> None:
        """Move the model to its device; see `Family.restorer`."""
        self.clip_length, self.clip_overlap = run_plan.clip_length, run_plan.clip_overlap
        self._config, self._device = config, run_plan.device
        self._networks = Networks(model, run_plan)
        self._steps = config.sampler.steps or model.default_steps
        self.meter = WorkMeter(self._steps)

    def restore(self, clips: Iterator[Clip], state: ClipState | None) -> Iterator[RestoredClip]:
        """See `Restorer.restore`."""
        assert state is None or isinstance(state, SeedVr2State)
        latents: Tensor | None = None
        for clip, following in _look_ahead(clips):
            self.meter.begin_clip(len(clip.fresh), 1)
            starts_shot = clip.num_shared == 0
            if latents is None:
                latents = self._sample(clip)
            ahead = self._sample(following) if following is not None else None
            if following is not None and ahead is not None:
                latents = _fade(latents, ahead, clip, following)
            fresh = latents[num_latents(clip.num_shared) :]
            before = None if starts_shot or state is None else self._goes_on(state, len(fresh))
            state, frames = self._decode(clip, fresh, before)
            newest = partial(_identity, state if ahead is not None else None)
            yield RestoredClip(clip.fresh.start, frames, clip.headers, newest, starts_shot)
            for _ in frames:  # that nobody has wanted
                pass
            latents = ahead

    def read_state(self, tensors: Mapping[str, Tensor]) -> SeedVr2State:
        """See `Restorer.read_state`."""
        return SeedVr2State(tensors["latents"].to(self._device), Stream())

    def _goes_on(self, state: SeedVr2State, count: int) -> SeedVr2State:
        """The stream that so many latent frames go on with, or one that begins anew."""
        if self._networks.is_tiled:
            return SeedVr2State(state.latents[-TILED_CONTEXT:], Stream())
        if len(state.latents) + count > LONGEST_STREAM:
            return SeedVr2State(state.latents[-CONTEXT:], Stream())
        return state

    def _decode(
        self, clip: Clip, fresh: Tensor, before: SeedVr2State | None
    ) -> tuple[SeedVr2State, Iterator[Tensor]]:
        """The stream after a clip, and its fresh frames (3, H, W), of which that comes.

        Args:
            clip: whose frames.
            fresh: latents of its fresh frames.
            before: the stream; None: one begins with them.
        """
        if before is None:
            state = SeedVr2State(fresh, Stream())
            return state, self._frames(clip, fresh, state.stream, 0)
        state = SeedVr2State(torch.cat((before.latents, fresh)), before.stream)
        if before.stream.inputs:
            return state, self._frames(clip, fresh, state.stream, 0)
        skip = 1 + FRAME_STRIDE * (len(before.latents) - 1)
        return state, self._frames(clip, state.latents, state.stream, skip)

    @torch.inference_mode()
    def _sample(self, clip: Clip) -> Tensor:
        """Latents (T', 16, h, w) of all frames of a clip, shared ones included."""
        count = num_latents(len(clip.frames))
        # The last clip of a shot is short; its last frame stands for those that are missing.
        missing = 1 + FRAME_STRIDE * (count - 1) - len(clip.frames)
        frames = [*clip.frames, *[clip.frames[-1]] * missing]
        size = self._target_size(clip.frames)
        keys = range(clip.start, clip.start + FRAME_STRIDE * count, FRAME_STRIDE)
        lr_latents = self._networks.encode(frames, size, self._noise(keys, size, _POSTERIOR))

        def predict(x: Tensor, t: float) -> Tensor:
            predicted = self._networks.denoise(x, lr_latents, t)
            self.meter.step()
            return predicted

        return walk_straight(predict, self._noise(keys, size, _START), self._steps)

    def _noise(self, keys: Sequence[int], size: tuple[int, int], draw: int) -> Tensor:
        """Noise of latent frames, which belongs to the last frame that each stands for."""
        rows, columns = (
            range(ceil(side / SIZE_MULTIPLE) * SIZE_MULTIPLE // LATENT_STRIDE) for side in size
        )
        return keyed_noise(
            self._config.sampler.seed,
            frames=keys,
            step=draw,
            channels=LATENT_CHANNELS,
            rows=rows,
            columns=columns,
            device=self._device,
        )

    def _frames(self, clip: Clip, latents: Tensor, stream: Stream, skip: int) -> Iterator[Tensor]:
        """The fresh frames of a clip (3, H, W), with the colours of the source.

        Args:
            clip: whose frames.
            latents: what `stream` goes on with.
            stream: of the decoder.
            skip: how many frames of these are not the clip's.
        """
        size = self._target_size(clip.frames)
        decoded = self._networks.decode(latents, stream, skip)
        for lr_frame in clip.frames[clip.num_shared :]:
            with torch.inference_mode():
                frame = crop(next(decoded), size).clamp(-1, 1)
                self.meter.decode()
                given = lr_frame[None].to(frame.device)
                matched = match_color(frame[None], given, self._config.color)[0]
            self.meter.give()
            yield matched
            self.meter.take()

    def _target_size(self, frames: Tensor) -> tuple[int, int]:
        return self._config.target_size(frames.shape[-2], frames.shape[-1])


def num_latents(num_frames: int) -> int:
    """How many latent frames stand for so many frames from the start of a clip."""
    return ceil((num_frames - 1) / FRAME_STRIDE) + 1 if num_frames else 0


def _fade(latents: Tensor, ahead: Tensor, clip: Clip, following: Clip) -> Tensor:
    """The latents of a clip, faded into those of the next one where they stand for the same frames.

    The first latent frame of the next clip stands for a single frame, and is left out.
    """
    offset = (following.start - clip.start) // FRAME_STRIDE
    count = len(latents) - offset - 1
    weights = (torch.arange(count, device=latents.device) + 0.5) / count
    faded = torch.lerp(latents[offset + 1 :], ahead[1 : 1 + count], weights[:, None, None, None])
    return torch.cat((latents[: offset + 1], faded))


def _look_ahead(clips: Iterator[Clip]) -> Iterator[tuple[Clip, Clip | None]]:
    """Each clip with the next one of its shot; None where that ends."""
    clip = next(clips, None)
    while clip is not None:
        following = next(clips, None)
        goes_on = following is not None and following.num_shared > 0
        yield clip, following if goes_on else None
        clip = following


def _identity(state: ClipState | None) -> ClipState | None:
    return state
