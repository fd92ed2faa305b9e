"""How many threads of the processor a thread of the program computes with."""

import threading

import torch

_changing = threading.Lock()


def compute_alone() -> None:
    """Have torch split nothing of what the calling thread computes; it must be a new one.

    Split, what takes a millisecond waits longer for its parts than it computes, above all on a
    machine with other work. And OpenMP gives every thread that splits its work helpers of its own:
    with more of them than cores all go to sleep between two loops instead of spinning, and the
    networks beside it took 8 % longer.

    How many threads torch uses is the matter of each thread that has begun. It is the process's
    too, for threads to come; that is put back.
    """
    with _changing:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        other = threading.Thread(target=torch.set_num_threads, args=(before,))
        other.start()
        other.join()
