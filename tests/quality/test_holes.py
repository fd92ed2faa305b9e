"""What is missing is where it should be, and measured where it was."""

import pytest
import torch

from vsr_cli.quality.holes import (
    HOLES,
    Hole,
    as_frames,
    as_rgb,
    cut_out,
    draw_holes,
    from_neighbours,
    from_rim,
    lost_indices,
    measure_holes,
)


def noise(num_frames: int, size: tuple[int, int] = (48, 64)) -> torch.Tensor:
    codes = torch.randint(
        0, 256, (num_frames, 3, *size), generator=torch.Generator().manual_seed(0)
    )
    return codes / 127.5 - 1


def test_frames_come_back_as_they_were() -> None:
    assert torch.allclose(as_rgb(as_frames(noise(3))), noise(3), atol=1e-5)


@pytest.mark.parametrize("kind", HOLES)
def test_each_frame_has_a_hole_of_a_part_of_it(kind: Hole) -> None:
    mask = draw_holes(kind, 6, (208, 288), seed=1)
    shares = mask.mean((1, 2, 3))
    assert float(shares.min()) > 0.001
    assert float(shares.max()) < 0.1
    assert torch.equal(mask, draw_holes(kind, 6, (208, 288), seed=1))
    stands_still = torch.equal(mask[0], mask[5])
    assert stands_still == (kind in ("logo", "text"))


def test_only_frames_between_others_are_lost() -> None:
    assert lost_indices("gap1", 8) == [1, 3, 5]
    assert lost_indices("gap3", 11) == [1, 2, 3, 5, 6, 7]


def test_lost_frames_are_copied_or_blended_from_those_that_are_there() -> None:
    frames = torch.arange(5.0)[:, None, None, None].expand(5, 3, 4, 4)
    blended = from_neighbours(frames, [1, 2, 3], blended=True)
    assert torch.allclose(blended[:, 0, 0, 0], torch.arange(5.0))
    copied = from_neighbours(frames, [1, 2, 3], blended=False)
    assert copied[:, 0, 0, 0].tolist() == [0, 0, 0, 4, 4]


def test_a_large_clip_is_cut_to_its_middle() -> None:
    frames = torch.arange(400.0)[:, None].expand(2, 3, 400, 300)
    assert cut_out(frames).shape == (2, 3, 288, 300)
    assert float(cut_out(frames)[0, 0, 0, 0]) == 56


def test_figures_are_those_of_the_hole() -> None:
    truth = noise(4)
    holes = draw_holes("object", 4, (48, 64), seed=0)
    found = truth + torch.where(holes > 0, 0.2, 5.0)  # what is outside does not count
    figures = measure_holes(found, truth, holes, None)
    assert figures.psnr == pytest.approx(20.0, abs=1e-3)
    assert figures.lpips is None
    still = torch.ones_like(holes)
    assert measure_holes(truth + 0.2, truth, still, None).flicker == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("method", ["telea", "ns"])
def test_a_flat_picture_is_filled_flat(method: str) -> None:
    frames = torch.full((2, 3, 40, 50), 0.25)
    holes = torch.zeros(2, 1, 40, 50)
    holes[..., 10:20, 10:30] = 1
    black = torch.where(holes > 0, -1.0, frames)
    found = from_rim(black, holes, method=method)  # type: ignore[arg-type]
    assert torch.allclose(found, frames, atol=1e-3)
