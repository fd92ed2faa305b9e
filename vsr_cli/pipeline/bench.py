"""What a frame costs: floating-point operations and seconds, for sizes and steps."""

import time
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from vsr_cli.config import ClipConfig, UpscaleConfig
from vsr_cli.events import BenchResult, Report, ignore
from vsr_cli.models.files import shipped_weights
from vsr_cli.pipeline.clips import RgbFrame
from vsr_cli.pipeline.frames import restore_frames
from vsr_cli.pipeline.restorers.base import Restorer
from vsr_cli.pipeline.restorers.registry import ModelFile
from vsr_cli.pipeline.run_plan import RunPlan, choose_device, choose_dtype


def measure(
    config: UpscaleConfig,
    lr_sizes: Sequence[tuple[int, int]],
    steps: Sequence[int],
    num_frames: int,
    report: Report,
) -> list[BenchResult]:
    """Measure every size with every number of steps on synthetic frames.

    Every row is reported as a `BenchResult` when it is known. The network's FLOPs are torch's own
    count of one further clip; the seconds are those of a whole clip, after a first one to warm up.
    """
    device, _ = choose_device(config.device)
    dtype, _ = choose_dtype(config.dtype, device)
    run_plan = RunPlan(device, dtype, num_frames, None, ())
    model = ModelFile(config.model or shipped_weights())
    results = []
    takes_fixed = model.info.clip_length is not None
    for lr_size in lr_sizes:
        frames = _moving_noise(lr_size, num_frames)
        # Where clips are of one length, two frames take as long as all of them.
        counted = frames if takes_fixed else frames[:2]
        for count in steps:
            clip = ClipConfig(length=num_frames)
            sampler = replace(config.sampler, steps=count)
            job = model.resolve(replace(config, sampler=sampler, clip=clip))
            if takes_fixed:
                run_plan = model.plan(job, lr_size)
            restorer = model.restorer(job, run_plan, ignore)
            _run(frames[:2], restorer)
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
            started = time.perf_counter()
            _run(frames, restorer)
            seconds = (time.perf_counter() - started) / num_frames
            peak = torch.cuda.max_memory_allocated(device) / 1e9 if device.type == "cuda" else None
            with FlopCounterMode(display=False) as counter:
                _run(counted, restorer)
            tflop = counter.get_total_flops() / len(counted) / 1e12
            result = BenchResult(
                lr_size=lr_size,
                steps=count,
                tflop=tflop,
                seconds=seconds,
                peak_gb=peak,
                device=str(device),
                dtype=str(dtype).removeprefix("torch."),
            )
            report(result)
            results.append(result)
    return results


def _run(frames: list[Tensor], restorer: Restorer) -> None:
    for clip in restore_frames(map(RgbFrame, frames), restorer, scene_cut=True):
        for frame in clip.frames:
            frame.sum().item()  # waits for the device


def _moving_noise(lr_size: tuple[int, int], num_frames: int) -> list[Tensor]:
    """Smooth texture that moves by a pixel a frame."""
    height, width = lr_size
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 3, height // 4, width // 4 + num_frames, generator=generator) * 2 - 1
    size = (height, 4 * (width // 4 + num_frames))
    whole = torch.nn.functional.interpolate(coarse, size=size, mode="bilinear")[0]
    return [whole[..., index : index + width] for index in range(num_frames)]
