"""Videos and frames upscaled, planned and looked into."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, Unpack

from vsr_cli.api.worker import Worker
from vsr_cli.cancellation import StopRequest
from vsr_cli.events import Done, Plan, Report, ignore
from vsr_cli.options import Options, PathLike, make_config

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from vsr_cli.media.frame import VideoInfo
    from vsr_cli.media.reading.probe import StreamInfo
    from vsr_cli.media.writing.encoder_plan import EncoderPlan
    from vsr_cli.pipeline.units.films import Film, FilmQueue, Following, InTurn

    Array = TypeVar("Array", NDArray[np.uint8], Tensor)
else:
    Array = TypeVar("Array")


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What a source holds, and what would be made of it.

    info: of the picture, and of the file.
    streams: everything beside the picture.
    num_chapters: how many chapters the file has.
    output: how the picture of the target would be coded.
    """

    info: "VideoInfo"
    streams: "tuple[StreamInfo, ...]"
    num_chapters: int
    output: "EncoderPlan"


def upscale(
    source: PathLike,
    target: PathLike,
    *,
    report: Report = ignore,
    stop: StopRequest | None = None,
    **options: Unpack[Options],
) -> Done:
    """Upscale one video file, everything beside the picture copied.

    Args:
        source: a video, a folder of images or a numbered name, or `-` for standard input.
        target: a video, a numbered name for images, or `-` for standard output.
        report: receives all events of `vsr_cli.events` in order, in the thread of the caller.
        stop: ends the job early where another thread or a signal asks for it; the same call goes
            on there.
        options: see `Options`.

    Raises:
        VsrError: the class names what to mend: input, output, weights, device or options.
        Stopped: as was asked for.
    """
    return Upscaler(stop=stop, **options).upscale(source, target, report=report)


def restore(
    source: PathLike,
    target: PathLike,
    *,
    report: Report = ignore,
    stop: StopRequest | None = None,
    **options: Unpack[Options],
) -> Done:
    """Clean a video at its own size: `upscale` with `scale=1` and `on_decode_error="fill"`.

    Args:
        source: as for `upscale`, like the rest.
        target: what to write.
        report: receives all events.
        stop: ends the job early.
        options: see `Options`; what is given goes before these two.

    Raises:
        VsrError: as `upscale`.
        Stopped: as was asked for.
    """
    chosen: Options = {"scale": 1, "on_decode_error": "fill"}
    chosen |= options
    return Upscaler(stop=stop, **chosen).upscale(source, target, report=report)


def plan(
    source: PathLike, target: PathLike, *, report: Report = ignore, **options: Unpack[Options]
) -> Plan:
    """Check both ends and say what `upscale` would do; leaves no file.

    A few small frames may be restored, to tell how long all of them will take.

    Raises:
        VsrError: as `upscale`, as far as that can be known.
    """
    return Upscaler(**options).plan(source, target, report=report)


def probe(source: PathLike, target: PathLike = "out.mkv", **options: Unpack[Options]) -> Probe:
    """Find out what a source holds, how it is understood, and how a target would be coded.

    Args:
        source: as for `upscale`.
        target: whose name tells the container; nothing is written.
        options: see `Options`.

    Raises:
        InputError: the source cannot be read.
        ConfigError: options do not fit each other, the source or the target.
        OutputError: the target's name tells no container.
    """
    from vsr_cli.media.containers import container_of
    from vsr_cli.media.reading.probe import list_streams
    from vsr_cli.media.reading.reader import open_video
    from vsr_cli.media.writing.encoder_plan import plan_encoder

    config = make_config(options)
    container = container_of(Path(target), config.output)
    with open_video(Path(source), config.input) as video:
        info = video.info
        streams = list_streams(video.container, info.stream_index)
        num_chapters = len(video.container.chapters())
    size = config.target_size(info.height, info.width)
    output = plan_encoder(container, info, size, config.output)
    return Probe(info=info, streams=streams, num_chapters=num_chapters, output=output)


class Upscaler(Worker):
    """Upscales videos, or frames in memory, one after the other, with one model.

    The model loads when it is first needed, and stays.
    """

    def __init__(self, *, stop: StopRequest | None = None, **options: Unpack[Options]) -> None:
        """Check the options; nothing is loaded yet.

        Args:
            stop: ends a job early where another thread or a signal asks for it.
            options: the same for everything; see `Options`.

        Raises:
            ConfigError: a value is out of range, or two contradict each other.
            WeightsError: there is no such model.
        """
        super().__init__("upscale", stop, options)
        self._queue: FilmQueue | None = None

    def upscale(
        self,
        source: PathLike,
        target: PathLike,
        *,
        report: Report = ignore,
        following: "Following | None" = None,
    ) -> Done:
        """Upscale one video file; see `upscale`.

        Args:
            source: as there, like the rest.
            target: what to write.
            report: receives all events.
            following: within `kept`, with several workers, is asked once for source and target of
                the call after this one: workers that find nothing left begin that video, and that
                call takes it up. None: there is none.
        """
        if self._queue is None:
            return self._pipeline.upscale(Path(source), Path(target), report=report)
        following = following or (lambda: None)
        return self._queue.upscale(Path(source), Path(target), report=report, following=following)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Within, workers that find nothing left go on with the video that follows; see `upscale`.

        Those of a cluster keep their model.

        Raises:
            ConfigError: the package `ray` is not installed.
        """
        if self.config.job.ray is not None:
            from vsr_cli.pipeline.cluster.upscaler import ClusterUpscaler

            assert isinstance(self._pipeline, ClusterUpscaler)
            with self._pipeline.kept(), self._queued(self._pipeline.film):
                yield
        elif self._has_workers:
            from vsr_cli.pipeline.units.films import films_here

            with self._queued(films_here(self._pipeline)):
                yield
        else:
            yield

    @property
    def _has_workers(self) -> bool:
        """Whether several workers of this machine share each video; torch may not load."""
        if self.config.job.workers == 1 or self.config.job.shard is not None:
            return False
        from vsr_cli.pipeline.units.places import count_workers

        return count_workers(self.config) > 1

    @contextmanager
    def _queued(self, make: "Callable[[Film, Report], InTurn]") -> Iterator[None]:
        """Within, videos are in one queue."""
        from vsr_cli.pipeline.units.films import FilmQueue

        try:
            with FilmQueue(make, self._stop or StopRequest()) as self._queue:
                yield
        finally:
            self._queue = None

    def frames(self, frames: "Iterable[Array]", *, report: Report = ignore) -> "Iterator[Array]":
        """Upscale frames in memory.

        A few frames are taken ahead of those that are given, as many as are computed together.

        Args:
            frames: neighbours in time, RGB (H, W, 3) uint8, all of one size: NumPy arrays or
                torch tensors.
            report: receives notes of how scarce memory is coped with.

        Yields:
            RGB (H', W', 3) uint8, one for each, of the target's size; tensors on the CPU if
            tensors were given.

        Raises:
            ConfigError: a frame has another shape, type or size.
            WeightsError: the model cannot be loaded.
            DeviceError: the device is absent, or too small.
        """
        from vsr_cli.pipeline.arrays import restore_arrays

        remaining = iter(frames)
        first = next(remaining, None)
        model = self._pipeline.model
        if first is not None and model is not None:
            yield from restore_arrays(model, self.config, chain([first], remaining), report)
