"""Clocks that jump, made continuous, so that what follows a jump is shown right after it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream

from vsr_cli.events import Note, Report

TS_DISCONT = 0x0200  # FFmpeg's flag of formats whose clock is a broadcaster's
# FFmpeg's own limits, in seconds: what is beyond them is no pause but another clock.
_LARGEST_GAP = 10.0  # of a broadcast
_LARGEST_PAUSE = 30 * 3600.0  # of a file whose clock has no reason to jump
_BACK = 0.1
_WRAP = (1 << 33) / 90_000  # seconds after which the clock of MPEG starts again at 0
_RETURN = 0.5  # within which a clock is said to be back
_ABSURD = 10**10  # seconds, 317 years: what claims to be later says nothing
_PATIENCE = 2  # seconds that sound which jumps waits for the picture to jump, too
_MOST_HELD = 512  # packets
_MOST_KNOWN = 32  # clocks that a source may come back to


@dataclass(frozen=True)
class Discontinuity:
    """A jump of the clock of a source."""

    time: float  # seconds on the continuous clock
    size: float  # seconds; below 0: back
    kind: str | None = None  # of the stream that jumps alone, as `audio`; None: all do


@dataclass
class _Track:
    """Where one stream is, in seconds on the continuous clock.

    Floating-point numbers tell the ticks of every clock apart for centuries, and are fast.
    """

    offset: float  # to add to its own times
    num_jumps: int  # of the picture that it has followed
    latest: float = 0.0  # of decoding, of its last packet
    next: float = 0.0  # of decoding, of its next packet, as expected
    end: float = 0.0  # the latest end of presentation
    step: float = 0.0  # how long its last packet lasts


class ContinuousClock:
    """Gives packets times of one clock that never jumps, picture and sound together.

    The picture leads: where it jumps, as FFmpeg judges it, its next frame follows the last one,
    and whatever else comes from after the jump is moved by the same amount. Where the sound comes
    first, it waits for the picture. What jumps alone is moved alone. The same packets always get
    the same times.
    """

    def __init__(self, container: InputContainer, picture: int) -> None:
        """Begin where the container begins, or where it has just been sought to.

        Args:
            container: tells the format and the kinds of streams; nothing is read from it.
            picture: index of the stream that leads.
        """
        self.discontinuities: list[Discontinuity] = []  # so far
        self._is_broadcast = bool(container.format.flags & TS_DISCONT)
        self._gap = _LARGEST_GAP if self._is_broadcast else _LARGEST_PAUSE
        self._picture = picture
        self._kinds = {stream.index: stream.type for stream in container.streams}
        self._tracks: dict[int, _Track] = {}
        self._ticks = {s.index: float(s.time_base or 1) for s in container.streams}
        self._offsets = [0.0]  # those of the picture, one after the other

    def packets(self, packets: "Iterator[Packet[Stream]]") -> "Iterator[Packet[Stream]]":
        """The same packets in the same order, their times changed in place.

        Args:
            packets: of all streams of the container, in its order.
        """
        held: list[Packet[Stream]] = []  # after a jump of the sound, the picture's placed already
        num_offsets, since = 0, 0.0
        for packet in packets:
            is_picture = packet.stream_index == self._picture
            self._forget_absurd(packet)
            waits, has_leader = bool(held), self._picture in self._tracks
            if not waits and not is_picture and (not has_leader or self._may_jump(packet)):
                waits, num_offsets, since = True, len(self._offsets), self._leader_time()
            if is_picture or not waits:
                self._place(packet)
            if not waits:
                yield packet
                continue
            held.append(packet)
            has_jumped = len(self._offsets) > num_offsets
            has_jumped |= not has_leader and self._picture in self._tracks  # or has just begun
            is_over = not packet.size or self._leader_time() > since + _PATIENCE
            if has_jumped or is_over or len(held) == _MOST_HELD:
                yield from self._settle(held)
                held = []
        yield from self._settle(held)

    def _settle(self, held: "list[Packet[Stream]]") -> "list[Packet[Stream]]":
        """Place what has waited for the picture, which has its place."""
        for packet in held:
            if packet.stream_index != self._picture:
                self._place(packet)
        return held

    def _leader_time(self) -> float:
        leader = self._tracks.get(self._picture)
        return leader.latest if leader else 0.0

    def _place(self, packet: "Packet[Stream]") -> None:
        if not packet.size:
            return
        index = packet.stream_index
        time = self._time(packet)
        track = self._tracks.get(index)
        if time is None:
            self._place_untimed(packet, track)
            return
        if track is None:
            track = self._tracks[index] = self._begin(time, self._kinds[index])
        elif index == self._picture:
            self._follow_picture(packet, time, track)
        else:
            self._follow_side(packet, time, track)
        if shift := round(track.offset / self._ticks[index]):
            packet.pts = None if packet.pts is None else packet.pts + shift
            packet.dts = None if packet.dts is None else packet.dts + shift
        self._advance(track, packet, time + track.offset)

    def _advance(self, track: _Track, packet: "Packet[Stream]", time: float) -> None:
        """Note where a track is after a packet that is decoded at `time`."""
        tick = self._ticks[packet.stream_index]
        duration = (packet.duration or 0) * tick
        if duration <= 0:  # as long as the one before
            duration = time - track.latest if 0 < time - track.latest < 1 else track.step
        shown = self._shown(packet, time)
        track.step, track.latest, track.next = duration, time, time + duration
        track.end = max(track.end, shown + duration)

    def _place_untimed(self, packet: "Packet[Stream]", track: _Track | None) -> None:
        """Have a packet without a time follow the last one; a picture gets its time later."""
        if packet.stream_index == self._picture:
            return
        leader = self._tracks.get(self._picture)
        time = track.next if track else leader.latest if leader else 0.0
        packet.pts = packet.dts = round(time / self._ticks[packet.stream_index])
        if track is None:
            track = self._tracks[packet.stream_index] = _Track(
                0.0, len(self._offsets) - 1, time, time, time
            )
        self._advance(track, packet, time)

    def _begin(self, time: float, kind: str) -> _Track:
        """A track whose first packet has come; it may have come after jumps."""
        leader = self._tracks.get(self._picture)
        offset = self._offsets[-1]
        if leader is not None:
            offset = min(self._offsets, key=lambda known: abs(time + known - leader.latest))
            apart = time + offset - leader.latest
            if kind == "audio" and abs(apart) > _LARGEST_PAUSE:  # a clock of its own
                offset -= apart
                self.discontinuities.append(Discontinuity(leader.latest, apart, kind))
        track = _Track(offset, num_jumps=len(self._offsets) - 1)
        track.end = track.latest = track.next = time + offset
        return track

    def _follow_picture(self, packet: "Packet[Stream]", time: float, track: _Track) -> None:
        """Begin anew where the picture jumps."""
        if not self._picture_jumps(packet, time, track):
            return
        shown = self._shown(packet, time)
        before = track.offset
        # One wrong time among good ones: the clock is back.
        others = [old for old in self._offsets[-_MOST_KNOWN:] if old != before]
        known = [old for old in others if -_BACK <= time + old - track.next <= _RETURN]
        wraps = [turn for turn in (_WRAP, -_WRAP) if self._is_wrap(time + before + turn, track)]
        if known:
            track.offset = known[-1]
        elif wraps:  # the clock goes on, its numbers begin again
            track.offset = before + wraps[0]
        else:
            track.offset = track.end - shown
            size = shown + before - track.end
            if self._is_broadcast:  # FFmpeg takes each step back for a wrap
                size = (size + _WRAP / 2) % _WRAP - _WRAP / 2
            self.discontinuities.append(Discontinuity(track.end, size))
        self._offsets.append(track.offset)
        track.num_jumps = len(self._offsets) - 1

    def _is_wrap(self, time: float, track: _Track) -> bool:
        return self._is_broadcast and -_BACK <= time - track.latest <= self._gap

    def _picture_jumps(self, packet: "Packet[Stream]", time: float, track: _Track) -> bool:
        if self._is_broadcast:
            is_back = time + track.offset + _BACK < track.latest
        else:
            # Times of decoding are guessed in many files, but no picture after a key frame is
            # shown before one that was decoded before it.
            shown = self._shown(packet, time)
            is_back = packet.is_keyframe and shown + track.offset + _BACK < track.end - track.step
            is_back |= time + track.offset + _LARGEST_GAP < track.latest
        return is_back or self._is_far(time, track)

    def _is_far(self, time: float, track: _Track) -> bool:
        """Whether a time is too late for a pause; where other streams are as far, it is one."""
        time += track.offset
        if time - track.next <= self._gap:
            return False
        others = (other for other in self._tracks.values() if other is not track)
        return not any(abs(other.latest - time) <= self._gap for other in others)

    def _may_jump(self, packet: "Packet[Stream]") -> bool:
        """Whether the sound seems to jump before the picture."""
        track, time = self._tracks.get(packet.stream_index), self._time(packet)
        if track is None or time is None or self._kinds[packet.stream_index] != "audio":
            return False
        time += self._best_offset(time, track)
        return time + _BACK < track.latest or self._is_far(time - track.offset, track)

    def _best_offset(self, time: float, track: _Track, expected: float | None = None) -> float:
        """Of its own offset and those of the picture since, the one that comes nearest."""
        expected = track.next if expected is None else expected
        since = max(track.num_jumps, len(self._offsets) - _MOST_KNOWN)
        candidates = (track.offset, *self._offsets[since:])
        return min(candidates, key=lambda offset: abs(time + offset - expected))

    def _follow_side(self, packet: "Packet[Stream]", time: float, track: _Track) -> None:
        """Jump as the picture has jumped, or alone where it has not."""
        kind = self._kinds[packet.stream_index]
        leader = self._tracks.get(self._picture)
        if kind != "audio":  # comes now and then
            track.offset = self._best_offset(time, track, leader.latest if leader else None)
            return
        offset = self._best_offset(time, track)
        if offset != track.offset and offset in self._offsets:
            track.num_jumps = len(self._offsets) - 1 - self._offsets[::-1].index(offset)
        track.offset = offset
        is_back = time + offset + self._gap < track.latest
        if is_back or self._is_far(time, track):
            size = time + offset - track.next
            track.offset = track.next - time
            self.discontinuities.append(Discontinuity(track.next, size, kind))

    def _time(self, packet: "Packet[Stream]") -> float | None:
        """When a packet is decoded, in seconds; where nobody says, when it is shown."""
        ticks = packet.pts if packet.dts is None else packet.dts
        if ticks is None or not packet.size:
            return None
        return ticks * self._ticks[packet.stream_index]

    def _shown(self, packet: "Packet[Stream]", decoded: float) -> float:
        """When a packet is shown, in seconds; where nobody says, when it is decoded."""
        return decoded if packet.pts is None else packet.pts * self._ticks[packet.stream_index]

    def _forget_absurd(self, packet: "Packet[Stream]") -> None:
        """Take away times that cannot be meant."""
        most = _ABSURD / self._ticks[packet.stream_index]
        if packet.pts is not None and abs(packet.pts) > most:
            packet.pts = None
        if packet.dts is not None and abs(packet.dts) > most:
            packet.dts = packet.pts


def report_discontinuities(
    found: Sequence[Discontinuity], origin: Fraction, report: Report
) -> None:
    """Say once, as `W_CLOCK_JUMPS`, where a clock jumped and how far.

    Args:
        found: in their order.
        origin: seconds on the continuous clock that the output calls 0.
        report: receives the note, if anything jumped.
    """
    # Those before the part that is read are none of its own.
    found = [jump for jump in found if jump.time > float(origin) - _BACK]
    if not found:
        return
    first = found[0]
    whose = f"the clock of the {first.kind}" if first.kind else "the clock of the source"
    way = "back" if first.size < 0 else "forward"
    place = max(0.0, first.time - float(origin))
    text = f"{whose} jumps {way} by {_duration(abs(first.size))} at {place:.3f} s"
    if len(found) > 1:
        text += f", and {'once' if len(found) == 2 else len(found) - 1} more after that"
    goes = "the stream goes" if first.kind else "picture and sound go"
    report(Note(code="W_CLOCK_JUMPS", text=f"{text}; {goes} on without a gap"))


def _duration(seconds: float) -> str:
    """A length of time as people write it."""
    if seconds < 60:
        return f"{seconds:.3f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02} h"
