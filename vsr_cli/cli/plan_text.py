"""What will be done, and what was done, in words for people."""

import shlex

from vsr_cli.cli.amounts import duration, file_size, frame_count
from vsr_cli.counting import counted
from vsr_cli.events import Done, Live, Plan, TimeSpent

_KINDS = {"audio": "sound", "subtitle": "subtitles", "attachment": "attached files"}
_STAGES = {
    **{"read": "reading", "sample": "sampling", "decode": "decoding", "color": "colour"},
    "write": "coding",
}


def done_line(done: Done) -> str:
    """What was written, for people."""
    if done.shard is not None:
        frames = f"{counted(done.frames_out, 'frame')}, in {duration(done.seconds)}"
        then = f"when all shards are, run `vsr jobs join {shlex.quote(str(done.target))}`"
        return f"shard {done.shard} of `{done.target}` is done: {frames}; {then}"
    parts = [counted(done.frames_out, "frame"), f"{done.width}x{done.height}"]
    if done.num_bytes is not None:
        parts.append(file_size(done.num_bytes))
    kept = [name for kind, name in _KINDS.items() if kind in done.streams]
    if kept:
        parts.append(f"{' and '.join(kept)} kept")
    return f"wrote `{done.target}`: {', '.join(parts)}, in {duration(done.seconds)}"


def time_line(event: TimeSpent) -> str:
    """What took the time, for people."""
    whole = event.seconds or 1.0
    parts = {_STAGES[name]: spent / whole for name, spent in event.stages.items()}
    parts["the rest"] = max(1 - sum(parts.values()), 0.0)
    told = ", ".join(f"{name} {share:.0%}" for name, share in parts.items())
    return f"{counted(event.frames, 'frame')} in {duration(event.seconds)}: {told}"


def live_line(event: Live) -> str:
    """How a live source is kept up with, for people."""
    plain = f", {event.share_plain:.0%} of them without the model" if event.share_plain else ""
    return f"live: {event.delay:.1f} s late, {event.fps:.1f} frames/s{plain}"


def plan_summary(plan: Plan) -> list[str]:
    """What becomes of what, where, and how long it takes, in two or three lines for people."""
    device = "this CPU" if plan.device == "cpu" else plan.device
    facts = [f"on {device}" if plan.steps is not None else f"without a model, on {device}"]
    if plan.memory_gb is not None and plan.free_memory_gb is not None:
        facts.append(f"{plan.memory_gb:.1f} GB of memory ({plan.free_memory_gb:.1f} are free)")
    facts.append(time_needed(plan) or "time not yet known")
    return [
        _files_line(plan),
        *([f"repairs: {', '.join(plan.repairs)}"] if plan.repairs else []),
        ", ".join(facts),
        *_units_line(plan),
    ]


def plan_lines(plan: Plan) -> list[str]:
    """Everything that was chosen, for people: the files, the model, and the reasons."""
    return [
        f"{_files_line(plan)}, {plan.codec} {plan.pix_fmt}",
        *([f"repairs: {', '.join(plan.repairs)}"] if plan.repairs else []),
        *_model_lines(plan),
        *_time_line(plan),
        *_units_line(plan),
        *_memory_line(plan),
        *_disk_line(plan),
        *(f"  {reason}" for reason in plan.reasons),
    ]


def _files_line(plan: Plan) -> str:
    (source_height, source_width), (height, width) = plan.source_size, plan.target_size
    frames = frame_count(plan.num_frames)
    length = f", {duration(plan.duration)}" if plan.duration else ""
    before, after = f", {frames}{length}", ""
    if plan.rate is not None:  # the source has fewer
        before, after = length, f", {frames} at {float(plan.rate):.6g} per second"
    return (
        f"`{plan.source}` {source_width}x{source_height}{before}"
        f" -> `{plan.target}` {width}x{height}{after}"
    )


def _model_lines(plan: Plan) -> list[str]:
    if plan.motion_scale is None or plan.fidelity is None or plan.clip_length is None:
        return [f"model {plan.model}"]
    return [
        f"model {plan.model}, steps {plan.steps}, seed {plan.seed}, on {plan.device}"
        f" in {plan.dtype}",
        f"motion scale {plan.motion_scale:g}, fidelity {plan.fidelity:g}, color {plan.color},"
        f" flow {plan.flow}, clips of {counted(plan.clip_length, 'frame')}, tile {plan.tile}",
    ]


def _time_line(plan: Plan) -> list[str]:
    why = "a short trial" if plan.is_trial else "a job like this here"
    return [f"{time}, as {why} took"] if (time := time_needed(plan)) else []


def time_needed(plan: Plan) -> str:
    """How long it will take; empty where nobody knows."""
    if plan.seconds is None:
        return ""
    return f"{'roughly' if plan.is_trial else 'about'} {duration(plan.seconds)}"


def _units_line(plan: Plan) -> list[str]:
    if plan.units is None:
        return []
    workers = "" if plan.workers is None else f" for {counted(plan.workers, 'worker')}"
    busy = "" if plan.device_seconds is None else f", {duration(plan.device_seconds)} of devices"
    return [f"{counted(plan.units, 'unit')}{workers}{busy}"]


def _memory_line(plan: Plan) -> list[str]:
    if plan.memory_gb is None or plan.free_memory_gb is None:
        return []
    return [f"about {plan.memory_gb:.1f} GB of memory, {plan.free_memory_gb:.1f} GB are free"]


def _disk_line(plan: Plan) -> list[str]:
    if plan.disk_gb is None or plan.free_disk_gb is None:
        return []
    return [
        f"up to {plan.disk_gb:.2f} GB of disk while it runs, beside the coded video; "
        f"{plan.free_disk_gb:.1f} GB are free"
    ]
