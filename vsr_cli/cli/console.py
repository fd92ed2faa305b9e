"""Every line that is printed: stderr is for people, stdout for programs."""

import json
import logging
import os
import platform
import shlex
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

import typer

from vsr_cli import __version__
from vsr_cli.cancellation import Stopped, StopRequest
from vsr_cli.cli.signals import Signals
from vsr_cli.errors import ConfigError, VsrError
from vsr_cli.events import Done, Event, Note, Plan, Progress, Report
from vsr_cli.exit_codes import ExitCode

JSON_VERSION = 1
SECONDS_BETWEEN_LINES = 10.0  # of progress, where no bar can be drawn


def say(line: str) -> None:
    """Write one line for people."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


class _JsonTarget:
    """Where events go: standard output, a file, or nowhere."""

    def __init__(self) -> None:
        self.file: TextIO | None = None  # None: standard output
        self.is_lost = False  # whoever read the file has left, which is no reason to stop

    def write(self, line: str) -> None:
        if self.file is None:
            sys.stdout.write(line)
            sys.stdout.flush()
        elif not self.is_lost:
            try:
                self.file.write(line)
                self.file.flush()
            except OSError:
                self.is_lost = True

    def reset(self) -> None:
        if self.file is not None:
            with suppress(OSError):
                self.file.close()
        self.file, self.is_lost = None, False


_json_target = _JsonTarget()


def write_json_to(place: str | None) -> None:
    """Let events of this command go to a file.

    Args:
        place: a path, or `fd:N` for a file that is open already; None: nowhere.

    Raises:
        ConfigError: it cannot be written to.
    """
    try:
        if place is not None and place.startswith("fd:"):
            number = os.dup(int(place[3:]))
        else:
            number = os.open(place or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        _json_target.file = os.fdopen(number, "w", encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(
            f"`--progress-file {place}` cannot be written to",
            why=reason,
            hint="give a path, or `fd:3` with `3>events.ndjson`",
        ) from error


def say_json(kind: str, values: Mapping[str, object]) -> None:
    """Write one NDJSON event for programs; consumers ignore types and keys they do not know."""
    line = json.dumps({"type": kind, "v": JSON_VERSION, **values}, default=str)
    _json_target.write(f"{line}\n")


class user_errors(AbstractContextManager["user_errors"]):  # noqa: N801  reads as the verb it is used as
    """Turn whatever ends a command early into a message and an exit code.

    Known errors print what, why and what to do; a bug prints one line and leaves a crash log.
    The first Ctrl-C or SIGTERM lets the command clean up, a second one ends it at once.

    Args:
        verbose: a bug shows its traceback as well.
        as_json: errors are also written to stdout as an `error` event.
        stop: asked first, so that a job can end where it can go on later.
    """

    def __init__(
        self, *, verbose: bool = False, as_json: bool = False, stop: StopRequest | None = None
    ) -> None:
        self.verbose, self.as_json = verbose, as_json
        self._signals = Signals(stop, say)

    def __enter__(self) -> Self:
        self._signals.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._signals.__exit__(kind, error, trace)
        try:
            if error is None or isinstance(error, (typer.Exit, SystemExit, GeneratorExit)):
                return
            raise typer.Exit(self.explain(error)) from error
        finally:
            _json_target.reset()

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

    def _print(self, error: BaseException) -> ExitCode:
        if isinstance(error, VsrError):
            code, name = error.exit_code, type(error).__name__.removesuffix("Error").upper()
            what, why, hint = str(error), error.why, error.hint
        elif isinstance(error, KeyboardInterrupt):
            code = self._signals.exit_code
            name = "INTERRUPTED" if code == ExitCode.INTERRUPTED else "TERMINATED"
            what, why, hint = "stopped before the end", None, None
            if isinstance(error, Stopped) and error.num_frames:
                why = f"{error.num_frames} frames are done, and kept"
                hint = f"to go on, run `{shlex.join(['vsr', *sys.argv[1:]])}`"
        else:
            code, name = ExitCode.INTERNAL_ERROR, "INTERNAL"
            what, why = "internal error", _summary(error)
            hint = f"please report it with `{write_crash_log(error)}`"
            if self.verbose:
                say("".join(traceback.format_exception(error)).rstrip())
        for name_of_line, text in (("error", what), ("why", why), ("hint", hint)):
            if text:
                say(f"{name_of_line}: {_on_one_line(text)}")
        if self.as_json:
            values = {"exit": code, "code": f"E_{name}", "what": what, "why": why, "hint": hint}
            say_json("error", values)
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


@contextmanager
def progress_bar(*, quiet: bool = False) -> Iterator[Report]:
    """Give a `Report` that shows events on stderr: a bar on a terminal, else a line now and then.

    Args:
        quiet: only notes are shown.
    """
    if quiet:
        yield _show_note
    elif sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        from vsr_cli.cli.bar import Bar  # loads half of rich; `--help` does not need it

        with Bar() as draw:
            yield _show(draw)
    else:
        yield _show(ProgressLines())


def json_lines(event: Event) -> None:
    """A `Report` that writes NDJSON to stdout."""
    match event:
        case Plan():
            say_json("plan", asdict(event))
        case Progress():
            values = {
                "stage": event.stage,
                "frame": event.frame,
                "frames": event.num_frames,
                "fps": round(fps, 4) if (fps := frames_per_second(event)) else None,
                "eta_s": seconds_left(event),
            }
            say_json("progress", values)
        case Note():
            say_json("warning", {"code": event.code, "text": event.text})
        case Done():
            values = asdict(event)
            say_json("done", {"out": values.pop("target"), **values})


class DebugLog(logging.Handler):
    """What the layers below log for developers, said like everything else."""

    def emit(self, record: logging.LogRecord) -> None:
        say(self.format(record))


def show_debug_log() -> None:
    """Let debug messages of this package, and of no other, reach stderr."""
    handler = DebugLog()
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    logger = logging.getLogger("vsr_cli")
    logger.setLevel(logging.DEBUG)
    logger.handlers = [handler]  # a second call in one process must not double the lines


def both(first: Report, second: Report) -> Report:
    """One `Report` for two listeners."""

    def report(event: Event) -> None:
        first(event)
        second(event)

    return report


class ProgressLines:
    """One plain line per ten seconds, for logs and pipes."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.last = clock()

    def __call__(self, event: Progress) -> None:
        if self.clock() - self.last < SECONDS_BETWEEN_LINES:
            return
        self.last = self.clock()
        parts = [f"{event.stage}: {count(event)} {event.unit}", rate(event), time_left(event)]
        say(", ".join(part for part in parts if part))


