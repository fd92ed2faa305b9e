"""What SeedVR2 takes: what is planned is what its networks need, and what does not fit shrinks."""

from math import prod

import pytest
import torch

from tests.models.seedvr2.published import autoencoder_shapes, denoiser_shapes
from tests.pipeline.restorers.mgld.live_bytes import PeakBytes
from vsr_cli.errors import DeviceError
from vsr_cli.models.files import Header
from vsr_cli.models.seedvr2.autoencoder import Stream
from vsr_cli.models.seedvr2.config import PUBLISHED
from vsr_cli.models.seedvr2.model import SeedVr2Model
from vsr_cli.pipeline.restorers.seedvr2.memory import (
    Needs,
    SeedVr2RunPlan,
    describe_needs,
    fit_memory,
    overlap_of,
    usual_length,
)

GB = 10**9
HD, FULL_HD = (720, 1280), (1080, 1920)


def header() -> Header:
    """That of the published files, imported."""
    names = {f"denoiser.{n}": prod(s) for n, s in denoiser_shapes(PUBLISHED).items()}
    names |= {f"autoencoder.{n}": prod(s) for n, s in autoencoder_shapes(PUBLISHED).items()}
    return Header({}, names | {"text": 58 * 5120})


def plan(budget: float, size: tuple[int, int] = HD, *, may_tile: bool = True) -> SeedVr2RunPlan:
    asked = SeedVr2RunPlan(torch.device("cuda"), torch.float16, 45, None, ())
    needs = Needs.of(header(), PUBLISHED, 2)
    return fit_memory(asked, needs, size, int(budget * GB), may_tile=may_tile)


def test_everything_stays_on_a_large_gpu() -> None:
    found = plan(70)
    assert (found.clip_length, found.tile_size, found.offload) == (45, None, False)
    assert found.reasons == ()


def test_on_smaller_ones_blocks_wait_and_then_the_autoencoder_works_in_tiles() -> None:
    found = plan(18)
    assert (found.clip_length, found.tile_size, found.offload) == (45, None, True)
    for budget, size in ((11, HD), (8, HD), (6, HD), (20, FULL_HD), (10, FULL_HD), (6, FULL_HD)):
        found = plan(budget, size)
        assert found.tile_size is not None
        assert found.clip_length == 45
        assert found.peak_bytes is not None
        assert found.peak_bytes <= budget * GB
        assert found.reasons


def test_clips_become_shorter_last_and_too_little_is_an_error() -> None:
    least = plan(3.0, (1440, 2560))
    assert least.clip_length < 45
    with pytest.raises(DeviceError, match="does not fit"):
        plan(1)
    with pytest.raises(DeviceError, match="does not fit"):
        plan(8, may_tile=False)


def test_where_memory_runs_out_there_is_always_something_smaller_until_there_is_not() -> None:
    found: SeedVr2RunPlan | None = plan(70)
    seen = []
    while found is not None:
        seen.append((found.clip_length, found.tile_size, found.offload))
        found = found.smaller(HD)
    assert seen == [
        (45, None, False),
        (45, 80, True),
        (45, 40, True),
        (25, 40, True),
        (13, 40, True),
        (9, 40, True),
    ]


def test_clips_are_of_whole_latent_frames() -> None:
    assert [usual_length(n) for n in (1, 9, 10, 13, 20, 21)] == [9, 9, 13, 13, 21, 21]
    for length in range(9, 60, 4):
        assert overlap_of(length) % 4 == 1
        assert 5 <= overlap_of(length) < length


def test_people_are_told_a_line_for_each_size() -> None:
    lines = describe_needs(header(), PUBLISHED)
    assert [line.partition(":")[0] for line in lines] == ["1280x720", "1920x1080", "2560x1440"]


@pytest.mark.slow
def test_what_is_planned_is_what_the_networks_take() -> None:
    needs = Needs.of(header(), PUBLISHED, 2)
    with PeakBytes() as count:
        torch.set_default_dtype(torch.float16)
        try:
            model = SeedVr2Model(PUBLISHED)
        finally:
            torch.set_default_dtype(torch.float32)
        frames, latents = torch.zeros(9, 3, 256, 320), torch.zeros(3, 16, 32, 40)
        pixels = 256 * 320
        found = count.of(lambda: model.autoencoder.encode(frames))
        assert 0.9 < found / (pixels * needs.encode_pixel) < 1.05
        found = count.of(lambda: [None for _ in model.decode(latents, Stream())])
        assert 0.9 < found / (pixels * needs.decode_pixel) < 1.05
        stream = Stream()
        assert all(frame is not None for frame in model.decode(latents, stream))
        kept = sum(x.nbytes for inputs in stream.inputs.values() for x in inputs)
        assert 0.9 < kept / (pixels * needs.remember_pixel) < 1.05
        for size in ((6, 90, 160), (6, 136, 240), (11, 90, 160)):
            x = torch.zeros(size[0], 16, *size[1:])
            found = count.of(lambda: model.denoise(x, x, 1000))  # noqa: B023  called at once
            planned = prod(size) // 4 * needs.token + needs.layer
            assert 0.75 < found / planned < 1.05
