"""Frames at the times of a constant rate, more than a source has."""

import re
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain
from math import ceil, lcm

import numpy as np
import torch

from vsr_cli.config import UpscaleConfig
from vsr_cli.counting import counted
from vsr_cli.errors import ConfigError
from vsr_cli.events import Note, Report
from vsr_cli.media.frame import Frame, VideoInfo
from vsr_cli.media.timestamps import TIMECODE
from vsr_cli.models.flow import DisFlow
from vsr_cli.ops.interpolate import Between
from vsr_cli.ops.shots import is_cut
from vsr_cli.pipeline.repair.pair import Pair, are_alike, bytes_of
from vsr_cli.pipeline.repair.stage import Entry, Stage
from vsr_cli.pipeline.repair.workers import workers
from vsr_cli.pipeline.thumbnail import thumbnail

# Of a step of the rate: as near to a frame of the source, a time is that of the frame. Clocks that
# count milliseconds are half of one off.
_NEAR = Fraction(1, 16)
_LONG = Fraction(1, 5)  # seconds that a frame is shown, from which on it is meant to stand still
_LONG_STEPS = 3  # and frames of the source, at its mean rate
_AHEAD = 4  # frames in work
_MOST_TICKS = 1 << 30  # per second; containers count them in 31 bits
_USUAL_TICKS = 1_000_000  # where those of source and rate would be more


@dataclass(frozen=True)
class Gap:
    """What is between two frames of the source that belong together.

    pair: the two, and the motion between them.
    middle: where the frame half way finds its samples.
    explains: whether the motion tells what is between.
    """

    pair: Pair
    middle: Between
    explains: bool


@dataclass(frozen=True)
class Made:
    """A frame at its time, and whether it is a repeat because none could be made."""

    frame: Frame
    is_repeat: bool = False


class Rate(Stage):
    """Gives frames at the times of a constant rate that is higher than the source's.

    The first has the time of the source's first, and the last lasts as long as the source's last.
    Where a frame of the source lies on such a time it is given as it is; others are made of the two
    around them, along the motion. Across a cut, or where a frame is shown for long, the one before
    is repeated; where the motion explains too little, the nearer one.
    """

    name = "rate"
    reach_back = 0
    reach_ahead = _AHEAD + 1

    def __init__(
        self, rate: Fraction, info: VideoInfo, report: Report, *, scene_cut: bool = True
    ) -> None:
        """Nothing is read yet.

        Args:
            rate: frames per second.
            info: of the source.
            report: receives `W_RATE_REPEATS` at the end.
            scene_cut: whether to look for cuts.
        """
        super().__init__()
        self._rate, self._info, self._report = rate, info, report
        self._scene_cut = scene_cut
        self._tick = _tick_of(info, rate)
        self._long = max(_LONG, _LONG_STEPS / info.rate)
        self._flow = DisFlow(num_threads=1, is_fine=True)
        num_frames = self.reach_ahead + _AHEAD + 2
        self.num_bytes = bytes_of(info, self._flow, num_frames=num_frames, num_made=_AHEAD)
        self.reasons = (_reason(rate, info),)
        self.num_repeats = 0

    def run(self, frames: Iterator[Frame], entry: Entry) -> Iterator[Frame]:
        """See `Stage.run`; there are more frames than it takes."""
        start: Fraction | None = None  # of the first frame, in seconds
        if "start" in entry.tensors:
            numerator, denominator, self.num_repeats = entry.tensors["start"].tolist()
            start = Fraction(numerator, denominator)
        index = entry.given
        waiting: deque[tuple[Entry | None, Future[Made]]] = deque()
        with workers() as pool:
            for taken, (frame, following) in enumerate(_pairs(frames), entry.taken):
                start = _time(frame) if start is None else start
                stop = max(self._stop(frame, following, start), 1)
                gap: Future[Gap | None] | None = None
                first = Entry(index, taken, {"start": torch.tensor(start.as_integer_ratio())})
                for number in range(index, stop):
                    share = self._share(number, frame, following, start)
                    timed = self._timed(frame, following, number, start, is_last=number == stop - 1)
                    if share and gap is None and following is not None:
                        gap = pool.submit(self._look, frame, following)
                    made = pool.submit(_make, timed, following, share, gap)
                    waiting.append((first if number == index else None, made))
                    while len(waiting) > _AHEAD:
                        yield self._give(*waiting.popleft())
                index = max(index, stop)
            while waiting:
                yield self._give(*waiting.popleft())
        if self.num_repeats:
            text = (
                counted(
                    self.num_repeats, "frame repeats one beside it", "frames repeat one beside them"
                )
                + ", because of a cut, a pause, or motion that explains too little"
            )
            self._report(Note(code="W_RATE_REPEATS", text=text))

    def _give(self, entry: Entry | None, future: "Future[Made]") -> Frame:
        """The next frame; `entry` is the place to begin again where it is the first of a gap."""
        if entry is not None:
            counts = torch.tensor([*entry.tensors["start"].tolist(), self.num_repeats])
            self._keep(replace(entry, tensors={"start": counts}))
        made = future.result()
        self.num_repeats += made.is_repeat
        return made.frame

    def _stop(self, frame: Frame, following: Frame | None, start: Fraction) -> int:
        """Index of the first frame that is not before the one after this, or after the end."""
        end = self._end(frame) if following is None else _time(following)
        return ceil((end - start) * self._rate - _NEAR)

    def _end(self, frame: Frame) -> Fraction:
        return _time(frame) + (frame.duration * frame.time_base or 1 / self._info.rate)

    def _share(
        self, number: int, frame: Frame, following: Frame | None, start: Fraction
    ) -> Fraction:
        """Where a frame lies between two of the source, in [0, 1); 0 is the first of them."""
        passed = start + number / self._rate - _time(frame)
        if following is None or passed * self._rate <= _NEAR:
            return Fraction(0)
        return passed / (_time(following) - _time(frame))

    def _timed(
        self, frame: Frame, following: Frame | None, number: int, start: Fraction, *, is_last: bool
    ) -> Frame:
        """A frame of the source at the time of one that is given."""
        pts = round((start + number / self._rate) / self._tick)
        end = start + (number + 1) / self._rate
        if following is None and is_last:
            end = self._end(frame)
        duration = max(1, round(end / self._tick) - pts)
        return replace(frame, pts=pts, duration=duration, time_base=self._tick)

    def _look(self, frame: Frame, following: Frame) -> Gap | None:
        """What is between two frames; None if they are of two shots, or far apart."""
        if _time(following) - _time(frame) > self._long or not are_alike(frame, following):
            return None
        if self._scene_cut and is_cut(thumbnail(frame), thumbnail(following)):
            return None
        pair = Pair.measured(frame, following, self._flow)
        middle = pair.at(0.5)
        return Gap(pair, middle, pair.explains(middle))


