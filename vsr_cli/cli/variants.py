"""`--variant NAME:KEY=VALUE,...`: the shipped model with other settings, for comparisons."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar, get_args

from vsr_cli.config import ColorFix, Guidance, Memory, UpscaleConfig
from vsr_cli.errors import ConfigError

T = TypeVar("T", bound=str)

COLORS: tuple[ColorFix, ...] = get_args(ColorFix)
GUIDANCES: tuple[Guidance, ...] = get_args(Guidance)
MEMORIES: tuple[Memory, ...] = get_args(Memory)


def parse_variant(text: str, base: UpscaleConfig) -> tuple[str, UpscaleConfig]:
    """Name and settings of `NAME:KEY=VALUE,...`; what is not given is that of `base`.

    Raises:
        ConfigError: it is not of this form, or a key or value is unknown.
    """
    name, _, changes = text.partition(":")
    if not name or not changes:
        raise ConfigError(
            f"`--variant {text}` is not NAME:KEY=VALUE",
            hint="write it like `unguided:motion_scale=0,steps=8`",
        )
    config = base
    for change in changes.split(","):
        key, _, value = change.partition("=")
        if key not in CHANGES:
            raise ConfigError(
                f"`--variant {text}`: there is no setting `{key}`",
                hint="use " + ", ".join(CHANGES),
            )
        try:
            config = CHANGES[key](config, value)
        except ValueError as error:
            raise ConfigError(
                f"`--variant {text}`: `{value}` is no number", hint=f"write {key}=NUMBER"
            ) from error
        except ConfigError as error:
            raise ConfigError(
                f"`--variant {text}`: {error}", why=error.why, hint=error.hint
            ) from error
    return name, config


def _set_steps(config: UpscaleConfig, value: str) -> UpscaleConfig:
    return replace(config, sampler=replace(config.sampler, steps=int(value)))


def _set_motion_scale(config: UpscaleConfig, value: str) -> UpscaleConfig:
    return replace(config, sampler=replace(config.sampler, motion_scale=float(value)))


def _set_guidance(config: UpscaleConfig, value: str) -> UpscaleConfig:
    return replace(config, sampler=replace(config.sampler, guidance=_one_of(GUIDANCES, value)))


def _set_fidelity(config: UpscaleConfig, value: str) -> UpscaleConfig:
    return replace(config, fidelity=float(value))


def _set_color(config: UpscaleConfig, value: str) -> UpscaleConfig:
    return replace(config, color=_one_of(COLORS, value))


def _set_memory(config: UpscaleConfig, value: str) -> UpscaleConfig:
    return replace(config, memory=_one_of(MEMORIES, value))


def _set_flow_weights(config: UpscaleConfig, value: str) -> UpscaleConfig:
    if not Path(value).is_file():
        raise ConfigError(f"there is no file `{value}`", hint="give RAFT weights of yours")
    return replace(config, flow="raft", flow_weights=Path(value))


CHANGES: Mapping[str, Callable[[UpscaleConfig, str], UpscaleConfig]] = {
    "steps": _set_steps,
    "motion_scale": _set_motion_scale,
    "guidance": _set_guidance,
    "fidelity": _set_fidelity,
    "color": _set_color,
    "memory": _set_memory,
    "flow_weights": _set_flow_weights,
}


def _one_of(known: tuple[T, ...], value: str) -> T:
    for name in known:
        if name == value:
            return name
    raise ConfigError(f"`{value}` is not known", hint="use " + ", ".join(known))
