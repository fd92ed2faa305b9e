"""Choices that contradict each other are refused where they are made."""

from fractions import Fraction

import pytest

from vsr_cli.config import InputConfig
from vsr_cli.errors import ConfigError


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"stop": Fraction(2), "duration": Fraction(1)}, "contradict"),
        ({"frames": (0, 5), "start": Fraction(1)}, "contradict"),
        ({"frames": (5, 5)}, "no frame"),
        ({"frames": (-1, 5)}, "no frame"),
        ({"start": Fraction(2), "stop": Fraction(2)}, "before it starts"),
        ({"start": Fraction(-1)}, "before it starts"),
        ({"duration": Fraction(0)}, "not above 0"),
        ({"video_stream": -1}, "below 0"),
        ({"raw_rate": Fraction(0)}, "not above 0"),
        ({"format": "rawvideo", "raw_size": (48, 64)}, "raw video"),
    ],
)
def test_a_part_of_the_source_that_cannot_be_is_refused(
    wrong: dict[str, object], says: str
) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        InputConfig(**wrong)  # type: ignore[arg-type]
    assert caught.value.hint


@pytest.mark.parametrize(
    "right",
    [
        {"start": Fraction(1), "duration": Fraction(1)},
        {"frames": (3, None)},
        {"format": "rawvideo", "raw_size": (48, 64), "raw_pix_fmt": "gray"},
    ],
)
def test_a_part_of_the_source_that_can_be_is_taken(right: dict[str, object]) -> None:
    config = InputConfig(**right)  # type: ignore[arg-type]
    assert all(getattr(config, name) == value for name, value in right.items())
