"""The exit codes of the command, as README tells them."""

from enum import IntEnum


class ExitCode(IntEnum):
    """How a command ended, for the shell that ran it."""

    DONE = 0  # or nothing to do
    INTERNAL_ERROR = 1  # a bug; or `vsr doctor` has found one of the machine
    USAGE = 2
    SOURCE = 3
    TARGET = 4
    WEIGHTS = 5
    DEVICE = 6
    VERIFICATION = 7
    SOURCE_DAMAGED = 8  # finished all the same
    SOME_FAILED = 9  # of the files of a batch
    HUNG_UP = 129  # 128 + SIGHUP
    INTERRUPTED = 130  # 128 + SIGINT
    BROKEN_PIPE = 141  # 128 + SIGPIPE
    TERMINATED = 143  # 128 + SIGTERM
