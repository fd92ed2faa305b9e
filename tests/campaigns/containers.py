"""Small, whole files of every container that PyAV can write."""

import shutil
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from tests.conftest import write_clip

SIZE = (32, 48)
NUM_FRAMES = 12


@dataclass(frozen=True)
class Kind:
    """A container, what goes into it, and how its structure is read.

    name: also the ending of its files.
    muxer: FFmpeg's name, empty where the ending says it.
    structure: a key of `structures.READERS`.
    """

    name: str
    codec: str
    sound: str
    structure: str
    muxer: str = ""
    pix_fmt: str = "yuv420p"
    size: tuple[int, int] = SIZE
    rate: int = 25


KINDS = (
    Kind("mp4", "libx264", "aac", "boxes"),
    Kind("mov", "mpeg4", "pcm_s16le", "boxes"),
    Kind("3gp", "h263", "aac", "boxes", size=(96, 128)),
    Kind("mkv", "ffv1", "pcm_s16le", "ebml"),
    Kind("webm", "libvpx-vp9", "libopus", "ebml"),
    Kind("avi", "mpeg4", "mp2", "riff"),
    Kind("ts", "mpeg2video", "mp2", "ts"),
    Kind("m2ts", "libx264", "ac3", "m2ts"),
    Kind("nut", "ffv1", "flac", "nut"),
    Kind("flv", "flv", "libmp3lame", "flv"),
    Kind("wmv", "wmv2", "libmp3lame", "asf"),
    Kind("mpg", "mpeg1video", "mp2", "start codes"),
    Kind("vob", "mpeg2video", "ac3", "start codes", muxer="vob"),
    Kind("ogv", "libvpx", "flac", "ogg"),
    Kind("mxf", "mpeg2video", "pcm_s16le", "klv"),
    Kind("y4m", "rawvideo", "", "text", muxer="yuv4mpegpipe"),
    Kind("264", "libx264", "", "start codes", muxer="h264"),
    Kind("265", "libx265", "", "start codes", muxer="hevc", size=(64, 64)),
    Kind("m2v", "mpeg2video", "", "start codes", muxer="mpeg2video"),
    Kind("gif", "gif", "", "gif", pix_fmt="rgb8"),
    Kind("apng", "apng", "", "png", pix_fmt="rgb24"),
    Kind("png", "png", "", "png", pix_fmt="rgb24"),
    Kind("jpg", "mjpeg", "", "jpeg", pix_fmt="yuvj420p"),
)


def write_file(kind: Kind, folder: Path) -> Path:
    """Write a file of a kind, whole; of images the first one."""
    path = folder / f"good.{kind.name}"
    plain = folder / "plain.mkv"
    if not kind.muxer and kind.name not in ("png", "jpg", "gif", "apng"):
        return write_clip(
            path,
            num_frames=NUM_FRAMES,
            size=kind.size,
            rate=Fraction(kind.rate),
            codec=kind.codec,
            audio=[kind.sound] if kind.sound else [],
            pix_fmt=kind.pix_fmt,
        )
    write_clip(plain, num_frames=NUM_FRAMES, size=kind.size, codec="ffv1")
    is_image = kind.name in ("png", "jpg")
    target = folder / f"good%03d.{kind.name}" if is_image else path
    _transcode(kind, plain, target)
    plain.unlink()
    if is_image:
        shutil.move(folder / f"good001.{kind.name}", path)
        for other in folder.glob(f"good0*.{kind.name}"):
            other.unlink()
    return path


def _transcode(kind: Kind, source: Path, target: Path) -> None:
    """Write the picture with a muxer of its own, and a tone where the kind has sound."""
    muxer = kind.muxer or {"png": "image2", "jpg": "image2"}.get(kind.name, kind.name)
    with av.open(str(source)) as reading, av.open(str(target), "w", format=muxer) as writing:
        stream = writing.add_stream(kind.codec, rate=kind.rate)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = kind.size
        stream.pix_fmt = kind.pix_fmt
        frames: list[VideoFrame] = list(reading.decode(video=0))
        for index, frame in enumerate(frames):
            changed = frame.reformat(format=kind.pix_fmt)
            changed.pts, changed.time_base = index, Fraction(1, kind.rate)
            writing.mux(stream.encode(changed))
        writing.mux(stream.encode(None))
