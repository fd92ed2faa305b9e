"""Jobs without a model: files in, files out, with nothing changed that was not to be."""

import json
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import numpy as np
import pytest
from PIL import Image

import vsr_cli as vsr
from tests.conftest import MakeClip, read_file, write_clip
from tests.networks import write_tiny_weights
from tests.pipeline.repair.scenes import is_same, pan, psnr, showing
from vsr_cli.errors import ConfigError
from vsr_cli.events import Event, Note, Plan, ignore
from vsr_cli.media.frame import Frame
from vsr_cli.media.reading.reader import read_frames
from vsr_cli.options import Options

PROGRAM = """
import sys
from vsr_cli.cli.app import main
sys.argv = ["vsr", *sys.argv[1:]]
try:
    main()
finally:
    print(*sys.modules)
"""

KILLED = """
import json, os, signal, sys
import vsr_cli as vsr

task, source, target, frame, options = sys.argv[1:]

def report(event):
    if isinstance(event, vsr.Progress) and event.frame == int(frame):
        os.kill(os.getpid(), signal.SIGKILL)

vsr.Repairer(task, **json.loads(options)).repair(source, target, report=report)
"""


def write_frames(path: Path, frames: list[Frame]) -> Path:
    """A lossless file of 4:2:0 frames, with a sound."""
    with av.open(f"file:{path}", "w") as output:
        stream = output.add_stream("ffv1", rate=25)
        stream.height, stream.width = frames[0].size
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            picture = av.VideoFrame(frame.size[1], frame.size[0], "yuv420p")
            for plane, samples in zip(picture.planes, frame.planes, strict=True):
                lines = np.zeros((plane.height, plane.line_size), np.uint8)
                lines[:, : plane.width] = samples
                plane.update(lines.tobytes())
            picture.pts, picture.time_base = frame.pts, Fraction(1, 25)
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    frames = pan(24)
    frames[10] = showing(frames[10], frames[9])
    return write_frames(tmp_path / "in.mkv", frames)


def frames_of(path: Path) -> list[Frame]:
    return list(read_frames(path, report=ignore))


def test_frames_that_are_not_filled_keep_every_sample(tmp_path: Path, source: Path) -> None:
    done = vsr.fill(source, tmp_path / "out.mkv", lossless=True)
    before, after = frames_of(source), frames_of(tmp_path / "out.mkv")
    assert (done.frames_in, done.frames_out, len(after)) == (24, 24, 24)
    assert [k for k in range(24) if not is_same(before[k], after[k])] == [10]


def break_packets(source: Path, target: Path, numbers: set[int]) -> None:
    """Copy a file, but for what is in some of its packets."""
    with av.open(f"file:{source}") as whole, av.open(f"file:{target}", "w") as output:
        stream = output.add_stream_from_template(whole.streams.video[0])
        for number, packet in enumerate(whole.demux(video=0)):
            if packet.size:
                broken = av.Packet(bytes(packet)[:5] + b"\xff" * 60)
                broken.pts, broken.dts = packet.pts, packet.dts
                broken.time_base = packet.time_base
                copy = broken if number in numbers else packet
                copy.stream = stream
                output.mux(copy)


@pytest.mark.parametrize("task", ["fill", "restore"])
def test_a_frame_that_does_not_decode_is_made_anew_and_the_damage_said(
    tmp_path: Path, make_clip: MakeClip, task: str
) -> None:
    options = {"g": "4", "bf": "0", "sc_threshold": "0"}
    whole = make_clip(tmp_path / "whole.mkv", num_frames=12, size=(64, 96), options=options)
    break_packets(whole, tmp_path / "in.mkv", {7})
    events: list[Event] = []
    if task == "fill":
        vsr.fill(tmp_path / "in.mkv", tmp_path / "out.mkv", lossless=True, report=events.append)
    else:
        model = write_tiny_weights(tmp_path / "tiny.safetensors")
        vsr.restore(
            tmp_path / "in.mkv",
            tmp_path / "out.mkv",
            report=events.append,
            model=model,
            steps=1,
            strength=0,
            lossless=True,
        )
    truth, found = frames_of(whole), frames_of(tmp_path / "out.mkv")
    assert len(found) == 12
    assert psnr(found[7], truth[7]) > psnr(found[6], truth[7]) + 6
    codes = [event.code for event in events if isinstance(event, Note)]
    assert codes == ["W_INPUT_DAMAGED", "W_FILLED"]


def test_count_times_and_sound_stay(tmp_path: Path, make_clip: MakeClip) -> None:
    source = make_clip(tmp_path / "in.mkv", num_frames=9, audio=["aac"], size=(64, 96))
    events: list[Event] = []
    vsr.fill(source, tmp_path / "out.mkv", frames_list="4", report=events.append)
    before, after = read_file(source), read_file(tmp_path / "out.mkv")
    assert (after.times, after.sounds, after.end) == (before.times, before.sounds, before.end)
    assert [e.code for e in events if isinstance(e, Note)] == ["W_FILLED"]


