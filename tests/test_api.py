"""The Python interface does what the commands do, and a program can be checked against it."""

import inspect
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import vsr_cli as vsr
from tests.conftest import MakeClip, write_clip
from tests.networks import write_tiny_weights
from vsr_cli import api
from vsr_cli.cli.options_input import input_options
from vsr_cli.cli.options_job import job_options, live_options, shard_options, worker_options
from vsr_cli.cli.options_model import model_options
from vsr_cli.cli.options_output import output_options
from vsr_cli.cli.options_repair import erase_options, fill_options
from vsr_cli.config import UpscaleConfig
from vsr_cli.digest import sha256
from vsr_cli.events import Event, ignore
from vsr_cli.media.reading.reader import read_frames
from vsr_cli.options import Options, make_config

ROOT = Path(__file__).parents[1]
ONLY_PYTHON = {"guidance", "memory"}
PROGRAM = """
import numpy as np
import vsr_cli as vsr

def restore(frames: list[np.ndarray]) -> list[np.ndarray]:
    upscaler = vsr.Upscaler(scale=2, steps=4)
    return list(upscaler.frames(frames))

def convert(source: str, target: str) -> int:
    try:
        return vsr.upscale(source, target, crf=18, overwrite=True).frames_out
    except vsr.VsrError as error:
        return -error.exit_code
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_weights(tmp_path_factory.mktemp("model") / "tiny.safetensors")


def moving(num_frames: int) -> list[NDArray[np.uint8]]:
    """Frames (24, 32, 3) of a texture that moves by a pixel a frame."""
    texture = np.random.default_rng(0).integers(0, 256, (24, 32 + num_frames, 3), np.uint8)
    return [texture[:, k : k + 32] for k in range(num_frames)]


def test_importing_loads_nothing_heavy() -> None:
    script = "import sys, vsr_cli as vsr; vsr.Upscaler; vsr.upscale; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "vsr_cli.api" in run.stdout.split()
    assert not {"torch", "av", "numpy", "typer"} & set(run.stdout.split())


def test_every_name_is_there_and_no_other() -> None:
    assert all(hasattr(vsr, name) for name in vsr.__all__)
    assert set(dir(vsr)) == set(vsr.__all__)
    assert set(api.__all__) <= set(vsr.__all__)
    with pytest.raises(AttributeError, match="has no attribute `nonsense`"):
        vsr.nonsense  # noqa: B018


def test_every_name_in_the_documentation_is_there() -> None:
    text = (Path(__file__).parents[1] / "docs" / "python.md").read_text()
    others = re.search(r"commands are there, too\s*\((.*?), \.\.\.\)", text, re.DOTALL)
    assert others is not None
    names = {*re.findall(r"vsr\.(\w+)", text), *re.findall(r"`(?:vsr\.)?(\w+)`", others[1])}
    assert {"Upscaler", "export_model", "list_weights"} <= names <= set(vsr.__all__)


def test_the_options_are_those_of_the_command_line_with_the_same_defaults() -> None:
    declared = {
        name: parameter.default
        for declare in (
            model_options,
            input_options,
            output_options,
            job_options,
            worker_options,
            shard_options,
            live_options,
            fill_options,
            erase_options,
        )
        for name, parameter in inspect.signature(declare).parameters.items()
    }
    assert set(Options.__annotations__) == set(declared) | ONLY_PYTHON
    assert make_config(Options(**declared)) == make_config({}) == UpscaleConfig()  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("options", "same"),
    [
        ({"scale": 1.5}, {"scale": "3/2"}),
        ({"scale": Fraction(3, 2)}, {"scale": "1.5"}),
        ({"start": 62.5}, {"start": "1:02.5"}),
        ({"frames": (3, None)}, {"frames": "3:"}),
        ({"raw_size": (64, 48)}, {"raw_size": "64x48"}),
        ({"enc_opt": {"g": "12"}}, {"enc_opt": ["g=12"]}),
        ({"cfr": 29.97}, {"cfr": "29.97"}),
        ({"tile": 512}, {"tile": "512"}),
        ({"job_dir": "a"}, {"job_dir": Path("a")}),
    ],
)
def test_values_are_numbers_or_what_one_would_type(options: Options, same: Options) -> None:
    assert make_config(options) == make_config(same) != UpscaleConfig()


def test_an_unknown_option_is_an_error_of_the_program() -> None:
    with pytest.raises(TypeError, match="no option `stepz`"):
        vsr.Upscaler(stepz=4)  # type: ignore[call-arg]


def test_a_file_is_upscaled_by_its_name_as_text(
    tmp_path: Path, make_clip: MakeClip, model: Path
) -> None:
    source = make_clip(tmp_path / "in.mp4", audio=["aac"])
    events: list[Event] = []
    done = vsr.upscale(
        str(source),
        str(tmp_path / "out.mkv"),
        model=str(model),
        steps=1,
        scale=2,
        device="cpu",
        report=events.append,
    )
    assert (done.frames_out, done.height, done.width) == (6, 96, 128)
    assert [type(event) for event in events].count(vsr.Progress) >= 7
    assert isinstance(events[0], vsr.Plan)
    found = vsr.probe(tmp_path / "out.mkv", scale=1)
    assert (found.info.width, found.info.height, len(found.streams)) == (128, 96, 1)
    assert found.output.size == (96, 128)


def test_a_plan_leaves_no_file(tmp_path: Path, make_clip: MakeClip, model: Path) -> None:
    source = make_clip(tmp_path / "in.mp4")
    plan = vsr.plan(source, tmp_path / "out.mp4", model=model, device="cpu")
    assert (plan.source_size, plan.target_size) == ((48, 64), (192, 256))
    assert list(tmp_path.iterdir()) == [source]


def test_a_failure_has_the_exit_code_of_the_command(tmp_path: Path) -> None:
    with pytest.raises(vsr.VsrError) as caught:
        vsr.upscale(tmp_path / "missing.mp4", tmp_path / "out.mp4")
    assert caught.value.exit_code == 3


def test_a_job_stops_where_it_is_asked_to_and_goes_on(
    tmp_path: Path, make_clip: MakeClip, model: Path
) -> None:
    source, target = make_clip(tmp_path / "in.mp4", num_frames=12), tmp_path / "out.mkv"
    stop = vsr.StopRequest()

    def ask(event: Event) -> None:
        if isinstance(event, vsr.Progress) and event.frame == 2:
            stop.request()

    options: Options = {"model": model, "steps": 1, "device": "cpu", "clip_length": 4}
    with pytest.raises(vsr.Stopped) as caught:
        vsr.upscale(source, target, report=ask, stop=stop, **options)
    assert 0 < caught.value.num_frames < 12
    assert not target.exists()
    assert vsr.upscale(source, target, **options).frames_out == 12


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_frames_in_memory_come_back_enlarged_one_for_each(model: Path, kind: str) -> None:
    upscaler = vsr.Upscaler(model=model, scale=2, steps=1, device="cpu", dtype="float32")
    frames = moving(11)
    if kind == "numpy":
        found = list(upscaler.frames(frames))
        assert all(isinstance(frame, np.ndarray) for frame in found)
        arrays = found
    else:
        tensors = list(upscaler.frames(torch.from_numpy(frame.copy()) for frame in frames))
        arrays = [frame.numpy() for frame in tensors]
    assert {(frame.shape, str(frame.dtype)) for frame in arrays} == {((48, 64, 3), "uint8")}
    assert len(arrays) == 11
    # Colours are those of the source; a random network adds but a little.
    for small, large in zip(frames, arrays, strict=True):
        assert np.abs(small.mean((0, 1)) - large.mean((0, 1))).max() < 4


def test_frames_in_memory_are_those_of_the_file(tmp_path: Path, model: Path) -> None:
    source = write_clip(tmp_path / "in.mkv", codec="ffv1", pix_fmt="bgr0")
    rgb = [
        np.stack(frame.planes, axis=-1).astype(np.uint8)
        for frame in read_frames(source, report=ignore)
    ]
    options: Options = {"model": model, "steps": 1, "device": "cpu", "dtype": "float32"}
    found = list(vsr.Upscaler(**options).frames(rgb))
    options |= {"vcodec": "ffv1", "pix_fmt": "bgr0"}
    vsr.upscale(source, tmp_path / "out.mkv", **options)
    for frame, array in zip(read_frames(tmp_path / "out.mkv", report=ignore), found, strict=True):
        assert np.array_equal(array, np.stack(frame.planes, axis=-1))


def test_no_frames_give_none(model: Path) -> None:
    assert list(vsr.Upscaler(model=model).frames(iter([]))) == []


@pytest.mark.parametrize(
    ("frames", "says"),
    [
        ([np.zeros((24, 32), np.uint8)], "cannot be upscaled"),
        ([np.zeros((24, 32, 3), np.float32)], "cannot be upscaled"),
        ([np.zeros((24, 32, 3), np.uint8), np.zeros((24, 30, 3), np.uint8)], "is 30x24, those"),
    ],
)
def test_frames_that_are_none_are_refused(
    model: Path, frames: list[NDArray[np.uint8]], says: str
) -> None:
    with pytest.raises(vsr.VsrError, match=says) as caught:
        list(vsr.Upscaler(model=model, steps=1, device="cpu").frames(frames))
    assert caught.value.exit_code == 2


def test_the_random_numbers_of_the_caller_are_left_alone(model: Path) -> None:
    before = torch.get_rng_state()
    list(vsr.Upscaler(model=model, steps=2, device="cpu").frames(moving(3)))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.slow
def test_a_program_that_uses_it_is_well_typed(tmp_path: Path) -> None:
    problems = problems_of(tmp_path, PROGRAM)
    assert [line for line in problems if "ndarray" not in line] == []  # numpy's own, of the program


@pytest.mark.slow
def test_a_program_that_misuses_it_is_not(tmp_path: Path) -> None:
    program = "import vsr_cli as vsr\nvsr.upscale('a', 'b', steps='many', stepz=1)\n"
    problems = "\n".join(problems_of(tmp_path, program))
    assert 'argument "steps"' in problems.lower()
    assert '"stepz"' in problems


def problems_of(folder: Path, program: str) -> list[str]:
    """What mypy, as strict as it is here, has to say of a program outside of the repository.

    With the settings of the repository, what it knows of the package from there is used again.
    """
    script = folder / "program.py"
    script.write_text(program)
    command = [sys.executable, "-m", "mypy", str(script)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert run.returncode in (0, 1), run.stderr
    return [line for line in run.stdout.splitlines() if f"{script.name}:" in line]


def test_the_example_of_the_readme_is_a_program(
    tmp_path: Path, make_clip: MakeClip, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run as it stands, but for the model, which is a tiny one."""
    readme = (ROOT / "README.md").read_text()
    code = readme.split("```python\n")[1].split("```")[0]
    make_clip(tmp_path / "in.mp4", num_frames=2)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("vsr_cli.pipeline.planner.shipped_weights", lambda: model)
    printed: list[str] = []
    exec(code, {"print": lambda *values: printed.append(" ".join(map(str, values)))})
    assert printed[:8] == ["(240, 320, 3)"] * 8
    assert printed[-1] == "2 25"


