"""Frames into a job: chunk after chunk, and now and then a checkpoint to go on from."""

import time
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import replace

from vsr_cli.config import JobConfig
from vsr_cli.digest import sha256
from vsr_cli.media.frame import Frame
from vsr_cli.media.resources import ResourceOwner
from vsr_cli.media.writing.chunks import ChunkWriter
from vsr_cli.media.writing.destination import output_errors
from vsr_cli.media.writing.encoder_plan import EncoderPlan
from vsr_cli.media.writing.output_plan import OutputPlan
from vsr_cli.pipeline.clips import ClipState
from vsr_cli.pipeline.resume.job import Job
from vsr_cli.pipeline.resume.journal import FrameJournal, FrameTime, read_journal
from vsr_cli.pipeline.resume.manifest import Checkpoint, ChunkRecord, Manifest
from vsr_cli.pipeline.resume.state import save_tensors
from vsr_cli.pipeline.resume.units import starts_unit

MAX_JOURNAL_BYTES = 2 * 10**9  # bytes of a chunk's frames, which bound its length
FEWEST_FRAMES = 24


class CheckpointedOutput(ResourceOwner):
    """Encodes the frames of a job so that little is ever lost.

    Chunks begin at fixed frames, whatever clips, interruptions or shortages of memory there were:
    with every unit of whole shots, and every so many frames after that.
    The frames of the open chunk are kept as they are, too, and a checkpoint says how many of them
    count: going on, they are encoded anew. So the target is the same, coded byte for coded byte.
    """

    def __init__(
        self,
        job: Job,
        manifest: Manifest,
        plan: OutputPlan,
        config: JobConfig,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Go on at the manifest's checkpoint.

        Raises:
            InputError: its journal cannot be read back.
            OutputError: the folder cannot be written to.
        """
        self._job, self._manifest = job, manifest
        self._plan, self._interval = plan, config.checkpoint
        self._clock, self._due = clock, clock() + config.checkpoint
        self._chunk_length = chunk_length(plan.coding, config)
        self._records = list(manifest.chunks)
        self._coded = 0, 0  # bytes and frames of whole chunks
        self._times: list[FrameTime] = []
        self._shots = [manifest.checkpoint.shot_start]  # frames, ascending
        self._units = [manifest.checkpoint.unit_start]  # likewise, where units start
        super().__init__()
        self._open_chunk: tuple[ChunkWriter, FrameJournal] | None = None
        checkpoint = manifest.checkpoint
        self.num_frames = checkpoint.num_frames - len(checkpoint.journaled)
        job.keep_only(self._needed(checkpoint))
        for number, record in enumerate(self._records):
            self._weigh(number, record)
        try:
            self._take_back(checkpoint)
        except BaseException:
            self._resources.close()
            raise

    def write(self, frame: Frame) -> None:
        """Take the next frame.

        Raises:
            OutputError: the encoder fails, or the disk is full.
        """
        if self._open_chunk is not None and self.num_frames in self._units:
            self._end_chunk(self._open_chunk[0])
        chunk, journal = self._open_chunk or self._begin_chunk(num_kept=0)
        journal.append(frame)
        self._encode(chunk, frame)

    def start_shot(self, frame: int) -> None:
        """Note that nothing before `frame`, the next to come, goes into what follows."""
        self._shots.append(frame)
        if starts_unit(frame, self._units[-1]):
            self._units.append(frame)

    @property
    def is_due(self) -> bool:
        """Whether the last checkpoint is long ago."""
        return self._clock() >= self._due

    def checkpoint(self, state: ClipState | None) -> None:
        """Make a checkpoint: from here on nothing of what there is can be lost.

        Args:
            state: what the clip of the last frame handed on.

        Raises:
            OutputError: the disk is full; the last checkpoint still holds.
        """
        started = self._clock()
        checkpoint = Checkpoint(
            num_frames=self.num_frames,
            journaled=tuple(self._times),
            shot_start=_last_before(self._shots, self.num_frames - len(self._times)),
            unit_start=_last_before(self._units, self.num_frames - len(self._times)),
        )
        if state is not None:
            path = self._job.state_path(self.num_frames)
            save_tensors(path, state.tensors(), release=state.release)
            with output_errors(f"`{path}` cannot be read back"):
                checkpoint = replace(checkpoint, state=path.name, state_sha256=sha256(path))
        if self._open_chunk is not None:
            _, journal = self._open_chunk
            journal.sync()
            checkpoint = replace(
                checkpoint,
                journal_bytes=len(self._times) * self._plan.coding.frame_bytes,
                journal_sha256=journal.sha256,
            )
        self._note(checkpoint)
        # Saving much takes long; unless told otherwise, it takes a twentieth of the time at most.
        pause = 20 * (self._clock() - started) if self._interval else 0
        self._due = self._clock() + max(self._interval, pause)

    @property
    def num_kept(self) -> int:
        """How many frames need not be computed again, whatever happens."""
        return self._manifest.checkpoint.num_frames

    @property
    def bytes_per_frame(self) -> float | None:
        """What a frame of the picture takes, in the mean; None until a chunk is whole."""
        num_bytes, num_frames = self._coded
        return num_bytes / num_frames if num_frames else None

    def finish(self) -> None:
        """End the last chunk; the picture is complete.

        Raises:
            OutputError: the disk is full.
        """
        if self._open_chunk is not None:
            self._end_chunk(self._open_chunk[0])
        self._note(Checkpoint(num_frames=self.num_frames, is_complete=True))

    def _take_back(self, checkpoint: Checkpoint) -> None:
        """Encode the frames of the open chunk anew."""
        if not checkpoint.journaled:
            return
        chunk, journal = self._begin_chunk(num_kept=len(checkpoint.journaled))
        for frame in read_journal(journal.path, self._plan.coding, checkpoint.journaled):
            self._encode(chunk, frame)

    def _begin_chunk(self, *, num_kept: int) -> tuple[ChunkWriter, FrameJournal]:
        number = len(self._records)
        chunk = ChunkWriter(self._job.chunk_path(number), self._plan)
        self._resources.enter_context(chunk)
        journal = FrameJournal(self._job.journal_path(number), self._plan.coding, num_kept)
        self._resources.enter_context(journal)
        self._open_chunk = chunk, journal
        return self._open_chunk

    def _encode(self, chunk: ChunkWriter, frame: Frame) -> None:
        chunk.write(frame)
        self._times.append(FrameTime.of(frame))
        self.num_frames += 1
        if len(self._times) == self._chunk_length:
            self._end_chunk(chunk)

    def _end_chunk(self, chunk: ChunkWriter) -> None:
        chunk.finish()
        self._resources.close()
        path = self._job.chunk_path(len(self._records))
        start = self.num_frames - len(self._times)
        with output_errors(f"`{path}` cannot be read back"):
            record = ChunkRecord(
                name=path.name,
                start=start,
                shot_start=_last_before(self._shots, start),
                unit_start=_last_before(self._units, start),
                stop=self.num_frames,
                first_pts=self._times[0].pts,
                last_pts=self._times[-1].pts,
                sha256=sha256(path),
            )
        journal = self._job.journal_path(len(self._records))
        self._weigh(len(self._records), record)
        self._records.append(record)
        self._times, self._open_chunk = [], None
        if journal.name not in self._needed(self._manifest.checkpoint):
            journal.unlink(missing_ok=True)

    def _weigh(self, number: int, record: ChunkRecord) -> None:
        """Add to what is coded what a chunk takes."""
        path = self._job.chunk_path(number)
        with output_errors(f"`{path}` cannot be read back"):
            num_bytes = path.stat().st_size
        before, num_frames = self._coded
        self._coded = before + num_bytes, num_frames + record.stop - record.start

    def _note(self, checkpoint: Checkpoint) -> None:
        self._manifest = self._manifest.advanced_to(checkpoint, self._records)
        self._manifest.write(self._job.manifest_path)
        self._job.keep_only((*self._needed(checkpoint), *self._open_files()))

    def _needed(self, checkpoint: Checkpoint) -> tuple[str, ...]:
        """Names of the files that a checkpoint goes on from."""
        names = [record.name for record in self._manifest.chunks]
        if checkpoint.journaled:
            names.append(self._job.journal_path(len(self._manifest.chunks)).name)
        return (*names, checkpoint.state) if checkpoint.state else tuple(names)

    def _open_files(self) -> tuple[str, ...]:
        """Those of the open chunk, whatever their present names."""
        number = len(self._records)
        chunk = self._job.chunk_path(number).name
        return chunk, f"{chunk}.part", self._job.journal_path(number).name


def _last_before(starts: list[int], frame: int) -> int:
    """The last of ascending frames up to one."""
    return starts[bisect_right(starts, frame) - 1]


def chunk_length(coding: EncoderPlan, config: JobConfig) -> int:
    """Frames in each chunk: what was asked for, or fewer, so that its journal stays small."""
    most = max(FEWEST_FRAMES, MAX_JOURNAL_BYTES // coding.frame_bytes)
    return min(config.chunk_length, most)
