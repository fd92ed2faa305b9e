"""Single pictures for people to look at."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vsr_cli.atomic import create_when_complete
from vsr_cli.errors import OutputError


def write_png(path: Path, picture: NDArray[np.uint8], *, overwrite: bool) -> None:
    """Write a picture (H, W, 3) RGB; the file appears when it is complete.

    Raises:
        OutputError: it exists, or cannot be written.
    """
    try:
        with create_when_complete(path, replace=overwrite) as part:
            Image.fromarray(picture).save(part, "PNG")
    except FileExistsError as error:
        hint = "use `--overwrite`, or choose another name"
        raise OutputError(f"`{path}` exists", hint=hint) from error
    except (OSError, ValueError) as error:
        raise OutputError(
            f"`{path}` cannot be written", why=str(error), hint="choose another name"
        ) from error