@pytest.mark.slow
def test_without_a_model_no_network_is_loaded_and_the_plan_says_so(
    tmp_path: Path, source: Path
) -> None:
    command = [sys.executable, "-c", PROGRAM, "fill", str(source), str(tmp_path / "out.mkv")]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert "vsr_cli.pipeline.repair.fill" in loaded
    assert not {name for name in loaded if name.startswith("vsr_cli.models.small")}
    assert not loaded & {"diffusers", "vsr_cli.pipeline.restorers.registry"}
    assert "without a model" in run.stderr


def test_outside_of_the_mask_every_sample_stays_and_what_is_seen_is_said_before(
    tmp_path: Path, source: Path
) -> None:
    plans: list[Plan] = []

    def report(event: Event) -> None:
        if isinstance(event, Plan):
            plans.append(event)

    target = tmp_path / "out.mkv"
    vsr.erase(source, target, box=["-40,20,14,16"], lossless=True, report=report)
    for before, after in zip(frames_of(source), frames_of(target), strict=True):
        changed = before.planes[0] != after.planes[0]
        assert changed.any()
        changed[17:39, 53:73] = False  # the box, grown by 3
        assert not changed.any()
    (plan,) = plans
    assert (plan.model, plan.repairs) == ("none", ("erase",))
    said = [reason for reason in plan.reasons if reason.startswith("erase: ")]
    assert len(said) == 1
    assert "of the mask is seen in other frames" in said[0]


@pytest.mark.parametrize("pts", [[0, 1, 2, 3], [0], [0, 1000]])
def test_the_look_beforehand_needs_no_frame_at_its_places(
    tmp_path: Path, make_clip: MakeClip, pts: list[int]
) -> None:
    source = make_clip(tmp_path / "in.mkv", num_frames=len(pts), pts=pts, time_base=Fraction(1, 25))
    done = vsr.erase(source, tmp_path / "out.mkv", box=["4,4,8,8"])
    assert done.frames_out == len(pts)
    vsr.show_mask(source, tmp_path / "look.png", box=["4,4,8,8"])
    assert (tmp_path / "look.png").is_file()


def test_a_mask_is_drawn_on_frames_and_nothing_else_is_written(
    tmp_path: Path, source: Path
) -> None:
    vsr.show_mask(source, tmp_path / "look.png", box=["10,20,14,16"], grow=0)
    with Image.open(tmp_path / "look.png") as image:
        picture = np.asarray(image).astype(int)
    assert picture.shape == (64, 3 * 96, 3)
    is_red = (picture == (255, 0, 0)).all(-1)
    expected = np.zeros((64, 96), bool)
    expected[19:37, 9:25] = True
    expected[20:36, 10:24] = False
    assert np.array_equal(is_red, np.tile(expected, 3))
    assert sorted(tmp_path.iterdir()) == [source, tmp_path / "look.png"]
    with pytest.raises(vsr.VsrError, match="exists"):
        vsr.show_mask(source, tmp_path / "look.png", box=["10,20,14,16"])


@pytest.mark.parametrize(
    ("task", "options", "code"),
    [
        ("fill", {"frames_list": "3,99-100"}, "W_FRAMES_ABSENT"),
        ("erase", {"box": "0,0,10,10@0.17-0.19"}, "W_BOX_IDLE"),
        ("erase", {"box": "0,0,10,10@5-9", "frames": "0:6"}, "W_BOX_IDLE"),
        ("erase", {"mask": "black.png"}, "W_MASK_EMPTY"),
    ],
)
def test_what_does_nothing_says_so(
    tmp_path: Path,
    make_clip: MakeClip,
    monkeypatch: pytest.MonkeyPatch,
    task: Literal["fill", "erase"],
    options: Options,
    code: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("L", (64, 48)).save("black.png")
    make_clip(Path("in.mkv"), num_frames=7)
    events: list[Event] = []
    vsr.Repairer(task, **options).repair("in.mkv", "out.mkv", report=events.append)
    assert [e.code for e in events if isinstance(e, Note)].count(code) == 1


@pytest.mark.parametrize(
    ("task", "options", "says"),
    [
        ("fill", {"frames_list": "3,99-100"}, "names 99-100, which the source does not have"),
        ("erase", {"box": "0,0,10,10@5-9"}, "begins after the end of the source"),
    ],
)
def test_what_could_do_nothing_is_refused_where_that_is_known(
    tmp_path: Path,
    make_clip: MakeClip,
    task: Literal["fill", "erase"],
    options: Options,
    says: str,
) -> None:
    source = make_clip(tmp_path / "in.mp4", num_frames=6)
    with pytest.raises(ConfigError, match=says):
        vsr.Repairer(task, **options).repair(source, tmp_path / "out.mp4")
    with pytest.raises(ConfigError, match=says):
        vsr.Repairer(task, **options).plan(source, tmp_path / "out.mp4")


def test_a_list_of_gaps_says_what_the_source_does_not_have(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    with pytest.raises(ConfigError, match="names 9, which"):
        list(vsr.find_gaps(make_clip(tmp_path / "in.mp4"), frames_list="9"))
    events: list[Event] = []
    list(vsr.find_gaps(make_clip(tmp_path / "in.mkv"), frames_list="9", report=events.append))
    assert [e.code for e in events if isinstance(e, Note)] == ["W_FRAMES_ABSENT"]


def test_options_of_a_model_are_refused(tmp_path: Path, source: Path) -> None:
    with pytest.raises(vsr.VsrError, match="`--steps` means nothing to `vsr fill`") as caught:
        vsr.fill(source, tmp_path / "out.mkv", steps=4)
    assert caught.value.exit_code == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "options"),
    [
        ("fill", {"find": "frozen"}),
        ("fill", {"find": "frozen", "fps": "60"}),
        ("erase", {"box": ["30,20,20,20"], "reach": 8}),
    ],
)
def test_a_job_that_is_killed_goes_on_to_the_same_frames(
    tmp_path: Path, source: Path, task: Literal["fill", "erase"], options: Options
) -> None:
    options |= {"lossless": True, "checkpoint": 0, "chunk_length": 7}
    vsr.Repairer(task, **options).repair(source, tmp_path / "whole.mkv")
    whole = frames_of(tmp_path / "whole.mkv")
    for frame in (8, 13):
        target = tmp_path / f"{frame}.mkv"
        command = [sys.executable, "-c", KILLED, task, str(source), str(target), str(frame)]
        killed = subprocess.run([*command, json.dumps(options)], check=False)
        assert killed.returncode == -signal.SIGKILL
        events: list[Event] = []
        vsr.Repairer(task, **options).repair(source, target, report=events.append)
        assert "W_RESUMED" in [e.code for e in events if isinstance(e, Note)]
        pairs = zip(whole, frames_of(target), strict=True)
        assert all(is_same(a, b) for a, b in pairs)


