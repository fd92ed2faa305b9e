"""Results of other tools, as files."""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor


def write_pictures(folder: Path, frames: Tensor) -> None:
    """Write frames (T, 3, H, W) in [-1, 1] as PNG files 1.png, 2.png, ..., 10.png."""
    folder.mkdir(parents=True)
    codes = ((frames + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
    for index, picture in enumerate(codes.numpy(), start=1):
        Image.fromarray(picture).save(folder / f"{index}.png")
