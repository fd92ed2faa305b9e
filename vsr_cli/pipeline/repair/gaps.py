"""Frames that are damaged, black or frozen where their neighbours are not."""

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor

from vsr_cli.counting import counted
from vsr_cli.errors import ConfigError
from vsr_cli.events import Note, Report
from vsr_cli.media.frame import Frame, VideoInfo
from vsr_cli.ops.color import luma
from vsr_cli.pipeline.thumbnail import thumbnail
from vsr_cli.repair_config import FillConfig

MOST, MOST_FROZEN = 12, 8  # in a row, unless the user says otherwise

# Codes of luma from 0, black, to 255, white, of thumbnails.
_BLACK, _LIT = 5.0, 28.0  # means: at most of a black frame, at least of both its neighbours
_SAME, _SAME_BLOCK = 0.5, 2.0  # mean change, of all and of any block of 9x8, of a frozen frame
_MOVES = 0.75  # mean change, at least, before and after frozen frames
_STANDSTILL = 0.2  # of that change, at most, while they are frozen
_NEARBY = 12  # frames: three standstills within twice that are a pattern, not a fault


@dataclass(frozen=True)
class Look:
    """What of a frame decides whether it is one to replace."""

    light: float
    change: float  # mean difference to the frame before; 0 where there is none
    is_same: bool
    is_damaged: bool


@dataclass(frozen=True)
class Gap:
    """Frames in a row to replace.

    first: index of the first of them.
    frames: as they are read.
    reasons: why, of each: `listed`, `damaged`, `black` or `frozen`.
    before, after: the nearest frames that are not to be replaced; None at the ends of a source.
    """

    first: int
    frames: tuple[Frame, ...]
    reasons: tuple[str, ...]
    before: Frame | None
    after: Frame | None


