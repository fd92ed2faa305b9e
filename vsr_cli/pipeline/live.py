"""Live sources: what there is no time to restore is enlarged without the model."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from torch import Tensor

from vsr_cli.events import Live, Note, Report
from vsr_cli.media.frame import Frame
from vsr_cli.ops.resize import resize
from vsr_cli.pipeline.clips import Clip, ClipState, RestoredClip
from vsr_cli.pipeline.restorers.base import Restorer

SECONDS_BETWEEN_EVENTS = 10.0


class LiveRestorer(Restorer):
    """Lets a restorer work while the picture is not too late, and enlarges bicubically meanwhile.

    Every frame of the source is given out, at its own time. How late the picture is, is measured
    against the frame that came the soonest after its time: a source that brings frames faster than
    they are shown is never late. What follows frames that were enlarged without the model begins a
    shot of its own.
    """

    def __init__(
        self,
        restorer: Restorer,
        size: tuple[int, int],
        max_delay: float,
        seconds: float,
        report: Report,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with the model.

        Args:
            restorer: the model's.
            size: (height, width) of the target.
            max_delay: seconds that the picture may be late.
            seconds: that a frame takes, as far as is known.
            report: receives `Live` every ten seconds, and `W_LIVE_BEHIND` once.
            clock: of seconds.
        """
        self.clip_length, self.clip_overlap = restorer.clip_length, restorer.clip_overlap
        self.splits_shots, self.meter = restorer.splits_shots, restorer.meter
        self._restorer, self._size, self._report = restorer, size, report
        self._delay = Delay(max_delay, seconds, clock)
        self._next: Clip | None = None  # for which there was no time any more
        self._has_said = False

    def restore(self, clips: Iterator[Clip], state: ClipState | None) -> Iterator[RestoredClip]:
        """See `Restorer.restore`; a live source has no earlier run to go on from."""
        assert state is None
        while (clip := self._take(clips)) is not None:
            if self._delay.allows(clip):
                for restored in self._restorer.restore(self._while_in_time(clip, clips), None):
                    yield replace(restored, frames=self._timed(restored))
                    self._tell()
            else:
                yield self._enlarged(clip)
                self._tell()

    def read_state(self, tensors: Mapping[str, Tensor]) -> ClipState:
        """See `Restorer.read_state`."""
        return self._restorer.read_state(tensors)

    def _take(self, clips: Iterator[Clip]) -> Clip | None:
        clip, self._next = self._next, None
        return clip if clip is not None else next(clips, None)

    def _while_in_time(self, first: Clip, clips: Iterator[Clip]) -> Iterator[Clip]:
        """A clip as the start of a shot, and those after it until there is no time for one."""
        first = _alone(first)
        self._delay.begin()
        yield first
        for clip in clips:
            if not self._delay.allows(clip):
                self._next = clip
                return
            self._delay.begin()
            yield clip

    def _timed(self, clip: RestoredClip) -> Iterator[Tensor]:
        """The frames of a clip, while the clock of how long it takes runs."""
        started = self._delay.clock()
        waited = 0.0  # for whoever takes the frames
        for frame in clip.frames:
            given = self._delay.clock()
            yield frame
            waited += self._delay.clock() - given
        self._delay.end(clip.headers, self._delay.clock() - started - waited)

    def _enlarged(self, clip: Clip) -> RestoredClip:
        """Frames without the model."""
        if not self._has_said:
            self._has_said = True
            text = (
                "frames come faster than they are restored here: some are enlarged without the "
                f"model, so that the picture is no later than {self._delay.most:g} s"
            )
            self._report(Note(code="W_LIVE_BEHIND", text=text))
        fresh = _alone(clip)
        frames = (resize(frame, self._size) for frame in fresh.frames)
        self._delay.pass_by(fresh.headers)
        return RestoredClip(fresh.start, frames, fresh.headers, lambda: None, starts_shot=True)

    def _tell(self) -> None:
        if (event := self._delay.event()) is not None:
            self._report(event)


class Delay:
    """How late the picture is, and whether there is time to restore a clip."""

    def __init__(self, most: float, seconds: float, clock: Callable[[], float]) -> None:
        """Begin to measure.

        Args:
            most: seconds that it may be late.
            seconds: that a frame takes to restore, until that is measured.
            clock: of seconds.
        """
        self.most, self.clock = most, clock
        self._soonest: float | None = None  # a clock's time less that of the frame it is shown at
        self._guess = seconds
        self._seconds: list[float] = []  # that frames took, of which the least counts
        self._num_begun = 0  # clips that are not done yet
        self._last_event = clock()
        self._num_plain = self._num_frames = 0  # since then
        self.now = 0.0  # seconds that the last frame was late

    def allows(self, clip: Clip) -> bool:
        """Whether a clip can be restored in time; it has come just now."""
        seconds = min(self._seconds, default=self._guess)
        needed = seconds * len(clip.headers) * (self._num_begun + 1)
        return self._late(clip.headers) + needed <= self.most

    def begin(self) -> None:
        """A clip is given to the model."""
        self._num_begun += 1

    def end(self, headers: tuple[Frame, ...], seconds: float) -> None:
        """The model is done with a clip, and has taken so long."""
        self._num_begun -= 1
        self._seconds = [*self._seconds[-9:], seconds / len(headers)]
        self.now = self._late(headers)
        self._num_frames += len(headers)

    def pass_by(self, headers: tuple[Frame, ...]) -> None:
        """Frames are given out without the model."""
        self.now = self._late(headers)
        self._num_frames += len(headers)
        self._num_plain += len(headers)

    def event(self) -> Live | None:
        """What there is to tell, every ten seconds."""
        seconds = self.clock() - self._last_event
        if seconds < SECONDS_BETWEEN_EVENTS or not self._num_frames:
            return None
        event = Live(
            delay=round(max(self.now, 0.0), 3),
            fps=round(self._num_frames / seconds, 3),
            share_plain=round(self._num_plain / self._num_frames, 3),
        )
        self._last_event = self.clock()
        self._num_plain = self._num_frames = 0
        return event

    def _late(self, headers: tuple[Frame, ...]) -> float:
        last = headers[-1]
        offset = self.clock() - float(last.pts * last.time_base)
        self._soonest = offset if self._soonest is None else min(self._soonest, offset)
        return offset - self._soonest


def _alone(clip: Clip) -> Clip:
    """A clip without what an earlier one held: the start of a shot."""
    start, fresh = clip.start + clip.num_shared, clip.frames[clip.num_shared :]
    return Clip(start, fresh, 0, clip.headers)
