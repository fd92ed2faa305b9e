"""Bytes for FFmpeg from files and pipes, whose reads can be given up however long they wait."""

import errno
import os
import queue
import select
import threading
from collections.abc import Callable, Generator
from io import FileIO
from pathlib import Path

from vsr_cli.cancellation import is_abandoned

BUFFER = 1 << 18  # bytes asked of a file at once: little is read in vain where one seeks a lot
PIPE_BUFFER = 1 << 20
MOST_UNANSWERED = 1 << 29  # bytes: more than a frame of 16K with 10 bits
HEAD_BYTES = 512  # in which data tell what they are
START_BYTES = 1 << 18  # of a pipe that are kept: what a container says before its pictures
PATIENCE = 0.2  # seconds between two looks whether anybody still waits
_FAILURE = 0  # what is no bytes makes PyAV raise an error of its own, wherever it is


class ByteSource:
    """What PyAV reads from; a read that waits ends when its thread is interrupted or abandoned.

    name: FFmpeg's, by which it guesses the format.
    head: how the data start.
    num_unanswered: bytes read since FFmpeg has last given a packet.
    is_bounded: whether reading ends where those are too many, as garbage without an end would fill
        the memory; looking for a place in a file is reading, too, and keeps nothing.
    complaint: why reading has ended before the end of the data; None where it has not.
    interruption: of the reading, to be raised once FFmpeg has returned.
    """

    def __init__(self, name: str) -> None:
        """Nothing is read yet."""
        self.name = name
        self.head = b""
        self.num_unanswered, self.is_bounded = 0, True
        self.complaint: str | None = None
        self.interruption: KeyboardInterrupt | MemoryError | None = None
        # Python calls the handlers of signals when a function is entered, and PyAV drops what is no
        # `Exception`: it would read on for ever. A generator is entered within its `try`.
        server = self._serve()
        next(server)
        self.read: Callable[[int], bytes | int] = server.send

    def wait_for(self, size: int) -> bytes:
        """Some bytes, none at the end; what it does must be ready for any interruption.

        Raises:
            OSError: they cannot be read.
        """
        raise NotImplementedError

    def _serve(self) -> Generator[bytes | int, int, None]:
        answer: bytes | int = b""
        while True:
            try:
                size = yield answer
                answer = b"" if self.interruption or self.complaint else self.wait_for(size)
                self._count(answer)
            except (KeyboardInterrupt, MemoryError) as error:
                self.interruption, answer = error, _FAILURE
            except OSError as error:
                self.complaint, answer = error.strerror or str(error), b""

    def _count(self, data: bytes) -> None:
        self.head = self.head or data[:HEAD_BYTES]
        self.num_unanswered += len(data)
        if self.is_bounded and self.num_unanswered > MOST_UNANSWERED:
            self.complaint = f"there was no frame in {MOST_UNANSWERED >> 20} MiB"


class FileSource(ByteSource):
    """A file, which may lie on a disk that does not answer.

    A thread of its own waits for the disk. If the wait is given up, the thread is left behind, and
    closes the file when the disk has answered.
    """

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            OSError: it cannot be opened.
        """
        super().__init__(f"file:{path}")  # FFmpeg takes a name with a colon for an address
        self._file = FileIO(path)
        self.seek, self.tell = self._file.seek, self._file.tell
        self._position = 0  # behind what was read last
        self._asked: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._given: queue.SimpleQueue[bytes | OSError] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="vsr-disk", daemon=True).start()

    def wait_for(self, size: int) -> bytes:
        start = self._file.tell()
        if start != self._position:
            self.num_unanswered = 0  # it has gone elsewhere: what was read there is not kept
        self._asked.put(size)
        while not is_abandoned():
            try:
                given = self._given.get(timeout=PATIENCE)
            except queue.Empty:
                continue
            if isinstance(given, OSError):
                raise given
            self._position = start + len(given)
            return given
        raise OSError(errno.EINTR, os.strerror(errno.EINTR))

    def end(self) -> None:
        """Close the file, as soon as the disk lets go of it."""
        self._asked.put(None)

    def _work(self) -> None:
        with self._file as file:
            while (size := self._asked.get()) is not None:
                try:
                    self._given.put(os.read(file.fileno(), size))
                except OSError as error:
                    self._given.put(error)


class Pipe(ByteSource):
    """A pipe. A read that waits ends with `close` as well, from whatever thread.

    start: what came first, because it cannot be read again.
    """

    def __init__(self, descriptor: int) -> None:
        """Read from `descriptor`, which stays the caller's."""
        super().__init__("<none>")
        self._descriptor = descriptor
        self.start = b""
        self._closed = threading.Event()

    def wait_for(self, size: int) -> bytes:
        while not self._closed.is_set() and not is_abandoned():
            # Only sockets can be waited for on Windows.
            if os.name == "posix" and not select.select([self._descriptor], [], [], PATIENCE)[0]:
                continue
            data = os.read(self._descriptor, size)
            self.start += data[: START_BYTES - len(self.start)]
            return data
        return b""

    def close(self) -> None:
        """Let every read end."""
        self._closed.set()
