"""Running out of memory: less at a time, the same frames."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import pytest
import torch
from torch import Tensor

from tests.networks import tiny_model
from tests.pipeline.runs import restore
from vsr_cli.config import SamplerConfig, UpscaleConfig
from vsr_cli.errors import DeviceError
from vsr_cli.events import Event, Note
from vsr_cli.models.small.model import SmallModel
from vsr_cli.pipeline.memory import is_out_of_memory
from vsr_cli.pipeline.run_plan import RunPlan

R = TypeVar("R")
ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory"),
    MemoryError(),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ..."),
]


@dataclass
class Shortage:
    """Lets the calls of a model's parts fail where a test wants it."""

    fails: Callable[[int, torch.Size], bool]  # number of the call, shape of what it was given
    error: BaseException = field(default_factory=MemoryError)
    num_calls: int = 0

    def limit(self, module: torch.nn.Module) -> None:
        def check(module: torch.nn.Module, given: tuple[Tensor, ...]) -> None:
            self.num_calls += 1
            if self.fails(self.num_calls, given[0].shape):
                raise self.error

        module.register_forward_pre_hook(check)


def limited(shortage: Shortage) -> SmallModel:
    model = tiny_model()
    for part in (model.trunk, model.denoiser, model.decoder):
        shortage.limit(part)
    return model


def moving(num_frames: int, size: tuple[int, int] = (24, 32)) -> Iterator[Tensor]:
    texture = torch.rand(3, size[0], size[1] + num_frames, generator=torch.Generator())
    texture = torch.nn.functional.avg_pool2d(texture[None], 3, 1, 1)[0] * 2 - 1
    return iter([texture[:, :, k : k + size[1]] for k in range(num_frames)])


def upscale(model: SmallModel, frames: Iterator[Tensor]) -> tuple[Tensor, list[str]]:
    config = UpscaleConfig(scene_cut=False, sampler=SamplerConfig(steps=2))
    run_plan = RunPlan(torch.device("cpu"), torch.float32, 4, None, ())
    events: list[Event] = []
    found = restore(model, frames, config, run_plan, report=events.append)
    return found, [event.code for event in events if isinstance(event, Note)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("call", "error"),
    [*((call, ERRORS[0]) for call in (1, 2, 3, 5, 8, 13)), *((5, error) for error in ERRORS[1:])],
)
def test_one_shortage_changes_no_bit(call: int, error: BaseException) -> None:
    expected, none = upscale(tiny_model(), moving(9))
    found, codes = upscale(limited(Shortage(lambda n, _: n == call, error)), moving(9))
    assert (none, codes) == ([], ["W_MEMORY_RETRIED"])
    assert torch.equal(found, expected)


@pytest.mark.slow
def test_where_clips_do_not_fit_networks_see_fewer_frames_and_compute_the_same() -> None:
    expected, _ = upscale(tiny_model(), moving(9))
    shortage = Shortage(lambda n, shape: len(shape) == 5 and shape[1] > 1)
    found, codes = upscale(limited(shortage), moving(9))
    assert codes == ["W_MEMORY_RETRIED", "W_MEMORY_FRAMES", "W_MEMORY_FRAMES"]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_where_nothing_fits_it_says_so() -> None:
    with pytest.raises(DeviceError, match="memory has run out"):
        upscale(limited(Shortage(lambda n, _: True)), moving(3))


def test_other_errors_are_no_shortage() -> None:
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        upscale(limited(Shortage(lambda n, _: n == 2, RuntimeError("mat1 and mat2"))), moving(3))
    assert not is_out_of_memory(KeyboardInterrupt())
