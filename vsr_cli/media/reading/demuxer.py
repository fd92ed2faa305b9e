"""One pass through a container: pictures decoded, the packets of other streams put aside."""

import logging
import threading
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import asdict, replace
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
from av.codec.context import Flags
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vsr_cli.config import InputConfig, OnDecodeError
from vsr_cli.errors import ConfigError, InputError
from vsr_cli.events import Note, Report
from vsr_cli.media.continuous_clock import TS_DISCONT, ContinuousClock, report_discontinuities
from vsr_cli.media.frame import VideoInfo
from vsr_cli.media.memory import sensible_memory
from vsr_cli.media.mp4_boxes import read_track
from vsr_cli.media.open import reason, seeking
from vsr_cli.media.packets import all_packets
from vsr_cli.media.reading.alpha import make_alpha_decoder, with_palette_alpha
from vsr_cli.media.reading.concealment import ErrorConcealer
from vsr_cli.media.reading.crop import find_crop
from vsr_cli.media.reading.geometry import PictureFilter, PictureUnifier, turn_upright
from vsr_cli.media.reading.index import NoIndexError, PictureIndex, index_pictures
from vsr_cli.media.reading.probe import describe, is_image
from vsr_cli.media.reading.rates import NO_TIMESTAMPS, ticks_of, told_rate
from vsr_cli.media.reading.statistics import ReadStatistics
from vsr_cli.media.reading.trim import Trim
from vsr_cli.media.timestamps import Timing

MAX_BUFFERED = 1 << 30  # bytes put aside before a source is called badly interleaved
HEAD_PACKETS = 48  # looked at to tell how frames follow each other
HEAD_BYTES = 1 << 24
UNTIMED = frozenset({"avi"})  # formats that know when to decode, and not when to show
INTERLEAVING = 10  # seconds by which streams may lag behind each other

_log = logging.getLogger(__name__)


