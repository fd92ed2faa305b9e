import hashlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.conftest import Contents, MakeClip
from tests.pipeline.runs import upscale_video
from vsr_cli.config import ClipConfig, InputConfig, OutputConfig, SamplerConfig, UpscaleConfig
from vsr_cli.errors import ConfigError, DeviceError, OutputError, VsrError, WeightsError
from vsr_cli.events import Event, Plan, Progress
from vsr_cli.media.roundtrip import decode_rgb
from vsr_cli.sizes import parse_target_size

Read = Callable[[Path], Contents]


@pytest.fixture
def config(model_file: Path) -> UpscaleConfig:
    return UpscaleConfig(model=model_file, device="cpu", dtype="float32")


def pictures(path: Path) -> NDArray[np.uint8]:
    """Luma of every frame, (T, H, W)."""
    with av.open(f"file:{path}") as container:
        frames = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    return np.stack(frames)


def digest(path: Path) -> str:
    return hashlib.sha256(pictures(path).tobytes()).hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize("num_frames", [1, 2, 3, 8, 9, 17])
@pytest.mark.parametrize("size", [(48, 64), (37, 51)])
def test_size_times_and_number_of_frames_are_exact(
    tmp_path: Path,
    make_clip: MakeClip,
    read_contents: Read,
    config: UpscaleConfig,
    num_frames: int,
    size: tuple[int, int],
) -> None:
    source = make_clip(
        tmp_path / "in.mp4", num_frames=num_frames, size=size, pix_fmt="yuv444p", audio=["aac"]
    )
    done = upscale_video(source, tmp_path / "out.mp4", config)
    assert pictures(tmp_path / "out.mp4").shape == (num_frames, 4 * size[0], 4 * size[1])
    assert (done.frames_in, done.frames_out) == (num_frames, num_frames)
    before, after = read_contents(source), read_contents(tmp_path / "out.mp4")
    assert after.times == before.times
    assert after.end == before.end
    assert after.sounds == before.sounds


def test_variable_frame_times_and_a_late_start_survive(
    tmp_path: Path, make_clip: MakeClip, read_contents: Read, config: UpscaleConfig
) -> None:
    source = make_clip(
        tmp_path / "in.mp4",
        pts=[900, 1000, 4000, 4100, 9000, 9090, 20000],
        time_base=Fraction(1, 9000),
        audio=["aac", "aac"],
    )
    upscale_video(source, tmp_path / "out.mp4", config)
    before, after = read_contents(source), read_contents(tmp_path / "out.mp4")
    assert after.times == before.times
    assert after.sounds == before.sounds
    assert after.sound_times == before.sound_times


@pytest.mark.parametrize("scale", [Fraction(1), Fraction(3, 2), Fraction(2), Fraction(3)])
def test_other_scales_give_exactly_that_size(
    tmp_path: Path, make_clip: MakeClip, config: UpscaleConfig, scale: Fraction
) -> None:
    source = make_clip(tmp_path / "in.mkv", num_frames=2, size=(34, 50))
    upscale_video(source, tmp_path / "out.mkv", replace(config, scale=scale))
    expected = (round(34 * scale), round(50 * scale))
    assert pictures(tmp_path / "out.mkv").shape[1:] == expected


@pytest.mark.slow
def test_the_same_job_gives_the_same_frames_and_another_seed_others(
    tmp_path: Path, make_clip: MakeClip, config: UpscaleConfig
) -> None:
    source = make_clip(tmp_path / "in.mp4")
    other = replace(config, sampler=SamplerConfig(seed=1))
    for name, job in [("a", config), ("b", config), ("c", other)]:
        upscale_video(source, tmp_path / f"{name}.mp4", job)
    a, b, c = (digest(tmp_path / f"{name}.mp4") for name in "abc")
    assert a == b != c


@pytest.mark.slow
def test_clip_length_is_no_choice_of_quality(
    tmp_path: Path, make_clip: MakeClip, config: UpscaleConfig
) -> None:
    source = make_clip(tmp_path / "in.mp4", num_frames=13)
    # Without loss: x264 makes much of a single code that is rounded the other way.
    config = replace(config, output=OutputConfig(video_codec="ffv1"))
    found = {}
    for length in (2, 3, 8, 13):
        target = tmp_path / f"{length}.mkv"
        upscale_video(source, target, replace(config, clip=ClipConfig(length=length)))
        found[length] = pictures(target).astype(int)
    for length in (2, 3, 8):
        assert np.abs(found[length] - found[13]).mean() <= 0.01  # codes; the contract allows 1


