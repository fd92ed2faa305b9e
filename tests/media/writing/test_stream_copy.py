"""Everything beside the picture arrives, or it is said before the work begins what does not."""

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.stream import Disposition

from tests.conftest import MakeClip, read_file
from tests.media.flat_video import FAST, rewrite
from tests.media.rich import FONT, LINES, MS, write_rich
from tests.media.writers import open_writer, write_planes
from vsr_cli.config import OutputConfig
from vsr_cli.errors import OutputError
from vsr_cli.events import Note, ignore
from vsr_cli.media.reading.reader import probe, read_frames


@dataclass(frozen=True)
class Text:
    """A subtitle: milliseconds and words."""

    start: int
    duration: int
    words: str


def texts(path: Path, number: int) -> list[Text]:
    """The subtitles of a track that show something."""
    found = []
    with av.open(f"file:{path}") as container:
        stream = container.streams.subtitles[number]
        name = stream.codec_context.codec.canonical_name
        for packet in container.demux(stream):
            data = bytes(packet)
            words = (data[2:] if name == "mov_text" else data.split(b",,")[-1]).decode()
            if packet.size and words:
                tick = packet.time_base / MS
                times = round((packet.pts or 0) * tick), round((packet.duration or 0) * tick)
                found.append(Text(*times, words))
    return found


def dispositions(path: Path) -> list[int]:
    with av.open(f"file:{path}") as container:
        return [
            stream.disposition & (Disposition.default | Disposition.forced | Disposition.comment)
            for stream in (*container.streams.audio, *container.streams.subtitles)
        ]


def codes(notes: list[Note]) -> list[str]:
    return [note.code for note in notes]


def test_matroska_keeps_everything(tmp_path: Path) -> None:
    source, target = write_rich(tmp_path / "in.mkv"), tmp_path / "out.mkv"
    assert rewrite(source, target) == []
    before, after = read_file(source), read_file(target)
    assert after.sounds == before.sounds
    assert after.languages == ["eng", "deu"]
    assert dispositions(target) == dispositions(source)
    expected = [Text(*line) for line in LINES]
    assert texts(target, 0) == texts(target, 1) == expected
    with av.open(f"file:{source}") as old, av.open(f"file:{target}") as new:
        assert new.chapters() == old.chapters() != []
        assert [s.type for s in new.streams] == [s.type for s in old.streams]
        languages = [s.metadata["language"] for s in new.streams.subtitles]
        assert languages == ["fra", "jpn"]
        (font,) = new.streams.attachments
        assert (font.data, font.metadata["filename"]) == (FONT, "some.ttf")
        tags = {key.lower(): value for key, value in new.metadata.items()}
        assert (tags["title"], tags["comment"]) == ("a holiday", "by the sea")
        cover, old_cover = new.streams.video[1], old.streams.video[1]
        assert cover.disposition & Disposition.attached_pic
        assert bytes(next(new.demux(cover))) == bytes(next(old.demux(old_cover)))


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_mp4_keeps_what_it_can_and_says_the_rest_once_for_each_kind(
    tmp_path: Path, suffix: str
) -> None:
    source, target = write_rich(tmp_path / "in.mkv"), tmp_path / f"out{suffix}"
    notes = rewrite(source, target)
    lost = ["W_SUBS_CONVERTED", "W_SUBS_DROPPED", "W_ATTACHMENTS_DROPPED"]
    assert codes(notes) == lost + (["W_COVER_DROPPED"] if suffix == ".mov" else [])
    before, after = read_file(source), read_file(target)
    assert after.sounds == before.sounds
    assert texts(target, 0) == clipped([Text(*line) for line in LINES])
    with av.open(f"file:{target}") as new:
        assert [stream.metadata["language"] for stream in new.streams.subtitles] == ["fra"]
        titles = [chapter["metadata"]["title"] for chapter in new.chapters()]
        assert titles == ["opening", "end"]
        assert new.metadata["title"] == "a holiday"
        covers = [s for s in new.streams.video if s.disposition & Disposition.attached_pic]
        assert len(covers) == (suffix == ".mp4")
        assert new.streams.best("video") is new.streams.video[0]


