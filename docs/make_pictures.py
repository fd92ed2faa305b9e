"""Makes the pictures in `docs/images`: what commands do to a clip that is drawn by code.

python -m docs.make_pictures
"""

import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

import vsr_cli as vsr
from vsr_cli.cli.demo_clip import RATE, SIZE, render_scene, write_small_clip

IMAGES = Path(__file__).with_name("images")
AT = 12  # the frame that is shown
BOX = (560, 16, 64, 40)  # x, y, width and height of a mark
CROP = (330, 60, 250, 141)  # x, y, width and height of what is shown enlarged, in the truth
QUALITY = 88  # of JPEG

Rgb = NDArray[np.uint8]  # (H, W, 3)


def main() -> None:
    """Make all pictures."""
    IMAGES.mkdir(exist_ok=True)
    pictures = list(render_scene())
    truth = [np.round(picture * 255).clip(0, 255).astype(np.uint8) for picture in pictures]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_small_clip(folder / "small.mp4", pictures)
        vsr.upscale(folder / "small.mp4", folder / "large.mkv", lossless=True)
        small, large = (frames_of(folder / name) for name in ("small.mp4", "large.mkv"))
        x, y, width, height = CROP
        crop, shown = (x, y, x + width, y + height), (640, 360)
        before = Image.fromarray(small[AT]).resize(SIZE[::-1], Image.Resampling.BICUBIC)
        after = Image.fromarray(large[AT])
        save("upscale", [image.crop(crop).resize(shown) for image in (before, after)])

        marked = [with_mark(frame) for frame in truth]
        write_clip(folder / "marked.mkv", marked)
        box = ",".join(map(str, BOX))
        vsr.erase(folder / "marked.mkv", folder / "erased.mkv", box=[box], lossless=True)
        erased = frames_of(folder / "erased.mkv")
        save("erase", [Image.fromarray(marked[AT]), Image.fromarray(erased[AT])])

        lost = [*truth[:AT], np.zeros_like(truth[AT]), *truth[AT + 1 :]]
        write_clip(folder / "lost.mkv", lost)
        vsr.fill(folder / "lost.mkv", folder / "filled.mkv", lossless=True)
        filled = frames_of(folder / "filled.mkv")
        save("fill", [Image.fromarray(lost[AT]), Image.fromarray(filled[AT])])


def with_mark(frame: Rgb) -> Rgb:
    """A frame with a mark of a station in its corner."""
    image = Image.fromarray(frame)
    x, y, width, height = BOX
    draw = ImageDraw.Draw(image)
    rim = (x + 4, y + 4, x + width - 4, y + height - 4)
    draw.rounded_rectangle(rim, 8, outline="white", width=3)
    draw.text((x + width / 2, y + height / 2), "TV 4", "white", anchor="mm", font_size=20)
    return np.asarray(image)


def write_clip(path: Path, frames: Sequence[Rgb]) -> None:
    """Write frames without loss."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("ffv1", rate=Fraction(RATE))
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv444p"
        for frame in frames:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        output.mux(stream.encode())


def frames_of(path: Path) -> list[Rgb]:
    """All frames of a video."""
    with av.open(str(path)) as container:
        return [
            np.asarray(f.to_ndarray(format="rgb24"), np.uint8) for f in container.decode(video=0)
        ]


def save(name: str, images: Sequence[Image.Image]) -> None:
    """Put images beside each other."""
    width, height = images[0].size
    sheet = Image.new("RGB", (width * len(images) + 8 * (len(images) - 1), height), "white")
    for index, image in enumerate(images):
        sheet.paste(image, (index * (width + 8), 0))
    sheet.save(IMAGES / f"{name}.jpg", quality=QUALITY)


if __name__ == "__main__":
    main()
