"""Videos repaired without a model."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Unpack

from vsr_cli.api.worker import Worker
from vsr_cli.cancellation import StopRequest
from vsr_cli.events import Done, Report, ignore
from vsr_cli.options import Options, PathLike, make_config

if TYPE_CHECKING:
    from vsr_cli.pipeline.repair.listing import FoundGap


def fill(
    source: PathLike,
    target: PathLike,
    *,
    report: Report = ignore,
    stop: StopRequest | None = None,
    **options: Unpack[Options],
) -> Done:
    """Make frames that are damaged, black or frozen anew of those before and after them.

    No model is loaded. Count, times, sound and all other frames stay; the picture is coded anew.

    Args:
        source: as for `upscale`.
        target: likewise.
        report: likewise.
        stop: likewise.
        options: `find`, `frames_list` and `most`, and all that are not of a model.

    Raises:
        VsrError: as `upscale`.
        Stopped: as was asked for.
    """
    return Repairer("fill", stop=stop, **options).repair(source, target, report=report)


def find_gaps(
    source: PathLike, *, report: Report = ignore, **options: Unpack[Options]
) -> "Iterator[FoundGap]":
    """Find the frames that `fill` would replace; computes and writes nothing.

    Args:
        source: as for `upscale`.
        report: receives what there is to know of the source.
        options: as for `fill`.

    Raises:
        VsrError: the source cannot be read, or options contradict each other.
    """
    config = make_config(options, "fill")
    from vsr_cli.pipeline.repair.listing import list_gaps

    yield from list_gaps(Path(source), config, report)


def erase(
    source: PathLike,
    target: PathLike,
    *,
    report: Report = ignore,
    stop: StopRequest | None = None,
    **options: Unpack[Options],
) -> Done:
    """Replace what is masked by what other frames of the shot show in its place.

    No model is loaded. Samples outside of the mask stay; the picture is coded anew.

    Args:
        source: as for `upscale`.
        target: likewise.
        report: likewise.
        stop: likewise.
        options: `box`, `mask` and what goes with them, and all that are not of a model.

    Raises:
        VsrError: as `upscale`; `UnseenError` with `unseen="stop"`.
        Stopped: as was asked for.
    """
    return Repairer("erase", stop=stop, **options).repair(source, target, report=report)


def show_mask(
    source: PathLike, picture: PathLike, *, report: Report = ignore, **options: Unpack[Options]
) -> None:
    """Write a picture of a few frames on which what `erase` would take out is outlined.

    Args:
        source: as for `upscale`, but no pipe.
        picture: a PNG to write.
        report: receives what there is to know of the mask.
        options: as for `erase`.

    Raises:
        VsrError: source or mask cannot be read, the mask does not fit, or the picture exists.
    """
    config = make_config(options, "erase")
    from vsr_cli.media.pictures import write_png
    from vsr_cli.media.reading.reader import open_video
    from vsr_cli.media.writing.destination import require_no_input
    from vsr_cli.pipeline.repair.plan import check_repairs
    from vsr_cli.pipeline.repair.preview import outline_masks

    require_no_input(Path(picture), {"the source": Path(source), **config.inputs})
    with open_video(Path(source), config.input) as video:
        info = video.info
    check_repairs(config, Path(source), info, report)
    outlined = outline_masks(config, Path(source), info)
    write_png(Path(picture), outlined, overwrite=config.output.overwrite)


class Repairer(Worker):
    """Repairs videos one after the other without a model: see `fill` and `erase`."""

    def __init__(
        self,
        task: Literal["fill", "erase"],
        *,
        stop: StopRequest | None = None,
        **options: Unpack[Options],
    ) -> None:
        """Check the options; nothing is read yet.

        Args:
            task: what is repaired.
            stop: ends a job early where another thread or a signal asks for it.
            options: the same for every video; see `Options`.

        Raises:
            ConfigError: a value is out of range, or two contradict each other.
        """
        super().__init__(task, stop, options)

    def repair(self, source: PathLike, target: PathLike, *, report: Report = ignore) -> Done:
        """Repair one video file; see `fill` and `erase`."""
        return self._pipeline.upscale(Path(source), Path(target), report=report)
