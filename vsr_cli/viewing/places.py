"""Parts of a source that a preview looks at, read so that their frames are those of the job."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from vsr_cli.config import InputConfig, UpscaleConfig
from vsr_cli.errors import ConfigError
from vsr_cli.events import Report, ignore
from vsr_cli.media.open import demux, open_container
from vsr_cli.media.reading.reader import open_video
from vsr_cli.repair_options import parse_time
from vsr_cli.viewing.footage import Footage

WARM_UP = 16  # frames, after which nothing of what came before is seen
LOOK_AHEAD = 2  # frames, of rates, dirt and frames that are filled
LOOK_FAR = 16  # of what is erased, which looks further than a preview can wait for
MOST_SECONDS = 10  # of a sample


@dataclass(frozen=True, kw_only=True)
class Place:
    """A part of a source.

    at: seconds after the first frame of the job, of the first frame that is shown.
    lead: seconds before that one, of the first frame that is read.
    length: seconds that are shown.
    num_frames: that are shown.
    num_read: that are read.
    reading: which part of the source, and which number its first frame has.
    """

    at: Fraction
    lead: Fraction
    length: Fraction
    num_frames: int
    num_read: int
    reading: InputConfig


def parse_places(value: str | Sequence[str | float], footage: Footage) -> list[Fraction]:
    """Read times, `1:30`, and shares of the length, `50%`; in seconds after the first frame.

    Times are those of the source's clock, shares are of the part that is read.

    Raises:
        ConfigError: one is neither, or lies before the part.
    """
    found = []
    for text in value.split(",") if isinstance(value, str) else [str(one) for one in value]:
        if match := re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%\s*", text):
            share = Fraction(match[1]) / 100
            if share > 1:
                raise ConfigError(f"`--at {text}` is not in the video", hint="use 0% to 100%")
            found.append(share * length_of(footage))
            continue
        time = (parse_time("--at", text.strip()) or Fraction(0)) - (
            footage.config.start or Fraction(0)
        )
        if time < 0:
            raise ConfigError(f"`--at {text}` lies before `--start`", hint="choose a later time")
        found.append(time)
    return found


def length_of(footage: Footage) -> Fraction:
    """Seconds; every frame is decoded where the container does not tell."""
    if footage.info.duration is not None:
        return footage.info.duration
    number = footage.num_frames
    if number is None:
        number = sum(1 for _ in footage.shots())
    return number * footage.step


def snap(times: Sequence[Fraction], length: Fraction, sample: Fraction) -> list[Fraction]:
    """The same, a sample before the end at the latest, each once.

    Raises:
        ConfigError: one lies behind the end.
    """
    if times and (latest := max(times)) > length:
        raise ConfigError(
            f"nothing is shown {float(latest):g} s after the start",
            why=f"the part that is read has {float(length):.6g} s",
            hint="choose an earlier `--at`, or a share of the length such as `90%`",
        )
    last = max(Fraction(0), length - sample)
    return sorted({min(time, last) for time in times})


def find_place(
    footage: Footage, at: Fraction, sample: Fraction, *, tail: int = 0, report: Report = ignore
) -> Place:
    """Look for the frames of a sample, and for those that have to be computed before them.

    Args:
        footage: of the whole job.
        at: seconds.
        sample: seconds that are shown; at least one frame is.
        tail: frames that repairs look ahead, which are read and not shown.
        report: receives what there is to know of that part.

    Raises:
        ConfigError: there is no such part.
    """
    step = footage.step
    begin = max(Fraction(0), at - WARM_UP * step)
    end = at + max(sample, step) - step / 2
    reading = _reading(footage, begin - step / 2, end + tail * step)
    part = replace(footage, config=reading)
    times = [shown.time for shown in part.shots(report)]
    if not times:
        raise ConfigError(f"nothing is shown at {float(at):g} s", hint="choose another `--at`")
    first = next((n for n, time in enumerate(times) if time >= at - step / 2), len(times) - 1)
    index = _index_of(footage, times[0])
    shown = [time for time in times[first:] if time < end] or times[first : first + 1]
    return Place(
        at=shown[0],
        lead=shown[0] - times[0],
        length=shown[-1] - shown[0] + step,
        num_frames=len(shown),
        num_read=len(times),
        reading=replace(reading, first_index=index),
    )


def tail_of(config: UpscaleConfig) -> int:
    """How many frames after a sample go into it, as far as they can be waited for."""
    if config.erase is not None:
        return LOOK_FAR
    is_filled = config.input.on_decode_error == "fill"
    return LOOK_AHEAD if config.fps or config.dirt or is_filled else 0


def _reading(footage: Footage, begin: Fraction, end: Fraction) -> InputConfig:
    """How to read what is shown between two times, in seconds after the first frame."""
    config = footage.config
    whole = replace(config, start=config.start or Fraction(0), frames=None)
    edge: Fraction | None = None
    if config.frames is None:
        with open_video(footage.path, whole) as video:
            edge = video.info.start
    if edge is None:  # frames without times, or counted ones
        rate, (first, last) = footage.info.rate, config.frames or (0, None)
        start, stop = (first + max(0, round((t + footage.step / 2) * rate)) for t in (begin, end))
        stop = max(stop, start + 1)
        frames = start, stop if last is None else min(stop, last)
        return replace(config, frames=frames, start=None, stop=None, duration=None)
    begun = (config.start or Fraction(0)) + footage.zero - edge  # of the first frame, as one types
    return replace(config, start=max(Fraction(0), begun + begin), stop=begun + end, duration=None)


def _index_of(footage: Footage, time: Fraction) -> int:
    """The number of the frame that is shown at a time, which noise depends on."""
    if footage.info.is_vfr is False or footage.config.frames is not None:
        return round(time * footage.info.rate)
    before, slack = 0, footage.step / 4
    with open_container(footage.path, footage.config) as container:
        stream = container.streams[footage.info.stream_index]
        for packet in demux(container, stream):
            if packet.pts is not None and packet.size:
                shown = packet.pts * (packet.time_base or 0) - footage.zero
                before += -slack < shown < time - slack
    return before
