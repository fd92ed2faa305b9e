"""Weights on disk: tensors and the network's config in one safetensors file."""

import json
import math
from collections.abc import Mapping, Set
from dataclasses import asdict, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vsr_cli.config import NUM_TRAIN_TIMESTEPS
from vsr_cli.counting import counted
from vsr_cli.errors import WeightsError
from vsr_cli.models.files import read_entries, require_usual, verify
from vsr_cli.models.small.int8 import roundable
from vsr_cli.models.small.model import SmallConfig, SmallModel

SCALES = frozenset({1, 2, 4})


def require_match(path: Path, found: Set[str], expected: Set[str]) -> None:
    """Refuse weights whose tensor names are not exactly those of the model."""
    if wrong := found ^ expected:
        raise WeightsError(
            f"`{path.name}` does not fit this model",
            why=f"{counted(len(wrong), 'tensor name differs', 'tensor names differ')}, "
            f"the first is `{min(wrong)}`",
            hint="use weights made for this version of vsr, or run `vsr weights verify`",
        )


def save_weights(path: Path, tensors: Mapping[str, Tensor], config: SmallConfig) -> None:
    """Write tensors in half precision with the config in the header."""
    half = {name: tensor.detach().to("cpu", torch.float16) for name, tensor in tensors.items()}
    half = {name: tensor.contiguous() for name, tensor in half.items()}
    save_file(half, path, metadata={"family": "small", "config": json.dumps(asdict(config))})


def load_weights(path: Path) -> SmallModel:
    """Build the model that a file describes and fill it, strictly.

    Returns the model in float32, in evaluation mode.

    Raises:
        WeightsError: missing, damaged, of another family, or not exactly this model.
    """
    verify(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise WeightsError(
            f"`{path}` is not a safetensors file", why=str(error), hint="check `--model`"
        ) from error
    config = _read_config(path, metadata)
    try:
        with torch.device("meta"):  # nothing is drawn that would be overwritten at once
            model = SmallModel(config)
    except (ValueError, RuntimeError, LookupError, ZeroDivisionError) as error:
        raise WeightsError(
            f"`{path.name}` describes no model that can be built",
            why=str(error),
            hint="use a file written by vsr",
        ) from error
    expected = {name: t.shape for name, t in model.state_dict().items()}
    require_match(path, set(tensors), set(expected))
    for name, shape in expected.items():
        if tensors[name].shape != shape:
            raise WeightsError(
                f"`{path.name}` does not fit this model",
                why=f"`{name}` is {tuple(tensors[name].shape)}, not {tuple(shape)}",
                hint="use weights made for this version of vsr",
            )
        if not torch.isfinite(tensors[name]).all():
            raise WeightsError(f"`{path.name}` is damaged", why=f"`{name}` is not finite")
    convolutions = roundable(model)
    for name, sides in config.activation_ranges.items():
        conv = convolutions.get(name)
        if conv is None or any(len(side) != conv.in_channels for side in sides):
            raise WeightsError(
                f"`{path.name}` does not fit this model",
                why=f"it has ranges for `{name[:60]}`, which is no convolution with such an input",
                hint="use weights made for this version of vsr",
            )
    model.load_state_dict(tensors, assign=True)
    return model.eval().to(memory_format=torch.channels_last)


def read_config(path: Path) -> SmallConfig:
    """The config in a file's header; reads no tensor.

    Raises:
        WeightsError: missing, damaged, or of another family or version.
    """
    verify(path)
    try:
        with safe_open(path, framework="pt") as file:
            return _read_config(path, file.metadata() or {})
    except SafetensorError as error:
        raise WeightsError(
            f"`{path}` is not a safetensors file", why=str(error), hint="check `--model`"
        ) from error


def _read_config(path: Path, metadata: Mapping[str, str]) -> SmallConfig:
    """The config in a header, refused if it has keys this version does not know."""
    if metadata.get("family") != "small" or "config" not in metadata:
        raise WeightsError(
            f"`{path.name}` holds no vsr model",
            why="its header names no family and config",
            hint="use a file written by vsr",
        )
    values = read_entries(path, metadata["config"])
    values |= {name: tuple(v) for name, v in values.items() if isinstance(v, list)}
    defaults = vars(SmallConfig())
    if not all(name in defaults and _is_like(v, defaults[name]) for name, v in values.items()):
        raise WeightsError(
            f"`{path.name}` was written by another version of vsr",
            why="its config has other entries",
            hint="update vsr or the weights",
        )
    zero = {name for name in defaults if name.endswith("_blocks")}
    require_usual(path, values, may_be_zero=zero, default_steps=NUM_TRAIN_TIMESTEPS)
    config = SmallConfig(**values)  # type: ignore[arg-type]  # whose types have been looked at
    ranges = {name: (low, high) for name, (low, high) in config.activation_ranges.items()}
    config = replace(config, activation_ranges=ranges)
    is_built_for = set(config.offered_scales) <= set(config.scales) <= SCALES
    samples = 0 <= config.noise_scale <= 1 and config.time_power >= 1 and config.damping >= 0
    if not is_built_for or not config.offered_scales or not samples:
        raise WeightsError(
            f"`{path.name}` describes no model that can be built",
            why="it offers no scale, or one it has no stem for, or no sampler can do as it says",
            hint="use a file written by vsr",
        )
    return config


def _is_like(value: object, default: object) -> bool:
    """Whether an entry of a config has the type of its default."""
    if isinstance(default, tuple):
        return isinstance(value, tuple) and all(isinstance(item, int) for item in value)
    if isinstance(default, dict):
        return isinstance(value, dict) and all(map(_is_range, value.values()))
    return type(value) is type(default)


def _is_range(value: object) -> bool:
    """Whether an entry is two lists of numbers, those below zero and those above it."""
    if not isinstance(value, list) or len(value) != 2:
        return False
    return all(
        isinstance(side, list)
        and all(isinstance(n, float) and math.isfinite(n) and sign * n >= 0 for n in side)
        for sign, side in zip((-1, 1), value, strict=True)
    )
