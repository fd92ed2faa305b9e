"""Networks that go on with less when memory runs out."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from vsr_cli.counting import counted
from vsr_cli.errors import MemoryExhaustedError
from vsr_cli.events import Note, Report
from vsr_cli.models.small.decoder import MemoryWarp
from vsr_cli.models.small.denoiser import Past
from vsr_cli.models.small.fused import cat_frames, merge_frames, split_frames
from vsr_cli.models.small.model import Condition, SmallModel
from vsr_cli.ops.windows import Window
from vsr_cli.pipeline.memory import is_out_of_memory, release_memory

# Pixels of latents that a CPU is given at a time: more would only take memory.
MOST_LATENTS = 120_000

R = TypeVar("R")


class AdaptiveNetworks:
    """A model whose calls are cut into smaller ones when memory runs out.

    A call that fails is made once more after caches were emptied, then with half the frames at a
    time, down to one. How many frames a call sees does not change what it computes, since
    everything along time looks back and is handed on. What was found to fit is kept for the rest of
    the job.
    """

    def __init__(self, model: SmallModel, scale: int, *, report: Report) -> None:
        """Wrap a model.

        Args:
            model: on its device, in its dtype.
            scale: by how much it enlarges, one of its own.
            report: hears `W_MEMORY_RETRIED` and `W_MEMORY_FRAMES`.
        """
        self.model = model
        self.scale = scale
        self._most_frames: int | None = None
        self._report = report

    def condition(self, lr_frames: Tensor) -> Condition:
        """As `SmallModel.condition`."""

        def call() -> Condition:
            # A CPU is busy with one frame; many at once would only take memory.
            most = 1 if lr_frames.device.type == "cpu" else None
            cut = self._cut(count, most)
            parts = [
                self.model.condition(frames.cut(lr_frames, dim=1), self.scale) for frames in cut
            ]
            return parts[0] if len(parts) == 1 else _join(parts)

        count = lr_frames.shape[1]
        return self._within_memory(call, count)

    def denoise(
        self, x: Tensor, log_snr: Tensor, condition: Condition, past: Past | None
    ) -> tuple[Tensor, Past]:
        """As `SmallModel.denoise`."""

        def call() -> tuple[Tensor, Past]:
            pieces, state = [], past
            for frames in self._cut(x.shape[1], most):
                part = condition.sliced(frames)
                v, state = self.model.denoise(frames.cut(x, dim=1), log_snr, part, state)
                pieces.append(v)
            return _joined(pieces), state or []

        most = None
        if x.device.type == "cpu":
            most = max(MOST_LATENTS // (x.shape[-2] * x.shape[-1]), 1)
        return self._within_memory(call, x.shape[1])

    def decode(
        self,
        latents: Tensor,
        lr_frames: Tensor,
        lr_features: Tensor,
        *,
        fidelity: float,
        memory_features: Tensor | None,
        warps: Sequence[MemoryWarp | None],
    ) -> tuple[Tensor, Tensor]:
        """As `SmallModel.decode`, which works frame by frame whatever the number of frames."""

        def call() -> tuple[Tensor, Tensor]:
            return self.model.decode(
                latents,
                lr_frames,
                lr_features,
                fidelity=fidelity,
                memory_features=memory_features,
                warps=warps,
            )

        return self._within_memory(call, 1)

    def _within_memory(self, call: Callable[[], R], num_frames: int) -> R:
        """Make a call, with less at a time after each failure.

        Raises:
            MemoryExhaustedError: not even the least fits.
        """
        has_retried = False
        while True:
            try:
                return call()
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            # Out here the failed call's tensors are no longer held by its traceback.
            release_memory()
            if has_retried:
                self._take_less(num_frames)
            else:
                has_retried = True
                text = "memory has run out; what was only cached was given back, and it goes on"
                self._report(Note(code="W_MEMORY_RETRIED", text=text))

    def _take_less(self, num_frames: int) -> None:
        frames = min(num_frames, self._most_frames or num_frames)
        if frames == 1:
            raise MemoryExhaustedError(
                "memory has run out",
                why="what is computed of a single frame needs more than is free",
                hint="free memory, take smaller tiles with `--tile`, or use another `--device`",
            )
        self._most_frames = -(-frames // 2)
        text = (
            f"memory has run out; networks now see {counted(self._most_frames, 'frame')} at a time"
        )
        self._report(Note(code="W_MEMORY_FRAMES", text=text))

    def _cut(self, num_frames: int, most: int | None = None) -> list[Window]:
        """The frames of a clip, as many at a time as are known to fit, and no more than `most`."""
        size = min(num_frames, self._most_frames or num_frames, most or num_frames)
        starts = range(0, num_frames, size)
        return [Window(start, min(start + size, num_frames)) for start in starts]


def _join(parts: Sequence[Condition]) -> Condition:
    """The condition of consecutive frames, with channels last in memory as in its parts."""
    batch = parts[0].lr_features.shape[0]
    by_level = zip(*(part.levels for part in parts), strict=True)
    return Condition(
        cat_frames(*(part.lr_features for part in parts)),
        [merge_frames(cat_frames(*(split_frames(x, batch) for x in level))) for level in by_level],
    )


def _joined(pieces: Sequence[Tensor]) -> Tensor:
    return pieces[0] if len(pieces) == 1 else torch.cat([*pieces], dim=1)
