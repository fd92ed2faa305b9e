"""What a worker of a cluster says of itself before any work, and whether it fits the others."""

import json
import platform
import secrets
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from vsr_cli import __version__
from vsr_cli.counting import counted
from vsr_cli.errors import DeviceError, InputError, OutputError
from vsr_cli.events import Note, Report
from vsr_cli.models.files import installed_weights, shipped_weights, verify
from vsr_cli.pipeline.resume.manifest import identify_source
from vsr_cli.pipeline.run import Run
from vsr_cli.pipeline.run_plan import RunPlan, dtype_name

MIXED = "mixed"  # device and dtype of a job whose workers may have several
_TOKEN = "target.sight"  # in the folder of a job; known as one of its files
_PATIENCE = 5.0  # seconds for a file to be seen on another machine


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What a worker is, and what it sees.

    node: the name of its machine.
    vsr, torch: versions.
    weights: sha256 of the model.
    device, dtype: what the job's come to there: `cpu` or `cuda`, and a number format.
    sees_source: whether the source there is the one that is meant.
    sees_folder: whether the job's folder is the one that is meant, and can be written to.
    plan: how much fits at once; see `RunPlan`. None: the source is not seen.
    seconds: that all frames would take there, as an earlier job did; None: not known.
    """

    node: str
    vsr: str
    torch: str
    weights: str
    device: str
    dtype: str
    sees_source: bool
    sees_folder: bool
    plan: "Fit | None" = None
    seconds: float | None = None

    def to_line(self) -> str:
        """As one line of text."""
        return json.dumps({"sight": asdict(self)})

    @classmethod
    def from_line(cls, line: str) -> "Sight | None":
        """Read what `to_line` gives; None: it is something else."""
        values = json.loads(line).get("sight")
        if values is None:
            return None
        plan = values.pop("plan")
        return cls(**values, plan=None if plan is None else Fit(**plan))


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How much a worker computes at once; the names are those of `RunPlan`."""

    clip_length: int
    tile_size: int | None
    peak_bytes: int | None
    free_bytes: int | None
    state_bytes: int
    is_out_of_core: bool = False
    scratch_bytes: int

    @classmethod
    def of(cls, run_plan: RunPlan) -> "Fit":
        """Take it from a plan."""
        return cls(
            clip_length=run_plan.clip_length,
            tile_size=run_plan.tile_size,
            peak_bytes=run_plan.peak_bytes,
            free_bytes=run_plan.free_bytes,
            state_bytes=run_plan.state_bytes,
            is_out_of_core=run_plan.is_out_of_core,
            scratch_bytes=run_plan.scratch_bytes,
        )


@dataclass(frozen=True, kw_only=True)
class Meant:
    """What the head of a job expects its workers to see.

    source: as `identify_source` gives it.
    token: that lies in the folder of the job; None: there is no folder yet, as for a plan.
    """

    source: dict[str, str | None]
    token: str | None


def leave_token(folder: Path) -> str:
    """Leave something in the folder of a job by which others know it."""
    token = secrets.token_hex(16)
    try:
        (folder / _TOKEN).write_text(token)
    except OSError as error:
        raise OutputError(
            f"`{folder}` cannot be written to",
            why=error.strerror,
            hint="free some room, or use `--job-dir` on shared storage",
        ) from error
    return token


def sees_folder(folder: Path, token: str | None) -> bool:
    """Whether the folder of a job is seen from here, and can be written to."""
    if token is None:
        return True
    deadline = time.monotonic() + _PATIENCE
    while True:
        with suppress(OSError):
            if (folder / _TOKEN).read_text() == token:
                return _is_writable(folder)
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)


def sees_source(source: Path, meant: dict[str, str | None]) -> bool:
    """Whether the source is seen from here, and is the same."""
    with suppress(InputError):
        return dict(identify_source(source)) == meant
    return False


def look_around(run: Run | None, weights: Path, device: str, **seen: bool) -> Sight:
    """Say what this process is.

    Args:
        run: what would be computed; None: the source is not seen.
        weights: of the model.
        device: the kind that is meant.
        seen: as in `Sight`.

    Raises:
        WeightsError: they are missing or damaged.
    """
    run_plan = None if run is None else run.run_plan
    return Sight(
        node=platform.node(),
        vsr=__version__,
        torch=torch.__version__.partition("+")[0],
        weights=verify(weights),
        device=device if run_plan is None else run_plan.device.type,
        dtype="none" if run_plan is None else dtype_name(run_plan.dtype),
        plan=None if run_plan is None else Fit.of(run_plan),
        seconds=None if run is None else run.describe().seconds,
        **seen,
    )


