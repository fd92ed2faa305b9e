"""Clocks that jump: what follows goes on without a gap, picture and sound together."""

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest
from av.packet import Packet
from av.stream import Stream

from tests.conftest import Contents, MakeClip
from tests.media.flat_video import rewrite
from vsr_cli.config import InputConfig
from vsr_cli.events import Event, Note, ignore
from vsr_cli.media.continuous_clock import ContinuousClock
from vsr_cli.media.reading.reader import open_video, read_frames

Shift = Callable[[str, Fraction], Fraction]  # of a packet's kind and time, in seconds

STEP = Fraction(1, 25)
HOUR = 3600
WRAP = Fraction(1 << 33, 90_000)


def join(parts: list[Path], path: Path) -> Path:
    """As people join broadcasts: one file after the other."""
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def starting_at(seconds: int, make_clip: MakeClip, path: Path, num_frames: int) -> Path:
    """A broadcast whose clock is at `seconds` already."""
    plain = make_clip(path.with_suffix(".mkv"), num_frames=num_frames, audio=["aac"])
    with av.open(f"file:{plain}") as old, av.open(f"file:{path}", "w") as new:
        copies = {s.index: new.add_stream_from_template(s, opaque=True) for s in old.streams}
        for packet in old.demux():
            if packet.size and packet.pts is not None:
                packet.pts += round(seconds / packet.time_base)
                packet.dts = packet.pts
                packet.stream = copies[packet.stream_index]
                new.mux(packet)
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize(
    ("starts", "words"),
    [
        ((100, 100), "jumps back by 0.600 s at 0.6"),
        ((100, 10 * HOUR), "jumps forward by 9:58:19 h at 0.6"),
        ((10 * HOUR, 100), "jumps back by 9:58:21 h at 0.6"),
        ((100, 10 * HOUR, 100), "jumps forward by 9:58:19 h at 0.6"),
    ],
)
def test_joined_broadcasts_become_one_video_with_its_frames_equally_far_apart(
    tmp_path: Path,
    make_clip: MakeClip,
    read_contents: Callable[[Path], Contents],
    suffix: str,
    starts: tuple[int, ...],
    words: str,
) -> None:
    parts = [
        starting_at(start, make_clip, tmp_path / f"{number}.ts", 15)
        for number, start in enumerate(starts)
    ]
    source = join(parts, tmp_path / "in.ts")
    target = tmp_path / f"out{suffix}"
    rewrite(source, target)
    events: list[Event] = []
    frames = list(read_frames(source, report=events.append))
    assert len(frames) == 15 * len(parts)
    assert [words in event.text for event in events if isinstance(event, Note)] == [True]
    new = read_contents(target)
    assert len(new.times) == 15 * len(parts)
    assert max(abs(b - a - STEP) for a, b in pairwise(new.times)) <= Fraction(1, 1000)
    [sound] = new.sound_times
    for number in range(len(parts)):  # where a part begins, so does its sound
        begin = new.times[15 * number]
        assert min(abs(time - begin) for time in sound) < Fraction(1, 40)
    assert all(a < b for a, b in pairwise(sound))


def test_a_part_is_counted_on_the_continuous_clock(tmp_path: Path, make_clip: MakeClip) -> None:
    parts = [starting_at(start, make_clip, tmp_path / f"{start}.ts", 75) for start in (90, 10)]
    source = join(parts, tmp_path / "in.ts")
    whole = [frame.pts for frame in read_frames(source, report=ignore)]
    config = InputConfig(start=Fraction(4), duration=Fraction(1, 5))
    with open_video(source, config) as video:
        part = [frame.pts for frame in video.frames(report=ignore)]
        assert part == whole[100:105]
        audio = video.container.streams.audio[0]
        packet = next(iter(video.side_streams.packets([audio])))
    assert packet is not None
    assert (packet.pts or 0) * packet.time_base < 91  # time leads nowhere: read from the start


def test_a_clock_without_jumps_is_left_alone(tmp_path: Path, make_clip: MakeClip) -> None:
    source = make_clip(tmp_path / "in.ts", num_frames=30, audio=["aac"])
    times = shifted_times(source, lambda kind, time: Fraction(0))
    with av.open(f"file:{source}") as container:
        assert times == [p.pts * p.time_base for p in container.demux() if p.pts is not None]


def shifted_times(source: Path, shift: Shift, kind: str | None = None) -> list[Fraction]:
    """Times of packets, in seconds, that were shifted before the clock was made continuous."""
    with av.open(f"file:{source}") as container:
        packets: list[Packet[Stream]] = []
        for packet in container.demux():
            if packet.pts is None or packet.dts is None:
                continue
            ticks = round(
                shift(packet.stream.type, packet.pts * packet.time_base) / packet.time_base
            )
            packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
            packets.append(packet)
        clock = ContinuousClock(container, container.streams.video[0].index)
        return [
            (packet.pts or 0) * packet.time_base
            for packet in clock.packets(iter(packets))
            if kind in (None, packet.stream.type)
        ]


