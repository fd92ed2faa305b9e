import inspect
import json
import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import vsr_cli as vsr
from tests.conftest import MakeClip, write_clip
from tests.networks import write_tiny_weights
from tests.viewing.pages import data_of, read_page, words_of
from vsr_cli.cli.app import app
from vsr_cli.cli.preview import preview
from vsr_cli.options import Options
from vsr_cli.viewing import samples
from vsr_cli.viewing.footage import open_footage

SMALL = {"scale": 2, "steps": 1, "device": "cpu", "dtype": "float32"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_weights(tmp_path_factory.mktemp("model") / "tiny.safetensors")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "in.mp4", num_frames=75, options={"g": "10"})


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VSR_CACHE_DIR", str(tmp_path / "cache"))


def run(model: Path, *words: str | Path) -> tuple[int, str, str]:
    options = ("--model", model, "-s", "2", "--steps", "1", "--device", "cpu")
    result = CliRunner().invoke(app, ["preview", *map(str, (*words, *options))])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.stdout, result.stderr


def pictures(path: Path) -> list[np.ndarray]:
    return [shot.picture.astype(int) for shot in open_footage(path, path.name).shots()]


def options_of(model: Path, **more: object) -> Options:
    return {**SMALL, "model": model, **more}  # type: ignore[typeddict-item]


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_frames_are_those_of_the_whole_job(
    tmp_path: Path, model: Path, steps: int, suffix: str
) -> None:
    source = write_clip(tmp_path / f"in{suffix}", num_frames=120, options={"g": "10"})
    options = options_of(model, steps=steps, vcodec="ffv1", pix_fmt="yuv420p")
    vsr.upscale(source, tmp_path / "whole.mkv", **options)
    found = vsr.preview(source, tmp_path / "all", at="1.0,80%", seconds=0.4, **options)
    whole = pictures(tmp_path / "whole.mkv")
    assert [round(sample.at * 25) for sample in found.samples] == [25, 96]
    for number, sample in enumerate(found.samples, 1):
        shown = pictures(tmp_path / "all" / f"{number}_vsr.mkv")
        first = round(sample.at * 25)
        assert len(shown) == sample.frames == 10
        far = [np.abs(a - whole[first + k]).mean() for k, a in enumerate(shown)]
        assert max(far) < 0.1
        near = [np.abs(a - whole[first + k - 1]).mean() for k, a in enumerate(shown)]
        assert min(near) > 0.1  # the test can tell one frame from the next


@pytest.mark.slow
def test_frames_of_a_part_and_of_an_uneven_rate_are_those_of_the_job_too(
    tmp_path: Path, model: Path
) -> None:
    pts = [40 * index + (17 if index % 3 else 0) for index in range(90)]
    source = write_clip(tmp_path / "in.mkv", pts=pts, time_base=Fraction(1, 1000))
    options = options_of(model, start="0.5", vcodec="ffv1", pix_fmt="yuv420p")
    vsr.upscale(source, tmp_path / "whole.mkv", **options)
    vsr.preview(source, tmp_path / "all", at="2.5", seconds=0.3, **options)
    whole = pictures(tmp_path / "whole.mkv")
    shown = pictures(tmp_path / "all" / "1_vsr.mkv")
    places = [
        next(k for k, frame in enumerate(whole) if np.abs(frame - one).mean() < 0.1)
        for one in shown
    ]
    assert places == list(range(places[0], places[0] + len(shown)))
    assert len(shown) in (7, 8)


@pytest.mark.slow
def test_a_page_is_the_default_and_lies_beside_the_source(source: Path, model: Path) -> None:
    code, out, err = run(model, source, "--seconds", "0.3")
    assert code == 0, err
    page = source.with_name("in.preview.html")
    data = data_of(read_page(page))
    assert data["names"] == ["in.mp4", "vsr"]
    assert data["captions"] == ["in.mp4 (64x48, bicubic)", "vsr"]
    assert len(data["times"]) == 24
    assert data["labels"][0] == "sample 1, "
    assert data["times"][0] == pytest.approx(0.3, abs=0.021)
    assert data["times"][-1] == pytest.approx(2.96, abs=0.041)
    assert "the whole job about" in out
    assert "whole job, about" in words_of(page)


