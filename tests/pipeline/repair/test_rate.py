"""A higher constant rate: every time is there once, and what the source shows stays."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from tests.pipeline.repair.scenes import is_same, pan, psnr, reading
from vsr_cli.config import UpscaleConfig
from vsr_cli.errors import ConfigError
from vsr_cli.events import Event, Note
from vsr_cli.media.frame import Frame, VideoInfo
from vsr_cli.media.reading.reader import probe
from vsr_cli.options import make_config
from vsr_cli.pipeline.repair.rate import Rate, check_rate, info_at_rate
from vsr_cli.pipeline.repair.stage import Chain


@pytest.fixture(scope="module")
def info(tmp_path_factory: pytest.TempPathFactory) -> VideoInfo:
    from tests.conftest import write_clip

    clip = write_clip(tmp_path_factory.mktemp("clip") / "in.mp4", size=(64, 96))
    return replace(probe(clip), time_base=Fraction(1, 25))


def at_rate(
    frames: list[Frame], info: VideoInfo, rate: Fraction, events: list[Event] | None = None
) -> list[Frame]:
    report = (events if events is not None else []).append
    return list(Chain([Rate(rate, info, report)]).run(reading(frames)))


def seconds(frames: list[Frame]) -> list[Fraction]:
    return [frame.pts * frame.time_base for frame in frames]


def has_planes_of(frame: Frame, other: Frame) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(frame.planes, other.planes, strict=True))


def test_frames_of_the_source_stay_and_those_between_lie_on_the_way(info: VideoInfo) -> None:
    events: list[Event] = []
    frames, truth = pan(6, speed=2), pan(12, speed=1)
    found = at_rate(frames, info, Fraction(50), events)
    assert seconds(found) == [Fraction(k, 50) for k in range(12)]
    assert {frame.duration * frame.time_base for frame in found} == {Fraction(1, 50)}
    assert all(has_planes_of(found[2 * k], frames[k]) for k in range(6))
    assert has_planes_of(found[11], frames[5])  # nothing comes after it
    for k in range(1, 10, 2):
        assert psnr(found[k], truth[k]) > psnr(found[k - 1], truth[k]) + 6
    assert not events


def test_times_that_the_source_lacks_are_made_in_the_right_places(info: VideoInfo) -> None:
    """24 to 60: two and a half steps each."""
    wide = pan(10, speed=1)
    moved = [wide[k] for k in (0, 4, 8)]  # a step of the rate is 8/5 pixels
    frames = [replace(f, pts=k, time_base=Fraction(1, 24)) for k, f in enumerate(moved)]
    source = replace(info, rate=Fraction(24), time_base=Fraction(1, 24))
    found = at_rate(frames, source, Fraction(60))
    assert seconds(found) == [Fraction(k, 60) for k in range(8)]
    assert found[-1].duration * found[-1].time_base == Fraction(1, 120)  # as long as the source
    assert has_planes_of(found[0], frames[0])
    assert has_planes_of(found[5], frames[2])
    assert not any(has_planes_of(found[k], frame) for k in (1, 2, 3, 4) for frame in frames)
    for number, nearest in ((1, 2), (2, 3), (3, 5), (4, 6)):
        others = [psnr(found[number], frame) for frame in wide]
        assert max(range(10), key=lambda k: others[k]) == nearest


def test_a_rate_that_varies_becomes_constant(info: VideoInfo) -> None:
    wide = pan(20, speed=1)
    times = (0, 2, 3, 7, 8, 12)  # fiftieths
    ends = (*times[1:], 14)
    frames = [
        replace(wide[t], pts=t, duration=end - t, time_base=Fraction(1, 50))
        for t, end in zip(times, ends, strict=True)
    ]
    source = replace(info, time_base=Fraction(1, 50), is_vfr=True)
    found = at_rate(frames, source, Fraction(50))
    assert seconds(found) == [Fraction(k, 50) for k in range(14)]
    for k in range(12):
        assert has_planes_of(found[k], wide[k]) == (k in times)
        assert psnr(found[k], wide[k]) > 30


def test_a_clock_of_milliseconds_does_not_move_frames(info: VideoInfo) -> None:
    frames = [replace(f, pts=round(k * 100 / 3)) for k, f in enumerate(pan(7))]
    frames = [replace(f, time_base=Fraction(1, 1000), duration=33) for f in frames]
    source = replace(info, rate=Fraction(30), time_base=Fraction(1, 1000))
    found = at_rate(frames, source, Fraction(60))
    assert seconds(found) == [Fraction(k, 60) for k in range(14)]
    assert all(has_planes_of(found[2 * k], frames[k]) for k in range(7))


def test_nothing_crosses_a_cut(info: VideoInfo) -> None:
    events: list[Event] = []
    frames = [*pan(3, seed=1), *(replace(f, pts=f.pts + 3) for f in pan(3, seed=2))]
    found = at_rate(frames, info, Fraction(75), events)
    assert has_planes_of(found[8], frames[2])  # though the one after the cut is nearer
    assert has_planes_of(found[9], frames[3])
    assert [e.code for e in events if isinstance(e, Note)] == ["W_RATE_REPEATS"]


def test_a_pause_stays_one(info: VideoInfo) -> None:
    events: list[Event] = []
    frames = pan(3)
    frames[2] = replace(frames[2], pts=12)  # half a second later: a slide, not a motion
    found = at_rate(frames, info, Fraction(50), events)
    assert len(found) == 26
    assert all(has_planes_of(found[k], frames[1]) for k in range(2, 24))
    assert "21 frames repeat" in str(events)


def test_where_motion_explains_nothing_the_nearer_frame_is_shown(info: VideoInfo) -> None:
    generator = np.random.default_rng(0)
    frames, events = pan(2), list[Event]()
    for index in (0, 1):  # the same light everywhere, so that it is no cut
        noise = generator.integers(80, 160, frames[0].planes[0].shape).astype(np.uint8)
        frames[index] = replace(frames[index], planes=(noise, *frames[0].planes[1:]))
    found = at_rate(frames, info, Fraction(75), events)
    assert has_planes_of(found[1], frames[0])
    assert has_planes_of(found[2], frames[1])
    assert [e.code for e in events if isinstance(e, Note)] == ["W_RATE_REPEATS"]


@pytest.mark.slow
@pytest.mark.parametrize("rate", [Fraction(50), Fraction(60)])
def test_it_goes_on_anywhere_to_the_same_frames_and_says_the_same(
    info: VideoInfo, rate: Fraction
) -> None:
    frames = [*pan(5, seed=1), *(replace(f, pts=f.pts + 5) for f in pan(6, seed=2))]
    whole: list[Event] = []
    expected = at_rate(frames, info, rate, whole)
    for first in (1, 4, 9, 10, 11, len(expected) - 1):
        before = Chain([Rate(rate, info, lambda event: None)])
        given = before.run(reading(frames))
        for _ in range(first):
            next(given)
        events: list[Event] = []
        after = Chain([Rate(rate, info, events.append)])
        tensors = before.tensors_at(first)
        found = list(after.run(reading(frames), first=first, tensors=tensors))
        assert all(is_same(a, b) for a, b in zip(expected[first:], found, strict=True))
        assert events == whole
        given.close()  # type: ignore[attr-defined]


def test_frames_are_counted_before_as_they_come(info: VideoInfo) -> None:
    for rate in (Fraction(50), Fraction(60), Fraction(60000, 1001)):
        frames = pan(6)
        told = info_at_rate(info, rate)
        assert told.num_frames == len(at_rate(frames, info, rate))
        assert (told.rate, told.is_vfr) == (rate, False)
        assert told.duration == info.duration
    timed = replace(info, timecode="01:02:03:24")
    assert info_at_rate(timed, Fraction(50)).timecode == "01:02:03:48"
    assert info_at_rate(timed, None) is timed


@pytest.mark.parametrize("rate", [Fraction(24), Fraction(25)])
def test_a_rate_that_is_no_higher_is_refused(info: VideoInfo, rate: Fraction) -> None:
    with pytest.raises(ConfigError, match="is not above") as caught:
        check_rate(UpscaleConfig(fps=rate), info)
    assert f"--cfr {rate}" in str(caught.value.hint)
    assert caught.value.exit_code == 2


def test_what_is_interlaced_is_made_whole_before(info: VideoInfo) -> None:
    interlaced = replace(info, interlaced=True)
    check_rate(make_config({"fps": 60, "deinterlace": "field"}), interlaced)
    with pytest.raises(ConfigError, match="interlaced"):
        check_rate(make_config({"fps": 60, "deinterlace": "off"}), interlaced)


def test_one_constant_rate_is_enough() -> None:
    with pytest.raises(ConfigError, match="contradict"):
        make_config({"fps": 60, "cfr": 50})
    with pytest.raises(ConfigError, match="out of range"):
        make_config({"fps": 5000})
