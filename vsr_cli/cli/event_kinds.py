"""The types of event that commands write for programs, and the keys of each."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

from vsr_cli.events import (
    BenchResult,
    Comparison,
    DegradationDrawn,
    Done,
    Finding,
    Plan,
    Prediction,
    PreviewSample,
)


@dataclass(frozen=True)
class EventKind:
    """One type of event; `keys` come beside `type` and `v`, not all of them every time."""

    command: str  # that writes it
    meaning: str
    keys: tuple[str, ...]


def _names(record: type) -> tuple[str, ...]:
    """Names of the fields of a dataclass."""
    return tuple(field.name for field in fields(record))


EVENT_KINDS: Mapping[str, EventKind] = {
    "plan": EventKind(
        "upscale, restore, batch, fill, erase",
        "Everything that was chosen, said once before the first frame; with `--dry-run` it is the "
        "last event, and says `dry_run`.",
        (*_names(Plan), "dry_run"),
    ),
    "progress": EventKind(
        "upscale, restore, batch, fill, erase, degrade, weights import",
        "How far the job is: `frame` of `frames` are done at `fps` a second, and `eta_s` seconds "
        "are left; null is not known yet. `ahead` is what is done of the frames after these, as a "
        "number of frames.",
        ("stage", "frame", "ahead", "frames", "fps", "eta_s"),
    ),
    "warning": EventKind(
        "upscale, restore, batch, fill, erase, degrade",
        "Something to know; `code` is one of those below, and `text` is for people.",
        ("code", "text"),
    ),
    "done": EventKind(
        "upscale, restore, batch, fill, erase, degrade",
        "The target `out` is complete and verified.",
        ("out", *(name for name in _names(Done) if name != "target")),
    ),
    "skipped": EventKind(
        "upscale, restore, fill, erase", "With `-n`: the target `out` exists and is kept.", ("out",)
    ),
    "file": EventKind(
        "batch",
        "What became of one video: `status` is done, damaged, skipped, busy or failed, and `exit` "
        "the exit code that it would have had by itself.",
        ("source", "target", "status", "exit", "frames", "seconds"),
    ),
    "summary": EventKind(
        "batch",
        "How many videos there were of each status; the last event.",
        ("done", "damaged", "skipped", "busy", "failed"),
    ),
    "degradation": EventKind(
        "degrade",
        "What was drawn for the clip.",
        _names(DegradationDrawn),
    ),
    "probe": EventKind(
        "probe",
        "What a source holds, how it is understood, and what `output` would be; times are in "
        "seconds, rates and ratios fractions.",
        (
            *("source", "container", "duration", "origin", "start", "stop", "timecode", "video"),
            *("streams", "num_chapters", "output"),
        ),
    ),
    "gap": EventKind(
        "fill",
        "With `--list`: frames from `first` to `last` would be made anew, for `reasons`; the first "
        "is shown at `start` seconds.",
        ("first", "last", "start", "reasons"),
    ),
    "job": EventKind(
        "jobs list, jobs clean",
        "An unfinished job; `removed` is said by `clean`, and false while the job is `busy`.",
        ("folder", "source", "frames", "bytes", "busy", "removed"),
    ),
    "weights": EventKind(
        "weights list, weights info",
        "A file of weights; `info` says what it holds, its licence and the memory it needs.",
        (
            *("name", "file", "bytes", "sha256", "family", "tensors", "parameters", "license"),
            *("sources", "memory"),
        ),
    ),
    "verified": EventKind(
        "weights verify", "A file of weights loads and is whole.", ("file", "sha256")
    ),
    "imported": EventKind(
        "weights import",
        "Published checkpoints have become the weights `name`; `findings` are for people.",
        ("name", "file", "bytes", "tensors", "findings", "license"),
    ),
    "finding": EventKind(
        "doctor",
        "One thing that was looked at: `state` is ok, warn, or fail where a job would fail; the "
        "rest is for people.",
        _names(Finding),
    ),
    "cost": EventKind(
        "bench", "What a frame of one size costs with one number of steps.", _names(BenchResult)
    ),
    "comparison": EventKind(
        "compare",
        "What was compared, and how far the videos are from the first or from the truth.",
        _names(Comparison),
    ),
    "preview": EventKind(
        "preview",
        "A sample is enlarged, or was found where an earlier preview had kept it.",
        _names(PreviewSample),
    ),
    "prediction": EventKind(
        "preview",
        "What the whole job would cost with the settings of one variant.",
        _names(Prediction),
    ),
    "error": EventKind(
        "all",
        "What ended the command, or one video of a batch; `exit` is the exit code, `code` is "
        "stable (`E_...`), and the rest is for people.",
        ("exit", "code", "what", "why", "hint"),
    ),
}