def clipped(lines: list[Text]) -> list[Text]:
    """MP4 shows one text at a time: each ends where the next one starts."""
    ends = [line.start for line in lines[1:]] + [10**6]
    return [
        replace(line, duration=min(line.duration, end - line.start))
        for line, end in zip(lines, ends, strict=True)
    ]


def test_text_comes_back_from_mp4_to_matroska(tmp_path: Path) -> None:
    source = write_rich(tmp_path / "in.mkv", subs=["subrip"], extras=False)
    rewrite(source, tmp_path / "mid.mp4")
    assert codes(rewrite(tmp_path / "mid.mp4", tmp_path / "out.mkv")) == ["W_SUBS_CONVERTED"]
    found = texts(tmp_path / "out.mkv", 0)
    shift = found[0].start  # Matroska begins with the first sound, which MP4 does not play
    moved = [replace(line, start=line.start - shift) for line in found]
    assert moved == clipped([Text(*line) for line in LINES])


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_strict_copying_refuses_what_would_be_lost_before_the_first_frame(
    tmp_path: Path, suffix: str
) -> None:
    source, target = write_rich(tmp_path / "in.mkv"), tmp_path / f"out{suffix}"
    config = OutputConfig(strict_copy=True)
    with (
        pytest.raises(OutputError, match="not everything can be copied") as caught,
        open_writer(target, probe(source), (48, 64), config, source=source),
    ):
        pass
    assert (caught.value.exit_code, bool(caught.value.hint)) == (4, True)
    assert sorted(tmp_path.iterdir()) == [source]
    rewrite(source, tmp_path / "out.mkv", replace(FAST, strict_copy=True))


def test_each_kind_can_be_left_out(tmp_path: Path) -> None:
    source, target = write_rich(tmp_path / "in.mkv"), tmp_path / "out.mkv"
    none = replace(
        FAST, audio="none", subs="none", chapters=False, attachments=False, metadata=False
    )
    assert rewrite(source, target, none) == []
    with av.open(f"file:{target}") as container:
        assert [stream.type for stream in container.streams] == ["video"]
        assert container.chapters() == []
        assert {"title", "comment"} & {key.lower() for key in container.metadata} == set()


def test_languages_stay_without_metadata(tmp_path: Path) -> None:
    source, target = write_rich(tmp_path / "in.mkv"), tmp_path / "out.mkv"
    rewrite(source, target, replace(FAST, metadata=False))
    assert read_file(target).languages == ["eng", "deu"]


def samples(path: Path, number: int) -> tuple[Fraction, int, int]:
    """Where a sound starts, in seconds; how many samples it has; its loudest frequency in Hz."""
    import numpy as np

    with av.open(f"file:{path}") as container:
        frames = list(container.decode(container.streams.audio[number]))
        rate = container.streams.audio[number].rate
    wave = np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames]).astype(float)
    spectrum = np.abs(np.fft.rfft(wave))
    start = Fraction(frames[0].pts or 0) * (frames[0].time_base or 0)
    return start, wave.size, round(int(spectrum[1:].argmax() + 1) * rate / wave.size)


