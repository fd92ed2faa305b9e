"""Sizes of the target: what is asked for is what comes, in the source's shape."""

from fractions import Fraction

import pytest

from vsr_cli.config import UpscaleConfig
from vsr_cli.errors import ConfigError
from vsr_cli.options import Options, make_config
from vsr_cli.sizes import TargetSize, parse_target_size

SHAPES = [(288, 360), (360, 288), (480, 853), (270, 480), (536, 1280), (301, 401), (576, 720)]


@pytest.mark.parametrize("lines", [720, 960, 1080])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_name_makes_a_box_that_the_picture_fills_in_its_own_shape(
    shape: tuple[int, int], lines: int
) -> None:
    size = parse_target_size(f"{lines}p", None)
    assert size is not None
    height, width = size.fit(*shape)
    assert (height % 2, width % 2) == (0, 0)
    long, short = sorted((height, width), reverse=True)
    assert short == lines or long == size.width
    assert short <= lines
    assert long <= (size.width or 0)
    assert abs(height * shape[1] / shape[0] - width) <= 2 * max(1, shape[1] / shape[0])


@pytest.mark.parametrize(
    ("text", "source", "expected"),
    [
        ("1080p", (480, 640), (1080, 1440)),
        ("1080p", (640, 480), (1440, 1080)),
        ("720p", (360, 640), (720, 1280)),
        ("4k", (1080, 1920), (2160, 3840)),
        ("2160P", (1080, 1920), (2160, 3840)),
        ("1920x1080", (480, 854), (1080, 1920)),
        ("1920:-2", (536, 1280), (804, 1920)),
        ("-2:1080", (480, 853), (1080, 1920)),
        ("480p", (480, 853), (480, 854)),
    ],
)
def test_a_size_is_read_as_users_write_it(
    text: str, source: tuple[int, int], expected: tuple[int, int]
) -> None:
    config = make_config(Options(size=text))
    assert config.target_size(*source) == expected
    resolved = config.for_source(*source)
    assert resolved.target_size(*source) == expected
    assert resolved.scale == max(1, *map(Fraction, expected, source))


def test_a_height_alone_and_a_pair_of_numbers_do_as_well() -> None:
    assert make_config(Options(height=960)).target_size(240, 320) == (960, 1280)
    assert make_config(Options(size=(640, 480))) == make_config(Options(size="640x480"))
    assert UpscaleConfig().for_source(240, 320) == UpscaleConfig()


@pytest.mark.parametrize(
    ("options", "what", "hint"),
    [
        (Options(size="big"), "`--size big` is not a size", "use 1080p, 4k, WxH"),
        (Options(size="-2:-2"), "`--size -2:-2` is not a size", "use 1080p, 4k, WxH"),
        (Options(size="1279x720"), "a side of 1279 pixels is not even", "use 1280"),
        (Options(height=0), "a side of 0 pixels is not even", "use 2"),
        (Options(size="4k", height=1080), "`--size` and `--height` contradict", "give one"),
        (Options(size="4k", scale=2), "`--size 2160p` and `--scale 2` contradict", "give one"),
        (Options(scale="1280x720"), "`--scale 1280x720` is not", "use `--size 1280x720`"),
        (Options(scale="4K"), "`--scale 4K` is not", "use `--size 4K`"),
    ],
)
def test_what_is_no_size_is_refused(options: Options, what: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_config(options)
    assert str(caught.value).startswith(what)
    assert (caught.value.hint or "").startswith(hint)


@pytest.mark.parametrize(
    ("size", "what", "hint"),
    [
        (TargetSize(width=1280, height=720), "no shape for a source of 640x480", "`--size 1280:-2"),
        (TargetSize(height=240), "`--height 240` is smaller than the source", "or `--scale 1`"),
        (TargetSize(width=2600), "`--size 2600:-2` is more than 4 times", "use up to 2560x1920"),
    ],
)
def test_a_size_that_a_source_does_not_come_to_is_refused(
    size: TargetSize, what: str, hint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        UpscaleConfig(size=size).target_size(480, 640)
    assert what in str(caught.value)
    assert hint in (caught.value.hint or "")
