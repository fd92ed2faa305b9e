"""Videos out: the same times, the same sound, the same tags; and nothing left behind on failure."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
import pytest

from tests.conftest import Contents, MakeClip
from tests.media.flat_video import FAST, rewrite
from tests.media.writers import open_writer, write_planes
from vsr_cli.config import OutputConfig
from vsr_cli.errors import ConfigError, OutputError, VerificationError, VsrError
from vsr_cli.events import ignore
from vsr_cli.media.reading.reader import probe, read_frames
from vsr_cli.media.writing.muxer import Muxer
from vsr_cli.pixels import Matrix, Range

ReadContents = Callable[[Path], Contents]
IRREGULAR = [0, 3003, 4004, 9009, 9100, 15015]  # in 1/30000 s


def hidden(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".m4v"])
@pytest.mark.parametrize("num_frames", [1, 2, 7, 60])
def test_count_times_end_and_sound_are_those_of_the_source(
    tmp_path: Path,
    make_clip: MakeClip,
    read_contents: ReadContents,
    suffix: str,
    num_frames: int,
) -> None:
    source = make_clip(tmp_path / "in.mp4", num_frames=num_frames, audio=["aac", "aac"])
    rewrite(source, tmp_path / f"out{suffix}", size=(96, 128))
    old, new = read_contents(source), read_contents(tmp_path / f"out{suffix}")
    assert replace(new, languages=old.languages) == old
    assert new.languages == ["eng", "ger" if suffix == ".mov" else "deu"]  # two names of German
    assert [len(track) > 0 for track in new.sounds] == [True, True]
    assert hidden(tmp_path) == []


@pytest.mark.parametrize("start", [0, 1001, 6000])
def test_irregular_times_and_late_starts_are_kept_to_the_tick(
    tmp_path: Path, make_clip: MakeClip, read_contents: ReadContents, start: int
) -> None:
    times = [start + time for time in IRREGULAR]
    source = make_clip(tmp_path / "in.mp4", pts=times, time_base=Fraction(1, 30000), audio=["aac"])
    rewrite(source, tmp_path / "out.mp4")
    old, new = read_contents(source), read_contents(tmp_path / "out.mp4")
    assert new.times == [Fraction(time, 30000) for time in times]
    assert new.end == old.end
    assert new.sounds == old.sounds
    assert new.sound_times == old.sound_times


@pytest.mark.parametrize(
    ("suffix", "audio"), [(".mkv", "flac"), (".mkv", "aac"), (".webm", "libopus")]
)
def test_matroska_keeps_every_frame_and_packet_and_times_to_the_millisecond(
    tmp_path: Path, make_clip: MakeClip, read_contents: ReadContents, suffix: str, audio: str
) -> None:
    source = make_clip(tmp_path / "in.mkv", rate=Fraction(30000, 1001), audio=[audio, audio])
    rewrite(source, tmp_path / f"out{suffix}", OutputConfig())
    old, new = read_contents(source), read_contents(tmp_path / f"out{suffix}")
    assert new.sounds == old.sounds
    assert new.languages == old.languages == ["eng", "deu"]
    shift = new.times[0] - old.times[0]
    pairs = zip(
        [*new.times, *chain(*new.sound_times)],
        [*old.times, *chain(*old.sound_times)],
        strict=True,
    )
    assert max(abs(a - b - shift) for a, b in pairs) <= Fraction(1, 1000)


def test_a_broadcast_starts_at_nought_with_sound_and_picture_in_step(
    tmp_path: Path, make_clip: MakeClip, read_contents: ReadContents
) -> None:
    source = make_clip(tmp_path / "in.ts", codec="mpeg2video", audio=["mp2"], num_frames=10)
    rewrite(source, tmp_path / "out.mp4")
    old, new = read_contents(source), read_contents(tmp_path / "out.mp4")
    assert len(new.times) == len(old.times)
    assert new.sounds == old.sounds
    assert min(new.times[0], new.sound_times[0][0]) == 0
    step = new.times[0] - new.sound_times[0][0] - (old.times[0] - old.sound_times[0][0])
    assert abs(step) <= Fraction(1, 48000)


def test_sound_can_be_left_out(
    tmp_path: Path, make_clip: MakeClip, read_contents: ReadContents
) -> None:
    source = make_clip(tmp_path / "in.mp4", audio=["aac"])
    rewrite(source, tmp_path / "out.mp4", OutputConfig(audio="none"))
    assert read_contents(tmp_path / "out.mp4").sounds == []


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_rotation_pixel_aspect_colour_and_title_are_kept(
    tmp_path: Path, make_clip: MakeClip, suffix: str
) -> None:
    source = make_clip(
        tmp_path / "in.mp4",
        rotation=90,
        sample_aspect_ratio=Fraction(16, 15),
        colorspace=6,
        color_range=2,
        metadata={"title": "holiday"},
    )
    target = tmp_path / f"out{suffix}"
    rewrite(source, target, size=(192, 256))
    old, new = probe(source), probe(target)
    assert (new.height, new.width) == (192, 256)
    assert new.rotation == old.rotation == 90
    assert new.display_matrix == old.display_matrix
    assert new.sample_aspect_ratio == Fraction(16, 15)
    assert new.tags.matrix == Matrix.BT601_525
    assert new.tags.range == Range.FULL
    with av.open(str(target)) as container:
        assert container.metadata["title"] == "holiday"


@pytest.mark.parametrize(
    ("pix_fmt", "suffix", "codec", "expected"),
    [
        ("yuv420p", ".mp4", "libx264", "yuv420p"),
        ("yuv422p", ".mp4", "libx264", "yuv420p"),
        ("yuv444p", ".mkv", "libx264", "yuv444p"),
        ("gray", ".mp4", "libx264", "yuv420p"),
        ("bgr0", ".mp4", "libx264", "yuv420p"),
        ("bgr0", ".mkv", "libx264", "yuv444p"),
        ("yuv420p10le", ".mp4", "libx265", "yuv420p10le"),
        ("yuv444p10le", ".mkv", "libx265", "yuv444p10le"),
        ("yuv420p", ".webm", "libsvtav1", "yuv420p10le"),
    ],
)
def test_the_encoder_follows_source_and_container(
    tmp_path: Path, make_clip: MakeClip, pix_fmt: str, suffix: str, codec: str, expected: str
) -> None:
    source = make_clip(tmp_path / "in.mkv", codec="ffv1", pix_fmt=pix_fmt, size=(64, 64))
    target = tmp_path / f"out{suffix}"
    info = probe(source)
    with open_writer(
        target, info, (64, 64), OutputConfig(), source=source, report=ignore
    ) as writer:
        assert (writer.plan.coding.codec, writer.plan.coding.pix_fmt) == (codec, expected)
    rewrite(source, target, OutputConfig())
    assert probe(target).pix_fmt == expected
    with av.open(str(target)) as container:
        tag = container.streams.video[0].codec_tag
    assert (tag == "hvc1") == (codec == "libx265" and suffix == ".mp4")


@pytest.mark.parametrize(
    ("codec", "expected"),
    [
        ("libx264", "yuv444p"),
        ("libx265", "yuv444p"),
        ("libsvtav1", "yuv420p10le"),
        ("ffv1", "yuv420p"),
    ],
)
def test_odd_sizes_are_exact_and_a_change_of_format_is_said(
    tmp_path: Path, make_clip: MakeClip, codec: str, expected: str
) -> None:
    source = make_clip(tmp_path / "in.mkv", num_frames=3)
    target = tmp_path / "out.mkv"
    notes = rewrite(source, target, OutputConfig(video_codec=codec), size=(65, 97))
    info = probe(target)
    assert (info.height, info.width, info.pix_fmt) == (65, 97, expected)
    codes = [note.code for note in notes]
    assert codes == (["W_PIX_FMT"] if expected == "yuv444p" else [])


@pytest.mark.parametrize(
    ("size", "colorspace", "expected"),
    [
        ((720, 960), 6, Matrix.BT709),
        ((96, 128), 6, Matrix.BT601_525),
        ((720, 960), 9, Matrix.BT2020),
        ((720, 960), 1, Matrix.BT709),
    ],
)
def test_small_pictures_of_bt601_become_bt709_when_they_grow_to_hd(
    tmp_path: Path,
    make_clip: MakeClip,
    size: tuple[int, int],
    colorspace: int,
    expected: Matrix,
) -> None:
    source = make_clip(tmp_path / "in.mp4", colorspace=colorspace, color_range=1, num_frames=2)
    with open_writer(
        tmp_path / "x.mp4", probe(source), size, FAST, source=source, report=ignore
    ) as writer:
        assert writer.plan.coding.color.matrix == expected
        assert any("BT.709" in reason for reason in writer.plan.coding.reasons) == (
            colorspace == 6 and expected == Matrix.BT709
        )
    rewrite(source, tmp_path / "out.mp4", size=size)
    assert probe(tmp_path / "out.mp4").tags.matrix == expected


def test_written_samples_come_back(tmp_path: Path, make_clip: MakeClip) -> None:
    source = make_clip(tmp_path / "in.mkv", codec="ffv1", pix_fmt="yuv420p10le", size=(37, 51))
    target = tmp_path / "out.mkv"
    info, frames = probe(source), []
    config = OutputConfig(video_codec="ffv1")
    with open_writer(target, info, (37, 51), config, source=source, report=ignore) as writer:
        for frame in read_frames(source, report=ignore):
            frames.append(frame)
            write_planes(writer, frame, frame.planes)
        writer.finish()
    for frame, back in zip(frames, read_frames(target, report=ignore), strict=True):
        for before, after in zip(frame.planes, back.planes, strict=True):
            np.testing.assert_array_equal(before, after)


def test_ffv1_keeps_every_code_of_eight_bit_rgb(tmp_path: Path, make_clip: MakeClip) -> None:
    source = make_clip(tmp_path / "in.mp4", num_frames=2, size=(37, 51), pix_fmt="yuv444p")
    target = tmp_path / "out.mkv"
    info, random = probe(source), np.random.default_rng(0)
    config = OutputConfig(video_codec="ffv1", pix_fmt="bgr0")
    planes = tuple(random.integers(0, 256, (37, 51), dtype=np.uint8) for _ in range(3))
    with open_writer(target, info, (37, 51), config, source=source, report=ignore) as writer:
        for frame in read_frames(source, report=ignore):
            write_planes(writer, frame, planes)
        writer.finish()
    with av.open(f"file:{target}") as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(pictures) == 2
    for picture in pictures:
        np.testing.assert_array_equal(picture, np.stack(planes, axis=-1))


def test_nothing_is_left_and_nothing_replaced_when_the_work_is_interrupted(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    source, target = make_clip(tmp_path / "in.mp4", audio=["aac"]), tmp_path / "out.mp4"
    target.write_bytes(b"precious")
    config = OutputConfig(preset="ultrafast", overwrite=True)
    info = probe(source)
    before = sorted(tmp_path.iterdir())

    def work() -> None:
        with open_writer(target, info, (48, 64), config, source=source, report=ignore) as writer:
            for frame in read_frames(source, report=ignore):
                write_planes(writer, frame, frame.planes)
                assert len(hidden(tmp_path)) == 1
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert target.read_bytes() == b"precious"
    assert sorted(tmp_path.iterdir()) == before


def test_overwriting_replaces_only_at_the_end(tmp_path: Path, make_clip: MakeClip) -> None:
    source, target = make_clip(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    target.write_bytes(b"precious")
    rewrite(source, target, OutputConfig(preset="ultrafast", overwrite=True))
    assert probe(target).num_frames == 6


def test_a_target_that_appears_meanwhile_is_kept(tmp_path: Path, make_clip: MakeClip) -> None:
    source, target = make_clip(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    info = probe(source)
    with open_writer(target, info, (48, 64), FAST, source=source, report=ignore) as writer:
        for frame in read_frames(source, report=ignore):
            write_planes(writer, frame, frame.planes)
        target.write_bytes(b"precious")
        earlier = tmp_path / "out.mp4.failed"
        earlier.write_bytes(b"precious, too")
        with pytest.raises(OutputError, match="appeared"):
            writer.finish()
    assert target.read_bytes() == b"precious"
    assert earlier.read_bytes() == b"precious, too"
    assert probe(tmp_path / "out.mp4.failed.2").num_frames == 6


def test_a_file_that_is_not_what_was_written_never_gets_the_name(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    source, target = make_clip(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    info = probe(source)
    with open_writer(target, info, (48, 64), FAST, source=source, report=ignore) as writer:
        for frame in read_frames(source, report=ignore):
            write_planes(writer, frame, frame.planes)
        assert isinstance(writer._muxer, Muxer)
        writer._muxer._times.num_frames += 1
        with pytest.raises(VerificationError, match="6 frames instead of 7") as caught:
            writer.finish()
    assert caught.value.exit_code == 7
    assert not target.exists()
    assert probe(tmp_path / "out.mp4.failed").num_frames == 6


@pytest.mark.parametrize(
    ("suffix", "config", "kind", "says"),
    [
        (".mp4", OutputConfig(video_codec="nonsense"), ConfigError, "no encoder `nonsense`"),
        (".mp4", OutputConfig(video_codec="aac"), ConfigError, "encodes audio"),
        (".mp4", OutputConfig(pix_fmt="nonsense"), ConfigError, "no pixel format `nonsense`"),
        (".mp4", OutputConfig(pix_fmt="nv12"), ConfigError, "planar|cannot be written"),
        (".mkv", OutputConfig(video_codec="ffv1", crf=10), ConfigError, "no constant quality"),
        (".mp4", OutputConfig(crf=52), ConfigError, "`--crf 52` is out of range"),
        (".mp4", OutputConfig(crf=-1), ConfigError, "`--crf -1` is out of range"),
        (".webm", OutputConfig(crf=64), ConfigError, "`--crf 64` is out of range"),
        (".mkv", OutputConfig(video_codec="ffv1", preset="slow"), ConfigError, "no presets"),
        (".mp4", OutputConfig(preset="nonsense"), ConfigError, "no preset `nonsense`"),
        (".mp4", OutputConfig(preset="99"), OutputError, "does not open"),
        (".mp4", OutputConfig(video_codec="huffyuv"), OutputError, "cannot hold `huffyuv`"),
        (".webm", OutputConfig(video_codec="libx264"), OutputError, "cannot hold `h264`"),
    ],
)
def test_what_encoder_or_container_refuse_is_known_before_the_first_frame(
    tmp_path: Path,
    make_clip: MakeClip,
    suffix: str,
    config: OutputConfig,
    kind: type[VsrError],
    says: str,
) -> None:
    source = make_clip(tmp_path / "in.mp4", audio=["aac"])
    target = tmp_path / f"out{suffix}"
    with pytest.raises(kind, match=says) as caught:
        start_writing(target, source, config)
    assert caught.value.hint
    assert "avcodec_open2" not in str(caught.value.why)  # what users did not type
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4"]


def start_writing(target: Path, source: Path, config: OutputConfig) -> None:
    with open_writer(target, probe(source), (48, 64), config, source=source):
        raise AssertionError("nothing was refused")


def test_an_encoder_that_exists_but_cannot_run_here_is_refused(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    source = make_clip(tmp_path / "in.mp4")
    config = OutputConfig(pix_fmt="yuv420p", preset="ultrafast")
    with pytest.raises(OutputError, match="does not open") as caught:  # 4:2:0 of an odd size
        rewrite(source, tmp_path / "out.mp4", config, size=(65, 97))
    assert (caught.value.exit_code, bool(caught.value.hint)) == (4, True)
    assert not (tmp_path / "out.mp4").exists()


def test_a_writer_that_got_no_frame_leaves_no_file(tmp_path: Path, make_clip: MakeClip) -> None:
    source, target = make_clip(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    with (
        open_writer(target, probe(source), (48, 64), FAST, source=source, report=ignore) as writer,
        pytest.raises(OutputError, match="no frame"),
    ):
        writer.finish()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4"]


@pytest.mark.parametrize("codec", ["pcm_u8", "pcm_s16le"])
def test_pcm_that_the_container_cuts_differently_is_whole_all_the_same(
    tmp_path: Path, make_clip: MakeClip, read_contents: ReadContents, codec: str
) -> None:
    source = make_clip(tmp_path / "in.mkv", num_frames=20, audio=[codec])
    rewrite(source, tmp_path / "out.mov")
    before, after = (read_contents(path).sounds for path in (source, tmp_path / "out.mov"))
    assert b"".join(after[0]) == b"".join(before[0])
