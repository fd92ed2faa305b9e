"""How long frames will take, told from a few small ones."""

import math
import time
from dataclasses import replace

import torch

from vsr_cli.config import UpscaleConfig
from vsr_cli.pipeline.frames import frame_restorer
from vsr_cli.pipeline.restorers.registry import ModelFile

SIDE, NUM_FRAMES = 512, 3  # of the target: of smaller ones, what is not computing is a large part
WORTHWHILE = 32_000_000  # pixels of all frames of the target; of less, it would be a large part


def measure_speed(model: ModelFile, config: UpscaleConfig) -> float:
    """Seconds for each frame and pixel of the source, without reading and encoding.

    Args:
        model: which one; it is loaded.
        config: from `ModelFile.resolve`.
    """
    # Compiling would take longer than a trial is worth.
    restore = frame_restorer(model, replace(config, size=None, compile=False))
    side = math.ceil(SIDE / config.scale)
    frames = torch.zeros(NUM_FRAMES, 3, side, side)
    restore(frames[:1])  # the first time is slower
    started = time.perf_counter()
    restore(frames)
    return (time.perf_counter() - started) / (NUM_FRAMES * side**2)
