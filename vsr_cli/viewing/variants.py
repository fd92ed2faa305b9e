"""Which settings a preview compares: every combination of those in its grid."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from types import UnionType
from typing import Union, cast, get_args, get_origin, get_type_hints

from vsr_cli.config import UpscaleConfig
from vsr_cli.errors import ConfigError, did_you_mean
from vsr_cli.option_types import as_list
from vsr_cli.options import Options, make_config

MOST = 12
# Options of the model and of how it runs, but for those that change no picture.
KEYS = (
    *("scale", "size", "height", "steps", "seed", "fidelity", "strength", "motion_scale", "color"),
    *("supersample", "model", "flow", "flow_weights", "scene_cut", "mgld_mode", "dtype"),
)

Value = str | float | int | bool


@dataclass(frozen=True)
class Variant:
    """One combination.

    name: the settings it has of its own, as `steps=4 fidelity=0.6`; empty: none.
    config: of its job.
    """

    name: str
    config: UpscaleConfig

    @property
    def title(self) -> str:
        """What is written on its pictures."""
        return self.name or "vsr"


def make_variants(
    options: Options, grid: Sequence[str] | Mapping[str, Sequence[Value]]
) -> list[Variant]:
    """Every combination of what is in the grid, on top of the options of the job.

    Args:
        options: of the job.
        grid: `KEY=VALUE,VALUE`, or a mapping.

    Raises:
        ConfigError: there is no such option, a value is out of range, or there are too many.
        WeightsError: no model is called so.
    """
    axes = _parse_grid(grid)
    combinations = [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]
    if len(combinations) > MOST:
        raise ConfigError(
            f"`--grid` comes to {len(combinations)} combinations", hint=f"{MOST} is the most"
        )
    variants = []
    for settings in combinations:
        read: dict[str, Value | None] = {k: _read(k, value) for k, value in settings.items()}
        if {"size", "height"} & set(read):
            read["scale"] = None
        name = " ".join(f"{key.replace('_', '-')}={value}" for key, value in settings.items())
        variants.append(Variant(name, make_config(cast(Options, {**options, **read}))))
    return variants


def _parse_grid(grid: Sequence[str] | Mapping[str, Sequence[Value]]) -> dict[str, list[Value]]:
    """The values of each option."""
    if not isinstance(grid, Mapping):
        grid = as_list(grid)
        pairs = [text.partition("=") for text in grid]
        for text, (key, equals, values) in zip(grid, pairs, strict=True):
            if not (key and equals and all(values.split(","))):
                raise ConfigError(
                    f"`--grid {text}` is no grid", hint="give it as `--grid steps=4,50`"
                )
        grid = {key: values.split(",") for key, _, values in pairs}
    axes: dict[str, list[Value]] = {}
    for key, choices_of in grid.items():
        name = key.lstrip("-").replace("-", "_")
        if name not in KEYS:
            choices = "use " + ", ".join(key.replace("_", "-") for key in KEYS)
            raise ConfigError(f"`--grid` knows no `{key}`", hint=did_you_mean(name, KEYS, choices))
        axes[name] = list(dict.fromkeys(as_list(choices_of)))
    return axes


def _read(key: str, value: Value) -> Value:
    """A value as its option takes it.

    Raises:
        ConfigError: it does not.
    """
    if not isinstance(value, str):
        return value
    kinds = _kinds(get_type_hints(Options)[key])
    choices = [choice for kind in kinds for choice in get_args(kind)]
    if choices and value not in choices:
        raise ConfigError(
            f"`--grid {key}={value}` is not known",
            hint=did_you_mean(value, choices, "use one of " + ", ".join(choices)),
        )
    if bool in kinds:
        if value not in ("on", "off"):
            raise ConfigError(f"`--grid {key}={value}` is not known", hint="use on or off")
        return value == "on"
    if str in kinds or choices:
        return value
    try:
        return int(value) if int in kinds else float(value)
    except ValueError as error:
        raise ConfigError(
            f"`--grid {key}={value}` is not a number", hint="give a number"
        ) from error


def _kinds(hint: object) -> tuple[object, ...]:
    """What an option may be: the parts of a union."""
    if get_origin(hint) in (Union, UnionType):
        return tuple(kind for part in get_args(hint) for kind in _kinds(part))
    return (hint,)
