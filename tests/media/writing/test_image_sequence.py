"""Single images out: each frame exact, named when all are there, nothing of the user lost."""

import os
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import MakeClip
from tests.media.flat_video import rewrite
from tests.media.test_hdr import MASTERING, write_pq
from tests.media.writers import open_writer, write_planes
from vsr_cli.config import OutputConfig
from vsr_cli.errors import ConfigError, InputError, OutputError
from vsr_cli.events import ignore
from vsr_cli.media.image_names import NumberedName
from vsr_cli.media.reading.reader import probe, read_frames
from vsr_cli.media.writing.destination import check_target


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_images_hold_every_sample(tmp_path: Path, make_clip: MakeClip) -> None:
    source = make_clip(tmp_path / "in.mp4", num_frames=3, audio=["aac"])
    info, random = probe(source), np.random.default_rng(0)
    target = tmp_path / "out" / "a%03d.png"
    written = [
        tuple(random.integers(0, 256, (48, 64), dtype=np.uint8) for _ in range(3)) for _ in range(3)
    ]
    config = OutputConfig(verify="full")
    with open_writer(target, info, (48, 64), config, source=source, report=ignore) as writer:
        assert (
            writer.plan.coding.codec,
            writer.plan.coding.pix_fmt,
            writer.plan.coding.layout.kind,
        ) == (
            "png",
            "rgb24",
            "rgb",
        )
        for frame, planes in zip(read_frames(source, report=ignore), written, strict=True):
            write_planes(writer, frame, planes)
        assert not (tmp_path / "out").exists()
        writer.finish()
    assert names(tmp_path / "out") == ["a001.png", "a002.png", "a003.png"]
    for name, planes in zip(names(tmp_path / "out"), written, strict=True):
        with av.open(str(tmp_path / "out" / name), format="png_pipe") as image:
            picture = next(image.decode(video=0)).to_ndarray(format="rgb24")
        np.testing.assert_array_equal(picture, np.stack(planes, axis=-1))


def test_more_than_eight_bits_become_sixteen(tmp_path: Path) -> None:
    source = write_pq(tmp_path / "in.mp4", MASTERING)
    info, random = probe(source), np.random.default_rng(0)
    planes = tuple(random.integers(0, 65536, (64, 64), dtype=np.uint16) for _ in range(3))
    target = tmp_path / "%d.png"
    with open_writer(
        target, info, (64, 64), OutputConfig(), source=source, report=ignore
    ) as writer:
        assert (writer.plan.coding.pix_fmt, writer.plan.coding.layout.depth) == ("rgb48be", 16)
        for frame in read_frames(source, report=ignore):
            write_planes(writer, frame, planes)
        writer.finish()
    with av.open(str(tmp_path / "1.png"), format="png_pipe") as image:
        picture = next(image.decode(video=0))
        assert picture.format.name == "rgb48be"
        found = picture.to_ndarray()
    np.testing.assert_array_equal(found, np.stack(planes, axis=-1))


def test_a_folder_takes_images_numbered_from_one(tmp_path: Path, make_clip: MakeClip) -> None:
    source, folder = make_clip(tmp_path / "in.mp4", num_frames=2, audio=["aac"]), tmp_path / "100%d"
    folder.mkdir()
    notes = rewrite(source, folder, OutputConfig())
    assert [note.code for note in notes] == ["W_AUDIO_DROPPED"]
    assert names(folder) == ["00001.png", "00002.png"]


