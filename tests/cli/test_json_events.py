import json
from pathlib import Path

import pytest

from tests.cli.fakes import plan_of
from vsr_cli.cli.json_events import report_as_json
from vsr_cli.events import Done, Note, Progress


def test_every_event_becomes_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    odd = "a\nb \udcff.mp4"  # a name that is no UTF-8
    for event in (
        plan_of(Path(odd), Path("out.mp4")),
        Note(code="W_X", text="first\nsecond"),
        Progress(stage="upscale", frame=0, num_frames=None, seconds=0.0),
        Done(target=Path(odd), frames_in=1, frames_out=1, width=4, height=4, seconds=0.1),
    ):
        report_as_json(event)
    plan, warning, waiting, done = map(json.loads, capsys.readouterr().out.splitlines())
    assert (plan["source"], done["out"]) == (odd, odd)
    assert warning["text"] == "first\nsecond"
    assert (waiting["frames"], waiting["fps"], waiting["eta_s"]) == (None, None, None)
