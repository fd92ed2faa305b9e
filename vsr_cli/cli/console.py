"""Lines for people, on standard error; stdout is for programs."""

import logging
import os
import sys
from contextlib import suppress
from typing import TextIO

from vsr_cli.errors import OutputError


def printable(text: str) -> str:
    """Text as it may be shown: what would steer a terminal or begin a new line is spelt out.

    File names, titles and what libraries say of a file come from elsewhere.
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def print_line(line: str) -> None:
    """Write one line for people; the work does not depend on whether they can see it.

    Raises:
        BrokenPipeError: whoever read it has left.
    """
    if sys.stderr is None:  # closed
        return
    try:
        sys.stderr.write(f"{printable(line)}\n")
        sys.stderr.flush()
    except BrokenPipeError:
        raise
    except OSError:  # as a full disk
        silence(sys.stderr)


def print_result(text: str) -> None:
    """Write on standard output what a command was asked for, with a line's end.

    Raises:
        BrokenPipeError: whoever would read it has left, or was never there.
        OutputError: it cannot be written.
    """
    if sys.stdout is None:
        raise BrokenPipeError("standard output is closed")
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        silence(sys.stdout)
        raise OutputError(
            "standard output cannot be written to",
            why=error.strerror,
            hint="free some space on the disk, or choose another",
        ) from error


def show_cursor() -> None:
    """Show the cursor, which a progress bar has hidden and may not come to show again."""
    if sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        with suppress(OSError):
            sys.stderr.write("\x1b[?25h")
            sys.stderr.flush()


def silence(stream: TextIO | None) -> None:
    """Point a standard stream nowhere, so that what it still holds does no harm at the end."""
    with suppress(OSError, ValueError, AttributeError):  # closed, or in memory
        number = stream.fileno()  # type: ignore[union-attr]
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)


def open_missing_streams() -> None:
    """Open the null device in the place of standard streams that are closed.

    The system gives the lowest free number to the next file that is opened. Were that a video,
    what libraries print would go into it.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


class DebugLog(logging.Handler):
    """Prints what the layers below log for developers, as every other line."""

    def emit(self, record: logging.LogRecord) -> None:
        for line in self.format(record).splitlines():
            print_line(line)


def show_debug_log() -> None:
    """Let debug messages of this package, and of no other, reach stderr."""
    handler = DebugLog()
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    logger = logging.getLogger("vsr_cli")
    logger.setLevel(logging.DEBUG)
    logger.handlers = [handler]  # a second call in one process must not double the lines
