"""Units of whole shots: parts of a video that are computed without each other, to the same bits.

All that goes from one frame to the next starts afresh where a shot starts, and noise is a function
of a frame's own index. So a part that starts with a shot is the same whoever computes it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any

from vsr_cli.pipeline.resume.folder import UNIT

FEWEST_FRAMES = 48  # in a unit but the last: shots that are shorter are gathered


def starts_unit(frame: int, unit_start: int) -> bool:
    """Whether the shot that starts with `frame` starts a unit, after one from `unit_start` on."""
    return frame - unit_start >= FEWEST_FRAMES


@dataclass(frozen=True, kw_only=True)
class Unit:
    """Some frames of the source, from a cut to a cut; or from within a shot, if that was asked for.

    entry: the frame with which its computing begins. It is `start`, or some frames before where no
        shot starts there: those are computed to warm up, and not kept.
    first_pts, last_pts: times of the frame at `entry` and of the last one, in units of the source's
        time base.
    first_crc, last_crc: of the samples of these two, which tell whether they were read again.
    """

    index: int
    start: int  # frames, half-open
    stop: int
    entry: int
    first_pts: int
    last_pts: int
    first_crc: int
    last_crc: int

    @property
    def num_frames(self) -> int:
        """How many frames it has."""
        return self.stop - self.start

    @property
    def folder_name(self) -> str:
        """Of its folder within that of the job."""
        return f"{UNIT}{self.index:06}"


@dataclass(frozen=True, kw_only=True)
class UnitTable:
    """All units of a job, as its manifest holds them.

    units: in order; together they are the whole source.
    is_seekable: whether frames are the same after a jump to their time. Else each unit is read from
        the source's start.
    notes: code and text of what the scan had to say of the source.
    config: the user's choices, as `config_text` writes them.
    """

    units: tuple[Unit, ...]
    is_seekable: bool
    notes: tuple[tuple[str, str], ...]
    config: str

    @property
    def num_frames(self) -> int:
        """Of the target."""
        return self.units[-1].stop

    def to_json(self) -> dict[str, object]:
        """The table as plain values, one list for each unit."""
        rows = [list(astuple(unit)[1:]) for unit in self.units]
        return {**vars(self), "units": rows}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "UnitTable":
        """Read what `to_json` gives.

        Raises:
            ValueError, KeyError, TypeError: it is something else.
        """
        names = [field.name for field in fields(Unit)][1:]
        units = tuple(
            Unit(index=index, **dict(zip(names, row, strict=True)))
            for index, row in enumerate(values["units"])
        )
        notes = tuple((code, text) for code, text in values["notes"])
        return cls(
            units=units, is_seekable=values["is_seekable"], notes=notes, config=values["config"]
        )


@dataclass(frozen=True)
class Shard:
    """Every `count`-th unit, from the one of this number on, which is counted from 1."""

    number: int
    count: int

    def of(self, units: Sequence[Unit]) -> list[Unit]:
        """Its own units."""
        return [unit for unit in units if unit.index % self.count == self.number - 1]
