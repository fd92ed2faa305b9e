"""The published widths with random weights: import and one clip, in the memory of one machine."""

import resource
import subprocess
import sys
import time
from math import prod
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.conftest import MakeClip
from tests.models.mgld.published import (
    Shapes,
    decoder_shapes,
    encoder_shapes,
    prefixed,
    save_checkpoint,
    structure_shapes,
    text_tower_shapes,
    unet_shapes,
)
from vsr_cli.models.mgld.config import PUBLISHED
from vsr_cli.pipeline.memory import free_memory

MOST_MEMORY = 24 * 10**9  # bytes


@pytest.mark.slow
@pytest.mark.skipif(
    free_memory(torch.device("cpu")) < MOST_MEMORY, reason="needs 24 GB of free memory"
)
def test_the_published_size_is_imported_and_upscales_a_clip_within_24_gb(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    unet = {
        **unet_shapes(PUBLISHED),
        **structure_shapes(PUBLISHED),
        **prefixed("first_stage_model.", encoder_shapes(PUBLISHED)),
        **prefixed("first_stage_model.", decoder_shapes(PUBLISHED, temporal=False)),
        **prefixed("cond_stage_model.model.", text_tower_shapes(PUBLISHED)),
    }
    video = {**encoder_shapes(PUBLISHED), **decoder_shapes(PUBLISHED, temporal=True)}
    files = [
        save_checkpoint(tmp_path / name, _cheap_tensors(shapes))
        for name, shapes in (("unet.ckpt", unet), ("video.ckpt", video))
    ]
    source = make_clip(tmp_path / "in.mkv", num_frames=5, size=(32, 32), codec="ffv1")
    target = tmp_path / "out.mkv"
    _run(tmp_path, "weights", "import", *files)
    for file in files:
        file.unlink()
    _run(
        *(tmp_path, "upscale", source, target, "--model", "mgld", "--steps", "2"),
        *("-c:v", "ffv1", "--device", "cpu"),
    )
    assert target.is_file()


def _cheap_tensors(shapes: Shapes) -> dict[str, Tensor]:
    """Weights of the right size, drawn fast: pieces of one block of noise."""
    noise = torch.randn(10**7, generator=torch.Generator().manual_seed(0))
    tensors = {}
    for name, shape in shapes.items():
        values = noise.repeat(-(-prod(shape) // len(noise)))[: prod(shape)].reshape(shape)
        if len(shape) > 1:
            values = values / prod(shape[1:]) ** 0.5
        elif name.endswith("weight"):
            values = 1 + 0.1 * values
        else:
            values = 0.1 * values
        tensors[name] = values.clone()
    return tensors


def _run(folder: Path, *words: str | Path) -> None:
    """A command in a process of its own, so that its peak is its own."""
    script = (
        "import os, runpy, sys; os.environ['VSR_WEIGHTS_DIR'] = sys.argv[1];"
        "sys.argv = ['vsr', *sys.argv[2:]]; runpy.run_module('vsr_cli', run_name='__main__')"
    )
    started = time.monotonic()
    subprocess.run(
        [sys.executable, "-c", script, str(folder / "weights"), *map(str, words)], check=True
    )
    seconds = time.monotonic() - started
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    sys.stderr.write(f"{words[0]}: {seconds:.0f} s, at most {peak / 1e9:.1f} GB\n")
    assert peak < MOST_MEMORY
