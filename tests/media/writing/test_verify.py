"""The check of a finished file: what it lets pass, and every single fault that it does not."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.conftest import MakeClip
from tests.media.rich import write_rich
from vsr_cli.errors import InputError
from vsr_cli.media.writing.verify import (
    CopiedStream,
    ExpectedFile,
    TimestampSummary,
    check_file,
    check_size,
)

STEP = Fraction(1, 25)  # seconds
NUM_FRAMES = 8
Times = Sequence[tuple[Fraction, Fraction]]  # seconds: when a frame is shown, and for how long


def summary_of(times: Times) -> TimestampSummary:
    summary = TimestampSummary()
    for time, duration in times:
        summary.add(time, duration)
    return summary


def contents(path: Path) -> tuple[list[tuple[Fraction, Fraction]], dict[int, CopiedStream]]:
    """Times of the picture, which is stream 0, and what the other streams hold."""
    times, packets = list[tuple[Fraction, Fraction]](), dict[int, list[int]]()
    with av.open(f"file:{path}") as container:
        kinds = {stream.index: stream.type for stream in container.streams}
        for packet in container.demux():
            if packet.size and packet.pts is not None and packet.stream_index == 0:
                tick = packet.time_base
                times.append((packet.pts * tick, (packet.duration or 0) * tick))
            elif packet.size:
                packets.setdefault(packet.stream_index, []).append(packet.size)
    side_streams = {
        index: CopiedStream(kinds[index], len(sizes), sum(sizes))
        for index, sizes in packets.items()
    }
    return times, side_streams


def expected_of(path: Path) -> ExpectedFile:
    times, side_streams = contents(path)
    return ExpectedFile(picture=0, step=STEP, times=summary_of(times), side_streams=side_streams)


def problem_of(path: Path, expected: ExpectedFile, *, decode: bool = False) -> str | None:
    return check_file(path, expected, format_=None, decode=decode).problem


def missing_in(path: Path, expected: ExpectedFile) -> Mapping[int, int]:
    """How many packets of which stream are not there, in a file whose picture is whole."""
    found = check_file(path, expected, format_=None, decode=False)
    assert found.problem is None
    return found.missing


@pytest.fixture
def clip(tmp_path: Path, make_clip: MakeClip) -> Path:
    """Frames that refer to each other out of order, on a clock of milliseconds, with sound."""
    return make_clip(
        tmp_path / "clip.mkv",
        num_frames=NUM_FRAMES,
        audio=["aac", "flac"],
        options={"preset": "medium", "bf": "2"},
    )


@pytest.mark.parametrize("decode", [False, True])
@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".avi"])
def test_a_file_that_holds_what_was_written_has_no_problem(
    tmp_path: Path, make_clip: MakeClip, suffix: str, *, decode: bool
) -> None:
    path = make_clip(tmp_path / f"clip{suffix}", num_frames=NUM_FRAMES, audio=["ac3"])
    assert problem_of(path, expected_of(path), decode=decode) is None
    assert missing_in(path, expected_of(path)) == {}


@pytest.mark.parametrize("number", [NUM_FRAMES - 1, NUM_FRAMES + 1])
def test_one_frame_too_few_or_too_many_is_found(clip: Path, number: int) -> None:
    expected = expected_of(clip)
    expected.times.num_frames = number
    assert problem_of(clip, expected) == f"{NUM_FRAMES} frames instead of {number}"


@pytest.mark.parametrize("direction", [-1, 1])
def test_frames_that_move_are_found_and_rounding_to_a_tick_is_not(
    clip: Path, direction: int
) -> None:
    times, side_streams = contents(clip)
    tick, middle = Fraction(1, 1000), NUM_FRAMES // 2

    def moved(num_ticks: int) -> ExpectedFile:
        """One frame in the middle, by as many ticks as move the mean by `num_ticks`."""
        shown, duration = times[middle]
        elsewhere = [*times]
        elsewhere[middle] = shown + direction * num_ticks * NUM_FRAMES * tick, duration
        summary = summary_of(elsewhere)
        summary.end = summary_of(times).end
        return ExpectedFile(picture=0, step=STEP, times=summary, side_streams=side_streams)

    assert problem_of(clip, moved(1)) is None
    assert problem_of(clip, moved(2)) == "frames have moved in time"


@pytest.mark.parametrize("direction", [-1, 1])
def test_a_length_that_is_off_by_more_than_two_frames_is_found(clip: Path, direction: int) -> None:
    times, side_streams = contents(clip)

    def ending_after(seconds: Fraction) -> ExpectedFile:
        summary = summary_of(times)
        summary.end += direction * seconds
        return ExpectedFile(picture=0, step=STEP, times=summary, side_streams=side_streams)

    assert problem_of(clip, ending_after(2 * STEP)) is None
    assert problem_of(clip, ending_after(2 * STEP + Fraction(2, 1000))) == "0.320 s long"


@pytest.mark.parametrize("direction", [-1, 1])
def test_without_lengths_the_last_frame_is_where_it_should_be(clip: Path, direction: int) -> None:
    times, side_streams = contents(clip)

    def ending_after(seconds: Fraction, end: Fraction = Fraction(9)) -> ExpectedFile:
        summary = summary_of(times)
        summary.last += direction * seconds
        summary.end += end
        return ExpectedFile(
            picture=0, step=STEP, times=summary, side_streams=side_streams, has_lengths=False
        )

    assert problem_of(clip, ending_after(2 * STEP)) is None
    assert problem_of(clip, ending_after(2 * STEP + Fraction(2, 1000))) == "0.280 s long"


def with_stream(
    expected: ExpectedFile, index: int, change: Callable[[CopiedStream], CopiedStream]
) -> ExpectedFile:
    side_streams = {**expected.side_streams, index: change(expected.side_streams[index])}
    return replace(expected, side_streams=side_streams)


@pytest.mark.parametrize("index", [1, 2])
def test_sound_counts_as_whole_by_its_packets_or_by_its_bytes(clip: Path, index: int) -> None:
    expected = expected_of(clip)

    def more(packets: int, num_bytes: int) -> Mapping[int, int]:
        def change(stream: CopiedStream) -> CopiedStream:
            return CopiedStream(
                stream.kind, stream.num_packets + packets, stream.num_bytes + num_bytes
            )

        return missing_in(clip, with_stream(expected, index, change))

    assert more(0, 7) == {}  # headers that the container does without
    assert more(3, 0) == {}  # PCM, which it cuts as it likes
    for packets, num_bytes in ((1, 7), (-1, -7), (1, -7)):
        assert more(packets, num_bytes) == {index: max(packets, 0)}


def test_a_stream_that_is_not_there_at_all_is_missed(clip: Path) -> None:
    expected = expected_of(clip)
    for kind in ("audio", "subtitle"):
        side_streams = {**expected.side_streams, 9: CopiedStream(kind, 3, 1)}
        assert missing_in(clip, replace(expected, side_streams=side_streams)) == {9: 3}


def test_every_subtitle_is_asked_for_and_more_are_let_pass(tmp_path: Path) -> None:
    path = write_rich(tmp_path / "rich.mkv", extras=False)
    expected = expected_of(path)
    (index, *_) = [i for i, s in expected.side_streams.items() if s.kind == "subtitle"]
    found = expected.side_streams[index]

    def expecting(number: int) -> Mapping[int, int]:
        stream = CopiedStream("subtitle", number, found.num_bytes)
        return missing_in(path, with_stream(expected, index, lambda _: stream))

    assert found.num_packets == 3
    assert expecting(2) == {}  # containers fill the time between them
    assert expecting(3) == {}
    assert expecting(4) == {index: 1}


def replaced(path: Path, index: int, change: Callable[[bytes], bytes]) -> Path:
    """The same file with other bytes, as many, in one packet of the picture."""
    with av.open(f"file:{path}") as container:
        packet = [bytes(packet) for packet in container.demux(video=0) if packet.size][index]
    whole, new = path.read_bytes(), change(packet)
    assert whole.count(packet) == 1
    assert len(new) == len(packet)
    target = path.with_name(f"damaged-{path.name}")
    target.write_bytes(whole.replace(packet, new))
    return target


def test_decoding_finds_the_packet_that_does_not_decode(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    path = make_clip(tmp_path / "clip.mkv", num_frames=NUM_FRAMES)
    damaged = replaced(path, 3, lambda packet: b"\xff" * len(packet))
    assert problem_of(damaged, expected_of(damaged)) is None
    problem = problem_of(damaged, expected_of(damaged), decode=True)
    assert problem == "frame 3 does not decode (Invalid data found when processing input)"


def test_decoding_finds_a_frame_with_holes(tmp_path: Path, make_clip: MakeClip) -> None:
    path = make_clip(tmp_path / "clip.mkv", num_frames=NUM_FRAMES, size=(96, 128))
    damaged = replaced(
        path,
        3,
        lambda packet: packet[: len(packet) // 2] + b"\0" * (len(packet) - len(packet) // 2),
    )
    assert problem_of(damaged, expected_of(damaged)) is None
    problem = problem_of(damaged, expected_of(damaged), decode=True)
    assert problem == "1 frame decodes with holes"


def test_decoding_finds_a_packet_without_a_frame(tmp_path: Path, make_clip: MakeClip) -> None:
    def filler(packet: bytes) -> bytes:
        """A unit of H.264 that holds nothing (type 12), as long as the frame was."""
        size = len(packet) - 4
        return size.to_bytes(4) + b"\x0c" + b"\xff" * (size - 2) + b"\x80"

    path = make_clip(tmp_path / "clip.mkv", num_frames=NUM_FRAMES, options={"g": "1"})
    damaged = replaced(path, NUM_FRAMES - 1, filler)
    assert problem_of(damaged, expected_of(damaged)) is None
    problem = problem_of(damaged, expected_of(damaged), decode=True)
    assert problem == f"{NUM_FRAMES - 1} frames decode instead of {NUM_FRAMES}"


def test_decoding_finds_something_else_in_the_place_of_the_picture(clip: Path) -> None:
    sound = summary_of(
        [(time, Fraction(0)) for time in packet_times(clip, 1)],
    )
    expected = ExpectedFile(picture=1, step=Fraction(1), times=sound, side_streams={})
    assert problem_of(clip, expected, decode=True) == "the picture is not where it was put"


def packet_times(path: Path, index: int) -> list[Fraction]:
    with av.open(f"file:{path}") as container:
        packets = [p for p in container.demux(container.streams[index]) if p.size]
        return [(packet.pts or 0) * packet.time_base for packet in packets]


def test_a_file_that_cannot_be_read_is_refused_like_any_source(tmp_path: Path, clip: Path) -> None:
    path = tmp_path / "noise.mkv"
    path.write_bytes(b"no video, only words\n" * 50)
    with pytest.raises(InputError, match="cannot be read as a video"):
        problem_of(path, expected_of(clip))


def test_raw_samples_are_checked_by_their_size_alone(tmp_path: Path) -> None:
    path = tmp_path / "raw.yuv"
    path.write_bytes(bytes(100))
    assert check_size(path, 100).problem is None
    assert check_size(path, 99).problem == "100 bytes instead of 99"
    assert check_size(path, 101).problem == "100 bytes instead of 101"


def test_the_mean_delay_counts_from_the_earliest_frame_in_any_order() -> None:
    times = [(Fraction(n), Fraction(1)) for n in (3, 9, 5, 7)]
    summary = summary_of(times)
    assert [summary.first, summary.end, summary.mean_delay] == [3, 10, 3]
    assert summary_of([(Fraction(-2), Fraction(1))]).end == -1
