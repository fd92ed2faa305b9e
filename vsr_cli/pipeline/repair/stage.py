"""What repairs frames before a model sees them: a row of stages, each a generator over frames."""

import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import ClassVar

import torch
from torch import Tensor

from vsr_cli.media.frame import Frame

PREFIX = "repair."  # of its tensors beside those of a restorer


@dataclass(frozen=True)
class Entry:
    """A place where a stage can begin as if it had never stopped.

    given: how many frames it has given before.
    taken: index of the first frame it takes from there on.
    tensors: its state, on the CPU.
    """

    given: int = 0
    taken: int = 0
    tensors: Mapping[str, Tensor] = field(default_factory=dict)


class Stage(ABC):
    """Takes frames as they are decoded, in order, and gives others.

    Samples that it has no reason to change stay what they are. It remembers where it can begin
    again, until `forget` says that nobody will go back so far.

    name: which its state on disk has, too.
    reach_back, reach_ahead: how many frames before and after one it looks at.
    num_bytes: of memory that it takes at the most.
    state_bytes: of what a checkpoint keeps of it, at the most.
    reasons: what it will do that was not asked for in so many words, one line each.
    """

    name: ClassVar[str]
    reach_back: int
    reach_ahead: int
    num_bytes: int
    state_bytes: int = 0
    reasons: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._lock = threading.Lock()  # one thread runs the stage, another asks for its state
        self._entries: deque[Entry] = deque()

    @abstractmethod
    def run(self, frames: Iterator[Frame], entry: Entry) -> Iterator[Frame]:
        """Give frames from `entry` on.

        Args:
            frames: from `entry.taken` on.
            entry: one that an earlier run has kept, or the start.
        """

    def entry_at(self, index: int) -> Entry:
        """The last place to begin from which the frame of this index is still given."""
        with self._lock:
            before = [entry for entry in self._entries if entry.given <= index]
        return before[-1] if before else Entry()

    def forget(self, index: int) -> None:
        """Drop what is only needed to give frames before the one of this index."""
        with self._lock:
            while len(self._entries) > 1 and self._entries[1].given <= index:
                self._entries.popleft()

    def _keep(self, entry: Entry) -> None:
        with self._lock:
            self._entries.append(entry)


class Chain:
    """Stages one after the other; without any, frames pass as they are."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self.stages = tuple(stages)

    @property
    def names(self) -> tuple[str, ...]:
        """Of all stages, in order."""
        return tuple(stage.name for stage in self.stages)

    @property
    def num_bytes(self) -> int:
        """Bytes of memory at the most."""
        return sum(stage.num_bytes for stage in self.stages)

    @property
    def state_bytes(self) -> int:
        """Bytes that a checkpoint keeps at the most."""
        return sum(stage.state_bytes for stage in self.stages)

    @property
    def reasons(self) -> tuple[str, ...]:
        """What the stages have to say before they begin."""
        return tuple(reason for stage in self.stages for reason in stage.reasons)

    def run(
        self,
        read: Callable[[int], Iterator[Frame]],
        *,
        first: int = 0,
        tensors: Mapping[str, Tensor] | None = None,
    ) -> Iterator[Frame]:
        """Give frames from the one of index `first` on.

        Args:
            read: gives the frames of the source from an index on.
            first: counted in frames that the last stage gives.
            tensors: from `tensors_at`; without them it begins at the source's start.
        """
        entries = [_read_entry(stage.name, tensors or {}) for stage in self.stages]
        wanted = [*(entry.taken for entry in entries), first]
        frames = read(wanted[0])
        for stage, entry, index in zip(self.stages, entries, wanted[1:], strict=True):
            frames = islice(stage.run(frames, entry), index - entry.given, None)
        yield from frames

    def tensors_at(self, first: int) -> dict[str, Tensor]:
        """What `run` needs to go on with the frame of index `first`, by name."""
        found: dict[str, Tensor] = {}
        for stage in reversed(self.stages):
            entry = stage.entry_at(first)
            found[f"{PREFIX}{stage.name}"] = torch.tensor([entry.given, entry.taken])
            found |= {f"{PREFIX}{stage.name}.{name}": x for name, x in entry.tensors.items()}
            first = entry.taken
        return found

    def forget(self, first: int) -> None:
        """Drop what is only needed to give frames before the one of index `first`."""
        for stage in reversed(self.stages):
            stage.forget(first)
            first = stage.entry_at(first).taken


def _read_entry(name: str, tensors: Mapping[str, Tensor]) -> Entry:
    place = tensors.get(f"{PREFIX}{name}")
    if place is None:
        return Entry()
    prefix = f"{PREFIX}{name}."
    own = {
        key.removeprefix(prefix): x.cpu() for key, x in tensors.items() if key.startswith(prefix)
    }
    given, taken = place.tolist()
    return Entry(given, taken, own)
