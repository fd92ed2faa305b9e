"""Options about what is repaired."""

from pathlib import Path
from typing import Annotated

import typer

from vsr_cli.cli.options import RARE
from vsr_cli.repair_config import DirtConfig, EraseConfig, Unseen


def fill_options(
    *,
    find: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="What is wrong with frames to make anew: damaged, black, frozen.",
            show_default="all of them; damaged with --frames-list",
        ),
    ] = None,
    frames_list: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="Frames to make anew, from 0, as 120,300-303."),
    ] = None,
    most: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Longest row of frames to make.", show_default="12, 8 if frozen"
        ),
    ] = None,
) -> None:
    """Options about which frames are made anew."""


def erase_options(
    *,
    box: Annotated[
        list[str] | None,
        typer.Option(
            metavar="X,Y,W,H[@A-B]",
            help="Take out a rectangle, from A to B seconds only; repeat. Negative X and Y count "
            "from right and bottom.",
        ),
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(
            readable=False,
            metavar="FILE",
            help="Take out what is white: an image, a video, a folder of images.",
        ),
    ] = None,
    mask_threshold: Annotated[
        int, typer.Option(metavar="N", help="White from there on, 1 to 255.", **RARE)
    ] = EraseConfig.mask_threshold,
    invert_mask: Annotated[
        bool, typer.Option("--invert-mask", help="Take out what is black.", **RARE)
    ] = EraseConfig.invert_mask,
    grow: Annotated[
        int, typer.Option(metavar="N", help="Widen masks by so many pixels.", **RARE)
    ] = EraseConfig.grow,
    feather: Annotated[
        int, typer.Option(metavar="N", help="Soften their rim by so many pixels.", **RARE)
    ] = EraseConfig.feather,
    reach: Annotated[
        int, typer.Option(metavar="N", help="Frames that are looked ahead.", **RARE)
    ] = EraseConfig.reach,
    unseen: Annotated[
        Unseen,
        typer.Option(help="What no frame shows: guessed, blurred, or an error.", **RARE),
    ] = EraseConfig.unseen,
    dirt: Annotated[
        bool, typer.Option("--dirt", help="Take off specks that are there for one frame.")
    ] = False,
    dirt_level: Annotated[
        float | None,
        typer.Option(
            metavar="S",
            help="How much counts as dirt, 0 to 1.",
            show_default=f"{DirtConfig.level}",
            **RARE,
        ),
    ] = None,
    dirt_most: Annotated[
        float | None,
        typer.Option(
            metavar="N",
            help="Frames with more dirt, as a share, are left alone.",
            show_default=f"{DirtConfig.most}",
            **RARE,
        ),
    ] = None,
) -> None:
    """Options about what is taken out of the picture."""