@pytest.mark.parametrize(
    ("suffix", "audio", "expected"),
    [
        (".mkv", "aac", "aac"),
        (".mkv", "flac", "flac"),
        (".mp4", "flac", "flac"),
        (".mp4", "aac", "aac"),
        (".webm", "copy", "opus"),
    ],
)
def test_sound_that_is_encoded_again_sounds_the_same_at_the_same_time(
    tmp_path: Path, make_clip: MakeClip, suffix: str, audio: str, expected: str
) -> None:
    source = make_clip(tmp_path / "in.mkv", num_frames=30, audio=["aac", "ac3"])
    target = tmp_path / f"out{suffix}"
    config = OutputConfig(audio=audio)  # type: ignore[arg-type]
    notes = rewrite(source, target, config)
    assert codes(notes) == (["W_AUDIO_ENCODED"] * 2 if audio == "copy" else [])  # one each
    assert read_file(target).languages == ["eng", "deu"]
    with av.open(f"file:{target}") as container:
        tracks = [track.codec_context.codec.canonical_name for track in container.streams.audio]
    assert tracks == [expected, expected]
    for number in (0, 1):
        start, size, pitch = samples(target, number)
        old_start, old_size, old_pitch = samples(source, number)
        assert abs(start - old_start) <= Fraction(1, 20)
        assert abs(size - old_size) <= 2048
        assert abs(pitch - old_pitch) <= 5


def test_flac_keeps_every_sample_of_pcm_in_place(tmp_path: Path, make_clip: MakeClip) -> None:
    source = make_clip(tmp_path / "in.mkv", num_frames=20, audio=["pcm_s16le"])
    rewrite(source, tmp_path / "out.mkv", replace(FAST, audio="flac"))
    waves = []
    for path in (source, tmp_path / "out.mkv"):
        with av.open(f"file:{path}") as container:
            waves.append(b"".join(f.to_ndarray().tobytes() for f in container.decode(audio=0)))
    assert waves[0] == waves[1]


def cut(path: Path, source: Path, start: Fraction, stop: Fraction) -> None:
    """Write the frames between two times, as a cut job does."""
    info = replace(probe(source), start=start, stop=stop, origin=start)
    with open_writer(path, info, (48, 64), FAST, source=source, report=ignore) as writer:
        for frame in read_frames(source, report=ignore):
            if start <= frame.pts * frame.time_base < stop:
                write_planes(writer, frame, frame.planes)
        writer.finish()


def test_a_cut_takes_the_sound_subtitles_and_chapters_of_its_part(tmp_path: Path) -> None:
    source, target = write_rich(tmp_path / "in.mkv"), tmp_path / "out.mkv"
    cut(target, source, Fraction(60, 1000), Fraction(200, 1000))
    before, after = read_file(source), read_file(target)
    assert texts(target, 0) == [
        Text(0, 20, "first"),
        Text(0, 40, "second, over it"),
        Text(60, 80, "third"),
    ]
    with av.open(f"file:{target}") as container:
        chapters = [
            (c["metadata"]["title"], c["start"] * (c["time_base"] or 0))
            for c in container.chapters()
        ]
    assert chapters == [("opening", 0), ("end", Fraction(100, 1000))]
    first = before.sounds[0].index(after.sounds[0][0])
    assert after.sounds[0] == before.sounds[0][first : first + len(after.sounds[0])]
    moved = after.sound_times[0][0] - (before.sound_times[0][first] - Fraction(60, 1000))
    shown = after.times[0] - (before.times[2] - Fraction(60, 1000))
    assert abs(moved - shown) <= MS
    assert before.sound_times[0][first] <= Fraction(60, 1000)
    assert before.sound_times[0][first + len(after.sounds[0]) - 1] < Fraction(200, 1000)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_the_time_code_of_the_first_frame_is_kept(
    tmp_path: Path, make_clip: MakeClip, suffix: str
) -> None:
    source, target = make_clip(tmp_path / "in.mp4"), tmp_path / f"out{suffix}"
    info = replace(probe(source), timecode="01:02:03:04")
    with open_writer(target, info, (48, 64), FAST, source=source, report=ignore) as writer:
        for frame in read_frames(source, report=ignore):
            write_planes(writer, frame, frame.planes)
        writer.finish()
    assert probe(target).timecode == "01:02:03:04"
    notes = rewrite(target, tmp_path / f"again{suffix}")
    assert notes == []
    assert probe(tmp_path / f"again{suffix}").timecode == "01:02:03:04"