def weights_here(chosen: Path | None) -> Path:
    """The file of a model on this machine: the same path, or one that is installed by that name."""
    if chosen is None:
        return shipped_weights()
    if chosen.is_file():
        return chosen
    same = [path for path in installed_weights() if path.name == chosen.name]
    return same[0] if same else chosen


def require_fit(
    sights: Sequence[Sight],
    own: Sight,
    source: Path,
    folder: Path,
    *,
    mixed: bool,
    report: Report,
) -> None:
    """Refuse workers that would not give what one machine gives.

    Args:
        sights: what workers say of themselves; those that are known to fit come first.
        own: what the head of the job has of it: versions and weights.
        source: of the job.
        folder: of the job.
        mixed: whether devices may differ.
        report: receives `W_MIXED`.

    Raises:
        DeviceError: versions, weights or devices differ.
        InputError: a worker does not see the source.
        OutputError: a worker does not see the folder.
    """
    for sight in sights:
        for name, word in (("vsr", "vsr"), ("torch", "torch"), ("weights", "weights")):
            _require_same(name, word, sight, own, "have it the same on all machines")
        _require_seen(sight, source, folder)
    for sight in sights if not mixed else ():
        hint = "choose one with `--device` or `--dtype`, or `--mixed` if frames may differ a little"
        for name in ("device", "dtype"):
            _require_same(name, name, sight, sights[0], hint)
    kinds = sorted({f"{sight.device} in {sight.dtype}" for sight in sights})
    if len(kinds) > 1:
        text = f"workers compute on {' and '.join(kinds)}: frames differ a little by who makes them"
        report(Note(code="W_MIXED", text=text))


def weakest(sights: Iterable[Sight], *, mixed: bool) -> RunPlan:
    """Plan for the one that has least memory, so that all compute as much at once.

    Raises:
        DeviceError: no worker has a plan.
    """
    fits = [(sight, sight.plan) for sight in sights if sight.plan is not None]
    if not fits:
        raise DeviceError("no worker has a plan", hint="see the logs of the cluster")
    tiles = [fit.tile_size for _, fit in fits if fit.tile_size is not None]
    first, _ = fits[0]
    least, fit = min(fits, key=lambda pair: pair[1].free_bytes or 0)
    reason = f"planned for the worker with the least memory, on {least.node}"
    return RunPlan(
        torch.device(first.device),
        getattr(torch, first.dtype),
        min(fit.clip_length for _, fit in fits),
        min(tiles, default=None),
        (reason, *(("devices differ",) if mixed else ())),
        peak_bytes=fit.peak_bytes,
        free_bytes=fit.free_bytes,
        state_bytes=max(fit.state_bytes for _, fit in fits),
        is_state_on_disk=bool(tiles),
        is_out_of_core=any(fit.is_out_of_core for _, fit in fits),
        scratch_bytes=max(fit.scratch_bytes for _, fit in fits),
    )


def require_room(sight: Sight, run_plan: RunPlan) -> None:
    """Refuse a worker that cannot compute as much at once as was planned without it.

    Raises:
        DeviceError: it has too little memory.
    """
    fit = sight.plan
    if fit is None:
        return
    tile = run_plan.tile_size
    has_tile = fit.tile_size is None or (tile is not None and fit.tile_size >= tile)
    if fit.clip_length < run_plan.clip_length or not has_tile:
        raise DeviceError(
            f"a worker on `{sight.node}` has too little memory",
            why=f"{counted(run_plan.clip_length, 'frame')} at once were planned for others",
            hint="run the same command again, which plans for all that are there",
        )


def _require_same(name: str, word: str, sight: Sight, other: Sight, hint: str) -> None:
    found, expected = getattr(sight, name), getattr(other, name)
    if found != expected:
        raise DeviceError(
            f"a worker on `{sight.node}` has another {word}",
            why=f"{found[:20]} there, {expected[:20]} on `{other.node}`",
            hint=hint,
        )


def _require_seen(sight: Sight, source: Path, folder: Path) -> None:
    if not sight.sees_folder:
        raise OutputError(
            f"workers do not see `{folder}`",
            why=f"the one on `{sight.node}` finds another folder there, none, or cannot write",
            hint="use `--job-dir` on shared storage",
        )
    if not sight.sees_source:
        raise InputError(
            f"workers do not see `{source}`",
            why=f"the one on `{sight.node}` finds another file there, or none",
            hint="put it on shared storage, by the same name for all machines",
        )


def _is_writable(folder: Path) -> bool:
    try:
        probe = folder / f"{_TOKEN}-{secrets.token_hex(4)}"
        probe.touch()
        probe.unlink()
    except OSError:
        return False
    return True
