"""What the pipeline asks of every family of models; `registry` lists the families there are."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from vsr_cli.config import UpscaleConfig
from vsr_cli.errors import ConfigError
from vsr_cli.events import Report
from vsr_cli.models.base import VideoModel
from vsr_cli.pipeline.clips import Clip, ClipState, RestoredClip
from vsr_cli.pipeline.progress import WorkMeter
from vsr_cli.pipeline.run_plan import RunPlan


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What a file of weights tells of its model before that is loaded.

    family: its name.
    default_steps: denoising steps, where the user names none.
    has_flow: whether the file holds RAFT as well.
    clip_length: how many frames its networks see at once; None: any number.
    """

    family: str
    default_steps: int
    has_flow: bool = False
    clip_length: int | None = None


class Restorer(ABC):
    """One model on its device, planned for one source.

    clip_length: frames in each clip that `restore` is given.
    clip_overlap: how many of them the clip before holds, too.
    splits_shots: whether clips end where shots do.
    meter: tells whoever asks how much of the clip at hand is computed.
    """

    clip_length: int
    clip_overlap: int
    splits_shots: bool
    meter: WorkMeter

    @abstractmethod
    def restore(self, clips: Iterator[Clip], state: ClipState | None) -> Iterator[RestoredClip]:
        """Restore clips in order, each of its fresh frames once.

        Args:
            clips: from the start, or from where an earlier run has ended.
            state: what the clip before the first one handed on; None at the start of a shot.

        Raises:
            MemoryExhaustedError: not even the least that is computed at once fits.
        """

    @abstractmethod
    def read_state(self, tensors: Mapping[str, Tensor]) -> ClipState:
        """Make a state of what `ClipState.tensors` gave, on the device of this restorer."""


class Family(ABC):
    """Models that are built and run alike."""

    name: ClassVar[str]

    @abstractmethod
    def inspect(self, path: Path) -> ModelInfo:
        """Read the header of a file of weights.

        Raises:
            WeightsError: missing, damaged, or of another family or version.
        """

    @abstractmethod
    def resolve(self, config: UpscaleConfig, info: ModelInfo) -> UpscaleConfig:
        """Fill in what the user has left to the model: steps, flow, and the family's own options.

        Raises:
            ConfigError: an option was given that means nothing to this family or this model.
        """

    @abstractmethod
    def plan(
        self, path: Path, config: UpscaleConfig, lr_size: tuple[int, int], *, reserved: int = 0
    ) -> RunPlan:
        """Choose device, dtype and how much is computed at once.

        Args:
            path: of the weights.
            config: from `resolve`.
            lr_size: (height, width) of the source.
            reserved: bytes of the machine's memory that others will take, such as the encoder.

        Raises:
            ConfigError: options contradict each other.
            DeviceError: the device is absent, or too small.
        """

    @abstractmethod
    def load(self, path: Path) -> VideoModel:
        """Build the model that a file describes, and fill it.

        Raises:
            WeightsError: missing, damaged, or not exactly that model.
        """

    @abstractmethod
    def restorer(
        self, model: VideoModel, config: UpscaleConfig, run_plan: RunPlan, report: Report
    ) -> Restorer:
        """Have a loaded model ready for one source.

        Args:
            model: from `load`; it is moved to the device of `run_plan`.
            config: from `resolve`.
            run_plan: from `plan`.
            report: receives notes of how scarce memory is coped with.
        """

    def is_quick_on(self, device: torch.device) -> bool:
        """Whether a few small frames are restored within about a second there."""
        return device.type == "cuda"

    def splits_shots(self, config: UpscaleConfig) -> bool:
        """Whether all starts afresh at a cut, as `Restorer.splits_shots` says of its restorer."""
        del config
        return True

    def describe_memory(self, path: Path) -> list[str]:
        """What a model needs, for people, a line for each size of target; none: as is planned.

        Raises:
            WeightsError: the file's header is damaged.
        """
        del path
        return []

    @abstractmethod
    def guidance_name(self, config: UpscaleConfig) -> str:
        """Name the pull along the motion that a job gets."""


def refuse_foreign(config: UpscaleConfig, family: str, options: Mapping[str, object]) -> None:
    """Refuse options that only another family knows.

    Args:
        config: whose model they were given for.
        family: of that model.
        options: their values by the names users know; None: not given.

    Raises:
        ConfigError: one was given.
    """
    for name, value in options.items():
        if value is not None:
            model = config.model.name if config.model else "the shipped model"
            raise ConfigError(
                f"`{name}` means nothing to this model",
                why=f"`{model}` is of the family `{family}`, which has no such choice",
                hint="leave it out, or choose another `--model`",
            )
