"""Tensors that a clip hands on come back from disk as they were, also in the order of memory."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from vsr_cli.errors import InputError
from vsr_cli.pipeline.resume.state import load_tensors, save_tensors

CPU = torch.device("cpu")


@pytest.fixture
def tensors() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    plain = torch.randn(2, 3, 4, 5, generator=generator)
    return {
        "plain": plain,
        "channels_last": plain.contiguous(memory_format=torch.channels_last),
        "half": plain.bfloat16(),
        "five": plain[None].clone(),
        "five_channels_last": plain[None].movedim(-3, -1).contiguous().movedim(-1, -3),
        "view": plain[:, :, 1:3],
        "number": torch.tensor(7),
        "flags": torch.tensor([True, False, True]),
        "codes": torch.arange(5).to(torch.uint16),
        "none": torch.empty(0, 3),
    }


def test_values_types_and_order_of_memory_come_back(
    tmp_path: Path, tensors: dict[str, Tensor]
) -> None:
    save_tensors(tmp_path / "state.safetensors", tensors)
    found = load_tensors(tmp_path / "state.safetensors")
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)
    last = {"channels_last", "five_channels_last"}
    for name in last:
        assert found[name].stride() == tensors[name].stride()
    for name in tensors.keys() - last:
        assert found[name].is_contiguous()
    assert [path.name for path in tmp_path.iterdir()] == ["state.safetensors"]


def test_a_missing_or_damaged_file_is_refused(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    path = tmp_path / "state.safetensors"
    save_tensors(path, tensors)
    for data in (path.read_bytes()[:40], b"", b"no tensors"):
        path.write_bytes(data)
        with pytest.raises(InputError, match="cannot be read back") as refused:
            load_tensors(path)
        assert "--fresh" in (refused.value.hint or "")
    with pytest.raises(InputError, match="cannot be read back"):
        load_tensors(tmp_path / "gone.safetensors")
