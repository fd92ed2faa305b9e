"""What is masked, replaced by what other frames of the shot show in its place."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import closing
from contextvars import copy_context
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from vsr_cli.cancellation import end_if_abandoned
from vsr_cli.counting import counted
from vsr_cli.errors import UnseenError
from vsr_cli.events import Note, Report
from vsr_cli.media.frame import Frame, VideoInfo
from vsr_cli.media.masks import Mask, Masks, box_mask
from vsr_cli.models.flow import DisFlow
from vsr_cli.ops.fill import grow
from vsr_cli.ops.shots import is_cut
from vsr_cli.pipeline.repair.hole import Finished, Memory, close_holes, recall, remember
from vsr_cli.pipeline.repair.pair import decoded_bytes
from vsr_cli.pipeline.repair.part import (
    Motion,
    View,
    channel_weights,
    feathered,
    make_view,
    measure_motion,
    write_part,
)
from vsr_cli.pipeline.repair.stage import Entry, Stage
from vsr_cli.pipeline.repair.windows import Rectangle, rectangles_around
from vsr_cli.pipeline.repair.workers import workers
from vsr_cli.pipeline.thumbnail import thumbnail
from vsr_cli.repair_config import EraseConfig

_BLOCK = 32  # frames, counted from the start of a shot
_MARGIN = 96  # pixels around a mask that are looked at
_PART_BYTES = 26  # of a pixel of a part of a frame that is held
# At the most, of frames that are held as they are decoded, and of parts of them. The same on every
# machine, so that what comes out is, too.
_MOST_BYTES = 3 * 10**9 // 2


@dataclass(frozen=True)
class Masked:
    """A frame on its way, with its mask, if it has any."""

    index: int
    frame: Frame
    mask: Mask | None


@dataclass(frozen=True)
class Closed:
    """What closes a hole in a part of a frame.

    hole: (1, 1, h, w) bool.
    values: (C, N) in [0, 1], of its N pixels.
    num_unseen: how many of them are guesses.
    """

    hole: Tensor
    values: Tensor
    num_unseen: int


class Erase(Stage):
    """Closes masked holes; samples outside of the grown mask stay what they are.

    Nothing crosses a cut. What is seen before a frame is carried along from the start of its shot,
    what comes after it is looked for as far as the reach goes.
    """

    name = "erase"

    def __init__(
        self,
        config: EraseConfig,
        info: VideoInfo,
        masks: Masks,
        report: Report,
        *,
        scene_cut: bool = True,
    ) -> None:
        """Nothing is read yet.

        Args:
            config: the user's choices.
            info: of the source.
            masks: what is to be erased of each frame.
            report: receives `W_UNSEEN`, `W_MASK_EMPTY` and `W_BOX_IDLE` at the end.
            scene_cut: whether to look for cuts.
        """
        super().__init__()
        self._config, self._masks, self._report = config, masks, report
        self._scene_cut = scene_cut
        wanted = _BLOCK + config.reach
        self._num_held = max(2, min(wanted, _MOST_BYTES // decoded_bytes(info)))
        if self._num_held < wanted:
            ahead = self._num_held - self._num_in_block
            text = f"erase: looks {counted(ahead, 'frame')} ahead, not {config.reach}, so that "
            self.reasons = (f"{text}{_MOST_BYTES / 1e9:g} GB hold them",)
        self.reach_back, self.reach_ahead = 1, self._num_held
        parts_bytes = _PART_BYTES * _largest_area(config, info) * (self._num_held + 1)
        self.num_bytes = (self._num_held + 1) * decoded_bytes(info) + min(parts_bytes, _MOST_BYTES)
        self.state_bytes = 14 * 4 * info.height * info.width // 4
        self._flow = DisFlow(num_threads=1)  # of which each worker runs its own
        self._views: dict[Rectangle, dict[int, View]] = {}
        self._motions: dict[Rectangle, dict[int, Motion]] = {}
        self.num_masked = self.num_unseen = 0  # pixels, of all frames so far

    @property
    def _num_in_block(self) -> int:
        return min(_BLOCK, self._num_held // 2)

    @property
    def share_unseen(self) -> float:
        """Of all that was masked so far, what no frame has shown."""
        return self.num_unseen / max(self.num_masked, 1)

    def run(self, frames: Iterator[Frame], entry: Entry) -> Iterator[Frame]:
        """See `Stage.run`; every frame in gives one out.

        Raises:
            UnseenError: a part of a mask is seen in no frame, and that is where to stop.
        """
        # Who closes a part waits for those who fill in it.
        with workers() as pool, workers() as self._fillers, closing(self._masks):
            yield from self._run(pool, frames, entry)
        self._sum_up()

    def _run(self, pool: Executor, frames: Iterator[Frame], entry: Entry) -> Iterator[Frame]:
        memory, before = self._read_state(entry), None
        held: deque[Masked] = deque()
        seen: Tensor | None = None  # the last thumbnail
        for index, frame in enumerate(frames, entry.taken):
            masked = Masked(index, frame, self._mask(index, frame))
            last, seen = seen, thumbnail(frame) if self._scene_cut else None
            if index < entry.given:
                before = masked  # the frame that `memory` is of
                continue
            if last is not None and seen is not None and is_cut(last, seen):
                yield from self._finish_shot(pool, held, before, memory)
                memory, before = Memory(), None
                self._views.clear()
                self._motions.clear()
            held.append(masked)
            if len(held) == self._num_held:
                given, memory = self._close_block(pool, held, before, memory)
                for _ in given:
                    before = held.popleft()
                yield from given
        yield from self._finish_shot(pool, held, before, memory)

    def _finish_shot(
        self, pool: Executor, held: deque[Masked], before: Masked | None, memory: Memory
    ) -> Iterator[Frame]:
        """All blocks that are left of a shot."""
        while held:
            given, memory = self._close_block(pool, held, before, memory)
            for _ in given:
                before = held.popleft()
            yield from given

    def _close_block(
        self, pool: Executor, held: deque[Masked], before: Masked | None, memory: Memory
    ) -> tuple[list[Frame], Memory]:
        """The frames of the first block held, and what the next one has to know."""
        first = held[0].index
        self._keep_entry(first, before, memory)
        block, parts, num_seen = self._choose_parts(held)
        if not parts:
            return [masked.frame for masked in block], Memory()
        for cache in (self._views, self._motions):
            for part in list(cache):
                if part not in parts:
                    del cache[part]
        looked_at = [*([before] if before else []), *islice(held, num_seen)]
        known = {masked.index: masked for masked in looked_at}
        self._look(pool, parts, known)
        self._measure(pool, parts, known)
        span = range(first, first + len(block))
        closing = [
            pool.submit(
                copy_context().run,  # so that it ends where this thread is abandoned
                partial(self._close_part, part, span, block[0].frame, before is not None, memory),
            )
            for part in parts
        ]
        given = {masked.index: masked.frame for masked in block}
        memories = []
        for part, future in zip(parts, closing, strict=True):
            finished, remembered = future.result()
            memories.append(remembered)
            for index, picture in finished.items():
                given[index] = self._written(given[index], index, part, picture)
        return list(given.values()), Memory.joined(memories)

    def _choose_parts(self, held: deque[Masked]) -> tuple[list[Masked], list[Rectangle], int]:
        """The next block, what is looked at for it, and in how many of the frames that are held.

        Large parts are only looked at in as many frames as memory is meant for.
        """
        block = list(islice(held, self._num_in_block))
        while True:
            parts = _parts_around(block)
            area = sum(part.area for part in parts)
            num_seen = min(len(held), _MOST_BYTES // (_PART_BYTES * max(area, 1)) - 1)
            if num_seen == len(held) or num_seen >= 2 * len(block) or len(block) == 1:
                return block, parts, max(num_seen, min(len(held), len(block) + 1))
            block = block[: max(len(block) // 2, 1)]

    def _close_part(
        self, part: Rectangle, span: range, like: Frame, has_before: bool, memory: Memory
    ) -> tuple[dict[int, Closed], Memory]:
        """Close the holes of a block's frames in a part of the picture.

        Args:
            part: of the picture.
            span: indices of the frames.
            like: one of them, for its size and layout.
            has_before: whether the frame before them is of the same shot.
            memory: of that frame.
        """
        views, motions = self._views[part], self._motions[part]
        weights, width = channel_weights(like.layout), like.size[1]
        unseen = self._config.unseen
        start = span.start - 1
        before = recall(memory, views[start], part, width) if has_before else None
        ahead = {index: view for index, view in views.items() if index >= span.start}
        found: dict[int, Closed] = {}
        finished: Finished | None = None
        closed = close_holes(ahead, motions, span, before, weights, unseen, self._fillers)
        for index, finished in zip(span, closed, strict=True):
            hole = views[index].hole
            if hole.any():
                inside = finished.picture[0, :, hole[0, 0]]
                found[index] = Closed(hole, inside, int(finished.is_guess.sum()))
        assert finished is not None
        return found, remember(finished, views[span.stop - 1], part, width)

    def _written(self, frame: Frame, index: int, part: Rectangle, closed: Closed) -> Frame:
        """A frame with a part of it replaced where it is masked."""
        self.num_masked += int(closed.hole.sum())
        self.num_unseen += closed.num_unseen
        if closed.num_unseen and self._config.unseen == "stop":
            raise UnseenError(
                f"frame {index} has {counted(closed.num_unseen, 'pixel')} of the mask "
                "that no other shows",
                hint="use `--unseen smooth`, which guesses them, or a longer `--reach`",
            )
        planes = tuple(plane.copy() for plane in frame.planes)
        weight = feathered(closed.hole, self._config.feather)
        picture = torch.zeros(1, len(closed.values), *closed.hole.shape[-2:])
        picture[0, :, closed.hole[0, 0]] = closed.values
        write_part(planes, frame.layout, part, picture, weight)
        return replace(frame, planes=planes)

    def _look(self, pool: Executor, parts: list[Rectangle], known: Mapping[int, Masked]) -> None:
        """Make the views that are not at hand, and drop those that nobody needs."""
        missing = []
        for part in parts:
            views = self._views.setdefault(part, {})
            for index in [index for index in views if index not in known]:
                del views[index]
            missing += [(part, index) for index in known if index not in views]

        def look(place: tuple[Rectangle, int]) -> View:
            part, index = place
            return make_view(known[index].frame, known[index].mask, part)

        for (part, index), view in zip(missing, pool.map(look, missing), strict=True):
            end_if_abandoned()
            self._views[part][index] = view

    def _measure(self, pool: Executor, parts: list[Rectangle], known: Mapping[int, Masked]) -> None:
        """Measure motion between all neighbours, as far as it is not at hand."""
        missing = []
        for part in parts:
            motions = self._motions.setdefault(part, {})
            for index in [index for index in motions if index not in known]:
                del motions[index]
            pairs = [index for index in known if index + 1 in known]
            missing += [(part, index) for index in pairs if index not in motions]

        def measure(place: tuple[Rectangle, int]) -> Motion:
            part, index = place
            views, layout = self._views[part], known[index].frame.layout
            return measure_motion(views[index], views[index + 1], self._flow, layout)

        for (part, index), motion in zip(missing, pool.map(measure, missing), strict=True):
            end_if_abandoned()
            self._motions[part][index] = motion

    def _mask(self, index: int, frame: Frame) -> Mask | None:
        """The grown mask of a frame."""
        mask = self._masks.at(index, frame)
        if mask is None or not self._config.grow:
            return mask
        grown = grow(torch.from_numpy(mask).float()[None, None], self._config.grow)
        return (grown[0, 0] > 0).numpy()

    def _keep_entry(self, first: int, before: Masked | None, memory: Memory) -> None:
        """Remember that one can begin with the block that begins with this frame."""
        tensors = {"counts": torch.tensor([self.num_masked, self.num_unseen])}
        if before is not None and memory.values is not None:
            tensors |= {"places": memory.places, "values": memory.values}
        self._keep(Entry(first, first if before is None else before.index, tensors))

    def _read_state(self, entry: Entry) -> Memory:
        if "counts" in entry.tensors:
            self.num_masked, self.num_unseen = entry.tensors["counts"].tolist()
        if "values" not in entry.tensors:
            return Memory()
        return Memory(entry.tensors["places"], entry.tensors["values"])

    def _sum_up(self) -> None:
        self._masks.report_idle()
        if self._config.mask is not None and not self.num_masked:
            text = f"`{self._config.mask.name}` masks nothing of what was read: white is erased"
            self._report(Note(code="W_MASK_EMPTY", text=text))
        if self.num_unseen:
            text = (
                f"{self.share_unseen:.0%} of what was erased is seen in no other frame, and is "
                "guessed from its rim"
            )
            self._report(Note(code="W_UNSEEN", text=text))


def _parts_around(block: Sequence[Masked]) -> list[Rectangle]:
    masks = [masked.mask for masked in block if masked.mask is not None]
    return rectangles_around(np.logical_or.reduce(masks), _MARGIN) if masks else []


def _largest_area(config: EraseConfig, info: VideoInfo) -> int:
    """Pixels of all parts that are looked at: of boxes, or of the whole picture."""
    size = info.height, info.width
    if config.mask is not None:
        return info.height * info.width
    drawn = np.logical_or.reduce([box_mask(box, size) for box in config.boxes])
    grown = grow(torch.from_numpy(drawn).float()[None, None], config.grow)[0, 0].numpy() > 0
    return sum(part.area for part in rectangles_around(grown, _MARGIN))
