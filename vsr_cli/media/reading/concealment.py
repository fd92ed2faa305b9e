"""Pictures that do not decode: what is shown in their places."""

import heapq
from collections.abc import Iterator

from av.video.frame import VideoFrame

from vsr_cli.config import OnDecodeError
from vsr_cli.errors import InputError
from vsr_cli.media.reading.statistics import ReadStatistics


class ErrorConcealer:
    """Fills the places of lost pictures, so that count and times survive.

    Every packet says when its picture will be shown. Damage lasts from a packet that does not
    decode to the next key frame: whatever was announced meanwhile and does not come is lost, and
    the picture before it is shown again.
    """

    def __init__(self, policy: OnDecodeError, statistics: ReadStatistics) -> None:
        """Begin with nothing announced.

        Args:
            policy: `repeat` does as above, and so does `fill`, for others to replace; `skip` leaves
                lost pictures out, `stop` gives up.
            statistics: counts what is damaged and what is repeated.
        """
        self._policy, self._statistics = policy, statistics
        self._expected: list[int] = []  # times, a heap
        self._last: VideoFrame | None = None
        self._is_damaged = False

    def expect(self, time: int | None) -> None:
        """A packet whose picture will be shown at `time`, in ticks, goes into the decoder."""
        if time is not None and self._policy in ("repeat", "fill"):
            heapq.heappush(self._expected, time)

    def mark_lost(self, why: str) -> None:
        """A packet did not decode, or a picture came with holes.

        Raises:
            InputError: that is where one wants to stop.
        """
        self._statistics.num_damaged += 1
        self._is_damaged = True
        if self._policy == "stop":
            raise InputError(
                f"the source is damaged after frame {self._statistics.num_frames}",
                why=why,
                hint="`--on-decode-error repeat` goes on, and shows the frame before again",
            )

    def conceal(self, picture: VideoFrame | None) -> Iterator[VideoFrame]:
        """What is shown before the next picture in the places of lost ones; None is the end."""
        end = None if picture is None else picture.pts
        if picture is not None and end is None:
            return  # no times, no places
        while self._expected and (end is None or self._expected[0] <= end):
            time = heapq.heappop(self._expected)
            if time == end or not self._is_damaged or self._last is None:
                continue
            if self._last.pts is not None and time > self._last.pts:
                self._last.pts = time
                self._statistics.num_repeated += 1
                self._statistics.stand_ins.add(time)
                yield self._last
        self._last = picture
        if picture is not None and picture.key_frame and not picture.is_corrupt:
            self._is_damaged = False
