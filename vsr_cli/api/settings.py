"""Options that are kept in a file or the environment, and presets."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from vsr_cli import settings
from vsr_cli.events import Report, ignore
from vsr_cli.option_types import as_list
from vsr_cli.options import Options, PathLike
from vsr_cli.settings import Setting


def config_path() -> Path:
    """Where the user's file of settings is, or would be."""
    return settings.config_path()


def write_config(path: PathLike | None = None) -> Path:
    """Write a file of settings with everything in it as a comment, and return its path.

    Args:
        path: in the place of the user's own.

    Raises:
        OutputError: it exists, or cannot be written.
    """
    return settings.write_example(None if path is None else Path(path))


def find_settings(
    file: PathLike | None = None,
    *,
    presets: str | Sequence[str] = (),
    has_file: bool = True,
    report: Report = ignore,
) -> dict[str, Setting]:
    """All options that the environment, presets and a file set, by name.

    Args:
        file: in the place of the user's own.
        presets: of that file; later ones go before earlier ones.
        has_file: whether a file is read at all.
        report: receives a `Note` of each variable that looks like an option and is none.

    Raises:
        ConfigError: a value is not what it should be, or there is no such preset.
    """
    path = None if file is None else Path(file)
    return settings.find_settings(path, as_list(presets), has_file=has_file, report=report)


def load_options(file: PathLike | None = None, *, presets: str | Sequence[str] = ()) -> Options:
    """The same as `find_settings`, to be given to `upscale` and the like: `**load_options()`.

    Raises:
        ConfigError: as `find_settings`.
    """
    found = find_settings(file, presets=presets)
    return cast(Options, {name: setting.value for name, setting in found.items()})


def preset_names(file: PathLike | None = None) -> list[str]:
    """Names of the presets of a file of settings.

    Raises:
        ConfigError: it is not what it should be.
    """
    return settings.preset_names(None if file is None else Path(file))
