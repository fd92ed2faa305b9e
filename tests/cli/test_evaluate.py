import json
from dataclasses import replace
from pathlib import Path

import av
import pytest
from torch import Tensor
from typer.testing import CliRunner

from tests.conftest import MakeClip
from tests.networks import TINY, write_tiny_weights
from vsr_cli.cli.app import app
from vsr_cli.digest import sha256
from vsr_cli.models.small.model import SmallModel
from vsr_cli.models.weights import save_weights


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    return write_tiny_weights(tmp_path / "tiny.safetensors")


@pytest.fixture
def clips(tmp_path: Path, make_clip: MakeClip) -> Path:
    folder = tmp_path / "clips"
    folder.mkdir()
    make_clip(folder / "a.mp4", num_frames=2, size=(64, 96))
    return folder


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heavy work must not begin."""

    def load(path: Path) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("vsr_cli.pipeline.restorers.small.family.load_weights", load)


def run(*words: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["evaluate", *map(str, words)])
    return result.exit_code, result.stdout, result.stderr


def rows(text: str) -> dict[str, dict[str, object]]:
    """The rows of the first clip, by restorer."""
    return {row["restorer"]: row for row in json.loads(text)["clips"]}


def test_every_number_of_steps_is_compared_with_bicubic(clips: Path, model_file: Path) -> None:
    common = (clips, "--model", model_file, "--frames", "2", "--device", "cpu")
    code, out, err = run(*common, "--level", "clean", "--steps", "1", "--steps", "3")
    assert code == 0, err
    for name in ("bicubic", "lanczos", "small@1", "small@3"):
        assert f"| {name} |" in out
    code, out, _ = run(*common, "--level", "mild", "--json")
    assert code == 0
    assert list(rows(out)) == ["bicubic", "lanczos", "small@2"]


def test_an_unknown_degradation_is_refused(clips: Path, model_file: Path) -> None:
    code, _, err = run(clips, "--model", model_file, "--level", "awful")
    assert code == 2
    assert "use clean, mild, heavy" in err


def test_both_tables_are_written_with_the_settings_of_each_row(
    clips: Path, model_file: Path, tmp_path: Path
) -> None:
    markdown, json_file = tmp_path / "table.md", tmp_path / "table.json"
    words = ("--markdown", markdown, "--json-file", json_file, "--level", "clean")
    common = (clips, "--model", model_file, "--frames", "2", "--device", "cpu", "--seed", "4")
    code, out, err = run(*common, *words, "--dtype", "float32")
    assert code == 0, err
    assert out.strip() == markdown.read_text().strip()
    found = rows(json_file.read_text())
    assert found["bicubic"]["settings"] == {"frames": 2, "seed": 4, "scale": 4}
    assert found["small@2"]["settings"] == {
        **{
            "frames": 2,
            "seed": 4,
            "scale": 4,
            "steps": 2,
            "motion_scale": 1.0,
            "guidance": "bounded",
        },
        **{"fidelity": 1.0, "color": "wavelet", "memory": "warped", "flow": "dis"},
        **{"model": "tiny.safetensors", "model_sha256": sha256(model_file)},
        **{"device": "cpu", "dtype": "float32"},
    }


@pytest.mark.usefixtures("no_model")
def test_files_that_exist_are_kept_unless_told_otherwise(clips: Path, tmp_path: Path) -> None:
    path = tmp_path / "table.md"
    path.write_text("mine")
    code, _, err = run(clips, "--markdown", path, "--frames", "2")
    assert (code, path.read_text()) == (4, "mine")
    assert "use `--overwrite`" in err


def test_variants_change_the_model_and_say_how(clips: Path, model_file: Path) -> None:
    common = (clips, "--model", model_file, "--frames", "2", "--level", "clean", "--steps", "3")
    variants = ("--variant", "still:memory=still,motion_scale=0", "--variant", "one:steps=1")
    code, out, err = run(*common, *variants, "--json", "--dtype", "float32", "--device", "cpu")
    assert code == 0, err
    found = rows(out)
    assert list(found) == ["bicubic", "lanczos", "small@3", "still", "one"]
    changed = {
        name: [row["settings"][key] for key in ("steps", "memory", "motion_scale")]
        for name in ("small@3", "still", "one")
        if isinstance(row := found[name], dict) and isinstance(row["settings"], dict)
    }
    assert changed == {
        "small@3": [3, "warped", 1.0],
        "still": [3, "still", 0.0],
        "one": [1, "warped", 1.0],
    }
    assert len({found[name]["psnr"] for name in ("small@3", "still", "one")}) == 3


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize(
    ("words", "what", "hint"),
    [
        ("--variant x:speed=1", "there is no setting `speed`", "use steps"),
        ("--variant bicubic:steps=1", "the name `bicubic` is taken", "choose another"),
        ("--variant x:steps=1 --variant x:steps=2", "`x` is taken", "choose another"),
        ("--variant x:steps=1 --compare x=dir", "`x` is taken", "choose another"),
        ("--compare dir", "`--compare dir` is not NAME=DIR", "write it like"),
        ("--compare =dir", "`--compare =dir` is not NAME=DIR", "write it like"),
        ("--compare small@4=dir", "the name `small@4` is taken", "choose another"),
        ("--task restore --scale 2", "contradict each other", "leave out one of them"),
        ("--task restore --level heavy", "no degradation of `--task restore`", "use noise10"),
        ("--level noise10", "no degradation of `--task upscale`", "use clean"),
        ("--latents some", "`some` is not known", "use zero, true"),
        ("--latents zero --steps 4", "contradict each other", "give one of them"),
        ("--lr . --write-lr .", "contradict each other", "give one of them"),
    ],
)
def test_bad_options_are_refused_with_a_hint(clips: Path, words: str, what: str, hint: str) -> None:
    code, out, err = run(clips, *words.split())
    assert (code, out) == (2, "")
    assert what in err
    assert f"hint: {hint}" in err


@pytest.mark.usefixtures("no_model")
def test_a_missing_result_is_named_before_the_model_loads(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    words = ("--compare", f"other={tmp_path / 'other'}", "--level", "mild")
    code, out, err = run(clips, *words, "--frames", "2")
    assert (code, out) == (3, "")
    assert f"`{tmp_path / 'other' / 'a_mild.mkv'}` does not exist" in err


def test_inputs_are_written_for_others_and_their_results_compared(
    clips: Path, model_file: Path, tmp_path: Path
) -> None:
    common = (clips, "--model", model_file, "--frames", "2", "--device", "cpu", "--seed", "2")
    lr, results = tmp_path / "lr", tmp_path / "results"
    code, first, err = run(*common, "--level", "mild", "--write-lr", lr, "--json")
    assert code == 0, err
    assert [path.name for path in lr.iterdir()] == ["a_mild.mkv"]
    results.mkdir()
    files = map(str, ("upscale", lr / "a_mild.mkv", results / "a_mild.mkv", "--model", model_file))
    lossless = ["--seed", "2", "--device", "cpu", "-c:v", "ffv1", "--pix-fmt", "bgr0"]
    upscaled = CliRunner().invoke(app, [*files, *lossless])
    assert upscaled.exit_code == 0, upscaled.stderr
    given = ("--lr", lr, "--compare", f"same={results}", "--json")
    code, second, err = run(*common, *given)
    assert code == 0, err
    before, after = rows(first), rows(second)
    assert list(after) == ["bicubic", "lanczos", "small@2", "same"]
    assert after["same"]["degradation"] == "mild"
    for name, other in (("small@2", "small@2"), ("same", "small@2"), ("bicubic", "bicubic")):
        assert after[name]["psnr"] == pytest.approx(before[other]["psnr"], abs=0.01)
    assert after["same"]["seconds"] is None


class FakeLpips:
    """Mean difference, from a file that need not exist."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, first: Tensor, second: Tensor) -> Tensor:
        return (first - second).abs().flatten(1).mean(dim=1)


