"""Weights on trial, on clips and networks of a few pixels and channels."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from tests.conftest import MakeClip
from tests.networks import TINY, tiny_model, write_tiny_weights
from vsr_cli.models.small.model import SmallModel
from vsr_cli.training import __main__ as commands
from vsr_cli.training.gates import Reading, read_gates
from vsr_cli.training.probe import Trial, make_trials


@pytest.fixture
def folder(make_clip: MakeClip, tmp_path: Path) -> Path:
    clips = tmp_path / "clips"
    clips.mkdir()
    for name in ("a", "b"):
        make_clip(clips / f"{name}.mkv", num_frames=2, size=(64, 96))
    return clips


def distance(first: Tensor, second: Tensor) -> Tensor:
    """A stand-in for LPIPS."""
    return (first - second).abs().flatten(1).mean(dim=1)


def readings(model: SmallModel, folder: Path, *, is_floor: bool) -> list[Reading]:
    trials = make_trials(model, folder, distance, num_frames=2, num_clips=1, is_floor=is_floor)
    return list(read_gates(model, trials, is_floor=is_floor))


def trial(model: SmallModel) -> Trial:
    generator = torch.Generator().manual_seed(0)
    hr_frames = torch.rand(2, 3, 64, 64, generator=generator) * 2 - 1
    lr_frames = torch.nn.functional.avg_pool2d(hr_frames, 4)
    return Trial(
        model=model,
        lpips=distance,
        name="noise",
        scale=4,
        hr_frames=hr_frames,
        lr_frames=lr_frames,
        is_floor=False,
    )


@pytest.mark.slow
def test_every_gate_has_its_lines_and_stages_a_have_no_sampler_to_measure(folder: Path) -> None:
    whole = readings(tiny_model(), folder, is_floor=False)
    assert {reading.gate for reading in whole} == {1, 2, 3, 4, 5, 6}
    floor = readings(tiny_model(), folder, is_floor=True)
    assert {reading.gate for reading in floor} == {1, 2, 5, 6}
    assert {reading.verdict for reading in whole} == {"pass", "FAIL", ""}


@pytest.mark.slow
def test_latents_without_worth_close_no_gap(folder: Path) -> None:
    model = tiny_model()
    with torch.no_grad():  # whatever the latents, the decoder makes the same of them
        for parameter in model.decoder.stem.parameters():
            parameter.zero_()
    lines = [r for r in readings(model, folder, is_floor=False) if r.what.startswith("share")]
    assert [(r.measured, r.verdict) for r in lines] == [
        ("true latents are no better than zero", "FAIL")
    ] * 2


def test_what_a_model_was_not_built_for_is_said(folder: Path) -> None:
    model = SmallModel(replace(TINY, scales=(4,), offered_scales=(4,))).eval()
    lines = [r for r in readings(model, folder, is_floor=True) if r.gate == 6]
    assert [(r.what, r.measured) for r in lines] == [
        ("scale 1", "not built for"),
        ("scale 2", "not built for"),
    ]


@pytest.mark.parametrize("t", [100, 500, 800])
def test_the_best_scalar_is_as_good_as_itself_and_the_truth_has_no_error(t: int) -> None:
    found = trial(tiny_model())
    energy = found.true_latents.square().mean()

    def scalar(x: Tensor, log_snr: Tensor, *_: object) -> tuple[Tensor, list[Tensor]]:
        alpha = log_snr.sigmoid()[0]
        x0 = x * alpha.sqrt() * energy / (alpha * energy + 1 - alpha)
        return (alpha.sqrt() * x - x0) / (1 - alpha).sqrt(), []

    def oracle(x: Tensor, log_snr: Tensor, *_: object) -> tuple[Tensor, list[Tensor]]:
        alpha = log_snr.sigmoid()[0]
        return (alpha.sqrt() * x - found.true_latents) / (1 - alpha).sqrt(), []

    found.model.denoise = scalar  # type: ignore[method-assign, assignment]
    assert found.x0_over_wiener(t) == pytest.approx(1, rel=0.1)
    found.model.denoise = oracle  # type: ignore[method-assign, assignment]
    assert found.x0_over_wiener(t) < 1e-3


def test_latents_of_the_truth_and_of_nothing_are_decoded_alike_but_for_themselves() -> None:
    found = trial(tiny_model())
    torch.testing.assert_close(found.noisy_latents(0.0), found.true_latents)
    assert found.zero_latents.shape == found.true_latents.shape == found.sampled_latents(1).shape
    assert found.decode(found.zero_latents).shape == found.hr_frames.shape
    assert found.measured(found.hr_frames).lpips < 0.01


def test_the_table_is_printed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "Lpips", lambda path: distance)
    path = write_tiny_weights(tmp_path / "tiny.safetensors")
    words = [str(path), "--data", str(folder), "--lpips-weights", "any", "--clips", "1", "--floor"]
    result = CliRunner().invoke(commands.app, ["probe", *words])
    assert result.exit_code == 0, result.output
    assert "2 frames, the middle 384x256, of a\n" in result.stdout
    assert "| gate | what | measured | wanted | verdict |" in result.stdout
    assert result.stdout.count("\n| 6 |") > 5
