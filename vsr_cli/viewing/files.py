"""Files that a comparison leaves: refused before the work, complete when they appear."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from vsr_cli.atomic import create_when_complete
from vsr_cli.errors import OutputError
from vsr_cli.media.writing.destination import check_file, require_no_input


def check_files(
    targets: Iterable[Path], inputs: Mapping[str, Path | None], *, overwrite: bool
) -> None:
    """Refuse names that could not be written at the end, or that are those of inputs.

    Raises:
        OutputError: one is taken, or its folder cannot be written to.
    """
    for target in targets:
        try:
            require_no_input(target, inputs)
            check_file(target, inputs, overwrite=overwrite)
        except OSError as error:  # a name too long, a folder that may not be entered
            raise OutputError(
                f"`{target}` cannot be written", why=error.strerror, hint="choose another name"
            ) from error


def write_text(path: Path, text: str, *, overwrite: bool) -> None:
    """Write a file that appears when it is complete.

    Raises:
        OutputError: it exists, or cannot be written.
    """
    try:
        with create_when_complete(path, replace=overwrite) as part:
            part.write_text(text, encoding="utf-8")
    except FileExistsError as error:
        hint = "use `--overwrite`, or choose another name"
        raise OutputError(f"`{path}` exists", hint=hint) from error
    except OSError as error:
        raise OutputError(
            f"`{path}` cannot be written", why=error.strerror, hint="choose another name"
        ) from error
