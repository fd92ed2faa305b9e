"""Lines for people, on standard error; stdout is for programs."""

import logging
import sys


def printable(text: str) -> str:
    """Text as it may be shown: what would steer a terminal or begin a new line is spelt out.

    File names, titles and what libraries say of a file come from elsewhere.
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def print_line(line: str) -> None:
    """Write one line for people."""
    sys.stderr.write(f"{printable(line)}\n")
    sys.stderr.flush()


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
