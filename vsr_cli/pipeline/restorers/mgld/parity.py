"""Clips through an imported model as the published program does it, to be compared with.

Where the published program is ill-defined, it is not followed: it stops at frames of up to 960
pixels; misses part of the picture where LR frames are shorter than 128 pixels; and has tiles of
pixels and of flow that do not pair up at some sizes.
"""

from collections.abc import Callable, Iterator, Mapping
from math import ceil

import torch
from torch import Tensor
from torch.nn import functional as F

from vsr_cli.config import UpscaleConfig
from vsr_cli.diffusion.motion import Motion
from vsr_cli.diffusion.reference_guidance import guide_reference, reference_motion
from vsr_cli.diffusion.sampler import sample_from_lr
from vsr_cli.diffusion.schedule import make_respaced_chain
from vsr_cli.events import Report
from vsr_cli.models.flow import FlowEstimator
from vsr_cli.models.mgld.config import LATENT_CHANNELS, LATENT_STRIDE, MgldConfig
from vsr_cli.models.mgld.model import MgldModel
from vsr_cli.ops.color import adain, wavelet
from vsr_cli.ops.resize import crop
from vsr_cli.ops.warp import resize_flow
from vsr_cli.ops.windows import Grid, Window
from vsr_cli.pipeline.clips import Clip, ClipState, RestoredClip
from vsr_cli.pipeline.progress import WorkMeter
from vsr_cli.pipeline.restorers.base import Restorer
from vsr_cli.pipeline.restorers.flow import make_flow
from vsr_cli.pipeline.restorers.mgld.memory import MgldRunPlan
from vsr_cli.pipeline.restorers.mgld.networks import Networks, enlarge
from vsr_cli.pipeline.restorers.mgld.restorer import FLOW_STRIDE

RAFT_UPDATES = 10  # for each pair of frames
_MULTIPLE = 32  # pixels that sides are padded to


class SegmentRestorer(Restorer):
    """Restores segments of five frames that know nothing of each other.

    The last segment is filled up with its last frame, whose picture is that of the last copy. Scene
    cuts are not looked for.
    """

    clip_overlap = 0
    splits_shots = False

    def __init__(
        self, model: MgldModel, config: UpscaleConfig, run_plan: MgldRunPlan, report: Report
    ) -> None:
        """Move the model to its device and load RAFT; see `Family.restorer`."""
        self.clip_length = model.config.clip_length
        self._config, self._device = config, run_plan.device
        self._flow = make_flow(
            config,
            run_plan.device,
            num_updates=RAFT_UPDATES,
            bundled_weights=model.path if model.has_flow else None,
        )
        model.to(run_plan.device, run_plan.dtype).to(memory_format=torch.channels_last)
        self._networks = Networks(model, run_plan, report)
        self.meter = WorkMeter(1)  # of whole segments: tiles are not counted

    def restore(self, clips: Iterator[Clip], state: ClipState | None) -> Iterator[RestoredClip]:
        """See `Restorer.restore`; there is no state."""
        for clip in clips:
            count = len(clip.frames)
            short = self.clip_length - count
            held = torch.cat([clip.frames, clip.frames[-1:].expand(short, -1, -1, -1)])
            with torch.inference_mode():
                done = _upscale_segment(
                    self._networks, held.to(self._device), self._config, self._flow
                )
            frames = torch.cat([done[: count - 1], done[-1:]])
            yield RestoredClip(clip.start, iter(frames), clip.headers, _no_state)

    def read_state(self, tensors: Mapping[str, Tensor]) -> ClipState:
        """Never called, since no segment hands anything on."""
        raise ValueError("segments have no state")


def _no_state() -> None:
    return None


def _upscale_segment(
    networks: Networks, lr_frames: Tensor, config: UpscaleConfig, flow: FlowEstimator
) -> Tensor:
    """LR frames (T, 3, H, W) -> SR frames (T, 3, ., .) of the target's size, in whole codes."""
    settings = networks.model.config
    height, width = lr_frames.shape[-2:]
    factor = max(settings.least_side / min(height, width), float(config.scale))
    size = (int(height * factor), int(width * factor))
    padded = _pad(enlarge(lr_frames, size))
    motion = _find_motion(padded, flow) if config.sampler.motion_scale > 0 else None
    grid, latent_grid = _pair_tiles((padded.shape[-2], padded.shape[-1]), settings)
    pieces = (
        _upscale_tile(networks, tile, motion and _cut_motion(motion, *place), config)
        for tile, place in zip(grid.cut(padded), latent_grid.tiles, strict=True)
    )
    rows, columns = grid.tiles[0]
    sr_frames = crop(grid.blend(pieces, torch.ones(rows.size, columns.size)), size).clamp(-1, 1)
    target = config.target_size(height, width)
    if tuple(sr_frames.shape[-2:]) != target:
        sr_frames = F.interpolate(sr_frames, size=target, mode="bicubic").clamp(-1, 1)
    codes = ((sr_frames + 1) / 2 * 255).floor()  # cut off, not rounded
    return codes / 255 * 2 - 1


