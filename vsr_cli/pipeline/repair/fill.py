"""Frames that are missing, made of those before and after them."""

from collections import Counter
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from vsr_cli.config import FillConfig
from vsr_cli.events import Note, Report
from vsr_cli.media.frame import Frame, Plane, VideoInfo
from vsr_cli.models.flow import DisFlow
from vsr_cli.ops.interpolate import Between, between
from vsr_cli.ops.shots import is_cut
from vsr_cli.pipeline.repair.gaps import Gap, GapFinder
from vsr_cli.pipeline.repair.planes import luma_of, thumbnail, to_plane, to_tensor
from vsr_cli.pipeline.repair.stage import Entry, Stage

# Mean difference along the motion, as a share of that without it, above which the motion explains
# too little: cases that lost against a blend had 0.47 and more, those that won 0.44 and less.
_MOST_DISAGREEMENT = 0.45
_STILL = 1 / 255  # mean difference below which any way will do
_BETWEEN_ENTRIES = 32  # frames
_COUNTED = ("made", "far", "long", "pattern")


class Fill(Stage):
    """Replaces frames by what was between their neighbours; see `GapFinder` for which.

    Never across a cut, and where the motion explains nothing the nearer neighbour is shown.
    """

    name = "fill"

    def __init__(
        self, config: FillConfig, info: VideoInfo, report: Report, *, scene_cut: bool = True
    ) -> None:
        """Nothing is read yet.

        Args:
            config: what to replace.
            info: of the source.
            report: receives `W_FILLED`, `W_FILL_FAR` and `W_REPEATS_KEPT` at the end.
            scene_cut: whether to look for cuts.
        """
        super().__init__()
        self._config, self._report, self._scene_cut = config, report, scene_cut
        finder = GapFinder(config)
        self.reach_back, self.reach_ahead = finder.reach_back, finder.reach_ahead + finder.most
        self.num_bytes = _bytes_of(info, num_frames=self.reach_ahead + 2)
        self._flow = DisFlow()
        self.counts: Counter[str] = Counter()

    def run(self, frames: Iterator[Frame], entry: Entry) -> Iterator[Frame]:
        """See `Stage.run`; every frame in gives one out."""
        finder = GapFinder(self._config)
        if "counts" in entry.tensors:
            counts = zip(_COUNTED, entry.tensors["counts"].tolist(), strict=True)
            self.counts = Counter(dict(counts))
        kept = Counter({name: self.counts[name] for name in ("long", "pattern")})
        index = entry.taken
        next_entry = entry.given
        for found in finder.split(frames, index):
            # What was decided before `given` lacks what came before, and is not given.
            is_given = index >= entry.given
            if isinstance(found, Gap):
                if is_given:  # all of them: entries never lie within a gap
                    yield from self._fill(found)
                index += len(found.frames)
                continue
            if not is_given:
                finder.num_kept.clear()
            self.counts |= kept + finder.num_kept
            if index >= next_entry:
                self._keep(Entry(index, max(0, index - self.reach_back), self._tensors()))
                next_entry = index + _BETWEEN_ENTRIES
            if is_given:
                yield found
            index += 1
        self.counts |= kept + finder.num_kept
        self._sum_up()

    def _tensors(self) -> dict[str, Tensor]:
        return {"counts": torch.tensor([self.counts[name] for name in _COUNTED])}

    def _fill(self, gap: Gap) -> Sequence[Frame]:
        """What is shown in the place of a gap's frames, at their times."""
        before, after = gap.before, gap.after
        if before is None or after is None or not _are_alike(before, after):
            self.counts["far"] += len(gap.frames)
            return gap.frames
        if self._scene_cut and is_cut(thumbnail(before), thumbnail(after)):
            self.counts["far"] += len(gap.frames)
            return gap.frames
        earlier, later = luma_of(before), luma_of(after)
        pair = torch.stack((earlier[0], later[0]))[None] * 2 - 1  # (1, 2, 1, H, W)
        forward, backward = (flow[0] for flow in self._flow(pair.expand(-1, -1, 3, -1, -1)))
        times = [_share(before, frame, after) for frame in gap.frames]
        motions = {time: between(earlier, later, forward, backward, time) for time in times}
        middle = motions[min(times, key=lambda time: abs(time - 0.5))]
        is_still = float((earlier - later).abs().mean()) < _STILL
        is_far = middle.disagreement(earlier, later) > _MOST_DISAGREEMENT and not is_still
        self.counts["far" if is_far else "made"] += len(gap.frames)
        made = []
        for frame, time in zip(gap.frames, times, strict=True):
            if is_far:
                planes = (before if time <= 0.5 else after).planes
            else:
                planes = _mixed(motions[time], before, after)
            made.append(frame.with_planes(planes, before.layout, before.color))
        return made

    def _sum_up(self) -> None:
        made, far = self.counts["made"], self.counts["far"] + self.counts["long"]
        if made:
            text = f"{made} frames were made of those before and after them"
            self._report(Note(code="W_FILLED", text=text))
        if far:
            text = (
                f"{far} frames could not be made, because nothing is near enough: they are shown "
                "as they were, or the nearest in their place"
            )
            self._report(Note(code="W_FILL_FAR", text=text))
        if self.counts["pattern"]:
            text = (
                f"{self.counts['pattern']} frames repeat the one before in a pattern, as pull-down "
                "and animation do, and are left alone; `--cfr 24000/1001` takes pull-down out"
            )
            self._report(Note(code="W_REPEATS_KEPT", text=text))


def _mixed(motion: Between, before: Frame, after: Frame) -> tuple[Plane, ...]:
    depth = before.layout.depth
    pairs = zip(before.planes, after.planes, strict=True)
    mixed = (motion.mix(to_tensor(a, depth), to_tensor(b, depth)) for a, b in pairs)
    return tuple(to_plane(x, depth) for x in mixed)


def _are_alike(frame: Frame, other: Frame) -> bool:
    return (frame.layout, frame.color, frame.size) == (other.layout, other.color, other.size)


def _share(before: Frame, frame: Frame, after: Frame) -> float:
    """Where a frame lies in time between two others, in (0, 1)."""
    start, time, stop = (x.pts * x.time_base for x in (before, frame, after))
    return float((time - start) / (stop - start))


def _bytes_of(info: VideoInfo, *, num_frames: int) -> int:
    """Bytes of frames as they are decoded, and of making one."""
    shapes = info.layout.plane_shapes(info.height, info.width)
    samples = sum(height * width for height, width in shapes)
    making = 40 * 4 * info.height * info.width  # float32 planes of flow and its look-ups
    return num_frames * samples * (1 if info.layout.depth == 8 else 2) + making
