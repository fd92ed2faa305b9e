"""What is typed wrong at first is told in one line, with what to type instead."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from tests.cli.fakes import FakePipeline
from tests.conftest import MakeClip
from tests.networks import write_tiny_weights
from vsr_cli.cli.app import app, with_command
from vsr_cli.cli.ffmpeg_options import INSTEAD
from vsr_cli.config import OutputConfig
from vsr_cli.errors import find_nearest
from vsr_cli.media.containers import container_of


def vsr(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    return write_tiny_weights(tmp_path / "tiny.safetensors")


def test_the_nearest_word_is_found_whatever_its_case_and_an_exchange_of_letters_is_near() -> None:
    assert find_nearest("MEDUM", ["medium", "slow"]) == "medium"
    assert find_nearest("libx246", ["libx265", "libx264"]) == "libx264"
    assert find_nearest("zebra", ["medium", "slow"]) is None


@pytest.mark.parametrize(
    ("words", "what", "hint"),
    [
        ("upscal a b", "there is no command `upscal`", "did you mean `vsr upscale`?"),
        ("weights lst", "there is no command `lst`", "did you mean `vsr weights list`?"),
        ("xyzzy", "there is no command `xyzzy`", "see `vsr --help`"),
        ("jobs list --recursiv", "there is no option `--recursiv`", "did you mean `--recursive`?"),
        ("upscale", "missing argument `SOURCE`", "see `vsr upscale --help`"),
        ("erase a --mask", "option `--mask` requires an argument", "see `vsr erase --help`"),
        ("jobs show --job-dir", "option `--job-dir` requires an argument", "see `vsr jobs show"),
    ],
)
def test_an_unknown_word_is_answered_by_the_nearest(words: str, what: str, hint: str) -> None:
    result = vsr(*words.split())
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"error: {what}\nhint: {hint}")
    assert result.stderr.count("\n") == 2


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("upscale", "", "out.mp4"), "SOURCE"),
        (("upscale", "in.mp4", ""), "TARGET"),
        (("upscale", "in.mp4", "out.mp4", "--job-dir", ""), "`--job-dir`"),
        (("upscale", "in.mp4", "out.mp4", "--mask="), "`--mask`"),
        (("batch", "in.mp4", "", "-o", "up"), "SOURCE"),
        (("batch", "in.mp4", "-o", ""), "`--out`"),
        (("jobs", "list", ""), "DIR"),
    ],
)
def test_an_empty_name_is_not_the_folder_one_is_in(
    pipeline: FakePipeline, words: tuple[str, ...], what: str
) -> None:
    result = vsr(*words)
    assert (result.exit_code, pipeline.jobs) == (2, [])
    assert f"error: the name for {what} is empty\nhint: check the variable" in result.stderr


def test_programs_are_told_of_errors_of_usage_too() -> None:
    result = vsr("upscale", "--json", "--scal", "2", "a", "b")
    event = json.loads(result.stdout)
    assert (event["type"], event["exit"], event["code"]) == ("error", 2, "E_CONFIG")


@pytest.mark.parametrize("word", sorted(INSTEAD))
def test_an_option_of_ffmpeg_is_answered_by_ours(pipeline: FakePipeline, word: str) -> None:
    for words in (("upscale", word, "x=1", "in.mp4", "out.mp4"), (word, "x=1", "in.mp4")):
        result = vsr(*words)
        assert (result.exit_code, result.stdout, pipeline.jobs) == (2, "", [])
        what = f"`{word}` is an option of FFmpeg's, not of vsr"
        assert result.stderr == f"error: {what}\nhint: {INSTEAD[word]}\n"


def test_short_options_in_one_word_and_files_with_odd_names_are_left_alone(
    pipeline: FakePipeline,
) -> None:
    assert vsr("upscale", "-vf", "matroska", "in.mp4", "out.mp4").exit_code == 0
    assert vsr("upscale", "--", "-an", "out.mp4").exit_code == 0
    assert [job[0].name for job in pipeline.jobs] == ["in.mp4", "-an"]


def test_what_is_asked_of_ffmpegs_hands_exists() -> None:
    shown = vsr("upscale", "--help-all").stdout
    for hint in INSTEAD.values():
        for words in hint.split("`")[1::2]:
            if words.startswith("-"):
                assert words.split()[0].replace("no-", "") in shown.replace("no-", "")


@pytest.mark.parametrize("address", ["https://host/in.mp4", "rtsp://host:554/%05d", "FTP://h/a"])
def test_an_address_is_no_source_and_is_to_be_piped(address: str, tmp_path: Path) -> None:
    result = vsr("upscale", address, tmp_path / "out.mkv", "--dry-run")
    assert result.exit_code == 3
    assert f"error: `{address}` is an address, not a file" in result.stderr
    assert "hint: pipe it, as in `ffmpeg -i ADDRESS" in result.stderr


def test_an_address_is_no_target(make_clip: MakeClip, tmp_path: Path) -> None:
    result = vsr("upscale", make_clip(tmp_path / "in.mkv"), "rtmp://host/live", "--dry-run")
    assert result.exit_code == 4
    assert "error: `rtmp://host/live` is an address, not a file" in result.stderr
    assert "hint: pipe it on" in result.stderr


def test_a_missing_source_is_answered_by_what_is_called_alike(tmp_path: Path) -> None:
    (tmp_path / "holiday\n.mp4").touch()
    result = vsr("upscale", tmp_path / "holliday.mp4", tmp_path / "out.mkv")
    assert (result.exit_code, result.stderr.count("\n")) == (3, 2)
    assert "holliday.mp4` does not exist\nhint: did you mean `" in result.stderr
    nowhere = vsr("upscale", tmp_path / "nowhere" / "in.mp4", tmp_path / "out.mkv")
    assert "nowhere`\nhint: check the path" in nowhere.stderr
    numbered = vsr("upscale", tmp_path / "holiday%d.mp4", tmp_path / "out.mkv")
    assert "with any number\nhint: did you mean `" in numbered.stderr


def test_a_folder_of_videos_is_for_batch(tmp_path: Path) -> None:
    (tmp_path / "in.MP4").touch()
    result = vsr("upscale", tmp_path, tmp_path / "out.mkv")
    assert result.exit_code == 3
    assert "is a folder of videos\nhint: `vsr batch FOLDER -o OTHER`" in result.stderr


@pytest.mark.parametrize(
    ("name", "options", "code", "what", "hint"),
    [
        ("out.mp5", "", 4, "does not name a known container", "did you mean `.mp4`?"),
        ("out.mkv", "-f matrosk", 2, "there is no format `matrosk`", "did you mean `matroska`?"),
        ("out.mkv", "-c:v libx246", 2, "no encoder `libx246`", "did you mean `libx264`?"),
        ("out.mp4", "--preset medum", 2, "no preset `medum`", "did you mean `medium`?"),
        ("out.mp4", "-c:v libsvtav1 --preset fast", 2, "no preset `fast`", "use -1 to 13"),
        ("out.mp4", "--pix-fmt yuv420", 2, "no pixel format `yuv420`", "did you mean `yuv4"),
        ("out.mp4", "--model smal", 5, "there is no model `smal`", "did you mean `small`?"),
        ("out.mp4", "--model seedvr2", 5, "`seedvr2` is not here yet", "`vsr weights download s"),
        ("out.mp4", "--model a.ckpt", 5, "`a.ckpt` is no file of weights", "`vsr weights import`"),
    ],
)
def test_a_name_that_is_nearly_right_is_answered_by_the_right_one(
    make_clip: MakeClip,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    options: str,
    code: int,
    what: str,
    hint: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    Path("a.ckpt").touch()
    target = tmp_path / name
    result = vsr("upscale", make_clip(tmp_path / "in.mkv"), target, "--dry-run", *options.split())
    assert (result.exit_code, target.exists()) == (code, False)
    assert what in result.stderr
    assert f"hint: {hint}" in result.stderr


def test_what_is_no_command_and_looks_like_a_file_is_one(tmp_path: Path) -> None:
    for word in ("missing.mp4", "https://host/x", str(tmp_path)):
        assert with_command([word, "out.mp4"]) == ["upscale", word, "out.mp4"]
    assert with_command(["-", "out.mp4"]) == ["upscale", "-", "out.mp4"]
    assert with_command(["--", "-odd.mp4"]) == ["upscale", "--", "-odd.mp4"]
    for words in (["upscal", "a.mp4"], ["batch"], ["--version"], ["--"], ["--", "jobs"], []):
        assert with_command(words) == words


def picture(path: Path) -> Path:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)).save(path)
    return path


@pytest.mark.parametrize("name", ["in.png", "in.gif"])
@pytest.mark.parametrize(
    ("words", "pix_fmt"),
    [(("out.mp4",), "yuv420p"), (("out.mp4", "--pix-fmt", "yuv444p"), "yuv444p")],
)
def test_rgb_becomes_what_every_player_shows_unless_something_else_is_asked_for(
    tmp_path: Path, name: str, words: tuple[str, ...], pix_fmt: str
) -> None:
    target = tmp_path / words[0]
    result = vsr("upscale", picture(tmp_path / name), target, "--dry-run", *words[1:])
    assert result.exit_code == 0, result.stderr
    assert f"256x192, libx264 {pix_fmt}\n" in result.stderr


@pytest.mark.parametrize(
    ("name", "target"),
    [("in.png", "in_192p.png"), ("in.jpg", "in_192p.png"), ("in.gif", "in_192p.mp4")],
)
def test_an_image_becomes_an_image_and_a_moving_one_a_video(
    tmp_path: Path, pipeline: FakePipeline, name: str, target: str
) -> None:
    assert vsr("upscale", picture(tmp_path / name)).exit_code == 0
    assert [job[1] for job in pipeline.jobs] == [tmp_path / target]
    assert container_of(tmp_path / target, OutputConfig()).name in ("mp4", "image2")


@pytest.mark.slow
@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("command", ["upscale", "restore"])
def test_a_folder_gets_a_video_named_by_the_rule_of_a_batch(
    make_clip: MakeClip, tmp_path: Path, model_file: Path, exists: bool, command: str
) -> None:
    source, folder = make_clip(tmp_path / "in.mkv", num_frames=2), tmp_path / "a" / "up"
    if exists:
        folder.mkdir(parents=True)
    words = (command, source, f"{folder}/", "--model", model_file, "--steps", 1)
    dry = vsr(*words, "--dry-run")
    assert dry.exit_code == 0, dry.stderr
    name = "in_192p.mkv" if command == "upscale" else "in_48p.mkv"
    assert f"-> `{folder / name}`" in dry.stderr
    assert folder.exists() == exists
    result = vsr(*words)
    assert result.exit_code == 0, result.stderr
    assert f"writing `{folder / name}`" in result.stderr
    assert [path.name for path in folder.iterdir()] == [name]
    assert vsr(*words).exit_code == 4  # it exists


def test_images_in_a_folder_become_images_in_a_new_folder(tmp_path: Path, model_file: Path) -> None:
    source, folder = tmp_path / "in", tmp_path / "up"
    source.mkdir()
    for number in range(2):
        Image.new("RGB", (64, 48), (40 * number, 90, 90)).save(source / f"{number}.png")
    result = vsr("upscale", source, f"{folder}/", "--model", model_file, "--steps", 1)
    assert result.exit_code == 0, result.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["00001.png", "00002.png"]


def test_a_name_without_a_slash_and_an_extension_is_no_folder(
    make_clip: MakeClip, tmp_path: Path
) -> None:
    result = vsr("upscale", make_clip(tmp_path / "in.mkv"), tmp_path / "up", "--dry-run")
    assert result.exit_code == 4
    assert "it has no extension" in result.stderr


def test_a_file_whose_name_has_a_percent_sign_is_a_video(
    make_clip: MakeClip, tmp_path: Path
) -> None:
    result = vsr("upscale", make_clip(tmp_path / "100%.mkv"), f"{tmp_path / 'up'}/", "--dry-run")
    assert result.exit_code == 0, result.stderr
    assert "%05d.png" not in result.stderr
    assert "100%" in result.stderr.splitlines()[0]
