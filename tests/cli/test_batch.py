import io
import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from tests.cli.fakes import FakePipeline
from tests.conftest import MakeClip
from tests.networks import write_tiny_weights
from vsr_cli.api import Upscaler
from vsr_cli.cli.app import app
from vsr_cli.cli.sources import name_target
from vsr_cli.config import InputConfig, OutputConfig, UpscaleConfig
from vsr_cli.errors import InputError, JobBusyError
from vsr_cli.events import Done, Note, Plan, Report

NAME = ("--name", "{stem}_up{ext}")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with three videos, one of them deeper, and a text."""
    monkeypatch.chdir(tmp_path)
    for name in ("in/a.mp4", "in/b.flv", "in/deep/c.MKV", "in/notes.txt"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(name)
    return tmp_path


def batch(*arguments: str | Path, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(app, ["batch", "-o", "out", *map(str, arguments)], input=stdin)


def events(result: Result, kind: str) -> list[dict[str, object]]:
    found = [json.loads(line) for line in result.stdout.splitlines()]
    return [event for event in found if event["type"] == kind]


def pairs(pipeline: FakePipeline) -> list[tuple[str, str]]:
    return [(str(source), str(target)) for source, target, _ in pipeline.jobs]


def test_a_folder_is_upscaled_into_another(folder: Path, pipeline: FakePipeline) -> None:
    result = batch("in", *NAME)
    assert result.exit_code == 0, result.stderr
    assert pairs(pipeline) == [("in/a.mp4", "out/a_up.mp4"), ("in/b.flv", "out/b_up.mkv")]
    assert "2 videos: 2 done" in result.stderr


def test_folders_within_folders_keep_their_places(folder: Path, pipeline: FakePipeline) -> None:
    assert batch("in", "--recursive", *NAME).exit_code == 0
    assert pairs(pipeline)[-1] == ("in/deep/c.MKV", "out/deep/c_up.mkv")


@pytest.mark.parametrize(("option", "end"), [((), b"\n"), (("-0",), b"\0")])
def test_a_list_and_patterns_name_sources_once(
    folder: Path, pipeline: FakePipeline, option: tuple[str, ...], end: bytes
) -> None:
    odd = Path("in/two words\n.mp4" if option else "in/-dash %d.mp4")
    odd.write_text("")
    listed = b"in/b.flv" + end + str(odd).encode() + end
    result = batch("in/?.mp4", "in/b.flv", "--jobs-file", "-", *option, *NAME, stdin=listed)
    assert result.exit_code == 0, result.stderr
    assert [source for source, _ in pairs(pipeline)] == ["in/a.mp4", "in/b.flv", str(odd)]


def test_what_is_finished_is_skipped_and_one_failure_stops_nothing(
    folder: Path, pipeline: FakePipeline
) -> None:
    (folder / "out").mkdir()
    (folder / "out/a_up.mp4").write_text("mine")

    def fail() -> None:
        if pipeline.jobs[-1][0] == Path("in/b.flv"):
            raise InputError("it broke")

    pipeline.fail = fail
    result = batch("in", "-r", "--json", *NAME)
    assert result.exit_code == 9
    assert [(file["status"], file["exit"]) for file in events(result, "file")] == [
        ("skipped", 0),
        ("failed", 3),
        ("done", 0),
    ]
    assert events(result, "summary")[0]["failed"] == 1
    assert (folder / "out/a_up.mp4").read_text() == "mine"
    assert "error: it broke" in result.stderr


def test_the_first_failure_ends_a_batch_where_that_is_asked_for(
    folder: Path, pipeline: FakePipeline
) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    pipeline.fail = fail
    assert batch("in", "--fail-fast", *NAME).exit_code == 9
    assert len(pipeline.jobs) == 1
    assert batch("in", *NAME).exit_code == 9
    assert len(pipeline.jobs) == 3


@pytest.mark.parametrize(("option", "seen"), [((), ["in/c.mp4"]), (("--fail-fast",), [None])])
def test_the_next_that_is_to_be_made_can_be_begun_ahead_unless_it_may_never_be(
    folder: Path,
    pipeline: FakePipeline,
    monkeypatch: pytest.MonkeyPatch,
    option: tuple[str, ...],
    seen: list[str | None],
) -> None:
    found: list[str | None] = []

    def upscale(
        self: Upscaler,
        source: Path,
        target: Path,
        *,
        report: Report,
        following: Callable[[], tuple[Path, Path] | None],
    ) -> Done:
        named = following()
        found.append(str(named[0]) if named else None)
        if named:
            named[1].write_text("done ahead")
        return pipeline.upscale_video(source, target, self.config, report=report)

    monkeypatch.setattr(Upscaler, "upscale", upscale)
    (folder / "out").mkdir()
    (folder / "out/b_up.mkv").write_text("mine")
    (folder / "in/c.mp4").write_text("")
    result = batch("in", "--json", *NAME, *option)
    assert [event["status"] for event in events(result, "file")] == ["done", "skipped", "done"]
    assert found == [*seen, None]


def test_a_video_that_another_batch_is_at_is_left_to_it(
    folder: Path, pipeline: FakePipeline
) -> None:
    def fail() -> None:
        raise JobBusyError("another run")

    pipeline.fail = fail
    result = batch("in", "--json", *NAME)
    assert result.exit_code == 0
    assert {file["status"] for file in events(result, "file")} == {"busy"}


def test_a_damaged_source_is_told_by_the_exit_code(folder: Path, pipeline: FakePipeline) -> None:
    pipeline.notes = [Note(code="W_INPUT_DAMAGED", text="holes")]
    assert batch("in/a.mp4", *NAME).exit_code == 8


def test_two_sources_never_become_one_target(folder: Path, pipeline: FakePipeline) -> None:
    result = batch("in", "--name", "same.mp4", "--json")
    assert result.exit_code == 9
    assert [file["exit"] for file in events(result, "file")] == [0, 2]
    assert "would both become `out/same.mp4`" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no video was given"),
        (("empty",), "`empty` holds no video"),
        (("*.nothing",), "no file is called like"),
        (("in", "--name", "{stem}_{frames}"), "has an unknown field `frames`"),
        (("in", "--name", "{stem"), "is no template"),
        (("in", "--name", "../{name}"), "is no file name"),
        (("in", "--name", ".."), "is no file name"),
        (("in", "--name", "."), "is no file name"),
        (("in", "--name", "{stem.__class__}"), "has an unknown field"),
    ],
)
def test_what_makes_no_batch_is_refused(
    folder: Path, pipeline: FakePipeline, arguments: tuple[str, ...], message: str
) -> None:
    Path("empty").mkdir()
    result = batch(*arguments)
    assert (result.exit_code, pipeline.jobs) == (2, [])
    assert message in result.stderr


def test_an_empty_list_is_nothing_to_do(folder: Path, pipeline: FakePipeline) -> None:
    assert batch("--jobs-file", "-").exit_code == 0


def test_a_name_tells_the_size_of_the_target(
    tmp_path: Path, make_clip: MakeClip, pipeline: FakePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_clip(Path("a.mp4"), num_frames=2)
    Path("b.mp4").write_text("no video")
    result = batch("a.mp4", "b.mp4", "--scale", "2", "--json")
    assert result.exit_code == 9
    assert pairs(pipeline) == [("a.mp4", "out/a_96p.mp4")]
    assert [file["exit"] for file in events(result, "file")] == [0, 3]


def test_what_cannot_be_written_becomes_what_holds_it(tmp_path: Path, make_clip: MakeClip) -> None:
    config = UpscaleConfig()
    Image.new("RGB", (16, 12)).save(tmp_path / "a.JPG")
    for source, target in (("x.y.WMV", "x.y.mkv"), ("a.JPG", "a.png"), ("a.gif", "a.mp4")):
        assert name_target("{stem}{ext}", tmp_path / source, config) == target
    clip = make_clip(tmp_path / "x.mov", size=(12, 16)).rename(tmp_path / "x.MOV")
    assert name_target("{name}-{width}x{height}.mp4", clip, config) == "x.MOV-64x48.mp4"


@pytest.mark.parametrize("template", ["{stem}{ext}", "{stem}_{height}p{ext}"])
def test_an_image_of_several_pictures_becomes_a_video(tmp_path: Path, template: str) -> None:
    pictures = [Image.new("RGB", (16, 12), (50 * k, 0, 0)) for k in range(3)]
    for name, rest, extension in (("a", pictures[1:], ".mp4"), ("b", [], ".png")):
        source = tmp_path / f"{name}.png"
        pictures[0].save(source, save_all=bool(rest), append_images=rest, duration=100)
        assert Path(name_target(template, source, UpscaleConfig())).suffix == extension
    one = UpscaleConfig(input=InputConfig(frames=(0, 1)))
    assert Path(name_target(template, tmp_path / "a.png", one)).suffix == ".png"


@pytest.mark.parametrize("template", ["{stem}{ext}", "{stem}_{height}p{ext}"])
def test_what_has_no_clock_is_named_for_one_that_has_where_times_vary(
    tmp_path: Path, make_clip: MakeClip, template: str
) -> None:
    make_clip(tmp_path / "even.avi", num_frames=6, codec="mpeg4")
    make_clip(tmp_path / "odd.avi", pts=[0, 2, 3, 4, 5, 6], codec="mpeg4")
    config = UpscaleConfig()
    at_rate = UpscaleConfig(output=OutputConfig(cfr=Fraction(25)))
    made = UpscaleConfig(fps=Fraction(50))
    for name, how, suffix in (
        *(("even.avi", config, ".avi"), ("odd.avi", config, ".mkv")),
        *(("odd.avi", at_rate, ".avi"), ("odd.avi", made, ".avi")),
    ):
        assert Path(name_target(template, tmp_path / name, how)).suffix == suffix


def test_standard_input_is_left_alone_without_a_list(
    folder: Path, pipeline: FakePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("for the next command"))
    assert batch("in", *NAME).exit_code == 0


def test_a_signal_ends_the_whole_batch_whatever_a_library_makes_of_it(
    folder: Path, pipeline: FakePipeline
) -> None:
    def fail() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        except BaseException as error:
            raise ValueError("a library's own") from error

    pipeline.fail = fail
    assert batch("in", *NAME).exit_code == 143
    assert len(pipeline.jobs) == 1


def test_every_video_and_every_event_says_which_of_how_many_it_is(
    folder: Path, pipeline: FakePipeline
) -> None:
    result = batch("in", "-r", "--json", *NAME)
    assert "file 2 of 3: `in/b.flv`\n" in result.stderr
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert {event["type"] for event in found[:-1]} == {
        *("plan", "warning", "progress", "spent", "done", "file")
    }
    for event in found[:-1]:  # the last one is about all of them
        place = {"in/a.mp4": 1, "in/b.flv": 2, "in/deep/c.MKV": 3}[event["source"]]
        assert (event["file_index"], event["file_count"]) == (place, 3)
    assert "source" not in found[-1]
    times = [datetime.fromisoformat(event["time"]) for event in found]
    assert times == sorted(times)
    assert times[0].tzinfo is not None


def test_a_dry_run_says_in_a_line_for_each_what_would_be_done_and_writes_nothing(
    folder: Path, pipeline: FakePipeline
) -> None:
    Path("out").mkdir()
    Path("out/a_up.mp4").write_text("mine")
    before = sorted(folder.rglob("*"))
    result = batch("in", "-r", "--dry-run", *NAME)
    assert (result.exit_code, pipeline.jobs, sorted(folder.rglob("*"))) == (0, [], before)
    assert result.stderr.splitlines() == [
        "file 1 of 3: `in/a.mp4`: skip, as `out/a_up.mp4` exists",
        "file 2 of 3: `in/b.flv`: 64x48 -> `out/b_up.mkv` 256x192, 3 frames",
        "file 3 of 3: `in/deep/c.MKV`: 64x48 -> `out/deep/c_up.mkv` 256x192, 3 frames",
        "no job like these has run here, so how long they take is not known",
        "nothing is written: this is a dry run",
        "3 videos: 2 planned, 1 skipped",
    ]
    statuses = [
        file["status"] for file in events(batch("in", "--dry-run", "--json", *NAME), "file")
    ]
    assert statuses == ["skipped", "planned"]


@pytest.mark.parametrize(
    ("is_trial", "one", "all_of_them"),
    [
        (True, "roughly 30 s", "roughly 1:00 in all, as short trials took"),
        (False, "about 30 s", "about 1:00 in all, as jobs like these here took"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_a_dry_run_says_how_long_it_takes_and_who_tells(
    pipeline: FakePipeline,
    monkeypatch: pytest.MonkeyPatch,
    is_trial: bool,
    one: str,
    all_of_them: str,
) -> None:
    plan = Upscaler.plan

    def timed(self: Upscaler, *paths: Path, **options: object) -> Plan:
        return replace(plan(self, *paths, **options), seconds=30.0, is_trial=is_trial)  # type: ignore[arg-type]

    monkeypatch.setattr(Upscaler, "plan", timed)
    lines = batch("in", "--dry-run", *NAME).stderr.splitlines()
    assert lines[0].endswith(f"3 frames, {one}")
    assert lines[2] == all_of_them


def test_a_dry_run_names_what_would_fail_and_ends_as_the_batch_would(
    folder: Path, pipeline: FakePipeline
) -> None:
    def fail() -> None:
        raise InputError("it is no video", hint="try another")

    pipeline.fail = fail
    result = batch("in", "--dry-run", "--json", *NAME)
    assert result.exit_code == 9
    assert "file 1 of 2: `in/a.mp4`: fail: it is no video\n" in result.stderr
    assert events(result, "file")[0]["why"] == "it is no video"


def test_results_of_an_earlier_run_are_no_sources(folder: Path, pipeline: FakePipeline) -> None:
    for name in ("in/out/a_up.mp4", "in/x.mp4.vsr-job/chunk_000000.mkv"):
        Path(name).parent.mkdir(parents=True)
        Path(name).write_text("")
    command = ["batch", "in", "-r", "-o", "in/out", *NAME]
    assert CliRunner().invoke(app, command).exit_code == 0
    assert [source for source, _ in pairs(pipeline)] == ["in/b.flv", "in/deep/c.MKV"]


@pytest.mark.parametrize("option", [("--retry",), ("--exit-when-idle", "1")])
def test_options_of_watching_mean_nothing_without_it(
    folder: Path, pipeline: FakePipeline, option: tuple[str, ...]
) -> None:
    result = batch("in", *option)
    assert result.exit_code == 2
    assert "hint: add `--watch`" in result.stderr


def test_a_dry_run_needs_no_folder_of_results_and_makes_none(
    tmp_path: Path, make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    weights = write_tiny_weights(tmp_path / "tiny.safetensors")
    make_clip(Path("a.mp4"))
    make_clip(Path("a_192p.mp4"))  # which a name in another folder must not be taken for
    result = batch("a.mp4", "--dry-run", "--model", weights, "--device", "cpu")
    assert result.exit_code == 0, result.stderr
    assert "`a.mp4`: 64x48 -> `out/a_192p.mp4` 256x192, 6 frames" in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("a.mp4", "a_192p.mp4", "tiny.safetensors")
    ]
