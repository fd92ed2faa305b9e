"""Where a stage begins: the weights of another, as far as they fit what is trained now."""

from pathlib import Path

import torch
from torch import Tensor

from vsr_cli.models.small.model import NEW_MODEL, SmallModel
from vsr_cli.models.weights import load_weights


@torch.no_grad()
def warm_start(path: Path | None) -> SmallModel:
    """The model that is trained, filled from a file; what does not fit starts at random.

    Stems for sources finer than the body's grid begin as the stem of the coarsest on the mean of
    the pixels they fold.

    Raises:
        WeightsError: as `load_weights`.
    """
    model = SmallModel(NEW_MODEL)
    if path is None:
        return model
    found = load_weights(path)
    if not found.config.encodes_variance:
        return found
    own = model.state_dict()
    for name, value in found.state_dict().items():
        if name in own and own[name].shape == value.shape and name != "latent_std":
            own[name] = value
    _keep_main_channels(own, found)
    stem = own["trunk.stem.weight"]
    for fold in model.trunk.folded_stems:
        area = int(fold) ** 2
        own[f"trunk.folded_stems.{fold}.weight"] = _spread(stem, area)
        own[f"trunk.folded_stems.{fold}.bias"] = own["trunk.stem.bias"]
    model.load_state_dict(own)
    return model.to(memory_format=torch.channels_last)


def _keep_main_channels(own: dict[str, Tensor], found: SmallModel) -> None:
    """Make the few latents the mixtures of the many that move the decoder most."""
    count = own["encoder.out.bias"].numel()
    std, many = found.latent_std, found.latent_channels
    stem = found.decoder.stem.weight * std[:, None, None]  # of latents of unit size
    _, _, mixtures = torch.linalg.svd(stem.transpose(0, 1).flatten(1).T, full_matrices=False)
    kept = mixtures[:count]  # (count, many)
    own["decoder.stem.weight"] = torch.einsum("kl,olyx->okyx", kept, stem)
    own["decoder.stem.bias"] = found.state_dict()["decoder.stem.bias"]
    out = found.encoder.out
    own["encoder.out.weight"] = torch.einsum("kl,lcyx->kcyx", kept / std, out.weight[:many])
    assert out.bias is not None
    own["encoder.out.bias"] = (kept / std) @ out.bias[:many]


def _spread(weight: Tensor, area: int) -> Tensor:
    """A convolution of 3 channels as one of 3 x area channels that sees their mean."""
    return weight.repeat_interleave(area, dim=1) / area
