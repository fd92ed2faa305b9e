"""What a file says about itself: titles, languages, chapters, time code."""

from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING

import av
from av.container import InputContainer, OutputContainer
from av.stream import Stream
from av.video.stream import VideoStream

from vsr_cli.media.frame import VideoInfo

if TYPE_CHECKING:
    from av.container.core import Chapter

# Written by each muxer anew, or true of the old picture only.
_STALE_KEYS = frozenset(
    {
        *("major_brand", "minor_version", "compatible_brands", "encoder", "duration", "vendor_id"),
        *("alpha_mode", "bps", "number_of_frames", "number_of_bytes", "handler_name"),
        *("_statistics_tags", "_statistics_writing_app", "_statistics_writing_date_utc"),
    }
)
# QuickTime numbers its languages, and FFmpeg knows these by another of their names only.
_MOV_LANGUAGES = {
    **{"deu": "ger", "nld": "dut", "swe": "sve", "ell": "gre", "isl": "ice", "zho": "chi"},
    "fre": "fra",
}


def copyable_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """The entries that are still true of a copy."""
    return {
        key: value
        for key, value in metadata.items()
        if key.lower().split("-")[0] not in _STALE_KEYS
    }


def copy_stream_metadata(
    source: Stream, copy: Stream, output: OutputContainer, *, metadata: bool
) -> None:
    """Give a stream the disposition, the language and, with `metadata`, all tags of another."""
    language = source.metadata.get("language", "")
    if metadata:
        copy.metadata.update(copyable_metadata(source.metadata))
    if output.format.name == "mov":
        language = _MOV_LANGUAGES.get(language, language)
    if language:
        copy.metadata["language"] = language
    copy.disposition = source.disposition


def trimmed_chapters(source: InputContainer, info: VideoInfo) -> "list[Chapter]":
    """The chapters of a source on the clock of the output, those of the part that is read."""
    chapters: list[Chapter] = []
    for chapter in source.chapters():
        tick = chapter["time_base"] or Fraction(1, av.time_base)
        start, end = chapter["start"] * tick, chapter["end"] * tick
        start = max(start, start if info.start is None else info.start)
        end = min(end, end if info.stop is None else info.stop)
        if start < end:
            shifted: Chapter = {
                **chapter,
                "id": len(chapters),
                "start": round((start - info.origin) / tick),
                "end": round((end - info.origin) / tick),
            }
            chapters.append(shifted)
    return chapters


def set_timecode(stream: VideoStream, info: VideoInfo, output: OutputContainer) -> None:
    """Write the time code of the first frame, which QuickTime keeps in a track of its own."""
    if info.timecode and output.format.name in ("mp4", "mov", "matroska"):
        stream.metadata["timecode"] = info.timecode