def count(event: Progress) -> str:
    """Frames done, and of how many."""
    return f"{event.frame}/{event.num_frames}" if event.num_frames else f"{event.frame}"


def frames_per_second(event: Progress) -> float | None:
    """The pace of this run; None before its first frame."""
    num_frames = event.frame - event.first
    return num_frames / event.seconds if num_frames > 0 and event.seconds > 0 else None


def rate(event: Progress) -> str:
    """Frames per second, or seconds per frame where that is the larger number."""
    fps = frames_per_second(event)
    if not fps:
        return ""
    one = event.unit.removesuffix("s")
    return f"{fps:.1f} {event.unit}/s" if fps >= 1 else f"{1 / fps:.1f} s/{one}"


def seconds_left(event: Progress) -> float | None:
    """Seconds to the end at the pace so far; None before the first frame or without a count."""
    fps = frames_per_second(event)
    if not event.num_frames or not fps:
        return None
    return round(max(event.num_frames - event.frame, 0) / fps, 1)


def time_left(event: Progress) -> str:
    """The same for people."""
    seconds = seconds_left(event)
    return "" if seconds is None else f"{duration(seconds)} left"


def duration(seconds: float) -> str:
    """A time as people write it: `8 s`, `3:05`, `1:03:05`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{rest:02}"
    return f"{minutes}:{rest:02}" if minutes else f"{rest} s"


def _show(draw: Callable[[Progress], None]) -> Report:
    """All events in words, but progress as `draw` has it."""

    def report(event: Event) -> None:
        match event:
            case Plan():
                for line in plan_lines(event):
                    say(line)
            case Progress():
                draw(event)
            case Note():
                _show_note(event)
            case Done():
                say(
                    f"wrote `{event.target}`: {event.frames_out} frames, "
                    f"{event.width}x{event.height}, in {duration(event.seconds)}"
                )

    return report


def _show_note(event: Event) -> None:
    if isinstance(event, Note):
        say(f"note: {event.text} ({event.code})")


def plan_lines(plan: Plan) -> list[str]:
    """What was chosen, for people: the files, the model, and the reasons."""
    (source_height, source_width), (height, width) = plan.source_size, plan.target_size
    frames = "number of frames unknown" if plan.num_frames is None else f"{plan.num_frames} frames"
    return [
        f"`{plan.source}` {source_width}x{source_height}, {frames}"
        f" -> `{plan.target}` {width}x{height}, {plan.codec} {plan.pix_fmt}",
        f"model {plan.model}, steps {plan.steps}, seed {plan.seed}, on {plan.device}"
        f" in {plan.dtype}",
        f"motion scale {plan.motion_scale:g}, fidelity {plan.fidelity:g}, color {plan.color},"
        f" flow {plan.flow}, clips of {plan.clip_length} frames, tile {plan.tile}",
        *_memory_line(plan),
        *(f"  {reason}" for reason in plan.reasons),
    ]


def _memory_line(plan: Plan) -> list[str]:
    if plan.memory_gb is None or plan.free_memory_gb is None:
        return []
    return [f"about {plan.memory_gb:.1f} GB of memory, {plan.free_memory_gb:.1f} GB are free"]


def _on_one_line(text: str) -> str:
    """Text with what would move the cursor written out, as names of files may hold it."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _summary(error: BaseException) -> str:
    """Type and message on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def _discard_output() -> None:
    """Point stdout and stderr nowhere, so that the last flush of Python stays quiet too."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # a stream in memory has no descriptor
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
