"""The clip that `vsr demo` works on, drawn by code; loaded by that command only."""

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray
from PIL import Image

from vsr_cli.errors import OutputError

SIZE = (360, 640)  # (height, width) of the truth
SCALE = 4
NUM_FRAMES = 24
RATE = 24  # frames per second
SOUND_RATE = 48_000  # samples per second
TONE = 440  # Hz
CROP = (slice(60, 180), slice(345, 505))  # rows and columns of the truth that are enlarged
ZOOM = 4

Values = NDArray[np.float32]  # (H, W)
Picture = NDArray[np.float32]  # (H, W, 3) RGB in [0, 1]
Color = tuple[float, float, float]

# Rows of five bits, top to bottom: the letters that the scene and the labels need.
GLYPHS = {
    " ": (0, 0, 0, 0, 0, 0, 0),
    "4": (2, 6, 10, 18, 31, 2, 2),
    "A": (14, 17, 17, 31, 17, 17, 17),
    "B": (30, 17, 17, 30, 17, 17, 30),
    "C": (14, 17, 16, 16, 16, 17, 14),
    "E": (31, 16, 16, 30, 16, 16, 31),
    "H": (17, 17, 17, 31, 17, 17, 17),
    "I": (14, 4, 4, 4, 4, 4, 14),
    "N": (17, 25, 21, 19, 17, 17, 17),
    "O": (14, 17, 17, 17, 17, 17, 14),
    "R": (30, 17, 17, 30, 20, 18, 17),
    "S": (15, 16, 16, 14, 1, 1, 30),
    "T": (31, 4, 4, 4, 4, 4, 4),
    "U": (17, 17, 17, 17, 17, 17, 14),
    "V": (17, 17, 17, 17, 10, 10, 4),
}


def render_scene() -> Iterator[Picture]:
    """A brick wall with a poster under a moving camera, and a wheel that rolls before it.

    Four samples are averaged for each pixel, so edges are as soft as a lens leaves them and
    move by fractions of a pixel.
    """
    wall = _paint_wall()
    height, width = SIZE
    y, x = np.mgrid[0 : 2 * height, 0 : 2 * width].astype(np.float32) / 2
    for index in range(NUM_FRAMES):
        s = index / NUM_FRAMES
        angle, zoom = 0.05 * np.sin(2 * np.pi * s), 1 - 0.08 * s
        dx, dy = (x - width / 2) * zoom, (y - height / 2) * zoom
        wall_x = np.cos(angle) * dx - np.sin(angle) * dy + width / 2 + 90 + 50 * s
        wall_y = np.sin(angle) * dx + np.cos(angle) * dy + height / 2 + 75 + 15 * np.sin(6 * s)
        frame = _sample(wall, 2 * wall_x, 2 * wall_y)
        _draw_wheel(frame, x - (90 + 420 * s), y - 300, turn=420 * s / 55)
        yield frame.reshape(height, 2, width, 2, 3).mean((1, 3), dtype=np.float32)


