"""What FFmpeg says while something is tried."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import av

_LOCK = threading.RLock()  # the level is that of the whole process


@contextmanager
def logged_from(level: int) -> Iterator[list[str]]:
    """What FFmpeg logs meanwhile in this thread, as lines, complete at the end.

    Other threads that try something wait for that.

    Args:
        level: the least grave that counts, such as `av.logging.ERROR`.
    """
    lines: list[str] = []
    with _LOCK:
        before, is_skipping = av.logging.get_level(), av.logging.get_skip_repeated()
        av.logging.set_level(level)
        av.logging.set_skip_repeated(False)  # or what was said before would not be said again
        try:
            with av.logging.Capture() as logs:
                yield lines
        finally:
            av.logging.set_level(before)
            av.logging.set_skip_repeated(is_skipping)
            lines += [text.strip() for _, _, text in logs if text.strip()]
