"""The encoder knows every setting, loses nothing if told so, and carries HDR."""

import re
import shutil
import subprocess
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.conftest import MakeClip, read_file
from tests.media.flat_video import FAST, rewrite
from tests.media.test_hdr import MASTERING, write_pq
from tests.media.writers import open_writer
from vsr_cli.config import OutputConfig
from vsr_cli.errors import ConfigError, OutputError
from vsr_cli.events import Event, Note, ignore
from vsr_cli.media.reading.reader import probe
from vsr_cli.pixels import HLG


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_hdr_of_eight_bits_is_written_with_ten(
    tmp_path: Path, make_clip: MakeClip, suffix: str
) -> None:
    source = make_clip(tmp_path / "in.mp4", colorspace=9)
    info = probe(source)
    info = replace(info, color=replace(info.color, transfer=HLG, primaries=9))
    target = tmp_path / f"out{suffix}"
    with open_writer(
        target, info, (48, 64), OutputConfig(), source=source, report=ignore
    ) as writer:
        assert (writer.plan.coding.codec, writer.plan.coding.pix_fmt) == ("libx265", "yuv420p10le")
        assert "H.265 with 10 bits, because the source is HDR" in writer.plan.coding.reasons


def test_lossless_is_ffv1_in_matroska_and_exact_elsewhere(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    source = make_clip(tmp_path / "in.mp4", num_frames=3)
    lossless = OutputConfig(lossless=True)
    for suffix, config, codec in (
        (".mkv", lossless, "ffv1"),
        (".avi", lossless, "ffv1"),
        (".mp4", replace(lossless, video_codec="libx264"), "h264"),
        (".mp4", replace(lossless, video_codec="libx265", overwrite=True), "hevc"),
    ):
        target = tmp_path / f"out{suffix}"
        rewrite(source, target, config)
        with av.open(f"file:{target}") as container:
            assert container.streams.video[0].codec_context.codec.canonical_name == codec
            levels = [frame.to_ndarray()[0, 0] for frame in container.decode(video=0)]
        assert levels == [40, 41, 42]
    with pytest.raises(ConfigError, match="no lossless codec"):
        rewrite(source, tmp_path / "new.mp4", lossless)
    with pytest.raises(ConfigError, match="cannot code without loss"):
        rewrite(source, tmp_path / "new.mov", replace(lossless, video_codec="prores_ks"))
    with pytest.raises(ConfigError, match="contradict"):
        OutputConfig(lossless=True, crf=10)


@pytest.mark.parametrize(
    ("codec", "name", "value", "says"),
    [
        ("libx264", "nonsense", "1", "does not know the setting `nonsense`"),
        ("libx264", "x264-params", "nonsense=1", "does not take a setting"),
        ("libx264", "x264-params", "keyint=often", "does not take a setting"),
        ("libx265", "x265-params", "nonsense=1", "does not take a setting"),
        ("libsvtav1", "svtav1-params", "nonsense=1", "does not take a setting"),
        ("libx264", "x264-params", "keyint=2:dump-yuv=in.mp4", "`dump-yuv` names a file"),
        ("libx264", "stats", "in.mp4", "`stats` names a file"),
        ("libx265", "x265-params", "csv=in.mp4:csv-log-level=2", "`csv` names a file"),
    ],
)
def test_settings_that_no_encoder_knows_are_usage_errors(
    tmp_path: Path, make_clip: MakeClip, codec: str, name: str, value: str, says: str
) -> None:
    source = make_clip(tmp_path / "in.mp4", num_frames=1)
    config = OutputConfig(video_codec=codec, options=((name, value),))
    with pytest.raises(ConfigError, match=says) as caught:
        rewrite(source, tmp_path / "out.mkv", config)
    assert (caught.value.exit_code, bool(caught.value.hint)) == (2, True)
    assert sorted(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize(
    "options",
    [(("g", "2"),), (("x264-params", "keyint=2:min-keyint=1"),), (("crf", "40"), ("g", "2"))],
)
def test_settings_of_the_user_reach_the_encoder(
    tmp_path: Path, make_clip: MakeClip, options: tuple[tuple[str, str], ...]
) -> None:
    source = make_clip(tmp_path / "in.mp4")
    rewrite(source, tmp_path / "out.mp4", replace(FAST, options=options))
    with av.open(str(tmp_path / "out.mp4")) as container:
        keys = [packet.is_keyframe for packet in container.demux(video=0) if packet.size]
    assert keys == [True, False] * 3


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="this machine may have the hardware")
def test_an_encoder_of_absent_hardware_is_refused_with_another_to_use(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    source = make_clip(tmp_path / "in.mp4", size=(144, 176))
    config = OutputConfig(video_codec="hevc_nvenc", crf=20)
    with pytest.raises(OutputError, match="`hevc_nvenc` does not open") as caught:
        rewrite(source, tmp_path / "out.mp4", config)
    assert caught.value.hint == "use `libx265`, or leave `--vcodec` out"
    assert sorted(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize(
    ("suffix", "codec"), [(".mp4", None), (".mkv", None), (".mkv", "libsvtav1"), (".webm", None)]
)
def test_hdr10_arrives_whole(tmp_path: Path, suffix: str, codec: str | None) -> None:
    source, target = write_pq(tmp_path / "in.mp4", MASTERING), tmp_path / f"out{suffix}"
    notes = rewrite(source, target, OutputConfig(video_codec=codec))
    before, after = probe(source), probe(target)
    assert notes == []
    assert after.tags == before.tags
    assert after.layout.depth == 10
    assert before.hdr is not None
    assert after.hdr is not None
    assert after.hdr.max_cll == before.hdr.max_cll
    assert after.hdr.max_fall == before.hdr.max_fall
    pairs = zip(after.hdr.primaries or (), before.hdr.primaries or (), strict=True)
    errors = [float(a - b) for new, old in pairs for a, b in zip(new, old, strict=True)]
    assert errors == pytest.approx([0] * 6, abs=1e-4)
    assert float(after.hdr.max_luminance or 0) == pytest.approx(1000)
    assert float(after.hdr.min_luminance or 0) == pytest.approx(0.005, abs=1e-4)


@pytest.mark.parametrize(
    ("suffix", "config", "says"),
    [
        (".mov", OutputConfig(video_codec="prores_ks"), "players will guess"),
        (".mkv", OutputConfig(lossless=True), "players will guess"),
        (".mp4", OutputConfig(pix_fmt="yuv420p"), "gradients will show steps"),
    ],
)
def test_hdr_that_cannot_be_carried_is_said(
    tmp_path: Path, suffix: str, config: OutputConfig, says: str
) -> None:
    source, target = write_pq(tmp_path / "in.mp4", MASTERING), tmp_path / f"out{suffix}"
    (note,) = rewrite(source, target, config)
    assert note.code == "W_HDR_DROPPED"
    assert says in note.text
    assert probe(target).tags.transfer == probe(source).tags.transfer


@pytest.mark.parametrize("suffix", [".ts", ".avi", ".nut", ".y4m"])
def test_other_containers_keep_count_and_times(
    tmp_path: Path, make_clip: MakeClip, suffix: str
) -> None:
    source, target = make_clip(tmp_path / "in.mp4", audio=["aac"]), tmp_path / f"out{suffix}"
    notes = rewrite(source, target, OutputConfig())
    assert [n.code for n in notes] == (["W_AUDIO_DROPPED"] if suffix == ".y4m" else [])
    before, after = read_file(source), read_file(target)
    assert [time - after.times[0] for time in after.times] == before.times
    assert len(after.sounds) == (suffix != ".y4m")


def test_raw_video_is_checked_by_its_size(tmp_path: Path, make_clip: MakeClip) -> None:
    source, target = make_clip(tmp_path / "in.mp4"), tmp_path / "out.yuv"
    rewrite(source, target, OutputConfig())
    assert target.stat().st_size == 6 * 48 * 64 * 3 // 2


@pytest.mark.skipif(shutil.which("mediainfo") is None, reason="needs `mediainfo`")
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_another_program_recognises_hdr10(tmp_path: Path, suffix: str) -> None:
    source, target = write_pq(tmp_path / "in.mp4", MASTERING), tmp_path / f"out{suffix}"
    rewrite(source, target, OutputConfig())
    run = subprocess.run(["mediainfo", str(target)], capture_output=True, text=True, check=True)
    found = dict(
        re.split(r"\s+: ", line, maxsplit=1) for line in run.stdout.splitlines() if ": " in line
    )
    assert "HDR10 compatible" in found["HDR format"]
    assert found["Transfer characteristics"] == "PQ"
    assert found["Mastering display luminance"] == "min: 0.0050 cd/m2, max: 1000 cd/m2"
    assert found["Maximum Content Light Level"] == "1000 cd/m2"


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("A53_CC", "W_CAPTIONS_DROPPED"),
        ("DOVI_METADATA", "W_DYNAMIC_HDR_DROPPED"),
        ("DYNAMIC_HDR_PLUS", "W_DYNAMIC_HDR_DROPPED"),
        ("AMBIENT_VIEWING_ENVIRONMENT", "W_HDR_DROPPED"),
        ("SPHERICAL", "W_SPHERICAL_DROPPED"),
    ],
)
def test_what_came_with_the_picture_and_cannot_be_written_is_said(
    tmp_path: Path, make_clip: MakeClip, kind: str, code: str
) -> None:
    source, said = make_clip(tmp_path / "in.mp4"), list[Event]()
    info = replace(probe(source), side_data=frozenset({kind, "SEI_UNREGISTERED"}))
    config = OutputConfig(preset="ultrafast")
    with open_writer(
        tmp_path / "out.mp4", info, (48, 64), config, source=source, report=said.append
    ):
        pass
    assert [event.code for event in said if isinstance(event, Note)] == [code]


@pytest.mark.parametrize(
    ("suffix", "codes"),
    [
        (".mkv", []),
        (".webm", ["W_ASPECT_DROPPED"]),
        (".ts", ["W_ROTATION_DROPPED"]),
        (".y4m", ["W_ROTATION_DROPPED", "W_ASPECT_DROPPED"]),
    ],
)
def test_how_a_picture_is_shown_arrives_or_is_said_to_be_lost(
    tmp_path: Path, make_clip: MakeClip, suffix: str, codes: list[str]
) -> None:
    source = make_clip(
        tmp_path / "in.mp4", num_frames=30, rotation=90, sample_aspect_ratio=Fraction(16, 15)
    )
    config = OutputConfig(lossless=suffix == ".mkv")
    notes = rewrite(source, tmp_path / f"out{suffix}", config)
    assert [note.code for note in notes] == codes
    found = probe(tmp_path / f"out{suffix}")
    assert found.rotation == (0 if "W_ROTATION_DROPPED" in codes else 90)
    assert (found.sample_aspect_ratio == Fraction(16, 15)) == ("W_ASPECT_DROPPED" not in codes)


def test_a_shift_that_no_picture_has_does_not_end_the_work(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    """A damaged display matrix may say anything."""
    source = make_clip(tmp_path / "in.mp4")
    matrix = (65536, 0, 0, 0, 65536, 0, 2**31 - 1, -(2**31), 1 << 30)
    info = replace(probe(source), display_matrix=matrix)
    with open_writer(tmp_path / "out.mp4", info, (96, 128), FAST, source=source) as writer:
        assert writer.plan.coding.size == (96, 128)
