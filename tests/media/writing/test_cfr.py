"""Frames at a constant rate: repeated or left out, never moved by more than half a frame."""

from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.conftest import MakeClip, read_file
from tests.media.flat_video import FAST, rewrite
from vsr_cli.config import OutputConfig
from vsr_cli.errors import ConfigError
from vsr_cli.events import ignore
from vsr_cli.media.reading.reader import probe, read_frames
from vsr_cli.media.writing.cfr import to_constant_rate
from vsr_cli.media.writing.output_plan import plan_output

SLOW_THEN_FAST = [0, 100, 200, 600, 610, 700]  # ms


def levels(path: Path) -> list[int]:
    """The luma of each flat frame; `rewrite` gives frame n of those that are kept 40 + n."""
    with av.open(f"file:{path}") as container:
        return [int(frame.to_ndarray()[0, 0]) - 40 for frame in container.decode(video=0)]


def make_uneven(path: Path, make_clip: MakeClip) -> Path:
    return make_clip(path, pts=SLOW_THEN_FAST, time_base=Fraction(1, 1000), rate=Fraction(10))


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".y4m", ".avi"])
def test_each_place_gets_the_frame_that_is_shown_then(
    tmp_path: Path, make_clip: MakeClip, suffix: str
) -> None:
    source, target = make_uneven(tmp_path / "in.mp4", make_clip), tmp_path / f"out{suffix}"
    config = OutputConfig(cfr=Fraction(10), video_codec="ffv1" if suffix != ".y4m" else None)
    notes = rewrite(source, target, config)
    (note,) = [note for note in notes if note.code == "W_CFR"]
    assert note.text == "at 10 frames per second 3 frames are repeats and 1 is left out"
    assert levels(target) == [0, 1, 2, 2, 2, 2, 3, 4]
    assert read_file(target).times == [Fraction(n, 10) for n in range(8)]


def test_a_higher_rate_repeats_and_a_lower_one_leaves_out(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    source = make_clip(tmp_path / "in.mp4", num_frames=6)
    rewrite(source, tmp_path / "up.mkv", OutputConfig(lossless=True, cfr=Fraction(50)))
    assert levels(tmp_path / "up.mkv") == [n // 2 for n in range(12)]
    rewrite(source, tmp_path / "down.mkv", OutputConfig(lossless=True, cfr=Fraction(25, 2)))
    assert levels(tmp_path / "down.mkv") == [0, 1, 2]


def test_half_way_between_two_places_the_earlier_one_is_taken(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    source = make_clip(
        tmp_path / "in.mp4", pts=[0, 150, 300], time_base=Fraction(1, 1000), rate=Fraction(10)
    )
    rewrite(source, tmp_path / "out.mkv", OutputConfig(lossless=True, cfr=Fraction(10)))
    assert levels(tmp_path / "out.mkv") == [0, 1, 1, 2]


def places(source: Path, rate: Fraction) -> list[tuple[int, Fraction]]:
    """Which frames of the source are kept, and when each is shown, in seconds from its origin."""
    info, frames = probe(source), list(read_frames(source, report=ignore))
    config = OutputConfig(video_codec="ffv1", cfr=rate)
    size = (info.height, info.width)
    plan = plan_output(source.with_name("out.mkv"), source, info, size, config, report=ignore)
    kept = to_constant_rate(iter(frames), plan.coding, info, ignore)
    numbers = {id(frame.planes): index for index, frame in enumerate(frames)}
    return [(numbers[id(f.planes)], f.pts * f.time_base - info.origin) for f in kept]


def test_of_several_frames_at_one_place_the_nearest_is_kept(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    pts = [0, 60, 95, 130, 200]  # three of them round to the second place
    source = make_clip(tmp_path / "in.mp4", pts=pts, time_base=Fraction(1, 1000), rate=Fraction(10))
    expected = [(0, Fraction(0)), (2, Fraction(1, 10)), (4, Fraction(2, 10))]
    assert places(source, Fraction(10)) == expected


def test_places_count_from_the_first_time_of_a_clock_that_never_stops(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    source = make_clip(tmp_path / "in.ts", codec="mpeg2video", num_frames=6)
    assert probe(source).origin == Fraction(1, 25)  # not a place of this rate counted from 0
    expected = [(0, Fraction(0)), (2, Fraction(1, 10)), (5, Fraction(2, 10))]
    assert places(source, Fraction(10)) == expected


@pytest.mark.parametrize("suffix", [".mkv", ".y4m"])
def test_a_last_frame_shorter_than_half_a_place_is_shown_for_one(
    tmp_path: Path, make_clip: MakeClip, suffix: str
) -> None:
    source = make_clip(
        tmp_path / "in.mp4", pts=[0, 100, 200], time_base=Fraction(1, 1000), rate=Fraction(50)
    )
    assert read_file(source).end == Fraction(220, 1000)
    codec = "ffv1" if suffix == ".mkv" else None
    notes = rewrite(
        source, tmp_path / f"out{suffix}", OutputConfig(cfr=Fraction(10), video_codec=codec)
    )
    assert levels(tmp_path / f"out{suffix}") == [0, 1, 2]
    assert read_file(tmp_path / f"out{suffix}").end == Fraction(3, 10)
    assert notes == []


def test_an_even_source_is_not_touched(tmp_path: Path, make_clip: MakeClip) -> None:
    source = make_clip(tmp_path / "in.mp4", rate=Fraction(30000, 1001), num_frames=30)
    config = OutputConfig(lossless=True, cfr=Fraction(30000, 1001))
    assert rewrite(source, tmp_path / "out.mkv", config) == []
    assert levels(tmp_path / "out.mkv") == list(range(30))


@pytest.mark.parametrize("suffix", [".y4m", ".yuv", ".avi"])
def test_an_uneven_source_needs_a_rate_where_the_target_has_no_clock(
    tmp_path: Path, make_clip: MakeClip, suffix: str
) -> None:
    source = make_uneven(tmp_path / "in.mp4", make_clip)
    with pytest.raises(ConfigError, match="frame rate varies") as caught:
        rewrite(source, tmp_path / f"out{suffix}", FAST)
    assert "`--cfr 12`" in str(caught.value.hint) or "`--cfr 10`" in str(caught.value.hint)
    assert sorted(tmp_path.iterdir()) == [source]


def test_rates_that_are_none_are_refused() -> None:
    for rate in (0, -1, 100_000):
        with pytest.raises(ConfigError, match="out of range"):
            OutputConfig(cfr=Fraction(rate))
