"""Decoding given instead of sampled latents, to tell a decoder's faults from a sampler's."""

from collections.abc import Callable

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
from vsr_cli.pipeline.restorers.small.regions import cut
from vsr_cli.pipeline.restorers.small.restorer import SmallRestorer
from vsr_cli.pipeline.restorers.small.stages import RegionClip, Sampled, clip_noise
from vsr_cli.pipeline.restorers.small.states import SmallState
from vsr_cli.pipeline.run_plan import RunPlan, native_scale


def frame_decoder(
    model: ModelFile, config: UpscaleConfig, given: GivenLatents
) -> Callable[[Tensor, Tensor], Tensor]:
    """As `frame_restorer`, with latents that are given: LR frames and truth -> SR frames.

    Raises:
        ConfigError: this model takes no such latents.
    """
    network = require_small(model.model, model.path.name)
    if given.is_true and config.scale != native_scale(network.offered_scales, config):
        raise ConfigError(
            f"`{model.path.name}` has no true latents at a scale of {config.scale}",
            why="it computes at another scale and reduces, where there is no truth to encode",
            hint=f"use a scale of {max(network.offered_scales)}, or latents of zero",
        )

    def decode(lr_frames: Tensor, hr_frames: Tensor) -> Tensor:
        lr_size = (lr_frames.shape[-2], lr_frames.shape[-1])
        restorer = GivenLatentsRestorer(
            network, config, model.plan(config, lr_size), given, hr_frames
        )
        clips = split_frames(lr_frames, restorer, scene_cut=config.scene_cut)
        return join_frames(restorer.restore(clips, None), config.target_size(*lr_size))

    return decode


class GivenLatentsRestorer(SmallRestorer):
    """Decodes latents that are given instead of sampled."""

    def __init__(
        self,
        model: SmallModel,
        config: UpscaleConfig,
        run_plan: RunPlan,
        given: GivenLatents,
        hr_frames: Tensor,
    ) -> None:
        """Get ready.

        Args:
            model: which decodes.
            config: whose seed is that of the noise.
            run_plan: where.
            given: which latents.
            hr_frames: the truth of all clips, (T, 3, H, W); as large as what `model` decodes, if
                true latents are given.
        """
        super().__init__(model, config, run_plan, ignore)
        self._seed, self._given = config.sampler.seed, given
        self._hr_frames = pad_to_multiple(hr_frames, LATENT_STRIDE) if given.is_true else hr_frames

    def find_latents(self, clip: RegionClip, history: SmallState | None) -> Sampled:
        """See `SmallRestorer.find_latents`."""
        del history
        network = self.networks.model
        with torch.inference_mode():
            condition = self.networks.condition(clip.lr_frames)
            if self._given.is_true:
                truth = self._hr_frames[clip.frames.start : clip.frames.stop]
                truth = cut(truth, clip.region.output).to(clip.lr_frames.device)
                latents = encode_truth(network, truth, clip.lr_frames, condition)
            else:
                latents = _zero_latents(network, condition)
            if self._given.deviation:
                noise = clip_noise(network, self._seed, clip)
                latents = latents + self._given.deviation * noise(0)
        return Sampled(clip, latents, condition, None)


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


def encode_truth(
    model: SmallModel, hr_frames: Tensor, lr_frames: Tensor, condition: Condition
) -> Tensor:
    """Latents (1, T, L, h, w) of the truth (T, 3, H, W) of a clip, encoded frame by frame.

    Args:
        model: with its encoder.
        hr_frames: as large as the latents reach, on their device.
        lr_frames: the source as the networks see it, padded, (1, T, 3, ., .).
        condition: what is known of it.
    """
    found = [
        model.encode(
            hr_frames[None, k : k + 1], lr_frames[:, k : k + 1], condition.lr_features[:, k : k + 1]
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
