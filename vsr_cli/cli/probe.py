"""`vsr probe`: what was understood of a source, and what would be made of it."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vsr_cli import api
from vsr_cli.cli.amounts import frame_count
from vsr_cli.cli.console import print_result, printable
from vsr_cli.cli.failures import report_failures
from vsr_cli.cli.json_events import write_event
from vsr_cli.cli.options import ResultAsJson
from vsr_cli.cli.options_all import with_job_options
from vsr_cli.config import Deinterlace
from vsr_cli.options import Options
from vsr_cli.pixels import (
    HLG,
    MATRIX_NAMES,
    PQ,
    PRIMARIES_NAMES,
    RANGE_NAMES,
    TRANSFER_NAMES,
    ColorTags,
    Matrix,
)

if TYPE_CHECKING:
    from vsr_cli.media.frame import VideoInfo
    from vsr_cli.media.hdr import HdrMetadata
    from vsr_cli.media.writing.encoder_plan import EncoderPlan


@with_job_options
def probe(
    options: Options,
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", readable=False, help="Video to look at.")
    ],
    target: Annotated[
        Path | None,
        typer.Argument(
            readable=False, metavar="TARGET", help="Where it would go.", show_default="a `.mkv`"
        ),
    ] = None,
    *,
    as_json: ResultAsJson = False,
) -> None:
    """Show what SOURCE holds, how it is understood, and what TARGET would be."""
    with report_failures(as_json=as_json):
        found = api.probe(source, target or "out.mkv", **options)
        info, plan = found.info, found.output
        if as_json:
            values = describe_source(found)
            write_event("probe", {"source": source, **values, "output": describe_plan(plan)})
            return
        for line in lines_for_people(found, options.get("deinterlace")):
            print_result(printable(line))
        print_result(f"output: {plan.size[1]}x{plan.size[0]}, {plan.codec} {plan.pix_fmt}")
        for reason in plan.reasons:
            if reason != info.color_reason:  # said above
                print_result(printable(f"  {reason}"))


def describe_source(found: api.Probe) -> dict[str, object]:
    """All that is known, for programs; times in seconds, rates and ratios as fractions."""
    info = found.info
    return {
        "container": info.container,
        "duration": None if info.duration is None else float(info.duration),
        "origin": float(info.origin),
        "start": None if info.start is None else float(info.start),
        "stop": None if info.stop is None else float(info.stop),
        "timecode": info.timecode,
        "video": {
            "index": info.stream_index,
            "codec": info.codec,
            "size": (info.height, info.width),
            "pix_fmt": info.pix_fmt,
            "depth": info.layout.depth,
            "rate": info.rate,
            "num_frames": info.num_frames,
            "is_vfr": info.is_vfr,
            "tags": _colors(info.tags),
            "color": _colors(info.color),
            "color_reason": info.color_reason,
            "dynamic_range": dynamic_range(info),
            "hdr": asdict(info.hdr) if info.hdr else None,
            "side_data": sorted(info.side_data),
            "sample_aspect_ratio": info.sample_aspect_ratio,
            "rotation": info.rotation,
            "interlaced": info.interlaced,
            "field_order": info.field_order,
            "has_alpha": info.has_alpha,
        },
        "streams": [asdict(stream) for stream in found.streams],
        "num_chapters": found.num_chapters,
    }


def describe_plan(plan: "EncoderPlan") -> dict[str, object]:
    """What would be written, for programs."""
    return {
        "size": plan.size,
        "codec": plan.codec,
        "pix_fmt": plan.pix_fmt,
        "color": _colors(plan.color),
        "reasons": plan.reasons,
    }


def lines_for_people(found: api.Probe, deinterlace: Deinterlace | None) -> Iterator[str]:
    """The same as sentences, what is usual left out."""
    info = found.info
    length = "of unknown length" if info.duration is None else f"{float(info.duration):.3f} s"
    yield f"container: {info.container}, {length}"
    if info.start is not None or info.stop is not None:
        end = "the end" if info.stop is None else f"{float(info.stop):.3f} s"
        yield f"  read from {float(info.start or 0):.3f} s to {end} on its own clock"
    shape = "" if info.sample_aspect_ratio == 1 else f", pixels {info.sample_aspect_ratio}"
    yield f"picture: {info.width}x{info.height}{shape}, {info.codec} {info.pix_fmt}"
    spacing = {True: ", of uneven length", False: "", None: ", perhaps of uneven length"}
    yield f"  {float(info.rate):.6g} frames/s{spacing[info.is_vfr]}, {frame_count(info.num_frames)}"
    if info.timecode:
        yield f"  time code {info.timecode}"
    if turned := _turned(info):
        yield f"  players {turned}"
    if info.interlaced:
        done: dict[str | None, str] = {
            "off": "kept as they are",
            "field": "each made a frame of its own",
        }
        order = "" if info.field_order == "unknown" else f", {info.field_order} field first"
        yield f"  interlaced{order}: fields are {done.get(deinterlace or '', 'joined to frames')}"
    if info.has_alpha:
        yield "  with transparency"
    named = _colors(info.color)
    yield "colour: " + ", ".join(f"{key} {value}" for key, value in named.items())
    if info.color_reason:
        yield f"  {info.color_reason}"
    if dynamic_range(info) != "sdr":
        yield f"  HDR ({dynamic_range(info).upper()})"
    if info.hdr:
        yield from _hdr_lines(info.hdr)
    for stream in found.streams:
        words = (stream.codec or "unknown codec", stream.language, stream.title)
        yield f"{stream.kind} {stream.index}: " + ", ".join(word for word in words if word)
    if found.num_chapters:
        yield f"chapters: {found.num_chapters}"


def dynamic_range(info: "VideoInfo") -> str:
    """`pq`, `hlg` or `sdr`, by the transfer function."""
    return {PQ: "pq", HLG: "hlg"}.get(info.color.transfer, "sdr")


def _hdr_lines(hdr: "HdrMetadata") -> Iterator[str]:
    if hdr.max_luminance is not None and hdr.min_luminance is not None:
        yield (f"  mastered for {float(hdr.min_luminance):g} to {float(hdr.max_luminance):g} cd/m2")
    if hdr.max_cll or hdr.max_fall:
        yield f"  at most {hdr.max_cll} cd/m2, {hdr.max_fall} cd/m2 on average of a frame"


def _turned(info: "VideoInfo") -> str:
    """What players do to the picture by its display matrix; empty where they show it as it is."""
    matrix, degrees = info.display_matrix, abs(info.rotation)
    if matrix and matrix[0] * matrix[4] < matrix[1] * matrix[3]:
        return "mirror it" if degrees % 180 == 0 else "mirror and turn it"
    way = {True: "", False: " clockwise" if info.rotation < 0 else " counter-clockwise"}
    return f"turn it by {degrees} degrees{way[degrees == 180]}" if degrees else ""


def _colors(color: ColorTags) -> dict[str, str]:
    """Names for codes, as FFmpeg has them."""
    codes: dict[str, tuple[int, Mapping[str, int]]] = {
        "matrix": (color.matrix, {"rgb": Matrix.RGB, **MATRIX_NAMES}),
        "range": (color.range, RANGE_NAMES),
        "primaries": (color.primaries, PRIMARIES_NAMES),
        "transfer": (color.transfer, TRANSFER_NAMES),
    }
    return {kind: _name(code, names) for kind, (code, names) in codes.items()}


def _name(code: int, names: Mapping[str, int]) -> str:
    return next((name for name, known in names.items() if known == code), "unknown")
