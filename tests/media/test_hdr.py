"""The light that HDR pictures were made for."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.stream import VideoStream

from vsr_cli.media.reading.reader import probe
from vsr_cli.pixels import PQ, Matrix

MASTERING = (
    "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
    ":max-cll=1000,400"
)


def write_pq(path: Path, params: str) -> Path:
    """A short grey HDR10 clip; `params` are those of x265."""
    options = {"x265-params": f"log-level=none:bframes=0:hdr10=1:repeat-headers=1:{params}"}
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx265", rate=25, options=options)
        assert isinstance(stream, VideoStream)
        context = stream.codec_context
        context.height, context.width, context.pix_fmt = 64, 64, "yuv420p10le"
        context.colorspace, context.color_range = 9, 1
        context.color_primaries, context.color_trc = 9, PQ
        for index in range(2):
            grey = np.full((96, 64), 512, np.uint16)
            frame = av.VideoFrame.from_ndarray(grey, format="yuv420p10le")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_mastering_display_and_light_levels_are_read_exactly(tmp_path: Path, suffix: str) -> None:
    info = probe(write_pq(tmp_path / f"in{suffix}", MASTERING))
    assert (info.tags.transfer, info.tags.matrix, info.layout.depth) == (PQ, Matrix.BT2020, 10)
    assert info.hdr is not None
    assert info.hdr.primaries == (
        (Fraction("0.68"), Fraction("0.32")),
        (Fraction("0.265"), Fraction("0.69")),
        (Fraction("0.15"), Fraction("0.06")),
    )
    assert info.hdr.white == (Fraction("0.3127"), Fraction("0.329"))
    assert (info.hdr.min_luminance, info.hdr.max_luminance) == (Fraction("0.005"), Fraction(1000))
    assert (info.hdr.max_cll, info.hdr.max_fall) == (1000, 400)


def test_what_is_absent_is_none(tmp_path: Path) -> None:
    only_light = probe(write_pq(tmp_path / "light.mkv", "max-cll=600,0")).hdr
    assert only_light is not None
    assert (only_light.primaries, only_light.white, only_light.max_luminance) == (None, None, None)
    assert (only_light.max_cll, only_light.max_fall) == (600, None)
    assert probe(write_pq(tmp_path / "none.mkv", "aud=1")).hdr is None
