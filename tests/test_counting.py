"""One of a kind is spoken of as one."""

import re
from pathlib import Path

import pytest

import vsr_cli
from vsr_cli.counting import counted

PACKAGE = Path(vsr_cli.__file__).parent
# A number that may be 1 before what is counted; one in capitals is a constant.
BY_HAND = re.compile(
    r"\{[^}]*[a-z)][^}]*\} (frames|units|videos|workers|packets|machines|samples)\b"
)
# Rates and ranges, of which `frames` is said in any case, and what only developers read.
OTHERWISE = ("frames per second", "frames/s", "use {", "{len(seen", "frames back")


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 frames"), (1, "1 frame"), (2, "2 frames"), (-1, "-1 frames")]
)
def test_only_one_is_singular(number: int, text: str) -> None:
    assert counted(number, "frame") == text


def test_what_follows_may_change_with_the_number() -> None:
    assert counted(1, "image is", "images are") == "1 image is"
    assert counted(3, "image is", "images are") == "3 images are"


@pytest.mark.parametrize("layer", ["api", "cli", "media", "models", "pipeline", "viewing"])
def test_texts_for_users_count_in_this_way(layer: str) -> None:
    found = [
        f"{path.relative_to(PACKAGE)}: {line.strip()}"
        for path in sorted((PACKAGE / layer).rglob("*.py"))
        for line in path.read_text().splitlines()
        if BY_HAND.search(line) and not any(words in line for words in OTHERWISE)
    ]
    assert found == []
