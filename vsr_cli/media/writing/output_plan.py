"""What a target will be: decided once, before anything is computed."""

import os
from dataclasses import dataclass
from pathlib import Path

import av

from vsr_cli.config import OutputConfig
from vsr_cli.errors import OutputError
from vsr_cli.events import Report
from vsr_cli.media.containers import (
    TRANSPORT,
    Container,
    container_of,
    is_single_image,
    resolve_target,
)
from vsr_cli.media.frame import VideoInfo
from vsr_cli.media.writing.destination import check_target
from vsr_cli.media.writing.encoder_plan import EncoderPlan, find_encoder, plan_encoder


@dataclass(frozen=True, kw_only=True)
class OutputPlan:
    """Everything about a target that is decided before its first frame.

    target: the final name, which `check_target` has passed; no link.
    container: what is written there.
    coding: how the picture is coded.
    info: of the source, whose times the target gets.
    config: the user's choices.
    """

    target: Path
    container: Container
    coding: EncoderPlan
    info: VideoInfo
    config: OutputConfig


def plan_output(
    target: Path,
    source: Path,
    info: VideoInfo,
    size: tuple[int, int],
    config: OutputConfig,
    *,
    report: Report,
) -> OutputPlan:
    """Check the target's name, and decide what is written there.

    What encoder and container refuse beyond that shows when they are opened; see `rehearse`.

    Args:
        target: the final name.
        source: which the target must not be.
        info: of the source.
        size: (height, width) of the output.
        config: the user's choices.
        report: receives what the user would not expect, such as `W_PIX_FMT` and `W_HDR_DROPPED`.

    Raises:
        ConfigError: a choice does not exist or does not fit the others.
        OutputError: the target cannot be written.
    """
    target = resolve_target(target)
    check_target(target, source, config)
    container = container_of(target, config)
    if is_single_image(target) and info.num_frames != 1:
        raise OutputError(
            f"`{target.name}` is the name of one image",
            why="the source has more than one frame, or does not say how many",
            hint="write `DIR/%05d.png`, or choose one frame as in `--frames 0:1`",
        )
    coding = plan_encoder(container, info, size, config)
    _require_codec(container, coding.codec)
    for note in coding.notes:
        report(note)
    return OutputPlan(target=target, container=container, coding=coding, info=info, config=config)


def _require_codec(container: Container, encoder: str) -> None:
    """Refuse a codec that the container does not hold.

    Raises:
        OutputError: it is one.
    """
    if container.is_image_sequence:
        return
    codec = find_encoder(encoder).canonical_name
    held = TRANSPORT
    if container.name != "mpegts":
        with av.open(os.devnull, "w", format=container.name) as output:
            held = frozenset(output.supported_codecs)
    if codec not in held:
        raise OutputError(
            f"{container.display_name} cannot hold `{codec}`",
            hint="write to `.mkv`, or choose another `--vcodec`",
        )
