"""Widths and depths of the published family; the header of imported weights holds them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from vsr_cli.errors import WeightsError
from vsr_cli.models.files import read_entries, require_entries, require_like, require_usual

LATENT_CHANNELS = 4
LATENT_STRIDE = 8  # pixels of a frame for each latent pixel
LATENT_SCALE = 0.18215  # the autoencoder's latents times this are what is diffused
NUM_TOKENS = 77  # of the prompt


@dataclass(frozen=True, kw_only=True)
class MgldConfig:
    """The published MGLD-VSR model, unless said otherwise (tests are narrower).

    Widths are multiples of 32, the number of groups of every group norm.
    """

    denoiser_channels: tuple[int, ...] = (320, 640, 1280, 1280)
    head_channels: int = 64
    context_channels: int = 1024
    structure_channels: tuple[int, ...] = (256, 256, 512, 512)
    structure_heads: int = 4
    structure_features: int = 256  # what modulates the denoiser, at every level
    spade_channels: int = 128
    autoencoder_channels: tuple[int, ...] = (128, 256, 512, 512)
    fusion_growth: int = 32
    clip_length: int = 5  # frames; the temporal layers have seen no other number
    tile_size: int = 64  # latent pixels; the denoiser was trained on squares of it
    tile_overlap: int = 32  # latent pixels
    pixel_tile: int = 960  # output pixels; of `parity` alone
    pixel_stride: int = 750
    default_steps: int = 50
    text_layers: int = 23  # of the prompt's encoder, the last one left out ("penultimate")
    text_heads: int = 16
    text_width: int = 1024

    @property
    def least_side(self) -> int:
        """Pixels of the shorter side that the networks work on, at least."""
        return self.tile_size * LATENT_STRIDE


PUBLISHED = MgldConfig()


def read_config(path: Path, header: Mapping[str, str]) -> MgldConfig:
    """The config in a header.

    Raises:
        WeightsError: it is of another family, or has entries that this version does not know.
    """
    if header.get("family") != "mgld" or "config" not in header:
        raise WeightsError(
            f"`{path.name}` holds no imported model",
            why="its header names no family and config",
            hint="use a file written by `vsr weights import`",
        )
    values = read_entries(path, header["config"])
    values |= {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    require_entries(path, values, asdict(PUBLISHED))
    require_usual(path, values, may_be_zero={"tile_overlap", "text_layers"})
    require_like(path, values, asdict(PUBLISHED))
    config = MgldConfig(**values)  # type: ignore[arg-type]  # whose types have been looked at
    if config.tile_overlap >= config.tile_size or config.pixel_stride > config.pixel_tile:
        raise WeightsError(
            f"`{path.name}` describes no model that can be run",
            why="its tiles overlap by more than their size, or not at all",
            hint="import the published files again",
        )
    return config
