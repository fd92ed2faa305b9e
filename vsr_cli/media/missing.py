"""What to say of a source that is not there."""

from itertools import islice
from pathlib import Path

from vsr_cli.errors import InputError, find_nearest
from vsr_cli.stdio import address_of

_MOST_NAMES = 5000  # of a folder that are compared


def missing_source(source: Path, what: str | None = None) -> InputError:
    """The error for a source that does not exist: an address, or a name that is nearly right.

    Args:
        source: as it was given.
        what: what to say in the place of "does not exist".

    Raises:
        OSError: its folder cannot be read.
    """
    if address := address_of(source):
        return InputError(
            f"`{address}` is an address, not a file",
            why="vsr reads local files and pipes, and never connects to anything",
            hint="pipe it, as in `ffmpeg -i ADDRESS -c copy -f matroska - | vsr upscale - out.mkv`",
        )
    near = _nearest(source)
    return InputError(
        what or f"`{source}` does not exist",
        why=None if source.parent.exists() else f"there is no folder `{source.parent}`",
        hint=f"did you mean `{near}`?" if near else "check the path",
    )


def _nearest(path: Path) -> Path | None:
    """What lies in the same folder and is called nearly the same."""
    try:
        names = [other.name for other in islice(path.parent.iterdir(), _MOST_NAMES)]
    except OSError:  # it is none, or may be entered and not listed
        return None
    name = find_nearest(path.name, names)
    return None if name is None else path.with_name(name)
