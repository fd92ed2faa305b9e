"""Names and tags: kept where there is a place for them, and said where there is none."""

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.stream import Disposition

from tests.conftest import MakeClip
from tests.media.flat_video import FAST, flat_planes
from tests.media.rich import cover_picture
from tests.media.test_durations import rejoin
from tests.media.writers import open_writer, write_planes
from vsr_cli.config import InputConfig, OutputConfig
from vsr_cli.events import Event, Note, ignore
from vsr_cli.media.reading.reader import open_video, probe, read_frames
from vsr_cli.media.writing.output_plan import plan_output
from vsr_cli.media.writing.rehearsal import rehearse


def tagged(
    path: Path,
    make_clip: MakeClip,
    tags: Mapping[str, str],
    tracks: Mapping[int, Mapping[str, str]],
    *,
    keys: bool = False,
    cover: bool = False,
) -> Path:
    """A clip with two tracks of sound, and tags of the file and of streams, by their index."""
    plain = make_clip(path.with_name("plain.mkv"), audio=["aac", "aac"])
    options = {"movflags": "use_metadata_tags"} if keys else {}
    with (
        av.open(f"file:{plain}") as old,
        av.open(f"file:{path}", "w", container_options=options) as new,
    ):
        copies = {s.index: new.add_stream_from_template(s, opaque=True) for s in old.streams}
        new.metadata.update(tags)
        for index, own in tracks.items():
            copies[index].metadata.update(own)
        if cover:
            picture = new.add_stream("mjpeg", rate=1)
            picture.codec_context.pix_fmt = "yuvj420p"
            picture.codec_context.height = picture.codec_context.width = 16
            picture.disposition = Disposition.attached_pic
            packet = av.Packet(cover_picture())
            packet.stream, packet.pts, packet.dts = picture, 0, 0
            packet.time_base = Fraction(1)
            new.mux(packet)
        for packet in old.demux():
            if packet.size:
                packet.stream = copies[packet.stream_index]
                new.mux(packet)
    return path


def names(path: Path) -> list[str | None]:
    """What the tracks of sound are called."""
    with av.open(f"file:{path}") as container:
        return [
            s.metadata.get("title", s.metadata.get("handler_name")) for s in container.streams.audio
        ]


def said(source: Path, target: Path) -> list[str]:
    """What is said of tags before anything is computed."""
    events: list[Event] = []
    with open_video(source) as video:
        config = OutputConfig(overwrite=True)
        plan = plan_output(target, source, video.info, (96, 128), config, report=events.append)
        rehearse(plan, video.side_streams, from_chunks=False, report=events.append)
    notes = [event for event in events if isinstance(event, Note)]
    return [note.text for note in notes if note.code == "W_TAGS_DROPPED"]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("kind", [".mp4", ".mov", ".mkv"])
def test_tracks_keep_their_names(
    tmp_path: Path, make_clip: MakeClip, kind: str, suffix: str
) -> None:
    key = "title" if kind == ".mkv" else "handler_name"
    tracks = {1: {key: "Game sound"}, 2: {key: "Director commentary"}}
    source = tagged(tmp_path / f"in{kind}", make_clip, {}, tracks)
    rejoin(source, tmp_path / f"out{suffix}")
    assert names(tmp_path / f"out{suffix}") == ["Game sound", "Director commentary"]
    assert said(source, tmp_path / f"out{suffix}") == []


@pytest.mark.parametrize("name", ["SoundHandler", "Core Media Audio", "Apple Sound Media Handler"])
def test_what_programs_call_a_track_is_no_name(
    tmp_path: Path, make_clip: MakeClip, name: str
) -> None:
    source = tagged(tmp_path / "in.mp4", make_clip, {}, {1: {"handler_name": name}})
    rejoin(source, tmp_path / "out.mkv")
    assert names(tmp_path / "out.mkv") == [None, None]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov"])
def test_a_part_has_the_time_code_of_its_own_start_alone(
    tmp_path: Path, make_clip: MakeClip, suffix: str
) -> None:
    source = tagged(tmp_path / "in.mkv", make_clip, {"timecode": "01:00:00.00"}, {})
    config = InputConfig(start=Fraction(1, 25))
    info = probe(source, config)
    target = tmp_path / f"out{suffix}"
    with open_writer(target, info, (48, 64), FAST, source=source) as writer:
        for frame in read_frames(source, config, report=ignore):
            write_planes(writer, frame, flat_planes(frame.layout, (48, 64), 90))
        writer.finish()
    with av.open(f"file:{target}") as container:
        holders = [container.metadata, *(s.metadata for s in container.streams)]
    found = {v for tags in holders for k, v in tags.items() if k.lower() == "timecode"}
    assert {code[:8] + ":" + code[9:] for code in found} == {"01:00:00:01"}


PHONE = {
    "com.apple.quicktime.make": "Apple",
    "com.apple.quicktime.model": "a phone",
    "description": "by the sea",
    "own": "of mine",
}


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_the_tags_of_a_phone_are_kept(tmp_path: Path, make_clip: MakeClip, suffix: str) -> None:
    source = tagged(tmp_path / "in.mov", make_clip, PHONE, {}, keys=True)
    rejoin(source, tmp_path / f"out{suffix}")
    with av.open(f"file:{tmp_path / f'out{suffix}'}") as container:
        found = {key.lower(): value for key, value in container.metadata.items()}
    assert PHONE.items() <= found.items()
    assert said(source, tmp_path / f"out{suffix}") == []


def test_tags_without_a_place_are_said_before_the_work(tmp_path: Path, make_clip: MakeClip) -> None:
    tags = {"title": "a holiday", "OWN": "of mine", "DIRECTOR": "me"}
    source = tagged(tmp_path / "in.mkv", make_clip, tags, {})
    assert said(source, tmp_path / "out.mp4") == ["tags that cannot be kept: `DIRECTOR`, `OWN`"]
    assert said(source, tmp_path / "out.mkv") == []
    assert "`title`" in said(source, tmp_path / "out.ts")[0]


def test_a_cover_is_kept_beside_the_title(tmp_path: Path, make_clip: MakeClip) -> None:
    source = tagged(tmp_path / "cover.mp4", make_clip, {"title": "a holiday"}, {}, cover=True)
    rejoin(source, tmp_path / "out.mp4")
    with av.open(f"file:{tmp_path / 'out.mp4'}") as container:
        assert any(s.disposition & Disposition.attached_pic for s in container.streams)
        assert container.metadata["title"] == "a holiday"
