"""A run in a job's folder: from its last checkpoint to its last frame."""

from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace

from vsr_cli.cancellation import Stopped, StopRequest
from vsr_cli.counting import counted
from vsr_cli.errors import MemoryExhaustedError
from vsr_cli.events import Note
from vsr_cli.media.reading.reader import VideoSource, open_video
from vsr_cli.pipeline.memory import release_memory
from vsr_cli.pipeline.prefetch import write_behind
from vsr_cli.pipeline.resume.job import Job
from vsr_cli.pipeline.resume.manifest import Manifest, PreviousPlan
from vsr_cli.pipeline.resume.output import CheckpointedOutput
from vsr_cli.pipeline.resume.state import load_tensors
from vsr_cli.pipeline.run import Run, frames_behind, memory_errors


def compute(
    job: Job, run: Run, manifest: Manifest, video: VideoSource | None, stop: StopRequest
) -> None:
    """Compute what is missing; where memory runs out, with shorter clips, and then in tiles.

    Args:
        job: the folder that takes the chunks.
        run: what to compute.
        manifest: how far the job has come.
        video: the source, nothing read from it beyond its first frame; None: it is opened.
        stop: ends the run at the next clip, behind a checkpoint.

    Raises:
        DeviceError: even the shortest clips in the smallest tiles need more memory than there is.
        Stopped: as was asked for.
    """
    opened = video
    while True:
        try:
            with memory_errors():
                _compute_rest(job, run, manifest, opened, stop)
                return
        except MemoryExhaustedError:
            smaller = run.run_plan and run.run_plan.smaller(run.output.coding.size)
            if run.run_plan is None or smaller is None:
                raise
        # Out here the failed run's tensors are no longer held by its traceback.
        release_memory()
        what, code = f"with clips of {counted(smaller.clip_length, 'frame')}", "W_MEMORY_CLIPS"
        if smaller.tile_size != run.run_plan.tile_size:
            what, code = f"in tiles of {smaller.tile_pixels} pixels", "W_MEMORY_TILES"
        text = f"memory has run out; going back to the last checkpoint, {what}"
        run.report(Note(code=code, text=text))
        run = replace(run, run_plan=smaller)
        manifest, opened = job.read() or manifest, None


def _compute_rest(
    job: Job, run: Run, manifest: Manifest, video: VideoSource | None, stop: StopRequest
) -> None:
    """Compute from the last checkpoint to the end, or to where a stop is asked for.

    `video` is None where it has been read before: it is opened again.
    """
    config, checkpoint = run.config, manifest.checkpoint
    first = checkpoint.first
    if first > run.origin:
        text = (
            f"going on after {counted(first - run.origin, 'frame that is', 'frames that are')} done"
        )
        run.report(Note(code="W_RESUMED", text=text))
    tensors = None
    if checkpoint.state is not None:
        tensors = load_tensors(job.folder / checkpoint.state)
    if run.run_plan is not None:
        run_plan = replace(run.run_plan, scratch=job.folder)
        run = replace(run, run_plan=run_plan)
        planned = PreviousPlan(
            asked_length=config.clip.length,
            asked_tile=config.tile,
            clip_length=run_plan.clip_length,
            tile_size=run_plan.tile_size,
        )
        manifest = replace(manifest, planned=planned)
    progress = run.progress(first)
    opening = open_video(run.source, config.input) if video is None else nullcontext(video)
    with (
        CheckpointedOutput(job, manifest, run.output, config.job) as output,
        opening as source,
        stop.deferred(),
        write_behind(output.write, frames_behind(run.output.coding)) as queue,
        _counting_kept(output),
        closing(run.coded_clips(source, first=first, tensors=tensors, progress=progress)) as clips,
    ):
        done = first
        for clip in clips:
            if clip.starts_shot:
                output.start_shot(done)
            for frame in clip.frames:
                if done >= checkpoint.num_frames:
                    queue.put(frame)
                done += 1
                progress.count(done, bytes_per_frame=output.bytes_per_frame)
            if done >= checkpoint.num_frames and (stop.is_requested or output.is_due):
                queue.drain()
                output.checkpoint(clip.state())
            if stop.is_requested:
                run.remember(progress)
                raise Stopped(num_frames=output.num_frames)
        queue.drain()
        progress.finish()
        output.finish()
    run.remember(progress)


@contextmanager
def _counting_kept(output: CheckpointedOutput) -> Iterator[None]:
    """Say of a stop that came between checkpoints how much is kept all the same."""
    try:
        yield
    except Stopped as error:
        error.num_frames = output.num_kept
        raise