def write_small_clip(path: Path, hr_frames: Iterable[Picture]) -> None:
    """Write the frames at a quarter of their size, slightly blurred, as H.264 with a tone."""
    from vsr_cli.media.writing.encoder_options import reproducible_options

    height, width = (side // SCALE for side in SIZE)
    with av.open(f"file:{path}", "w") as container:
        options = {"crf": "22", **reproducible_options()}
        picture = container.add_stream("libx264", rate=RATE, options=options)
        context = picture.codec_context
        context.width, context.height, context.pix_fmt = width, height, "yuv420p"
        context.colorspace = context.color_primaries = context.color_trc = 6  # BT.601, 525 lines
        context.color_range = 1  # limited
        context.thread_count = 1  # the picture depends on how many there are
        sound = container.add_stream("aac", rate=SOUND_RATE, layout="mono")
        for index, hr_frame in enumerate(hr_frames):
            small = hr_frame.reshape(height, SCALE, width, SCALE, 3).mean((1, 3))
            frame = VideoFrame.from_ndarray(_to_bytes(_soften(small)), format="rgb24").reformat(
                format="yuv420p", dst_colorspace="ITU601", dst_color_range="MPEG"
            )
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            container.mux(picture.encode(frame))
        container.mux(picture.encode(None))
        for samples in _tone():
            container.mux(sound.encode(samples))
        container.mux(sound.encode(None))


def write_comparison(
    path: Path, lr_path: Path, sr_path: Path, hr_frames: Sequence[Picture]
) -> None:
    """Write a PNG of the middle frame: bicubic, vsr and truth, whole and enlarged in part.

    Raises:
        OutputError: the file cannot be written.
    """
    index = NUM_FRAMES // 2
    columns = {
        "BICUBIC": _read_frame(lr_path, index),
        "VSR": _read_frame(sr_path, index),
        "TRUTH": _to_bytes(hr_frames[index]),
    }
    whole = [_with_label(label, picture) for label, picture in columns.items()]
    parts = [
        picture[CROP].repeat(ZOOM, axis=0).repeat(ZOOM, axis=1) for picture in columns.values()
    ]
    image = np.concatenate([np.concatenate(whole, axis=1), np.concatenate(parts, axis=1)])
    try:
        Image.fromarray(image).save(path, "PNG")
    except OSError as error:
        raise OutputError(
            f"`{path}` cannot be written", why=str(error), hint="choose another folder"
        ) from error


def _paint_wall() -> Picture:
    """Bricks with a poster: text of several sizes, a star, stripes and a ramp of colours."""
    random = np.random.default_rng(7)
    height, width = 1040, 1700
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    row = y // 44
    along = x + 46 * (row % 2)
    brick = random.uniform(0.75, 1.0, (64, 64))[row.astype(int), (along // 92).astype(int)]
    noise = random.random((height, width, 1), np.float32)
    grain = sum(_sample(noise, x / size, y / size) for size in (2, 5, 13)) / 3
    mortar = (y % 44 < 5) | (along % 92 < 5)
    bricks = brick[..., None] * (0.7 + 0.45 * grain) * np.array([0.72, 0.38, 0.28])
    wall = np.where(mortar[..., None], 0.62 + 0.24 * grain, bricks).astype(np.float32)
    _paint_poster(wall[250:750, 420:1200])
    return wall


def _paint_poster(poster: Picture) -> None:
    y, x = np.mgrid[0:500, 0:780].astype(np.float32)
    poster[:] = (0.93, 0.91, 0.84)
    _write(poster, "VSR", (30, 40), dot=22, ink=(0.10, 0.16, 0.35))
    for top, dot in ((210, 5), (262, 4), (304, 3)):
        _write(poster, "NEVER TRUST A THIN VOICE", (top, 40), dot=dot, ink=(0.12, 0.12, 0.12))
    star = np.sin(24 * np.arctan2(y - 105, x - 660)) > 0
    poster[star & (np.hypot(y - 105, x - 660) < 90)] = (0.08, 0.08, 0.08)
    for index, period in enumerate((6, 9, 14, 20)):
        left = 40 + 110 * index
        inside = (y >= 350) & (y < 470) & (x >= left) & (x < left + 100)
        poster[inside & ((x + y * (index % 2)) % period < period / 2)] = (0.70, 0.12, 0.10)
    ramp = np.stack([x / 780, y / 500, 1 - x / 780], axis=-1)
    poster[350:470, 500:740] = ramp[350:470, 500:740]


def _draw_wheel(frame: Picture, dx: Values, dy: Values, *, turn: float) -> None:
    """Paint a spoked wheel; (dx, dy) are the offsets of every pixel from its centre."""
    radius = np.hypot(dx, dy)
    spokes = np.cos(10 * (np.arctan2(dy, dx) - turn)) > 0.55
    frame[radius < 55] = (0.15, 0.17, 0.20)
    frame[(radius < 46) & spokes] = (0.85, 0.72, 0.20)
    frame[(radius < 14) | (np.abs(radius - 50) < 1.5)] = (0.80, 0.82, 0.85)


def _write(picture: Picture, text: str, at: tuple[int, int], *, dot: int, ink: Color) -> None:
    """Paint a line of text with its top left corner `at` (y, x), in dots of `dot` pixels."""
    for index, letter in enumerate(text):
        for row, bits in enumerate(GLYPHS[letter]):
            for column in range(5):
                if bits >> (4 - column) & 1:
                    y, x = at[0] + row * dot, at[1] + (index * 6 + column) * dot
                    picture[y : y + dot, x : x + dot] = ink


def _sample(picture: Picture, x: Values, y: Values) -> Picture:
    """Values between pixels, linear in x and y; the border goes on outward."""
    height, width = picture.shape[:2]
    x, y = np.clip(x, 0, width - 1.001), np.clip(y, 0, height - 1.001)
    left, top = x.astype(np.intp), y.astype(np.intp)
    fx, fy = (x - left)[..., None], (y - top)[..., None]
    above = picture[top, left] * (1 - fx) + picture[top, left + 1] * fx
    below = picture[top + 1, left] * (1 - fx) + picture[top + 1, left + 1] * fx
    return (above * (1 - fy) + below * fy).astype(np.float32)


def _soften(picture: Picture) -> Picture:
    """Blur a little, as a cheap lens does."""
    for axis in (0, 1):
        ends = [(1, 1) if axis == i else (0, 0) for i in range(3)]
        padded = np.pad(picture, ends, mode="edge")
        before, after = np.delete(padded, [-2, -1], axis), np.delete(padded, [0, 1], axis)
        picture = 0.7 * picture + 0.15 * (before + after)
    return picture


def _tone() -> Iterator[av.AudioFrame]:
    """As much of a sine as the clip is long, swelling and fading."""
    total, size = SOUND_RATE * NUM_FRAMES // RATE, 1024
    time = np.arange(total) / SOUND_RATE  # seconds
    wave = 0.2 * np.sin(2 * np.pi * TONE * time) * np.sin(np.pi * np.arange(total) / total)
    for start in range(0, total, size):
        samples = wave[None, start : start + size].astype(np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate, frame.pts = SOUND_RATE, start
        frame.time_base = Fraction(1, SOUND_RATE)
        yield frame


def _read_frame(path: Path, index: int) -> NDArray[np.uint8]:
    """One frame of a clip as RGB, brought to the size of the truth."""
    height, width = SIZE
    with av.open(f"file:{path}") as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number == index:
                whole = frame.reformat(width, height, format="rgb24", interpolation="BICUBIC")
                return whole.to_ndarray().astype(np.uint8)
    raise ValueError(f"{path} has no frame {index}")


def _with_label(text: str, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    strip = np.zeros((30, picture.shape[1], 3), np.float32)
    _write(strip, text, (8, 12), dot=2, ink=(1.0, 1.0, 1.0))
    return np.concatenate([_to_bytes(strip), picture])


def _to_bytes(picture: Picture) -> NDArray[np.uint8]:
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