@pytest.mark.slow
def test_a_scene_cut_forgets_everything_before_it(
    tmp_path: Path, make_clip: MakeClip, config: UpscaleConfig
) -> None:
    one = make_clip(tmp_path / "one.mkv", num_frames=3, codec="ffv1")
    joined, dark = tmp_path / "joined.mkv", tmp_path / "dark.mkv"
    _join_after_checkerboard(one, joined, flip=False)
    _join_after_checkerboard(one, dark, flip=True)
    for cut in (True, False):
        job = replace(config, scene_cut=cut)
        for source in (joined, dark):
            upscale_video(
                source, source.with_suffix(f".{cut}.mkv"), _lossless(job), report=lambda e: None
            )
    after = {
        cut: [pictures(s.with_suffix(f".{cut}.mkv"))[3:].astype(int) for s in (joined, dark)]
        for cut in (True, False)
    }
    assert np.array_equal(after[True][0], after[True][1])
    assert not np.array_equal(after[False][0], after[False][1])


@pytest.mark.slow
def test_peak_memory_does_not_grow_with_the_length(
    tmp_path: Path, make_clip: MakeClip, model_file: Path
) -> None:
    def peak(num_frames: int) -> int:
        source = make_clip(tmp_path / f"{num_frames}.mp4", num_frames=num_frames, audio=["aac"])
        script = (
            "import resource, sys\n"
            "from pathlib import Path\n"
            "from vsr_cli.config import SamplerConfig, UpscaleConfig\n"
            "from vsr_cli.pipeline.upscale import Upscaler\n"
            "source, target, model = map(Path, sys.argv[1:])\n"
            "config = UpscaleConfig(model=model, device='cpu', sampler=SamplerConfig(steps=1))\n"
            "Upscaler(config).upscale(source, target)\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
        )
        paths = [str(path) for path in (source, source.with_suffix(".mkv"), model_file)]
        command = [sys.executable, "-c", script, *paths]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
        return int(run.stdout)

    assert peak(300) <= 1.05 * peak(100)