def test_a_clip_is_degraded_and_what_was_drawn_is_told(tmp_path: Path, make_clip: MakeClip) -> None:
    source, events = make_clip(tmp_path / "in.mkv", size=(48, 64)), list[Event]()
    done = vsr.degrade(source, tmp_path / "lr.mkv", scale=2, level="heavy", report=events.append)
    assert (done.frames_out, done.height, done.width) == (6, 24, 32)
    [drawn] = [event for event in events if isinstance(event, vsr.DegradationDrawn)]
    assert (drawn.level, drawn.scale, drawn.seed) == ("heavy", 2, 0)
    with pytest.raises(vsr.VsrError, match="exists"):
        vsr.degrade(source, tmp_path / "lr.mkv")


@pytest.mark.slow
def test_costs_are_measured_for_every_size_and_number_of_steps(model: Path) -> None:
    events: list[Event] = []
    results = vsr.bench(
        size=["32x16", "16x16"],
        steps=[1, 2],
        num_frames=2,
        model=model,
        device="cpu",
        report=events.append,
    )
    assert [event for event in events if isinstance(event, vsr.BenchResult)] == results
    assert [(result.lr_size, result.steps) for result in results] == [
        (size, steps) for size in ((16, 32), (16, 16)) for steps in (1, 2)
    ]
    assert results[0].tflop > results[2].tflop > 0
    with pytest.raises(vsr.VsrError, match="too small"):
        vsr.bench(size=["4x4"], model=model)


