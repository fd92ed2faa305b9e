"""Options from Python are of the kinds that the command line makes of them, or refused."""

from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import pytest

import vsr_cli as vsr
from vsr_cli.errors import ConfigError, VsrError
from vsr_cli.option_types import as_list
from vsr_cli.options import Options, make_config
from vsr_cli.repair_config import Box

HINTS = get_type_hints(Options)
NUMBERS = [name for name, hint in HINTS.items() if set(get_args(hint)) & {int, float}]
FLAGS = [name for name, hint in HINTS.items() if set(get_args(hint)) == {bool, type(None)}]


@pytest.mark.parametrize("name", HINTS)
def test_what_is_no_value_at_all_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(VsrError, match=f"`(--{name.replace('_', '-')}|-x) "):
        make_config({name: object()}, "upscale")  # type: ignore[misc]


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", ["x", [4], float("nan")], ids=str)
def test_what_is_no_number_is_refused(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"`--{name.replace('_', '-')} "):
        make_config({name: value})  # type: ignore[misc]


@pytest.mark.parametrize("name", FLAGS)
def test_text_is_no_flag(name: str) -> None:
    with pytest.raises(ConfigError, match="is neither True nor False"):
        make_config({name: "no"})  # type: ignore[misc]


@pytest.mark.parametrize(
    ("options", "same"),
    [
        ({"steps": "4"}, {"steps": 4}),
        ({"steps": np.int64(4)}, {"steps": 4}),
        ({"fidelity": np.float32(0.5)}, {"fidelity": 0.5}),
        ({"lossless": np.True_}, {"lossless": True}),
        ({"enc_opt": "g=12"}, {"enc_opt": ["g=12"]}),
        ({"enc_opt": {"g": 12}}, {"enc_opt": ["g=12"]}),
        ({"box": "0,0,10,10"}, {"box": ["0,0,10,10"]}),
        ({"box": Box(x=0, y=0, width=10, height=10)}, {"box": ["0,0,10,10"]}),
        ({"frames": [0, 5]}, {"frames": "0:5"}),
    ],
)
def test_what_means_the_same_is_the_same(options: Options, same: Options) -> None:
    assert make_config(options) == make_config(same) != make_config({})


@pytest.mark.parametrize("pairs", [[4], 4, ["4"], [(1, 2, 3)], [(0.5, 2)]])
def test_a_list_of_frames_holds_first_and_last(pairs: object) -> None:
    with pytest.raises(ConfigError, match="`--frames-list"):
        make_config({"frames_list": pairs}, "fill")  # type: ignore[typeddict-item]


def test_one_of_what_may_be_repeated_is_a_list_of_it(tmp_path: Path) -> None:
    (tmp_path / "vsr.toml").write_text("")
    assert (as_list("ab"), as_list(4), as_list(["a", "b"])) == (["ab"], [4], ["a", "b"])
    with pytest.raises(ConfigError, match="there is no preset `film`"):
        vsr.find_settings(tmp_path / "vsr.toml", presets="film")
    with pytest.raises(ConfigError, match="`--size 3x2` is too small"):
        vsr.bench(size="3x2")
    with pytest.raises(VsrError, match="`nowhere`"):
        vsr.find_jobs("nowhere")
