from pathlib import Path

import pytest
import torch

from vsr_cli.errors import OutputError
from vsr_cli.media.roundtrip import decode_rgb
from vsr_cli.quality.sheets import save_picture


def test_a_saved_picture_reads_back_within_half_a_code(tmp_path: Path) -> None:
    picture = torch.rand(3, 13, 7, generator=torch.Generator().manual_seed(0)) * 2 - 1
    save_picture(tmp_path / "picture.png", picture)
    (back,) = decode_rgb(tmp_path / "picture.png")
    codes = torch.from_numpy(back).permute(2, 0, 1).float()
    assert (codes - (picture + 1) * 127.5).abs().max() <= 0.5001


def test_a_picture_for_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        save_picture(tmp_path / "nowhere" / "a.png", torch.zeros(3, 2, 2))
