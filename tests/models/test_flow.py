"""Optical flow: what moves is found, at any size, the same every time."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate
from torchvision.models.optical_flow import raft_small

from vsr_cli.errors import WeightsError
from vsr_cli.models.flow import FLOW_PREFIX, DisFlow, RaftFlow
from vsr_cli.ops.resize import resize


def moving_texture(num_frames: int, size: tuple[int, int], step: tuple[int, int]) -> Tensor:
    """Frames (1, T, 3, H, W) of a smooth texture that moves by `step` (x, y) every frame."""
    height, width = size
    right, down = step
    margin = num_frames * max(abs(right), abs(down))
    canvas = (height + 2 * margin, width + 2 * margin)
    coarse = torch.rand(3, canvas[0] // 4, canvas[1] // 4, generator=torch.manual_seed(0))
    texture = resize(coarse, canvas).clamp(0, 1) * 2 - 1
    views = [
        texture[
            :,
            margin - k * down : margin - k * down + height,
            margin - k * right : margin - k * right + width,
        ]
        for k in range(num_frames)
    ]
    return torch.stack(views)[None]


@pytest.mark.parametrize("step", [(3, 0), (0, -2), (-2, 1)])
def test_dis_finds_the_motion_forward_and_its_opposite_backward(step: tuple[int, int]) -> None:
    forward, backward = DisFlow()(moving_texture(3, (48, 64), step))
    expected = torch.tensor(step).float()
    assert forward.shape == backward.shape == (1, 2, 2, 48, 64)
    inner = forward[..., 8:-8, 8:-8].mean((0, 1, 3, 4))
    torch.testing.assert_close(inner, expected, atol=0.1, rtol=0)
    inner = backward[..., 8:-8, 8:-8].mean((0, 1, 3, 4))
    torch.testing.assert_close(inner, -expected, atol=0.1, rtol=0)


@pytest.mark.parametrize("is_fine", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (2, 50), (9, 7), (33, 31)])
def test_dis_accepts_frames_of_any_size(size: tuple[int, int], is_fine: bool) -> None:
    frames = torch.rand(2, 2, 3, *size, generator=torch.manual_seed(0))
    forward, backward = DisFlow(is_fine=is_fine)(frames)
    assert forward.shape == backward.shape == (2, 1, 2, *size)
    assert forward.isfinite().all()


def test_a_fine_search_tells_windows_of_a_facade_apart() -> None:
    """They are alike but for what lies over them, and move by a third of their distance."""
    windows = torch.outer(
        (torch.arange(128) % 12 < 6).float(), (torch.arange(192) % 12 < 6).float()
    )
    shade = torch.rand(1, 1, 16, 24, generator=torch.Generator().manual_seed(0))
    facade = 0.7 * windows + 0.3 * interpolate(shade, windows.shape)[0, 0]
    blurred = avg_pool2d(facade[None, None], 3, 1, 1)[0, 0]
    views = torch.stack([blurred, blurred.roll(4, 1)])[None, :, None].expand(-1, -1, 3, -1, -1)
    errors = []
    for is_fine in (False, True):
        forward, _ = DisFlow(is_fine=is_fine)(views * 2 - 1)
        errors.append(float((forward[0, 0, 0, 12:-12, 12:-12] - 4).abs().mean()))
    assert errors[0] > 5
    assert errors[1] < 0.1


def test_one_frame_has_no_flow() -> None:
    forward, backward = DisFlow()(torch.zeros(1, 1, 3, 16, 16))
    assert forward.shape == backward.shape == (1, 0, 2, 16, 16)


def test_dis_gives_the_same_flow_for_any_number_of_threads_and_callers() -> None:
    frames = moving_texture(4, (48, 64), (2, 1))
    alone, _ = DisFlow(num_threads=1)(frames)
    shared = DisFlow(num_threads=3)
    with ThreadPoolExecutor(3) as pool:
        for forward, _ in pool.map(shared, [frames] * 3):
            assert torch.equal(forward, alone)


def test_flow_of_a_pair_does_not_depend_on_the_clip_around_it() -> None:
    frames = moving_texture(4, (48, 64), (2, 1))
    whole, _ = DisFlow()(frames)
    pair, _ = DisFlow()(frames[:, 2:])
    assert torch.equal(whole[:, 2:], pair)


@pytest.fixture(scope="module")
def small_raft(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("raft") / "raft.safetensors"
    save_file(raft_small(weights=None).state_dict(), path)
    return path


def test_raft_fits_any_size_and_swaps_directions_with_time(small_raft: Path) -> None:
    frames = torch.rand(1, 2, 3, 20, 36, generator=torch.manual_seed(0))
    forward, backward = RaftFlow(small_raft)(frames)
    assert forward.shape == backward.shape == (1, 1, 2, 20, 36)
    reversed_forward, _ = RaftFlow(small_raft)(frames.flip(1))
    torch.testing.assert_close(reversed_forward, backward, atol=1e-4, rtol=1e-4)


def test_raft_reads_pth_as_well_as_safetensors(small_raft: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    path = tmp_path / "raft.pth"
    torch.save(raft_small(weights=None).state_dict(), path)
    frames = torch.rand(1, 2, 3, 16, 16, generator=torch.manual_seed(0))
    torch.testing.assert_close(RaftFlow(path)(frames), RaftFlow(small_raft)(frames))


def test_raft_refuses_weights_that_miss_a_tensor(tmp_path: Path) -> None:
    tensors = raft_small(weights=None).state_dict()
    del tensors[min(tensors)]
    path = tmp_path / "partial.safetensors"
    save_file(tensors, path)
    with pytest.raises(WeightsError, match=r"`partial\.safetensors` is neither"):
        RaftFlow(path)


def test_raft_refuses_weights_of_another_shape(tmp_path: Path) -> None:
    tensors = raft_small(weights=None).state_dict()
    name = min(tensors)
    tensors[name] = torch.zeros(1)
    path = tmp_path / "shapes.safetensors"
    save_file(tensors, path)
    with pytest.raises(WeightsError) as caught:
        RaftFlow(path)
    assert name in (caught.value.why or "")


@pytest.mark.parametrize("name", ["none.pth", "none.safetensors"])
def test_raft_says_which_file_is_missing(tmp_path: Path, name: str) -> None:
    with pytest.raises(WeightsError, match=f"there is no file `.*{name}`") as caught:
        RaftFlow(tmp_path / name)
    assert caught.value.exit_code == 5


@pytest.mark.parametrize("name", ["junk.pth", "junk.safetensors"])
def test_raft_refuses_what_is_no_weights_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"these are not tensors")
    with pytest.raises(WeightsError, match="cannot be read as a checkpoint"):
        RaftFlow(tmp_path / name)


class Payload:
    """A pickle that would make a file where it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_raft_runs_nothing_that_a_file_asks_for(tmp_path: Path) -> None:
    path = tmp_path / "raft.pth"
    torch.save({"fnet.weight": torch.zeros(1), "code": Payload(tmp_path / "ran")}, path)
    with pytest.raises(WeightsError, match="reading it could run code"):
        RaftFlow(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["model.safetensors", "model.ckpt"])
def test_raft_takes_its_own_tensors_out_of_a_model_that_brings_it(
    small_raft: Path, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    own = {f"{FLOW_PREFIX}{name}": tensor for name, tensor in load_file(small_raft).items()}
    tensors = {**own, "denoiser.weight": torch.zeros(3)}
    (save_file if path.suffix == ".safetensors" else torch.save)(tensors, path)
    frames = torch.rand(1, 2, 3, 16, 16, generator=torch.manual_seed(0))
    torch.testing.assert_close(RaftFlow(path)(frames), RaftFlow(small_raft)(frames))
