"""Sound and subtitles that are odd or damaged: heard all the same, or left out and said."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.codec import Codec
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream

from tests.conftest import MakeClip
from tests.media.flat_video import FAST, flat_planes, rewrite
from tests.media.rich import MS
from tests.media.writers import join, open_writer, write_planes
from vsr_cli.config import OutputConfig
from vsr_cli.events import Event, Note, ignore
from vsr_cli.media.reading.reader import open_video, probe, read_frames
from vsr_cli.media.writing.audio import AudioEncoder
from vsr_cli.media.writing.chunks import ChunkWriter
from vsr_cli.media.writing.muxer import Muxer, TrailerError
from vsr_cli.media.writing.output_plan import plan_output
from vsr_cli.media.writing.stream_trial import refusal
from vsr_cli.media.writing.verify import CopiedStream

RATE = 48_000  # Hz
HOUR = 3600


def write_odd_sound(
    path: Path, codec: str, layout: str, make_clip: MakeClip, *, seconds: float = 0.24
) -> Path:
    """A clip whose sound has the layout, as `stereo` or `2 channels`."""
    plain = make_clip(path.with_name("plain.avi"), num_frames=6, codec="mpeg4")
    with av.open(f"file:{plain}") as old, av.open(f"file:{path}", "w") as new:
        picture = new.add_stream_from_template(old.streams.video[0], opaque=True)
        sound = new.add_stream(codec, rate=RATE, options={"strict": "experimental"})
        assert isinstance(sound, AudioStream)
        formats = Codec(codec, "w").audio_formats or []
        sound.codec_context.layout, sound.codec_context.format = layout, formats[0].name
        sound.codec_context.time_base = Fraction(1, RATE)
        sound.codec_context.bit_rate = 128_000
        sound.codec_context.open()
        for packet in old.demux():
            if packet.size:
                packet.stream = picture
                new.mux(packet)
        size = sound.codec_context.frame_size or 1024
        for start in range(0, int(seconds * RATE), size):
            count = sound.codec_context.layout.nb_channels
            frame = AudioFrame(format=formats[0].name, layout=layout, samples=size)
            for plane in frame.planes:
                plane.update(bytes(np.full(plane.buffer_size, start % 7 + count, np.uint8)))
            frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
            new.mux(sound.encode(frame))
        new.mux(sound.encode(None))
    return path


def heard(path: Path) -> tuple[str, str, int]:
    """Codec, layout and number of samples of the first track."""
    with av.open(f"file:{path}") as container:
        track = container.streams.audio[0]
        frames = list(container.decode(track))
        codec = track.codec_context.codec.canonical_name
        return codec, frames[0].layout.name, sum(frame.samples for frame in frames)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm", ".avi", ".ts"])
@pytest.mark.parametrize("layout", ["2 channels", "6 channels", "8 channels", "2.1", "3 channels"])
def test_sound_without_a_usual_layout_is_heard_in_every_container(
    tmp_path: Path, make_clip: MakeClip, suffix: str, layout: str
) -> None:
    source = write_odd_sound(tmp_path / "in.mkv", "pcm_s16le", layout, make_clip)
    target = tmp_path / f"out{suffix}"
    notes = {
        note.code: note.text
        for note in rewrite(source, target, FAST if suffix != ".webm" else OutputConfig())
    }
    codec, name, samples = heard(target)
    if suffix in (".mp4", ".mov", ".mkv", ".avi"):
        assert codec == "pcm_s16le"
        assert not notes
    else:
        assert codec == {".webm": "opus", ".ts": "aac"}[suffix]
        assert "W_AUDIO_ENCODED" in notes
    if suffix in (".mp4", ".mov", ".webm", ".ts"):
        usual = {"2 channels": "stereo", "6 channels": "5.1", "8 channels": "7.1"}
        wanted = usual.get(layout, "5.1" if suffix == ".webm" else "2.1")
        assert name == wanted
    assert samples >= 0.2 * RATE


@pytest.mark.parametrize("codec", ["wmav2", "adpcm_ms", "pcm_mulaw", "pcm_u8", "tta", "wavpack"])
@pytest.mark.parametrize("target_suffix", [".mp4", ".mov", ".webm"])
def test_sound_that_a_container_cannot_hold_becomes_a_codec_that_it_can(
    tmp_path: Path, make_clip: MakeClip, codec: str, target_suffix: str
) -> None:
    suffix = {"tta": ".mkv", "wavpack": ".mkv"}.get(codec, ".avi")
    source = write_odd_sound(tmp_path / f"in{suffix}", codec, "stereo", make_clip)
    config = OutputConfig() if target_suffix == ".webm" else FAST
    rewrite(source, tmp_path / f"out{target_suffix}", config)
    _, name, samples = heard(tmp_path / f"out{target_suffix}")
    assert name in ("stereo", "2 channels")
    assert samples >= 0.15 * RATE


def test_sound_that_a_container_takes_and_does_not_describe_is_encoded_again(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    source = write_odd_sound(tmp_path / "in.avi", "adpcm_ima_wav", "stereo", make_clip)
    [note] = rewrite(source, tmp_path / "out.nut")
    assert note.code == "W_AUDIO_ENCODED"
    assert heard(tmp_path / "out.nut")[0] == "flac"


def test_sound_is_encoded_again_as_often_as_it_is_asked_for(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    """A rehearsal decodes the start; the target must get all of it."""
    source = write_odd_sound(tmp_path / "in.avi", "adpcm_ms", "stereo", make_clip)
    with open_video(source) as video:
        streams, info = video.side_streams, video.info
        frames = list(video.frames(report=ignore))
        for name in ("first.mp4", "second.mp4"):
            with open_writer(tmp_path / name, info, (48, 64), FAST, source=streams) as writer:
                for frame in frames:
                    write_planes(writer, frame, flat_planes(frame.layout, (48, 64), 90))
                writer.finish()
    assert heard(tmp_path / "first.mp4") == heard(tmp_path / "second.mp4")


def test_what_a_muxer_calls_experimental_is_no_codec_that_it_can_hold() -> None:
    def add_stream(output: OutputContainer) -> Stream:
        return output.add_mux_stream("truehd", rate=RATE)

    assert "experimental" in (refusal("mp4", add_stream, None) or "")
    assert "experimental" in (refusal("mp4", add_stream, None) or "")  # said as often as asked
    assert refusal("matroska", add_stream, None) is None


def remux(
    source: Path,
    target: Path,
    keep: Callable[["Packet[Stream]"], bool],
    shift: Callable[["Packet[Stream]"], Fraction] = lambda packet: Fraction(0),
) -> Path:
    """Copy a file, some of its packets left out or moved by some seconds."""
    with av.open(f"file:{source}") as old, av.open(f"file:{target}", "w") as new:
        copies = {s.index: new.add_stream_from_template(s, opaque=True) for s in old.streams}
        for packet in old.demux():
            if packet.size and packet.pts is not None and keep(packet):
                packet.pts += round(shift(packet) / packet.time_base)
                packet.dts = packet.pts
                packet.stream = copies[packet.stream_index]
                new.mux(packet)
    return target


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".ts"])
@pytest.mark.parametrize("kind", [".ts", ".mkv"])
def test_sound_that_is_announced_and_never_comes_is_left_out(
    tmp_path: Path, make_clip: MakeClip, kind: str, suffix: str
) -> None:
    plain = make_clip(tmp_path / "plain.mkv", audio=["aac", "ac3"])
    source = remux(plain, tmp_path / f"in{kind}", lambda packet: packet.stream_index != 1)
    [note] = rewrite(source, tmp_path / f"out{suffix}")
    assert (note.code, "stream 1, aac" in note.text) == ("W_AUDIO_DROPPED", True)
    with av.open(f"file:{tmp_path / f'out{suffix}'}") as container:
        assert [track.codec_context.name for track in container.streams.audio] == ["ac3"]


def test_each_track_that_is_left_out_is_named(tmp_path: Path, make_clip: MakeClip) -> None:
    plain = make_clip(tmp_path / "plain.mkv", audio=["aac", "ac3"])
    source = remux(plain, tmp_path / "in.mkv", lambda packet: packet.stream_index == 0)
    texts = [note.text for note in rewrite(source, tmp_path / "out.mp4")]
    assert ["stream 1, aac" in texts[0], "stream 2, ac3" in texts[1]] == [True, True]


def test_sound_that_pauses_longer_than_mp4_can_tell_does_not_cost_the_picture(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    """13 hours are more than 2^31 samples."""
    plain = make_clip(tmp_path / "plain.mkv", num_frames=20, audio=["aac"])

    def late(packet: "Packet[Stream]") -> Fraction:
        is_late = packet.stream.type == "audio" and (packet.pts or 0) * packet.time_base > 0.4
        return Fraction(13 * HOUR if is_late else 0)

    source = remux(plain, tmp_path / "in.mkv", lambda packet: True, late)
    notes = rewrite(source, tmp_path / "out.mp4")
    assert [note.code for note in notes] == ["W_STREAM_CUT"]
    assert "audio (stream 1, aac) ends at 0.4" in notes[0].text
    with av.open(f"file:{tmp_path / 'out.mp4'}") as container:
        assert len(list(container.decode(video=0))) == 20
    assert rewrite(source, tmp_path / "out.mkv") == []


def sound_of(container: InputContainer) -> bytes:
    """All packets of the first track, one after the other."""
    return b"".join(bytes(packet) for packet in container.demux(audio=0) if packet.size)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("codec", ["flac", "aac", "libopus", "ac3", "libmp3lame", "pcm_s16le"])
def test_sound_whose_packets_do_not_tell_how_long_they_last_is_whole(
    tmp_path: Path, make_clip: MakeClip, codec: str, suffix: str
) -> None:
    source = make_clip(tmp_path / "in.nut", num_frames=12, audio=[codec])
    target = tmp_path / f"out{suffix}"
    notes = rewrite(source, target)
    assert notes == []
    with av.open(f"file:{source}") as old, av.open(f"file:{target}") as new:
        assert new.streams.audio[0].codec_context.name == old.streams.audio[0].codec_context.name
        assert sound_of(new) == sound_of(old)


def test_sound_that_does_not_come_back_does_not_cost_the_picture(
    tmp_path: Path, make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a container drops packets that it has taken."""
    source = make_clip(tmp_path / "in.mkv", num_frames=20, audio=["aac", "ac3"])

    def forget(self: CopiedStream, num_packets: int, num_bytes: int) -> bool:
        return self.kind != "audio"

    monkeypatch.setattr(CopiedStream, "is_whole", forget)
    notes = rewrite(source, tmp_path / "out.mp4")
    assert [note.code for note in notes] == ["W_STREAM_CUT"] * 2
    assert "audio (stream 1, aac) is not whole: 0 of " in notes[0].text
    with av.open(f"file:{tmp_path / 'out.mp4'}") as container:
        assert len(list(container.decode(video=0))) == 20


