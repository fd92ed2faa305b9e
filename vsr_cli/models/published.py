"""Importing published checkpoints, of whatever family they are."""

from collections.abc import Sequence
from pathlib import Path

from vsr_cli.errors import ConfigError
from vsr_cli.events import Report, ignore
from vsr_cli.models.checkpoint import read_names
from vsr_cli.models.files import SUFFIX, user_weights_dir
from vsr_cli.models.imports import ImportedWeights

# What only a SeedVR2 has: a block of its transformer, or a causal upsampler of its autoencoder.
_MARKS_OF_SEEDVR2 = ("blocks.0.attn.proj_qkv.", "upsamplers.0.upscale_conv.")


def import_checkpoints(
    checkpoints: Sequence[Path],
    name: str | None = None,
    *,
    text: Path | None = None,
    flow: Path | None = None,
    half: bool = True,
    overwrite: bool = False,
    ignore_unknown: bool = False,
    report: Report = ignore,
) -> ImportedWeights:
    """Convert checkpoints; see `vsr_cli.api.import_weights`."""
    if name is not None and (not name or Path(name).name != name):
        raise ConfigError(f"`--name {name}` is no name", hint="use letters and digits")
    if not checkpoints:
        if flow is None:
            raise ConfigError("there is nothing to import", hint="name the published files")
        from vsr_cli.models.mgld.flow import add_flow

        return add_flow(user_weights_dir() / f"{name or 'mgld'}{SUFFIX}", flow, overwrite=overwrite)
    family = find_family(checkpoints)
    target = user_weights_dir() / f"{name or family}{SUFFIX}"
    if family == "mgld":
        from vsr_cli.models.mgld import convert as mgld  # loads diffusers

        return mgld.import_published(
            checkpoints,
            target,
            text=text,
            flow=flow,
            half=half,
            overwrite=overwrite,
            ignore_unknown=ignore_unknown,
            report=report,
        )
    if flow is not None:
        raise ConfigError(
            "`--flow` means nothing to SeedVR2",
            why="it follows motion by attention, without optical flow",
            hint="leave it out",
        )
    from vsr_cli.models.seedvr2 import convert as seedvr2

    return seedvr2.import_seedvr2(
        checkpoints,
        target,
        text=text,
        half=half,
        overwrite=overwrite,
        ignore_unknown=ignore_unknown,
        report=report,
    )


def find_family(checkpoints: Sequence[Path]) -> str:
    """`seedvr2` where a file has tensors called as its own, else `mgld`.

    Raises:
        WeightsError: a file is missing, or cannot be read.
    """
    names = [name for path in checkpoints for name in read_names(path)]
    is_seedvr2 = any(mark in name for name in names for mark in _MARKS_OF_SEEDVR2)
    return "seedvr2" if is_seedvr2 else "mgld"
