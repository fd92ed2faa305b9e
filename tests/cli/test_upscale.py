import json
from fractions import Fraction
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.cli.fakes import FakePipeline
from tests.conftest import MakeClip
from vsr_cli.cli.app import app, with_command
from vsr_cli.config import ClipConfig, OutputConfig, SamplerConfig, UpscaleConfig
from vsr_cli.errors import (
    ConfigError,
    DeviceError,
    InputError,
    OutputError,
    VerificationError,
    VsrError,
    WeightsError,
)
from vsr_cli.events import Note
from vsr_cli.values import parse_scale, parse_tile


def vsr(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["upscale", *map(str, arguments)])


def events(result: Result) -> list[dict[str, object]]:
    found = [json.loads(line) for line in result.stdout.splitlines()]
    return [{key: value for key, value in event.items() if key != "time"} for event in found]


def raiser(error: BaseException) -> None:
    raise error


def test_without_options_the_defaults_of_the_config_hold(pipeline: FakePipeline) -> None:
    result = vsr("in.mp4", "out.mp4")
    assert result.exit_code == 0
    assert pipeline.jobs == [(Path("in.mp4"), Path("out.mp4"), UpscaleConfig())]


def test_every_option_reaches_the_config(pipeline: FakePipeline) -> None:
    options = (
        "-s 1.5 --steps 50 --seed 7 --fidelity 0.25 --strength 0.75 --motion-scale 2.5 "
        "--color adain "
        "--model other.safetensors --flow raft --flow-weights raft.pth --no-scene-cut "
        "--device cuda:0 --dtype bfloat16 --clip-length 6 --tile 512 -c:v libx265 -crf 18.5 "
        "--preset slow --pix-fmt yuv444p --audio none -y -x g=10 -x x265-params=aq-mode=3 "
        "-f matroska --cfr 30000/1001 --subs none --no-chapters --no-attachments --no-metadata "
        "--strict-copy --verify full"
    )
    assert vsr("in.mp4", "out.mp4", *options.split()).exit_code == 0
    [(_, _, config)] = pipeline.jobs
    assert config == UpscaleConfig(
        scale=Fraction(3, 2),
        model=Path("other.safetensors"),
        fidelity=0.25,
        strength=0.75,
        color="adain",
        flow="raft",
        flow_weights=Path("raft.pth"),
        scene_cut=False,
        tile=512,
        device="cuda:0",
        dtype="bfloat16",
        clip=ClipConfig(length=6),
        sampler=SamplerConfig(steps=50, seed=7, motion_scale=2.5),
        output=OutputConfig(
            video_codec="libx265",
            crf=18.5,
            preset="slow",
            pix_fmt="yuv444p",
            options=(("g", "10"), ("x265-params", "aq-mode=3")),
            format="matroska",
            cfr=Fraction(30000, 1001),
            overwrite=True,
            audio="none",
            subs="none",
            chapters=False,
            attachments=False,
            metadata=False,
            strict_copy=True,
            verify="full",
        ),
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("--vcodec libx265", "-c:v libx265"),
        ("--crf 18", "-crf 18"),
        ("--dtype float16", "--precision float16"),
        ("--scale 3/2", "-s 1.5"),
        ("--overwrite", "-y"),
    ],
)
def test_two_spellings_mean_the_same(pipeline: FakePipeline, one: str, other: str) -> None:
    for options in (one, other):
        assert vsr("in.mp4", "out.mp4", *options.split()).exit_code == 0
    first, second = pipeline.jobs
    assert first == second
    assert first[2] != UpscaleConfig()


@pytest.mark.parametrize(
    "name", ["-dash.mp4", "a:b.mp4", "http:x.mp4", "two words.mp4", "100%d.mp4", "видео.mp4"]
)
def test_odd_file_names_arrive_as_they_are(pipeline: FakePipeline, name: str) -> None:
    result = vsr("--steps", "2", "--", name, f"out {name}")
    assert result.exit_code == 0
    assert pipeline.jobs[0][:2] == (Path(name), Path(f"out {name}"))
    assert f"wrote `out {name}`" in result.stderr


