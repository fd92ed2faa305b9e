import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.cli.fakes import FakePipeline
from vsr_cli.cli.app import app
from vsr_cli.errors import ConfigError

NAMED = "W_VARIABLE_UNKNOWN"


def vsr(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(
        "steps = 4\nscale = 3\nenc-opt = {tune = 'film'}\n[preset.a]\nsize = '4k'\nmetadata = false"
    )
    return path


@pytest.mark.parametrize("command", ["upscale", "restore", "batch"])
def test_a_job_takes_what_was_not_typed_from_the_file_and_says_so(
    pipeline: FakePipeline, file: Path, tmp_path: Path, command: str
) -> None:
    (tmp_path / "in.mp4").touch()
    where = ("-o", tmp_path, "--name", "x.mp4") if command == "batch" else (tmp_path / "out.mp4",)
    result = vsr(command, tmp_path / "in.mp4", *where, "--config", file)
    assert result.exit_code == 0, result.stderr
    [(_, _, config)] = pipeline.jobs
    assert (config.sampler.steps, config.output.options) == (4, (("tune", "film"),))
    assert config.scale == (1 if command == "restore" else 3)  # which is what `restore` means
    said = [line for line in result.stderr.splitlines() if line.startswith(f"from `{file}`: ")]
    assert "--steps 4" in said[0]
    assert ("--scale" in said[0]) == (command != "restore")


def test_what_is_typed_goes_before_variables_presets_and_the_file(
    pipeline: FakePipeline, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VSR_STEPS", "7")
    monkeypatch.setenv("VSR_SEED", "7")
    for words in (("--seed", "9"), ("--seed", "9", "-P", "a"), ("-P", "a", "--height", "96")):
        assert vsr("upscale", "in.mp4", "out.mp4", "--config", file, *words).exit_code == 0
    first, second, third = [config for _, _, config in pipeline.jobs]
    assert (first.sampler.steps, first.sampler.seed, float(first.scale)) == (7, 9, 3.0)
    assert second.size is not None
    assert second.size.text == "--size 2160p"
    assert (float(second.scale), second.output.metadata) == (4.0, False)
    assert third.size is not None
    assert (third.size.text, third.sampler.seed) == ("--height 96", 7)


def test_no_file_is_read_where_none_is_to_be(
    pipeline: FakePipeline, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VSR_CONFIG", str(file))
    assert vsr("upscale", "in.mp4", "out.mp4", "--no-config").exit_code == 0
    assert vsr("upscale", "in.mp4", "out.mp4", "-q").stderr == "note: something to know (W_TEST)\n"
    assert [job[2].sampler.steps for job in pipeline.jobs] == [None, 4]


def test_a_mistake_in_a_file_stops_jobs_and_not_help(pipeline: FakePipeline, file: Path) -> None:
    file.write_text("stepz = 4")
    result = vsr("upscale", "--json", "in.mp4", "out.mp4", "--config", file)
    assert (result.exit_code, pipeline.jobs) == (2, [])
    assert json.loads(result.stdout)["what"] == "there is no option `stepz`"
    assert vsr("upscale", "--config", file, "--help").exit_code == 0


def test_settings_are_shown_with_where_they_come_from(file: Path) -> None:
    result = vsr("config", "show", "--config", file, "-P", "a")
    assert result.stdout.splitlines() == [
        f"--size 4k            preset `a`, `{file}`, line 5",
        f"--no-metadata        preset `a`, `{file}`, line 6",
        f"--steps 4            `{file}`, line 1",
        f"--enc-opt tune=film  `{file}`, line 3",
    ]
    assert "presets: a" in result.stderr
    events = [json.loads(line) for line in vsr("config", "show", "--json").stdout.splitlines()]
    assert events == []
    shown = vsr("config", "show", "--json", "--config", file).stdout.splitlines()
    event = json.loads(shown[0])
    assert (event["type"], event["name"], event["value"]) == ("setting", "steps", 4)
    assert (event["origin"], event["place"]) == ("file", f"`{file}`, line 1")


@pytest.mark.parametrize(
    ("text", "words", "line"),
    [("\nscale = 'two'", (), 2), ("[preset.archive]\nsize = 'small'", ("-P", "archive"), 2)],
)
def test_a_value_that_is_none_is_told_with_its_line(
    pipeline: FakePipeline, file: Path, text: str, words: tuple[str, ...], line: int
) -> None:
    file.write_text(text)
    result = vsr("upscale", "in.mp4", "out.mp4", "--config", file, *words)
    assert (result.exit_code, pipeline.jobs) == (2, [])
    assert f"it is in `{file}`, line {line}" in result.stderr.replace("preset `archive`, ", "")
    typed = vsr("upscale", "in.mp4", "out.mp4", "--scale", "two", "--no-config")
    assert (typed.exit_code, "it is in" in typed.stderr) == (2, False)


def test_a_file_is_begun_and_never_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = tmp_path / "vsr" / "config.toml"
    assert vsr("config", "path").stdout == f"{path}\n"
    assert vsr("config", "init").exit_code == 0
    path.write_text("crf = 18")
    assert vsr("config", "init").exit_code == 4
    assert path.read_text() == "crf = 18"
    assert vsr("config", "show").stdout.startswith("--crf 18 ")


def test_a_variable_that_is_no_option_is_told_before_all_else(
    pipeline: FakePipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VSR_STEP", "3")
    events = tmp_path / "events.ndjson"
    for words in (("--json",), ("--progress-file", events), ("--quiet",)):
        result = vsr("upscale", "in.mp4", "out.mp4", *words)
        assert "did you mean `VSR_STEPS`? (W_VARIABLE_UNKNOWN)" in result.stderr.splitlines()[0]
        written = result.stdout if words == ("--json",) else ""
        written = events.read_text() if words[0] == "--progress-file" else written
        first = [json.loads(line) for line in written.splitlines()][:1]
        assert [event["code"] for event in first] == ([] if words == ("--quiet",) else [NAMED])
    assert len(pipeline.jobs) == 3
    shown = vsr("config", "show", "--json")
    assert json.loads(shown.stdout)["code"] == NAMED


@pytest.mark.parametrize(
    ("words", "taken"),
    [
        (("bench",), {"steps": [4], "scale": ["3"], "device": "cpu", "size": ["320x180"]}),
        (("evaluate", "clips"), {"steps": [4], "scale": None, "device": "cpu", "seed": 0}),
        (("evaluate", "clips", "--task", "erase"), {"steps": (), "model": None}),
        (("export", "graphs"), {"steps": 4, "dtype": "float32"}),
        (("bench", "--steps", "1", "--size", "64x48"), {"steps": [1], "scale": ["3"]}),
    ],
)
def test_what_is_measured_takes_from_the_file_what_means_the_same_there(
    file: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], taken: dict[str, object]
) -> None:
    given = dict[str, object]()

    def note(*_: object, **keywords: object) -> None:
        given.update(keywords)
        raise ConfigError("enough", hint="go on")

    function = {"export": "export_model"}.get(words[0], words[0])
    monkeypatch.setattr(f"vsr_cli.api.{function}", note)
    file.write_text(
        "steps = 4\nscale = 3\nseed = 5\ndevice = 'cpu'\ndtype = 'bfloat16'\nsize = '4k'"
    )
    result = vsr(*words, "--config", file)
    assert (f"from `{file}`: " in result.stderr) == ("--task" not in words)
    assert {name: given[name] for name in taken} == taken
