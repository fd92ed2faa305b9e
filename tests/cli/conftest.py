import json
import sys
from types import ModuleType

import pytest
from jsonschema import Draft202012Validator

from docs.make_schema import events_schema
from tests.cli.fakes import FakePipeline
from vsr_cli.cli import json_events
from vsr_cli.cli.event_kinds import COMMON_KEYS, EVENT_KINDS

VALIDATOR = Draft202012Validator(events_schema())


@pytest.fixture(autouse=True)
def _explained_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuses any event, key or value that `docs` do not explain."""
    write = json_events._event_file.write

    def checked(line: str) -> None:
        event = json.loads(line)
        assert set(event) <= {*COMMON_KEYS, *EVENT_KINDS[event["type"]].keys}
        VALIDATOR.validate(event)
        write(line)

    monkeypatch.setattr(json_events._event_file, "write", checked)


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> FakePipeline:
    """Takes the place of the real pipeline, so that no test here loads torch."""
    fake = FakePipeline()
    module = ModuleType("vsr_cli.pipeline.upscale")
    module.Upscaler = fake.upscaler  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return fake
