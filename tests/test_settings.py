"""Options that are not typed come from a file and the environment, each checked and traceable."""

from fractions import Fraction
from pathlib import Path

import pytest

import vsr_cli as vsr
from vsr_cli.options import make_config
from vsr_cli.settings import find_settings, option_types, without_rivals
from vsr_cli.settings_file import EXAMPLE

TEXT = """\
# mine
steps = 4
"enc-opt" = ["tune=film"]
[preset.phone]
scale = 2
crf = 20
[ preset . "big one" ]
size = "4k"
crf = 14.5
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(TEXT)
    return path


def values(found: dict[str, vsr.Setting]) -> dict[str, object]:
    return {name: setting.value for name, setting in found.items()}


def test_presets_go_before_the_file_the_last_one_first_and_all_say_where_they_are(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert values(find_settings(file)) == {"steps": 4, "enc_opt": ["tune=film"]}
    found = find_settings(file, ["big one", "phone"])
    assert values(found) == {"scale": 2, "crf": 20, "steps": 4, "enc_opt": ["tune=film"]}
    assert found["enc_opt"].place == f"`{file}`, line 3"
    assert found["scale"].place == f"preset `phone`, `{file}`, line 5"
    assert find_settings(file, ["phone", "big one"])["crf"].place.endswith("line 9")
    monkeypatch.setenv("VSR_STEPS", "7")
    found = find_settings(file)
    assert (found["steps"].value, found["steps"].origin) == (7, "environment")


def test_what_says_the_same_in_another_way_leaves_out_what_is_of_lower_rank(file: Path) -> None:
    assert "scale" not in find_settings(file, ["phone", "big one"])
    assert without_rivals(["scale", "steps", "crf"], ["height", "lossless"]) == ["steps"]


def test_every_kind_of_option_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"scale": "3/2", "dirt": "yes", "fidelity": "0.5", "box": "1,2,3,4 5,6,7,8"}
    for name, text in given.items():
        monkeypatch.setenv(f"VSR_{name.upper()}", text)
    monkeypatch.setenv("VSR_CHAPTERS", "off")
    monkeypatch.setenv("VSR_SIZE", "")
    found = values(find_settings())
    boxes = ["1,2,3,4", "5,6,7,8"]
    assert found == {
        **{"scale": "3/2", "dirt": True, "fidelity": 0.5, "box": boxes},
        "chapters": False,
    }


def test_a_program_takes_them_as_options(file: Path) -> None:
    options = vsr.load_options(file, presets=["phone"])
    config = make_config(options)
    assert (config.sampler.steps, config.scale, config.output.crf) == (4, Fraction(2), 20)


def test_all_options_that_may_be_set_have_a_type_that_is_known() -> None:
    assert {"scale", "vcodec", "mask", "job_dir"} <= set(option_types())
    assert not {"overwrite", "fresh", "guidance", "memory"} & set(option_types())


def test_nothing_is_read_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("config.toml", "vsr.toml", ".vsr.toml", "vsr/config.toml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("steps = 4")
    monkeypatch.chdir(tmp_path)
    assert find_settings() == {}
    monkeypatch.setenv("VSR_CONFIG", "config.toml")
    assert values(find_settings()) == {"steps": 4}
    assert find_settings(has_file=False) == {}


@pytest.mark.parametrize(
    ("text", "what", "line", "hint"),
    [
        ("# x\nstepz = 4", "there is no option `stepz`", 2, "did you mean `steps`?"),
        ("motion_scael = 1", "there is no option `motion_scael`", 1, "did you mean `motion-scale`"),
        ('steps = "4"', '`steps = "4"` is not right', 1, "use a whole number"),
        ("steps = true", "`steps = true` is not right", 1, "use a whole number"),
        ("crf = [18]", "`crf = [18]` is not right", 1, "use a number"),
        ("vcodec = 264", "`vcodec = 264` is not right", 1, "use text in quotes"),
        ("dirt = 1", "`dirt = 1` is not right", 1, "use true or false"),
        ("box = [1]", "`box = [1]` is not right", 1, "use a list of texts"),
        ("[preset.a]\ncrf=1\naudio='mp3'", "`audio", 3, "use one of copy, none, aac, flac"),
        ("[preset.a]\nfresh = true", "would throw away unfinished work", 2, "remove it"),
        ("crf = 1\n\n[presets.a]\ncrf = 2", "there is no option `presets`", 3, "did you mean `pre"),
        ("[preset]\na = 1", "`preset.a` is no preset", 2, "write presets as"),
    ],
)
def test_what_is_wrong_in_a_file_is_told_with_its_line(
    file: Path, text: str, what: str, line: int, hint: str
) -> None:
    file.write_text(text)
    with pytest.raises(vsr.VsrError) as caught:
        find_settings(file)
    assert caught.value.exit_code == 2
    assert what in str(caught.value)
    assert f"`{file}`, line {line}" in f"{caught.value.why},"
    assert hint in str(caught.value.hint)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"crf = = 1", "line 1 is no TOML"),
        (b"crf = '\xff'", "is no text in UTF-8"),
        (b"#" * 2**21, "is no file of settings"),
        (b'preset = "slow"\n[preset.a]\ncrf = 1', "line 2 is no TOML"),
    ],
)
def test_what_is_no_file_of_settings_is_refused(file: Path, data: bytes, what: str) -> None:
    file.write_bytes(data)
    with pytest.raises(vsr.VsrError, match=what) as caught:
        find_settings(file)
    assert caught.value.exit_code == 2


def test_a_path_may_begin_at_home(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/alice")
    file.write_text('job-dir = "~/jobs"\nvcodec = "~"')
    assert values(find_settings(file)) == {"job_dir": "/home/alice/jobs", "vcodec": "~"}


def test_an_encoder_s_preset_is_text_and_no_preset(file: Path) -> None:
    file.write_text('preset = "slow"')
    assert values(find_settings(file)) == {"preset": "slow"}


def test_a_file_or_preset_that_is_not_there_is_told(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(vsr.VsrError, match="does not exist"):
        find_settings(tmp_path / "none.toml")
    with pytest.raises(vsr.VsrError, match="there is no preset `fone`") as caught:
        find_settings(file, ["fone"])
    assert "did you mean `phone`?" in str(caught.value.hint)
    assert caught.value.why == f"looked in `{file}`"
    monkeypatch.delenv("VSR_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "nothing"))
    with pytest.raises(vsr.VsrError, match="there is no preset `phone`") as caught:
        find_settings(None, ["phone"])
    assert caught.value.why == "there is no file of settings"
    with pytest.raises(vsr.VsrError, match="leaves out"):
        find_settings(None, ["phone"], has_file=False)


@pytest.mark.parametrize(
    ("name", "text"),
    [("OVERWRITE", "1"), ("PRESET_NAME", "phone"), ("STEPS", "four"), ("DIRT", "x")],
)
def test_variables_are_checked_as_files_are(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    monkeypatch.setenv(f"VSR_{name}", text)
    with pytest.raises(vsr.VsrError, match=f"VSR_{name}") as caught:
        find_settings()
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("name", "hint"),
    [("VSR_STEP", ", did you mean `VSR_STEPS`?"), ("VSR_NOTHING_LIKE_IT", "")],
)
def test_a_variable_that_is_none_of_ours_is_told(
    monkeypatch: pytest.MonkeyPatch, name: str, hint: str
) -> None:
    for other in ("VSR_STEPS", "VSR_CACHE_DIR", "VSR_WEIGHTS_DIR"):
        monkeypatch.setenv(other, "1")
    monkeypatch.setenv("VSR_EMPTY", "")
    monkeypatch.setenv(name, "3")
    events = list[object]()
    assert values(vsr.find_settings(report=events.append)) == {"steps": 1}
    text = f"`{name}` of the environment is no option and sets nothing{hint}"
    assert events == [vsr.Note(code="W_VARIABLE_UNKNOWN", text=text)]


def test_the_example_is_right_once_its_signs_are_taken_away(file: Path) -> None:
    lines = [line.removeprefix("# ") for line in EXAMPLE.splitlines()]
    file.write_text("\n".join(line for line in lines if "=" in line or line.startswith("[")))
    assert set(find_settings(file, ["phone"])) == {
        *("steps", "crf", "audio", "enc_opt", "scale", "fidelity")
    }
    file.write_text(EXAMPLE)
    assert find_settings(file) == {}


def test_an_example_is_written_once(tmp_path: Path) -> None:
    path = vsr.write_config(tmp_path / "new" / "config.toml")
    path.write_text("steps = 4")
    with pytest.raises(vsr.VsrError, match="exists, and is kept") as caught:
        vsr.write_config(path)
    assert (caught.value.exit_code, path.read_text()) == (4, "steps = 4")
