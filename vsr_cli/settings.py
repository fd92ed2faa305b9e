"""Options of jobs from the user's file and environment, and presets: what is not typed each time.

The file is `~/.config/vsr/config.toml`, or the system's place for such files, or `$VSR_CONFIG`. It
is never looked for in the current folder. Options that are given go before the environment
(`VSR_STEPS`), that before presets, the last one first, and these before the rest of the file.
"""

import json
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Literal, Union, get_args, get_origin, get_type_hints

from vsr_cli.errors import ConfigError, OutputError, did_you_mean, find_nearest
from vsr_cli.events import Note, Report, ignore
from vsr_cli.options import Options
from vsr_cli.settings_file import EXAMPLE

Origin = Literal["environment", "preset", "file"]
Table = Mapping[str, object]

MOST_BYTES = 2**20  # of a file; more is something else

_ONCE = "it is about one run, so type it where it is meant"
# Options that no file or variable may set, and why.
REFUSED: Mapping[str, str] = {
    "overwrite": "it would replace files without being asked",
    "fresh": "it would throw away unfinished work without being asked",
    "allow_network": "nothing but what is typed may reach the network",
    **dict.fromkeys(("dry_run", "skip_existing", "json", "progress_file"), _ONCE),
    **dict.fromkeys(("quiet", "verbose", "source", "target", "out", "jobs_file"), _ONCE),
    "shard": _ONCE,
    "live": "files cannot be read so",
    **dict.fromkeys(("config", "no_config"), "it says which file is read"),
    "preset_name": "presets are chosen for a run; what always holds needs none",
}
# Options that say the same in other ways: where one is given, those of lower rank are left out.
_INSTEAD = (
    {"scale", "size", "height"},
    {"cfr", "fps"},
    {"to", "duration"},
    *({"frames", name} for name in ("start", "to", "duration")),
    *({"lossless", name} for name in ("vcodec", "crf", "preset")),
)
# Variables, without `VSR_`, that say where things are, or are for tests.
_OTHER_VARIABLES = {"CONFIG", "CACHE_DIR", "WEIGHTS_DIR", "PARITY_DIR"}
_ONLY_PYTHON = frozenset({"guidance", "memory"})
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """An option that was not typed.

    name: as in `Options`.
    value: as `Options` takes it.
    origin: what kind of place it comes from.
    place: that place in words, with file and line, or the variable.
    """

    name: str
    value: object
    origin: Origin
    place: str


def config_path() -> Path:
    """Where the user's file is, or would be: `$VSR_CONFIG`, or in the user's folder of settings."""
    if chosen := os.environ.get("VSR_CONFIG"):
        return Path(chosen)
    from platformdirs import user_config_path

    return user_config_path("vsr", appauthor=False) / "config.toml"


def write_example(path: Path | None = None) -> Path:
    """Write a file with everything in it as a comment, and return its path.

    Raises:
        OutputError: it exists, or cannot be written.
    """
    path = path or config_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(EXAMPLE)
    except FileExistsError as error:
        hint = "edit it, or give another name with `--config FILE`"
        raise OutputError(f"`{path}` exists, and is kept", hint=hint) from error
    except OSError as error:
        raise OutputError(
            f"`{path}` cannot be written", why=error.strerror, hint="see `vsr config path`"
        ) from error
    return path


def find_settings(
    file: Path | None = None,
    presets: Sequence[str] = (),
    *,
    has_file: bool = True,
    report: Report = ignore,
) -> dict[str, Setting]:
    """All options that are set elsewhere than on the command line, by name.

    Args:
        file: in the place of the user's own.
        presets: names of presets of the file; later ones go before earlier ones.
        has_file: whether a file is read at all.
        report: is told of variables that look like ours and set nothing.

    Raises:
        ConfigError: a file, or a value in it or in the environment, is not what it should be; or
            there is no such preset.
    """
    if not has_file and presets:
        hint = "leave out `--no-config`, or `--preset-name`"
        raise ConfigError("presets are in the file that `--no-config` leaves out", hint=hint)
    read = ConfigFile.read(file) if has_file else ConfigFile(None, "")
    layers = [_of_environment()]
    for note in _unknown_variables():
        report(note)
    layers += [read.preset(name) for name in reversed(presets)]
    layers.append(read.settings(read.values, "file", None))
    found: dict[str, Setting] = {}
    for layer in layers:
        found |= {name: layer[name] for name in without_rivals(layer, found)}
    return found


def without_rivals(names: Iterable[str], given: Iterable[str]) -> list[str]:
    """The names that are not given, and say nothing that those of higher rank say otherwise."""
    higher = set(given)
    rivals = {name for group in _INSTEAD if group & higher for name in group}
    return [name for name in names if name not in higher | rivals]


