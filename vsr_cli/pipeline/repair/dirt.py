"""Dirt on film, replaced by what the frames before and after show in its place."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vsr_cli.counting import counted
from vsr_cli.events import Note, Report
from vsr_cli.media.frame import Frame, VideoInfo
from vsr_cli.models.flow import DisFlow
from vsr_cli.ops.dirt import find_dirt, without_things
from vsr_cli.ops.fill import grow
from vsr_cli.ops.propagate import complete_motion
from vsr_cli.ops.shots import is_cut
from vsr_cli.ops.warp import backward_warp
from vsr_cli.pipeline.repair.part import feathered, read_part, write_part
from vsr_cli.pipeline.repair.planes import luma_of
from vsr_cli.pipeline.repair.stage import Entry, Stage
from vsr_cli.pipeline.repair.windows import Rectangle
from vsr_cli.pipeline.repair.workers import workers
from vsr_cli.pipeline.thumbnail import thumbnail
from vsr_cli.repair_config import DirtConfig

_LEAST, _MOST = 8 / 255, 32 / 255  # thresholds at levels 1 and 0
_MOST_UNREST = 0.24  # share of what is around where motion fails, at level 1
_GROWN, _FEATHER = 2, 1  # pixels around dirt that it has touched; softened rim
_LOOKS = 2  # the second one without the motion that dirt has spoilt
_AHEAD = 2  # frames in work for each that is waited for


@dataclass(frozen=True)
class Cleaned:
    """A frame without its dirt; `share` of it was dirt, and left alone where that is too much."""

    frame: Frame
    share: float


class Dirt(Stage):
    """Replaces specks that are there for one frame; all other samples stay what they are.

    The first and the last frame of a shot have one neighbour only, and are left as they are.
    """

    name = "dirt"
    reach_back = 1
    reach_ahead = 1

    def __init__(
        self, config: DirtConfig, info: VideoInfo, report: Report, *, scene_cut: bool = True
    ) -> None:
        """Nothing is read yet.

        Args:
            config: the user's choices.
            info: of the source.
            report: receives `W_DIRT` and `W_DIRT_LEFT` at the end.
            scene_cut: whether to look for cuts.
        """
        super().__init__()
        self._config, self._report, self._scene_cut = config, report, scene_cut
        self._threshold = _MOST - (_MOST - _LEAST) * config.level
        self._unrest = _MOST_UNREST * config.level
        self._flow = DisFlow(num_threads=1)
        self.num_bytes = 60 * 4 * info.height * info.width * _AHEAD
        self.num_cleaned = self.num_left = 0

    def run(self, frames: Iterator[Frame], entry: Entry) -> Iterator[Frame]:
        """See `Stage.run`; every frame in gives one out."""
        if "counts" in entry.tensors:
            self.num_cleaned, self.num_left = entry.tensors["counts"].tolist()
        with workers() as pool:
            given = self._cleaned(pool, frames)
            for index, cleaned in enumerate(given, entry.taken):
                if index < entry.given:
                    continue
                counts = torch.tensor([self.num_cleaned, self.num_left])
                self._keep(Entry(index, max(0, index - 1), {"counts": counts}))
                is_left = cleaned.share > self._config.most
                self.num_cleaned += cleaned.share > 0 and not is_left
                self.num_left += is_left
                yield cleaned.frame
        self._sum_up()

    def _cleaned(self, pool: Executor, frames: Iterator[Frame]) -> Iterator[Cleaned]:
        """Every frame without its dirt, some of them in work at once."""
        waiting: deque[Future[Cleaned]] = deque()
        before: Frame | None = None  # that the one in the middle may be compared with
        middle: Frame | None = None
        motion: Future[tuple[Tensor, Tensor]] | None = None  # from `before` to `middle`
        for frame in frames:
            following = None
            if middle is not None:
                is_new = self._scene_cut and is_cut(thumbnail(middle), thumbnail(frame))
                after = None if is_new else frame
                if after is not None:
                    following = pool.submit(self._measure, middle, after)
                waiting.append(pool.submit(self._clean, before, middle, after, motion, following))
                before = None if is_new else middle
            middle, motion = frame, following
            while len(waiting) > _AHEAD:
                yield waiting.popleft().result()
        if middle is not None:
            waiting.append(pool.submit(self._clean, before, middle, None, motion, None))
        for cleaned in waiting:
            yield cleaned.result()

    def _measure(self, frame: Frame, following: Frame) -> tuple[Tensor, Tensor]:
        """Motion between two frames, forward and backward, (1, 2, H, W) each."""
        pair = torch.stack((luma_of(frame), luma_of(following)), dim=1) * 2 - 1
        forward, backward = (x[0] for x in self._flow(pair.expand(-1, -1, 3, -1, -1)))
        return forward, backward

    def _clean(
        self,
        before: Frame | None,
        frame: Frame,
        after: Frame | None,
        motion: "Future[tuple[Tensor, Tensor]] | None",
        following: "Future[tuple[Tensor, Tensor]] | None",
    ) -> Cleaned:
        """One frame, by those before and after it; both were submitted earlier than this."""
        if before is None or after is None or motion is None or following is None:
            return Cleaned(frame, 0.0)
        whole = Rectangle(0, 0, *frame.size)
        picture, earlier, later = (read_part(x, whole) for x in (frame, before, after))
        (to_frame, to_before), (to_after, from_after) = motion.result(), following.result()
        none = torch.zeros_like(picture[:, :1])
        hole = none
        for _ in range(_LOOKS):
            _, back = complete_motion(to_frame, to_before, none, hole)
            ahead, _ = complete_motion(to_after, from_after, hole, none)
            earlier_here = backward_warp(earlier, back, look_up="bicubic")
            later_here = backward_warp(later, ahead, look_up="bicubic")
            dirt = find_dirt(picture, earlier_here, later_here, self._threshold, self._unrest)
            share = float(dirt.mean())
            if not 0 < share <= self._config.most:
                return Cleaned(frame, share)
            hole = grow(dirt, _GROWN)
        found = (earlier_here + later_here) / 2
        dirt = without_things(dirt, picture, found, (earlier_here, later_here))
        share = float(dirt.mean())
        if not share:
            return Cleaned(frame, 0.0)
        hole = grow(dirt, _GROWN)
        planes = tuple(plane.copy() for plane in frame.planes)
        write_part(planes, frame.layout, whole, found.clamp(0, 1), feathered(hole, _FEATHER))
        return Cleaned(replace(frame, planes=planes), share)

    def _sum_up(self) -> None:
        if self.num_cleaned:
            text = f"dirt was taken off {counted(self.num_cleaned, 'frame')}"
            self._report(Note(code="W_DIRT", text=text))
        if self.num_left:
            one = "frame is left as it was: more of it"
            many = "frames are left as they were: more of them"
            text = (
                f"{counted(self.num_left, one, many)} than {self._config.most:.0%} looked like "
                "dirt, as flashes and fast motion do"
            )
            self._report(Note(code="W_DIRT_LEFT", text=text))
