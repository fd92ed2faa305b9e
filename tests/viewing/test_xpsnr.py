"""XPSNR through FFmpeg's filter: of equal pictures, of damaged ones, and where there is none."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import vsr_cli as vsr
from tests.conftest import MakeClip
from vsr_cli.errors import ConfigError
from vsr_cli.viewing import xpsnr
from vsr_cli.viewing.footage import Picture
from vsr_cli.viewing.xpsnr import Xpsnr

SIZE = (64, 96)


def pictures(seed: int, *, strength: int = 40) -> list[Picture]:
    """Five pictures, their left half plain grey and their right half of texture."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(5):
        picture = np.full((*SIZE, 3), 128, np.uint8)
        half = random.integers(-strength, strength, (SIZE[0], SIZE[1] // 2, 1))
        picture[:, SIZE[1] // 2 :] = (128 + half).astype(np.uint8)
        found.append(picture)
    return found


def test_equal_pictures_have_the_most_there_is() -> None:
    measure = Xpsnr(SIZE, Fraction(25))
    assert [measure(picture, picture) for picture in pictures(0)] == [100.0] * 5


def test_the_more_is_damaged_the_lower_it_is() -> None:
    def damaged(by: int) -> list[float]:
        measure = Xpsnr(SIZE, Fraction(30000, 1001))
        return [measure(picture + np.uint8(by), picture) for picture in pictures(1)]

    slight, heavy = damaged(2), damaged(8)
    assert all(a > b + 10 for a, b in zip(slight, heavy, strict=True))
    assert max(slight) < 60


def test_what_texture_hides_counts_less() -> None:
    """Which is what PSNR, of equal errors in the one half and the other, does not know."""
    middle = SIZE[1] // 2

    def spoilt(columns: slice) -> float:
        measure = Xpsnr(SIZE, Fraction(25))
        found = []
        for picture in pictures(2):
            other = picture.copy()
            other[:, columns] += 6
            found.append(measure(other, picture))
        return sum(found) / len(found)

    assert spoilt(slice(middle, None)) > spoilt(slice(middle)) + 3


@pytest.fixture
def pair(tmp_path: Path, make_clip: MakeClip) -> tuple[Path, Path]:
    """Two clips of other quality."""
    size = (48, 64)
    return tuple(  # type: ignore[return-value]
        make_clip(tmp_path / name, size=size, codec=codec)
        for name, codec in (("a.mkv", "ffv1"), ("b.mp4", "mpeg4"))
    )


def test_it_is_told_beside_other_figures(pair: tuple[Path, Path], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    found = vsr.compare(*pair, out=page, metrics="xpsnr,psnr", truth=1)
    assert list(found.means["b.mp4"]) == ["psnr", "xpsnr"]
    assert 15 < found.means["b.mp4"]["xpsnr"] < 100
    assert "XPSNR in dB" in page.read_text()
    same = vsr.compare(pair[0], pair[0], metrics="xpsnr", names="one,two")
    assert same.means == {"two": {"xpsnr": 100.0}}


def test_it_is_left_out_where_ffmpeg_has_no_such_filter(
    pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xpsnr, "filters_available", {"scale"})
    events = list[object]()
    found = vsr.compare(*pair, metrics="xpsnr,ssim", report=events.append)
    assert list(found.means["b.mp4"]) == ["ssim"]
    assert [e.code for e in events if isinstance(e, vsr.Note)] == ["W_METRIC_LEFT_OUT"]
    with pytest.raises(ConfigError, match="nothing to do"):
        vsr.compare(*pair, metrics="xpsnr")


def test_pictures_on_which_the_filter_would_fail_are_refused(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    small = make_clip(tmp_path / "small.mkv", size=(32, 48), codec="ffv1")
    with pytest.raises(ConfigError, match="needs 48 pixels a side"):
        vsr.compare(small, small, metrics="xpsnr")