def preset_names(file: Path | None = None) -> list[str]:
    """Names of the presets of a file.

    Raises:
        ConfigError: it is not what it should be.
    """
    return list(ConfigFile.read(file).presets)


class ConfigFile:
    """A file of settings, checked as a whole.

    values: of the file itself; presets: of each preset, by name.
    """

    def __init__(self, path: Path | None, text: str) -> None:
        """Take what is in a file; None: there is none.

        Raises:
            ConfigError: it is not what it should be.
        """
        self._path, self._lines = path, text.splitlines()
        table = self._parse(text)
        presets = table.get("preset")
        self.presets: dict[str, Table] = {}
        self.values = dict(table)
        if isinstance(presets, dict):  # or else it is the encoder's
            del self.values["preset"]
            for name, values in presets.items():
                if not isinstance(values, dict):
                    raise self._error(name, "", f"`preset.{name}` is no preset", _HOW_PRESETS)
                self.presets[name] = values
        for where, values in ((None, self.values), *self.presets.items()):
            for key, value in values.items():
                self._check(key, value, where)

    @classmethod
    def read(cls, path: Path | None = None) -> "ConfigFile":
        """Read a file; None: the user's own, which need not be there.

        Raises:
            ConfigError: it cannot be read, or is not what it should be.
        """
        is_own = path is None and not os.environ.get("VSR_CONFIG")
        path = path or config_path()
        try:
            with path.open("rb") as file:
                data = file.read(MOST_BYTES + 1)
            if len(data) > MOST_BYTES:
                raise ConfigError(f"`{path}` is no file of settings", why="it is too large")
            return cls(path, data.decode("utf-8"))
        except FileNotFoundError as error:
            if is_own:
                return cls(None, "")
            hint = "check `--config` and `VSR_CONFIG`; `vsr config init` writes a file"
            raise ConfigError(f"`{path}` does not exist", hint=hint) from error
        except OSError as error:
            hint = "check it, or leave it out with `--no-config`"
            raise ConfigError(f"`{path}` cannot be read", why=error.strerror, hint=hint) from error
        except UnicodeDecodeError as error:
            hint = "save it as UTF-8, or leave it out with `--no-config`"
            raise ConfigError(f"`{path}` is no text in UTF-8", hint=hint) from error

    def preset(self, name: str) -> dict[str, Setting]:
        """The settings of a preset.

        Raises:
            ConfigError: there is none of this name.
        """
        if name not in self.presets:
            is_read = self._path is not None
            why = f"looked in `{self._path}`" if is_read else "there is no file of settings"
            known = ", ".join(self.presets)
            hint = did_you_mean(
                name, self.presets, f"use one of {known}" if known else _HOW_PRESETS
            )
            raise ConfigError(f"there is no preset `{name}`", why=why, hint=hint)
        return self.settings(self.presets[name], "preset", name)

    def settings(self, values: Table, origin: Origin, preset: str | None) -> dict[str, Setting]:
        """The settings of one table of the file, by name."""
        found, known = {}, option_types()
        for key, value in values.items():
            line = self._line_of(key, preset)
            of_preset = f"preset `{preset}`, " if preset is not None else ""
            place = f"{of_preset}`{self._path}`, line {line}"
            name = key.replace("-", "_")
            if isinstance(value, str) and Path in _kinds(known[name]):
                value = str(Path(value).expanduser())  # as a shell does
            found[name] = Setting(name=name, value=value, origin=origin, place=place)
        return found

    def _parse(self, text: str) -> Table:
        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            message = str(error)
            is_both = re.search(r"^\s*preset\s*=", text, re.M) and "[preset" in text
            line = re.search(r"at line (\d+)", message)
            hint = _BOTH_PRESETS if is_both else "correct it, or leave it out with `--no-config`"
            where = f", line {line[1]}" if line else ""
            raise ConfigError(
                f"`{self._path}`{where} is no TOML", why=message, hint=hint
            ) from error

    def _check(self, key: str, value: object, preset: str | None) -> None:
        """Refuse what is no option, or no value of it."""
        name = key.replace("-", "_")
        hint = "see `vsr config init` for what may be in it"
        if (why := REFUSED.get(name)) is not None:
            what = f"`{key}` cannot be set in a file, as {why}"
            raise self._error(key, preset, what, "remove it from there")
        known = option_types()
        if name not in known:
            hint = did_you_mean(key, (other.replace("_", "-") for other in known), hint)
            raise self._error(key, preset, f"there is no option `{key}`", hint)
        if not _fits(value, known[name]):
            takes = _describe(known[name])
            shown = json.dumps(value, default=str)
            raise self._error(key, preset, f"`{key} = {shown}` is not right", f"use {takes}")

    def _error(self, key: str, preset: str | None, what: str, hint: str) -> ConfigError:
        line = self._line_of(key, preset)
        return ConfigError(what, why=f"it is in `{self._path}`, line {line}", hint=hint)

    def _line_of(self, key: str, preset: str | None) -> int:
        """Where a key is, which the parser does not tell; the first line if it cannot be found."""
        wanted = [key] if preset is None else ["preset", *([preset] if preset else []), key]
        table: list[str] = []
        for number, line in enumerate(self._lines, 1):
            if header := re.match(r"\s*\[+([^\]]*)\]", line):
                found = table = _parts(header[1])
            elif equals := re.match(r"([^=#]*)=", line):
                found = [*table, *_parts(equals[1])]
            else:
                continue
            if found[: len(wanted)] == wanted:
                return number
        return 1


