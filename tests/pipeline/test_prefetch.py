import os
import threading
import time
from collections.abc import Iterator

import pytest

from vsr_cli.media.open import Pipe
from vsr_cli.pipeline.prefetch import prefetch


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
