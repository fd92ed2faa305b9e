"""Ctrl-C, SIGTERM and SIGHUP: the first lets a job end well, the second ends the program."""

import signal
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import FrameType, TracebackType

from vsr_cli.cancellation import Stopped, StopRequest
from vsr_cli.cli.console import print_line, show_cursor
from vsr_cli.exit_codes import ExitCode

Handler = Callable[[int, FrameType | None], object] | int | None


class Signals(AbstractContextManager[None]):
    """Within, the first signal asks `stop`, and the next one has its usual effect."""

    def __init__(self, stop: StopRequest | None) -> None:
        """Nothing is installed yet.

        Args:
            stop: what to ask; None: work ends at once, and cleans up.
        """
        self._stop = stop or StopRequest()
        self._handlers: dict[int, Handler] = {}
        self._number: int | None = None  # of the signal that came
        self.has_struck = False  # it has broken off whatever was going on

    @property
    def exit_code(self) -> ExitCode:
        """What the shell expects of a program that a signal has ended."""
        return ExitCode.INTERRUPTED if self._number is None else ExitCode(128 + self._number)

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # only the main thread may set handlers
        # A job started with `nohup` or `&` ignores SIGHUP or SIGINT and must go on doing so.
        usual = (signal.SIG_DFL, signal.default_int_handler)
        numbers = [signal.SIGINT, signal.SIGTERM]
        if hasattr(signal, "SIGHUP"):
            numbers.append(signal.SIGHUP)
        for number in numbers:
            if signal.getsignal(number) in usual:
                self._handlers[number] = signal.signal(number, self._hear)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self._number = number
        for other in self._handlers:
            signal.signal(other, signal.SIG_DFL)
        show_cursor()  # the next signal ends the program where it is
        try:
            self._stop.request()
        except Stopped:
            self.has_struck = True
            print_line("stopping; press Ctrl-C again to stop at once")
            raise
        print_line("stopping when this clip is done; press Ctrl-C again to stop at once")