def test_an_unfinished_job_is_found_and_removed(
    tmp_path: Path, make_clip: MakeClip, model: Path
) -> None:
    source, target = make_clip(tmp_path / "in.mp4", num_frames=12), tmp_path / "out.mkv"
    stop = vsr.StopRequest()

    def ask(event: Event) -> None:
        if isinstance(event, vsr.Progress) and event.frame == 2:
            stop.request()

    with pytest.raises(vsr.Stopped):
        vsr.upscale(source, target, report=ask, stop=stop, model=model, steps=1, device="cpu")
    [job] = vsr.find_jobs([tmp_path])
    assert job.source == str(source)
    assert not job.is_busy
    assert vsr.remove_job(job.folder)
    assert vsr.find_jobs([str(tmp_path)]) == []


def test_a_folder_that_is_no_job_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(vsr.VsrError, match="not the folder of a job"):
        vsr.remove_job(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_weights_are_described_and_verified(model: Path) -> None:
    info = vsr.describe_weights(model)
    assert (info.name, info.family, info.file) == ("tiny", "small", model)
    assert info.num_bytes == model.stat().st_size > info.num_parameters
    assert vsr.verify_weights(model) == sha256(model)
    assert model not in {weights.file for weights in vsr.list_weights()}
    with pytest.raises(vsr.VsrError, match="no name"):
        vsr.import_weights([model], name="../mine")
