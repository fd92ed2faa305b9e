"""Transparency: read as it is, written where there is a place for it, dropped aloud elsewhere."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from tests.media.writers import open_writer, write_planes
from vsr_cli.config import InputConfig, OutputConfig
from vsr_cli.events import Event, Note, ignore
from vsr_cli.media.frame import Frame
from vsr_cli.media.reading.reader import open_video, probe, read_frames

MakeClip = Callable[..., Path]
SIZE = (48, 64)


def rgba(index: int) -> NDArray[np.uint8]:
    """A colour gradient whose opaque part moves, (H, W, 4)."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    alpha = np.clip((x - 8 * index) * 8, 0, 255)
    return np.stack([x * 4, y * 5, 255 - x * 4, alpha], axis=-1).astype(np.uint8)


def write_alpha(path: Path, codec: str, pix_fmt: str, num_frames: int = 3) -> Path:
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=25)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = SIZE
        stream.pix_fmt = pix_fmt
        for index in range(num_frames):
            frame = VideoFrame.from_ndarray(rgba(index), format="rgba").reformat(format=pix_fmt)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def read(path: Path, config: InputConfig | None = None) -> tuple[list[Frame], list[str]]:
    events: list[Event] = []
    frames = list(read_frames(path, config or InputConfig(), report=events.append))
    return frames, [event.code for event in events if isinstance(event, Note)]


@pytest.mark.parametrize(
    ("suffix", "codec", "pix_fmt"),
    [
        (".mkv", "ffv1", "bgra"),
        (".mkv", "ffv1", "yuva420p"),
        (".mkv", "ffv1", "yuva444p10le"),
        (".mov", "png", "rgba"),
        (".mov", "png", "rgba64be"),
        (".mov", "qtrle", "argb"),
        (".mov", "prores_ks", "yuva444p10le"),
        (".nut", "rawvideo", "ya8"),
    ],
)
def test_alpha_is_read_as_the_last_plane(
    tmp_path: Path, suffix: str, codec: str, pix_fmt: str
) -> None:
    path = write_alpha(tmp_path / f"in{suffix}", codec, pix_fmt)
    info = probe(path)
    frames, notes = read(path)
    assert info.has_alpha
    assert info.layout.has_alpha
    assert notes == []
    for index, frame in enumerate(frames):
        assert frame.layout == info.layout
        assert [plane.shape for plane in frame.planes] == list(frame.layout.plane_shapes(*SIZE))
        top = (1 << frame.layout.depth) - 1
        alpha = frame.planes[-1].astype(np.float64) * 255 / top
        assert np.abs(alpha - rgba(index)[..., 3]).max() <= 1


def test_alpha_that_nobody_wants_is_not_read(tmp_path: Path) -> None:
    path = write_alpha(tmp_path / "in.mkv", "ffv1", "bgra")
    frames, notes = read(path, InputConfig(alpha="drop"))
    assert notes == []
    assert not probe(path, InputConfig(alpha="drop")).layout.has_alpha
    np.testing.assert_array_equal(np.stack(frames[1].planes, axis=-1), rgba(1)[..., :3])


def test_alpha_beside_the_picture_is_read_unless_it_is_to_be_dropped(tmp_path: Path) -> None:
    path = write_alpha(tmp_path / "in.webm", "libvpx-vp9", "yuva420p")
    frames, notes = read(path)
    assert notes == []
    assert probe(path).has_alpha
    assert frames[0].layout.has_alpha
    frames, notes = read(path, InputConfig(alpha="drop"))
    assert (frames[0].layout.has_alpha, notes) == (False, [])


def rewrite(source: Path, target: Path, config: OutputConfig) -> tuple[str, list[str]]:
    """Write the frames of a source, and return the pixel format and what was said."""
    events: list[Event] = []
    with (
        open_video(source) as video,
        open_writer(
            target, video.info, SIZE, config, source=video.side_streams, report=events.append
        ) as writer,
    ):
        for frame in video.frames(report=ignore):
            depth, wanted = frame.layout.depth, writer.plan.coding.layout
            alpha = frame.planes[-1].astype(np.float64) / ((1 << depth) - 1)
            dtype = np.uint8 if wanted.depth == 8 else np.uint16
            planes = [
                np.full(shape, 1 << (wanted.depth - 1), dtype)
                for shape in wanted.plane_shapes(*SIZE)
            ]
            if wanted.has_alpha:
                planes[-1] = (alpha * ((1 << wanted.depth) - 1)).round().astype(dtype)
            write_planes(writer, frame, tuple(planes))
        writer.finish()
        pix_fmt = writer.plan.coding.pix_fmt
    return pix_fmt, [event.code for event in events if isinstance(event, Note)]


@pytest.mark.parametrize(
    ("name", "config", "pix_fmt"),
    [
        ("out.mov", OutputConfig(), "yuva444p10le"),
        ("out.mkv", OutputConfig(lossless=True), "yuva444p"),
        ("%d.png", OutputConfig(), "rgba"),
        ("out.mkv", OutputConfig(video_codec="prores_ks"), "yuva444p10le"),
    ],
)
def test_alpha_is_written_where_there_is_a_place_for_it(
    tmp_path: Path, name: str, config: OutputConfig, pix_fmt: str
) -> None:
    source = write_alpha(tmp_path / "in.mkv", "ffv1", "bgra")
    assert rewrite(source, tmp_path / name, config) == (pix_fmt, [])
    frames, _ = read(tmp_path / name)
    for index, frame in enumerate(frames):
        top = (1 << frame.layout.depth) - 1
        alpha = frame.planes[-1].astype(np.float64) * 255 / top
        assert np.abs(alpha - rgba(index)[..., 3]).max() <= 1


@pytest.mark.parametrize(
    ("name", "config"),
    [("out.mp4", OutputConfig()), ("out.mkv", OutputConfig(video_codec="libx265"))],
)
def test_alpha_without_a_place_is_dropped_aloud(
    tmp_path: Path, name: str, config: OutputConfig
) -> None:
    source = write_alpha(tmp_path / "in.mkv", "ffv1", "bgra")
    pix_fmt, said = rewrite(source, tmp_path / name, config)
    assert pix_fmt.startswith("yuv4")
    assert said == ["W_ALPHA_DROPPED"]


def test_an_opaque_source_can_be_written_with_alpha(tmp_path: Path, make_clip: MakeClip) -> None:
    source = make_clip(tmp_path / "in.mkv")
    info = probe(source)
    config = OutputConfig(video_codec="ffv1", pix_fmt="yuva420p")
    with open_writer(
        tmp_path / "out.mkv", info, SIZE, config, source=source, report=ignore
    ) as writer:
        assert writer.plan.coding.layout.has_alpha
