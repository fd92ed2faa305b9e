"""What can go wrong and be mended by the user: one class per exit code."""

import errno
from collections.abc import Iterable
from typing import ClassVar

from vsr_cli.exit_codes import ExitCode


def is_short_of_memory(error: BaseException) -> bool:
    """Whether memory of the machine is what was missing, or what it takes to start a thread."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    is_thread = isinstance(error, RuntimeError) and "can't start new thread" in str(error)
    return is_thread or isinstance(error, MemoryError)


def find_nearest(word: str, known: Iterable[str]) -> str | None:
    """The one of what is known that was probably meant, whatever its case; None: none is near."""
    from difflib import get_close_matches  # not needed unless something is wrong

    by_lower = {name.lower(): name for name in known}
    nearest = get_close_matches(word.lower(), by_lower)  # the nearest first
    letters = sorted(word.lower())  # to swap two of them is the commonest slip
    found = max(nearest, key=lambda name: sorted(name) == letters, default=None)
    return None if found is None else by_lower[found]


def did_you_mean(word: str, known: Iterable[str], hint: str) -> str:
    """A hint that first asks for what was probably meant.

    Args:
        word: what was typed.
        known: what would have been right.
        hint: the rest of it, a request; all of it where nothing is near.
    """
    nearest = find_nearest(word, known)
    return f"did you mean `{nearest}`? or {hint}" if nearest else hint


class VsrError(Exception):
    """A failure the user can mend; the command line prints it without a traceback."""

    exit_code: ClassVar[ExitCode] = ExitCode.INTERNAL_ERROR

    def __init__(self, what: str, *, why: str | None = None, hint: str | None = None) -> None:
        super().__init__(what)
        self.why, self.hint = why, hint


class ConfigError(VsrError):
    """A bad option, value or combination."""

    exit_code: ClassVar[ExitCode] = ExitCode.USAGE


class InputError(VsrError):
    """The source is missing, unreadable, has no video or is not supported."""

    exit_code: ClassVar[ExitCode] = ExitCode.SOURCE


class OutputError(VsrError):
    """The target exists, cannot be written, or its encoder or container refuses."""

    exit_code: ClassVar[ExitCode] = ExitCode.TARGET


class JobBusyError(OutputError):
    """Another run is at work on the same target."""


class JobDamagedError(OutputError):
    """What an unfinished job has kept on disk is not what was written."""


class WeightsError(VsrError):
    """Weights are missing, damaged, or do not fit the model."""

    exit_code: ClassVar[ExitCode] = ExitCode.WEIGHTS


class DeviceError(VsrError):
    """The device asked for is absent or has too little memory."""

    exit_code: ClassVar[ExitCode] = ExitCode.DEVICE


class MemoryExhaustedError(DeviceError):
    """There is too little memory, of the device or of the machine, for the least that is tried."""

    @classmethod
    def of(cls, error: BaseException) -> "MemoryExhaustedError":
        """What to say where it was a library that noticed."""
        return cls(
            "memory has run out",
            why=" ".join(str(error).split())[:200] or None,
            hint="free memory, or use `--clip-length 2`, `--tile 512` or another `--device`",
        )


class VerificationError(VsrError):
    """The finished file is not what was planned; it is kept beside the target as `.failed`."""

    exit_code: ClassVar[ExitCode] = ExitCode.VERIFICATION


class UnseenError(VsrError):
    """What was to be erased is seen in no frame, and was not to be guessed."""

    exit_code: ClassVar[ExitCode] = ExitCode.SOURCE_DAMAGED
