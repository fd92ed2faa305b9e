"""A file is told from what it was: a small one by every byte, a large one by many samples."""

import hashlib
from pathlib import Path

import pytest

from vsr_cli import digest
from vsr_cli.digest import sha256, sha256_of_samples


def test_it_is_the_usual_digest(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc" * 1000)
    assert sha256(path) == sha256_of_samples(path) == hashlib.sha256(b"abc" * 1000).hexdigest()


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that counts as large: 5 samples of 4 bytes in 101 bytes, from 0, 24, 48, 72 and 97."""
    monkeypatch.setattr(digest, "MOST_READ", 100)
    monkeypatch.setattr(digest, "NUM_SAMPLES", 5)
    monkeypatch.setattr(digest, "SAMPLE_SIZE", 4)
    path = tmp_path / "file"
    path.write_bytes(bytes(range(101)))
    return path


@pytest.mark.parametrize("place", [0, 3, 24, 27, 48, 72, 97, 100])
def test_of_a_large_file_the_samples_count_to_the_last_byte(large: Path, place: int) -> None:
    before = sha256_of_samples(large)
    data = bytearray(large.read_bytes())
    data[place] ^= 1
    large.write_bytes(data)
    assert sha256_of_samples(large) != before


def test_what_lies_between_samples_is_not_read(large: Path) -> None:
    before = sha256_of_samples(large)
    data = bytearray(large.read_bytes())
    data[10] ^= 1
    large.write_bytes(data)
    assert sha256_of_samples(large) == before != sha256(large)
