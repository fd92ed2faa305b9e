"""HDR sources are tone mapped where they are shown, and measured as coded."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from av.video.stream import VideoStream
from PIL import Image

import vsr_cli as vsr
from vsr_cli.events import Event, Note
from vsr_cli.ops.tonemap import SDR_WHITE, light_to_pq
from vsr_cli.pixels import PQ

SIZE = (48, 64)
LIGHT = 50.0  # cd/m2 of the left half; the right half has 1000


def write_hdr(path: Path, *, transfer: int = PQ, noise: int = 0) -> Path:
    """Three frames of two greys, 10 bits without loss, coded for PQ and BT.2020."""
    height, width = SIZE
    codes = light_to_pq(torch.tensor([LIGHT, 1000.0])).numpy() * 876 + 64
    luma = np.repeat(codes.round(), width // 2)[None].repeat(height, axis=0)
    random = np.random.default_rng(0)
    with av.open(str(path), "w") as output:
        stream = output.add_stream("ffv1", rate=25)
        assert isinstance(stream, VideoStream)
        context = stream.codec_context
        context.height, context.width, context.pix_fmt = height, width, "yuv444p10le"
        context.colorspace, context.color_range = 9, 1
        context.color_primaries, context.color_trc = 9, transfer
        for index in range(3):
            frame = av.VideoFrame(width, height, "yuv444p10le")
            noisy = luma + random.integers(-noise, noise + 1, SIZE)
            planes = (noisy, np.full(SIZE, 512), np.full(SIZE, 512))
            for plane, values in zip(frame.planes, planes, strict=True):
                lines = np.zeros((height, plane.line_size // 2), np.uint16)
                lines[:, :width] = values
                plane.update(lines.tobytes())
            frame.pts, frame.time_base = index, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """The same with other codes, which differ by little."""
    return write_hdr(tmp_path / "a.mkv"), write_hdr(tmp_path / "b.mkv", noise=9)


def greys(path: Path) -> tuple[float, float]:
    """The middles of the first video's halves, in [0, 1]."""
    picture = np.asarray(Image.open(path).convert("L")) / 255
    return float(picture[4, 16]), float(picture[4, 48])


def test_hdr_is_shown_as_sdr_screens_need_it(pair: tuple[Path, Path], tmp_path: Path) -> None:
    events = list[object]()
    vsr.compare(*pair, out=tmp_path / "out.png", report=events.append)
    dark, bright = greys(tmp_path / "out.png")
    assert dark == pytest.approx((LIGHT / SDR_WHITE) ** (1 / 2.4), abs=0.02)  # its code is 0.44
    assert bright == pytest.approx(1, abs=0.01)  # which is 0.75
    assert [e.code for e in events if isinstance(e, vsr.Note)] == ["W_TONE_MAPPED"]
    vsr.compare(*pair, out=tmp_path / "out.html")
    assert "a.mkv, b.mkv are HDR and tone mapped" in (tmp_path / "out.html").read_text()


def test_figures_and_differences_are_those_of_the_codes(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    """The same codes, taken for SDR, give the same figures."""
    plain = [
        write_hdr(tmp_path / f"plain{number}.mkv", transfer=1, noise=noise)
        for number, noise in enumerate((0, 9))
    ]
    means = [
        next(iter(vsr.compare(*videos, metrics="psnr,ssim").means.values()))
        for videos in (pair, plain)
    ]
    assert means[0] == means[1]
    events = list[object]()
    for number, videos in enumerate((pair, plain)):
        names, out = "a,b", tmp_path / f"{number}.png"
        vsr.compare(*videos, out=out, mode="heat", names=names, report=events.append)
    assert (tmp_path / "0.png").read_bytes() == (tmp_path / "1.png").read_bytes()
    assert not any(isinstance(event, vsr.Note) for event in events)


def test_what_is_not_hdr_is_shown_as_coded(tmp_path: Path) -> None:
    plain = write_hdr(tmp_path / "plain.mkv", transfer=1)
    vsr.compare(plain, plain, out=tmp_path / "out.png", names="a,b")
    dark, bright = greys(tmp_path / "out.png")
    assert dark == pytest.approx(0.44, abs=0.01)
    assert bright == pytest.approx(0.752, abs=0.01)


def test_a_preview_says_that_it_is_tone_mapped(tmp_path: Path) -> None:
    source, out = write_hdr(tmp_path / "a.mkv"), tmp_path / "out.html"
    vsr.preview(source, out, at="0%", frame=True, steps=1, scale=1, device="cpu")
    assert "are HDR and tone mapped to be shown on SDR screens; the job" in out.read_text()


def test_measures_of_unlike_codes_are_told_of(pair: tuple[Path, Path], tmp_path: Path) -> None:
    sdr = write_hdr(tmp_path / "sdr.mkv", transfer=1)
    events: list[Event] = []
    vsr.compare(*pair, metrics="psnr", report=events.append)
    vsr.compare(pair[0], sdr, out=tmp_path / "c.png", report=events.append)
    assert not [e for e in events if isinstance(e, Note) and e.code == "W_CODES_DIFFER"]
    vsr.compare(pair[0], sdr, metrics="psnr", report=events.append)
    (note,) = [e for e in events if isinstance(e, Note) and e.code == "W_CODES_DIFFER"]
    assert note.text.startswith("codes stand for other light: `a.mkv` PQ, `sdr.mkv` SDR")
