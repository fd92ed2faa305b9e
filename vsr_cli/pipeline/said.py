"""What a job says of itself: each note once, and in the end what is there."""

import time
from contextlib import suppress

from vsr_cli.events import Done, Event, Note, Report
from vsr_cli.media.writing.output_plan import OutputPlan


def what_is_done(
    output: OutputPlan, written: tuple[int, tuple[str, ...]], num_frames_in: int, started: float
) -> Done:
    """What there is to say of a target that is made."""
    num_frames, streams = written
    return Done(
        target=output.target,
        frames_in=num_frames_in,
        frames_out=num_frames,
        height=output.coding.size[0],
        width=output.coding.size[1],
        seconds=time.monotonic() - started,
        num_bytes=_size(output),
        streams=streams,
    )


def _size(output: OutputPlan) -> int | None:
    """Bytes of a target that is one file, and still there."""
    if output.container.is_pipe or output.container.is_image_sequence:
        return None
    with suppress(OSError):
        return output.target.stat().st_size
    return None


def without_repeats(report: Report) -> Report:
    """Pass on each note once: the target is written after a rehearsal that has said the same."""
    said: set[Note] = set()

    def pass_on(event: Event) -> None:
        if isinstance(event, Note):
            if event in said:
                return
            said.add(event)
        report(event)

    return pass_on
