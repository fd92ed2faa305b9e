"""What tensors of graphs are called and how large they are."""

from collections.abc import Mapping
from dataclasses import dataclass

from vsr_cli.models.small.blocks import TemporalMixer
from vsr_cli.models.small.denoiser import LEVEL_OF_MIXER
from vsr_cli.models.small.model import BODY_STRIDE, LATENT_STRIDE, SmallModel, lr_multiple

# What the names in shapes stand for; every other length is a number.
DIMENSIONS: Mapping[str, str] = {
    "frames": "frames of the clip, 1 or more",
    "pairs": "neighbouring frames that flow is known between, 1 or more",
    "source_h, source_w": "sides of the source, padded: multiples of `source_multiple`",
    "target_h, target_w": "sides of the target: source times scale, 16 or more",
    "body_h, body_w": "target / 4",
    "latent_h, latent_w": "target / 8",
    "level1_h, level1_w": "latent / 2, rounded up",
    "level2_h, level2_w": "level1 / 2, rounded up",
}


@dataclass(frozen=True)
class Port:
    """A tensor that a graph takes or gives, float32.

    shape: numbers, and names of `DIMENSIONS` for what may change from call to call.
    meaning: for people.
    """

    name: str
    shape: tuple[int | str, ...]
    meaning: str

    def sized(self, dimensions: Mapping[str, int]) -> tuple[int, ...]:
        """Its shape where the names are known."""
        return tuple(n if isinstance(n, int) else dimensions[n] for n in self.shape)


def find_dimensions(source: tuple[int, int], scale: int, num_frames: int) -> dict[str, int]:
    """What each name of `DIMENSIONS` is for a source of (height, width), padded or not.

    Args:
        source: (height, width).
        scale: enlargement per side.
        num_frames: of the clip; as many pairs.
    """
    found = {"frames": num_frames, "pairs": num_frames}
    multiple = lr_multiple(scale)
    for side, length in zip("hw", source, strict=True):
        padded = -(-length // multiple) * multiple
        target = padded * scale
        latent = target // LATENT_STRIDE
        found |= {f"source_{side}": padded, f"target_{side}": target}
        found |= {f"body_{side}": target // BODY_STRIDE, f"latent_{side}": latent}
        found |= {f"level1_{side}": -(-latent // 2), f"level2_{side}": -(-latent // 4)}
    return found


def denoiser_levels(model: SmallModel) -> list[tuple[int, int, int]]:
    """Of each mixer of the denoiser: its level, its channels, and how many frames it looks back."""
    base = model.config.denoiser_channels
    return [(level, (level + 1) * base, TemporalMixer.reach) for level in LEVEL_OF_MIXER]
