"""The types of event that commands write for programs, and the keys of each."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal, get_args, get_type_hints

from vsr_cli.events import (
    BenchResult,
    Comparison,
    DegradationDrawn,
    Done,
    Exported,
    Finding,
    GraphChecked,
    GraphWritten,
    Live,
    Plan,
    Prediction,
    PreviewSample,
    TimeSpent,
    UnitState,
    WorkerState,
)
from vsr_cli.settings import Origin

Status = Literal["done", "planned", "damaged", "skipped", "busy", "failed"]  # of a video of a batch
Seconds = float | None
Table = Mapping[str, object]


@dataclass(frozen=True)
class EventKind:
    """One type of event.

    command: that writes it.
    meaning: for people.
    keys: that come beside those of all events, and the types of their values.
    optional: which of them do not come every time.
    """

    command: str
    meaning: str
    keys: Mapping[str, object]
    optional: frozenset[str] = frozenset()


# Keys that every event has, and those that each has within a batch.
COMMON_KEYS: Mapping[str, str] = {
    "type": "One of those below.",
    "v": "The version of what keys mean.",
    "time": "When it was written, in UTC, as `2030-01-31T23:59:59.000+00:00`.",
    "source": "Within a batch: the video that the event is about.",
    "file_index": "Within a batch: which video that is, counted from 1.",
    "file_count": "Within a batch: how many videos there are; null while folders are watched.",
}


def _types(record: type) -> dict[str, object]:
    """The fields of a dataclass, and their types."""
    hints = get_type_hints(record)
    return {field.name: hints[field.name] for field in fields(record)}


EVENT_KINDS: Mapping[str, EventKind] = {
    "plan": EventKind(
        "upscale, restore, batch, fill, erase",
        "Everything that was chosen, said once before the first frame; with `--dry-run` it is the "
        "last event, and says `dry_run`.",
        {**_types(Plan), "dry_run": bool},
        frozenset({"dry_run"}),
    ),
    "progress": EventKind(
        "upscale, restore, batch, fill, erase, degrade, weights import",
        "How far the job is: `frame` of `frames` are done at `fps` a second, and `eta_s` seconds "
        "are left; null is not known yet. `ahead` is what is done of the frames after these, as a "
        "number of frames. Where the container does not count them, `frames` is null, and "
        "`frames_about` what length and rate tell. `bytes_about` is what the picture will take, by "
        "what is coded so far. A batch has `batch_eta_s`, the same for all its "
        "videos. A job that is shared has the number of workers at work, and of units done.",
        {
            **{"stage": str, "frame": int, "ahead": float, "frames": int | None},
            **{"frames_about": int | None, "bytes_about": int | None},
            **{"fps": float | None, "eta_s": float | None, "batch_eta_s": float | None},
            **{"workers_alive": int, "units_done": int, "units": int},
        },
        frozenset({"batch_eta_s", "workers_alive", "units_done", "units"}),
    ),
    "unit": EventKind(
        "upscale, restore, batch, jobs show",
        "What has become of a unit of a shared job, frames `start` to `stop`, half-open. While "
        "it runs, `state` is begun, done, lost (its worker has died, and others take it) or given "
        "up, in which `attempt` of which `worker`; `jobs show` says done, at work or waiting, and "
        "how many `frames` are done.",
        {
            **{**_types(UnitState), "state": str, "frames": int},
        },
        frozenset({"attempt", "worker", "seconds", "frames"}),
    ),
    "worker": EventKind(
        "upscale, restore, batch",
        "What has become of a process that shares a job.",
        _types(WorkerState),
    ),
    "warning": EventKind(
        "upscale, restore, batch, fill, erase, degrade, preview, compare, probe, bench, export, "
        "config show",
        "Something to know; `code` is one of those below, and `text` is for people.",
        {"code": str, "text": str},
    ),
    "live": EventKind(
        "upscale",
        "With `--live`, every ten seconds: how late the picture is.",
        _types(Live),
    ),
    "spent": EventKind(
        "upscale, restore, batch",
        "Where the time of a run has gone, after its last frame; not of a job that is shared, nor "
        "of one without a model.",
        _types(TimeSpent),
    ),
    "done": EventKind(
        "upscale, restore, batch, fill, erase, degrade, jobs join",
        "The target `out` is complete and verified; with `shard`, as `3/20`, that part of it is "
        "done, and the target is not made yet.",
        {"out": str, **{name: kind for name, kind in _types(Done).items() if name != "target"}},
    ),
    "skipped": EventKind(
        "upscale, restore, fill, erase",
        "With `-n`: the target `out` exists and is kept.",
        {"out": str},
    ),
    "file": EventKind(
        "batch",
        "What became of one video: `status` is done, damaged, skipped, busy or failed, or with "
        "`--dry-run` planned, and `exit` the exit code that it would have had by itself; `why` is "
        "for people.",
        {
            **{"source": str, "target": str | None, "status": Status, "exit": int},
            **{"frames": int, "seconds": float, "why": str | None},
        },
    ),
    "summary": EventKind(
        "batch",
        "How many videos there were of each status; the last event.",
        dict.fromkeys(get_args(Status), int),
    ),
    "found": EventKind(
        "batch",
        "With `--watch`: a video that is not made yet, and whole.",
        {"source": str, "bytes": int},
    ),
    "waiting": EventKind(
        "batch",
        "With `--watch`: a video does not change any more and is not whole; `why` is for people.",
        {"source": str, "why": str},
    ),
    "degradation": EventKind(
        "degrade",
        "What was drawn for the clip.",
        _types(DegradationDrawn),
    ),
    "probe": EventKind(
        "probe",
        "What a source holds, how it is understood, and what `output` would be; times are in "
        "seconds, rates and ratios fractions.",
        {
            **{"source": str, "container": str, "duration": Seconds, "origin": Seconds},
            **{"start": Seconds, "stop": Seconds, "timecode": str | None},
            **{"video": Table, "streams": tuple[Table, ...], "num_chapters": int, "output": Table},
        },
    ),
    "gap": EventKind(
        "fill",
        "With `--list`: frames from `first` to `last` would be made anew, for `reasons`; the first "
        "is shown at `start` seconds.",
        {"first": int, "last": int, "start": float, "reasons": tuple[str, ...]},
    ),
    "job": EventKind(
        "jobs list, jobs clean",
        "An unfinished job: `frames` of `frames_all` are done, `bytes` are on disk, and `age_s` "
        "seconds ago it was last at work; `command` goes on with it. `removed` is said by `clean`, "
        "and false while the job is `busy`.",
        {
            **{"folder": str, "source": str | None, "target": str | None, "frames": int},
            **{"frames_all": int | None, "bytes": int, "age_s": float, "command": str | None},
            **{"busy": bool, "removed": bool},
        },
        frozenset(
            {
                *("source", "target", "frames", "frames_all", "bytes", "age_s", "command"),
                *("busy", "removed"),
            }
        ),
    ),
    "weights": EventKind(
        "weights list, weights info",
        "A file of weights; `info` says what it holds, its licence and the memory it needs.",
        {
            **{"name": str, "file": str, "bytes": int, "sha256": str, "family": str},
            **{"tensors": int, "parameters": int, "license": str | None},
            **{"sources": tuple[str, ...], "memory": tuple[str, ...]},
        },
        frozenset({"sha256", "family", "tensors", "parameters", "license", "sources", "memory"}),
    ),
    "verified": EventKind(
        "weights verify", "A file of weights loads and is whole.", {"file": str, "sha256": str}
    ),
    "imported": EventKind(
        "weights import` or `vsr weights download",
        "Published checkpoints have become the weights `name`; `findings` are for people.",
        {
            **{"name": str, "file": str, "bytes": int, "tensors": int},
            **{"findings": tuple[str, ...], "license": str | None},
        },
    ),
    "setting": EventKind(
        "config show",
        "An option that has another value than its default, without being typed: `origin` is "
        "environment, preset or file, and `place` says where, for people.",
        {"name": str, "value": object, "origin": Origin, "place": str},
    ),
    "finding": EventKind(
        "doctor",
        "One thing that was looked at: `state` is ok, warn, or fail where a job would fail; the "
        "rest is for people.",
        _types(Finding),
    ),
    "cost": EventKind(
        "bench", "What a frame of one size costs with one number of steps.", _types(BenchResult)
    ),
    "comparison": EventKind(
        "compare",
        "What was compared, and how far the videos are from the first or from the truth.",
        _types(Comparison),
    ),
    "preview": EventKind(
        "preview",
        "A sample is enlarged, or was found where an earlier preview had kept it.",
        _types(PreviewSample),
    ),
    "prediction": EventKind(
        "preview",
        "What the whole job would cost with the settings of one variant.",
        _types(Prediction),
    ),
    "graph": EventKind("export", "A graph is written.", _types(GraphWritten)),
    "check": EventKind(
        "export",
        "An output of a graph was held against what torch computes of the same.",
        {**_types(GraphChecked), "passed": bool},
    ),
    "export": EventKind("export", "The folder is complete.", _types(Exported)),
    "error": EventKind(
        "all",
        "What ended the command, or one video of a batch; `exit` is the exit code, `code` is "
        "stable (`E_...`), and the rest is for people.",
        {"exit": int, "code": str, "what": str, "why": str | None, "hint": str | None},
    ),
}