class GapFinder:
    """Tells frames to replace from those to keep.

    reach_back, reach_ahead: how many frames before and after one it looks at to decide.
    most: frames in a gap at the most; longer ones are kept, and counted.
    num_kept: frames by why they are kept though something is wrong with them: `long`, `pattern`.
    """

    def __init__(self, config: FillConfig) -> None:
        self._config = config
        self.most = config.most or MOST
        self._most_frozen = config.most or MOST_FROZEN
        self.reach_ahead = 0
        if "black" in config.find:
            self.reach_ahead = self.most + 1
        if "frozen" in config.find:
            self.reach_ahead = max(self.reach_ahead, self._most_frozen + 1, _NEARBY + 1)
        # Twice over: what comes before a gap has to be known as well.
        self.reach_back = 2 * (self.most + 2)
        if "frozen" in config.find:
            self.reach_back += 2 * _NEARBY + 2
        self.num_kept: Counter[str] = Counter()
        self._looks: dict[int, Look] = {}
        self._last_thumbnail: Tensor | None = None

    def split(self, frames: Iterator[Frame], first: int) -> Iterator[Frame | Gap]:
        """Frames in order: those to keep one by one, those to replace as gaps.

        Holds `reach_ahead` frames, and those of a gap.

        Args:
            frames: in order.
            first: index of the first of them.
        """
        before: Frame | None = None
        gap: list[tuple[Frame, str]] = []
        is_long = False  # whether the frames of this gap are too many
        for index, frame, reason in self._judged(frames, first):
            if reason is None:
                if gap:
                    yield _gap(index - len(gap), gap, before, frame)
                gap, is_long, before = [], False, frame
                yield frame
                continue
            if is_long:
                self.num_kept["long"] += 1
                yield frame
                continue
            gap.append((frame, reason))
            if len(gap) > self.most:
                self.num_kept["long"] += len(gap)
                yield from (kept for kept, _ in gap)
                gap, is_long = [], True
        if gap:
            yield _gap(index + 1 - len(gap), gap, before, None)

    def _judged(
        self, frames: Iterator[Frame], first: int
    ) -> Iterator[tuple[int, Frame, str | None]]:
        """Each frame with its index, and why it is one to replace, None if it is not."""
        waiting: deque[Frame] = deque()
        index = first
        for number, frame in enumerate(chain(frames, [None]), first):
            if frame is not None:
                self._looks[number] = self._look(frame)
                waiting.append(frame)
            while waiting and (frame is None or len(waiting) > self.reach_ahead):
                yield index, waiting.popleft(), self._reason(index)
                self._looks.pop(index - self.reach_back, None)
                index += 1

    def _look(self, frame: Frame) -> Look:
        if set(self._config.find) <= {"damaged"}:
            return Look(0, 0, False, frame.is_damaged)
        light = (luma(thumbnail(frame)) + 1) * 127.5  # (1, 36, 64)
        before, self._last_thumbnail = self._last_thumbnail, light
        if before is None:
            return Look(float(light.mean()), 0, False, frame.is_damaged)
        change = (light - before).abs()
        blocks = torch.nn.functional.avg_pool2d(change[None], (9, 8))
        mean = float(change.mean())
        is_same = mean <= _SAME and float(blocks.max()) <= _SAME_BLOCK
        return Look(float(light.mean()), mean, is_same, frame.is_damaged)

    def _reason(self, index: int) -> str | None:
        find = self._config.find
        if any(start <= index <= stop for start, stop in self._config.frames):
            return "listed"
        if "damaged" in find and self._looks[index].is_damaged:
            return "damaged"
        if "black" in find and self._is_black(index):
            return "black"
        if "frozen" in find and self._is_frozen(index):
            return "frozen"
        return None

    def _is_black(self, index: int) -> bool:
        """Whether this is one of few black frames between lit ones."""
        start = stop = index
        while self._is_dark(start) and index - start <= self.most:
            start -= 1
        while self._is_dark(stop) and stop - start <= self.most + 1:
            stop += 1
        ends = self._looks.get(start), self._looks.get(stop)
        are_lit = all(look is not None and look.light > _LIT for look in ends)
        return are_lit and start < index and stop - start - 1 <= self.most

    def _is_dark(self, index: int) -> bool:
        look = self._looks.get(index)
        return look is not None and look.light < _BLACK

    def _is_frozen(self, index: int) -> bool:
        """Whether this is one of few frames that stand still where everything else moves."""
        start = stop = index  # of those that are like the one before
        while self._is_same(start) and index - start <= self._most_frozen:
            start -= 1
        start += 1
        while self._is_same(stop) and stop - start <= self._most_frozen:
            stop += 1
        moving = self._looks.get(start - 1), self._looks.get(stop)
        if start > index or stop - start > self._most_frozen:
            return False
        if moving[0] is None or moving[1] is None:
            return False
        pace = min(moving[0].change, moving[1].change)
        rest = max(self._looks[k].change for k in range(start, stop))
        if pace < _MOVES or rest > _STANDSTILL * pace:
            return False
        if self._is_pattern(start):
            self.num_kept["pattern"] += 1
            return False
        return True

    def _is_same(self, index: int) -> bool:
        look = self._looks.get(index)
        return look is not None and look.is_same

    def _is_pattern(self, start: int) -> bool:
        """Whether frames stand still again and again, as pull-down and animation do."""
        nearby = range(start - _NEARBY, start + _NEARBY + 1)
        return sum(self._is_same(k) and not self._is_same(k - 1) for k in nearby) >= 3


def _gap(
    first: int, gap: list[tuple[Frame, str]], before: Frame | None, after: Frame | None
) -> Gap:
    frames, reasons = zip(*gap, strict=True)
    return Gap(first, frames, reasons, before, after)


def check_listed(config: FillConfig, info: VideoInfo) -> None:
    """Refuse frames that a source does not have, where its index lists all that there are.

    A header that only counts them, as that of an AVI, may count too few.

    Raises:
        ConfigError: a range lies after its end.
    """
    if info.num_frames is None or "mov" not in info.container:
        return
    if absent := _absent(config, info.num_frames):
        raise ConfigError(
            f"`--frames-list` names {absent}, which the source does not have",
            why=f"{counted(info.num_frames, 'frame is', 'frames are')} read, counted from 0",
            hint="`vsr fill SOURCE --list` tells frames that have faults",
        )


def report_absent(config: FillConfig, num_frames: int, report: Report) -> None:
    """Say which listed frames do not exist, once a source is read to its end.

    Args:
        config: with the list.
        num_frames: that were read.
        report: receives `W_FRAMES_ABSENT`.
    """
    if absent := _absent(config, num_frames):
        text = f"of `--frames-list` the source does not have {absent}: it ends after "
        report(Note(code="W_FRAMES_ABSENT", text=text + counted(num_frames, "frame")))


def _absent(config: FillConfig, num_frames: int) -> str:
    """The ranges that lie after the end, as users write them."""
    absent = [pair for pair in config.frames if pair[0] >= num_frames]
    return ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in absent)
