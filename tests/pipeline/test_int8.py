"""Jobs whose convolutions are computed in 8-bit integers."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.conftest import MakeClip
from tests.networks import write_roundable_weights, write_tiny_weights
from tests.pipeline.runs import restore_from_file, upscale_video
from vsr_cli.config import DtypeChoice, SamplerConfig, UpscaleConfig
from vsr_cli.errors import ConfigError
from vsr_cli.events import Event, Plan
from vsr_cli.ops.precision import has_int8
from vsr_cli.pipeline import run_plan
from vsr_cli.pipeline.restorers.registry import ModelFile
from vsr_cli.pipeline.run_plan import choose_dtype

needs_int8 = pytest.mark.skipif(not has_int8(), reason="this CPU has no instructions for it")
CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def roundable_file(tmp_path: Path) -> Path:
    return write_roundable_weights(tmp_path / "roundable.safetensors")


@pytest.mark.parametrize("is_faster", [True, False])
@pytest.mark.parametrize("why_not", ["", "the weights say no ranges for it"])
def test_auto_takes_it_where_it_is_faster_and_the_weights_can(
    monkeypatch: pytest.MonkeyPatch, is_faster: bool, why_not: str
) -> None:
    monkeypatch.setattr(run_plan, "is_faster_in_int8", lambda: is_faster)
    dtype, why = choose_dtype("auto", CPU, why_no_int8=why_not)
    assert (dtype == torch.int8) == (is_faster and not why_not)
    assert "this CPU" in why


@pytest.mark.parametrize(
    ("device", "is_there", "why_not", "said"),
    [
        (CUDA, True, "", "it is for CPUs"),
        (CPU, False, "", "no instructions for it"),
        (CPU, True, "the weights say no ranges for it", "no ranges"),
    ],
)
def test_where_it_cannot_be_it_is_refused(
    monkeypatch: pytest.MonkeyPatch,
    device: torch.device,
    is_there: bool,
    why_not: str,
    said: str,
) -> None:
    monkeypatch.setattr(run_plan, "has_int8", lambda: is_there)
    with pytest.raises(ConfigError, match="cannot be used here") as refused:
        choose_dtype("int8", device, why_no_int8=why_not)
    assert said in str(refused.value.why)
    assert refused.value.exit_code == 2


@needs_int8
def test_weights_without_ranges_and_compiled_networks_stay_in_floats(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, roundable_file: Path
) -> None:
    monkeypatch.setattr(run_plan, "is_faster_in_int8", lambda: True)
    config = UpscaleConfig(device="cpu")
    rounded = ModelFile(roundable_file)
    plain = ModelFile(write_tiny_weights(tmp_path / "plain.safetensors"))
    assert rounded.computes_in(config)[1] == torch.int8
    for model, options in ((rounded, replace(config, compile=True)), (plain, config)):
        assert model.computes_in(options)[1] != torch.int8
        with pytest.raises(ConfigError):
            model.computes_in(replace(options, dtype="int8"))


@needs_int8
@pytest.mark.parametrize("scale", [4, 2, 1])
def test_frames_are_those_of_floats_but_for_a_few_codes(roundable_file: Path, scale: int) -> None:
    torch.manual_seed(0)
    lr_frames = torch.rand(5, 3, 24, 32) * 2 - 1
    sampler = SamplerConfig(steps=2)
    config = UpscaleConfig(device="cpu", scale=Fraction(scale), sampler=sampler)

    def frames(dtype: DtypeChoice) -> Tensor:
        return restore_from_file(roundable_file, lr_frames, replace(config, dtype=dtype))

    exact, rounded = frames("float32"), frames("int8")
    # Random weights pass on every error, as trained ones do not.
    assert 0 < (rounded - exact).abs().mean() * 127.5 < 5
    assert torch.equal(frames("int8"), rounded)


@needs_int8
def test_a_job_says_its_number_format(
    tmp_path: Path, make_clip: MakeClip, roundable_file: Path
) -> None:
    source = make_clip(tmp_path / "in.mkv", num_frames=3, size=(24, 32))
    events: list[Event] = []
    config = UpscaleConfig(model=roundable_file, device="cpu", dtype="int8")
    upscale_video(source, tmp_path / "out.mkv", config, report=events.append)
    assert [event.dtype for event in events if isinstance(event, Plan)] == ["int8"]
