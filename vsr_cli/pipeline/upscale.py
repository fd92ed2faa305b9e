"""The whole program on one screen: a video in, the same video four times larger out."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from vsr_cli.config import UpscaleConfig
from vsr_cli.events import Done, Plan, Progress, Report, ignore
from vsr_cli.media.frame import Frame, VideoInfo
from vsr_cli.media.grid import regular_frames
from vsr_cli.media.reader import open_video
from vsr_cli.media.target import check_target
from vsr_cli.media.writer import VideoWriter
from vsr_cli.models.files import shipped_weights
from vsr_cli.models.flow import DisFlow, FlowEstimator, RaftFlow
from vsr_cli.models.small.model import SmallModel
from vsr_cli.models.weights import load_weights
from vsr_cli.ops.resize import resize
from vsr_cli.ops.shots import is_cut
from vsr_cli.ops.yuv import to_planes, to_rgb
from vsr_cli.pipeline.ahead import run_ahead
from vsr_cli.pipeline.clips import Clip, cut_clips
from vsr_cli.pipeline.frugal import Frugal
from vsr_cli.pipeline.runtime import (
    Runtime,
    choose_device,
    choose_dtype,
    plan_runtime,
    reuse_memory,
)
from vsr_cli.pipeline.stages import (
    Carried,
    decode_clips,
    estimate_motion,
    match_color,
    sample_clips,
)


def upscale_video(
    source: Path, target: Path, config: UpscaleConfig, *, report: Report = ignore
) -> Done:
    """Upscale `source` and write it to `target`, every audio track copied.

    Everything that can be refused is refused before the model loads. The target appears only
    when it is complete and verified; until then nothing of its name is touched.

    Raises:
        VsrError: the class names what to mend: input, output, weights, device or options.
    """
    started = time.monotonic()
    with ExitStack() as resources:
        video = resources.enter_context(open_video(source, config.input))
        check_target(target, source, config.output)
        info = video.info
        size = config.target_size(info.height, info.width)
        writer = resources.enter_context(
            VideoWriter(target, info, size, config.output, source=video.others, report=report)
        )
        model_path = config.model or shipped_weights()
        choose_dtype(config.dtype, choose_device(config.device)[0])  # refused now rather than later
        model = load_weights(model_path)
        steps = config.sampler.steps or model.default_steps
        runtime = plan_runtime(config, (info.height, info.width), steps)
        model.to(runtime.device, runtime.dtype).to(memory_format=torch.channels_last)
        report(_plan(source, target, config, model_path, model, runtime, info, writer))

        headers: deque[Frame] = deque()  # frames read and not yet written, without their pixels
        frames = regular_frames(video.frames(report=report), writer.plan, info, report)
        rgb = _read_rgb(frames, headers)
        done = 0
        for clip in upscale_frames(rgb, model, config, runtime, report=report):
            for sr_frame in clip.frames:
                header = headers.popleft()
                planes = to_planes(resize(sr_frame, size), writer.layout, writer.color)
                arrays = tuple(plane.cpu().numpy() for plane in planes)
                writer.write(writer.frame_like(header, arrays))
                done += 1
                seconds = time.monotonic() - started
                report(
                    Progress(
                        stage="upscale", frame=done, num_frames=info.num_frames, seconds=seconds
                    )
                )
        writer.finish()
    return Done(
        target=target,
        frames_in=done + len(headers),
        frames_out=done,
        height=size[0],
        width=size[1],
        seconds=time.monotonic() - started,
    )


def upscale_frames(
    frames: Iterator[Tensor],
    model: SmallModel,
    config: UpscaleConfig,
    runtime: Runtime,
    *,
    first: int = 0,
    carried: Carried | None = None,
    report: Report = ignore,
) -> Iterator[Clip]:
    """LR frames (3, H, W) in [-1, 1] -> clips of SR frames (T, 3, 4H, 4W), each frame once.

    Args:
        frames: from the start, or from what `cut_clips` needs to go on at `first`.
        model: on the device and in the dtype of `runtime`.
        config: how.
        runtime: how many frames at once.
        first: the frame to go on with.
        carried: what the clip before it handed on. After each clip that is yielded it holds what
            that one hands on.
        report: hears how scarce memory is coped with.
    """
    reuse_memory()
    carried = carried or Carried()
    clip_config = replace(config.clip, length=runtime.clip_length)
    cuts: Callable[[Tensor, Tensor], bool] = is_cut if config.scene_cut else _never
    held: deque[Clip] = deque()
    clips = _remember(cut_clips(frames, clip_config, cuts, first=first), held)
    prepared = estimate_motion(
        clips, make_flow(config, runtime.device), multiple=model.lr_multiple, device=runtime.device
    )
    frugal = Frugal(model, tile_size=runtime.tile_size, may_tile=config.tile != 0, report=report)
    # Reading and flow are the CPU's work and go on while the networks compute.
    with closing(run_ahead(prepared, 1)) as ready:
        sampled = sample_clips(ready, frugal, config, runtime, carried)
        for clip in decode_clips(sampled, frugal, config.fidelity, carried, config.memory):
            lr_clip = held.popleft()
            lr_frames = lr_clip.frames[lr_clip.num_shared :].to(runtime.device)
            yield replace(clip, frames=match_color(clip.frames, lr_frames, config.color))


def frame_upscaler(model: SmallModel, config: UpscaleConfig) -> Callable[[Tensor], Tensor]:
    """The pipeline without files: LR (T, 3, H, W) in [-1, 1] -> (T, 3, 4H, 4W) on the CPU."""

    def upscale(lr_frames: Tensor) -> Tensor:
        steps = config.sampler.steps or model.default_steps
        runtime = plan_runtime(config, (lr_frames.shape[-2], lr_frames.shape[-1]), steps)
        model.to(runtime.device, runtime.dtype)
        clips = upscale_frames(iter(lr_frames), model, config, runtime)
        return torch.cat([clip.frames.cpu() for clip in clips])

    return upscale


def make_flow(config: UpscaleConfig, device: torch.device) -> FlowEstimator:
    """The flow estimator that was asked for."""
    if config.flow_weights is not None:
        return RaftFlow(config.flow_weights, device=device)
    return DisFlow()


def _read_rgb(frames: Iterator[Frame], headers: deque[Frame]) -> Iterator[Tensor]:
    """Frames as RGB (3, H, W); what the writer must know of each goes to `headers`."""
    for frame in frames:
        headers.append(replace(frame, planes=()))
        planes = [torch.from_numpy(plane) for plane in frame.planes]
        yield to_rgb(planes, frame.layout, frame.color)


def _remember(clips: Iterator[Clip], held: deque[Clip]) -> Iterator[Clip]:
    """Pass clips on and keep those not yet decoded, a few at most."""
    for clip in clips:
        held.append(clip)
        yield clip


def _never(previous: Tensor, current: Tensor) -> bool:
    return False


def _plan(
    source: Path,
    target: Path,
    config: UpscaleConfig,
    model_path: Path,
    model: SmallModel,
    runtime: Runtime,
    info: VideoInfo,
    writer: VideoWriter,
) -> Plan:
    """What was chosen, in one record."""
    return Plan(
        source=str(source),
        target=str(target),
        model=model_path.name,
        device=str(runtime.device),
        dtype=str(runtime.dtype).removeprefix("torch."),
        steps=config.sampler.steps or model.default_steps,
        seed=config.sampler.seed,
        motion_scale=config.sampler.motion_scale,
        fidelity=config.fidelity,
        color=config.color,
        flow=config.flow,
        clip_length=runtime.clip_length,
        tile=f"{8 * runtime.tile_size} pixels" if runtime.tile_size else "off",
        source_size=(info.height, info.width),
        target_size=config.target_size(info.height, info.width),
        num_frames=info.num_frames,
        codec=writer.codec,
        pix_fmt=writer.pix_fmt,
        reasons=runtime.reasons + writer.reasons,
    )
