"""The published widths with random weights: import and one clip, in the memory of one machine."""

import resource
import subprocess
import sys
import time
from math import prod
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.conftest import MakeClip
from tests.models.seedvr2.published import (
    Shapes,
    autoencoder_shapes,
    denoiser_shapes,
    save,
    text_tensor,
)
from vsr_cli.models.seedvr2.config import PUBLISHED
from vsr_cli.models.seedvr2.windows import rotary_frequencies
from vsr_cli.pipeline.memory import free_memory

MOST_MEMORY = 24 * 10**9  # bytes
NEEDED = 12 * 10**9  # bytes that are free before


@pytest.mark.slow
@pytest.mark.huge
@pytest.mark.skipif(free_memory(torch.device("cpu")) < NEEDED, reason="needs 12 GB of free memory")
def test_the_published_size_is_imported_and_upscales_a_clip_within_24_gb(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    dit = _write_cheaply(tmp_path / "dit.safetensors", denoiser_shapes(PUBLISHED))
    vae = _write_cheaply(tmp_path / "vae.safetensors", autoencoder_shapes(PUBLISHED))
    text = save(tmp_path / "pos_emb.pt", text_tensor(PUBLISHED))
    source = make_clip(tmp_path / "in.mkv", num_frames=5, size=(32, 32), codec="ffv1")
    target = tmp_path / "out.mkv"
    _run(tmp_path, "weights", "import", dit, vae, "--text", text)
    for file in (dit, vae):
        file.unlink()
    _run(tmp_path, "upscale", source, target, "--model", "seedvr2", "-c:v", "ffv1", "-v")
    assert target.is_file()


def _write_cheaply(path: Path, shapes: Shapes) -> Path:
    """Weights of the right size in half precision, drawn fast: pieces of one block of noise."""
    noise = torch.randn(10**7, generator=torch.Generator().manual_seed(0)).half()
    tensors = {}
    for name, shape in shapes.items():
        if name.endswith("rope.freqs"):
            tensors[name] = rotary_frequencies(PUBLISHED.rotary_channels).half()
            continue
        values = noise.repeat(-(-prod(shape) // len(noise)))[: prod(shape)].reshape(shape)
        if len(shape) > 1:
            values = values / prod(shape[1:]) ** 0.5
        elif "norm" in name and name.endswith("weight"):
            values = 1 + 0.1 * values
        else:
            values = 0.1 * values
        tensors[name] = values.clone()
    save_file(tensors, path)
    return path


def _run(folder: Path, *words: str | Path) -> None:
    """A command in a process of its own, so that its peak is its own."""
    script = (
        "import sys\n"
        f"sys.path.insert(0, {str(Path(__file__).resolve().parents[4])!r})\n"
        "from vsr_cli.cli.app import app\n"
        "app()\n"
    )
    started = time.monotonic()
    subprocess.run(
        [sys.executable, "-c", script, *map(str, words)],
        check=True,
        env={"PATH": "", "HOME": str(folder), "VSR_WEIGHTS_DIR": str(folder / "user")},
    )
    seconds = time.monotonic() - started
    peak = 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(f"{words[0]}: {seconds:.0f} s, {peak / 1e9:.1f} GB at the peak")  # noqa: T201
    assert peak < MOST_MEMORY
