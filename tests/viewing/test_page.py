"""A page is one file that asks for no other, and shows the pictures that it was given."""

import base64
import hashlib
import json
import re
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import vsr_cli as vsr
from tests.conftest import MakeClip
from tests.viewing.pages import data_of, read_page, video_of, words_of
from vsr_cli.events import Event
from vsr_cli.viewing.footage import Picture, open_footage
from vsr_cli.viewing.outputs import spread
from vsr_cli.viewing.page import StackedVideo
from vsr_cli.viewing.stack import Stack, TooLargeError

IDS = [
    *("stage", "canvas", "handle", "tag-left", "tag-right", "scale", "scale-text", "transport"),
    *("back", "play", "next", "seek", "clock", "speed-label", "speed", "modes", "split", "blink"),
    *("heat", "ones", "left-label", "left", "right-label", "right", "gain-label", "gain", "out"),
    *("zoom", "in", "data", "stills", "video"),
]


@pytest.fixture
def pair(tmp_path: Path, make_clip: MakeClip) -> tuple[Path, Path]:
    return (
        make_clip(tmp_path / "a.mp4", num_frames=14, size=(92, 120)),
        make_clip(tmp_path / "b.mp4", num_frames=14, size=(46, 60)),
    )


def test_a_page_is_whole_and_has_the_parts_that_its_script_asks_for(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    found = vsr.compare(*pair, out=tmp_path / "page.html", metrics="psnr,ssim")
    page = read_page(tmp_path / "page.html")
    assert page.ids == IDS
    assert set(re.findall(r'\$\("([\w-]+)"\)', page.scripts[0])) <= set(IDS)
    data = data_of(page)
    assert data["names"] == ["a.mp4", "b.mp4"]
    assert data["captions"] == ["a.mp4", "b.mp4 (60x46, bicubic)"]
    assert data["times"] == pytest.approx([index / 25 for index in range(14)])
    text = words_of(tmp_path / "page.html")
    assert f"mean {found.means['b.mp4']['psnr']:.4g}" in text
    assert text.count("<polyline") == 2
    assert "they tell no quality" in text


def test_a_page_names_no_address_and_allows_its_own_script_alone(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    vsr.compare(*pair, out=tmp_path / "page.html")
    page = read_page(tmp_path / "page.html")
    text = words_of(tmp_path / "page.html")
    assert not re.search(r"https?:|//\w|<link|@import|url\(", text)
    assert not re.search(r"\b(fetch|XMLHttpRequest|WebSocket|sendBeacon|import)\b", text)
    (script,) = page.scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    rules = dict(rule.strip().split(" ", 1) for rule in page.policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == f"'sha256-{digest}'"
    assert set(rules["media-src"].split() + rules["img-src"].split()) == {"data:", "blob:"}


def test_the_video_of_a_page_holds_all_pictures_nearly_as_they_are(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    vsr.compare(*pair, out=tmp_path / "page.html", fit="nearest")
    page = read_page(tmp_path / "page.html")
    (width, height), columns = data_of(page)["cell"], data_of(page)["columns"]
    assert (width, height, columns) == (128, 96, 1)
    stacked = pictures_of(video_of(page, tmp_path / "stack.mp4"))
    firsts, seconds = (pictures_of(path) for path in pair)
    assert len(stacked) == 14
    for whole, first, second in zip(stacked, firsts, seconds, strict=True):
        assert luma_psnr(whole[:92, :120], first) > 45
        large = second.repeat(2, axis=0).repeat(2, axis=1)
        assert luma_psnr(whole[height : height + 92, :120], large) > 45


def pictures_of(path: Path) -> list[Picture]:
    return [shot.picture for shot in open_footage(path, path.name).shots()]


def luma_psnr(one: Picture, other: Picture) -> float:
    weights = np.array([0.2126, 0.7152, 0.0722])
    error: NDArray[np.float64] = ((one.astype(float) - other) @ weights) ** 2
    return float(10 * np.log10(255**2 / error.mean()))


def test_a_frame_of_a_page_is_shown_for_as_long_as_in_the_first_video(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    pts = [0, 40, 200, 240]
    uneven = make_clip(tmp_path / "a.mp4", pts=pts, time_base=Fraction(1, 1000))
    even = make_clip(tmp_path / "b.mp4", num_frames=8)
    vsr.compare(uneven, even, out=tmp_path / "page.html")
    page = read_page(tmp_path / "page.html")
    assert data_of(page)["starts"][:4] == pytest.approx([0, 0.04, 0.2, 0.24], abs=1e-4)
    with av.open(str(video_of(page, tmp_path / "stack.mp4"))) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert times == pytest.approx([0, 0.04, 0.2, 0.24], abs=1e-4)


def test_what_names_hold_is_shown_and_not_run(pair: tuple[Path, Path], tmp_path: Path) -> None:
    bad = '</script><script>alert("x")</script><b id=stage>'
    vsr.compare(*pair, out=tmp_path / "page.html", names=[bad, "b\x1b[31m\u202e"], metrics="psnr")
    page = read_page(tmp_path / "page.html")
    assert page.ids == IDS
    assert len(page.scripts) == 1
    assert data_of(page)["names"] == [bad, "b\\x1b[31m\\u202e"]
    text = words_of(tmp_path / "page.html")
    assert "<script>alert" not in text
    assert not {"\x1b", "\u202e"} & set(text)


def test_one_instant_is_a_page_of_pictures_without_loss(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    vsr.compare(*pair, out=tmp_path / "page.html", at=0.2)
    page = read_page(tmp_path / "page.html")
    assert (data_of(page)["kind"], data_of(page)["times"]) == ("stills", [0.2])
    ((first, _),) = json.loads(page.texts["stills"])
    (tmp_path / "still.png").write_bytes(base64.b64decode(first))
    still = np.asarray(Image.open(tmp_path / "still.png"))
    assert np.array_equal(still, pictures_of(pair[0])[5])


@pytest.mark.slow
def test_a_page_that_would_be_too_large_shows_samples(tmp_path: Path, make_clip: MakeClip) -> None:
    first = make_clip(tmp_path / "a.mp4", num_frames=300)
    second = make_clip(tmp_path / "b.mkv", num_frames=300)
    events: list[Event] = []
    vsr.compare(first, second, out=tmp_path / "all.html")
    whole = (tmp_path / "all.html").stat().st_size
    most_mb = whole / 2e6
    vsr.compare(first, second, out=tmp_path / "some.html", most_mb=most_mb, report=events.append)
    assert [e.code for e in events if isinstance(e, vsr.Note)] == ["W_PAGE_SAMPLED"]
    times = data_of(read_page(tmp_path / "some.html"))["times"]
    assert times == sorted(times)
    assert 20 < len(times) < 200
    gaps = [b - a for a, b in pairwise(times) if b - a > 0.05]
    assert len(gaps) >= 2
    assert "The page shows" not in words_of(tmp_path / "all.html")
    assert "All frames would take more" in words_of(tmp_path / "some.html")
    with pytest.raises(vsr.VsrError, match="too small for a few") as caught:
        vsr.compare(first, second, out=tmp_path / "none.html", most_mb=0.002)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(("length", "most"), [(60, 20), (60, 7), (60, 1), (3, 2)])
def test_samples_lie_within_a_video_and_take_what_is_left_for_them(length: int, most: int) -> None:
    parts = spread(Fraction(length), Fraction(most))
    assert sum(part.length or 0 for part in parts) <= most
    assert len(parts) >= 3
    for part, following in pairwise(parts):
        assert part.length is not None
        assert 0 <= part.start <= part.start + part.length <= following.start
    assert parts[-1].length is not None
    assert parts[-1].start + parts[-1].length <= length


@pytest.mark.parametrize(
    ("number", "size", "columns"),
    [(2, (1080, 1920), 1), (4, (2160, 3840), 2), (13, (720, 1280), 2), (12, (180, 320), 1)],
)
def test_pictures_are_stacked_so_that_a_browser_can_decode_them(
    number: int, size: tuple[int, int], columns: int
) -> None:
    stack = Stack(number, size)
    assert stack.columns == columns
    assert max(stack.size) <= 8192
    with pytest.raises(vsr.VsrError, match="too large for one page"):
        Stack(9, (2160, 3840))


def test_a_stack_gives_up_as_soon_as_it_is_too_large() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    instants = [(Fraction(1, 25), [noise, noise])] * 200
    taken = iter(instants)
    with pytest.raises(TooLargeError) as caught:
        Stack(2, (64, 64)).encode(taken, 20_000)
    assert caught.value.num_bytes > 20_000
    assert len(list(taken)) > 50
    assert isinstance(Stack(2, (64, 64)).encode(instants[:2], 1_000_000), StackedVideo)
