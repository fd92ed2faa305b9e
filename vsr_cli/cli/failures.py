"""What ends a command early, as a message and an exit code."""

import os
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import typer

from vsr_cli import __version__
from vsr_cli.cancellation import Stopped, StopRequest
from vsr_cli.cli.command_line import command_to_go_on
from vsr_cli.cli.console import print_line, silence
from vsr_cli.cli.json_events import close_events, has_event_file, write_event
from vsr_cli.cli.signals import Signals
from vsr_cli.counting import counted
from vsr_cli.errors import MemoryExhaustedError, VsrError, is_short_of_memory
from vsr_cli.exit_codes import ExitCode

_places: dict[str, str] = {}  # of options that were not typed, by their long names


def set_places(places: Mapping[str, str]) -> None:
    """Take where options come from that were not typed; a mistake in one of them is told with it.

    Args:
        places: in words, by long name, such as `--scale`.
    """
    _places.clear()
    _places.update(places)


def _place_of_mistake(what: str) -> str | None:
    """Where the option comes from that a message begins with, if it was not typed."""
    option = what.removeprefix("`").split("`")[0].split(" ")[0]
    return _places.get(option)


@contextmanager
def report_failures(
    *, verbose: bool = False, as_json: bool = False, stop: StopRequest | None = None
) -> Iterator["FailureReport"]:
    """Turn whatever ends a command early into a message and an exit code.

    Known errors print what, why and what to do; a bug prints one line and leaves a crash log.
    The first Ctrl-C or SIGTERM lets the command clean up, a second one ends it at once.

    Args:
        verbose: a bug shows its traceback as well.
        as_json: errors are also written to stdout as an `error` event; to a file of events they
            are in any case.
        stop: asked first, so that a job can end where it can go on later.

    Raises:
        typer.Exit: with the exit code.
    """
    signals = Signals(stop)
    failures = FailureReport(signals, verbose=verbose, as_json=as_json)
    try:
        with signals:
            yield failures
    except (typer.Exit, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        raise typer.Exit(failures.explain(error)) from error
    finally:
        close_events()
        _places.clear()


class FailureReport:
    """Explains errors of one command to people and, where asked for, to programs."""

    def __init__(self, signals: Signals, *, verbose: bool, as_json: bool) -> None:
        """Take the signals of the command, of which the last decides about its exit code."""
        self._signals, self._verbose, self._as_json = signals, verbose, as_json

    def explain(self, error: BaseException) -> ExitCode:
        """Print what there is to say and return the exit code."""
        if isinstance(error, BrokenPipeError):
            _discard_output()
            return ExitCode.BROKEN_PIPE
        try:
            return self._print(error)
        except BrokenPipeError:  # the reader left before the message
            _discard_output()
            return ExitCode.BROKEN_PIPE

    @property
    def is_stopped(self) -> bool:
        """Whether a signal has broken off the work, whatever a library has made of that."""
        return self._signals.has_struck

    def _print(self, error: BaseException) -> ExitCode:
        is_stopped = isinstance(error, KeyboardInterrupt) or self.is_stopped
        if is_short_of_memory(error):
            error = MemoryExhaustedError.of(error)
        if isinstance(error, VsrError) and not is_stopped:
            code, name = error.exit_code, type(error).__name__.removesuffix("Error").upper()
            what, why, hint = str(error), error.why, error.hint
            if (place := _place_of_mistake(what)) is not None:
                why = f"{why}; it is in {place}" if why else f"it is in {place}"
        elif is_stopped:
            code = self._signals.exit_code
            name = "INTERRUPTED" if code == ExitCode.INTERRUPTED else "TERMINATED"
            what, why, hint = "stopped before the end", None, None
            if isinstance(error, Stopped) and error.num_frames:
                why = f"{counted(error.num_frames, 'frame is', 'frames are')} done, and kept"
                hint = f"to go on, run `{command_to_go_on()}`"
        else:
            code, name = ExitCode.INTERNAL_ERROR, "INTERNAL"
            what, why = "internal error", _summary(error)
            hint = f"please report it with `{write_crash_log(error)}`"
            if self._verbose:
                print_line("".join(traceback.format_exception(error)).rstrip())
        if is_stopped:  # by someone who knows it, and has made no error
            lines = [f"{what}: {why}" if why else what, f"hint: {hint}" if hint else None]
        else:
            pairs = (("error", what), ("why", why), ("hint", hint))
            lines = [f"{begin}: {text}" if text else None for begin, text in pairs]
        for line in filter(None, lines):
            print_line(line)
        if self._as_json or has_event_file():
            values = {"exit": code, "code": f"E_{name}", "what": what, "why": why, "hint": hint}
            write_event("error", values)
        return code


def write_crash_log(error: BaseException) -> Path:
    """Write the traceback, versions and command line to a file of its own; return its path."""
    from platformdirs import user_log_path  # not needed unless something broke

    text = "".join(
        [
            f"vsr {__version__}, Python {platform.python_version()}, {platform.platform()}\n",
            f"command line: {sys.argv!r}\n\n",
            *traceback.format_exception(error),
        ]
    )
    name = f"crash-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    folder = user_log_path("vsr", appauthor=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / name
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError:  # no home, or a read-only one
        path = Path(tempfile.gettempdir()) / name
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    return path


def _summary(error: BaseException) -> str:
    """Type and message on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def _discard_output() -> None:
    """Point stdout and stderr nowhere, so that the last flush of Python stays quiet too."""
    for stream in (sys.stdout, sys.stderr):
        silence(stream)
