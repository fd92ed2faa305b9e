"""Videos in: what a source holds, and its frames one by one, with the times they have."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from itertools import chain, dropwhile, islice
from pathlib import Path

from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame

from vsr_cli.config import InputConfig
from vsr_cli.errors import InputError
from vsr_cli.events import Note, Report
from vsr_cli.media.frame import Frame, VideoInfo
from vsr_cli.media.memory import MOST_PIXELS
from vsr_cli.media.open import EVERYTHING, STDIN, is_pipe, late_index, open_container
from vsr_cli.media.reading.alpha import is_animated_webp, is_opaque_gif
from vsr_cli.media.reading.deinterlace import TimedFrame, deinterlace
from vsr_cli.media.reading.demuxer import Demuxer
from vsr_cli.media.reading.image_sequence import ImageReader, find_images, report_pages
from vsr_cli.media.reading.index import NoIndexError, PictureIndex
from vsr_cli.media.reading.probe import select_video_stream
from vsr_cli.media.reading.trim import nth_time, resolve_trim, trimmed_info
from vsr_cli.media.reading.unpack import FrameConverter
from vsr_cli.media.side_streams import SideStreams, reopen_side_streams
from vsr_cli.media.timestamps import TimestampFixer

# Seconds before the start to look for a key frame; decoding from the start of the file comes last.
SEEK_MARGINS = (Fraction(0), Fraction(10), Fraction(60))
MIN_SEEK = Fraction(2)  # seconds that are sooner decoded than sought


@contextmanager
def open_video(source: Path, config: InputConfig = EVERYTHING) -> Iterator["VideoSource"]:
    """Open a source once, for what it holds and for its frames.

    Args:
        source: a local file, a named pipe, or `-` for standard input.
        config: what of it is read, and how it is understood.

    Raises:
        ConfigError: the config names a format that does not exist.
        InputError: it is missing, unreadable, has no picture, one of an unknown kind, or nothing
            in the part that is asked for.
    """
    images = find_images(source)
    with open_container(images[0] if images else source, config) as container:
        yield VideoSource(container, source, images, config)


def probe(source: Path, config: InputConfig = EVERYTHING) -> VideoInfo:
    """Find out what `source` holds, from its header and its first frame.

    Raises:
        VsrError: as `open_video`.
    """
    with open_video(source, config) as video:
        return video.info


def read_frames(
    source: Path, config: InputConfig = EVERYTHING, *, report: Report
) -> Iterator[Frame]:
    """Decode `source` frame by frame; see `VideoSource.frames`.

    Raises:
        VsrError: as `open_video`.
    """
    with open_video(source, config) as video:
        yield from video.frames(report=report)


class VideoSource:
    """One source, read once from its start to its end.

    `info` and the first frame come from the same pass as all others, so that a pipe will do.
    `num_read` counts the frames, once `frames` has come to its end; None until then.
    """

    def __init__(
        self,
        container: InputContainer,
        source: Path,
        images: list[Path] | None,
        config: InputConfig,
    ) -> None:
        """Read up to the first frame that is wanted.

        Args:
            container: nothing read from it yet; it stays the caller's to close.
            source: where it comes from.
            images: what `source` stands for, the first of them in `container`.
            config: what of it is read, and how it is understood.

        Raises:
            InputError: there is no such frame.
        """
        self.container = container
        self._source, self._images = source, images
        self._is_once = is_pipe(source)  # whether it cannot be opened a second time
        self._name = "standard input" if source == STDIN else f"`{source}`"
        stream = select_video_stream(container, self._name, config.video_stream)
        is_opaque = not self._is_once and not images and is_opaque_gif(container, source, config)
        self._config = config = replace(config, alpha="drop") if is_opaque else config
        self._reader: Demuxer | ImageReader = (
            ImageReader(images, container, config)
            if images
            else Demuxer(
                container,
                stream,
                buffers_side_streams=self._is_once,
                config=config,
            )
        )
        pictures = self._reader.pictures()
        first = next(pictures, None)
        if first is None and self._is_once and "mov" in container.format.name:
            raise late_index()
        if first is None and is_animated_webp(source):
            raise InputError(
                f"{self._name} is an animated WebP, which is not read",
                why="FFmpeg decodes single WebP images only",
                hint="convert it to GIF, APNG or MP4 with another program",
            )
        if first is None:
            raise InputError(
                f"{self._name} has no picture that can be decoded",
                why=f"its `{stream.codec_context.name}` stream gave no frame",
                hint="it may be cut off, encrypted, or of more than "
                f"{MOST_PIXELS // 10**6} million pixels; try another copy",
            )
        self.info, self._timing = self._reader.describe(first, config, self._name)
        if is_opaque:
            self.info = replace(self.info, has_alpha=False)
        if config.deinterlace == "field":
            self._timing = replace(self._timing, time_base=self._timing.time_base / 2)
        has_times = first.pts is not None
        self._trim = resolve_trim(
            config, self._clock_start(), None if has_times else self._timing.rate
        )
        self._has_reached_stop = False  # whether the end that was asked for has come
        self._begin = Fraction(0)  # seconds, of the first picture that is wanted
        self._num_passed = 0  # pictures before those that come
        self.num_read: int | None = None
        self._pictures = self._find_start(first, pictures)
        if config.deinterlace == "field":
            rate, tick = 2 * self.info.rate, self._timing.time_base
            num_frames = self.info.num_frames and 2 * self.info.num_frames
            self.info = replace(self.info, rate=rate, time_base=tick, num_frames=num_frames)

    def frames(self, *, report: Report, skip: int = 0) -> Iterator[Frame]:
        """Decode frame by frame, in order of presentation; once.

        Holds one frame at a time, two where it is interlaced. Times strictly increase; a time
        that is missing, or not later than the one before, is moved and said. What is damaged or
        missing is said after the last frame. Where the size changes midway, all have the first.

        Args:
            report: receives `W_INPUT_DAMAGED`, `W_INPUT_TRUNCATED`, `W_TIMESTAMPS_FIXED`,
                `W_CLOCK_JUMPS`, `W_PICTURE_CHANGES`, `W_DEINTERLACED`, `W_NO_RATE`,
                `W_PAGES_DROPPED` and `W_ALPHA_DROPPED`.
            skip: how many at the front are decoded and counted, but not given.
        """
        is_alpha_wanted = self._config.alpha == "auto"
        if self.info.has_alpha and not self.info.layout.has_alpha and is_alpha_wanted:
            text = f"the transparency of the source is dropped: {self.info.codec} decodes without"
            report(Note(code="W_ALPHA_DROPPED", text=text))
        self._reader.report_header(report)
        if not self._is_once:
            report_pages(self._images or [self._source], report)
        if not self._reader.has_rate:
            who = "images tell" if self._images else "the source tells"
            text = f"{who} no rate: {float(self.info.rate):g} frames per second"
            code = "W_IMAGE_RATE" if self._images else "W_NO_RATE"
            report(Note(code=code, text=f"{text}, unless `--input-fps` says another"))
        unpack = FrameConverter(self.info, self._config, self._name)
        pictures = deinterlace(self._timed(), self._config.deinterlace, report)
        num_read = skip
        for num_read, timed in enumerate(islice(pictures, skip, None), skip + 1):  # noqa: B007
            yield unpack(timed, self.info.time_base)
        self.num_read = num_read
        self._reader.finish(self.info.stop)
        self.report_flaws(report)
        if not self._has_reached_stop:
            self._reader.report_truncation(report)

    def report_flaws(self, report: Report) -> None:
        """Say what of the frames so far was mended, damaged or fitted; `frames` does so at its end.

        Args:
            report: receives `W_PICTURE_CHANGES`, `W_CLOCK_JUMPS`, `W_TIMESTAMPS_FIXED` and
                `W_INPUT_DAMAGED`.
        """
        self._reader.report_changes(report)
        self._reader.report_discontinuities(self.info.origin, report)
        are_filled = self._config.on_decode_error == "fill"
        self._reader.statistics.report_damage(report, are_filled=are_filled)

    def index(self) -> PictureIndex:
        """Tell all frames that `frames` will give by their packets, read from a second opening.

        Raises:
            NoIndexError: packets do not tell.
        """
        is_made_of_several = self._config.deinterlace not in ("auto", "off")
        if not isinstance(self._reader, Demuxer) or self._is_once or is_made_of_several:
            raise NoIndexError("it is a pipe or images, or frames are made of several pictures")
        with open_container(self._source, self._config) as container:
            return self._reader.index(container, self._timing, self._begin, self._trim)

    def enter(self, pts: int, index: int) -> None:
        """Go to a frame by a jump, before any is taken: `frames` then begins with it.

        Whoever calls this has read the source before, to its end: no clock jumps, nothing is
        damaged. What comes is to be compared with what was read then.

        Args:
            pts: of the frame, in units of `info.time_base`.
            index: of the frame, among those that `frames` would give.
        """
        start = pts * self._timing.time_base
        if self._timing.anchor is not None:
            start -= self._timing.tick  # which the container may have rounded off
        pictures = self._sought(self._pictures, self._begin, start)
        first = list(islice(pictures, 1))
        # What a jump has made of pictures before that does no harm.
        self._reader.statistics.num_damaged = self._reader.statistics.num_repeated = 0
        self._pictures = chain(first, pictures)
        self._num_passed = index

    @property
    def has_times(self) -> bool:
        """Whether frames have times of their own."""
        return self._reader.has_times

    @property
    def side_streams(self) -> SideStreams:
        """Where everything beside the picture can be copied from."""
        reader = self._reader
        if isinstance(reader, ImageReader):
            return SideStreams(self.container, lambda streams: iter(()))
        if not self._is_once:
            return reopen_side_streams(self.container, self._source, self.info, self._config)

        def packets(streams: Sequence[Stream]) -> "Iterator[Packet[Stream] | None]":
            reader.keep({stream.index for stream in streams})
            return reader.side_packets()

        return SideStreams(
            self.container,
            packets,
            lambda stream: reader.first_side_packet(stream.index),
            is_live=True,
        )

    def _timed(self) -> Iterator[TimedFrame]:
        """Pictures at their places in time; each lasts until the next is shown.

        What containers say of a duration is often the step from one decoding to the next.
        """
        fixer = TimestampFixer(self._timing)
        held: TimedFrame | None = None
        for picture, is_wanted in self._until_stop():
            is_damaged = picture.is_corrupt or self._reader.statistics.is_stand_in(picture.pts)
            pts, duration = fixer.next(picture.pts, picture.duration or 0)
            if held is not None:
                held = held._replace(duration=pts - held.pts)
                if not is_wanted:
                    held = held._replace(duration=self._cut_at_stop(held))
                yield held
            held = TimedFrame(picture, pts, duration, is_damaged) if is_wanted else None
            if self._reader.has_times:  # else nobody misses them
                self._reader.statistics.num_fixed_timestamps = fixer.num_fixed_timestamps
        if held is not None:
            tick = self._timing.time_base
            end = round(self._reader.picture_end((held.pts + held.duration) * tick) / tick)
            yield held._replace(duration=end - held.pts) if end > held.pts else held

    def _cut_at_stop(self, last: TimedFrame) -> int:
        """The duration of the last frame of a part: a pause ends with the part."""
        if self._trim.stop is None:
            return last.duration
        step = round(1 / (self._timing.rate * self._timing.time_base))
        left = round(self._trim.stop / self._timing.time_base) - last.pts
        return min(last.duration, max(step, left))

    def _until_stop(self) -> Iterator[tuple[VideoFrame, bool]]:
        """Pictures, and whether they are wanted; the first that is not, is the last."""
        for index, picture in enumerate(self._pictures, self._num_passed):
            if self._is_over(picture, index):
                self._has_reached_stop = True
                yield picture, False
                return
            yield picture, True

    def _clock_start(self) -> Fraction:
        """Where times that a user gives are counted from, in seconds."""
        if self.info.origin:
            return self.info.origin
        starts = [
            stream.start_time * stream.time_base
            for stream in self.container.streams
            if stream.start_time is not None and stream.time_base
        ]
        return max(Fraction(0), min(starts, default=Fraction(0)))

    def _is_over(self, picture: VideoFrame, index: int) -> bool:
        if self._trim.num_frames is not None:
            return index >= self._trim.num_frames
        time = self._time(picture)
        return self._trim.stop is not None and time is not None and time >= self._trim.stop

    def _time(self, picture: VideoFrame) -> Fraction | None:
        return None if picture.pts is None else picture.pts * self._timing.tick

    def _find_start(
        self, first: VideoFrame, pictures: Iterator[VideoFrame]
    ) -> Iterator[VideoFrame]:
        """The pictures from the first that is wanted; `info` becomes that of the part."""
        begin, trim = self._time(first) or Fraction(0), self._trim
        found: Iterator[VideoFrame] = chain([first], pictures)
        if trim.start is not None and begin < trim.start:
            found = self._seek_to(found, begin, trim.start)
        kept = next(islice(found, trim.first, None), None)
        self._begin = begin if kept is None else self._time(kept) or begin
        if kept is None or self._is_over(kept, 0):
            duration = self.info.duration
            lasts = "" if duration is None else f" and lasts {float(duration):.3f} s"
            raise InputError(
                f"{self._name} has no frame in the part that is asked for",
                why=f"its picture starts at {float(begin):.3f} s{lasts}",
                hint="choose another `--start`, `--to` or `--frames`",
            )
        # What is damaged before the part that is wanted does no harm.
        self._reader.statistics.num_frames = 1
        self._reader.statistics.num_damaged = int(kept.is_corrupt)
        pts, _ = TimestampFixer(self._timing).next(kept.pts)
        start = pts * self._timing.time_base
        stop = trim.stop if trim.num_frames is None else self._stop_after(kept)
        self.info = trimmed_info(self.info, trim, begin=begin, start=start, stop=stop)
        return chain([kept], found)

    def _seek_to(
        self, pictures: Iterator[VideoFrame], begin: Fraction, start: Fraction
    ) -> Iterator[VideoFrame]:
        """The pictures from `start` on, all of them whole."""
        if self._is_once or start - begin < MIN_SEEK or not self._is_continuous():
            return dropwhile(lambda picture: self._is_before(picture, start), pictures)
        return self._sought(pictures, begin, start)

    def _sought(
        self, pictures: Iterator[VideoFrame], begin: Fraction, start: Fraction
    ) -> Iterator[VideoFrame]:
        """The pictures from `start` on, where times lead to places in the file."""
        if start - begin < MIN_SEEK:
            return dropwhile(lambda picture: self._is_before(picture, start), pictures)
        for margin in SEEK_MARGINS:
            if start - margin < begin:
                break
            self._reader.seek(start - margin)
            pictures = self._reader.pictures()
            is_whole = False
            for index, picture in enumerate(pictures):
                is_late = not self._is_before(picture, start)
                time = self._time(picture)
                is_whole |= picture.key_frame and time is not None and time <= start
                if is_late and is_whole and (index or time == start):
                    return chain([picture], pictures)
                if is_late:
                    break
        self._reader.seek(begin)
        return dropwhile(lambda picture: self._is_before(picture, start), self._reader.pictures())

    def _is_continuous(self) -> bool:
        """Whether one can seek by time; `info` tells others."""
        if isinstance(self._reader, Demuxer):
            with open_container(self._source, self._config) as container:
                is_continuous = self._reader.is_continuous(container)
            self.info = replace(self.info, is_continuous=is_continuous)
        return self.info.is_continuous

    def _is_before(self, picture: VideoFrame, start: Fraction) -> bool:
        time = self._time(picture)
        return time is None or time < start

    def _stop_after(self, kept: VideoFrame) -> Fraction | None:
        """The time of the first frame after those that are counted, as far as can be known."""
        count = self._trim.num_frames or 0
        if kept.pts is None:
            return None
        if isinstance(self._reader, Demuxer) and not self._is_once:
            with open_container(self._source, self._config) as container:
                time = nth_time(self._reader.times(container), kept.pts, count)
                return None if time is None else time * self._timing.tick
        return kept.pts * self._timing.tick + count / self._timing.rate