_HOW_PRESETS = "write presets as `[preset.NAME]`, with options in the lines below"
_BOTH_PRESETS = 'beside `[preset.NAME]` give the encoder\'s preset as `enc-opt = ["preset=slow"]`'


def option_types() -> dict[str, object]:
    """Every option that a file may set, and what `Options` takes for it."""
    hints = get_type_hints(Options)
    return {name: hints[name] for name in hints if name not in {*REFUSED, *_ONLY_PYTHON}}


def _of_environment() -> dict[str, Setting]:
    """The settings of variables such as `VSR_STEPS`."""
    for name, why in REFUSED.items():
        variable = f"VSR_{name.upper()}"
        if name != "config" and os.environ.get(variable):
            raise ConfigError(
                f"`{variable}` cannot be set in the environment", why=why, hint="unset it"
            )
    found = {}
    for name, hint in option_types().items():
        variable = f"VSR_{name.upper()}"
        if text := os.environ.get(variable):
            value = _read(text, hint)
            if not _fits(value, hint):
                what = f"`{variable}={text}` is not right"
                raise ConfigError(what, hint=f"use {_describe(hint)}, or unset it")
            place = f"`{variable}` of the environment"
            found[name] = Setting(name=name, value=value, origin="environment", place=place)
    return found


def _unknown_variables() -> Iterator[Note]:
    """What there is to say of variables that look like ours, and are none."""
    known = {name.upper() for name in option_types()} | _OTHER_VARIABLES
    for variable in sorted(os.environ):
        name = variable.removeprefix("VSR_")
        if name != variable and name not in known and os.environ[variable]:
            nearest = find_nearest(name, known)
            hint = f", did you mean `VSR_{nearest}`?" if nearest else ""
            text = f"`{variable}` of the environment is no option and sets nothing{hint}"
            yield Note(code="W_VARIABLE_UNKNOWN", text=text)


def _read(text: str, hint: object) -> object:
    """The value that a text stands for."""
    kinds = _kinds(hint)
    if bool in kinds and text.lower() in (*_TRUE, *_FALSE):
        return text.lower() in _TRUE
    if str in kinds or Path in kinds:
        return text
    for kind in (int, float):
        if kind in kinds:
            try:
                return kind(text)
            except ValueError:
                continue
    if any(get_origin(kind) is not Literal for kind in kinds) and _fits([], hint):
        return text.split()
    return text


def _kinds(hint: object) -> tuple[object, ...]:
    """The parts of a union."""
    if get_origin(hint) in (Union, UnionType):
        return tuple(kind for part in get_args(hint) for kind in _kinds(part))
    return (hint,)


def _fits(value: object, hint: object) -> bool:
    """Whether a value of a file is one that `Options` takes."""
    return any(_fits_one(value, kind) for kind in _kinds(hint))


def _fits_one(value: object, kind: object) -> bool:
    origin = get_origin(kind)
    if origin is Literal:
        return value in get_args(kind)
    if isinstance(value, list):
        is_list = isinstance(origin, type) and issubclass(list, origin)
        return is_list and all(_fits(item, get_args(kind)[0]) for item in value)
    if isinstance(value, dict):
        is_table = isinstance(origin, type) and issubclass(dict, origin)
        return is_table and all(isinstance(item, str) for item in value.values())
    if kind is float:
        return type(value) in (int, float)
    return type(value) is (str if kind is Path else kind)


def _describe(hint: object) -> str:
    """What an option takes, in words."""
    kinds = _kinds(hint)
    literals = [kind for kind in kinds if get_origin(kind) is Literal]
    if choices := [str(choice) for kind in literals for choice in get_args(kind)]:
        return f"one of {', '.join(choices)}"
    words = {bool: "true or false", float: "a number", int: "a whole number"}
    for kind in (float, int, bool):
        if kind in kinds:
            return words[kind]
    return "text in quotes" if {str, Path} & set(kinds) else "a list of texts"


def _parts(key: str) -> list[str]:
    """The parts of a dotted key."""
    return [part.strip().strip("\"'") for part in key.split(".")]
