"""How far a job is, also within a clip, and what is still to come."""

import math
import time
from collections.abc import Callable

from vsr_cli.events import Progress, Report, TimeSpent

PAUSE = 0.25  # seconds between two reports within a clip
FEWEST_FRAMES, FEWEST_SECONDS = 8, 5.0  # that tell a pace
SHARE_OF_TIME = 0.15  # of the run so far, in which a change of pace is mostly believed
STEPS_A_FRAME = 4  # that take as long as decoding, roughly
MODEL_STAGES = ("sample", "decode", "color")


class ProgressReporter:
    """Reports each frame that is written, and how far the next ones are.

    Frames come in bursts, a clip at a time. What is done of those that are computed counts in parts
    of frames, so that the time that is left goes down evenly.
    """

    def __init__(
        self,
        task: str,
        num_frames: int | None,
        report: Report,
        *,
        first: int = 0,
        about: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin to count, and say so.

        Args:
            task: what is done, in a word.
            num_frames: of the target, if that is known.
            report: receives `Progress`.
            first: how many an earlier run has written.
            about: how many there are by length and rate, where `num_frames` is not known.
            clock: of seconds.
        """
        self._task, self._num_frames, self._report = task, num_frames, report
        self._first, self._clock = first, clock
        self._about = about
        self._bytes_per_frame: float | None = None
        self._meter: WorkMeter | None = None
        self._told: int | None = None  # of how many frames the last report has spoken
        self._done, self._ahead, self._said = first, 0.0, float(first)
        self._begun = self._last = clock()
        self._time_left = TimeLeft()
        self._tell()

    def start_clock(self) -> None:
        """Measure the pace from now on, as long as nothing is done: what was to load is loaded."""
        if self._said == self._first:
            self._begun = self._last = self._clock()

    def end_at(self, num_frames: int) -> None:
        """Note how many frames the target will have, which the source's end has told.

        Headers may claim more than there is. May be called by the thread that reads.
        """
        if num_frames != self._num_frames:
            self._num_frames, self._time_left = num_frames, TimeLeft()

    def follow(self, meter: "WorkMeter") -> None:
        """Be told by a model how much of the frames that come is computed."""
        self._meter = meter
        meter.on_work = self.work

    def finish(self) -> None:
        """Say that what is written is all, where that was not said before, and what took the time.

        The end may have become known after the last frame was told.
        """
        self.end_at(self._done)
        if self._told != self._done:
            self._tell()
        if self._meter is not None:
            stages = {name: round(spent, 3) for name, spent in self._meter.seconds.items()}
            seconds = round(self._clock() - self._begun, 3)
            num_frames = self._done - self._first
            self._report(TimeSpent(seconds=seconds, frames=num_frames, stages=stages))

    def count(self, num_done: int, *, bytes_per_frame: float | None = None) -> None:
        """Say that so many frames of the target are written.

        Args:
            num_done: frames.
            bytes_per_frame: of those that are coded, in the mean; None: unknown.
        """
        self._done, self._bytes_per_frame = num_done, bytes_per_frame
        self._tell()

    def work(self, ahead: float) -> None:
        """Note how much of the frames after these is done, as a number of frames."""
        self._ahead = ahead
        is_more = self._done + ahead > self._said
        if is_more and self._clock() >= self._last + PAUSE:
            self._tell()

    @property
    def pace(self) -> float | None:
        """Seconds for each frame of this run; None where it was too short to tell."""
        num_frames, seconds = self._done - self._first, self._clock() - self._begun
        if num_frames < FEWEST_FRAMES or seconds < FEWEST_SECONDS:
            return None
        return seconds / num_frames

    def _tell(self) -> None:
        self._last = self._clock()
        self._said = max(self._said, self._done + self._ahead)
        seconds = self._last - self._begun
        left = None
        self._told = num_frames = self._num_frames  # once: the thread that reads may change it
        total = self._about if num_frames is None else num_frames
        if total is not None and self._said > self._first and seconds > 0:
            missing = max(total - self._said, 0.0)
            left = self._time_left.update(seconds, missing * seconds / (self._said - self._first))
        per_frame = self._bytes_per_frame
        self._report(
            Progress(
                stage=self._task,
                frame=self._done,
                num_frames=num_frames,
                seconds=seconds,
                first=self._first,
                ahead=round(self._said - self._done, 3),
                left=left,
                about=self._about if num_frames is None else None,
                bytes_about=round(total * per_frame) if total and per_frame else None,
            )
        )


class TimeLeft:
    """The time to the end, without jumps: it goes down with the clock, and is drawn to the pace.

    Between clips there is work that does not count as frames, such as finding motion. The pace of
    the whole run goes up and down with it; the time that is told should not.
    """

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._at = 0.0
        self._left: float | None = None

    def update(self, seconds: float, by_pace: float) -> float:
        """Return the seconds that are left.

        Args:
            seconds: since the work began.
            by_pace: what would be left at the pace of the whole run; 0 is the end.
        """
        if self._left is None or by_pace == 0:
            self._left = by_pace
        else:
            passed = seconds - self._at
            expected = max(self._left - passed, 0.0)
            weight = -math.expm1(-passed / (SHARE_OF_TIME * seconds))
            self._left = expected + weight * (by_pace - expected)
        self._at = seconds
        return self._left


class WorkMeter:
    """What is computed of the clip at hand, as a number of frames that are not yet given out.

    Latents are sampled in steps, and then frames are decoded, of one region after the other. How
    much of the time sampling takes is guessed at first, and then measured.

    on_work: is called with that number whenever it changes.
    seconds: that all clips have taken so far, by stage: `read` until a clip is there, with what is
        kept of the one before, `sample`, `decode`, `color`, and `write` until a frame is taken.
    synchronize: waits for the device, before a clock is read; whoever measures stages sets it.
    """

    def __init__(self, num_steps: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with a guess.

        Args:
            num_steps: of the sampler.
            clock: of seconds.
        """
        self.on_work: Callable[[float], None] = lambda _: None
        self.synchronize: Callable[[], None] = lambda: None
        self.seconds = dict.fromkeys(("read", *MODEL_STAGES, "write"), 0.0)
        self._num_steps, self._clock = num_steps, clock
        self._share = num_steps / (num_steps + STEPS_A_FRAME)
        self._num_frames = self._num_regions = 1
        self._given = self._regions = self._steps = self._frames = 0
        self._begun = self._sampled = self._marked = clock()

    def begin_clip(self, num_frames: int, num_regions: int) -> None:
        """Work on a clip begins."""
        self._num_frames, self._num_regions = num_frames, num_regions
        self._given = self._regions = self._steps = self._frames = 0
        self._begun = self._sampled = self._mark("read")

    def step(self) -> None:
        """One step of the sampler is done."""
        self._steps += 1
        self._sampled = self._mark("sample")
        self._tell()

    def decode(self) -> None:
        """One frame, or what a region holds of it, is decoded."""
        self._frames += 1
        now = self._mark("decode")
        if self._frames == self._num_frames:
            if now > self._begun and self._steps:
                self._share = (self._sampled - self._begun) / (now - self._begun)
            self._regions, self._steps, self._frames, self._begun = self._regions + 1, 0, 0, now
        self._tell()

    def give(self) -> None:
        """One frame is given out."""
        self._given += 1
        self._mark("color")
        self._tell()

    def take(self) -> None:
        """Whoever was given a frame asks for the next."""
        self._mark("write")

    def _mark(self, stage: str) -> float:
        """Count the time since the last mark as that of a stage, and return the time."""
        self.synchronize()
        now = self._clock()
        self.seconds[stage] += now - self._marked
        self._marked = now
        return now

    def _tell(self) -> None:
        sampled = min(self._steps / self._num_steps, 1)
        decoded = self._frames / self._num_frames
        here = self._share * sampled + (1 - self._share) * decoded
        done = self._num_frames * (self._regions + here) / self._num_regions
        self.on_work(max(done - self._given, 0))