@pytest.mark.slow
def test_a_grid_shows_every_combination(source: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "look.png"
    grid = ("--grid", "fidelity=1,0.2", "--grid", "steps=1,2")
    code, text, err = run(model, source, out, *grid, "--frame", "--at", "1.0")
    assert code == 0, err
    names = ["fidelity=1 steps=1", "fidelity=1 steps=2", "fidelity=0.2 steps=1"]
    assert [line.split(": ")[0] for line in text.splitlines()] == [*names, "fidelity=0.2 steps=2"]
    picture = np.asarray(Image.open(out)).astype(int)
    assert picture.shape == (96, 5 * 128 + 4 * 2, 3)
    cells = [picture[:60, k * 130 : k * 130 + 128] for k in range(1, 5)]
    assert all(np.abs(cells[0] - cell).mean() > 0 for cell in cells[1:])


@pytest.mark.slow
def test_a_second_preview_computes_only_what_is_new(
    source: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = []
    compute = samples.Sampler._compute

    def counted(*args: object) -> float:
        computed.append(args)
        return compute(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(samples.Sampler, "_compute", counted)
    words = (source, tmp_path / "a.html", "--seconds", "0.2", "--at", "10%,50%", "--json")
    assert run(model, *words)[0] == 0
    assert len(computed) == 2
    code, out, _ = run(model, *words, "-y", "--grid", "steps=1,2")
    events = [json.loads(line) for line in out.splitlines()]
    previews = [event for event in events if event["type"] == "preview"]
    assert code == 0
    assert [(event["variant"], event["is_kept"]) for event in previews] == [
        ("steps=1", True),
        ("steps=2", False),
    ] * 2
    assert len(computed) == 4
    assert run(model, *words, "-y", "--crf", "30")[0] == 0
    assert len(computed) == 4
    assert run(model, *words, "-y", "--no-cache")[0] == 0
    assert len(computed) == 6
    os.utime(source)
    assert run(model, *words, "-y")[0] == 0
    assert len(computed) == 8


@pytest.mark.slow
def test_events_tell_samples_and_what_the_whole_would_cost(
    source: Path, model: Path, tmp_path: Path
) -> None:
    code, out, _ = run(model, source, tmp_path / "a.html", "--seconds", "0.6", "--json")
    assert code == 0
    events = [json.loads(line) for line in out.splitlines()]
    previews = [event for event in events if event["type"] == "preview"]
    assert [event["frames"] for event in previews] == [15, 15, 15]
    assert events[-1]["type"] == "prediction"
    assert events[-1]["frames"] == 75
    assert events[-1]["seconds"] == pytest.approx(75 * events[-1]["s_per_frame"], rel=0.05)
    whole = tmp_path / "whole.mp4"
    vsr.upscale(source, whole, **options_of(model))
    assert 0.3 < events[-1]["bytes"] / whole.stat().st_size < 3
    assert not [event for event in events if event["type"] == "plan"]


@pytest.mark.slow
def test_a_video_shows_all_samples_in_a_row(source: Path, model: Path, tmp_path: Path) -> None:
    code, _, err = run(model, source, tmp_path / "a.mp4", "--seconds", "0.2", "--at", "10%,60%")
    assert code == 0, err
    info = vsr.probe(tmp_path / "a.mp4").info
    assert (info.width, info.height) == (2 * 128 + 2, 96)
    assert len(pictures(tmp_path / "a.mp4")) == 10
    assert info.duration == Fraction(10, 25)


@pytest.mark.slow
def test_a_folder_gets_all_pieces(source: Path, model: Path, tmp_path: Path) -> None:
    words = ("--seconds", "0.2", "--at", "50%")
    assert run(model, source, tmp_path / "all", *words)[0] == 0
    names = {path.name for path in (tmp_path / "all").iterdir()}
    pieces = {"1_source.mkv", "1_vsr.mkv"}
    assert names == {"page.html", "sheet.png", "preview.json", *pieces}
    values = json.loads((tmp_path / "all" / "preview.json").read_text())
    assert [len(values[key]) for key in ("samples", "predictions")] == [1, 1]
    assert len(pictures(tmp_path / "all" / "1_source.mkv")) == 5
    (tmp_path / "all" / "mine.txt").write_text("mine")
    code, _, err = run(model, source, tmp_path / "all", *words)
    assert (code, "is not empty" in err) == (4, True)
    assert run(model, source, tmp_path / "all", *words, "-y")[0] == 0
    assert (tmp_path / "all" / "mine.txt").read_text() == "mine"


@pytest.mark.slow
@pytest.mark.parametrize("crop", ["32x16+10+4", "auto"])
def test_a_piece_is_enlarged_by_itself(tmp_path: Path, model: Path, crop: str) -> None:
    source = write_clip(tmp_path / "in.mp4", num_frames=30, size=(200, 360))
    out = tmp_path / "a.png"
    code, text, err = run(model, source, out, "--crop", crop, "--frame", "--at", "50%")
    assert code == 0, err
    width, height = (64, 32) if crop != "auto" else (640, 360)
    assert Image.open(out).size == (2 * width + 2, height)
    assert "the whole job about" in text


def test_the_liveliest_piece_is_where_detail_moves(tmp_path: Path) -> None:
    import av

    path = tmp_path / "in.mkv"
    noise = np.random.default_rng(0)
    with av.open(str(path), "w") as output:
        stream = output.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for _ in range(6):
            picture = np.full((240, 320, 3), 90, np.uint8)
            picture[160:200, 40:90] = noise.integers(0, 256, (40, 50, 3))
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode(None))
    piece = samples.liveliest_piece([open_footage(path, "in")], (60, 80))
    assert piece.y <= 164 <= 196 <= piece.y + piece.height
    assert piece.x <= 44 <= 86 <= piece.x + piece.width


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ("--grid steps", 2, "is no grid"),
        ("--grid crf=1,2", 2, "`--grid` knows no `crf`"),
        ("--grid stepz=1,2", 2, "did you mean `steps`"),
        ("--grid steps=x", 2, "is not a number"),
        ("--grid steps=0", 2, "`--steps 0` is out of range"),
        ("--grid color=red", 2, "`--grid color=red` is not known"),
        ("--grid steps=1,2,3,4 --grid seed=1,2,3,4", 2, "comes to 16 combinations"),
        ("--seconds 11", 2, "`--seconds 11` is out of range"),
        ("--at 120%", 2, "is not in the video"),
        ("--at 9:00", 2, "nothing is shown 540 s after the start"),
        ("--at soon", 2, "is not a time"),
        ("--at 0.2 --start 1", 2, "lies before `--start`"),
        ("--crop 999x9+0+0", 2, "reaches out of the picture"),
        ("--crop auto --box 0,0,8,8", 2, "contradict each other"),
        ("--model nothing", 5, "nothing"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_computed(
    source: Path, model: Path, words: str, code: int, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(path: Path) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("vsr_cli.pipeline.restorers.small.family.load_weights", load)
    out = source.with_name("x.html")
    typed = ["preview", str(source), str(out), *words.split()]
    if "--model" not in words:
        typed += ["--model", str(model)]
    result = CliRunner().invoke(app, typed)
    assert (result.exit_code, out.exists(), says in result.stderr) == (code, False, True), (
        result.stderr
    )


@pytest.mark.parametrize("name", ["out.html", "out.png", "out.mp4"])
def test_what_exists_is_kept(source: Path, model: Path, name: str) -> None:
    out = source.with_name(name)
    out.write_text("mine")
    code, _, err = run(model, source, out)
    assert (code, out.read_text()) == (4, "mine")
    assert "use `--overwrite`" in err


def test_the_source_is_never_written_over(source: Path, model: Path) -> None:
    before = source.read_bytes()
    assert run(model, source, source, "-y")[0] == 4
    assert source.read_bytes() == before


def test_a_pipe_and_a_missing_source_are_refused(tmp_path: Path, model: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    code, _, err = run(model, tmp_path / "pipe", tmp_path / "a.html")
    assert (code, "read only once" in err) == (3, True)
    assert run(model, tmp_path / "missing.mp4", tmp_path / "a.html")[0] == 3


def test_a_clip_that_is_shorter_than_a_sample_is_shown_once(
    tmp_path: Path, make_clip: MakeClip, model: Path
) -> None:
    source = make_clip(tmp_path / "in.mp4", num_frames=4)
    found = vsr.preview(source, **options_of(model))
    assert [(sample.at, sample.frames) for sample in found.samples] == [(0, 4)]
    assert found.predictions[0].bytes is None


@pytest.mark.slow
def test_images_are_previewed(tmp_path: Path, make_clip: MakeClip, model: Path) -> None:
    (tmp_path / "images").mkdir()
    for index, picture in enumerate(pictures(make_clip(tmp_path / "in.mp4", num_frames=30))):
        image = Image.fromarray(picture.astype(np.uint8))
        image.save(tmp_path / "images" / f"{index:03}.png")
    out = tmp_path / "all"
    found = vsr.preview(tmp_path / "images", out, at="50%", seconds=0.2, **options_of(model))
    assert [(sample.at, sample.frames) for sample in found.samples] == [(0.6, 5)]
    shown, original = pictures(out / "1_source.mkv"), pictures(tmp_path / "in.mp4")
    for number, frame in enumerate(shown):
        assert np.abs(frame - original[15 + number]).mean() < 1
    numbered = tmp_path / "images" / "%03d.png"
    again = vsr.preview(numbered, tmp_path / "b.html", at="50%", seconds=0.2, **options_of(model))
    assert [sample.at for sample in again.samples] == [0.6]


@pytest.mark.slow
def test_a_long_preview_is_said_before_it_begins(
    source: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vsr_cli.pipeline.run.remembered_speed", lambda key: 1e-3)
    code, _, err = run(model, source, tmp_path / "a.html", "--seconds", "0.4")
    assert code == 0
    # 10 frames each, and 7, 16 and 16 before them, at 3.07 s a frame
    assert "69 frames will take about 4 min" in err
    assert "`--crop auto` looks at a piece" in err
    assert err.index("W_PREVIEW_LONG") < err.index("wrote")


@pytest.mark.slow
def test_frames_at_a_higher_rate_are_those_of_the_job(tmp_path: Path, model: Path) -> None:
    source = write_clip(tmp_path / "in.mkv", num_frames=60)
    options = options_of(model, fps=50, vcodec="ffv1", pix_fmt="yuv420p")
    vsr.upscale(source, tmp_path / "whole.mkv", **options)
    out = tmp_path / "all"
    found = vsr.preview(source, out, at="1.0", seconds=0.2, **options)
    assert found.predictions[0].frames == 120
    shown, whole = pictures(out / "1_vsr.mkv"), pictures(tmp_path / "whole.mkv")
    assert len(shown) in (9, 10)
    far = [np.abs(frame - whole[50 + k]).mean() for k, frame in enumerate(shown)]
    assert max(far) < 0.1
    times = data_of(read_page(out / "page.html"))["times"]
    assert times == pytest.approx([1 + k / 50 for k in range(len(shown))], abs=1e-3)
    vsr.preview(source, tmp_path / "a.mp4", at="20%,1.0", seconds=0.2, **options)
    assert len(pictures(tmp_path / "a.mp4")) == 2 * len(shown)


def test_the_function_has_the_options_of_the_command() -> None:
    typed = inspect.signature(preview).parameters
    function = inspect.signature(vsr.preview).parameters
    own = {"as_json", "quiet", "verbose", "report", "stop", "options", "help_all"}
    own |= {"config", "no_config", "preset_name"}
    shared = set(Options.__annotations__)
    assert not {"live", "max_delay"} & set(typed)  # a live source cannot be looked into
    assert set(typed) - own - shared == set(function) - own
    for name in set(typed) - own - shared - {"source"}:
        assert typed[name].default == function[name].default, name
