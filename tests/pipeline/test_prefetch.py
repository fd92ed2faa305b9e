import os
import threading
import time
from collections.abc import Iterator

import pytest

from vsr_cli.cancellation import Stopped, StopRequest
from vsr_cli.media.byte_source import Pipe
from vsr_cli.pipeline import prefetch as module
from vsr_cli.pipeline.prefetch import prefetch, write_behind


def test_items_come_in_order_and_all_of_them() -> None:
    assert list(prefetch(iter(range(100)), 2)) == list(range(100))


def test_the_thread_is_never_further_ahead_than_asked() -> None:
    made = 0

    def make() -> Iterator[int]:
        nonlocal made
        for number in range(20):
            made += 1
            yield number

    for taken in prefetch(make(), 3):
        time.sleep(0.005)
        assert made <= taken + 1 + 3 + 1  # taken, waiting, and one in hand


def test_an_error_is_raised_where_its_item_was_due() -> None:
    def fail() -> Iterator[int]:
        yield 1
        raise KeyError("broken")

    items = prefetch(fail(), 4)
    assert next(items) == 1
    with pytest.raises(KeyError, match="broken"):
        next(items)


def test_stopping_early_ends_the_thread() -> None:
    before = threading.active_count()
    items = prefetch(iter(range(1000)), 1)
    assert next(items) == 0
    assert threading.active_count() == before + 1
    items.close()
    assert threading.active_count() == before


def test_the_next_item_is_made_while_the_last_one_is_in_use() -> None:
    second_begun = threading.Event()

    def make() -> Iterator[int]:
        yield 1
        second_begun.set()
        yield 2

    items = prefetch(make(), 1)
    assert next(items) == 1
    assert second_begun.wait(timeout=10)


def test_a_read_that_waits_for_a_pipe_is_given_up() -> None:
    reading, writing = os.pipe()
    pipe = Pipe(reading)
    os.write(writing, b"first")
    items = prefetch(iter(lambda: pipe.read(10), b""), 1)
    assert next(items) == b"first"
    started = time.monotonic()
    items.close()
    assert time.monotonic() - started < 5
    os.close(reading)
    os.close(writing)


def test_a_stop_that_is_asked_for_does_not_wait_for_a_source_that_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LONGEST_WAIT", 0.2)
    reading, writing = os.pipe()
    pipe = Pipe(reading)
    stop = StopRequest()

    def read() -> Iterator[object]:
        yield pipe.read(1)

    with stop.deferred():
        stop.request()
        with pytest.raises(Stopped):
            list(prefetch(read(), 1))
    os.close(writing)
    os.close(reading)


def test_a_stop_that_is_asked_for_takes_what_is_there_all_the_same() -> None:
    stop = StopRequest()
    with stop.deferred():
        stop.request()
        assert list(prefetch(iter(range(9)), 2)) == list(range(9))


def test_writing_that_waits_for_a_pipe_is_given_up_where_the_work_fails() -> None:
    reading, writing = os.pipe()
    pipe = Pipe(reading)

    def fail() -> None:
        with write_behind(pipe.read, 1) as waiting:
            waiting.put(1)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    os.close(writing)
    os.close(reading)
