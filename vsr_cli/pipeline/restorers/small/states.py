"""What clips of the shipped family hand on: in memory, or of single regions and on disk."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vsr_cli.config import Guidance
from vsr_cli.diffusion.sampler import Trajectory
from vsr_cli.models.small.denoiser import LEVEL_OF_MIXER
from vsr_cli.pipeline.restorers.small.regions import Area, Region, Regions, cut, within
from vsr_cli.pipeline.restorers.small.storage import Shape, Storage


@dataclass(frozen=True)
class SmallState:
    """What a clip, or a region of one, hands on.

    trajectory: of the sampler; None where latents were given.
    memory_features: the decoder's memory, (1, C, H, W).
    """

    trajectory: Trajectory | None
    memory_features: Tensor

    def tensors(self) -> dict[str, Tensor]:
        """See `ClipState`."""
        found = {"memory_features": self.memory_features}
        if self.trajectory is not None:
            for step, state in enumerate(self.trajectory.states):
                found |= {f"state.{step}.{index}": x for index, x in enumerate(state)}
            found |= _numbered("prediction", self.trajectory.predictions)
            found |= _numbered("stepped", self.trajectory.stepped_latents)
        return found

    def release(self) -> None:
        """See `ClipState`: nothing of it lies on disk."""

    @classmethod
    def read(cls, tensors: Mapping[str, Tensor], guidance: Guidance) -> "SmallState":
        """Make one of what `tensors` gave; the sampler's part is copied into few blocks."""
        memory_features = tensors["memory_features"]
        predictions = _collect("prediction", tensors)
        if not predictions:
            return cls(None, memory_features)
        trajectory = Trajectory.reserve(len(predictions), predictions[0][0], guidance)
        for step, prediction in enumerate(predictions):
            trajectory.keep_state(step, _collect(f"state.{step}", tensors))
            trajectory.predictions[step].copy_(prediction)
        stepped = _collect("stepped", tensors)
        for kept, x in zip(trajectory.stepped_latents, stepped, strict=True):
            kept.copy_(x)
        return cls(trajectory, memory_features)


@dataclass(frozen=True)
class ReadState:
    """The state of whole frames, as a checkpoint has it."""

    stored: Mapping[str, Tensor]

    def tensors(self) -> dict[str, Tensor]:
        """See `ClipState`."""
        return dict(self.stored)

    def release(self) -> None:
        """See `ClipState`: nothing of it is to be left."""


@dataclass(frozen=True)
class StoredState:
    """The state of whole frames, wherever it lies."""

    storage: Storage

    def tensors(self) -> dict[str, Tensor]:
        """See `ClipState`."""
        return self.storage.in_order()

    def release(self) -> None:
        """See `ClipState`."""
        self.storage.release()


class WholeStates:
    """States of clips that are restored as wholes: the newest, which the next clip uses up."""

    def __init__(self, state: SmallState | None) -> None:
        """Go on from a state; None at the start of a shot."""
        self.newest = state

    def forget(self) -> None:
        """A shot begins."""
        self.newest = None

    def before(self, region: Region) -> SmallState | None:
        """What the clip before has handed on."""
        del region
        return self.newest

    def keep(self, region: Region, state: SmallState) -> None:
        """Take what this clip hands on."""
        del region
        self.newest = state

    def advance(self) -> None:
        """The clip is complete."""


class RegionStates:
    """States of clips that are restored region by region, kept as those of whole frames.

    Each region reads what it needs of the clip before, beyond its borders as well, and writes the
    part that is its own. So regions may be others with each clip, and a checkpoint knows of none.
    What is read and what is written are two sets that change places after each clip.
    """

    def __init__(
        self,
        regions: Regions,
        state: Mapping[str, Tensor] | None,
        *,
        guidance: Guidance,
        device: torch.device,
        folder: Path | None,
    ) -> None:
        """Go on from a state.

        Args:
            regions: of the frames.
            state: tensors of whole frames, on the CPU; None at the start of a shot.
            guidance: of the sampler.
            device: where regions are restored.
            folder: for a file of each set; None: they lie in memory.
        """
        self._regions, self._guidance = regions, guidance
        self._device, self._folder = device, folder
        self._old: Storage | None = None
        self._new: Storage | None = None
        self._has_old = state is not None
        if state is not None:
            self._old = Storage({name: Shape.of(x) for name, x in state.items()}, folder)
            for name, x in state.items():
                self._old.tensors[name].copy_(x)
            self._old.release()

    @property
    def newest(self) -> StoredState | None:
        """What the last complete clip hands on, until `advance` is called again."""
        return StoredState(self._old) if self._has_old and self._old else None

    def forget(self) -> None:
        """A shot begins."""
        self._has_old = False

    def before(self, region: Region) -> SmallState | None:
        """What the clip before has handed on, within a region; a copy, on the device."""
        if not self._has_old or self._old is None:
            return None
        # All are being read before the first is waited for.
        parts = {name: self._old.part(name, _area(name, region)) for name in self._old.tensors}
        found = {name: x.to(self._device, copy=True) for name, x in parts.items()}
        self._old.release()
        features = found["memory_features"]  # convolutions are faster so
        found["memory_features"] = features.contiguous(memory_format=torch.channels_last)
        return SmallState.read(found, self._guidance)

    def keep(self, region: Region, state: SmallState) -> None:
        """Take what this clip hands on, within a region."""
        tensors = state.tensors()
        if self._new is None:
            shapes = {
                name: Shape((*x.shape[:-2], *self._size(name)), x.dtype)
                for name, x in tensors.items()
            }
            self._new = Storage(shapes, self._folder)
        for name, x in tensors.items():
            core = _core(name, region)
            self._new.room(name, core).copy_(cut(x, within(core, _area(name, region))))
        self._new.release()

    def advance(self) -> None:
        """The clip is complete: the next one goes on from it."""
        self._old, self._new = self._new, self._old
        self._has_old = True

    def _size(self, name: str) -> tuple[int, int]:
        level = _level(name)
        return self._regions.body_size if level is None else self._regions.level_sizes[level]


def _level(name: str) -> int | None:
    """Which level's grid a tensor of a state lies on; None: that of the features."""
    if name == "memory_features":
        return None
    kind, *numbers = name.split(".")
    return LEVEL_OF_MIXER[int(numbers[1])] if kind == "state" else 0


def _area(name: str, region: Region) -> Area:
    level = _level(name)
    return region.body if level is None else region.levels[level]


def _core(name: str, region: Region) -> Area:
    level = _level(name)
    return region.core_body if level is None else region.core_levels[level]


def _numbered(name: str, tensors: list[Tensor]) -> dict[str, Tensor]:
    """Tensors by the names `name.0`, `name.1` and so on."""
    return {f"{name}.{index}": x for index, x in enumerate(tensors)}


def _collect(name: str, tensors: Mapping[str, Tensor]) -> list[Tensor]:
    """Those called `name.0`, `name.1` and so on, in order."""
    found: list[Tensor] = []
    while (key := f"{name}.{len(found)}") in tensors:
        found.append(tensors[key])
    return found