class Demuxer:
    """Reads a container once, for two readers: one of the picture, one of the rest.

    The picture leads; what is read beside it waits until the other reader, which may be another
    thread, takes it.
    """

    def __init__(
        self,
        container: InputContainer,
        stream: VideoStream,
        *,
        buffers_side_streams: bool,
        config: InputConfig,
    ) -> None:
        """Take a container, which stays the caller's to close.

        Args:
            container: nothing read from it yet.
            stream: the picture.
            buffers_side_streams: whether packets of other streams are put aside, of all of them
                until `keep` is called.
            config: what to do with transparency, and where a picture does not decode.
        """
        self._on_error: OnDecodeError = config.on_decode_error
        self._alpha_decoder = make_alpha_decoder(stream) if config.alpha == "auto" else None
        # The left edge is cut where it should be, not where memory is aligned.
        stream.codec_context.flags |= Flags.unaligned
        self._is_image = is_image(container)
        self._input_rate: Fraction | None = None
        self._has_no_times = bool(container.format.flags & NO_TIMESTAMPS)
        self.unifier = PictureUnifier()
        self._is_once = buffers_side_streams
        self.statistics = ReadStatistics(ticks_of(stream))
        self._head: list[int] = []  # times of the first packets of the picture
        self._container, self._stream = container, stream
        self._decoded_until: int | None = None  # time of decoding of the last in `_head`
        self._is_untimed = container.format.name in UNTIMED
        self._untimed_pts = -1
        self._clock = ContinuousClock(container, stream.index)
        self._packets = self._clock.packets(all_packets(container))
        self._crop = find_crop(container, stream)
        self._cropping: PictureFilter | None = None
        self._pictures: deque[Packet[Stream]] = deque()
        self._side_packets: deque[Packet[Stream]] = deque()
        others = {other.index for other in container.streams} - {stream.index}
        self._kept = frozenset(others if buffers_side_streams else ())
        self._buffered_bytes = 0  # bytes in `_pictures` and `_side_packets`
        self._latest: dict[int, Fraction] = {}  # seconds, of the last packet of each stream
        self._is_picture_done = False
        self._stop: Fraction | None = None
        self._ended = False
        self._lock = threading.Lock()

    def keep(self, streams: Collection[int]) -> None:
        """Put aside the packets of these streams, by their index; drop those of all others."""
        with self._lock:
            self._kept = frozenset(streams) - {self._stream.index}
            dropped = [
                packet for packet in self._side_packets if packet.stream_index not in self._kept
            ]
            self._buffered_bytes -= sum(packet.size for packet in dropped)
            self._side_packets = deque(
                p for p in self._side_packets if p.stream_index in self._kept
            )

    @property
    def has_times(self) -> bool:
        """Whether the format has a place for the time of a frame."""
        return not self._has_no_times

    @property
    def has_rate(self) -> bool:
        """Whether somebody says how many frames there are in a second."""
        is_told = told_rate(self._container, self._stream) is not None
        return self._input_rate is not None or is_told or not self._has_no_times

    def describe(
        self, first: VideoFrame, config: InputConfig, name: str
    ) -> tuple[VideoInfo, Timing]:
        """What is known of the source by its first picture; see `describe`."""
        self._input_rate = config.raw_rate
        if config.raw_rate is not None and not self._has_no_times:
            raise ConfigError(
                f"{name} has times of its own, so `--input-fps` would move picture from sound",
                hint="leave it out; `--cfr N` writes a constant rate",
            )
        with self._lock:
            while (
                len(self._head) < HEAD_PACKETS
                and self._buffered_bytes < HEAD_BYTES
                and self._read_packet()
            ):
                pass
        # Frames that refer to later ones come after them: what is shown later may have gaps yet.
        last = None if self._ended else self._decoded_until
        times = sorted(time for time in self._head if last is None or time <= last)
        info, timing = describe(self._container, self._stream, first, times, config, name)
        if self._is_image:  # it has been turned
            count = None if self._is_once else 1
            info = replace(info, rotation=0, display_matrix=None, num_frames=count)
        return info, timing

    def seek(self, time: Fraction) -> None:
        """Go on with the key frame before `time`, in seconds, or with the start of the file."""
        with self._lock, seeking(self._container):
            try:
                self._container.seek(int(time / ticks_of(self._stream)), stream=self._stream)
            except av.FFmpegError as error:
                _log.debug("no seeking to %s: %s", time, error)
                self._container.seek(self._container.start_time or 0)
            self._clock = ContinuousClock(self._container, self._stream.index)
            self._packets = self._clock.packets(all_packets(self._container))
            self._pictures.clear()
            self._side_packets.clear()
            self._latest.clear()
            self._buffered_bytes, self._ended = 0, False

    def pictures(self) -> Iterator[VideoFrame]:
        """Decode the picture; in the place of one that is lost there is what was asked for.

        Raises:
            InputError: one is lost, and that is where to stop.
        """
        concealer = ErrorConcealer(self._on_error, self.statistics)
        while True:
            with self._lock:
                while not self._pictures and self._read_packet():
                    pass
                packet = self._pictures.popleft() if self._pictures else None
                self._buffered_bytes -= packet.size if packet else 0
            is_last = packet is None or packet.size == 0
            if packet is not None and packet.size and not packet.is_discard:
                concealer.expect(self._time(packet))
            try:
                pictures = self._decode(None if is_last else packet)
            except MemoryError:
                raise
            except (av.FFmpegError, EOFError) as error:
                if not is_last:
                    _log.debug("packet %d: %s", self.statistics.num_packets, error)
                    concealer.mark_lost(reason(error))
                pictures = []
            for decoded in pictures:
                picture = self._shaped(decoded)
                if picture.is_corrupt:
                    concealer.mark_lost("a picture has holes")
                if self._has_no_times:  # what FFmpeg says instead is made up
                    picture.pts, picture.duration = None, 0
                elif self._is_untimed:
                    picture.pts = self._next_time(packet)
                    packet = None
                for shown in chain(concealer.conceal(picture), [picture]):
                    self.statistics.num_frames += 1
                    yield shown
            if is_last:
                break
        for shown in concealer.conceal(None):
            self.statistics.num_frames += 1
            yield shown

    def _decode(self, packet: "Packet[Stream] | None") -> list[VideoFrame]:
        with sensible_memory(self._container.name):
            if self._alpha_decoder is not None:
                return self._alpha_decoder.decode(packet)
            return self._stream.decode(packet)

    def _shaped(self, picture: VideoFrame) -> VideoFrame:
        """The part of a picture that is meant to be seen, of the size of the first."""
        picture = with_palette_alpha(picture)
        if self._crop is not None:
            self._cropping = self._cropping or PictureFilter(picture, self._crop.filters())
            picture = self._cropping(picture)
        if self._is_image:
            picture = turn_upright(picture, Path(self._container.name.removeprefix("file:")))
        return self.unifier(picture, self._stream.codec_context.sample_aspect_ratio)

    def first_side_packet(self, index: int) -> bytes | None:
        """The first packet of another stream, if it has come and is still here."""
        with self._lock:
            return next((bytes(p) for p in self._side_packets if p.stream_index == index), None)

    def finish(self, stop: Fraction | None) -> None:
        """Say that no more pictures are wanted, and of the rest what is due before `stop`.

        Args:
            stop: seconds on the source's clock; None: the rest is wanted to its end.
        """
        with self._lock:
            self._is_picture_done, self._stop = True, stop

    def times(self, container: InputContainer) -> Iterator[int]:
        """Times of all pictures, in the order of decoding, read from a second opening."""
        clock = ContinuousClock(container, self._stream.index)
        for packet in clock.packets(all_packets(container)):
            time = self._time(packet)
            is_picture = packet.stream_index == self._stream.index
            if is_picture and time is not None and not packet.is_discard:
                yield time

    def index(
        self, container: InputContainer, timing: Timing, begin: Fraction, trim: Trim
    ) -> PictureIndex:
        """See `index_pictures`; all packets of `container` are read, a second opening.

        Raises:
            NoIndexError: packets do not tell.
        """
        if self._has_no_times or self._is_untimed:
            raise NoIndexError("the container knows no times of presentation")
        clock = ContinuousClock(container, self._stream.index)
        packets = clock.packets(all_packets(container))
        own = (packet for packet in packets if packet.stream_index == self._stream.index)
        try:
            found = index_pictures(own, timing, begin, trim)
        except av.FFmpegError as error:
            raise NoIndexError(f"it cannot be read to its end: {reason(error)}") from error
        if clock.discontinuities:
            raise NoIndexError("its clock jumps")
        return found

    def is_continuous(self, container: InputContainer) -> bool:
        """Whether times lead to places in the file: no broadcast, or one whose clock never jumps.

        Args:
            container: opened a second time; all its packets are read where that is needed.
        """
        if not container.format.flags & TS_DISCONT:
            return True
        clock = ContinuousClock(container, self._stream.index)
        return not any(clock.discontinuities for _ in clock.packets(all_packets(container)))

    def _time(self, packet: "Packet[Stream]") -> int | None:
        if self._has_no_times:
            return None
        return packet.dts if self._is_untimed else packet.pts

    def _next_time(self, packet: "Packet[Stream] | None") -> int:
        """The time of the next picture where the container has times of decoding only.

        It is that of the packet after which the picture comes out; those that come out together,
        as they do at the end, follow each other.
        """
        if packet is not None and packet.dts is not None:
            self._untimed_pts = packet.dts
        else:
            self._untimed_pts += 1
        return self._untimed_pts

    def picture_end(self, told: Fraction) -> Fraction:
        """Where the last picture ends, in seconds.

        In an MP4 packets last from one decoding to the next, and only the track knows its end.

        Args:
            told: what the picture itself says.
        """
        stream, statistics = self._stream, self.statistics
        is_whole = not statistics.num_damaged and not statistics.is_cut_off(self._container, stream)
        if self._is_once or "mov" not in self._container.format.name or not is_whole:
            return told
        track = read_track(self._container, stream)
        if track is None or track.end is None or abs(track.end - told) <= track.clock:
            return told
        return track.end

    def report_changes(self, report: Report) -> None:
        """Say, after the last picture, what changed midway; see `PictureUnifier`."""
        self.unifier.report_changes(report)

    def report_header(self, report: Report) -> None:
        """Say, before the first picture, as `W_CROPPED`, what the container leaves out."""
        if self._crop is not None:
            edges = ", ".join(f"{n} {name}" for name, n in asdict(self._crop).items() if n)
            text = f"the picture is cropped, as the container asks ({edges}, in pixels)"
            report(Note(code="W_CROPPED", text=text))

    def report_truncation(self, report: Report) -> None:
        """Say, at the end of the source, whether it came too early."""
        if not self._clock.discontinuities:
            self.statistics.report_truncation(self._container, self._stream, report)

    def report_discontinuities(self, origin: Fraction, report: Report) -> None:
        """Say, once, where the clock has jumped; `origin` is the time that is called 0."""
        report_discontinuities(self._clock.discontinuities, origin, report)

    def side_packets(self) -> "Iterator[Packet[Stream] | None]":
        """Packets of the streams that are kept, each once, as they come in the container.

        Yields:
            None where there is none yet, because the picture has not been read any further.
        """
        while True:
            with self._lock:
                if self._is_picture_done:
                    while not self._side_packets and not self._has_all() and self._read_packet():
                        self._pictures.clear()
                    if not self._side_packets:
                        return
                packet = self._side_packets.popleft() if self._side_packets else None
                self._buffered_bytes -= packet.size if packet else 0
            yield packet

    def _has_all(self) -> bool:
        """Whether every stream has come as far as it is wanted."""
        if self._stop is None or not self._latest:
            return False
        kept = [self._latest[index] for index in self._kept if index in self._latest]
        is_long_past = max(self._latest.values()) > self._stop + INTERLEAVING
        return is_long_past or min(kept, default=self._stop) >= self._stop

    def _read_packet(self) -> bool:
        """Read one packet and put it where it belongs; False at the end."""
        if self._ended:
            return False
        try:
            packet = next(self._packets, None)
        except MemoryError:
            raise
        except av.FFmpegError as error:
            _log.debug("reading stopped: %s", error)
            self.statistics.is_broken = True
            packet = None
        if packet is None:
            self._ended = True
            return False
        is_picture = packet.stream_index == self._stream.index
        self.statistics.count(packet, is_picture=is_picture)
        if packet.size and packet.dts is not None:
            self._latest[packet.stream_index] = packet.dts * packet.time_base
        if is_picture:
            self._pictures.append(packet)
            time = self._time(packet)
            if time is not None and len(self._head) < HEAD_PACKETS and not packet.is_discard:
                self._head.append(time)
                self._decoded_until = packet.dts
        elif packet.size and packet.stream_index in self._kept:
            self._side_packets.append(packet)
        else:
            return True
        self._buffered_bytes += packet.size
        if self._buffered_bytes > MAX_BUFFERED:
            raise InputError(
                "picture and sound of the source lie too far apart to be read from a pipe",
                why=f"more than {MAX_BUFFERED >> 20} MiB would have to be held",
                hint="give it as a file",
            )
        return True
