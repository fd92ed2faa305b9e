"""A look at a few places of a source before it is repaired."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vsr_cli.config import InputConfig, UpscaleConfig
from vsr_cli.errors import InputError
from vsr_cli.events import ignore
from vsr_cli.media.frame import Frame, VideoInfo
from vsr_cli.media.masks import Mask, Masks
from vsr_cli.media.reading.reader import VideoSource, open_video
from vsr_cli.ops.fill import grow
from vsr_cli.ops.yuv import to_rgb
from vsr_cli.pipeline.repair.erase import Erase
from vsr_cli.pipeline.repair.stage import Entry
from vsr_cli.repair_config import EraseConfig

_PLACES = (Fraction(1, 5), Fraction(1, 2), Fraction(4, 5))  # of the part that is read
_NUM_FRAMES = 9  # at each
_OUTLINE = np.array([255, 0, 0], np.uint8)


def foresee(config: UpscaleConfig, source: Path, info: VideoInfo) -> tuple[str, ...]:
    """Say how much of what is erased other frames show, by a few frames in a few places.

    Args:
        config: of the job.
        source: a file that can be read again.
        info: of the part of it that is read.
    """
    if config.erase is None:
        return ()
    num_masked = num_unseen = 0
    short = replace(config.erase, reach=_NUM_FRAMES, unseen="blur")
    for video, reading in _places(source, config.input, info):
        masks = Masks(short, video.info, source, reading, ignore)
        stage = Erase(short, video.info, masks, ignore, scene_cut=config.scene_cut)
        frames = islice(video.frames(report=ignore), _NUM_FRAMES)
        for _ in stage.run(frames, Entry()):
            pass
        num_masked += stage.num_masked
        num_unseen += stage.num_unseen
    if not num_masked:
        return ("erase: nothing is masked in the frames that were looked at",)
    share = 1 - num_unseen / num_masked
    return (
        f"erase: {share:.0%} of the mask is seen in other frames, by a look at a few "
        f"frames; what no frame shows is guessed from its rim",
    )


def outline_masks(config: UpscaleConfig, source: Path, info: VideoInfo) -> NDArray[np.uint8]:
    """A few frames beside each other, (H, W, 3) RGB, what is erased of them outlined in red.

    Raises:
        ConfigError: the mask does not fit.
        InputError: source or mask cannot be read.
    """
    assert config.erase is not None
    pictures = []
    for video, reading in _places(source, config.input, info):
        masks = Masks(config.erase, video.info, source, reading, ignore)
        frame = next(video.frames(report=ignore))
        pictures.append(_outlined(frame, masks.at(0, frame), config.erase))
    return np.concatenate(pictures, axis=1)


def _places(
    source: Path, reading: InputConfig, info: VideoInfo
) -> Iterator[tuple[VideoSource, InputConfig]]:
    """A part, opened at a few places, and how; at its start alone if it has no length.

    A last frame may be shown for long: where none begins any more, nothing is opened.
    """
    num_opened = 0
    if info.duration is not None and reading.frames is None:
        for place in _PLACES:
            start = (reading.start or Fraction(0)) + place * info.duration
            there = replace(reading, start=start, stop=None, duration=None)
            with suppress(InputError), open_video(source, there) as video:
                yield video, there
                num_opened += 1
    if not num_opened:
        with open_video(source, reading) as video:
            yield video, reading


def _outlined(frame: Frame, mask: Mask | None, config: EraseConfig) -> NDArray[np.uint8]:
    planes = [torch.from_numpy(plane) for plane in frame.planes]
    rgb = (to_rgb(planes, frame.layout, frame.color) + 1) * 127.5
    picture = rgb.round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
    if mask is not None:
        grown = grow(torch.from_numpy(mask).float()[None, None], config.grow)
        rim = (grow(grown, max(1, min(frame.size) // 360)) - grown)[0, 0] > 0
        picture[rim.numpy()] = _OUTLINE
    return picture