def test_sharpening_needs_lpips_and_is_left_out_without(
    clips: Path, model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vsr_cli.evaluation.evaluate.Lpips", FakeLpips)
    common = (clips, "--model", model_file, "--frames", "2", "--level", "clean", "--sharpen")
    code, out, err = run(*common, "--json", "--device", "cpu")
    assert code == 0, err
    assert "`sharpen` is left out: give `--lpips-weights`" in err
    assert "sharpen" not in rows(out)
    code, out, err = run(*common, "--json", "--device", "cpu", "--lpips-weights", "any")
    assert code == 0, err
    settings = rows(out)["sharpen"]["settings"]
    assert isinstance(settings, dict)
    assert 0 <= settings["amount"] <= 4


def test_given_latents_tell_the_decoder_from_the_sampler(clips: Path, model_file: Path) -> None:
    common = (clips, "--model", model_file, "--frames", "2", "--level", "clean", "--json")
    variants = ("--variant", "near:latents=noisy:0", "--variant", "far:latents=noisy:0.8")
    code, out, err = run(*common, "--latents", "true", *variants, "--device", "cpu")
    assert code == 0, err
    found = rows(out)
    assert list(found) == ["bicubic", "lanczos", "small@true", "near", "far"]
    assert found["small@true"]["psnr"] == found["near"]["psnr"] != found["far"]["psnr"]
    settings = found["far"]["settings"]
    assert isinstance(settings, dict)
    assert settings["latents"] == "noisy:0.8"
    assert "steps" not in settings


@pytest.mark.parametrize("scale", ["1", "2"])
def test_other_scales_are_evaluated_on_inputs_of_their_size(
    clips: Path, model_file: Path, scale: str, tmp_path: Path
) -> None:
    common = (clips, "--model", model_file, "--frames", "2", "--level", "mild", "--steps", "1")
    words = ("--scale", scale, "--latents", "zero", "--write-lr", tmp_path / "lr", "--json")
    code, out, err = run(*common[:-2], *words, "--device", "cpu")
    assert code == 0, err
    assert list(rows(out)) == ["bicubic", "lanczos", "small@zero"]
    with av.open(str(tmp_path / "lr" / "a_mild.mkv")) as container:
        assert container.streams.video[0].width == 96 // int(scale)


def test_restoring_is_compared_with_denoisers_and_the_source(clips: Path, model_file: Path) -> None:
    common = (clips, "--model", model_file, "--frames", "2", "--steps", "1", "--json")
    levels = ("--level", "noise25", "--level", "clean")
    code, out, err = run(*common, "--task", "restore", *levels, "--device", "cpu")
    assert code == 0, err
    noisy = {
        row["restorer"]: row["psnr"]
        for row in json.loads(out)["clips"]
        if row["degradation"] == "noise25"
    }
    assert list(noisy) == ["source", "nlm", "mcmean", "small@1"]
    clean = next(row for row in json.loads(out)["clips"] if row["degradation"] == "clean")
    assert clean["psnr"] > 50 > noisy["source"]


def test_latents_are_refused_where_a_scale_is_not_native(clips: Path, tmp_path: Path) -> None:
    old = tmp_path / "old.safetensors"
    config = replace(TINY, offered_scales=(4,))
    save_weights(old, SmallModel(config).state_dict(), config)
    words = ("--model", old, "--scale", "2", "--latents", "true", "--frames", "2")
    code, _, err = run(clips, *words, "--level", "clean", "--device", "cpu")
    assert code == 2
    assert "has no true latents at a scale of 2" in err
