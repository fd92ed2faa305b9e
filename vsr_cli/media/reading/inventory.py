"""Every stream of a source in a few words, the picture apart."""

from dataclasses import dataclass
from typing import Literal

from av.container import InputContainer
from av.stream import Disposition

StreamKind = Literal["video", "cover", "audio", "subtitle", "attachment", "data", "unknown"]


@dataclass(frozen=True, kw_only=True)
class StreamInfo:
    """One stream beside the picture."""

    index: int  # among all streams of the container
    kind: StreamKind
    codec: str | None  # None where FFmpeg does not know it
    language: str | None
    title: str | None  # of an attached file: its name
    is_default: bool


def list_streams(container: InputContainer, picture: int) -> tuple[StreamInfo, ...]:
    """What there is beside the stream of index `picture`."""
    found = []
    for stream in container.streams:
        if stream.index == picture:
            continue
        is_cover = bool(stream.disposition & Disposition.attached_pic)
        tags = stream.metadata
        found.append(
            StreamInfo(
                index=stream.index,
                kind="cover" if is_cover else stream.type,
                codec=stream.codec_context.name if stream.codec_context else None,
                language=tags.get("language"),
                title=tags.get("title") or tags.get("filename"),
                is_default=bool(stream.disposition & Disposition.default),
            )
        )
    return tuple(found)
