"""What a file says about itself: titles, languages, chapters, time code."""

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING

import av
from av.container import InputContainer, OutputContainer
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from vsr_cli.events import Note, Report
from vsr_cli.media.frame import VideoInfo
from vsr_cli.media.timestamps import TIMECODE, drops_frames

if TYPE_CHECKING:
    from av.container.core import Chapter

# Written by each muxer anew, or true of the old picture only.
_STALE_KEYS = frozenset(
    {
        *("major_brand", "minor_version", "compatible_brands", "encoder", "duration", "vendor_id"),
        "software",  # of an AVI: the program that wrote it
        *("alpha_mode", "bps", "number_of_frames", "number_of_bytes"),
        *("_statistics_tags", "_statistics_writing_app", "_statistics_writing_date_utc"),
    }
)
_MOST_NAMED = 8  # tags that are lost
# QuickTime numbers its languages, and FFmpeg knows these by another of their names only.
_MOV_LANGUAGES = {
    **{"deu": "ger", "nld": "dut", "swe": "sve", "ell": "gre", "isl": "ice", "zho": "chi"},
    "fre": "fra",
}


# What programs call a track that nobody gave a name.
_USUAL_HANDLERS = re.compile(
    r"|(.*(video|sound|audio|subtitle|text|data|timecode|alias) ?(media )?handler.*)"
    r"|((core media|iso media|mainconcept|gpac|l-smash|apple) ?.*)|(.*#trackid=.*)",
    re.IGNORECASE,
)
_QUICKTIME_KEYS = "com.apple.quicktime."  # of files whose tags have names of any kind


def copyable_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """The entries that are still true of a copy."""
    return {
        key: value
        for key, value in metadata.items()
        if key.lower().split("-")[0] not in _STALE_KEYS and not _is_timecode(key, value)
    }


def _is_timecode(key: str, value: str) -> bool:
    """Whether a tag says where the source starts; the target has one of its own."""
    return key.lower() == "timecode" and TIMECODE.fullmatch(value) is not None


def copy_stream_metadata(
    source: Stream, copy: Stream, output: OutputContainer, *, metadata: bool
) -> None:
    """Give a stream the disposition, the language and, with `metadata`, all tags of another."""
    language = source.metadata.get("language", "")
    if metadata:
        copy.metadata.update(_stream_tags(source, output.format.name))
    if output.format.name == "mov":
        language = _MOV_LANGUAGES.get(language, language)
    if language:
        copy.metadata["language"] = language
    copy.disposition = source.disposition


def _stream_tags(source: Stream, format_: str) -> dict[str, str]:
    """The tags of a stream, its name where the container keeps names."""
    tags = copyable_metadata(source.metadata)
    handler = next((tags.pop(key) for key in list(tags) if key.lower() == "handler_name"), "")
    name = next((tags.pop(key) for key in list(tags) if key.lower() == "name"), "")
    if _USUAL_HANDLERS.fullmatch(handler.strip("\0 ")):
        handler = ""
    if name:  # as FFmpeg calls what it writes as a title
        tags.setdefault("title", name)
    if format_ in ("mp4", "mov"):  # where players look for it
        if handler or "title" in tags:
            tags["handler_name"] = handler or tags["title"]
    elif handler:
        tags.setdefault("title", handler)
    return tags


def keeps_any_tag(source: InputContainer) -> bool:
    """Whether a file tags itself in QuickTime's newer way, in which every name is allowed.

    FFmpeg writes no cover beside such tags, so that a file with a cover keeps its usual tags.
    """
    has_cover = any(s.disposition & Disposition.attached_pic for s in source.streams)
    has_keys = any(key.startswith(_QUICKTIME_KEYS) for key in source.metadata)
    return has_keys and not has_cover


def report_lost_tags(source: InputContainer, written: InputContainer, report: Report) -> None:
    """Say, as `W_TAGS_DROPPED`, which tags of the source a file does not have.

    Args:
        source: tells of the tags.
        written: a file with all of them that its container keeps.
        report: receives the note, if anything is missing.
    """
    found = [*written.metadata.items(), *(t for s in written.streams for t in s.metadata.items())]
    keys, values = {key.lower() for key, _ in found}, {value for _, value in found}
    wanted = dict(copyable_metadata(source.metadata))
    for stream in source.streams:
        if stream.type in ("video", "audio", "subtitle"):
            wanted.update(_stream_tags(stream, written.format.name))
    wanted.pop("language", None)
    lost = [
        key
        for key, value in wanted.items()
        if key.lower() not in keys and value not in values and not _is_told(key, wanted)
    ]
    if lost:
        text = ", ".join(f"`{key}`" for key in sorted(lost)[:_MOST_NAMED])
        more = f" and {len(lost) - _MOST_NAMED} more" if len(lost) > _MOST_NAMED else ""
        report(Note(code="W_TAGS_DROPPED", text=f"tags that cannot be kept: {text}{more}"))


def _is_told(key: str, tags: Mapping[str, str]) -> bool:
    """Whether a tag says what another says as well: in one language, or as a time code does."""
    plain, _, language = key.partition("-")
    return key.lower() == "timecode" or (bool(language) and tags.get(plain) == tags[key])


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
    if info.timecode:
        found = TIMECODE.fullmatch(info.timecode)
        drops = found is not None and found["separator"] != ":" and drops_frames(info.rate)
        # Muxers refuse what looks like counting with drops at rates that have none.
        code = info.timecode if drops or found is None else re.sub(r"[;.]", ":", info.timecode)
        stream.metadata["timecode"] = code
