"""Video to the next program: whole, alone on standard output, in the formats that pipes take."""

import io
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.conftest import MakeClip
from tests.media.rich import write_rich
from vsr_cli.config import OutputConfig
from vsr_cli.errors import OutputError
from vsr_cli.media.writing.destination import check_target
from vsr_cli.stdio import STDOUT

IRREGULAR = (0, 3003, 4004, 9009, 9100, 15015)  # in 1/30000 s

WRITE = """
import os, sys
from fractions import Fraction
from pathlib import Path
from tests.media.flat_video import rewrite
from vsr_cli.config import OutputConfig
source, format, cfr = sys.argv[1:]
config = OutputConfig(format=format or None, cfr=Fraction(cfr) if cfr else None)
os.write(2, b"noise on stderr\\n")
notes = rewrite(Path(source), Path("-"), config)
print(*(note.code for note in notes), file=sys.stderr)
"""


def pipe(source: Path, format_: str = "", cfr: str = "") -> tuple[bytes, str]:
    """What a process of its own writes to standard output, and what it says."""
    run = subprocess.run(
        [sys.executable, "-c", WRITE, str(source), format_, cfr], capture_output=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout, run.stderr.decode()


def test_the_default_keeps_times_sound_and_colour(tmp_path: Path, make_clip: MakeClip) -> None:
    source = make_clip(
        tmp_path / "in.mp4",
        pts=IRREGULAR,
        time_base=Fraction(1, 30000),
        audio=["aac"],
        colorspace=1,
        color_range=2,
    )
    data, _ = pipe(source)
    with av.open(io.BytesIO(data), "r") as container:
        assert container.format.name == "matroska,webm"
        picture, sound = container.streams.video[0], container.streams.audio[0]
        assert (picture.codec_context.name, sound.codec_context.name) == ("ffv1", "aac")
        frames = list(container.decode(picture))
        times = [float((frame.pts or 0) * (frame.time_base or 0)) for frame in frames]
        assert {frame.colorspace for frame in frames} == {1}
        assert {frame.color_range for frame in frames} == {2}
        assert [int(frame.to_ndarray()[0, 0]) for frame in frames] == [40 + n for n in range(6)]
    expected = [time / 30000 for time in IRREGULAR]
    assert [time - times[0] for time in times] == pytest.approx(expected, abs=1.1e-3)


@pytest.mark.parametrize(
    ("format_", "codec", "num_sounds"),
    [
        ("nut", "ffv1", 1),
        ("matroska", "ffv1", 1),
        ("mp4", "h264", 1),
        ("mpegts", "h264", 1),
        ("yuv4mpegpipe", "rawvideo", 0),
    ],
)
def test_other_formats_on_request(
    tmp_path: Path, make_clip: MakeClip, format_: str, codec: str, num_sounds: int
) -> None:
    source = make_clip(tmp_path / "in.mp4", num_frames=5, audio=["aac"])
    data, said = pipe(source, format_)
    with av.open(io.BytesIO(data), "r") as container:
        assert container.streams.video[0].codec_context.codec.canonical_name == codec
        assert len(container.streams.audio) == num_sounds
        assert len(list(container.decode(video=0))) == 5
    assert ("W_AUDIO_DROPPED" in said) == (num_sounds == 0)


@pytest.mark.parametrize("format_", ["mp4", "matroska"])
def test_everything_a_source_holds_fits_into_a_pipe(tmp_path: Path, format_: str) -> None:
    data, _ = pipe(write_rich(tmp_path / "in.mkv"), format_)
    with av.open(io.BytesIO(data), "r") as container:
        names = [track.codec_context.name for track in container.streams.audio]
        assert names == ["aac", "ac3"]
        assert len(container.streams.subtitles) >= 1
        assert len(container.chapters()) == 2
        assert len(list(container.decode(video=0))) == 8


def test_the_shape_of_pixels_goes_through_a_pipe_without_loss(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    source = make_clip(tmp_path / "in.mp4", sample_aspect_ratio=Fraction(16, 15))
    data, said = pipe(source)
    assert "W_ASPECT_DROPPED" not in said
    with av.open(io.BytesIO(data), "r") as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(16, 15)
        pictures = [frame.to_ndarray() for frame in container.decode(video=0)]
    assert [int(picture[0, 0]) for picture in pictures] == [40 + n for n in range(6)]


def test_raw_video_is_nothing_but_samples(tmp_path: Path, make_clip: MakeClip) -> None:
    data, _ = pipe(make_clip(tmp_path / "in.mp4", num_frames=2), "rawvideo")
    size = 48 * 64
    assert len(data) == 2 * size * 3 // 2
    assert data[:size] == bytes([40]) * size
    assert data[size * 3 // 2 :][:size] == bytes([41]) * size


def test_y4m_says_rate_range_and_where_chroma_lies(tmp_path: Path, make_clip: MakeClip) -> None:
    source = make_clip(tmp_path / "in.mp4", rate=Fraction(30000, 1001), color_range=2)
    data, _ = pipe(source, "yuv4mpegpipe")
    header = data.split(b"\n", 1)[0].decode().split()
    assert header[:4] == ["YUV4MPEG2", "W64", "H48", "F30000:1001"]
    assert "C420mpeg2" in header
    assert "XCOLORRANGE=FULL" in header


def test_an_uneven_source_becomes_even_on_request(tmp_path: Path, make_clip: MakeClip) -> None:
    source = make_clip(tmp_path / "in.mp4", pts=IRREGULAR, time_base=Fraction(1, 30000))
    data, said = pipe(source, "yuv4mpegpipe", "30")
    assert data.startswith(b"YUV4MPEG2 W64 H48 F30:1 ")
    assert "W_CFR" in said


def test_video_does_not_go_to_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    with pytest.raises(OutputError, match="terminal") as caught:
        check_target(STDOUT, Path("in.mp4"), OutputConfig())
    assert "mpv" in str(caught.value.hint)