@pytest.mark.parametrize(
    ("options", "what", "hint"),
    [
        ("--steps 0", "`--steps 0` is out of range", "use 1 to 1000"),
        ("--scale 5", "`--scale 5` is out of range", "use 1 to 4"),
        ("--scale big", "`--scale big` is not a number", "use 1 to 4, such as 2, 1.5 or 3/2"),
        ("--scale 1/0", "`--scale 1/0` is not a number", "use 1 to 4, such as 2, 1.5 or 3/2"),
        ("--tile tiny", "`--tile tiny` is not a size", "use auto, off, or output pixels"),
        ("--tile 64", "`--tile 64` is too small", "use 256 output pixels or more, or off"),
        ("--fidelity 2", "`--fidelity 2.0` is out of range", "use 0 to 1"),
        ("--clip-length 1", "does not fit clips of 1 frame", "raise `--clip-length`"),
        ("--flow dis --flow-weights a", "`--flow-weights FILE` contradict each", "leave one"),
        ("-y -n", "`-n` and `-y` contradict each other", "give one of them"),
        ("-x g", "`-x g` is no setting", "give it as `-x NAME=VALUE`"),
        ("--cfr often", "`--cfr often` is not a number", "use frames per second, such as"),
        ("--cfr 0", "`--cfr 0` is out of range", "use up to 1000"),
        ("--lossless --crf 1", "`--lossless` and `--crf` contradict each other", "give one"),
    ],
)
def test_a_bad_value_is_refused_with_a_hint(
    pipeline: FakePipeline, options: str, what: str, hint: str
) -> None:
    result = vsr("in.mp4", "out.mp4", *options.split())
    assert (result.exit_code, result.stdout, pipeline.jobs) == (2, "", [])
    assert what in result.stderr
    assert f"hint: {hint}" in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--stesp 4", "there is no option `--stesp`\nhint: did you mean `--steps`?"),
        ("--steps many", "invalid value for `--steps`: it takes a whole number"),
        ("--color wavlet", "`--color wavlet` is not known\nhint: did you mean `wavelet`?"),
        ("--audio mp3", "`--audio mp3` is not known\nhint: use one of copy, none, aac, flac"),
        ("--in-matrix bt790", "`--in-matrix bt790` is not known\nhint: did you mean `bt709`?"),
        ("-Q", "there is no option `-Q`\nhint: see `vsr upscale --help-all`"),
        ("one_more.mp4", "unexpected extra argument"),
    ],
)
def test_what_is_no_option_is_a_usage_error(
    pipeline: FakePipeline, options: str, message: str
) -> None:
    result = vsr("in.mp4", "out.mp4", *options.split())
    assert (result.exit_code, pipeline.jobs) == (2, [])
    assert message in result.stderr


def test_the_source_may_be_a_pipe(pipeline: FakePipeline) -> None:
    assert vsr("-", "out.mp4").exit_code == 0
    assert pipeline.jobs == [(Path("-"), Path("out.mp4"), UpscaleConfig())]


def test_the_target_may_be_a_pipe(pipeline: FakePipeline) -> None:
    result = vsr("in.mp4", "-")
    assert (result.exit_code, result.stdout) == (0, "")
    assert pipeline.jobs == [(Path("in.mp4"), Path("-"), UpscaleConfig())]


def test_video_and_events_do_not_share_standard_output(pipeline: FakePipeline) -> None:
    result = vsr("in.mp4", "-", "--json")
    assert (result.exit_code, result.stdout, pipeline.jobs) == (2, "", [])
    assert "hint: use `--progress-file fd:3 3>events.ndjson`" in result.stderr


def test_events_go_to_a_file_on_request(pipeline: FakePipeline, tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    pipeline.fail = lambda: raiser(InputError("it broke", hint="mend it"))
    result = vsr("in.mp4", "-", "--progress-file", path)
    assert (result.exit_code, result.stdout) == (3, "")
    kinds = [json.loads(line)["type"] for line in path.read_text().splitlines()]
    assert kinds == ["plan", "warning", "progress", "error"]
    again = vsr("in.mp4", "out.mp4", "--json")
    assert events(again)[-1]["type"] == "error"  # and on standard output afterwards


@pytest.mark.parametrize("name", ["in.mp4", "out.mp4", "link.ndjson"])
def test_events_are_never_written_over_the_source_or_the_target(
    pipeline: FakePipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.mp4").write_text("film")
    (tmp_path / "link.ndjson").symlink_to("in.mp4")
    result = vsr("in.mp4", "out.mp4", "--progress-file", name)
    assert (result.exit_code, pipeline.jobs) == (2, [])
    assert f"`--progress-file {name}` is the source or the target itself" in result.stderr
    assert result.stdout == ""
    assert (tmp_path / "in.mp4").read_text() == "film"


@pytest.mark.parametrize("place", ["/no/such/folder/events", "fd:77", "fd:x"])
def test_a_file_for_events_that_cannot_be_written_is_refused(
    pipeline: FakePipeline, place: str
) -> None:
    result = vsr("in.mp4", "out.mp4", "--progress-file", place)
    assert (result.exit_code, pipeline.jobs) == (2, [])
    assert f"`--progress-file {place}` cannot be written to" in result.stderr
    assert result.stdout == ""  # where a video might go


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (ConfigError, 2),
        (InputError, 3),
        (OutputError, 4),
        (WeightsError, 5),
        (DeviceError, 6),
        (VerificationError, 7),
    ],
)
def test_an_error_is_three_lines_and_its_exit_code(
    pipeline: FakePipeline, kind: type[VsrError], code: int
) -> None:
    pipeline.fail = lambda: raiser(kind("it broke", why="it was old", hint="mend it"))
    result = vsr("in.mp4", "out.mp4", "-q")
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr.splitlines()[-3:] == [
        "error: it broke",
        "why: it was old",
        "hint: mend it",
    ]


