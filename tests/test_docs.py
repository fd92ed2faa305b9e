"""What is written for users says what the program does."""

import ast
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from docs import make_events, make_reference
from docs.make_man import TARGET as MAN_PAGE
from docs.make_man import man_page
from docs.make_schema import TARGET as SCHEMA
from docs.make_schema import events_schema, schema_text
from tests.cli.fakes import plan_of
from vsr_cli.cli.event_kinds import EVENT_KINDS
from vsr_cli.cli.json_events import JSON_VERSION, report_as_json
from vsr_cli.events import NOTE_CODES, Done, Note, Progress

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SOURCES = sorted((ROOT / "vsr_cli").rglob("*.py"))


def test_the_reference_of_events_is_that_of_the_program_as_it_is() -> None:
    page = make_events.TARGET.read_text(encoding="utf-8")
    assert page == make_events.events_page(), "run `make docs`"


def test_the_reference_of_commands_is_that_of_the_program_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    page = make_reference.TARGET.read_text(encoding="utf-8")
    assert page == make_reference.reference_page(), "run `make docs`"


def test_the_manual_page_is_that_of_the_program_as_it_is() -> None:
    assert MAN_PAGE.read_text(encoding="utf-8") == man_page(), "run `make docs`"


@pytest.mark.skipif(shutil.which("groff") is None, reason="there is no groff")
def test_the_manual_page_is_shown_without_a_warning() -> None:
    command = ["groff", "-man", "-Tutf8", "-ww", str(MAN_PAGE)]
    run = subprocess.run(command, capture_output=True, check=True)
    shown = re.sub(r"\x1b\[\d+m|.\x08", "", run.stdout.decode())
    assert run.stderr == b""
    for words in ("vsr weights import", "--clip-length N", "-ss, --start TIME", "EXIT STATUS"):
        assert words in shown


def test_the_schema_of_events_is_that_of_the_program_as_it_is() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == schema_text(), "run `make docs`"
    Draft202012Validator.check_schema(events_schema())


@pytest.mark.parametrize(
    ("change", "is_right"),
    [
        ({}, True),
        ({"more": 1}, True),  # new keys may come
        ({"frame": "1"}, False),
        ({"frame": None}, False),
        ({"frames": None}, True),
        ({"type": "unknown"}, False),
        ({"v": 2}, False),
        ({"source": "a.mp4", "file_index": 1, "file_count": None}, True),
        ({"file_index": 0}, False),
    ],
)
def test_the_schema_tells_events_from_what_is_none(
    change: dict[str, object], is_right: bool
) -> None:
    event = {
        **{"type": "progress", "v": 1, "time": "2030-01-31T23:59:59.000+00:00"},
        **{
            "stage": "upscale",
            "frame": 1,
            "ahead": 0.5,
            "frames": 9,
            "frames_about": None,
            "bytes_about": None,
            "fps": 2.0,
            "eta_s": 4,
        },
    }
    validator = Draft202012Validator(events_schema())
    assert validator.is_valid({**event, **change}) == is_right
    del event["frame"]
    assert not validator.is_valid(event)


def test_every_code_of_a_note_is_explained_and_none_that_is_not_there() -> None:
    used = set[str]()
    for path in SOURCES:
        if path.name != "events.py":
            used |= set(re.findall(r'"(W_[A-Z_]+)"', path.read_text(encoding="utf-8")))
    assert used == set(NOTE_CODES)


def kinds_written(path: Path) -> Iterator[str]:
    """Types of event that a file writes; the type is always written out there."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("write_event"):
            kind = node.args[0]
            assert isinstance(kind, ast.Constant), f"{path.name}:{node.lineno}"
            yield str(kind.value)


def test_every_type_of_event_is_explained_and_none_that_is_not_written() -> None:
    written = {kind for path in SOURCES for kind in kinds_written(path)}
    assert written == set(EVENT_KINDS)


def test_the_keys_of_a_job_s_events_are_those_that_are_explained(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for event in (
        plan_of(Path("in.mp4"), Path("out.mp4")),
        Progress(stage="upscale", frame=1, num_frames=2, seconds=1.0),
        Note(code="W_RESUMED", text="going on"),
        Done(target=Path("x.mp4"), frames_in=1, frames_out=1, width=4, height=4, seconds=0.1),
    ):
        report_as_json(event)
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [values["type"] for values in found] == ["plan", "progress", "warning", "done"]
    for values in found:
        assert values["v"] == JSON_VERSION
        kind = EVENT_KINDS[values["type"]]
        explained = set(kind.keys) - kind.optional
        assert set(values) == explained | {"type", "v", "time"}


def test_the_page_for_scripts_names_every_type_of_event_and_the_version() -> None:
    page = (ROOT / "docs/scripting.md").read_text(encoding="utf-8")
    (paragraph,) = (text for text in page.split("\n\n") if text.startswith("With `--json` stdout"))
    names = set(re.findall(r"`([a-z]+)`", paragraph))
    assert names == set(EVENT_KINDS)
    assert f'`"v": {JSON_VERSION}`' in paragraph


def test_links_between_documents_lead_somewhere() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    for page in pages:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_the_readme_names_every_campaign() -> None:
    modules = (ROOT / "tests/campaigns").glob("*.py")
    campaigns = {path.stem for path in modules if 'if __name__ == "__main__"' in path.read_text()}
    assert campaigns >= {"faults", "mutants"}
    assert {name for name in campaigns if f"`make {name}`" not in README} == set()
