"""Threads that compute alone leave others what they had."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from vsr_cli.pipeline.prefetch import prefetch
from vsr_cli.pipeline.repair.workers import workers
from vsr_cli.pipeline.speed import computing_with
from vsr_cli.pipeline.threads import compute_alone


def threads_of_a_new_one() -> int:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(torch.get_num_threads).result()


def threads_alone() -> int:
    compute_alone()
    return torch.get_num_threads()


@pytest.mark.parametrize("number", [2, 3])
def test_one_thread_computes_alone_and_those_before_and_after_do_not(number: int) -> None:
    with computing_with(number):
        begun = threading.Barrier(2)
        with ThreadPoolExecutor(2) as pool:
            other = pool.submit(lambda: (begun.wait(9), begun.wait(9), torch.get_num_threads())[-1])
            begun.wait(9)
            alone = pool.submit(threads_alone)
            assert alone.result() == 1
            begun.wait(9)
            assert other.result() == number
        assert torch.get_num_threads() == number
        assert threads_of_a_new_one() == number


def test_they_may_begin_within_each_other_and_all_at_once() -> None:
    with computing_with(3):
        barrier = threading.Barrier(8)

        def begin() -> int:
            barrier.wait(9)
            compute_alone()
            with workers() as pool:
                inside = pool.submit(torch.get_num_threads).result()
            return torch.get_num_threads() + inside

        with ThreadPoolExecutor(8) as pool:
            found = [future.result() for future in [pool.submit(begin) for _ in range(8)]]
        assert found == [2] * 8
        assert threads_of_a_new_one() == 3


def test_what_is_fetched_ahead_can_be_computed_alone() -> None:
    with computing_with(3):

        def items() -> list[int]:
            return [torch.get_num_threads() for _ in range(2)]

        numbers = (number for _ in range(1) for number in items())
        assert list(prefetch(numbers, 1, begin=compute_alone)) == [1, 1]
        numbers = (number for _ in range(1) for number in items())
        assert list(prefetch(numbers, 1)) == [3, 3]


def test_an_error_at_the_beginning_is_told() -> None:
    def begin() -> None:
        raise OSError("no thread")

    with pytest.raises(OSError, match="no thread"):
        list(prefetch(iter([1]), 1, begin=begin))
