"""Counts, times and sizes as people write them."""

from vsr_cli.counting import counted
from vsr_cli.events import Progress


def phase(event: Progress) -> str:
    """What is being done, in a word; when every frame is written, the file is put together."""
    is_last = event.num_frames is not None and event.num_frames <= event.frame > 0
    return "finishing" if is_last and event.unit == "frames" else event.stage


def crew(event: Progress) -> str:
    """Who is at work, and how many units are done; empty where a job is not shared."""
    if (found := event.crew) is None:
        return ""
    lost = f" ({found.lost} lost)" if found.lost else ""
    units = f"{found.units_done} of {counted(found.units, 'unit')}"
    return f"{units}, {counted(found.alive, 'worker')}{lost}"


def percent(event: Progress) -> str:
    """How much is done, the frames that an earlier run has written among them."""
    if not (total := event.num_frames or event.about):
        return ""
    return f"{min(int(100 * (event.frame + event.ahead) / total), 100)} %"


def count(event: Progress) -> str:
    """Frames done, and of how many."""
    total = event.num_frames or (f"~{event.about}" if event.about else "")
    return f"{event.frame}/{total}" if total else f"{event.frame}"


def frames_per_second(event: Progress) -> float | None:
    """The pace of this run; None before anything is done."""
    num_frames = event.frame + event.ahead - event.first
    return num_frames / event.seconds if num_frames > 0 and event.seconds > 0 else None


def rate(event: Progress) -> str:
    """Frames per second, or seconds per frame where that is the larger number."""
    fps = frames_per_second(event)
    if not fps:
        return ""
    one = event.unit.removesuffix("s")
    return f"{fps:.1f} {event.unit}/s" if fps >= 1 else f"{1 / fps:.1f} s/{one}"


def seconds_left(event: Progress) -> float | None:
    """Seconds to the end; None before anything is done, or without a count."""
    if event.left is not None:
        return round(event.left, 1)
    fps = frames_per_second(event)
    if not event.num_frames or not fps:
        return None
    return round(max(event.num_frames - event.frame - event.ahead, 0) / fps, 1)


def time_left(event: Progress) -> str:
    """The time to the end at the pace so far, for people; empty where it is not known."""
    seconds = seconds_left(event)
    return "" if seconds is None else f"{duration(seconds)} left"


def size_about(event: Progress) -> str:
    """What the coded picture will take, for people; empty where it is not known."""
    return "" if event.bytes_about is None else f"~{file_size(event.bytes_about)}"


def frame_count(num_frames: int | None) -> str:
    """How many frames a video has; None: that is not known."""
    return "number of frames unknown" if num_frames is None else counted(num_frames, "frame")


def duration(seconds: float) -> str:
    """A time as people write it: `8 s`, `3:05`, `1:03:05`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{rest:02}"
    return f"{minutes}:{rest:02}" if minutes else f"{rest} s"


def file_size(num_bytes: int) -> str:
    """A size as people write it: `812 kB`, `12.4 MB`, `1.3 GB`."""
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if num_bytes >= size:
            return f"{num_bytes / size:.1f} {unit}"
    return f"{max(num_bytes / 1e3, 1):.0f} kB"
