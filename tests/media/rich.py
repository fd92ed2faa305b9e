"""A source with everything a container can hold beside its picture."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
from av.packet import Packet
from av.stream import Disposition, Stream

from tests.conftest import write_clip

if TYPE_CHECKING:
    from av.container.core import Chapter

FONT = b"\0\1\0\0 not really a font"
LINES = [(0, 80, "first"), (40, 60, "second, over it"), (120, 100, "third")]  # ms, ms, text
MS = Fraction(1, 1000)


def cover_picture() -> bytes:
    """A JPEG."""
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width = encoder.height = 16
    encoder.pix_fmt, encoder.time_base = "yuvj420p", Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(np.full((16, 16, 3), 90, np.uint8), format="rgb24")
    packets = encoder.encode(frame.reformat(format="yuvj420p")) + encoder.encode(None)
    return bytes(packets[0])


def write_rich(path: Path, *, subs: Sequence[str] = ("subrip", "ass"), extras: bool = True) -> Path:
    """An MKV with two tracks of sound, subtitles, and, with `extras`, all else there is."""
    plain = write_clip(
        path.with_name("plain.mkv"),
        num_frames=8,
        audio=["aac", "ac3"],
        metadata={"title": "a holiday"},
    )
    with av.open(f"file:{plain}") as old, av.open(f"file:{path}", "w") as new:
        copies: dict[int, Stream] = {}
        for stream in (*old.streams.video, *old.streams.audio):
            copy = new.add_stream_from_template(stream, opaque=True)
            copy.metadata.update(stream.metadata)
            copies[stream.index] = copy
        copies[1].disposition |= Disposition.default
        copies[2].disposition |= Disposition.comment
        texts = []
        for number, codec in enumerate(subs):
            text = new.add_mux_stream(codec, time_base=MS)
            text.metadata["language"] = ("fra", "jpn")[number]
            text.disposition = Disposition.forced
            texts.append((text, codec))
        if extras:
            new.add_attachment("some.ttf", "font/ttf", FONT)
            new.add_attachment("cover.jpg", "image/jpeg", cover_picture())
            new.set_chapters(
                [
                    _chapter(0, 0, 160, "opening"),
                    _chapter(1, 160, 320, "end"),
                ]
            )
            new.metadata.update(title="a holiday", comment="by the sea")
        for text, codec in texts:
            for number, (start, duration, words) in enumerate(LINES):
                line = f"{number},0,Default,,0,0,0,,{words}" if codec == "ass" else words
                packet = Packet(line.encode())
                packet.stream, packet.time_base = text, MS
                packet.pts = packet.dts = start
                packet.duration = duration
                new.mux(packet)
        for packet in old.demux():
            if packet.size:
                packet.stream = copies[packet.stream_index]
                new.mux(packet)
    plain.unlink()
    return path


def _chapter(number: int, start: int, end: int, title: str) -> "Chapter":
    return {
        "id": number,
        "start": start,
        "end": end,
        "time_base": MS,
        "metadata": {"title": title},
    }
