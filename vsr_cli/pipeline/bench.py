"""What a frame costs: operations, seconds, stages and memory, for sizes, scales and steps."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from vsr_cli.config import ClipConfig, UpscaleConfig
from vsr_cli.events import BenchResult, Progress, Report, ignore
from vsr_cli.models.files import shipped_weights
from vsr_cli.ops.flops import FLOP_FORMULAS
from vsr_cli.ops.int8 import convolve_int8, round_filters
from vsr_cli.ops.precision import beside_int8
from vsr_cli.pipeline.clips import RgbFrame
from vsr_cli.pipeline.frames import restore_frames
from vsr_cli.pipeline.memory import peak_memory, reset_peak
from vsr_cli.pipeline.progress import MODEL_STAGES
from vsr_cli.pipeline.restorers.base import Restorer
from vsr_cli.pipeline.restorers.flow import RAFT_UPDATES, make_flow
from vsr_cli.pipeline.restorers.registry import ModelFile
from vsr_cli.pipeline.run import PROGRAM_BYTES
from vsr_cli.pipeline.run_plan import dtype_name

CEILING_SECONDS = 1.0  # that are spent on finding out what the device can do


def measure(
    config: UpscaleConfig,
    lr_sizes: Sequence[tuple[int, int]],
    scales: Sequence[Fraction],
    steps: Sequence[int],
    num_frames: int,
    report: Report,
) -> list[BenchResult]:
    """Measure every size with every scale and number of steps on synthetic frames.

    Every row is reported as a `BenchResult` when it is known, and as `Progress`. The networks'
    operations are torch's own count of one further clip; the seconds are those of a whole clip,
    after a first one to warm up.
    """
    model = ModelFile(config.model or shipped_weights())
    ceiling = find_ceiling(*model.computes_in(config))
    rows = [(size, scale, count) for size in lr_sizes for scale in scales for count in steps]
    results: list[BenchResult] = []
    started = time.monotonic()
    for lr_size, scale, count in rows:
        _tell(report, len(results), len(rows), started)
        clip = ClipConfig(length=num_frames)
        sampler = replace(config.sampler, steps=count)
        job = model.resolve(replace(config, sampler=sampler, clip=clip, scale=scale))
        result = _measure_row(model, job, lr_size, num_frames, ceiling)
        report(result)
        results.append(result)
    _tell(report, len(results), len(rows), started)
    return results


def find_ceiling(device: torch.device, dtype: torch.dtype) -> float:
    """TFLOP a second of a 3x3 convolution of 128 channels, the best of several: what can be had.

    In 8-bit integers rounding the input is a part of it.
    """
    channels, side = 128, 256 if device.type == "cuda" else 96
    is_int8 = dtype == torch.int8
    floats = beside_int8() if is_int8 else dtype
    x = torch.rand(1, channels, side, side, device=device, dtype=floats)
    x = x.to(memory_format=torch.channels_last)
    weight = torch.rand(channels, channels, 3, 3, device=device, dtype=floats)
    weight = weight.to(memory_format=torch.channels_last)
    convolve: Callable[[], Tensor] = partial(F.conv2d, x, weight, padding=1)
    if is_int8:
        zeros = torch.zeros(channels)
        filters = round_filters(weight.float(), zeros, zeros, zeros + 1, padding=1)
        convolve = partial(convolve_int8, filters, x)
    operations = 2 * 9 * channels**2 * side**2
    best, end = 0.0, time.monotonic() + CEILING_SECONDS
    with torch.inference_mode():
        while time.monotonic() < end or not best:
            started = time.perf_counter()
            convolve()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            best = max(best, operations / (time.perf_counter() - started) / 1e12)
    return best


def _measure_row(
    model: ModelFile,
    job: UpscaleConfig,
    lr_size: tuple[int, int],
    num_frames: int,
    ceiling: float,
) -> BenchResult:
    run_plan = model.plan(job, lr_size)
    device = run_plan.device
    frames = _moving_noise(lr_size, num_frames)
    # Where clips are of one length, two frames take as long as all of them.
    counted = frames if model.info.clip_length is not None else frames[:2]
    restorer = model.restorer(job, run_plan, ignore)
    _run(frames[:2], restorer)
    if device.type == "cuda":
        restorer.meter.synchronize = torch.cuda.synchronize
    before = dict(restorer.meter.seconds)
    reset_peak(device)
    started = time.perf_counter()
    _run(frames, restorer)
    seconds = (time.perf_counter() - started) / num_frames
    peak = peak_memory(device)
    shares = {
        stage: round((restorer.meter.seconds[stage] - before[stage]) / num_frames / seconds, 3)
        for stage in MODEL_STAGES
    }
    shares["flow"] = round(_flow_seconds(job, device, frames) / num_frames / seconds, 3)
    with FlopCounterMode(display=False, custom_mapping={**FLOP_FORMULAS}) as counter:
        _run(counted, restorer)
    planned = run_plan.peak_bytes
    if planned is not None and device.type == "cpu":
        planned += PROGRAM_BYTES
    return BenchResult(
        lr_size=lr_size,
        scale=str(job.scale),
        steps=job.sampler.steps or model.info.default_steps,
        tflop=counter.get_total_flops() / len(counted) / 1e12,
        seconds=seconds,
        shares=shares,
        ceiling=ceiling,
        peak_gb=None if peak is None else round(peak / 1e9, 3),
        planned_gb=None if planned is None else round(planned / 1e9, 3),
        device=str(device),
        dtype=dtype_name(run_plan.dtype),
    )


def _flow_seconds(job: UpscaleConfig, device: torch.device, frames: list[Tensor]) -> float:
    """What the flow of all pairs takes by itself."""
    if job.flow_weights is None and job.flow == "raft":
        return 0.0  # the model's own, which is part of its stages
    flow = make_flow(job, device, num_updates=RAFT_UPDATES)
    clip = torch.stack(frames)[None]
    flow(clip[:, :2])
    started = time.perf_counter()
    flow(clip)
    return time.perf_counter() - started


def _run(frames: list[Tensor], restorer: Restorer) -> None:
    for clip in restore_frames(map(RgbFrame, frames), restorer, scene_cut=True):
        for frame in clip.frames:
            frame.sum().item()  # waits for the device


def _tell(report: Report, done: int, of: int, started: float) -> None:
    seconds = time.monotonic() - started
    report(Progress(stage="bench", frame=done, num_frames=of, seconds=seconds, unit="rows"))


def _moving_noise(lr_size: tuple[int, int], num_frames: int) -> list[Tensor]:
    """Smooth texture that moves by a pixel a frame."""
    height, width = lr_size
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 3, height // 4, width // 4 + num_frames, generator=generator) * 2 - 1
    size = (height, 4 * (width // 4 + num_frames))
    whole = torch.nn.functional.interpolate(coarse, size=size, mode="bilinear")[0]
    return [whole[..., index : index + width] for index in range(num_frames)]
