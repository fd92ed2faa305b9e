"""Every command finds the same videos in a folder."""

from pathlib import Path

import pytest

from vsr_cli.cli.sources import find_sources
from vsr_cli.media.containers import BY_SUFFIX, IMAGE_SUFFIXES, VIDEO_SUFFIXES
from vsr_cli.quality.cases import find_clips
from vsr_cli.training.dataset import _find


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One file of each kind of video, in capitals, and two that are none."""
    for suffix in VIDEO_SUFFIXES:
        (tmp_path / f"clip-{suffix[1:]}{suffix.upper()}").touch()
    (tmp_path / "notes.txt").touch()
    (tmp_path / "sound.flac").touch()
    return tmp_path


def test_batch_evaluation_and_training_look_for_the_same_videos(folder: Path) -> None:
    sources = find_sources([folder], Path("out"), recursive=False, jobs_file=None, is_null=False)
    found = [source.path for source in sources]
    assert {path.suffix.lower() for path in found} == VIDEO_SUFFIXES
    assert find_clips(folder) == found
    assert _find(folder) == found


def test_images_are_footage_to_train_on_as_well(tmp_path: Path) -> None:
    for suffix in IMAGE_SUFFIXES:
        (tmp_path / f"image{suffix}").touch()
    assert {path.suffix for path in _find(tmp_path)} == IMAGE_SUFFIXES


def test_whatever_is_written_as_a_video_is_found_again() -> None:
    not_alone = {".yuv", ".png"}  # needs to be told what it is; one frame of many
    assert BY_SUFFIX.keys() - not_alone <= VIDEO_SUFFIXES
    assert not VIDEO_SUFFIXES & IMAGE_SUFFIXES
