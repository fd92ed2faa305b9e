import pytest
import torch

from tests.pipeline.runs import restore
from vsr_cli.config import SamplerConfig, UpscaleConfig
from vsr_cli.errors import ConfigError
from vsr_cli.models.files import shipped_weights
from vsr_cli.models.weights import load_weights
from vsr_cli.pipeline import run_plan
from vsr_cli.pipeline.run_plan import RunPlan, choose_dtype


def test_float16_needs_a_gpu() -> None:
    with pytest.raises(ConfigError, match="needs a CUDA device"):
        choose_dtype("float16", torch.device("cpu"))
    assert choose_dtype("bfloat16", torch.device("cpu"))[0] == torch.bfloat16


@pytest.mark.parametrize(("is_faster", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_the_faster_number_format_is_chosen(
    monkeypatch: pytest.MonkeyPatch, is_faster: bool, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(run_plan, "is_faster_in_bfloat16", lambda: is_faster)
    chosen, why = choose_dtype("auto", torch.device("cpu"))
    assert chosen == dtype
    assert "this CPU" in why


@pytest.mark.slow
@pytest.mark.weights
def test_tiles_change_the_picture_by_less_than_one_code() -> None:
    model, config = (
        load_weights(shipped_weights()),
        UpscaleConfig(scene_cut=False, sampler=SamplerConfig(steps=1)),
    )
    generator = torch.Generator().manual_seed(0)
    texture = torch.rand(1, 3, 28, 34, generator=generator) * 1.6 - 0.8
    texture = torch.nn.functional.interpolate(texture, size=(108, 132), mode="bicubic")[0]
    frames = [texture[:, :100, k : k + 120] for k in range(2)]

    def upscale(tile: int | None) -> torch.Tensor:
        plan = RunPlan(torch.device("cpu"), torch.float32, 3, tile, ())
        return restore(model, frames, config, plan)

    difference = (upscale(48) - upscale(None)).abs() * 127.5
    assert difference.mean() < 1
    assert difference.max() > 0  # tiles were really used


@pytest.mark.parametrize(("is_emulated", "said"), [(True, "many times slower"), (False, "")])
def test_a_cpu_that_emulates_bfloat16_says_so(
    monkeypatch: pytest.MonkeyPatch, is_emulated: bool, said: str
) -> None:
    monkeypatch.setattr(run_plan, "emulates_bfloat16", lambda: is_emulated)
    _, why = choose_dtype("bfloat16", torch.device("cpu"))
    assert said in why
    assert bool(why) == is_emulated
    assert run_plan.slow_in_bfloat16(torch.device("cuda")) == ""
