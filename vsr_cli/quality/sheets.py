"""Side-by-side pictures of restored clips, because figures do not see everything."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from vsr_cli.errors import OutputError

_GAP = 4  # pixels between pictures
_PROFILE_HEIGHT = 8  # pixels each frame of a temporal profile is drawn high
_LABEL_HEIGHT, _FONT_SIZE = 18, 13  # pixels


def contact_sheet(rows: Sequence[Sequence[Tensor]]) -> Tensor:
    """Lay pictures out in rows.

    Args:
        rows: pictures (3, h, w) in [-1, 1]; those of a row share h, and all rows are as wide.

    Returns:
        (3, H, W) in [-1, 1], white between the pictures.
    """
    lines = [_join([picture.float() for picture in row], dim=2) for row in rows]
    return _join(lines, dim=1)


def temporal_profile(frames: Tensor, row: int) -> Tensor:
    """One line of pixels through time, downwards: steady video draws straight lines.

    Args:
        frames: (T, 3, H, W).
        row: which line of the frames.

    Returns:
        (3, 8 T, W).
    """
    return frames[:, :, row].transpose(0, 1).repeat_interleave(_PROFILE_HEIGHT, dim=1)


def label(text: str, width: int) -> Tensor:
    """A line of black text on white, (3, 18, width), cut where it is too long."""
    image = Image.new("RGB", (width, _LABEL_HEIGHT), "white")
    font = ImageFont.load_default(size=_FONT_SIZE)
    ImageDraw.Draw(image).text((2, 1), text, fill="black", font=font)
    codes = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return codes.view(_LABEL_HEIGHT, width, 3).permute(2, 0, 1).float() / 127.5 - 1


def compare_clips(clips: Mapping[str, Tensor], *, side: int = 256) -> Tensor:
    """A column for each clip: name, liveliest part of the middle frame, the profile through it.

    Args:
        clips: (T, 3, H, W) each, all of one size; the last is the truth, which chooses the part.
        side: of the part, in pixels, or less where the frames are smaller.
    """
    truth = list(clips.values())[-1]
    num_frames, _, height, width = truth.shape
    side = min(side, height, width)
    top, left = _liveliest(truth[num_frames // 2], side)
    parts = [clip[..., top : top + side, left : left + side] for clip in clips.values()]
    labels = [label(name, side) for name in clips]
    stills = [part[num_frames // 2] for part in parts]
    return contact_sheet([labels, stills, [temporal_profile(part, side // 2) for part in parts]])


def save_picture(path: Path, picture: Tensor) -> None:
    """Write a picture (3, H, W) in [-1, 1] as PNG.

    Raises:
        OutputError: if the file cannot be written.
    """
    codes = ((picture.float().cpu() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    try:
        Image.fromarray(codes.permute(1, 2, 0).contiguous().numpy()).save(path, "PNG")
    except OSError as error:
        raise OutputError(
            f"`{path}` cannot be written", why=str(error), hint="choose another folder"
        ) from error


def _liveliest(frame: Tensor, side: int) -> tuple[int, int]:
    """Top and left of the square with the most change between neighbouring pixels."""
    change = F.pad(frame.diff(dim=2).abs().mean(dim=0), (0, 1))  # (H, W)
    step = max(side // 4, 1)
    means = F.avg_pool2d(change[None, None], side, stride=step)[0, 0]
    best = int(means.argmax())
    return best // means.shape[1] * step, best % means.shape[1] * step


def _join(pictures: Sequence[Tensor], dim: int) -> Tensor:
    gap_shape = list(pictures[0].shape)
    gap_shape[dim] = _GAP
    gap = pictures[0].new_ones(gap_shape)
    parts = [part for picture in pictures for part in (picture, gap)]
    return torch.cat(parts[:-1], dim=dim)