def test_an_existing_target_is_skipped_before_anything_is_read(
    pipeline: FakePipeline, tmp_path: Path
) -> None:
    target = tmp_path / "out.mp4"
    target.write_text("mine")
    result = vsr(tmp_path / "missing.mp4", target, "-n", "--json")
    assert (result.exit_code, pipeline.jobs, target.read_text()) == (0, [], "mine")
    assert events(result) == [{"type": "skipped", "v": 1, "out": str(target)}]


def test_skipping_does_not_stop_a_new_target(pipeline: FakePipeline, tmp_path: Path) -> None:
    assert vsr("in.mp4", tmp_path / "new.mp4", "-n").exit_code == 0
    assert len(pipeline.jobs) == 1


@pytest.mark.parametrize("name", ["%05d.png", ""])
def test_images_are_skipped_where_any_of_them_is_there(
    pipeline: FakePipeline, tmp_path: Path, name: str
) -> None:
    source, folder = tmp_path / "frames", tmp_path / "out"
    source.mkdir()
    folder.mkdir()
    (folder / "other.png").touch()
    assert vsr(source, folder / name, "-n").exit_code == 0
    assert len(pipeline.jobs) == 1
    (folder / "00007.png").touch()
    assert vsr(source, folder / name, "-n").exit_code == 0
    assert len(pipeline.jobs) == 1


def test_json_goes_to_stdout_one_event_per_line(pipeline: FakePipeline) -> None:
    result = vsr("in.mp4", "out.mp4", "--json")
    plan, warning, first, last, spent, done = events(result)
    assert {event["v"] for event in events(result)} == {1}
    assert (plan["type"], plan["target_size"]) == ("plan", [192, 256])
    assert warning == {"type": "warning", "v": 1, "code": "W_TEST", "text": "something to know"}
    assert first == {
        **{"type": "progress", "v": 1, "stage": "upscale", "frame": 1, "ahead": 0.0, "frames": 3},
        "frames_about": None,
        "bytes_about": None,
        **{"fps": 0.5, "eta_s": 4.0},
    }
    assert (last["frame"], last["eta_s"]) == (3, 0.0)
    assert (spent["type"], spent["seconds"]) == ("spent", 6.0)
    assert spent["stages"] == {
        "read": 0.6,
        "sample": 3.0,
        "decode": 1.5,
        "color": 0.0,
        "write": 0.3,
    }
    assert (done["type"], done["out"], done["frames_out"]) == ("done", "out.mp4", 3)


def test_json_ends_with_the_error(pipeline: FakePipeline) -> None:
    pipeline.fail = lambda: raiser(InputError("it broke", hint="mend it"))
    result = vsr("in.mp4", "out.mp4", "--json")
    assert result.exit_code == 3
    assert events(result)[-1] == {
        **{"type": "error", "v": 1, "exit": 3, "code": "E_INPUT"},
        **{"what": "it broke", "why": None, "hint": "mend it"},
    }


def test_people_read_stderr_and_programs_an_empty_stdout(pipeline: FakePipeline) -> None:
    result = vsr("in.mp4", "out.mp4")
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert lines[0] == "`in.mp4` 64x48, 3 frames -> `out.mp4` 256x192"
    assert lines[1].startswith("on this CPU, ")
    assert "model tiny, steps 4, seed 0, on cpu in float32" not in lines
    assert "note: something to know (W_TEST)" in lines
    assert lines[-1] == "wrote `out.mp4`: 3 frames, 256x192, in 6 s"


