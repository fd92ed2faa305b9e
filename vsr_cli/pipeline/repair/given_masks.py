"""Masks that are at hand, one for each frame."""

from collections.abc import Sequence

from vsr_cli.media.frame import Frame
from vsr_cli.media.masks import Mask, Masks


class GivenMasks(Masks):
    """Takes the place of what users draw in files."""

    def __init__(self, masks: Sequence[Mask]) -> None:
        """Take one mask (H, W) for each frame of a source."""
        self._masks = masks

    def at(self, index: int, frame: Frame) -> Mask | None:
        """See `Masks.at`."""
        mask = self._masks[index]
        return mask if mask.any() else None
