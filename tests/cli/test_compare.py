import csv
import inspect
import json
import shlex
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import vsr_cli as vsr
from tests.conftest import MakeClip
from tests.networks import write_tiny_weights
from vsr_cli.cli.app import app
from vsr_cli.cli.compare import compare
from vsr_cli.viewing import profile
from vsr_cli.viewing.footage import open_footage


@pytest.fixture
def pair(tmp_path: Path, make_clip: MakeClip) -> tuple[Path, Path]:
    """A clip, and the same at half its size."""
    return (
        make_clip(tmp_path / "large.mp4", num_frames=10, size=(96, 128)),
        make_clip(tmp_path / "small.mp4", num_frames=10, size=(48, 64)),
    )


def run(*words: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["compare", *map(str, words)])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.stdout, result.stderr


def frames_of(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def shown(path: Path) -> list[np.ndarray]:
    """The same with colours between their samples interpolated, as a comparison has them."""
    return [shot.picture.astype(int) for shot in open_footage(path, path.name).shots()]


@pytest.mark.parametrize(
    ("mode", "size"),
    [
        ("side", (96, 258)),
        ("stack", (194, 128)),
        ("split", (96, 128)),
        ("blink", (96, 128)),
        ("heat", (96, 128)),
    ],
)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_video_in_every_mode_has_the_frames_and_times_of_the_first(
    pair: tuple[Path, Path], tmp_path: Path, mode: str, size: tuple[int, int], suffix: str
) -> None:
    out = tmp_path / f"out{suffix}"
    code, _, err = run(*pair, "-o", out, "--mode", mode)
    assert code == 0, err
    assert "sizes differ: `large.mp4` 128x96, `small.mp4` 64x48" in err
    found = vsr.probe(out).info
    assert ((found.height, found.width), found.rate) == (size, Fraction(25))
    assert len(frames_of(out)) == 10


def test_a_profile_is_a_line_of_every_frame(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, (large, _) = tmp_path / "out.png", pair
    code, _, err = run(*pair, "-o", out, "--mode", "profile", "--crop", "96x5+8+70")
    assert code == 0, err
    picture = np.asarray(Image.open(out)).astype(int)
    assert picture.shape == (2 * 10 * 24 + 2, 96, 3)
    for index, frame in enumerate(shown(large)[:9]):  # the name is written over the last lines
        assert (picture[24 * index : 24 * (index + 1)] == frame[72, 8:104]).all()
    monkeypatch.setattr(profile, "MOST_FRAMES", 4)
    code, _, err = run(*pair, "-o", out, "-y", "--mode", "profile")
    assert (code, "ends after 4 frames" in err) == (0, True)
    assert Image.open(out).size == (128, 2 * 4 * 60 + 2)


def test_blinking_changes_pictures_as_often_as_is_asked_for(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    # In the same picture, one has a brighter range: it tells which of them is shown.
    first = make_clip(tmp_path / "a.mp4", num_frames=8)
    second = make_clip(tmp_path / "b.mp4", num_frames=8, color_range=2, pix_fmt="yuv420p")
    out = tmp_path / "out.mkv"
    code, _, err = run(first, second, "-o", out, "--mode", "blink", "--every", "0.08")
    assert code == 0, err
    originals = [frames_of(path) for path in (first, second)]
    frames = frames_of(out)

    def is_second(index: int) -> bool:
        far = [
            np.abs(clip[index][:20].astype(int) - frames[index][:20]).sum() for clip in originals
        ]
        return bool(far[1] < far[0])

    assert [is_second(index) for index in range(8)] == [False, False, True, True] * 2


def test_a_sweep_moves_the_line_once_across(pair: tuple[Path, Path], tmp_path: Path) -> None:
    still, moving = tmp_path / "still.mp4", tmp_path / "moving.mp4"
    assert run(*pair, "-o", still, "--mode", "split")[0] == 0
    assert run(*pair, "-o", moving, "--mode", "split", "--sweep")[0] == 0
    large = shown(pair[0])

    def shares(path: Path) -> list[float]:
        """How much of each frame is the first video's, by its upper half."""
        return [
            float((np.abs(frame[:48] - own[:48]).mean((0, 2)) < 8).mean())
            for frame, own in zip(shown(path), large, strict=True)
        ]

    assert max(shares(still)) - min(shares(still)) < 0.2
    assert shares(moving)[0] < 0.2
    assert shares(moving)[-1] > 0.7


def test_a_picture_shows_what_is_shown_at_a_time(pair: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "frame.png"
    code, _, err = run(*pair, "-o", out, "--at", "0.21", "--fit", "nearest")
    assert code == 0, err
    picture = np.asarray(Image.open(out)).astype(int)
    expected = shown(pair[0])[5]
    assert np.abs(picture[:60, :128] - expected[:60]).mean() < 1e-9
    code, _, err = run(*pair, "-o", tmp_path / "late.png", "--at", "9")
    assert (code, (tmp_path / "late.png").exists()) == (2, False)
    assert "nothing is shown at 9 s" in err


def test_a_piece_alone_is_shown_and_measured(pair: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "piece.png"
    words = ("--crop", "40x30+8+8", "--metrics", "psnr")
    code, figures, err = run(*pair, "-o", out, *words)
    assert code == 0, err
    assert Image.open(out).size == (2 * 360 + 2, 270)
    assert figures != run(*pair, "--metrics", "psnr")[1]


def test_equal_videos_do_not_differ(tmp_path: Path, make_clip: MakeClip) -> None:
    one = make_clip(tmp_path / "a.mp4", size=(48, 64))
    two = make_clip(tmp_path / "b.mp4", size=(48, 64))
    code, out, err = run(one, two, "--metrics", "psnr,ssim", "--json")
    assert code == 0, err
    event = json.loads(out.splitlines()[-1])
    assert event["type"] == "comparison"
    assert event["means"] == {"b.mp4": {"psnr": 100.0, "ssim": 1.0}}
    assert (event["frames"], event["frames_of"], event["is_truth"]) == (6, [6, 6], False)


def test_figures_are_called_differences_unless_a_truth_is_named(pair: tuple[Path, Path]) -> None:
    assert "difference from `large.mp4`" in run(*pair, "--metrics", "psnr")[1]
    code, out, _ = run(*pair, "--metrics", "psnr", "--truth", "2")
    assert code == 0
    assert "against the truth, `small.mp4`" in out
    assert "large.mp4: psnr" in out


@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_every_frame_is_told_in_a_file(
    pair: tuple[Path, Path], tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"frames{suffix}"
    code, out, err = run(*pair, "--per-frame", path, "--json")
    assert code == 0, err
    mean = json.loads(out.splitlines()[-1])["means"]["small.mp4"]["psnr"]
    if suffix == ".csv":
        rows = list(csv.DictReader(path.read_text().splitlines()))
        values = [float(row["small.mp4 psnr"]) for row in rows]
        times = [float(row["time"]) for row in rows]
    else:
        frames = json.loads(path.read_text())["frames"]
        values = [frame["values"][0]["psnr"] for frame in frames]
        times = [frame["time"] for frame in frames]
    assert times == pytest.approx([index / 25 for index in range(10)])
    assert sum(values) / 10 == pytest.approx(mean, abs=1e-3)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ("{a}", 2, "1 video cannot be compared"),
        ("{a} {b} {a} {b} {a} -o x.mp4", 2, "5 videos cannot be compared"),
        ("{a} {b}", 2, "there is nothing to do"),
        ("{a} {b} -o x.mp4 --mode swipe", 2, "`--mode swipe` is not known"),
        ("{a} {b} --metrics vmaf", 2, "`--metrics vmaf` is not known"),
        ("{a} {b} --metrics lpips", 2, "needs weights"),
        ("{a} {b} --metrics psnr --truth 3", 2, "`--truth 3` is no video"),
        ("{a} {b} -o x.png --mode blink", 2, "one picture cannot blink"),
        ("{a} {b} -o x.mp4 --mode profile", 2, "one picture of all frames"),
        ("{a} {b} -o x.png --mode profile --at 1", 2, "one picture of all frames"),
        ("{a} {b} -o x.mp4 --at 1", 2, "`--at` gives one picture"),
        ("{a} {b} -o x.mp4 --crop 9", 2, "no part of a picture"),
        ("{a} {b} -o x.mp4 --crop 999x9+0+0", 2, "reaches out of the picture"),
        ("{a} {b} -o x.mp4 --offset 99", 2, "share no time"),
        ("{a} {b} -o x.mp4 --every 0", 2, "`--every 0.0` is out of range"),
        ("{a} {b} -o x.mp4 --offset nan", 2, "`--offset nan` is out of range"),
        ("{a} {b} -o x.mp4 --gain inf", 2, "`--gain inf` is out of range"),
        ("{a} {b} -o x.json --per-frame x.json", 2, "cannot be two files"),
        ("{a} {b} -o - --json", 2, "cannot hold both video and events"),
        ("{a} missing.mp4 -o x.mp4", 3, "does not exist"),
        ("{a} {text} -o x.mp4", 3, "text.mp4"),
        ("{a} {b} -o x.docx", 4, "does not name a known container"),
        ("{a} {b} -o none/x.html", 4, "not a folder that exists"),
        ("{a} {b} -o {a} -y", 4, "itself"),
        ("{a} {b} -o {b} -y", 4, "itself"),
        ("{a} {b} --metrics psnr --per-frame {a} -y", 4, "itself"),
    ],
)
def test_what_cannot_be_done_is_refused_in_a_line(
    pair: tuple[Path, Path], tmp_path: Path, words: str, code: int, says: str
) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    names = {"a": pair[0], "b": pair[1], "text": tmp_path / "text.mp4"}
    outs = [word.format(**names) for word in words.split()]
    outs = [str(tmp_path / word) if word.startswith(("x.", "none/")) else word for word in outs]
    found, _, err = run(*outs)
    assert (found, "Traceback" in err) == (code, False)
    assert says in err
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("name", ["out.mp4", "out.png", "out.html", "out.csv"])
def test_what_exists_is_kept_unless_told_otherwise(
    pair: tuple[Path, Path], tmp_path: Path, name: str
) -> None:
    out = tmp_path / name
    out.write_text("mine")
    words = ("--per-frame", out) if name == "out.csv" else ("-o", out)
    code, _, err = run(*pair, *words)
    assert (code, out.read_text()) == (4, "mine")
    assert "use `--overwrite`" in err
    assert run(*pair, *words, "-y")[0] == 0
    assert out.read_bytes() != b"mine"


def test_a_source_that_is_cut_off_is_compared_as_far_as_it_goes(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    whole = make_clip(tmp_path / "a.mkv", num_frames=20, size=(96, 128))
    cut = tmp_path / "b.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    code, _, err = run(whole, cut, "--metrics", "psnr")
    assert code == 8
    assert "W_INPUT_" in err
    assert "W_COUNTS_DIFFER" in err


def test_names_cannot_steer_a_terminal(tmp_path: Path, make_clip: MakeClip) -> None:
    first = make_clip(tmp_path / "a\x1b[31m.mp4")
    second = make_clip(tmp_path / "b.mp4", size=(24, 32))
    code, out, err = run(first, second, "--metrics", "psnr", "-o", tmp_path / "x\x1b[31m.png")
    assert code == 0
    assert "\x1b" not in out + err


def test_two_files_of_one_name_are_told_apart(tmp_path: Path, make_clip: MakeClip) -> None:
    paths = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        paths.append(make_clip(tmp_path / folder / "a.mp4"))
    found = vsr.compare(*paths, metrics="psnr")
    assert (found.reference, list(found.means)) == ("one/a.mp4", ["two/a.mp4"])
    found = vsr.compare(*paths, metrics="psnr", names="before,after")
    assert (found.reference, list(found.means)) == ("before", ["after"])


def test_folders_of_images_are_compared(tmp_path: Path, make_clip: MakeClip) -> None:
    video = make_clip(tmp_path / "a.mkv", codec="ffv1", pix_fmt="bgr0")
    (tmp_path / "images").mkdir()
    for index, frame in enumerate(frames_of(video)):
        Image.fromarray(frame).save(tmp_path / "images" / f"{index:03}.png")
    found = vsr.compare(video, tmp_path / "images", metrics=["psnr"])
    assert found.means == {"images": {"psnr": 100.0}}
    numbered = tmp_path / "images" / "%03d.png"
    assert vsr.compare(video, numbered, out=tmp_path / "out.html").frames == 6
    found = vsr.compare(tmp_path / "images", video, out=tmp_path / "out.mp4")
    assert found.frames == len(frames_of(tmp_path / "out.mp4")) == 6


def test_the_function_has_the_options_of_the_command() -> None:
    typed = inspect.signature(compare).parameters
    function = inspect.signature(vsr.compare).parameters
    own = {"as_json", "quiet", "verbose", "report"}
    assert set(typed) - own == set(function) - own
    for name in set(typed) - own - {"sources"}:
        assert typed[name].default == function[name].default, name


@pytest.mark.slow
def test_the_command_that_upscaling_ends_with_works(
    tmp_path: Path, make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source, target = make_clip(tmp_path / "in.mp4"), Path("-up it.mp4")
    model = write_tiny_weights(tmp_path / "tiny.safetensors")
    options = ("-s", "2", "--steps", "1", "--device", "cpu", "--model", model)
    upscaled = CliRunner().invoke(app, ["upscale", *map(str, (*options, "--", source, target))])
    assert upscaled.exit_code == 0, upscaled.stderr
    (line,) = (text for text in upscaled.stderr.splitlines() if "to see both" in text)
    name, *words = shlex.split(line.split("`")[1])
    assert name == "vsr"
    assert CliRunner().invoke(app, words).exit_code == 0
    assert Path("-up it.html").is_file()
    part = (source, tmp_path / "part.mp4", *options, "--frames", "2:4")  # begins elsewhere
    upscaled = CliRunner().invoke(app, ["upscale", *map(str, part)])
    assert (upscaled.exit_code, "to see both" in upscaled.stderr) == (0, False)
