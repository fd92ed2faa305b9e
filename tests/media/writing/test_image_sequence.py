"""Single images out: each frame exact, named when all are there, nothing of the user lost."""

from pathlib import Path

import av
import numpy as np
import pytest

from tests.conftest import MakeClip
from tests.media.flat_video import rewrite
from tests.media.test_hdr import MASTERING, write_pq
from tests.media.writers import open_writer, write_planes
from vsr_cli.config import OutputConfig
from vsr_cli.errors import ConfigError, OutputError
from vsr_cli.events import ignore
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
        assert all(name.startswith(".") for name in names(tmp_path / "out"))
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
    assert names(folder) == ["f1.png", "f2.png", "f7.png", "g1.png", "g2.png"]
    assert (folder / "f7.png").read_bytes() == b"precious"


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
