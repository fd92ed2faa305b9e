import sys
from types import ModuleType

import pytest

from tests.cli.fakes import FakePipeline


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> FakePipeline:
    """Takes the place of the real pipeline, so that no test here loads torch."""
    fake = FakePipeline()
    module = ModuleType("vsr_cli.pipeline.upscale")
    module.Upscaler = fake.upscaler  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return fake
