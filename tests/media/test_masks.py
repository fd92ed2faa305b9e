"""Masks are where and when the user has drawn them."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tests.conftest import MakeClip
from vsr_cli.config import InputConfig
from vsr_cli.errors import ConfigError, InputError
from vsr_cli.events import Event, Note, ignore
from vsr_cli.media.masks import Mask, Masks
from vsr_cli.media.reading.reader import open_video, read_frames
from vsr_cli.repair_config import Box, EraseConfig

SIZE = (48, 64)


def masks_of(
    source: Path,
    config: EraseConfig,
    reading: InputConfig | None = None,
    events: list[Event] | None = None,
) -> list[Mask | None]:
    """The mask of every frame of a source."""
    reading = reading or InputConfig()
    report = (events if events is not None else []).append
    with open_video(source, reading) as video:
        masks = Masks(config, video.info, source, reading, report)
        masks.check()
        return [masks.at(k, f) for k, f in enumerate(video.frames(report=lambda event: None))]


def bar(index: int, size: tuple[int, int] = SIZE) -> Mask:
    """A column that stands for a number, wide enough to outlive coding."""
    mask = np.zeros(size, bool)
    mask[:, 4 * index : 4 * index + 4] = True
    return mask


def write_masks(path: Path, masks: Sequence[Mask], rate: Fraction = Fraction(25)) -> Path:
    with av.open(f"file:{path}", "w") as output:
        stream = output.add_stream("ffv1", rate=rate)
        stream.height, stream.width = masks[0].shape
        stream.pix_fmt = "gray"
        for index, mask in enumerate(masks):
            frame = av.VideoFrame.from_ndarray((mask * 255).astype(np.uint8), format="gray")
            frame.pts, frame.time_base = index, 1 / rate
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def numbers(masks: Sequence[Mask | None]) -> list[int | None]:
    """Which bar each mask shows."""
    return [None if mask is None else int(mask.any(0).argmax()) // 4 for mask in masks]


def test_boxes_are_counted_from_any_corner_and_add_up(tmp_path: Path, make_clip: MakeClip) -> None:
    source = make_clip(tmp_path / "in.mkv", num_frames=1, size=SIZE)
    boxes = (Box(x=2, y=3, width=4, height=5), Box(x=-10, y=-8, width=20, height=2))
    (mask,) = masks_of(source, EraseConfig(boxes=boxes))
    expected = np.zeros(SIZE, bool)
    expected[3:8, 2:6] = expected[40:42, 54:64] = True
    assert np.array_equal(np.asarray(mask), expected)


def test_a_box_with_times_is_there_for_that_time(tmp_path: Path, make_clip: MakeClip) -> None:
    source = make_clip(tmp_path / "in.mkv", num_frames=10, size=SIZE)
    box = Box(x=0, y=0, width=4, height=4, start=Fraction(3, 25), stop=Fraction(6, 25))
    whole = masks_of(source, EraseConfig(boxes=(box,)))
    assert [k for k, mask in enumerate(whole) if mask is not None] == [3, 4, 5]
    part = masks_of(source, EraseConfig(boxes=(box,)), InputConfig(frames=(2, 8)))
    assert [k + 2 for k, mask in enumerate(part) if mask is not None] == [3, 4, 5]


def test_a_run_that_goes_on_has_boxes_at_their_times_and_speaks_of_none_before(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    source = make_clip(tmp_path / "in.mkv", num_frames=8, size=SIZE)
    times = [(0, 2), (3, 5), (20, 30)]
    boxes = tuple(
        Box(x=0, y=0, width=4, height=4, start=Fraction(a, 25), stop=Fraction(b, 25))
        for a, b in times
    )
    with open_video(source) as video:
        for first in (0, 4, 6):
            events: list[Event] = []
            config = EraseConfig(boxes=boxes)
            masks = Masks(config, video.info, source, InputConfig(), events.append)
            frames = enumerate(read_frames(source, report=ignore))
            found = [masks.at(k, frame) is not None for k, frame in frames if k >= first]
            masks.report_idle()
            assert found == [k in (0, 1, 3, 4) for k in range(first, 8)]
            notes = [event.text for event in events if isinstance(event, Note)]
            assert [text.split("@")[1].split("`")[0] for text in notes] == ["0.8-1.2"]


@pytest.mark.parametrize(
    "reading", [InputConfig(), InputConfig(start=Fraction(4, 25)), InputConfig(frames=(4, 9))]
)
def test_a_mask_video_stays_aligned_whatever_part_is_read(
    tmp_path: Path, make_clip: MakeClip, reading: InputConfig
) -> None:
    pts = [3 + k for k in range(10)]  # the picture does not begin at 0
    source = make_clip(tmp_path / "in.mkv", pts=pts, size=SIZE, time_base=Fraction(1, 25))
    mask = write_masks(tmp_path / "mask.mkv", [bar(k) for k in range(10)])
    first = 4 if reading != InputConfig() else 0
    found = numbers(masks_of(source, EraseConfig(mask=mask), reading))
    assert found == list(range(first, first + len(found)))
    assert len(found) == (5 if reading.frames else 10 - first)


def test_by_number_where_counts_agree_and_by_time_where_not(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    source = make_clip(tmp_path / "in.mp4", num_frames=12, size=SIZE)
    same = write_masks(tmp_path / "same.nut", [bar(k) for k in range(12)])
    assert numbers(masks_of(source, EraseConfig(mask=same))) == list(range(12))
    slow = write_masks(tmp_path / "slow.mkv", [bar(k) for k in range(6)], Fraction(25, 2))
    assert numbers(masks_of(source, EraseConfig(mask=slow))) == [k // 2 for k in range(12)]


def test_a_mask_that_is_short_ends_and_says_so(tmp_path: Path, make_clip: MakeClip) -> None:
    source = make_clip(tmp_path / "in.mkv", num_frames=8, size=SIZE)
    mask = write_masks(tmp_path / "mask.mkv", [bar(k) for k in range(5)])
    events: list[Event] = []
    found = numbers(masks_of(source, EraseConfig(mask=mask), events=events))
    assert found == [0, 1, 2, 3, 4, None, None, None]
    assert [event.code for event in events if isinstance(event, Note)] == ["W_MASK_SHORT"]


def test_images_are_masks_one_for_all_or_one_for_each(tmp_path: Path, make_clip: MakeClip) -> None:
    source = make_clip(tmp_path / "in.mkv", num_frames=4, size=SIZE)
    folder = tmp_path / "masks"
    folder.mkdir()
    for k in range(4):
        Image.fromarray((bar(k) * 255).astype(np.uint8)).save(folder / f"{k:03}.png")
    assert numbers(masks_of(source, EraseConfig(mask=folder))) == [0, 1, 2, 3]
    assert numbers(masks_of(source, EraseConfig(mask=folder / "002.png"))) == [2] * 4
    clear = np.zeros((*SIZE, 4), np.uint8)
    clear[..., 3] = bar(5) * 200
    Image.fromarray(clear).save(tmp_path / "alpha.png")
    assert numbers(masks_of(source, EraseConfig(mask=tmp_path / "alpha.png"))) == [5] * 4


def test_threshold_and_inversion(tmp_path: Path, make_clip: MakeClip) -> None:
    source = make_clip(tmp_path / "in.mkv", num_frames=1, size=SIZE)
    grey = tmp_path / "grey.png"
    Image.fromarray(np.where(bar(3), 100, 160).astype(np.uint8)).save(grey)
    (mask,) = masks_of(source, EraseConfig(mask=grey, invert_mask=True))
    assert np.array_equal(np.asarray(mask), bar(3))
    with pytest.raises(ConfigError, match="covers 94% of a frame"):
        masks_of(source, EraseConfig(mask=grey))
    assert masks_of(source, EraseConfig(mask=grey, mask_threshold=200)) == [None]


def test_a_mask_of_another_size_is_resized_one_of_another_shape_refused(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    source = make_clip(tmp_path / "in.mkv", num_frames=1, size=SIZE)
    small = tmp_path / "small.png"
    Image.fromarray((bar(3)[::2, ::2] * 255).astype(np.uint8)).save(small)
    events: list[Event] = []
    (mask,) = masks_of(source, EraseConfig(mask=small), events=events)
    assert np.array_equal(np.asarray(mask), bar(3))
    assert {event.code for event in events if isinstance(event, Note)} == {"W_MASK_RESIZED"}
    Image.fromarray(np.zeros((48, 48), np.uint8)).save(tmp_path / "square.png")
    with pytest.raises(ConfigError, match="the mask is 48x48, the picture 64x48"):
        masks_of(source, EraseConfig(mask=tmp_path / "square.png"))


@pytest.mark.parametrize("rotation", [90, -90])
def test_a_mask_drawn_on_a_turned_picture_is_turned_back(
    tmp_path: Path, make_clip: MakeClip, rotation: int
) -> None:
    source = make_clip(tmp_path / "in.mp4", num_frames=1, size=SIZE, rotation=rotation)
    shown = np.rot90(bar(3), rotation // 90)  # counter-clockwise, as players turn it
    Image.fromarray((shown * 255).astype(np.uint8)).save(tmp_path / "mask.png")
    (mask,) = masks_of(source, EraseConfig(mask=tmp_path / "mask.png"))
    assert np.array_equal(np.asarray(mask), bar(3))


@pytest.mark.parametrize("name", ["missing.png", "missing.mp4", "text.png", "text.mkv"])
def test_what_is_no_mask_is_named_as_one(tmp_path: Path, make_clip: MakeClip, name: str) -> None:
    source = make_clip(tmp_path / "in.mkv", num_frames=1, size=SIZE)
    if name.startswith("text"):
        (tmp_path / name).write_text("no picture")
    with pytest.raises(InputError, match=r"the mask `.*` cannot be read") as caught:
        masks_of(source, EraseConfig(mask=tmp_path / name))
    assert caught.value.exit_code == 3


def test_a_mask_of_almost_everything_is_refused_before_the_work(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    source = make_clip(tmp_path / "in.mkv", num_frames=1, size=SIZE)
    Image.fromarray(np.full(SIZE, 255, np.uint8)).save(tmp_path / "white.png")
    configs = (
        EraseConfig(mask=tmp_path / "white.png"),
        EraseConfig(boxes=(Box(x=0, y=0, width=64, height=40),)),
    )
    with open_video(source) as video:
        for config in configs:
            masks = Masks(config, video.info, source, InputConfig(), lambda event: None)
            with pytest.raises(ConfigError, match="% of a frame") as caught:
                masks.check()
            assert caught.value.exit_code == 2


def test_a_box_outside_of_the_picture_is_refused(tmp_path: Path, make_clip: MakeClip) -> None:
    source = make_clip(tmp_path / "in.mkv", num_frames=1, size=SIZE)
    with pytest.raises(ConfigError, match="`--box 64,0,5,5` lies outside"):
        masks_of(source, EraseConfig(boxes=(Box(x=64, y=0, width=5, height=5),)))