def test_who_wants_to_know_more_is_told_everything_that_was_chosen(
    pipeline: FakePipeline,
) -> None:
    lines = vsr("in.mp4", "out.mp4", "-v").stderr.splitlines()
    assert "`in.mp4` 64x48, 3 frames -> `out.mp4` 256x192, libx264 yuv420p" in lines
    assert "model tiny, steps 4, seed 0, on cpu in float32" in lines
    assert lines[-2] == (
        "3 frames in 6 s: reading 10%, sampling 50%, decoding 25%, colour 0%, coding 5%, "
        "the rest 10%"
    )


def test_quiet_leaves_notes_and_errors(pipeline: FakePipeline) -> None:
    assert vsr("in.mp4", "out.mp4", "-q").stderr == "note: something to know (W_TEST)\n"


@pytest.mark.parametrize("text", ["2", "2.0", "4/2"])
def test_a_scale_is_exact(text: str) -> None:
    assert parse_scale(text) == Fraction(2)


@pytest.mark.parametrize("text", ["nan", "inf", "", "2x"])
def test_a_scale_is_a_finite_number(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a number"):
        parse_scale(text)


def test_tiles_are_automatic_off_or_a_size() -> None:
    assert [parse_tile(text) for text in ("auto", "off", "512")] == [None, 0, 512]


def test_a_dry_run_checks_encoder_and_container_and_leaves_nothing(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    source = make_clip(tmp_path / "in.mkv", num_frames=2, audio=["pcm_s16le"])
    good = vsr(source, tmp_path / "out.mkv", "--dry-run")
    assert good.exit_code == 0, good.stderr
    assert "256x192, libx264 yuv420p" in good.stderr
    bad = vsr(source, tmp_path / "out.webm", "--dry-run", "-c:v", "libx264")
    assert bad.exit_code == 4
    assert sorted(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize("code", ["W_INPUT_DAMAGED", "W_INPUT_TRUNCATED"])
def test_a_damaged_source_is_finished_and_said_with_exit_code_8(
    pipeline: FakePipeline, code: str
) -> None:
    pipeline.notes = [Note(code=code, text="some of it is gone")]
    result = vsr("in.mp4", "out.mp4")
    assert result.exit_code == 8
    assert "some of it is gone" in result.stderr


def test_rare_options_are_told_on_request_only() -> None:
    common, everything = (
        CliRunner().invoke(app, ["upscale", wanted]).output for wanted in ("--help", "--help-all")
    )
    for option in ("--clip-length", "--tile", "--pix-fmt"):
        assert option not in common
        assert option in everything
    assert set(common.split()) <= set(everything.split())


def test_a_target_without_a_name_gets_one_beside_the_source_and_it_is_said(
    tmp_path: Path, make_clip: MakeClip, pipeline: FakePipeline
) -> None:
    source = make_clip(tmp_path / "in.mp4")
    result = vsr(source, "--scale", "2")
    assert result.exit_code == 0
    assert [target for _, target, _ in pipeline.jobs] == [tmp_path / "in_96p.mp4"]
    assert f"writing `{tmp_path / 'in_96p.mp4'}`" in result.stderr


@pytest.mark.parametrize("source", ["-", "%05d.png", "folder"])
def test_what_has_no_name_of_its_own_needs_one_for_its_target(
    tmp_path: Path, pipeline: FakePipeline, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    result = vsr(source)
    assert (result.exit_code, pipeline.jobs) == (2, [])
    assert "needs a name" in result.stderr
    assert "hint: name it" in result.stderr


def test_a_file_in_the_place_of_a_command_is_upscaled(tmp_path: Path) -> None:
    source, like_a_command = tmp_path / "in.mp4", tmp_path / "probe"
    source.touch()
    like_a_command.touch()
    assert with_command([str(source), "-s", "2"]) == ["upscale", str(source), "-s", "2"]
    assert with_command(["missing"]) == ["missing"]
    assert with_command([]) == []


def test_a_file_that_is_called_like_a_command_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("probe", "jobs"):
        (tmp_path / name).touch()
        assert with_command([name, "x"]) == [name, "x"]


def test_events_never_empty_a_file_that_holds_something_else(
    pipeline: FakePipeline, tmp_path: Path
) -> None:
    mine = tmp_path / "notes.txt"
    mine.write_text("mine")
    result = vsr("in.mp4", "out.mp4", "--progress-file", mine)
    assert (result.exit_code, pipeline.jobs, mine.read_text()) == (2, [], "mine")
    assert "holds something else than events" in result.stderr
    for content in ("", '{"type": "plan", "v": 1}\n'):  # of an earlier run
        mine.write_text(content)
        assert vsr("in.mp4", "out.mp4", "--progress-file", mine).exit_code == 0
        assert json.loads(mine.read_text().splitlines()[0])["target"] == "out.mp4"
