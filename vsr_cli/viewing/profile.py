"""Temporal profiles: one line of pixels of every frame, one below the other."""

from collections.abc import Iterable

import numpy as np

from vsr_cli.errors import ConfigError
from vsr_cli.events import Note, Report
from vsr_cli.viewing.align import Moment
from vsr_cli.viewing.drawer import Drawer
from vsr_cli.viewing.drawing import draw_name, side_by_side
from vsr_cli.viewing.footage import Picture

MOST_FRAMES = 2000
FEWEST_LINES = 240  # of a video's own profile; of fewer frames each takes several


def draw_profile(drawer: Drawer, frames: Iterable[Moment], report: Report) -> Picture:
    """The middle line of what is shown, over time from top to bottom, of each video below the last.

    What is steady makes smooth edges there, what flickers or crawls makes rough ones.

    Args:
        drawer: places pictures.
        frames: in order; closed when enough are read.
        report: receives `W_PROFILE_CUT`.

    Raises:
        ConfigError: the videos share no time.
    """
    lines: list[list[Picture]] = [[] for _ in drawer.videos]
    remaining = iter(frames)
    for moment in remaining:
        if len(lines[0]) == MOST_FRAMES:
            text = f"the profile ends after {MOST_FRAMES} frames: choose a part of the videos"
            report(Note(code="W_PROFILE_CUT", text=text))
            break
        for own, picture in zip(lines, drawer.place(moment), strict=True):
            own.append(picture[picture.shape[0] // 2].copy())
    if not lines[0]:
        raise ConfigError("the videos share no time", hint="choose another `--offset`")
    times = max(1, -(-FEWEST_LINES // len(lines[0])))
    profiles = [np.stack(own).repeat(times, axis=0) for own in lines]
    named = [
        draw_name(profile, text) for profile, text in zip(profiles, drawer.captions, strict=True)
    ]
    return side_by_side(named, axis=0)
