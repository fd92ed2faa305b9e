"""What kinds of values options take from Python, where no parser has seen them before."""

import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from fractions import Fraction
from numbers import Real
from os import PathLike
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, SupportsIndex, TypeVar, Union, get_args, get_origin, overload

from vsr_cli.errors import ConfigError

T = TypeVar("T", float, Path)


def checked(options: Mapping[str, object], hints: Mapping[str, object]) -> dict[str, Any]:
    """The same options, each of a kind that its hint allows.

    Text stands for a number as on the command line, and one value for a list of it.

    Args:
        options: by name; None leaves one out.
        hints: what each of them takes.

    Raises:
        ConfigError: names the first that is of another kind.
    """
    return {
        name: None if value is None else _checked(name, value, _kinds(hints[name]))
        for name, value in options.items()
    }


@overload
def as_list(values: str | Iterable[str]) -> Sequence[str]: ...


@overload
def as_list(values: int | Iterable[int]) -> Sequence[int]: ...


@overload
def as_list(values: str | T | Iterable[str | T]) -> Sequence[str | T]: ...


def as_list(values: object) -> Sequence[object]:
    """Values of what may be repeated; one text, path or number is a list of it."""
    return (
        list(values) if isinstance(values, Iterable) and not isinstance(values, str) else [values]
    )


def _checked(name: str, value: object, kinds: tuple[object, ...]) -> object:
    allowed = set(kinds) - {NoneType}
    if allowed == {bool}:
        return _flag(name, value)
    if allowed == {int}:
        return _whole(name, value)
    if allowed <= {int, float}:
        return _number(name, value)
    choices = [choice for kind in kinds if get_origin(kind) is Literal for choice in get_args(kind)]
    if choices and all(get_origin(kind) is Literal for kind in allowed):
        if value not in choices:
            raise _refusal(name, value, "is not known", f"use {', '.join(map(str, choices))}")
        return value
    if allowed <= {str, Path}:
        if not isinstance(value, (str, PathLike) if Path in allowed else str):
            raise _refusal(name, value, "is no text", "give it as text, in quotes")
        return value
    if isinstance(value, (list, tuple)) and (shape := _tuple_of(kinds)):
        return _filled(name, value, shape)
    if str not in allowed and (item := _item_of(kinds)):
        return _listed(name, value, item, _has(kinds, Mapping))
    if not allowed & {int, float, Fraction} and not isinstance(value, (str, list, tuple)):
        raise _refusal(name, value, "is no text", "give it as text, in quotes")
    return value


def _flag(name: str, value: object) -> bool:
    # NumPy's own have no kind in common with Python's.
    if not isinstance(value, bool) and type(value).__name__ not in ("bool", "bool_"):
        raise _refusal(name, value, "is neither True nor False", "give True or False")
    return bool(value)


def _whole(name: str, value: object) -> int:
    if isinstance(value, (str, SupportsIndex)) and not isinstance(value, bool):
        with suppress(TypeError, ValueError):
            return int(value) if isinstance(value, str) else operator.index(value)
    raise _refusal(name, value, "is not a whole number", "use one such as 4")


def _number(name: str, value: object) -> float:
    if isinstance(value, (str, Real)) and not isinstance(value, bool):
        with suppress(ValueError, OverflowError):
            if math.isfinite(number := float(value)):
                return number
    raise _refusal(name, value, "is not a number", "use one such as 0.5")


def _filled(name: str, value: Sequence[object], shape: tuple[object, ...]) -> tuple[object, ...]:
    """A tuple of whole numbers, some of which may be None."""
    if len(value) != len(shape):
        hint = f"give {len(shape)} numbers, or text"
        raise _refusal(name, value, f"is not {len(shape)} numbers", hint)
    return tuple(
        None if one is None and NoneType in _kinds(kind) else _whole(name, one)
        for one, kind in zip(value, shape, strict=True)
    )


def _listed(name: str, value: object, item: object, takes_mapping: bool) -> object:
    """A list, or one value as a list of it."""
    kinds = tuple(kind for kind in _kinds(item) if isinstance(kind, type))
    if isinstance(value, kinds):
        return (value,)
    if takes_mapping and isinstance(value, Mapping):
        return value
    if not isinstance(value, Sequence) or not all(isinstance(one, kinds) for one in value):
        raise _refusal(name, value, "is no list of texts", "give a text, or a list of texts")
    return value


def _refusal(name: str, value: object, what: str, hint: str) -> ConfigError:
    return ConfigError(f"`--{name.replace('_', '-')} {value}` {what}", hint=hint)


def _kinds(hint: object) -> tuple[object, ...]:
    """The parts of a union."""
    if get_origin(hint) in (Union, UnionType):
        return tuple(kind for part in get_args(hint) for kind in _kinds(part))
    return (hint,)


def _has(kinds: tuple[object, ...], wanted: object) -> bool:
    return any(get_origin(kind) is wanted for kind in kinds)


def _tuple_of(kinds: tuple[object, ...]) -> tuple[object, ...] | None:
    """What the tuple holds that is one of some kinds."""
    return next((get_args(kind) for kind in kinds if get_origin(kind) is tuple), None)


def _item_of(kinds: tuple[object, ...]) -> object | None:
    """What the list holds that is one of some kinds."""
    return next((get_args(kind)[0] for kind in kinds if get_origin(kind) is Sequence), None)
