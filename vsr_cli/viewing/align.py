"""Several videos at one time: each frame of the first beside what the others show then."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from fractions import Fraction

from vsr_cli.counting import counted
from vsr_cli.events import Note, Report, ignore
from vsr_cli.pixels import HLG, PQ
from vsr_cli.viewing.footage import SLACK, Footage, Picture, Shown


@dataclass(frozen=True)
class Moment:
    """What all videos show at one time.

    index: of the moment, from 0.
    shown: one frame of each video.
    lead: number of the video whose frames come one by one.
    """

    index: int
    shown: tuple[Shown, ...]
    lead: int = 0

    @property
    def leading(self) -> Shown:
        """The frame of the video that leads."""
        return self.shown[self.lead]

    @property
    def time(self) -> Fraction:
        """Seconds since the first frame of the video that leads."""
        return self.leading.time

    @property
    def pictures(self) -> list[Picture]:
        """One of each video, each of its own size."""
        return [shown.picture for shown in self.shown]


@dataclass
class Counts:
    """How many frames there were, filled in by `moments`.

    num_moments: that could be compared.
    num_read: of each video.
    num_alone: of the first video, at whose time another one shows nothing.
    """

    num_moments: int = 0
    num_read: list[int] = field(default_factory=list)
    num_alone: int = 0


def moments(
    videos: Sequence[Footage],
    *,
    offset: Fraction = Fraction(0),
    start: Fraction = Fraction(0),
    report: Report = ignore,
    counts: Counts | None = None,
    lead: int = 0,
) -> Generator[Moment, None, None]:
    """Read several videos side by side, holding two frames of each.

    Each frame of the one that leads stands beside the frame that each other one shows at its time,
    all first frames at 0. Times may differ by what containers round. All videos are read to their
    ends, so that what is damaged is known.

    Args:
        videos: in any order.
        offset: seconds by which all but the one that leads are shown later.
        start: seconds; frames of that one before are left out.
        report: receives what there is to know of each file.
        counts: is filled in at the end.
        lead: number of the one that leads.
    """
    counts = counts if counts is not None else Counts()
    slack = min(SLACK, min(video.step for video in videos) / 4)
    with ExitStack() as stack:
        first, rest = videos[lead], [*videos[:lead], *videos[lead + 1 :]]
        leading = stack.enter_context(closing(first.shots(report, start=start)))
        begin = max(Fraction(0), start - offset - 1 / first.info.rate)
        followers = [
            _Follower(stack.enter_context(closing(video.shots(report, start=begin))), slack)
            for video in rest
        ]
        num_leading = 0
        for shown in leading:
            num_leading += 1
            found = [follower.at(shown.time - offset) for follower in followers]
            if None in found:
                counts.num_alone += 1
                continue
            others = tuple(filter(None, found))
            yield Moment(counts.num_moments, (*others[:lead], shown, *others[lead:]), lead)
            counts.num_moments += 1
        for follower in followers:
            follower.drain()
        counts.num_read = [follower.num_read for follower in followers]
        counts.num_read.insert(lead, num_leading)


class _Follower:
    """One of the other videos: the frame that it shows at a time."""

    def __init__(self, frames: Iterator[Shown], slack: Fraction) -> None:
        self._frames, self._slack = frames, slack
        self._current: Shown | None = None
        self.num_read = 0
        self._next = self._read()

    def at(self, time: Fraction) -> Shown | None:
        """The frame shown at `time`, which never goes back; None before the start or at the end."""
        while self._next is not None and self._next.time <= time + self._slack:
            self._current, self._next = self._next, self._read()
        if self._current is None or (
            self._next is None and time >= self._current.end - self._slack
        ):
            return None
        return self._current

    def drain(self) -> None:
        """Read on to the end."""
        while self._next is not None:
            self._next = self._read()

    def _read(self) -> Shown | None:
        shown = next(self._frames, None)
        self.num_read += shown is not None
        return shown


def say_differences(videos: Sequence[Footage], report: Report) -> None:
    """Say which sizes and rates differ; of counts one knows more in the end."""
    if len({video.size for video in videos}) > 1:
        sizes = ", ".join(f"`{v.name}` {v.size[1]}x{v.size[0]}" for v in videos)
        report(Note(code="W_SIZES_DIFFER", text=f"sizes differ: {sizes}; the smaller is enlarged"))
    if len({round(float(video.info.rate), 2) for video in videos}) > 1:
        rates = ", ".join(f"`{v.name}` {float(v.info.rate):.6g}" for v in videos)
        text = f"rates differ, in frames per second: {rates}; each frame of the first stands beside"
        report(Note(code="W_RATES_DIFFER", text=f"{text} what the others show at its time"))


def say_codes(videos: Sequence[Footage], report: Report) -> None:
    """Say where measures compare codes that do not stand for the same light."""
    if len({(video.info.color.transfer if video.is_hdr else None) for video in videos}) > 1:
        names = {PQ: "PQ", HLG: "HLG"}
        kinds = ", ".join(f"`{v.name}` {names.get(v.info.color.transfer, 'SDR')}" for v in videos)
        text = f"codes stand for other light: {kinds}; measures compare them as they are"
        report(Note(code="W_CODES_DIFFER", text=text))


def say_counts(videos: Sequence[Footage], counts: Counts, report: Report) -> None:
    """Say where numbers of frames differ, or frames of the first video stand alone."""
    if len(set(counts.num_read)) <= 1 and not counts.num_alone:
        return
    numbers = ", ".join(
        f"`{v.name}` {number}" for v, number in zip(videos, counts.num_read, strict=True)
    )
    alone = ""
    if counts.num_alone:
        one, many = "frame of the first stands alone", "frames of the first stand alone"
        alone = f"; {counted(counts.num_alone, one, many)}"
    text = f"numbers of frames differ: {numbers}; "
    text += f"{counted(counts.num_moments, 'is', 'are')} compared{alone}"
    report(Note(code="W_COUNTS_DIFFER", text=text))
