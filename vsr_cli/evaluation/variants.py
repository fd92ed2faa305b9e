"""`--variant NAME:KEY=VALUE,...`: the shipped model with other settings, for comparisons."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar, get_args

from vsr_cli.config import ColorFix, GivenLatents, Guidance, Memory, UpscaleConfig
from vsr_cli.errors import ConfigError

T = TypeVar("T", bound=str)

COLORS: tuple[ColorFix, ...] = get_args(ColorFix)
GUIDANCES: tuple[Guidance, ...] = get_args(Guidance)
MEMORIES: tuple[Memory, ...] = get_args(Memory)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """How the model takes part in an evaluation."""

    config: UpscaleConfig
    latents: GivenLatents | None = None  # None: the sampler draws them


def parse_latents(text: str) -> GivenLatents | None:
    """What `zero`, `true`, `noisy:S` and `sampled` mean.

    Raises:
        ConfigError: it is none of these, or S is no deviation.
    """
    kind, colon, deviation = text.partition(":")
    if text == "sampled":
        return None
    if kind == "noisy" and colon:
        try:
            return GivenLatents(is_true=True, deviation=float(deviation))
        except ValueError as error:
            raise ConfigError(
                f"`{deviation}` is no number", hint="write the noise like `noisy:0.4`"
            ) from error
    if text not in ("zero", "true"):
        raise ConfigError(f"`{text}` is not known", hint="use zero, true, noisy:S or sampled")
    return GivenLatents(is_true=text == "true")


def parse_variant(text: str, base: Entry) -> tuple[str, Entry]:
    """Name and settings of `NAME:KEY=VALUE,...`; what is not given is that of `base`.

    Raises:
        ConfigError: it is not of this form, a key or value is unknown, or two contradict each
            other.
    """
    name, _, changes = text.partition(":")
    if not name or not changes:
        raise ConfigError(
            f"`--variant {text}` is not NAME:KEY=VALUE",
            hint="write it like `unguided:motion_scale=0,steps=8`",
        )
    entry = base
    pairs = [change.partition("=")[::2] for change in changes.split(",")]
    for key, value in pairs:
        if key not in CHANGES:
            raise ConfigError(
                f"`--variant {text}`: there is no setting `{key}`",
                hint="use " + ", ".join(CHANGES),
            )
        try:
            entry = CHANGES[key](entry, value)
        except ValueError as error:
            raise ConfigError(
                f"`--variant {text}`: `{value}` is no number", hint=f"write {key}=NUMBER"
            ) from error
        except ConfigError as error:
            raise ConfigError(
                f"`--variant {text}`: {error}", why=error.why, hint=error.hint
            ) from error
    useless = [key for key, _ in pairs if key in _SAMPLER_KEYS]
    if entry.latents is not None and useless:
        raise ConfigError(
            f"`--variant {text}`: `{useless[0]}` is the sampler's, which takes no part",
            why=f"latents are `{entry.latents.name}`",
            hint="leave it out, or add `latents=sampled`",
        )
    return name, entry


def _set_steps(config: UpscaleConfig, value: str) -> UpscaleConfig:
    return replace(config, sampler=replace(config.sampler, steps=int(value)))


def _set_motion_scale(config: UpscaleConfig, value: str) -> UpscaleConfig:
    return replace(config, sampler=replace(config.sampler, motion_scale=float(value)))


def _set_guidance(config: UpscaleConfig, value: str) -> UpscaleConfig:
    return replace(config, sampler=replace(config.sampler, guidance=_one_of(GUIDANCES, value)))


def _set_fidelity(config: UpscaleConfig, value: str) -> UpscaleConfig:
    return replace(config, fidelity=float(value))


def _set_supersample(config: UpscaleConfig, value: str) -> UpscaleConfig:
    return replace(config, supersample=_one_of(("on", "off"), value) == "on")


def _set_color(config: UpscaleConfig, value: str) -> UpscaleConfig:
    return replace(config, color=_one_of(COLORS, value))


def _set_memory(config: UpscaleConfig, value: str) -> UpscaleConfig:
    return replace(config, memory=_one_of(MEMORIES, value))


def _set_flow_weights(config: UpscaleConfig, value: str) -> UpscaleConfig:
    if not Path(value).is_file():
        raise ConfigError(f"there is no file `{value}`", hint="give RAFT weights of yours")
    return replace(config, flow="raft", flow_weights=Path(value))


def _of_config(
    change: Callable[[UpscaleConfig, str], UpscaleConfig],
) -> Callable[[Entry, str], Entry]:
    return lambda entry, value: replace(entry, config=change(entry.config, value))


CHANGES: Mapping[str, Callable[[Entry, str], Entry]] = {
    "steps": _of_config(_set_steps),
    "motion_scale": _of_config(_set_motion_scale),
    "guidance": _of_config(_set_guidance),
    "fidelity": _of_config(_set_fidelity),
    "supersample": _of_config(_set_supersample),
    "color": _of_config(_set_color),
    "memory": _of_config(_set_memory),
    "flow_weights": _of_config(_set_flow_weights),
    "latents": lambda entry, value: replace(entry, latents=parse_latents(value)),
}
_SAMPLER_KEYS = ("steps", "motion_scale", "guidance")


def _one_of(known: tuple[T, ...], value: str) -> T:
    for name in known:
        if name == value:
            return name
    raise ConfigError(f"`{value}` is not known", hint="use " + ", ".join(known))