def test_sound_that_an_encoder_refuses_midway_does_not_cost_the_picture(
    tmp_path: Path, make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_clip(tmp_path / "in.mkv", num_frames=20, audio=["pcm_s16le"])

    def refuse(self: AudioEncoder, frame: AudioFrame, origin: Fraction) -> None:
        raise av.error.ArgumentError(22, "Invalid argument")

    monkeypatch.setattr(AudioEncoder, "_place", refuse)
    notes = rewrite(source, tmp_path / "out.ts")
    assert [note.code for note in notes] == ["W_AUDIO_ENCODED", "W_STREAM_CUT"]
    assert notes[1].text.endswith("takes no more of it (invalid argument)")
    with av.open(f"file:{tmp_path / 'out.ts'}") as container:
        assert len(list(container.decode(video=0))) == 20


def rewrite_joined(source: Path, target: Path) -> list[Note]:
    """Like `rewrite`, from a chunk that lies beside the target; returns what joining says."""
    events: list[Event] = []
    info = probe(source)
    plan = plan_output(target, source, info, (info.height, info.width), FAST, report=ignore)
    with ChunkWriter(target.with_name("chunk.mkv"), plan) as chunk:
        for index, frame in enumerate(read_frames(source, report=ignore)):
            coding = plan.coding
            planes = flat_planes(coding.layout, coding.size, 40 + index)
            chunk.write(frame.with_planes(planes, coding.layout, coding.color))
        chunk.finish()
    join([target.with_name("chunk.mkv")], plan, source, report=events.append)
    return [event for event in events if isinstance(event, Note)]


@pytest.mark.parametrize("culprits", [{2}, {1, 2}])
def test_a_stream_for_which_a_container_refuses_at_its_end_does_not_cost_the_picture(
    tmp_path: Path, make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch, culprits: set[int]
) -> None:
    plain = make_clip(tmp_path / "plain.mkv", num_frames=20, audio=["aac", "ac3"])
    source, target = plain.rename(tmp_path / "in.mkv"), tmp_path / "out.mp4"
    finish = Muxer._write_trailer

    def refuse(self: Muxer) -> None:
        if culprits & {planned.source.index for planned in self._copier._planned.values()}:
            raise TrailerError("refused")
        finish(self)

    monkeypatch.setattr(Muxer, "_write_trailer", refuse)
    notes = rewrite_joined(source, target)
    lost = [note.text for note in notes if note.code == "W_STREAM_CUT"]
    assert len(lost) == len(culprits)
    assert all(f"(stream {index}, " in text for index, text in zip(culprits, lost, strict=True))
    with av.open(f"file:{target}") as container:
        assert len(list(container.decode(video=0))) == 20
        assert len(container.streams.audio) == 2 - len(culprits)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chunk.mkv", "in.mkv", "out.mp4"]


def test_a_picture_that_a_container_refuses_at_its_end_is_said_once(
    tmp_path: Path, make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_clip(tmp_path / "in.mkv", audio=["aac"])

    tries: list[Muxer] = []

    def refuse(self: Muxer) -> None:
        tries.append(self)
        raise TrailerError("refused")

    monkeypatch.setattr(Muxer, "_write_trailer", refuse)
    with pytest.raises(TrailerError):
        rewrite_joined(source, tmp_path / "out.mp4")
    assert len(tries) == 2  # with the only stream beside it, and without
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chunk.mkv", "in.mkv"]


def write_texts(path: Path, lines: list[tuple[int, int, str]], make_clip: MakeClip) -> Path:
    """A clip with texts: start and duration in ms."""
    plain = make_clip(path.with_name("plain.mkv"), num_frames=10)
    with av.open(f"file:{plain}") as old, av.open(f"file:{path}", "w") as new:
        picture = new.add_stream_from_template(old.streams.video[0], opaque=True)
        text = new.add_mux_stream("subrip", time_base=MS)
        for start, duration, words in lines:
            line: Packet[Stream] = Packet(words.encode())
            line.stream, line.time_base = text, MS
            line.pts = line.dts = start
            line.duration = duration
            new.mux(line)
        for packet in old.demux():
            if packet.size:
                packet.stream = picture
                new.mux(packet)
    return path


def shown(path: Path) -> list[tuple[Fraction, str]]:
    with av.open(f"file:{path}") as container:
        found = []
        for packet in container.demux(subtitles=0):
            data = bytes(packet)
            if packet.size > 2:
                words = data[2:] if path.suffix in (".mp4", ".mov") else data
                found.append((Fraction((packet.pts or 0) * packet.time_base), words.decode()))
        return found


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_texts_that_are_hours_apart_are_all_kept(
    tmp_path: Path, make_clip: MakeClip, suffix: str
) -> None:
    lines = [(0, 100, "first"), (3 * HOUR * 1000, 500, "later"), (30 * HOUR * 1000, 500, "last")]
    source = write_texts(tmp_path / "in.mkv", lines, make_clip)
    rewrite(source, tmp_path / f"out{suffix}")
    assert shown(tmp_path / f"out{suffix}") == [(start * MS, text) for start, _, text in lines]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_texts_without_a_length_last_until_the_next(
    tmp_path: Path, make_clip: MakeClip, suffix: str
) -> None:
    lines = [(0, 40, "first"), (120, 0, "second"), (200, 80, "third"), (320, 0, "last")]
    source = write_texts(tmp_path / "in.mkv", lines, make_clip)
    notes = rewrite(source, tmp_path / f"out{suffix}")
    assert "W_SUBS_ENDLESS" in [note.code for note in notes]
    with av.open(f"file:{tmp_path / f'out{suffix}'}") as container:
        lengths = [
            (packet.duration or 0) * packet.time_base
            for packet in container.demux(subtitles=0)
            if packet.size > 2
        ]
    assert lengths[1:] == [Fraction(80, 1000)] * 3


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_a_text_without_an_end_ends_with_the_picture(
    tmp_path: Path, make_clip: MakeClip, suffix: str
) -> None:
    source = write_texts(tmp_path / "in.mkv", [(100, 2**32 - 1, "for ever")], make_clip)
    notes = rewrite(source, tmp_path / f"out{suffix}")
    assert "W_SUBS_ENDLESS" in [note.code for note in notes]
    with av.open(f"file:{tmp_path / f'out{suffix}'}") as container:
        ends = [
            ((packet.pts or 0) + (packet.duration or 0)) * packet.time_base
            for packet in container.demux(subtitles=0)
            if packet.size > 2
        ]
    assert ends == [Fraction(2, 5)]
