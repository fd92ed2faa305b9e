"""Lines for people, on standard error; stdout is for programs."""

import logging
import sys


def print_line(line: str) -> None:
    """Write one line for people."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


class DebugLog(logging.Handler):
    """Prints what the layers below log for developers, as every other line."""

    def emit(self, record: logging.LogRecord) -> None:
        print_line(self.format(record))


def show_debug_log() -> None:
    """Let debug messages of this package, and of no other, reach stderr."""
    handler = DebugLog()
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    logger = logging.getLogger("vsr_cli")
    logger.setLevel(logging.DEBUG)
    logger.handlers = [handler]  # a second call in one process must not double the lines
