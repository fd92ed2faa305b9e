"""What a comparison leaves: a video, one picture, or a page."""

import io
import math
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain
from pathlib import Path

import torch
from PIL import Image

from vsr_cli.config import OutputConfig
from vsr_cli.counting import counted
from vsr_cli.errors import ConfigError
from vsr_cli.events import Note, Report, ignore
from vsr_cli.media.frame import VideoInfo
from vsr_cli.media.reading.reader import open_video
from vsr_cli.media.writing.output_plan import plan_output
from vsr_cli.media.writing.writer import VideoWriter
from vsr_cli.ops.yuv import to_planes
from vsr_cli.pixels import ColorTags, Matrix, PixelLayout, Range
from vsr_cli.viewing.align import Moment
from vsr_cli.viewing.drawer import Drawer
from vsr_cli.viewing.footage import Footage, Picture
from vsr_cli.viewing.page import MEGABYTE, StackedVideo, Stills
from vsr_cli.viewing.stack import Stack, TooLargeError

SAMPLE = Fraction(2)  # seconds
_FEWEST = 3  # frames of a page
_MARGIN = 0.85  # of what would just fit

Read = Callable[..., Generator[Moment, None, None]]  # keyword `start`: see `moments`


def write_video(
    target: Path, drawer: Drawer, frames: Iterable[Moment], *, overwrite: bool
) -> tuple[int, int]:
    """Draw a video, with the times of the first one and without sound.

    Args:
        target: of any container that can be written.
        drawer: draws it.
        frames: in order.
        overwrite: whether a target that exists is replaced.

    Returns:
        (height, width) of it.

    Raises:
        OutputError: the target exists, cannot be written, or names no container.
    """
    remaining = iter(frames)
    leading = drawer.videos[drawer.lead]
    first = next(remaining, None)
    if first is None:
        raise ConfigError(
            "the videos share no time", hint="choose another `--offset`, or other parts"
        )
    picture = drawer.draw(first)
    size = picture.shape[0], picture.shape[1]
    info = _drawn_info(leading.info, size, leading.zero)
    config = OutputConfig(
        audio="none",
        subs="none",
        chapters=False,
        attachments=False,
        metadata=False,
        overwrite=overwrite,
    )
    plan = plan_output(target, leading.path, info, size, config, report=ignore)
    coding = plan.coding
    with (
        open_video(leading.path, leading.config) as source,
        VideoWriter(plan, source.side_streams, report=ignore) as writer,
    ):
        for moment in chain([first], remaining):
            picture = drawer.draw(moment)
            rgb = torch.from_numpy(picture).permute(2, 0, 1).float() / 127.5 - 1
            planes = tuple(p.numpy() for p in to_planes(rgb, coding.layout, coding.color))
            header = moment.leading.frame
            writer.write(header.with_planes(planes, coding.layout, coding.color))
        writer.finish()
    return size


def check_video(target: Path, leading: Footage, *, overwrite: bool) -> None:
    """Refuse a target that could not be written, before anything is read.

    Raises:
        OutputError: as `write_video`.
    """
    size = (48, 64)
    info = _drawn_info(leading.info, size, leading.zero)
    plan_output(target, leading.path, info, size, OutputConfig(overwrite=overwrite), report=ignore)


def _drawn_info(info: VideoInfo, size: tuple[int, int], zero: Fraction) -> VideoInfo:
    """What is true of pictures that are drawn, BT.709 in 8 bits, at the times of `info`."""
    color = ColorTags(matrix=Matrix.BT709, range=Range.LIMITED, primaries=1, transfer=1)
    return replace(
        info,
        height=size[0],
        width=size[1],
        origin=zero,
        timecode=None,
        pix_fmt="yuv420p",
        layout=PixelLayout(shift_x=1, shift_y=1),
        tags=color,
        color=color,
        color_reason=None,
        sample_aspect_ratio=Fraction(1),
        rotation=0,
        display_matrix=None,
        interlaced=False,
        field_order="progressive",
        has_alpha=False,
        hdr=None,
        side_data=frozenset(),
        audio=(),
    )


def find_moment(read: Read, at: Fraction) -> Moment:
    """What is shown at a time.

    Args:
        read: gives moments.
        at: seconds.

    Raises:
        ConfigError: nothing is.
    """
    found: Moment | None = None
    for start in dict.fromkeys((max(Fraction(0), at - SAMPLE), Fraction(0))):
        with closing(read(start=start)) as frames:
            for moment in frames:
                if moment.time > at + Fraction(1, 500):
                    break
                found = moment
        if found is not None:
            break
    if found is None or (found.time > 0 and at > found.leading.end + SAMPLE):
        raise ConfigError(
            f"nothing is shown at {float(at):g} s by all of them",
            hint="choose another `--at`, or another `--offset`",
        )
    return found


