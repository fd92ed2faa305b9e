"""Decoding given instead of sampled latents, to tell a decoder's faults from a sampler's."""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from vsr_cli.config import GivenLatents, UpscaleConfig
from vsr_cli.errors import ConfigError
from vsr_cli.events import ignore
from vsr_cli.models.base import VideoModel
from vsr_cli.models.small.model import BODY_STRIDE, LATENT_STRIDE, Condition, SmallModel
from vsr_cli.ops.resize import pad_to_multiple
from vsr_cli.pipeline.frames import join_frames, split_frames
from vsr_cli.pipeline.restorers.registry import ModelFile
from vsr_cli.pipeline.restorers.small.adaptive import AdaptiveNetworks
from vsr_cli.pipeline.restorers.small.restorer import SmallRestorer
from vsr_cli.pipeline.restorers.small.stages import Prepared, Sampled, clip_noise
from vsr_cli.pipeline.run_plan import RunPlan


def frame_decoder(
    model: ModelFile, config: UpscaleConfig, given: GivenLatents
) -> Callable[[Tensor, Tensor], Tensor]:
    """As `frame_restorer`, with latents that are given: LR frames and truth -> SR frames.

    Raises:
        ConfigError: this model takes no such latents.
    """
    network = require_small(model.model, model.path.name)
    if given.is_true and config.scale not in network.scales:
        raise ConfigError(
            f"`{model.path.name}` has no true latents at a scale of {config.scale}",
            why="it computes at another scale and reduces, where there is no truth to encode",
            hint=f"use a scale of {max(network.scales)}, or latents of zero",
        )

    def decode(lr_frames: Tensor, hr_frames: Tensor) -> Tensor:
        lr_size = (lr_frames.shape[-2], lr_frames.shape[-1])
        run_plan = model.plan(config, lr_size)
        restorer = SmallRestorer(network, config, run_plan, ignore)

        def place(ready: Iterable[Prepared]) -> Iterator[Sampled]:
            return place_latents(ready, restorer.networks, config, run_plan, given, hr_frames)

        clips = split_frames(lr_frames, restorer, scene_cut=config.scene_cut)
        return join_frames(restorer.run_stages(clips, place, None), config.target_size(*lr_size))

    return decode


def require_small(model: VideoModel, name: str) -> SmallModel:
    """Refuse a model of another family.

    Raises:
        ConfigError: it is one.
    """
    if isinstance(model, SmallModel):
        return model
    raise ConfigError(
        f"`{name}` takes no latents but its own",
        why=f"it is of the family `{model.family}`; only the shipped one can be given others",
        hint="leave out `--latents`, or use the shipped weights",
    )


def place_latents(
    clips: Iterable[Prepared],
    model: AdaptiveNetworks,
    config: UpscaleConfig,
    run_plan: RunPlan,
    given: GivenLatents,
    hr_frames: Tensor,
) -> Iterator[Sampled]:
    """What `sample_clips` does, with latents that are given instead of sampled.

    Args:
        clips: as there.
        model: as there.
        config: whose seed is that of the noise.
        run_plan: where the noise is made.
        given: which latents.
        hr_frames: the truth of all clips, (T, 3, H, W); as large as what `model` decodes, if
            true latents are given.
    """
    network = model.model
    for prepared in clips:
        fresh = prepared.clip.fresh
        with torch.inference_mode():
            condition = model.condition(prepared.lr_frames)
            if given.is_true:
                truth = hr_frames[fresh.start : fresh.stop]
                latents = encode_truth(network, truth, prepared.lr_frames, condition)
            else:
                latents = _zero_latents(network, condition)
            if given.deviation:
                size = (latents.shape[-2], latents.shape[-1])
                noise = clip_noise(network, config.sampler.seed, fresh, size, run_plan)
                latents = latents + given.deviation * noise(0)
        yield Sampled(prepared, latents, condition, None)


def encode_truth(
    model: SmallModel, hr_frames: Tensor, lr_frames: Tensor, condition: Condition
) -> Tensor:
    """Latents (1, T, L, h, w) of the truth (T, 3, H, W) of a clip, encoded frame by frame.

    Args:
        model: with its encoder.
        hr_frames: on any device; their edges are repeated to where the latents end.
        lr_frames: the source as the networks see it, padded, (1, T, 3, ., .).
        condition: what is known of it.
    """
    padded = pad_to_multiple(hr_frames, LATENT_STRIDE)[None].to(lr_frames.device)
    found = [
        model.encode(
            padded[:, k : k + 1], lr_frames[:, k : k + 1], condition.lr_features[:, k : k + 1]
        )
        for k in range(len(hr_frames))
    ]
    return torch.cat(found, dim=1)


def _zero_latents(model: SmallModel, condition: Condition) -> Tensor:
    b, t, _, height, width = condition.lr_features.shape
    ratio = LATENT_STRIDE // BODY_STRIDE
    return condition.lr_features.new_zeros(
        b, t, model.latent_channels, height // ratio, width // ratio, dtype=torch.float32
    )
