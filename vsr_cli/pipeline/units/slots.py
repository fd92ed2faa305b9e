"""Places of this machine, shared by the jobs that compute at the same time."""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from vsr_cli.pipeline.units.places import Place


class Turn:
    """A job's claim to places, before those of all jobs that came later.

    is_served: whether it has as many workers as it has work for.
    """

    def __init__(self) -> None:
        self.is_served = False


class Slots:
    """Counts which places are taken; safe in threads, of which each has a job."""

    def __init__(self) -> None:
        """Nobody is anywhere."""
        self._lock = threading.Lock()
        self._taken: Counter[Place] = Counter()
        self._turns: list[Turn] = []  # in the order in which jobs have come

    @contextmanager
    def turn(self) -> Iterator[Turn]:
        """Within, a job may take places."""
        turn = Turn()
        with self._lock:
            self._turns.append(turn)
        try:
            yield turn
        finally:
            with self._lock:
                self._turns.remove(turn)

    def take(self, turn: Turn, places: Sequence[Place]) -> Place | None:
        """Take one of these places; None: none is free, or a job that came before wants it."""
        with self._lock:
            before = self._turns[: self._turns.index(turn)]
            free = Counter(places) - self._taken
            if not free or not all(other.is_served for other in before):
                return None
            place = next(place for place in places if free[place])
            self._taken[place] += 1
            return place

    def give_back(self, place: Place) -> None:
        """Let others have a place."""
        with self._lock:
            self._taken[place] -= 1