@pytest.mark.slow
def test_what_is_repaired_before_a_model_goes_on_to_the_same_frames(
    tmp_path: Path, source: Path
) -> None:
    model = write_tiny_weights(tmp_path / "tiny.safetensors")
    options: Options = {"model": model, "scale": 1, "steps": 1, "device": "cpu", "dtype": "float32"}
    options |= {"lossless": True, "checkpoint": 0, "chunk_length": 7, "clip_length": 4}
    options |= {"box": ["30,20,20,20"], "reach": 4, "find": "frozen"}
    vsr.upscale(source, tmp_path / "whole.mkv", **options)
    target = tmp_path / "out.mkv"

    def fail(event: Event) -> None:
        if isinstance(event, vsr.Progress) and event.frame == 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        vsr.upscale(source, target, report=fail, **options)
    events: list[Event] = []
    vsr.upscale(source, target, report=events.append, **options)
    assert "W_RESUMED" in [e.code for e in events if isinstance(e, Note)]
    pairs = zip(frames_of(tmp_path / "whole.mkv"), frames_of(target), strict=True)
    assert all(is_same(a, b) for a, b in pairs)


@pytest.mark.slow
def test_without_strength_the_source_is_what_remains(tmp_path: Path) -> None:
    source = write_clip(
        tmp_path / "in.mkv", codec="ffv1", pix_fmt="bgr0", num_frames=7, size=(34, 46)
    )
    options: Options = {"model": write_tiny_weights(tmp_path / "tiny.safetensors"), "steps": 1}
    options |= {"device": "cpu", "dtype": "float32", "vcodec": "ffv1", "pix_fmt": "bgr0"}
    options["clip_length"] = 3
    vsr.restore(source, tmp_path / "full.mkv", **options)
    for name, strength in (("none", 0.0), ("half", 0.5)):
        options["strength"] = strength
        vsr.restore(source, tmp_path / f"{name}.mkv", **options)
    pairs = zip(frames_of(source), frames_of(tmp_path / "none.mkv"), strict=True)
    assert all(is_same(a, b) for a, b in pairs)
    both = zip(*(frames_of(tmp_path / f"{n}.mkv") for n in ("none", "half", "full")), strict=True)
    for none, half, full in both:
        mean = (none.planes[1].astype(float) + full.planes[1]) / 2
        assert np.abs(half.planes[1] - mean).max() <= 1
        assert not is_same(half, full)


def test_neither_mask_nor_source_is_ever_replaced(tmp_path: Path, make_clip: MakeClip) -> None:
    source, mask = make_clip(tmp_path / "in.mkv"), make_clip(tmp_path / "mask.mkv")
    (tmp_path / "link.mkv").symlink_to(mask)
    before = source.read_bytes(), mask.read_bytes()
    for target in (source, mask, tmp_path / "link.mkv"):
        with pytest.raises(vsr.VsrError, match="itself"):
            vsr.erase(source, target, mask=mask, overwrite=True)
        with pytest.raises(vsr.VsrError, match="itself"):
            vsr.show_mask(source, target, mask=mask, overwrite=True)
    assert (source.read_bytes(), mask.read_bytes()) == before
    assert len(list(tmp_path.iterdir())) == 3
