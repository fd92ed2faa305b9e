"""What a clip hands on to the next one, on disk: tensors only, in a safetensors file."""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vsr_cli.atomic import replace_when_complete
from vsr_cli.config import Guidance
from vsr_cli.diffusion.sampler import Trajectory
from vsr_cli.errors import InputError
from vsr_cli.media.writing.destination import output_errors
from vsr_cli.pipeline.restorers.small.stages import ClipState

_CHANNELS_LAST = "channels_last"  # key in the header: convolutions round differently in each order


def save_clip_state(path: Path, clip_state: ClipState) -> None:
    """Write it; the file appears when it is complete.

    Raises:
        OutputError: the disk is full.
    """
    tensors: dict[str, Tensor] = {}
    if (trajectory := clip_state.trajectory) is not None:
        for step, state in enumerate(trajectory.states):
            tensors |= {f"state.{step}.{index}": x for index, x in enumerate(state)}
        tensors |= {f"prediction.{step}": x for step, x in enumerate(trajectory.predictions)}
        tensors |= {f"stepped.{step}": x for step, x in enumerate(trajectory.stepped_latents)}
    memory_features, is_last = clip_state.memory_features, False
    if memory_features is not None:
        is_last = not memory_features.is_contiguous()
        tensors["remembered"] = memory_features
    with output_errors(f"`{path}` cannot be written"), replace_when_complete(path) as part:
        try:
            whole = {name: x.detach().cpu().contiguous() for name, x in tensors.items()}
            save_file(whole, part, metadata={_CHANNELS_LAST: "yes" if is_last else "no"})
        except SafetensorError as error:  # how it says that the disk is full
            raise OSError(str(error)) from error


def load_clip_state(path: Path, guidance: Guidance, device: torch.device) -> ClipState:
    """Read it back, bit by bit what it was.

    Raises:
        InputError: the file is missing or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            is_last = (file.metadata() or {}).get(_CHANNELS_LAST) == "yes"
            tensors = {name: file.get_tensor(name).to(device) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"`{path}` cannot be read back", why=str(error), hint="use `--fresh` to start anew"
        ) from error
    memory_features = tensors.pop("remembered", None)
    if memory_features is not None and is_last:
        memory_features = memory_features.contiguous(memory_format=torch.channels_last)
    predictions = _numbered(tensors, "prediction")
    if not predictions:
        return ClipState(memory_features=memory_features)
    trajectory = Trajectory.reserve(len(predictions), predictions[0][0], guidance)
    for step, prediction in enumerate(predictions):
        trajectory.keep_state(step, _numbered(tensors, f"state.{step}"))
        trajectory.predictions[step].copy_(prediction)
    for kept, stepped in zip(
        trajectory.stepped_latents, _numbered(tensors, "stepped"), strict=True
    ):
        kept.copy_(stepped)
    return ClipState(trajectory=trajectory, memory_features=memory_features)


def _numbered(tensors: dict[str, Tensor], name: str) -> list[Tensor]:
    """Those called `name.0`, `name.1` and so on."""
    found: list[Tensor] = []
    while (key := f"{name}.{len(found)}") in tensors:
        found.append(tensors[key])
    return found
