"""From decoded pictures to frames: their samples, the right way up, in colours that are known."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.filter import Graph
from av.video.frame import VideoFrame

from vsr_cli.config import InputConfig
from vsr_cli.errors import InputError
from vsr_cli.events import ignore
from vsr_cli.media.reading.deinterlace import TimedFrame
from vsr_cli.media.reading.reader import probe, read_frames
from vsr_cli.media.reading.unpack import FrameConverter
from vsr_cli.pixels import Matrix, Range

MakeClip = Callable[..., Path]


def flipped(picture: VideoFrame) -> VideoFrame:
    """The picture upside down, which FFmpeg does by reading its memory backwards."""
    graph = Graph()
    source = graph.add_buffer(
        width=picture.width, height=picture.height, format=picture.format, time_base=Fraction(1)
    )
    graph.link_nodes(source, graph.add("vflip"), graph.add("buffersink")).configure()
    graph.vpush(picture)
    return graph.vpull()


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "gray", "yuv422p10le", "bgr0"])
def test_pictures_that_lie_backwards_in_memory_are_read_upright(
    tmp_path: Path, make_clip: MakeClip, pix_fmt: str
) -> None:
    path = make_clip(tmp_path / "in.mkv", codec="ffv1", pix_fmt=pix_fmt, num_frames=1)
    with av.open(str(path)) as container:
        picture = flipped(next(container.decode(video=0)))
    assert picture.planes[0].line_size < 0
    unpack = FrameConverter(probe(path), InputConfig(), "it")
    frame = unpack(TimedFrame(picture, 0, 1), probe(path).time_base)
    [upright] = read_frames(path, report=ignore)
    for plane, other in zip(frame.planes, upright.planes, strict=True):
        np.testing.assert_array_equal(plane, other[::-1])
    assert frame.color == upright.color


def test_a_raw_avi_whose_last_line_comes_first_is_read_upright(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    path = make_clip(tmp_path / "in.avi", codec="rawvideo", pix_fmt="bgr24", num_frames=1)
    with av.open(str(path)) as container:
        expected = next(container.decode(video=0)).to_ndarray(format="rgb24")
    [frame] = read_frames(path, report=ignore)
    np.testing.assert_array_equal(np.stack(frame.planes, axis=-1), expected)


def test_what_the_user_says_of_colour_goes_before_the_tags(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    path = make_clip(tmp_path / "in.mp4", colorspace=5, color_range=1)
    config = InputConfig(matrix=Matrix.BT709, range=Range.FULL, primaries=1, transfer=13)
    info = probe(path, config)
    for color in (info.color, *(f.color for f in read_frames(path, config, report=ignore))):
        assert (color.matrix, color.range) == (Matrix.BT709, Range.FULL)
        assert (color.primaries, color.transfer) == (1, 13)
    assert info.color_reason == "colour matrix and range and primaries and transfer as asked for"


def test_a_tag_that_the_user_leaves_is_believed(tmp_path: Path, make_clip: MakeClip) -> None:
    path = make_clip(tmp_path / "in.mp4", colorspace=5, color_range=1)
    color = probe(path, InputConfig(range=Range.FULL)).color
    assert (color.matrix, color.range) == (Matrix.BT601_625, Range.FULL)


def test_the_picture_can_be_chosen(tmp_path: Path, make_clip: MakeClip) -> None:
    small = make_clip(tmp_path / "small.mp4", size=(32, 48))
    large = make_clip(tmp_path / "large.mp4", size=(48, 64))
    path = tmp_path / "both.mkv"
    with av.open(str(small)) as one, av.open(str(large)) as two, av.open(str(path), "w") as both:
        sources = [container.streams.video[0] for container in (one, two)]
        copies = [both.add_stream_from_template(stream, opaque=True) for stream in sources]
        for container, copy in zip((one, two), copies, strict=True):
            for packet in container.demux(video=0):
                if packet.size:
                    packet.stream = copy
                    both.mux(packet)
    assert probe(path).height == 32
    assert probe(path, InputConfig(video_stream=1)).height == 48
    assert len(list(read_frames(path, InputConfig(video_stream=1), report=ignore))) == 6
    with pytest.raises(InputError, match="no video stream 2") as caught:
        probe(path, InputConfig(video_stream=2))
    assert caught.value.hint