def test_images_that_exist_are_kept_unless_told_otherwise(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    source, folder = make_clip(tmp_path / "in.mp4", num_frames=2), tmp_path / "out"
    folder.mkdir()
    (folder / "f7.png").write_bytes(b"precious")
    with pytest.raises(OutputError, match="exists"):
        rewrite(source, folder / "f%d.png", OutputConfig())
    rewrite(source, folder / "g%d.png", OutputConfig())
    rewrite(source, folder / "f%d.png", OutputConfig(overwrite=True))
    assert names(folder) == ["f1.png", "f2.png", "g1.png", "g2.png", "replaced"]
    assert (folder / "replaced" / "f7.png").read_bytes() == b"precious"


def test_an_interrupted_job_leaves_no_image_and_no_new_folder(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    source, target = make_clip(tmp_path / "in.mp4"), tmp_path / "out" / "%d.png"
    info = probe(source)

    def work() -> None:
        with open_writer(
            target, info, (48, 64), OutputConfig(), source=source, report=ignore
        ) as writer:
            for frame in read_frames(source, report=ignore):
                planes = tuple(np.zeros((48, 64), np.uint8) for _ in range(3))
                write_planes(writer, frame, planes)
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert sorted(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("out/one.png", "not a folder that exists"),
        ("out/%s%d.png", "no place for a number"),
        ("no/such/%d.png", "not a folder that exists"),
        ("in.mp4/%d.png", "not a folder"),
    ],
)
def test_names_that_cannot_number_images_are_refused(
    tmp_path: Path, make_clip: MakeClip, name: str, says: str
) -> None:
    source = make_clip(tmp_path / "in.mp4", num_frames=1)
    with pytest.raises(OutputError, match=says):
        rewrite(source, tmp_path / name, OutputConfig())
    assert sorted(tmp_path.iterdir()) == [source]


def test_a_format_of_images_needs_their_name(tmp_path: Path, make_clip: MakeClip) -> None:
    source = make_clip(tmp_path / "in.mp4", num_frames=1)
    with pytest.raises(ConfigError, match="numbered name"):
        rewrite(source, tmp_path / "out.mkv", OutputConfig(format="image2"))


def test_images_never_replace_the_images_they_are_made_of(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    rewrite(make_clip(tmp_path / "in.mp4", num_frames=2), folder / "%d.png", OutputConfig())
    before = {path: path.read_bytes() for path in folder.iterdir()}
    for source in (folder, folder / "%d.png"):
        for target in (folder / "%d.png", folder):
            if source == folder or target.name == source.name:
                with pytest.raises(OutputError, match="holds the source itself"):
                    check_target(target, source, OutputConfig(overwrite=True))
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_longer_earlier_sequence_is_put_aside_whole(tmp_path: Path, make_clip: MakeClip) -> None:
    folder = tmp_path / "out"
    rewrite(make_clip(tmp_path / "long.mp4", num_frames=5), folder / "%03d.png", OutputConfig())
    old = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "0004.png").write_bytes(b"of another sequence")
    source = make_clip(tmp_path / "short.mp4", num_frames=2)
    notes = rewrite(source, folder / "%03d.png", OutputConfig(overwrite=True))
    assert names(folder) == ["0004.png", "001.png", "002.png", "replaced"]
    kept = {path.name: path.read_bytes() for path in (folder / "replaced").iterdir()}
    assert kept == {name: old[name] for name in ("003.png", "004.png", "005.png")}
    assert [note.code for note in notes] == ["W_IMAGES_PUT_ASIDE"]
    assert str(folder / "replaced") in notes[0].text


def test_an_earlier_sequence_that_is_no_longer_leaves_nothing(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    folder, source = tmp_path / "out", make_clip(tmp_path / "in.mp4", num_frames=3)
    rewrite(source, folder / "%03d.png", OutputConfig())
    assert rewrite(source, folder / "%03d.png", OutputConfig(overwrite=True)) == []
    assert names(folder) == ["001.png", "002.png", "003.png"]


def test_a_new_folder_appears_with_all_its_images(
    tmp_path: Path, make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And only once they are on disk."""
    source, folder = make_clip(tmp_path / "in.mp4", num_frames=3), tmp_path / "out"
    synced: list[str] = []
    fsync = os.fsync

    def note_and_sync(descriptor: int) -> None:
        assert not folder.exists() or len(synced) == 4
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    if not Path("/proc/self/fd").exists():
        pytest.skip("nothing tells which file a descriptor is of")
    monkeypatch.setattr(os, "fsync", note_and_sync)
    rewrite(source, folder / "%d.png", OutputConfig())
    assert names(folder) == ["1.png", "2.png", "3.png"]
    assert {Path(path).name for path in synced[:3]} == {"1.png", "2.png", "3.png"}
    assert synced[4] == str(tmp_path)


def test_images_whose_names_are_taken_meanwhile_are_kept(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    source, folder = make_clip(tmp_path / "in.mp4", num_frames=2), tmp_path / "out"
    folder.mkdir()
    info, zeros = probe(source), np.zeros((48, 64), np.uint8)
    with open_writer(
        folder / "%d.png", info, (48, 64), OutputConfig(), source=source, report=ignore
    ) as writer:
        for frame in read_frames(source, report=ignore):
            write_planes(writer, frame, (zeros, zeros, zeros))
        (folder / "1.png").write_bytes(b"precious")
        with pytest.raises(OutputError, match="appeared meanwhile"):
            writer.finish()
    assert (folder / "1.png").read_bytes() == b"precious"
    assert names(folder / "new") == ["1.png", "2.png"]


@pytest.mark.parametrize("digits", ["%c", "%5d", "%999999999999d", "%0999d", "%d%d", "%", "%00d"])
def test_only_a_number_of_sane_width_makes_a_sequence(
    tmp_path: Path, make_clip: MakeClip, digits: str
) -> None:
    source, name = make_clip(tmp_path / "in.mp4", num_frames=1), f"{digits}.png"
    with pytest.raises(OutputError, match="no place for a number"):
        rewrite(source, tmp_path / "out" / name, OutputConfig())
    with pytest.raises(InputError, match="does not exist"):
        probe(tmp_path / name)
    assert sorted(tmp_path.iterdir()) == [source]


@given(number=st.integers(0, 10**13), width=st.integers(1, 12))
def test_a_number_is_found_in_the_name_it_gives(number: int, width: int) -> None:
    name = NumberedName.parse(f"a1_%0{width}d.png")
    assert name is not None
    assert name.number_in(name.of(number)) == number
    assert name.number_in(f"a1_{'0' * 14}{number}.png") is None


def test_the_source_is_never_a_part_of_the_sequence(tmp_path: Path, make_clip: MakeClip) -> None:
    folder = tmp_path / "frames"
    rewrite(make_clip(tmp_path / "in.mp4", num_frames=2), folder / "%04d.png", OutputConfig())
    with pytest.raises(OutputError, match="holds the source itself"):
        check_target(folder / "%04d.png", folder / "0002.png", OutputConfig(overwrite=True))
    check_target(folder / "%d.png", folder / "0002.png", OutputConfig(overwrite=True))
