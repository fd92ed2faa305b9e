"""Frames that are missing, made of those before and after them."""

from collections import Counter
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from vsr_cli.counting import counted
from vsr_cli.events import Note, Report
from vsr_cli.media.frame import Frame, VideoInfo
from vsr_cli.models.flow import DisFlow
from vsr_cli.ops.shots import is_cut
from vsr_cli.pipeline.repair.gaps import Gap, GapFinder, report_absent
from vsr_cli.pipeline.repair.pair import Pair, are_alike, bytes_of
from vsr_cli.pipeline.repair.stage import Entry, Stage
from vsr_cli.pipeline.thumbnail import thumbnail
from vsr_cli.repair_config import FillConfig

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
            report: receives `W_FILLED`, `W_FILL_FAR`, `W_FILL_IDLE`, `W_REPEATS_KEPT` and
                `W_FRAMES_ABSENT` at the end.
            scene_cut: whether to look for cuts.
        """
        super().__init__()
        self._config, self._report, self._scene_cut = config, report, scene_cut
        finder = GapFinder(config)
        self.reach_back, self.reach_ahead = finder.reach_back, finder.reach_ahead + finder.most
        self._flow = DisFlow(is_fine=True)
        self.num_bytes = bytes_of(info, self._flow, num_frames=self.reach_ahead + 2)
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
        report_absent(self._config, index, self._report)

    def _tensors(self) -> dict[str, Tensor]:
        return {"counts": torch.tensor([self.counts[name] for name in _COUNTED])}

    def _fill(self, gap: Gap) -> Sequence[Frame]:
        """What is shown in the place of a gap's frames, at their times."""
        before, after = gap.before, gap.after
        if before is None or after is None or not are_alike(before, after):
            self.counts["far"] += len(gap.frames)
            return gap.frames
        if self._scene_cut and is_cut(thumbnail(before), thumbnail(after)):
            self.counts["far"] += len(gap.frames)
            return gap.frames
        pair = Pair.measured(before, after, self._flow)
        times = [_share(before, frame, after) for frame in gap.frames]
        motions = {time: pair.at(time) for time in times}
        is_far = not pair.explains(motions[min(times, key=lambda time: abs(time - 0.5))])
        self.counts["far" if is_far else "made"] += len(gap.frames)
        made = []
        for frame, time in zip(gap.frames, times, strict=True):
            if is_far:
                planes = (before if time <= 0.5 else after).planes
            else:
                planes = pair.mixed(motions[time])
            made.append(frame.with_planes(planes, before.layout, before.color))
        return made

    def _sum_up(self) -> None:
        made, far = self.counts["made"], self.counts["far"] + self.counts["long"]
        if not self.counts.total():
            self._report(Note(code="W_FILL_IDLE", text="no frame was found that has to be made"))
        if made:
            one = "frame was made of those before and after it"
            many = "frames were made of those before and after them"
            text = counted(made, one, many)
            self._report(Note(code="W_FILLED", text=text))
        if far:
            text = (
                f"{counted(far, 'frame')} could not be made, because nothing is near enough: what "
                "was there is shown, or the nearest in its place"
            )
            self._report(Note(code="W_FILL_FAR", text=text))
        if self.counts["pattern"]:
            frames = counted(self.counts["pattern"], "frame repeats", "frames repeat")
            text = (
                f"{frames} the one before in a pattern, as pull-down and animation do, which is "
                "left alone; `--cfr 24000/1001` takes pull-down out"
            )
            self._report(Note(code="W_REPEATS_KEPT", text=text))


def _share(before: Frame, frame: Frame, after: Frame) -> float:
    """Where a frame lies in time between two others, in (0, 1)."""
    start, time, stop = (x.pts * x.time_base for x in (before, frame, after))
    return float((time - start) / (stop - start))
