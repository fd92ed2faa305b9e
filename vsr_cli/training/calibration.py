"""Ranges of what convolutions are given, which 8-bit integers need before the first picture."""

from collections.abc import Iterable

import torch

from vsr_cli.diffusion.schedule import make_scheduler
from vsr_cli.models.flow import DisFlow
from vsr_cli.models.small.int8 import ActivationRanges, observe_ranges
from vsr_cli.models.small.model import SmallModel, reduce_to_body
from vsr_cli.training.dataset import Sample
from vsr_cli.training.decoder_recipes import draw_latents, estimate, find_warps

# Of the widest ranges that were seen, for the denoiser: steps are the finer for it, and latents the
# nearer to those of floats. All else sees the source, and patterns of full contrast, which are
# rare in training, would be clamped.
_KEPT_OF_DENOISER = 0.7
_DIGITS = 4  # of a range in a file


def find_ranges(model: SmallModel, batches: Iterable[Sample]) -> ActivationRanges:
    """Restore batches as at run time, and note the ranges of what convolutions are given.

    Args:
        model: in float32, on the CPU; it computes in bfloat16.
        batches: of degraded clips, of every kind and scale that it is meant for.
    """
    with observe_ranges(model) as found:
        for batch in batches:
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
                _restore(model, batch)
    return {name: (_kept(name, low), _kept(name, high)) for name, (low, high) in found.items()}


def _kept(name: str, bounds: list[float]) -> list[float]:
    share = _KEPT_OF_DENOISER if name.startswith("denoiser.") else 1.0
    return [float(f"{share * bound:.{_DIGITS}g}") for bound in bounds]


def _restore(model: SmallModel, batch: Sample) -> None:
    lr, steps = batch.lr, model.default_steps
    condition = model.condition(lr, batch.scale)
    motion = estimate(DisFlow(), reduce_to_body(lr, batch.scale))
    b, t = lr.shape[:2]
    height, width = condition.lr_features.shape[-2:]
    shape = torch.Size((b, t, model.latent_channels, height // 2, width // 2))
    scheduler = make_scheduler(steps, model.chain(steps))
    latents = draw_latents(model, condition, scheduler, shape, motion)
    warps = find_warps(motion, [*range(t)])
    features = condition.lr_features
    model.decode(latents, lr, features, fidelity=1.0, memory_features=None, warps=warps)
