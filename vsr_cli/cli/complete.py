"""What the shell may complete values of options to; an error completes nothing."""

from collections.abc import Callable, Iterable
from contextlib import suppress

from vsr_cli.errors import VsrError

_SIZES = ("720p", "1080p", "1440p", "2160p", "4k", "8k")
_SPEEDS = (
    *("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower"),
    "veryslow",
)
_PIXEL_FORMATS = (
    *("yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le"),
    *("gbrp", "gbrp10le", "bgr0", "rgb24", "rgb48be", "rgba", "yuva444p16le"),
)

Complete = Callable[[str], list[str]]


def _starting_with(names: Callable[[], Iterable[str]]) -> Complete:
    """Make a function that Typer asks for what a word may become."""

    def complete(incomplete: str) -> list[str]:
        with suppress(VsrError, OSError, ImportError):
            return [name for name in names() if name.startswith(incomplete)]
        return []

    return complete


def _encoders() -> list[str]:
    from vsr_cli.media.writing.encoder_plan import encoder_names

    return encoder_names()


def _formats() -> list[str]:
    from vsr_cli.media.containers import BY_SUFFIX

    return sorted(set(BY_SUFFIX.values()))


def _models() -> list[str]:
    from vsr_cli.models.files import installed_weights

    return [path.stem for path in installed_weights()]


def _presets() -> list[str]:
    from vsr_cli import api

    return api.preset_names()


complete_encoder = _starting_with(_encoders)
complete_format = _starting_with(_formats)
complete_pixel_format = _starting_with(lambda: _PIXEL_FORMATS)
complete_model = _starting_with(_models)
complete_preset = _starting_with(_presets)
complete_size = _starting_with(lambda: _SIZES)
complete_speed = _starting_with(lambda: _SPEEDS)
complete_device = _starting_with(lambda: ("auto", "cpu", "cuda", "cuda:0"))