def _upscale_tile(
    networks: Networks, padded: Tensor, motion: Motion | None, config: UpscaleConfig
) -> Tensor:
    """One tile of pixels (T, 3, H, W), with noise that is the same for all tiles."""
    device = padded.device
    on_cpu = torch.Generator().manual_seed(config.sampler.seed)
    on_device = on_cpu
    if device.type != "cpu":
        on_device = torch.Generator(device).manual_seed(config.sampler.seed)
    height, width = (side // LATENT_STRIDE for side in padded.shape[-2:])
    shape = (len(padded), LATENT_CHANNELS, height, width)
    lr_latents = networks.encode(padded, torch.randn(shape, generator=on_cpu).to(device))
    guide: Callable[[Tensor, float], Tensor] | None = None
    if motion is not None:

        def guide(latents: Tensor, sigma: float) -> Tensor:
            scale = config.sampler.motion_scale
            return guide_reference(latents, motion, scale=scale, sigma=sigma)

    with networks.sampling():
        latents, _ = sample_from_lr(
            lambda x, t: networks.predict_noise(x, lr_latents, t, is_released=True),
            lr_latents,
            chain=make_respaced_chain(config.sampler.steps or networks.model.default_steps),
            # Drawn in order, one after the other, as the generator gives them.
            noise=lambda _: torch.randn((1, *shape), generator=on_device, device=device),
            guide=guide,
        )
    sr_frames = networks.decode(latents, padded, config.fidelity)
    if config.color == "none":
        return sr_frames
    return (adain if config.color == "adain" else wavelet)(sr_frames, padded)


def _pad(frames: Tensor) -> Tensor:
    """Mirror the right and bottom edge; a side that needs nothing gets a whole multiple more."""
    height, width = frames.shape[-2:]
    if height % _MULTIPLE == 0 and width % _MULTIPLE == 0:
        return frames
    bottom, right = ((side // _MULTIPLE + 1) * _MULTIPLE - side for side in (height, width))
    return F.pad(frames, (0, right, 0, bottom), mode="reflect")


def _find_motion(padded: Tensor, flow: FlowEstimator) -> Motion:
    """Released motion on the latent grid of frames (T, 3, H, W)."""
    height, width = padded.shape[-2:]
    size = (height // FLOW_STRIDE, width // FLOW_STRIDE)
    # From 0 to 1, although RAFT was trained on -1 to 1.
    small = F.interpolate((padded + 1) / 2, size=size, mode="bicubic", align_corners=False)
    latent_size = (height // LATENT_STRIDE, width // LATENT_STRIDE)
    forward, backward = (
        resize_flow(field.to(padded.device), latent_size, antialias=False)
        for field in flow(small[None])
    )
    return reference_motion(forward, backward)


def _pair_tiles(size: tuple[int, int], config: MgldConfig) -> tuple[Grid, Grid]:
    """Tiles of pixels, and those of the latent grid that flow is taken from.

    They advance by 750 pixels and by 93 latent pixels, which is 744. Where their numbers differ,
    flow is taken from where the pixels are.
    """
    tile, stride = config.pixel_tile, config.pixel_stride
    pixels = Grid.step(size, tile, stride)
    latent_size = (size[0] // LATENT_STRIDE, size[1] // LATENT_STRIDE)
    latents = Grid.step(latent_size, tile // LATENT_STRIDE, stride // LATENT_STRIDE)
    pairs = ((pixels.rows, latents.rows), (pixels.columns, latents.columns))
    rows, columns = (
        flow if len(own) == len(flow) else tuple(_onto_latents(window) for window in own)
        for own, flow in pairs
    )
    return pixels, Grid(rows, columns)


def _onto_latents(window: Window) -> Window:
    start = window.start // LATENT_STRIDE
    return Window(start, start + ceil(window.size / LATENT_STRIDE))


def _cut_motion(motion: Motion, rows: Window, columns: Window) -> Motion:
    """The motion of one tile."""
    flow_forward, flow_backward, visible_forward, visible_backward = (
        columns.cut(rows.cut(x, dim=-2), dim=-1)
        for x in (
            motion.flow_forward,
            motion.flow_backward,
            motion.visible_forward,
            motion.visible_backward,
        )
    )
    return Motion(flow_forward, flow_backward, visible_forward, visible_backward)
