"""What published checkpoints hold, against what they should hold: names and shapes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from vsr_cli.counting import counted
from vsr_cli.errors import WeightsError
from vsr_cli.models.checkpoint import require_networks
from vsr_cli.models.mgld.config import MgldConfig
from vsr_cli.models.mgld.model import MgldModel
from vsr_cli.models.mgld.names import (
    FIRST_STAGE,
    FLOW,
    STRUCTURE,
    TEXT,
    UNET,
    PublishedTensor,
    decoder_source,
    denoiser_source,
    encoder_source,
)

NEEDED = "one file of a U-Net and one of a video autoencoder are needed"
FILES = "give `mgldvsr_unet.ckpt` and `video_vae_cfw.ckpt`"
# Tables of the noise schedule, which is computed here.
_TABLES = {
    "betas",
    "alphas_cumprod",
    "alphas_cumprod_prev",
    "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod",
    "log_one_minus_alphas_cumprod",
    "sqrt_recip_alphas_cumprod",
    "sqrt_recipm1_alphas_cumprod",
    "posterior_variance",
    "posterior_log_variance_clipped",
    "posterior_mean_coef1",
    "posterior_mean_coef2",
}
# Looked at elsewhere, or not needed: the decoder is the video autoencoder's.
_SPARE_PARTS = (f"{FIRST_STAGE}decoder.", f"{FIRST_STAGE}post_quant_conv.", TEXT, FLOW)
# How names begin in the networks that are used; what is beside them only training needs.
_UNET_NETWORKS = (UNET, STRUCTURE, f"{FIRST_STAGE}encoder.", f"{FIRST_STAGE}quant_conv.")
_VIDEO_NETWORKS = ("encoder.", "decoder.", "quant_conv.", "post_quant_conv.")
_FUSION_WEIGHT = "decoder.fusion_w"  # a number of the run that the file was saved in


@dataclass(frozen=True)
class TensorMapping:
    """A tensor of ours and the published one it comes from."""

    name: str
    source: PublishedTensor


Find = Callable[[str, tuple[int, ...]], PublishedTensor]


def take_inventory(
    path: Path,
    unet: Mapping[str, Tensor],
    config: MgldConfig,
    model: MgldModel,
    *,
    ignore_unknown: bool = False,
) -> tuple[list[TensorMapping], list[str]]:
    """What of the U-Net's file is used: denoiser and, where it is there, the first stage.

    Returns:
        The tensors, and sentences about what is left out.

    Raises:
        WeightsError: a tensor is missing, unknown or of another shape; named.
    """

    def find(name: str, shape: tuple[int, ...]) -> PublishedTensor:
        return denoiser_source(name, shape, config.structure_heads)

    wanted = _map_tensors(model.denoiser, "denoiser.", find)
    if any(name.startswith(FIRST_STAGE) for name in unet):
        wanted += _map_tensors(model.encoder, "encoder.", _in_first_stage)
    spare = {name for name in unet if name.startswith(_SPARE_PARTS)} | _TABLES
    shapes = {item.source.name: item.source.shape for item in wanted}
    left_out = require_networks(
        path, unet, shapes, _UNET_NETWORKS, spare, ignore_unknown=ignore_unknown
    )
    return wanted, left_out


def take_video_inventory(
    path: Path, video: Mapping[str, Tensor], model: MgldModel, *, ignore_unknown: bool = False
) -> tuple[list[TensorMapping], list[str]]:
    """What of the video autoencoder's file is used: its decoder and its encoder.

    Returns:
        The tensors, and sentences about what is left out.

    Raises:
        WeightsError: a tensor is missing, unknown or of another shape; named.
    """
    wanted = _map_tensors(model.decoder, "decoder.", decoder_source)
    wanted += _map_tensors(model.feature_encoder, "feature_encoder.", encoder_source)
    shapes = {item.source.name: item.source.shape for item in wanted}
    left_out = require_networks(
        path, video, shapes, _VIDEO_NETWORKS, [_FUSION_WEIGHT], ignore_unknown=ignore_unknown
    )
    return wanted, left_out


def tell_apart(
    files: Mapping[Path, Mapping[str, Tensor]],
) -> tuple[Path, Path]:
    """Which of two files is the U-Net's and which the video autoencoder's, in any order.

    Raises:
        WeightsError: there is not one of each.
    """
    with_unet = [path for path, file in files.items() if any(n.startswith(UNET) for n in file)]
    others = [path for path in files if path not in with_unet]
    if len(with_unet) != 1 or len(others) != 1:
        raise WeightsError(
            NEEDED,
            why=f"tensors named `{UNET}...` are in {len(with_unet)} "
            f"of {counted(len(files), 'file')}",
            hint=FILES,
        )
    return with_unet[0], others[0]


def _map_tensors(network: nn.Module, prefix: str, find: Find) -> list[TensorMapping]:
    """All tensors of a network, under `prefix` here."""
    return [
        TensorMapping(prefix + name, find(name, tuple(tensor.shape)))
        for name, tensor in network.state_dict().items()
    ]


def _in_first_stage(name: str, shape: tuple[int, ...]) -> PublishedTensor:
    source = encoder_source(name, shape)
    return PublishedTensor(FIRST_STAGE + source.name, source.shape, source.convert)