@pytest.mark.slow
def test_an_existing_target_is_kept_unless_told_otherwise(
    tmp_path: Path, make_clip: MakeClip, config: UpscaleConfig
) -> None:
    source, target = make_clip(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    target.write_bytes(b"precious")
    with pytest.raises(OutputError):
        upscale_video(source, target, config)
    assert target.read_bytes() == b"precious"
    upscale_video(source, target, replace(config, output=OutputConfig(overwrite=True)))
    assert len(pictures(target)) == 6


@pytest.mark.slow
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_a_job_that_stops_half_way_leaves_everything_as_it_was(
    tmp_path: Path,
    make_clip: MakeClip,
    config: UpscaleConfig,
    error: type[BaseException],
) -> None:
    source, target = make_clip(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    target.write_bytes(b"precious")
    before = sorted(tmp_path.iterdir())

    def stop(event: Event) -> None:
        if isinstance(event, Progress) and event.frame == 3:
            raise error

    with pytest.raises(error):
        upscale_video(
            source, target, replace(config, output=OutputConfig(overwrite=True)), report=stop
        )
    assert target.read_bytes() == b"precious"
    assert sorted(tmp_path.iterdir()) == before


def test_what_can_be_refused_is_refused_before_the_model_loads(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    source = make_clip(tmp_path / "in.mp4")
    missing = UpscaleConfig(model=tmp_path / "none.safetensors")
    jobs: list[tuple[UpscaleConfig, Path, type[VsrError]]] = [
        (missing, tmp_path / "out.xyz", OutputError),
        (
            replace(missing, output=OutputConfig(video_codec="libx999")),
            tmp_path / "out.mp4",
            ConfigError,
        ),
        (missing, tmp_path / "out.mp4", WeightsError),
    ]
    for job, target, expected in jobs:
        with pytest.raises(expected):
            upscale_video(source, target, job)
    assert sorted(tmp_path.iterdir()) == [source]


def test_a_device_that_is_absent_is_refused(
    tmp_path: Path, make_clip: MakeClip, config: UpscaleConfig
) -> None:
    source = make_clip(tmp_path / "in.mp4")
    with pytest.raises(DeviceError, match="no device `cuda:77` here"):
        upscale_video(source, tmp_path / "out.mp4", replace(config, device="cuda:77"))
    with pytest.raises(ConfigError, match="is not a device"):
        upscale_video(source, tmp_path / "out.mp4", replace(config, device="toaster"))


@pytest.mark.slow
def test_the_plan_says_once_what_was_chosen(
    tmp_path: Path, make_clip: MakeClip, config: UpscaleConfig
) -> None:
    events: list[Event] = []
    upscale_video(make_clip(tmp_path / "in.mp4"), tmp_path / "o.mp4", config, report=events.append)
    (plan,) = [event for event in events if isinstance(event, Plan)]
    assert (plan.device, plan.dtype, plan.steps) == ("cpu", "float32", 2)
    assert plan.target_size == (192, 256)
    frames = [event.frame for event in events if isinstance(event, Progress)]
    assert sorted(set(frames)) == [0, 1, 2, 3, 4, 5, 6]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "expected"), [("-2:120", (120, 160)), ("192p", (192, 256)), ("64x48", (48, 64))]
)
def test_the_target_has_the_size_that_is_asked_for(
    tmp_path: Path,
    make_clip: MakeClip,
    config: UpscaleConfig,
    size: str,
    expected: tuple[int, int],
) -> None:
    asked = replace(config, size=parse_target_size(size, None))
    done = upscale_video(make_clip(tmp_path / "in.mp4"), tmp_path / "out.mp4", asked)
    assert (done.height, done.width) == expected
    assert next(decode_rgb(tmp_path / "out.mp4")).shape == (*expected, 3)


def test_images_become_images(tmp_path: Path, make_clip: MakeClip, config: UpscaleConfig) -> None:
    (tmp_path / "frames").mkdir()
    for number, frame in enumerate(decode_rgb(make_clip(tmp_path / "in.mp4", num_frames=3))):
        Image.fromarray(frame).save(tmp_path / "frames" / f"{number + 1:05}.png")
    target = tmp_path / "out" / "%05d.png"
    upscale_video(tmp_path / "frames" / "%05d.png", target, config)
    names = sorted(path.name for path in target.parent.iterdir())
    assert names == ["00001.png", "00002.png", "00003.png"]
    (picture,) = decode_rgb(target.parent / "00003.png")
    assert picture.shape == (192, 256, 3)


def test_raw_video_is_known_by_what_is_said_of_it(tmp_path: Path, config: UpscaleConfig) -> None:
    source, target = tmp_path / "in.yuv", tmp_path / "out.mkv"
    source.write_bytes(bytes(3 * 48 * 64 * 3 // 2))
    raw = InputConfig(format="rawvideo", raw_size=(48, 64), raw_pix_fmt="yuv420p")
    upscale_video(source, target, replace(config, input=raw))
    assert pictures(target).shape == (3, 192, 256)


@pytest.mark.slow
def test_a_constant_rate_repeats_frames_that_are_computed_once(
    tmp_path: Path, make_clip: MakeClip, read_contents: Read, config: UpscaleConfig
) -> None:
    source, target = make_clip(tmp_path / "in.mp4", num_frames=3), tmp_path / "out.mp4"
    events: list[Event] = []
    output = OutputConfig(cfr=Fraction(50), preset="ultrafast")
    done = upscale_video(source, target, replace(config, output=output), report=events.append)
    assert done.frames_out == 6
    assert read_contents(target).times == [Fraction(n, 50) for n in range(6)]
    frames = [event.frame for event in events if isinstance(event, Progress)]
    assert max(frames) == 3


def _lossless(config: UpscaleConfig) -> UpscaleConfig:
    return replace(config, output=OutputConfig(video_codec="ffv1"))


def _join_after_checkerboard(source: Path, target: Path, *, flip: bool) -> None:
    """Three frames of a checkerboard, or of its negative, and then those of `source`."""
    with av.open(f"file:{source}") as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    y, x = np.mgrid[: frames[0].shape[0], : frames[0].shape[1]]
    board = ((y // 8 + x // 8 + flip) % 2 * 255).astype(np.uint8)
    with av.open(f"file:{target}", "w") as output:
        stream = output.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = board.shape[1], board.shape[0], "yuv444p"
        for picture in [np.stack([board] * 3, axis=-1)] * 3 + frames:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode(None))


def test_progress_in_a_container_that_counts_no_frames_tells_about_how_many_there_are(
    tmp_path: Path, make_clip: MakeClip, config: UpscaleConfig
) -> None:
    source, events = make_clip(tmp_path / "in.mkv", num_frames=10), list[Event]()
    part = replace(config, input=InputConfig(start=Fraction(1, 5)))
    for job, about in ((config, 10), (part, 5)):
        events.clear()
        upscale_video(source, tmp_path / "out.mkv", job, report=events.append)
        told = [event for event in events if isinstance(event, Progress)]
        assert told[0].about == about
        # Once the source is read to its end, the count is known.
        assert {(event.about, event.num_frames) for event in told} <= {
            (about, None),
            (None, about),
        }
        (tmp_path / "out.mkv").unlink()
