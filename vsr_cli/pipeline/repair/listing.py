"""What would be repaired, told without doing it."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from vsr_cli.config import UpscaleConfig
from vsr_cli.events import Report
from vsr_cli.media.reading.reader import open_video
from vsr_cli.pipeline.repair.gaps import Gap, GapFinder, check_listed, report_absent
from vsr_cli.repair_config import FillConfig


@dataclass(frozen=True, kw_only=True)
class FoundGap:
    """Frames in a row that would be made anew.

    first, last: their indices, from 0, both included.
    start: seconds, of the first of them on the source's clock.
    reasons: why: `listed`, `damaged`, `black` or `frozen`.
    """

    first: int
    last: int
    start: Fraction
    reasons: tuple[str, ...]


def list_gaps(source: Path, config: UpscaleConfig, report: Report) -> Iterator[FoundGap]:
    """Read a source to its end, and give what `Fill` would replace.

    Args:
        source: as for every job.
        config: what to look for, and how the source is read.
        report: receives what there is to know of the source.

    Raises:
        ConfigError: frames are listed that it does not have.
        InputError: it cannot be read.
    """
    fill = config.fill or FillConfig()
    finder, num_frames = GapFinder(fill), 0
    with open_video(source, config.input) as video:
        check_listed(fill, video.info)
        for found in finder.split(video.frames(report=report), 0):
            num_frames += len(found.frames) if isinstance(found, Gap) else 1
            if isinstance(found, Gap):
                frame = found.frames[0]
                yield FoundGap(
                    first=found.first,
                    last=found.first + len(found.frames) - 1,
                    start=frame.pts * frame.time_base - video.info.origin,
                    reasons=tuple(sorted(set(found.reasons))),
                )
    report_absent(fill, num_frames, report)
