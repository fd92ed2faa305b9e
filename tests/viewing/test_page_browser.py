"""Pages as a browser shows them: exact to the frame, by hand and by keys."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import vsr_cli as vsr
from tests.conftest import write_clip

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium"),
]
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"),
    *("--disable-component-update", "--disable-sync"),
)
Page = Any  # of playwright, which may be missing

# RGB in one place of the canvas, as shares of its sides.
PIXEL = """([x, y]) => { const c = document.getElementById("canvas");
  return [...c.getContext("2d").getImageData(x * c.width | 0, y * c.height | 0, 1, 1).data]; }"""
WHOLE = """() => { const c = document.getElementById("canvas");
  const all = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
  let sum = 0; for (let k = 0; k < all.length; k++) sum = (sum * 31 + all[k]) % 1000000007;
  return sum; }"""


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    first = write_clip(folder / "a.mp4", num_frames=20, size=(96, 160))
    second = write_clip(folder / "b.mp4", num_frames=20, size=(48, 80), color_range=2)
    bad = '<img src=x onerror="document.title=1">'
    vsr.compare(first, second, out=folder / "video.html", metrics="psnr", names=["a", bad])
    vsr.compare(first, second, out=folder / "stills.html", at=0.2)
    return {name: folder / f"{name}.html" for name in ("video", "stills")}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield opened
        opened.close()


@pytest.fixture(params=[(1280, 800), (360, 700)], ids=["wide", "narrow"])
def pages(request: pytest.FixtureRequest, browser: Any, paths: dict[str, Path]) -> Iterator[Any]:  # noqa: ANN401
    width, height = request.param
    size = {"width": width, "height": height}
    context = browser.new_context(viewport=size, reduced_motion="reduce")
    errors: list[str] = []

    def open_page(name: str) -> Page:
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda text: errors.append(text.text) if text.type == "error" else 0)
        page.on("request", lambda request: errors.append(request.url) if is_foreign(request) else 0)
        page.goto(paths[name].as_uri())
        page.wait_for_selector("#stage[data-frame]", timeout=60_000)
        page.wait_for_timeout(300)
        return page

    yield open_page
    context.close()
    assert errors == []


def is_foreign(request: Any) -> bool:  # noqa: ANN401
    return not request.url.startswith(("file:", "blob:null/", "data:image/png"))


def step(page: Page, key: str, frame: int) -> None:
    page.keyboard.press(key)
    page.wait_for_selector(f'#stage[data-frame="{frame}"]', timeout=30_000)
    page.wait_for_timeout(150)


@pytest.mark.parametrize("name", ["video", "stills"])
def test_what_is_left_of_the_split_is_the_first(pages: Any, name: str) -> None:  # noqa: ANN401
    page = pages(name)
    place = [0.4, 0.3]
    page.keyboard.press("1")
    first = page.evaluate(PIXEL, place)
    page.keyboard.press("2")
    second = page.evaluate(PIXEL, place)
    assert first != second
    page.keyboard.press("s")
    box = page.locator("#stage").bounding_box()

    def drag(start: float, stop: float) -> None:
        page.mouse.move(box["x"] + start * box["width"], box["y"] + 0.6 * box["height"])
        page.mouse.down()
        page.mouse.move(box["x"] + stop * box["width"], box["y"] + 0.6 * box["height"], steps=4)
        page.mouse.up()

    drag(0.5, 0.2)
    assert page.evaluate(PIXEL, place) == second
    drag(0.2, 0.9)
    assert page.evaluate(PIXEL, place) == first
    assert page.locator("#handle").get_attribute("aria-valuenow") == "90"
    for _ in range(30):
        page.keyboard.press("ArrowLeft")
    assert page.evaluate(PIXEL, place) == second


def test_two_steps_on_and_one_back_come_to_the_same_pixels(pages: Any) -> None:  # noqa: ANN401
    page = pages("video")
    step(page, ".", 1)
    once = page.evaluate(WHOLE)
    step(page, ".", 2)
    assert page.evaluate(WHOLE) != once
    step(page, ",", 1)
    assert page.evaluate(WHOLE) == once
    page.locator(".plot").click(position={"x": 2, "y": 20})
    page.wait_for_selector('#stage[data-frame="0"]')


def test_keys_pressed_fast_lose_no_frame(pages: Any) -> None:  # noqa: ANN401
    page = pages("video")
    for _ in range(9):
        page.keyboard.press(".")
    page.wait_for_selector('#stage[data-frame="9"]', timeout=30_000)


def test_it_does_not_play_by_itself_where_motion_is_unwanted_and_plays_when_asked(
    pages: Any,  # noqa: ANN401
) -> None:
    page = pages("video")
    page.wait_for_timeout(400)
    assert page.locator("#stage").get_attribute("data-frame") == "0"
    page.keyboard.press(" ")
    page.wait_for_function("() => Number(document.getElementById('stage').dataset.frame) > 3")
    page.keyboard.press(" ")
    page.wait_for_function("() => document.getElementById('play').textContent === 'Play'")


def test_blink_heat_and_zoom_change_what_is_seen(pages: Any) -> None:  # noqa: ANN401
    page = pages("video")
    page.keyboard.press("h")
    heat = page.evaluate(WHOLE)
    assert page.locator("#scale").is_visible()
    page.keyboard.press("b")
    before = page.evaluate(WHOLE)
    page.wait_for_function(f"() => ({WHOLE})() !== {before}", timeout=3000)
    assert heat != before
    page.keyboard.press("1")
    whole = page.evaluate(WHOLE)
    page.keyboard.press("+")
    assert page.evaluate(WHOLE) != whole
    page.keyboard.press("0")
    assert page.evaluate(WHOLE) == whole


@pytest.mark.parametrize("name", ["video", "stills"])
def test_nothing_is_wider_than_the_window_and_names_are_text(
    pages: Any,  # noqa: ANN401
    name: str,
) -> None:
    page = pages(name)
    wide = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(wide) == 0
    assert page.evaluate("() => document.images.length") == 0
    assert page.title() != "1"
