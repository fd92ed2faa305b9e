"""Widths and depths of SeedVR2; the header of imported weights holds them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from vsr_cli.errors import WeightsError
from vsr_cli.models.files import read_entries, require_entries, require_like, require_usual

LATENT_CHANNELS = 16
LATENT_STRIDE = 8  # pixels of a frame for each latent pixel
FRAME_STRIDE = 4  # frames for each latent frame; the first one stands for a single frame
SIZE_MULTIPLE = 16  # pixels: a token of the denoiser is a square of two latent pixels
LATENT_SCALE = 0.9152  # the autoencoder's latents times this are what is diffused
INPUT_CHANNELS = 2 * LATENT_CHANNELS + 1  # noise, the source, and a mask that is always one


@dataclass(frozen=True, kw_only=True)
class SeedVr2Config:
    """The published SeedVR2-3B (arXiv 2506.05301), unless said otherwise (tests are narrower)."""

    width: int = 2560
    num_heads: int = 20
    head_channels: int = 128
    num_blocks: int = 32
    separate_blocks: int = 10  # the first ones, which have weights of their own for words
    hidden_width: int = 6912
    text_width: int = 5120
    num_words: int = 58  # of the prompt, which is always the same
    time_channels: int = 256
    autoencoder_channels: tuple[int, ...] = (128, 256, 512, 512)
    norm_groups: int = 32
    default_steps: int = 1

    @property
    def rotary_channels(self) -> int:
        """Channels of a head that are rotated for each axis, an even number."""
        return self.head_channels // 6 * 2


PUBLISHED = SeedVr2Config()


def read_config(path: Path, header: Mapping[str, str]) -> SeedVr2Config:
    """The config in a header.

    Raises:
        WeightsError: it is of another family, or has entries that this version does not know.
    """
    if header.get("family") != "seedvr2" or "config" not in header:
        raise WeightsError(
            f"`{path.name}` holds no SeedVR2",
            why="its header names no such family and config",
            hint="use a file written by `vsr weights import`",
        )
    values = read_entries(path, header["config"])
    values |= {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    require_entries(path, values, asdict(PUBLISHED))
    require_like(path, values, asdict(PUBLISHED))
    require_usual(
        path, values, may_be_zero={"separate_blocks"}, hidden_width=2**15, text_width=2**14
    )
    config = SeedVr2Config(**values)  # type: ignore[arg-type]  # whose types have been looked at
    has_groups = all(width % config.norm_groups == 0 for width in config.autoencoder_channels)
    if config.separate_blocks >= config.num_blocks or config.rotary_channels < 2 or not has_groups:
        raise WeightsError(
            f"`{path.name}` describes no model that can be built",
            why="its widths and depths contradict each other",
            hint="import the published files again",
        )
    return config
