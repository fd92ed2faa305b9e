"""Numbered images and folders of them."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image, ImageOps

from vsr_cli.config import InputConfig
from vsr_cli.errors import InputError
from vsr_cli.events import Event, Note, ignore
from vsr_cli.media.frame import Frame
from vsr_cli.media.reading.image_sequence import find_images
from vsr_cli.media.reading.reader import open_video, probe, read_frames
from vsr_cli.pixels import Matrix, Range

RATE = InputConfig(raw_rate=Fraction(24000, 1001))
NAMES = ["2.png", "10.png", "1.png", "11.png"]
SIZE = (10, 14)


def pixels(seed: int, dtype: type[np.uint8 | np.uint16] = np.uint8) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, np.iinfo(dtype).max, (*SIZE, 3), dtype=dtype, endpoint=True)


def write_image(path: Path, rgb: NDArray[np.uint8], fmt: str, codec: str, pix_fmt: str) -> Path:
    with av.open(f"file:{path}", "w", format="image2", options={"update": "1"}) as output:
        stream = output.add_stream(codec, rate=25)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = rgb.shape[:2]
        stream.pix_fmt = pix_fmt
        frame = VideoFrame.from_ndarray(rgb, format=fmt).reformat(format=pix_fmt)
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def write_png(path: Path, seed: int) -> Path:
    return write_image(path, pixels(seed), "rgb24", "png", "rgb24")


def rgb_of(frame: Frame) -> NDArray[np.uint8]:
    return np.stack(frame.planes, axis=-1)


def test_a_pattern_gives_its_images_in_order(tmp_path: Path) -> None:
    for seed in range(97, 103):
        write_png(tmp_path / f"x{seed:03}.png", seed)
    write_png(tmp_path / "x0099.png", 0)  # of another pattern
    frames = list(read_frames(tmp_path / "x%03d.png", RATE, report=ignore))
    for seed, frame in zip(range(97, 103), frames, strict=True):
        np.testing.assert_array_equal(rgb_of(frame), pixels(seed))
    assert [frame.pts * frame.time_base for frame in frames] == [
        Fraction(1001 * n, 24000) for n in range(6)
    ]
    info = probe(tmp_path / "x%03d.png", RATE)
    assert (info.num_frames, info.rate, info.is_vfr) == (6, Fraction(24000, 1001), False)
    assert info.duration == Fraction(6 * 1001, 24000)
    assert (info.color.matrix, info.color.range) == (Matrix.RGB, Range.FULL)


def test_a_folder_is_read_as_people_count(tmp_path: Path) -> None:
    for name in NAMES:
        write_png(tmp_path / name, int(Path(name).stem))
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / ".hidden.png").write_text("nor this")
    frames = list(read_frames(tmp_path, report=ignore))
    for seed, frame in zip([1, 2, 10, 11], frames, strict=True):
        np.testing.assert_array_equal(rgb_of(frame), pixels(seed))


def test_the_rate_is_said_where_it_is_taken_for_granted(tmp_path: Path) -> None:
    for name in NAMES:
        write_png(tmp_path / name, 0)
    events: list[Event] = []
    frames = list(read_frames(tmp_path, report=events.append))
    assert [frame.pts * frame.time_base for frame in frames] == [Fraction(n, 25) for n in range(4)]
    assert [event.code for event in events if isinstance(event, Note)] == ["W_IMAGE_RATE"]
    events.clear()
    list(read_frames(tmp_path, RATE, report=events.append))
    assert events == []


@pytest.mark.parametrize(
    ("suffix", "codec", "pix_fmt", "depth"),
    [
        (".png", "png", "rgb48be", 16),
        (".tif", "tiff", "rgb48le", 16),
        (".tiff", "tiff", "rgb24", 8),
        (".bmp", "bmp", "bgr24", 8),
    ],
)
def test_every_bit_of_an_image_is_kept(
    tmp_path: Path, suffix: str, codec: str, pix_fmt: str, depth: int
) -> None:
    rgb = pixels(1, np.uint16 if depth == 16 else np.uint8)
    fmt = "rgb48le" if depth == 16 else "rgb24"
    path = write_image(tmp_path / f"in{suffix}", rgb, fmt, codec, pix_fmt)
    [frame] = read_frames(path, report=ignore)
    assert frame.layout.depth == depth
    np.testing.assert_array_equal(rgb_of(frame), rgb)


def test_jpeg_has_its_own_range_and_siting(tmp_path: Path) -> None:
    write_image(tmp_path / "a1.jpg", pixels(1), "rgb24", "mjpeg", "yuvj420p")
    info = probe(tmp_path / "a%d.jpg")
    assert (info.color.range, info.layout.siting) == (Range.FULL, "center")


def write_photo(path: Path, orientation: int) -> NDArray[np.float64]:
    """A photo that was held somehow; returns its luma as it should be seen."""
    blocks = np.random.default_rng(orientation).integers(0, 255, (6, 8, 3)).astype(np.uint8)
    exif = Image.Exif()
    exif[0x112] = orientation
    Image.fromarray(np.kron(blocks, np.ones((8, 8, 1), np.uint8))).save(path, quality=98, exif=exif)
    with Image.open(path) as photo:
        return np.asarray(ImageOps.exif_transpose(photo).convert("L"), np.float64)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_the_way_it_was_held(tmp_path: Path, orientation: int) -> None:
    seen = write_photo(tmp_path / "in.jpg", orientation)
    info = probe(tmp_path / "in.jpg")
    assert (info.rotation, info.display_matrix) == (0, None)
    [frame] = read_frames(tmp_path / "in.jpg", report=ignore)
    assert frame.size == (info.height, info.width) == seen.shape
    assert np.abs(frame.planes[0] - seen).mean() < 1


def write_pages(path: Path, *subfile_types: int) -> Path:
    """A TIFF of pages that say what they are: 0 pages, 1 smaller copies."""
    pages = [Image.new("RGB", (64, 48), (40 * n, 80, 120)) for n in range(len(subfile_types))]
    for page, kind in zip(pages, subfile_types, strict=True):
        page.encoderinfo = {"tiffinfo": {254: kind}}
    pages[0].save(path, save_all=True, append_images=pages[1:])
    return path


@pytest.mark.parametrize(
    ("subfile_types", "said"),
    [((0,), ""), ((0, 0, 0), "`in.tif` has 3 pages"), ((0, 1), ""), ((0, 1, 0), "has 2 pages")],
)
def test_pages_beside_the_first_are_said_to_be_left_out(
    tmp_path: Path, subfile_types: tuple[int, ...], said: str
) -> None:
    source = write_pages(tmp_path / "in.tif", *subfile_types)
    events: list[Event] = []
    assert len(list(read_frames(source, report=events.append))) == 1
    texts = [e.text for e in events if isinstance(e, Note) and e.code == "W_PAGES_DROPPED"]
    assert len(texts) == bool(said)
    assert said in "".join(texts)


def test_pages_of_a_sequence_are_said_once_and_broken_ones_are_no_fault(tmp_path: Path) -> None:
    for n in range(3):
        write_pages(tmp_path / f"{n}.tif", 0, 0)
    broken = tmp_path / "3.tif"
    whole = write_pages(broken, 0, 0).read_bytes()
    broken.write_bytes(whole[: len(whole) - 40])  # the directory of its last page
    events: list[Event] = []
    list(read_frames(tmp_path, RATE, report=events.append))
    texts = [e.text for e in events if isinstance(e, Note) and e.code == "W_PAGES_DROPPED"]
    assert len(texts) == 1
    assert "images have pages beside the first" in texts[0]


def test_each_image_is_turned_by_itself_and_fitted_to_the_first(tmp_path: Path) -> None:
    orientations = (1, 6, 3, 7, 2)
    seen = [write_photo(tmp_path / f"{n}.jpg", turn) for n, turn in enumerate(orientations)]
    events: list[Event] = []
    frames = list(read_frames(tmp_path, RATE, report=events.append))
    notes = {event.code: event.text for event in events if isinstance(event, Note)}
    assert list(notes) == ["W_IMAGE_SIZES"]
    assert notes["W_IMAGE_SIZES"].startswith("2 of 5 images are not 64x48")
    for frame, picture in zip(frames, seen, strict=True):
        assert frame.size == (48, 64)
        if picture.shape == (48, 64):
            assert np.abs(frame.planes[0] - picture).mean() < 1
        else:  # upright between black borders
            assert frame.planes[0][:, :12].max() <= 20
            assert frame.planes[0][:, 20:44].mean() == pytest.approx(picture.mean(), abs=8)


@pytest.mark.parametrize("name", ["one.png", "a%d.png", "a%03d:b.png"])
def test_a_single_image_is_one_frame_whatever_its_name(tmp_path: Path, name: str) -> None:
    events: list[Event] = []
    [frame] = read_frames(write_png(tmp_path / name, 5), report=events.append)
    np.testing.assert_array_equal(rgb_of(frame), pixels(5))
    assert events == []


def test_a_part_of_a_sequence_can_be_read(tmp_path: Path) -> None:
    for seed in range(100):
        write_png(tmp_path / f"{seed:03}.png", seed)
    config = InputConfig(start=Fraction(3), stop=Fraction(78, 25))
    with open_video(tmp_path, config) as video:
        frames = list(video.frames(report=ignore))
    assert (video.info.num_frames, video.info.origin) == (3, Fraction(3))
    for seed, frame in zip((75, 76, 77), frames, strict=True):
        np.testing.assert_array_equal(rgb_of(frame), pixels(seed))
    with open_video(tmp_path, InputConfig(frames=(98, None))) as video:
        assert len(list(video.frames(report=ignore))) == video.info.num_frames == 2


def test_an_image_that_does_not_decode_is_said_and_leaves_its_time(tmp_path: Path) -> None:
    for seed in range(4):
        write_png(tmp_path / f"{seed}.png", seed)
    (tmp_path / "2.png").write_bytes(b"no image")
    events: list[Event] = []
    frames = list(read_frames(tmp_path / "%d.png", RATE, report=events.append))
    assert [frame.pts for frame in frames] == [0, 1, 3]
    assert [event.code for event in events if isinstance(event, Note)] == ["W_INPUT_DAMAGED"]


def with_a_gap(folder: Path) -> Path:
    for seed in (1, 2, 4):
        write_png(folder / f"{seed}.png", seed)
    return folder / "%d.png"


def test_images_of_other_sizes_are_known_before_the_first_is_decoded(tmp_path: Path) -> None:
    for seed in range(3):
        write_png(tmp_path / f"{seed}.png", seed)
    write_image(tmp_path / "3.png", pixels(2)[:8], "rgb24", "png", "rgb24")
    events: list[Event] = []
    frames = read_frames(tmp_path, RATE, report=events.append)
    first = next(frames)
    assert [event.code for event in events if isinstance(event, Note)] == ["W_IMAGE_SIZES"]
    assert [frame.size for frame in frames] == [first.size] * 3
    assert len(events) == 1


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (with_a_gap, "has no number 3"),
        (lambda folder: folder, "without images"),
        (lambda folder: folder / "%05d.png", "no file is called"),
        (lambda folder: folder / "missing" / "%05d.png", "no file is called"),
    ],
)
def test_what_is_no_sequence_is_refused_with_advice(
    tmp_path: Path, build: Callable[[Path], Path], says: str
) -> None:
    source = build(tmp_path)
    with pytest.raises(InputError, match=says) as caught:
        list(read_frames(source, report=ignore))
    assert caught.value.hint


def test_a_video_is_no_sequence(tmp_path: Path) -> None:
    assert find_images(tmp_path / "in.mp4") is None
