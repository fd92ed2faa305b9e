"""Networks that are compiled give the same frames; where nothing compiles, that is said."""

import shutil
from dataclasses import replace

import pytest
import torch

from tests.networks import tiny_model
from tests.pipeline.restorers.small.test_scales import config_of, moving
from tests.pipeline.runs import restore
from vsr_cli.errors import DeviceError
from vsr_cli.pipeline.resume.manifest import identify_options
from vsr_cli.pipeline.run_plan import RunPlan

RUN_PLAN = RunPlan(torch.device("cpu"), torch.float32, 3, None, ())


@pytest.mark.huge
@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler")
def test_compiled_networks_give_the_same_frames() -> None:
    frames, config = moving(4, 24, 32), config_of(2)
    plain = restore(tiny_model(), frames, config, RUN_PLAN)
    torch.compiler.reset()
    torch._dynamo.utils.counters.clear()
    compiled = restore(tiny_model(), frames, replace(config, compile=True), RUN_PLAN)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= 3
    torch.testing.assert_close(compiled, plain, atol=1e-3, rtol=0)


def test_without_a_compiler_it_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def compile_nothing(function: object) -> object:
        def call(x: object) -> None:
            raise RuntimeError("no working C++ compiler found in ('g++',)\nmore of it")

        return call

    monkeypatch.setattr(torch, "compile", compile_nothing)
    config = replace(config_of(2), compile=True)
    with pytest.raises(DeviceError, match="`--compile` cannot be used here") as refused:
        restore(tiny_model(), moving(2, 24, 32), config, RUN_PLAN)
    assert refused.value.why == "no working C++ compiler found in ('g++',)"
    assert refused.value.hint


def test_a_job_is_another_one_when_compiled() -> None:
    plain, compiled = config_of(2), replace(config_of(2), compile=True)
    assert identify_options(plain, "cpu", "float32") != identify_options(compiled, "cpu", "float32")
