"""Patches of colour arrive within one code, however matrix, range and depth are."""

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from tests.conftest import MakeClip
from tests.media.writers import open_writer, write_planes
from vsr_cli.config import OutputConfig
from vsr_cli.events import ignore
from vsr_cli.media.reading.reader import probe, read_frames
from vsr_cli.ops.yuv import to_planes, to_rgb
from vsr_cli.pixels import ColorTags, Matrix, Range

SIDE = 16  # pixels
COLORS = [
    *((0, 0, 0), (255, 255, 255), (128, 128, 128), (235, 16, 16)),
    *((16, 235, 16), (16, 16, 235), (200, 180, 40), (90, 30, 160)),
]


def patches() -> torch.Tensor:
    """(3, 2 * SIDE, 4 * SIDE), codes from 0 to 255."""
    rows = [torch.tensor(COLORS[n : n + 4]).T for n in (0, 4)]
    small = torch.stack(rows, dim=1)  # (3, 2, 4)
    return small.repeat_interleave(SIDE, 1).repeat_interleave(SIDE, 2)


def centres(picture: np.ndarray) -> np.ndarray:
    """One pixel of each patch; (H, W, 3) -> (2, 4, 3)."""
    return picture[SIDE // 2 :: SIDE, SIDE // 2 :: SIDE].astype(int)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le", "yuv444p"])
@pytest.mark.parametrize("range_", [Range.LIMITED, Range.FULL])
@pytest.mark.parametrize(
    ("matrix", "primaries", "transfer"),
    [(Matrix.BT601_525, 6, 6), (Matrix.BT709, 1, 1), (Matrix.BT2020, 9, 14)],
)
def test_patches_stay_within_one_code(
    tmp_path: Path,
    make_clip: MakeClip,
    matrix: Matrix,
    primaries: int,
    transfer: int,
    range_: Range,
    pix_fmt: str,
) -> None:
    source = make_clip(tmp_path / "in.mp4", num_frames=1, size=(2 * SIDE, 4 * SIDE))
    tags = ColorTags(matrix=matrix, range=range_, primaries=primaries, transfer=transfer)
    info = replace(probe(source), color=tags, tags=tags)
    rgb = patches().float() / 127.5 - 1
    codec = "libx265" if "10" in pix_fmt else "libx264"
    config = OutputConfig(video_codec=codec, pix_fmt=pix_fmt, lossless=True)
    for suffix in (".mp4", ".mkv"):
        target = tmp_path / f"out{suffix}"
        with open_writer(
            target, info, (2 * SIDE, 4 * SIDE), config, source=source, report=ignore
        ) as writer:
            planes = to_planes(rgb, writer.plan.coding.layout, writer.plan.coding.color)
            arrays = tuple(plane.numpy() for plane in planes)
            for frame in read_frames(source, report=ignore):
                write_planes(writer, frame, arrays)
            writer.finish()
        found = probe(target)
        assert found.tags == tags
        (frame,) = read_frames(target, report=ignore)
        ours = to_rgb([torch.from_numpy(p) for p in frame.planes], frame.layout, frame.color)
        mine = ((ours + 1) * 127.5).round().permute(1, 2, 0).numpy()
        truth = centres(patches().permute(1, 2, 0).numpy())
        assert np.abs(centres(mine) - truth).max() <= 1
        with av.open(f"file:{target}") as container:  # and to a player
            picture = next(container.decode(video=0)).to_ndarray(format="rgb24")
        # FFmpeg's own conversion is up to 3 codes off; a wrong matrix would be 20.
        assert np.abs(centres(picture) - truth).max() <= 3


def test_a_gradient_of_ten_bits_keeps_its_levels(tmp_path: Path, make_clip: MakeClip) -> None:
    source = make_clip(
        tmp_path / "in.mkv", codec="ffv1", num_frames=1, size=(32, 1024), pix_fmt="yuv420p10le"
    )
    info, target = probe(source), tmp_path / "out.mp4"
    ramp = torch.linspace(-1, 1, 1024).expand(3, 32, -1)
    with open_writer(
        target, info, (32, 1024), OutputConfig(), source=source, report=ignore
    ) as writer:
        assert (writer.plan.coding.codec, writer.plan.coding.layout.depth) == ("libx265", 10)
        arrays = tuple(
            plane.numpy()
            for plane in to_planes(ramp, writer.plan.coding.layout, writer.plan.coding.color)
        )
        for frame in read_frames(source, report=ignore):
            write_planes(writer, frame, arrays)
        writer.finish()
    (frame,) = read_frames(target, report=ignore)
    assert len(np.unique(frame.planes[0])) > 512
