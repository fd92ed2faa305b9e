"""One picture of each moment, in the mode that was asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from vsr_cli.viewing.align import Moment
from vsr_cli.viewing.drawing import (
    Canvas,
    Mode,
    draw_name,
    draw_scale,
    enlarge_small,
    heat,
    side_by_side,
    split,
)
from vsr_cli.viewing.footage import Footage, Picture


@dataclass(frozen=True, kw_only=True)
class Drawer:
    """Draws moments.

    videos: that are compared.
    canvas: the size that all get.
    mode: how they are laid out.
    reference: which of them the others are held against, for `heat`.
    every: seconds between changes, for `blink`.
    gain: by which differences are multiplied, for `heat`.
    lead: number of the video whose times are those of what is drawn.
    sweep: seconds in which the line of `split` moves once across; None: it stands in the middle.
    """

    videos: Sequence[Footage]
    canvas: Canvas
    mode: Mode = "side"
    reference: int = 0
    every: Fraction = Fraction(1, 2)
    gain: float = 8.0
    lead: int = 0
    sweep: Fraction | None = None

    @property
    def captions(self) -> list[str]:
        """What is written on each picture: its name, and how it was enlarged if it was."""
        return [
            video.name
            if video.size == self.canvas.size
            else f"{video.name} ({video.size[1]}x{video.size[0]}, {self.canvas.fit})"
            for video in self.videos
        ]

    def place(self, moment: Moment) -> list[Picture]:
        """One picture of each video, all of the size that is shown, for an SDR screen."""
        return [self.canvas.place(shown.picture, shown.footage.size) for shown in moment.shown]

    def place_codes(self, moment: Moment) -> list[Picture]:
        """The same as coded, to be measured."""
        return [self.canvas.place(shown.codes, shown.footage.size) for shown in moment.shown]

    def draw(self, moment: Moment) -> Picture:
        """The picture of a moment; its sides are even, as encoders want them."""
        if self.mode == "heat":
            return _even(self._heat(self.place_codes(moment)))
        pictures = self.place(moment)
        if self.canvas.piece is not None:
            pictures = [enlarge_small(picture) for picture in pictures]
        if self.mode == "blink":
            number = int(moment.time / self.every) % len(pictures)
            return _even(draw_name(pictures[number], self.captions[number]))
        if self.mode == "split":
            return _even(self._split(pictures, moment.time))
        named = [
            draw_name(picture, text) for picture, text in zip(pictures, self.captions, strict=True)
        ]
        return _even(side_by_side(named, axis=1 if self.mode == "side" else 0))

    def _split(self, pictures: list[Picture], time: Fraction) -> Picture:
        if len(pictures) == 2:
            at = 0.5 if not self.sweep else min(1.0, float(time / self.sweep))
            named = [
                draw_name(picture, text, at_right=number == 1)
                for number, (picture, text) in enumerate(zip(pictures, self.captions, strict=True))
            ]
            return split(named, at)
        # Each strip has its own name, so it is cut out of the whole before that is written on it.
        edges = [k * pictures[0].shape[1] // len(pictures) for k in range(len(pictures) + 1)]
        strips = [
            draw_name(picture[:, start:stop], text)
            for picture, text, start, stop in zip(
                pictures, self.captions, edges, edges[1:], strict=False
            )
        ]
        return side_by_side(strips, axis=1)

    def _heat(self, pictures: list[Picture]) -> Picture:
        truth = pictures[self.reference]
        drawn = []
        for number, picture in enumerate(pictures):
            if number != self.reference:
                found = heat(truth, picture, self.gain)
                if self.canvas.piece is not None:
                    found = enlarge_small(found)
                text = f"{self.videos[self.reference].name} - {self.videos[number].name}"
                drawn.append(draw_scale(draw_name(found, text), self.gain))
        return side_by_side(drawn, axis=1)


def _even(picture: Picture) -> Picture:
    """The same with its last line or column once more where a side is odd."""
    height, width = picture.shape[:2]
    return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