@pytest.mark.parametrize(
    "jump", [pytest.param(-WRAP, id="33 bits wrap"), 10 * HOUR, -HOUR, 10**12, 1700000000]
)
def test_picture_and_sound_stay_together_whatever_the_jump(
    tmp_path: Path, make_clip: MakeClip, jump: Fraction
) -> None:
    source = make_clip(tmp_path / "in.ts", num_frames=50, audio=["aac"])
    plain = shifted_times(source, lambda kind, time: Fraction(0))
    found = shifted_times(source, lambda kind, time: Fraction(jump) if time > 2.4 else Fraction(0))
    assert max(abs(a - b) for a, b in zip(plain, found, strict=True)) < Fraction(1, 40)


@pytest.mark.parametrize("jump", [10 * HOUR, -10 * HOUR, 10**12])
def test_sound_that_jumps_alone_does_not_take_the_picture_along(
    tmp_path: Path, make_clip: MakeClip, jump: int
) -> None:
    source = make_clip(tmp_path / "in.ts", num_frames=50, audio=["aac"])

    def shift(kind: str, time: Fraction) -> Fraction:
        return Fraction(jump if kind == "audio" and time > 2.4 else 0)

    plain = shifted_times(source, lambda kind, time: Fraction(0))
    found = shifted_times(source, shift)
    assert max(abs(a - b) for a, b in zip(plain, found, strict=True)) < Fraction(1, 1000)


def test_one_wrong_time_among_good_ones_moves_nothing_else(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    source = make_clip(tmp_path / "in.mkv", num_frames=50, audio=["aac"])
    plain = shifted_times(source, lambda kind, time: Fraction(0), "video")

    def shift(kind: str, time: Fraction) -> Fraction:
        return Fraction(50 * HOUR if kind == "video" and time == 1 else 0)

    assert shifted_times(source, shift, "video") == plain


def test_a_pause_of_hours_in_a_file_stays_a_pause(tmp_path: Path, make_clip: MakeClip) -> None:
    source = make_clip(tmp_path / "in.mkv", pts=[0, 40, 3600_000], time_base=Fraction(1, 1000))
    events: list[Event] = []
    times = [frame.pts * frame.time_base for frame in read_frames(source, report=events.append)]
    assert times == [0, STEP, 3600]
    assert not [event for event in events if isinstance(event, Note)]


def test_a_file_whose_clock_is_that_of_the_world_starts_at_nought(
    tmp_path: Path, make_clip: MakeClip, read_contents: Callable[[Path], Contents]
) -> None:
    start = 1_700_000_000_000
    times = [start + 40 * n for n in range(6)]
    source = make_clip(tmp_path / "in.mkv", pts=times, time_base=Fraction(1, 1000))
    rewrite(source, tmp_path / "out.mp4")
    assert read_contents(tmp_path / "out.mp4").times == [n * STEP for n in range(6)]


def test_sound_with_a_clock_of_its_own_starts_with_the_picture(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    source = make_clip(tmp_path / "in.mkv", num_frames=50, audio=["aac"])

    def shift(kind: str, time: Fraction) -> Fraction:
        return Fraction(1_700_000_000 if kind == "audio" else 0)

    times = shifted_times(source, shift, "audio")
    assert times[0] == 0
    assert times[-1] < 3


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("start", [10**15, 18_000_000])
def test_times_that_cannot_be_meant_are_made_anew(
    tmp_path: Path,
    make_clip: MakeClip,
    read_contents: Callable[[Path], Contents],
    suffix: str,
    start: int,
) -> None:
    """Of milliseconds: more than anybody has lived, and later than anybody waits."""
    plain = make_clip(tmp_path / "plain.mkv", num_frames=30, audio=["aac"])
    source = tmp_path / "in.mkv"
    with av.open(f"file:{plain}") as old, av.open(f"file:{source}", "w") as new:
        copies = {s.index: new.add_stream_from_template(s, opaque=True) for s in old.streams}
        for packet in old.demux():
            if packet.size and packet.pts is not None:
                packet.pts += start
                packet.dts = packet.pts
                packet.stream = copies[packet.stream_index]
                new.mux(packet)
    events: list[Event] = []
    list(read_frames(source, report=events.append))
    codes = [event.code for event in events if isinstance(event, Note)]
    assert codes == ([] if start < 10**12 else ["W_TIMESTAMPS_FIXED"])
    rewrite(source, tmp_path / f"out{suffix}")
    found = read_contents(tmp_path / f"out{suffix}")
    assert [time - found.times[0] for time in found.times] == [n * STEP for n in range(30)]
    assert 1 < found.sound_times[0][-1] < 2


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_sound_that_steps_back_a_little_is_kept_in_every_container(
    tmp_path: Path, make_clip: MakeClip, suffix: str
) -> None:
    """Times one tick of a broadcast apart are one and the same time in Matroska and MP4."""
    parts = [make_clip(tmp_path / f"{n}.ts", num_frames=15, audio=["mp2"]) for n in range(3)]
    source = join(parts, tmp_path / "in.ts")
    rewrite(source, tmp_path / f"out{suffix}")
    with av.open(f"file:{source}") as old, av.open(f"file:{tmp_path / f'out{suffix}'}") as new:
        sizes = [
            [packet.size for packet in container.demux(audio=0) if packet.size]
            for container in (old, new)
        ]
    assert sizes[0] == sizes[1]
