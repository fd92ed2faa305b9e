"""A job's choices as text, so that another process, or another machine, computes the same."""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import IntEnum
from fractions import Fraction
from pathlib import Path
from typing import Any

from vsr_cli import config, repair_config, sizes
from vsr_cli.config import UpscaleConfig
from vsr_cli.pixels import Matrix, Range

_KIND = "is"
_RECORDS: Mapping[str, type[Any]] = {
    record.__name__: record
    for record in (
        *(config.UpscaleConfig, config.ClipConfig, config.SamplerConfig, config.InputConfig),
        *(config.OutputConfig, config.JobConfig, sizes.TargetSize),
        *(repair_config.FillConfig, repair_config.DirtConfig),
        *(repair_config.EraseConfig, repair_config.Box),
    )
}
_VALUES: Mapping[str, type[Any]] = {
    value.__name__: value for value in (Fraction, Path, Matrix, Range)
}


def to_text(choices: UpscaleConfig) -> str:
    """Write everything that was chosen."""
    return json.dumps(_plain(choices))


def from_text(text: str) -> UpscaleConfig:
    """Read what `to_text` gives; nothing but records of choices is ever made of it.

    Raises:
        ValueError, KeyError, TypeError: it is something else.
        ConfigError: the choices contradict each other.
    """
    found = _made(json.loads(text))
    if not isinstance(found, UpscaleConfig):
        raise ValueError(f"expected the choices of a job, got {type(found).__name__}")
    return found


def _plain(value: object) -> object:
    if is_dataclass(value):
        own = {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
        return {_KIND: type(value).__name__, **own}
    if isinstance(value, IntEnum):
        return {_KIND: type(value).__name__, "value": int(value)}
    if isinstance(value, Path):
        return {_KIND: "Path", "value": str(value)}
    if isinstance(value, Fraction):
        return {_KIND: "Fraction", "value": str(value)}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value


def _made(value: object) -> object:
    if isinstance(value, list):
        return tuple(_made(item) for item in value)
    if not isinstance(value, dict):
        return value
    kind = value[_KIND]
    if kind in _VALUES:
        return _VALUES[kind](value["value"])
    return _RECORDS[kind](**{name: _made(own) for name, own in value.items() if name != _KIND})