def as_png(picture: Picture) -> bytes:
    """A picture as a file."""
    data = io.BytesIO()
    Image.fromarray(picture).save(data, "PNG")
    return data.getvalue()


@dataclass(frozen=True, kw_only=True)
class PageMedia:
    """The pictures of a page.

    times: of each instant, in seconds.
    media: as `Page` takes it.
    """

    times: Sequence[float]
    media: StackedVideo | Stills


def still_media(drawer: Drawer, frames: Sequence[Moment], most_mb: float) -> PageMedia:
    """Pictures for a page without any loss.

    Raises:
        ConfigError: they take too much.
    """
    stills = [[as_png(picture) for picture in drawer.place(moment)] for moment in frames]
    num_bytes = sum(len(png) for row in stills for png in row)
    if num_bytes > _most_bytes(most_mb):
        raise _too_large(num_bytes, most_mb)
    return PageMedia(times=[float(moment.time) for moment in frames], media=stills)


def video_media(
    drawer: Drawer, read: Read, length: Fraction, most_mb: float, report: Report
) -> PageMedia:
    """Pictures for a page as one video: all frames, or samples where these would take too much.

    Args:
        drawer: places pictures.
        read: gives moments.
        length: seconds of the first video.
        most_mb: of the page.
        report: receives `W_PAGE_SAMPLED`.

    Raises:
        ConfigError: even a few frames take too much.
    """
    stack = Stack(len(drawer.videos), drawer.canvas.shown_size)
    parts: Sequence[Part] = [Part(Fraction(0), None)]
    step = drawer.videos[0].step
    while True:
        times: list[float] = []
        try:
            media = stack.encode(_instants(drawer, read, parts, times), _most_bytes(most_mb))
        except TooLargeError as error:
            fit = int(_MARGIN * _most_bytes(most_mb) * error.num_frames / error.num_bytes)
            known = [part.length for part in parts if part.length is not None]
            if known:
                fit = min(fit, int(_MARGIN * sum(known) / step))
            if fit < _FEWEST:
                raise _too_large(error.num_bytes, most_mb) from None
            parts = spread(length, fit * step)
            continue
        if not times:
            raise ConfigError("the videos share no time", hint="choose another `--offset`")
        if len(parts) > 1 or parts[0].length is not None:
            seconds = sum(part.length or 0 for part in parts)
            text = f"all frames would take more than {most_mb:g} MB: the page shows "
            text += (
                f"{counted(len(parts), 'sample')}, {float(seconds):.1f} s of {float(length):.1f} s"
            )
            report(Note(code="W_PAGE_SAMPLED", text=text))
        return PageMedia(times=times, media=media)


@dataclass(frozen=True)
class Part:
    """A part of the first video, in seconds; a length of None is all of it."""

    start: Fraction
    length: Fraction | None


def spread(length: Fraction, most: Fraction) -> list[Part]:
    """Samples of 2 s, or three shorter ones, that take `most` seconds together, far apart."""
    number = max(3, math.floor(most / SAMPLE))
    each = min(SAMPLE, most / number)
    room = length / number
    return [Part(room * k + max(Fraction(0), room - each) / 2, each) for k in range(number)]


def _instants(
    drawer: Drawer, read: Read, parts: Sequence[Part], times: list[float]
) -> Iterator[tuple[Fraction, Sequence[Picture]]]:
    """What is shown in these parts, each instant for as long as it is; `times` is filled."""
    for part in parts:
        held: Moment | None = None
        with closing(read(start=part.start)) as frames:
            for moment in frames:
                if part.length is not None and moment.time >= part.start + part.length:
                    break
                if held is not None:
                    times.append(float(held.time))
                    yield moment.time - held.time, drawer.place(held)
                held = moment
        if held is not None:
            times.append(float(held.time))
            yield held.leading.end - held.time, drawer.place(held)


def _most_bytes(most_mb: float) -> int:
    """Bytes of pictures in a page of that size; in text, three take four."""
    return int(0.75 * most_mb * MEGABYTE)


def _too_large(num_bytes: int, most_mb: float) -> ConfigError:
    return ConfigError(
        f"a page of {most_mb:g} MB is too small for a few of these pictures",
        why=f"they take {4 * num_bytes / 3 / MEGABYTE:.1f} MB",
        hint="cut out a piece with `--crop`, or raise `--most-mb`",
    )
