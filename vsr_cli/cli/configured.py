"""Options of jobs that are not typed: they come from the environment, presets and a file."""

import functools
import inspect
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, ParamSpec

import typer

from vsr_cli import api
from vsr_cli.cli.complete import complete_preset
from vsr_cli.cli.console import print_line
from vsr_cli.cli.failures import set_places
from vsr_cli.cli.json_events import hold_warning
from vsr_cli.cli.progress import print_note
from vsr_cli.events import Event, Note
from vsr_cli.settings import Setting, option_types, without_rivals

P = ParamSpec("P")


class Untyped(MutableMapping[str, object]):
    """What a command takes for options that were not typed, by name; read when first needed.

    Typer asks for options that were typed first, so that what they exclude is known by then.
    """

    def __init__(
        self,
        context: typer.Context,
        file: Path | None,
        own: Collection[str],
        taken: Collection[str] | None,
        unless: Callable[[Mapping[str, object]], bool] | None = None,
    ) -> None:
        """Remember where to look.

        Args:
            context: of the command.
            file: in the place of the user's own.
            own: options that make the command what it is, which are left alone.
            taken: the only options that are looked for; None: all of jobs.
            unless: tells by what was typed whether none are.
        """
        self._unless = unless
        self._context, self._file, self._own = context, file, own
        self._known = option_types() if taken is None else frozenset(taken)
        self._repeated = {
            parameter.name
            for parameter in context.command.params
            if getattr(parameter, "multiple", False)
        }
        self._notes: list[Note] = []
        self._settings: dict[str, Setting] | None = None
        self.used: dict[str, Setting] = {}

    def __getitem__(self, name: str) -> object:
        if self._unless is not None and self._unless(self._context.params):
            raise KeyError(name)
        setting = self._read().get(name) if name in self._known else None
        if setting is None:
            raise KeyError(name)
        self.used[name] = setting
        value = as_typed(setting.value)
        return [value] if name in self._repeated and not isinstance(value, list) else value

    def __setitem__(self, name: str, value: object) -> None:
        raise TypeError("settings are not written here")

    def __delitem__(self, name: str) -> None:
        raise TypeError("settings are not written here")

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def say(self, *, quiet: bool) -> None:
        """Tell people what was not typed, and where it comes from; and of variables that are none.

        Args:
            quiet: only of the latter.
        """
        self._read()
        with suppress(BrokenPipeError):  # as what follows will find
            for note in self._notes:
                hold_warning(note)
                print_note(note)
        set_places({_long_name(name): setting.place for name, setting in self.used.items()})
        if quiet:
            return
        places: dict[str, list[str]] = {}
        for setting in self.used.values():
            place = setting.place.rpartition(", line ")[0] or "the environment"
            places.setdefault(place, []).append(as_words(setting))
        with suppress(BrokenPipeError):  # as what follows will find
            for place, words in places.items():
                print_line(f"from {place}: {' '.join(words)}")

    def _read(self) -> Mapping[str, Setting]:
        """All that is set, without what the command line says otherwise."""
        if self._settings is None:
            given = self._context.params
            found = api.find_settings(
                self._file,
                presets=given["preset_name"] or (),
                has_file=not given["no_config"],
                report=self._remember,
            )
            typed = [name for name in given if name in self._known and self._is_typed(name)]
            names = without_rivals(found, {*typed, *self._own})
            self._settings = {name: found[name] for name in names}
        return self._settings

    def _remember(self, event: Event) -> None:
        if isinstance(event, Note):
            self._notes.append(event)

    def _is_typed(self, name: str) -> bool:
        source = self._context.get_parameter_source(name)
        return source is not None and source.name == "COMMANDLINE"


def as_typed(value: object) -> object:
    """A value of a file as one would type it; Typer reads it like that."""
    if isinstance(value, bool):
        return value
    if isinstance(value, Mapping):
        return [f"{key}={item}" for key, item in value.items()]
    return [str(item) for item in value] if isinstance(value, list) else str(value)


def _long_name(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def as_words(setting: Setting) -> str:
    """A setting as the words of a command line."""
    option = _long_name(setting.name)
    value = as_typed(setting.value)
    if isinstance(value, bool):
        return option if value else option.replace("--", "--no-", 1)
    values = value if isinstance(value, list) else [value]
    return " ".join(f"{option} {shlex.quote(str(item))}" for item in values)


def with_settings(
    *names: str, unless: Callable[[Mapping[str, object]], bool] | None = None
) -> Callable[[Callable[P, None]], Callable[..., None]]:
    """Let some options of a command, where they are not typed, come from where those of jobs do.

    Args:
        names: of its options that mean what they mean for a job.
        unless: tells by what was typed, by name, whether they mean nothing this time.
    """

    def decorate(command: Callable[P, None]) -> Callable[..., None]:
        own = inspect.signature(command).parameters.values()
        parameters = [*own, *configured_options(frozenset(), names, unless)]

        @functools.wraps(command)
        def decorated(*args: P.args, **kwargs: P.kwargs) -> None:
            say_untyped(kwargs)
            command(*args, **kwargs)

        decorated.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        decorated.__annotations__ = {p.name: p.annotation for p in parameters}
        return decorated

    return decorate


def say_untyped(given: MutableMapping[str, object]) -> None:
    """Take out what has done its part by now, and tell people what was not typed."""
    for name in ("help_all", "no_config", "preset_name"):
        given.pop(name, None)
    untyped = given.pop("config", None)
    if isinstance(untyped, Untyped):
        untyped.say(quiet=bool(given.get("quiet")))


def configured_options(
    own: Collection[str],
    taken: Collection[str] | None = None,
    unless: Callable[[Mapping[str, object]], bool] | None = None,
) -> list[inspect.Parameter]:
    """The options that say where settings come from; that of `config` is given an `Untyped`.

    Args:
        own: options that make the command what it is, which settings leave alone.
        taken: the only options that settings change; None: all of jobs.
        unless: see `with_settings`.
    """

    def begin(context: typer.Context, file: Path | None) -> "Untyped | None":
        if context.resilient_parsing:  # completion
            return None
        context.default_map = untyped = Untyped(context, file, own, taken, unless)
        return untyped

    is_rare = taken is None  # where `--help-all` shows them
    config = typer.Option(
        readable=False,
        metavar="FILE",
        help="Settings and presets.",
        show_default="see `vsr config path`",
        callback=begin,
        is_eager=True,
        hidden=is_rare,
    )
    no_config = typer.Option(
        "--no-config", help="Read no file of settings.", is_eager=True, hidden=is_rare
    )
    preset_name = typer.Option(
        *("--preset-name", "-P"),
        metavar="NAME",
        help="Take options from a preset of that file; repeat.",
        autocompletion=complete_preset,
        is_eager=True,
    )
    kind = inspect.Parameter.KEYWORD_ONLY
    declared: list[tuple[str, object, object]] = [
        ("preset_name", Annotated[list[str] | None, preset_name], None),
        ("no_config", Annotated[bool, no_config], False),
        ("config", Annotated[Path | None, config], None),
    ]
    return [
        inspect.Parameter(name, kind, default=default, annotation=annotation)
        for name, annotation, default in declared
    ]
