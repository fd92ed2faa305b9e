"""What is written down about an unfinished job: whose it is, and how far it has come."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from fractions import Fraction
from pathlib import Path

from vsr_cli import __version__
from vsr_cli.atomic import replace_when_complete
from vsr_cli.config import UpscaleConfig
from vsr_cli.digest import sha256_of_samples
from vsr_cli.errors import ConfigError, InputError, JobDamagedError
from vsr_cli.media.writing.destination import output_errors
from vsr_cli.models.files import shipped_weights, verify
from vsr_cli.pipeline.resume.journal import FrameTime
from vsr_cli.pipeline.resume.units import UnitTable

VERSION = 7  # of the manifest and of what is kept beside it

# What may differ between the runs of one job: how much is computed at once, where work is kept, and
# what is added to the picture when it is complete.
_NOT_IDENTIFYING = frozenset(
    {
        *("clip.length", "tile", "job.folder", "job.fresh", "job.keep", "job.checkpoint"),
        *("job.command", "job.workers", "job.shard", "job.ray", "job.mixed"),
        "has_model",  # `model` says so
        *("output.overwrite", "output.audio", "output.subs", "output.chapters"),
        *("output.attachments", "output.metadata", "output.strict_copy", "output.verify"),
    }
)
# Options that are not spelled as their place in the config ends.
_OPTION_NAMES = {
    **{"output.video_codec": "vcodec", "output.options": "enc-opt", "input.format": "in-format"},
    **{f"input.{name}": f"in-{name}" for name in ("matrix", "range", "primaries", "transfer")},
    "input.stop": "to",
}

Values = Mapping[str, str | None]


@dataclass(frozen=True, kw_only=True)
class PreviousPlan:
    """How much was computed at once, and would better be again: rounding depends on it."""

    asked_length: int  # frames in a clip, as the user had it
    asked_tile: int | None  # output pixels, likewise
    clip_length: int
    tile_size: int | None  # latent pixels


@dataclass(frozen=True, kw_only=True)
class ChunkRecord:
    """A finished chunk."""

    name: str
    start: int  # frames, half-open
    stop: int
    shot_start: int  # frame up to `start` from which on one can compute without a state
    unit_start: int  # the frame up to `start` at which a unit of whole shots starts
    first_pts: int  # in units of the source's time base
    last_pts: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A place to go on from.

    num_frames: of the target, that need not be computed again.
    journaled: times of those that belong to the open chunk, whose samples are in its journal.
    journal_bytes: what they take there.
    journal_sha256: of these bytes.
    state: the file with what the next clip needs; None where there is no next or no earlier one.
    state_sha256: of that file.
    is_complete: whether these are all frames.
    shot_start: as that of a chunk, for the one that is open or comes next.
    unit_start: as that of a chunk, likewise.
    restart: the frame to compute from, without a state, where that is not `num_frames`: those
        between are computed again, and not written.
    """

    num_frames: int = 0
    journaled: tuple[FrameTime, ...] = ()
    journal_bytes: int = 0
    journal_sha256: str | None = None
    state: str | None = None
    state_sha256: str | None = None
    is_complete: bool = False
    shot_start: int = 0
    unit_start: int = 0
    restart: int | None = None

    @property
    def first(self) -> int:
        """The frame to compute next."""
        return self.num_frames if self.restart is None else self.restart


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The manifest of one job, as `manifest.json` holds it."""

    path: str  # of the source, for people; so are `target`, `num_frames` and `command`
    source: Values
    options: Values
    target: str | None = None
    num_frames: int | None = None  # of the target, if that is known
    command: str | None = None  # that goes on with it
    planned: PreviousPlan | None = None
    chunks: tuple[ChunkRecord, ...] = ()
    checkpoint: Checkpoint = Checkpoint()
    units: UnitTable | None = None  # what each of several workers takes; None: one does it all
    written: str | None = None  # which file becomes the target, once it is complete

    def write(self, path: Path) -> None:
        """Replace the file at once, so that it is whole whenever one looks.

        Raises:
            OutputError: the disk is full.
        """
        values = {"v": VERSION, "vsr": __version__, **asdict(self)}
        values["units"] = self.units and self.units.to_json()
        values = json.loads(json.dumps(values, default=str))
        text = json.dumps({**values, "checksum": _checksum(values)}, indent=1)
        with output_errors(f"`{path}` cannot be written"), replace_when_complete(path) as part:
            part.write_text(text, encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "Manifest":
        """Read what `write` has written.

        Raises:
            JobDamagedError: it is damaged.
            InputError: it is of another version.
            OutputError: it cannot be read now, which says nothing about what is in it.
        """
        with output_errors(f"`{path}` cannot be read back"):
            data = path.read_bytes()
        try:
            values = json.loads(data.decode("utf-8"))
            checksum = values.pop("checksum", None)
            if checksum is not None and checksum != _checksum(values):
                raise ValueError("its checksum is not that of its content")
            if values.pop("v") != VERSION or _release(values.pop("vsr")) != _release(__version__):
                raise InputError(
                    f"the unfinished job in `{path.parent}` was begun by another version of vsr",
                    hint="use `--fresh` to start anew",
                )
            checkpoint = values.pop("checkpoint")
            times = [
                FrameTime(**{**time, "time_base": Fraction(time["time_base"])})
                for time in checkpoint.pop("journaled")
            ]
            return cls(
                path=values["path"],
                target=values["target"],
                num_frames=values["num_frames"],
                command=values["command"],
                source=values["source"],
                options=values["options"],
                planned=PreviousPlan(**values["planned"]) if values["planned"] else None,
                chunks=tuple(ChunkRecord(**record) for record in values["chunks"]),
                checkpoint=Checkpoint(**checkpoint, journaled=tuple(times)),
                units=UnitTable.from_json(values["units"]) if values["units"] else None,
                written=values["written"],
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise JobDamagedError(
                f"the unfinished job in `{path.parent}` cannot be read",
                why=f"{type(error).__name__}: {error}",
                hint="use `--fresh` to start anew",
            ) from error

    def advanced_to(self, checkpoint: Checkpoint, records: Sequence[ChunkRecord]) -> "Manifest":
        """Return the manifest of the same job at a later checkpoint."""
        return replace(self, checkpoint=checkpoint, chunks=tuple(records))

    def back_to(self, num_chunks: int) -> "Manifest | None":
        """Return the manifest of the same job with its first chunks alone.

        It goes on where the last shot up to the end of these chunks starts.

        Returns:
            None if that is the first frame: nothing would be saved.
        """
        kept, dropped = self.chunks[:num_chunks], self.chunks[num_chunks:]
        after = dropped[0] if dropped else self.checkpoint
        restart = after.shot_start
        if not kept or not restart:
            return None
        checkpoint = Checkpoint(
            num_frames=kept[-1].stop,
            shot_start=restart,
            unit_start=after.unit_start,
            restart=restart,
        )
        return replace(self, chunks=kept, checkpoint=checkpoint, written=None)

    def require_same(self, now: "Manifest") -> None:
        """Refuse to go on with another source, or with options that give another picture.

        Raises:
            ConfigError: names what differs.
        """
        if changed := _differences(self.source, now.source):
            raise ConfigError(
                "the source has changed since an unfinished job was begun",
                why=f"its {changed[0]} is not what it was",
                hint="use `--fresh` to start anew",
            )
        if changed := _differences(self.options, now.options):
            name = changed[0]
            raise ConfigError(
                f"an unfinished job was begun with {_as_option(name, self.options.get(name))}",
                why=f"this one has {_as_option(name, now.options.get(name))}",
                hint="use the same options to go on, or `--fresh` to start anew",
            )


def identify_source(source: Path) -> Values:
    """What tells a file from others, and from what it was.

    Raises:
        InputError: it cannot be read.
    """
    try:
        stat = source.stat()
        content = sha256_of_samples(source)
    except OSError as error:
        raise InputError(
            f"`{source}` cannot be read", why=error.strerror, hint="check the path"
        ) from error
    return {
        "size": str(stat.st_size),
        "modification time": str(stat.st_mtime_ns),
        "content": content,
    }


def _release(version: str) -> list[str]:
    """What patches leave as it is."""
    return str(version).split(".")[:2]


def _checksum(values: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def identify_options(config: UpscaleConfig, device: str, dtype: str) -> Values:
    """Every choice that decides about the picture, by its name among the options.

    What this module does not know by name counts, so that a new option is on the safe side. Files
    of weights count by what is in them.

    Args:
        config: the user's choices.
        device: what `config.device` comes to; its type, since one GPU is as good as the other.
        dtype: what `config.dtype` comes to.

    Raises:
        WeightsError: they are missing or damaged.
    """
    found: dict[str, str | None] = {}
    for path, value in _flatten(config):
        if path not in _NOT_IDENTIFYING:
            found[path] = None if value is None else str(value)
    model = verify(config.model or shipped_weights()) if config.has_model else "none"
    found |= {"device": device, "dtype": dtype, "model": model}
    if config.erase is not None and config.erase.mask is not None:
        found["erase.mask"] = _digest_of(config.erase.mask)
    if config.flow_weights is not None:
        found["flow_weights"] = verify(config.flow_weights)
    return found


def _digest_of(path: Path) -> str:
    """What tells a file, or a folder of them, from what it was.

    Raises:
        InputError: it cannot be read.
    """
    try:
        if not path.is_dir():
            return sha256_of_samples(path) if path.is_file() else str(path)
        names = sorted(file for file in path.iterdir() if file.is_file())
        whole = "".join(f"{file.name} {sha256_of_samples(file)}\n" for file in names)
    except OSError as error:
        raise InputError(
            f"`{path}` cannot be read", why=error.strerror, hint="check the path"
        ) from error
    return hashlib.sha256(whole.encode(errors="surrogateescape")).hexdigest()


def _flatten(config: object, prefix: str = "") -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for field in fields(config):  # type: ignore[arg-type]
        value, name = getattr(config, field.name), prefix + field.name
        if is_dataclass(value):
            found += _flatten(value, f"{name}.")
        else:
            found.append((name, value))
    return found


def _differences(before: Values, now: Values) -> list[str]:
    return [name for name in {**before, **now} if before.get(name) != now.get(name)]


def _as_option(name: str, value: str | None) -> str:
    """An option as it is typed."""
    option = "--" + _OPTION_NAMES.get(name, name.split(".")[-1]).replace("_", "-")
    if value is None:
        return f"no `{option}`"
    return f"`{option} {value[:12] if len(value) == 64 else value}`"