def _make(
    timed: Frame, following: Frame | None, share: Fraction, looking: "Future[Gap | None] | None"
) -> Made:
    """A frame at its time; `looking` was submitted earlier than this."""
    if not share or following is None or looking is None:
        return Made(timed)
    if all(np.array_equal(a, b) for a, b in zip(timed.planes, following.planes, strict=True)):
        return Made(timed)
    gap = looking.result()
    if gap is None:
        return Made(timed, is_repeat=True)
    if not gap.explains:
        planes = (timed if share <= Fraction(1, 2) else following).planes
        return Made(replace(timed, planes=planes), is_repeat=True)
    motion = gap.middle if share == Fraction(1, 2) else gap.pair.at(float(share))
    return Made(replace(timed, planes=gap.pair.mixed(motion)))


def check_rate(config: UpscaleConfig, info: VideoInfo) -> None:
    """Refuse a rate that is no more than the source's, and pictures that are not whole.

    Raises:
        ConfigError: it is so.
    """
    if config.fps is None:
        return
    if config.fps <= info.rate:
        raise ConfigError(
            f"`--fps {config.fps}` is not above the source's rate of {float(info.rate):g}",
            why="`--fps` makes frames, and leaves none out",
            hint=f"use `--cfr {config.fps}`, or a higher rate",
        )
    if info.interlaced and config.input.deinterlace == "off":
        raise ConfigError(
            "`--fps` cannot make frames between interlaced ones",
            why="`--deinterlace off` leaves two times in each of them",
            hint="leave it out, or use `--deinterlace field`",
        )


def info_at_rate(info: VideoInfo, rate: Fraction | None) -> VideoInfo:
    """What is known of a source, as far as frames at another rate have it; None: its own."""
    if rate is None:
        return info
    seconds = None if info.num_frames is None else _seconds(info)
    return replace(
        info,
        rate=rate,
        time_base=_tick_of(info, rate),
        num_frames=None if seconds is None else _count(seconds, rate),
        is_vfr=False,
        timecode=_timecode_at(info, rate),
    )


def _seconds(info: VideoInfo) -> Fraction | None:
    """How long a source is, as far as its header tells."""
    if info.num_frames is not None and info.is_vfr is False:
        return info.num_frames / info.rate
    return info.duration


def _count(seconds: Fraction, rate: Fraction) -> int:
    return max(1, ceil(seconds * rate - _NEAR))


def _timecode_at(info: VideoInfo, rate: Fraction) -> str | None:
    """The time code of the first frame, its last number counted at another rate."""
    found = TIMECODE.fullmatch(info.timecode) if info.timecode else None
    if found is None or info.timecode is None:
        return info.timecode
    frames = int(found[5]) * round(rate) // max(1, round(info.rate))
    return re.sub(r"\d+$", f"{frames:02}", info.timecode)


def _reason(rate: Fraction, info: VideoInfo) -> str:
    number, seconds = "", _seconds(info)
    if seconds is not None:
        about = "" if info.num_frames is not None else "about "
        number = f", {about}{_count(seconds, rate)} in all"
    return (
        f"rate: {float(info.rate):.6g} to {float(rate):.6g} frames per second{number}; those "
        "between are made along the motion"
    )


def _tick_of(info: VideoInfo, rate: Fraction) -> Fraction:
    """Seconds per tick, such that times of the source and of the rate are whole numbers."""
    ticks = lcm(info.time_base.denominator, rate.numerator)
    return Fraction(1, ticks if ticks <= _MOST_TICKS else _USUAL_TICKS)


def _time(frame: Frame) -> Fraction:
    return frame.pts * frame.time_base


def _pairs(frames: Iterator[Frame]) -> Iterator[tuple[Frame, Frame | None]]:
    """Each frame with the one after it; None after the last."""
    held: Frame | None = None
    for frame in chain(frames, [None]):
        if held is not None:
            yield held, frame
        held = frame
