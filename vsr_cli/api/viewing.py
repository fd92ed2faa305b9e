"""Videos looked at: beside each other, and before a job."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Unpack

from vsr_cli.cancellation import StopRequest
from vsr_cli.errors import ConfigError
from vsr_cli.events import Comparison, Prediction, PreviewSample, Report, ignore
from vsr_cli.options import Options, PathLike
from vsr_cli.repair_options import Time, parse_time

if TYPE_CHECKING:
    from vsr_cli.viewing.drawing import Piece


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What a preview has found.

    out: the file or folder that was written.
    samples: what was enlarged, place after place, of each variant.
    predictions: what the whole job would cost, one for each variant.
    seconds: that it took.
    """

    out: Path
    samples: tuple[PreviewSample, ...]
    predictions: tuple[Prediction, ...]
    seconds: float


MODES = ("side", "split", "stack", "blink", "heat", "profile")


def compare(
    *sources: PathLike,
    out: PathLike | None = None,
    mode: Literal["side", "split", "stack", "blink", "heat", "profile"] = "side",
    at: Time | None = None,
    crop: str | None = None,
    offset: float | Fraction = 0,
    fit: Literal["bicubic", "nearest"] = "bicubic",
    every: float | Fraction = 0.5,
    gain: float = 8,
    sweep: bool = False,
    metrics: str | Sequence[str] | None = None,
    truth: int | None = None,
    lpips_weights: PathLike | None = None,
    per_frame: PathLike | None = None,
    names: str | Sequence[str] | None = None,
    most_mb: float = 40,
    overwrite: bool = False,
    report: Report = ignore,
) -> Comparison:
    """Show two to four videos at the same instants, and measure how far they are apart.

    Each frame of the first stands beside the frame that the others show at its time, all first
    frames at 0. The smaller are enlarged to the largest. Videos of any length are read in order,
    a frame of each at a time.

    Args:
        sources: files, or folders of images; the first leads.
        out: `.html` is a page to look at in a browser, `.png` one picture, and everything else a
            video without sound; None: only measure.
        mode: how a video or picture lays them out: in a row, as strips of one picture, in a
            column, in turns, or the differences of luma from the first (or the truth); `profile`
            is a picture of the middle line of what is shown, over time from top to bottom.
        at: seconds, or `HH:MM:SS.mmm`, of the picture; a page then holds that one, without loss.
        crop: `WxH+X+Y`, the part to show and to measure, in pixels of the largest.
        offset: seconds by which all but the first are shown later.
        fit: how smaller ones are enlarged.
        every: seconds between changes of `blink`.
        gain: by how much differences are multiplied to be seen.
        sweep: whether the line of `split` moves once across.
        metrics: some of `psnr`, `ssim`, `xpsnr` and `lpips`, against the first (or the truth).
        truth: number of the source that is the truth, from 1; None: figures are differences.
        lpips_weights: for `lpips`.
        per_frame: a `.csv` or `.json` to write with the figures of every frame.
        names: of the sources, as they are shown; None: those of the files.
        most_mb: size of a page, in MB, above which it shows samples (`W_PAGE_SAMPLED`).
        overwrite: whether files that exist are replaced.
        report: receives progress and notes.

    Returns:
        What was compared, and the means of the figures.

    Raises:
        ConfigError: options contradict each other or do not fit the videos.
        InputError: a source cannot be read.
        OutputError: a file exists or cannot be written, or is a source.
        WeightsError: those of `lpips` cannot be read.
    """
    if mode not in MODES or fit not in ("bicubic", "nearest"):
        raise ConfigError(f"`--mode {mode}` or `--fit {fit}` is not known", hint="see `--help`")
    from vsr_cli.viewing.compare import Request, compare_videos, name_videos
    from vsr_cli.viewing.measure import parse_metrics

    if per_frame is not None and metrics is None:
        metrics = "psnr,ssim"
    paths = [Path(source) for source in sources]
    named = names.split(",") if isinstance(names, str) else list(names or ())
    request = Request(
        sources=paths,
        target=None if out is None else Path(out),
        names=name_videos(paths, named),
        mode=mode,
        at=parse_time("--at", at),
        piece=parse_piece(crop),
        offset=_number("offset", offset, is_signed=True),
        fit=fit,
        every=_number("every", every),
        gain=float(_number("gain", gain)),
        sweep=sweep,
        metrics=parse_metrics(metrics) if metrics else (),
        truth=truth,
        lpips_weights=None if lpips_weights is None else Path(lpips_weights),
        per_frame=None if per_frame is None else Path(per_frame),
        most_mb=float(_number("most-mb", most_mb)),
        overwrite=overwrite,
    )
    return compare_videos(request, report)


def preview(
    source: PathLike,
    out: PathLike | None = None,
    *,
    at: str | Sequence[str | float] = "10%,50%,90%",
    seconds: float | Fraction = 2,
    frame: bool = False,
    grid: str | Sequence[str] | Mapping[str, Sequence[str | float | int | bool]] | None = None,
    crop: str | None = None,
    cache: bool = True,
    report: Report = ignore,
    stop: StopRequest | None = None,
    **options: Unpack[Options],
) -> Preview:
    """Show what `upscale` would make of a few places with these options, and what it would cost.

    Frames are those of the whole job: each sample is computed from 16 frames earlier on. Samples
    are kept in the user's cache, at most 2 GB of them, so that the next preview computes only what
    is new.

    Args:
        source: a file, or images; no pipe.
        out: `.html` is a page to look at in a browser, `.png` a sheet, `.mp4` a video side by
            side, and a folder gets all pieces; None: `SOURCE.preview.html` beside the source.
        at: where: times of the source, and shares of its length; near the end they are moved.
        seconds: length of a sample, at most 10.
        frame: whether a single frame of each place is enough.
        grid: options of the model with several values, `steps=4,50`, of which every combination is
            tried, 12 at most.
        crop: `WxH+X+Y`, a piece of the source as it is stored, or `auto`: where most detail moves.
            It is enlarged as a video of its own.
        cache: whether samples are kept.
        report: receives a `PreviewSample` for each, a `Prediction` for each variant, progress and
            notes.
        stop: ends it early where another thread or a signal asks for it.
        options: of the job; see `Options`.

    Raises:
        VsrError: as `upscale`.
        Stopped: as was asked for.
    """
    from vsr_cli.viewing.preview import PreviewRequest, preview_job

    request = PreviewRequest(
        source=Path(source),
        target=None if out is None else Path(out),
        at=at,
        seconds=_number("seconds", seconds),
        frame=frame,
        grid=grid or (),
        piece="auto" if crop == "auto" else parse_piece(crop),
        has_cache=cache,
        options=options,
    )
    found = preview_job(request, report, stop or StopRequest())
    return Preview(
        out=found.out,
        samples=found.samples,
        predictions=found.predictions,
        seconds=found.seconds,
    )


def _number(option: str, value: float | Fraction, *, is_signed: bool = False) -> Fraction:
    """A number as it is printed, exactly.

    Raises:
        ConfigError: it is none, or not above 0 where it has to be.
    """
    try:
        number = Fraction(str(value))
    except ValueError:  # as `nan`
        number = Fraction(0)
        is_signed = False
    if not is_signed and number <= 0:
        raise ConfigError(f"`--{option} {value}` is out of range", hint="give a number above 0")
    return number


def parse_piece(text: str | None) -> "Piece | None":
    """Read `WxH+X+Y`, a part of the picture in pixels.

    Raises:
        ConfigError: it is none, or an empty one.
    """
    if text is None:
        return None
    from vsr_cli.viewing.drawing import Piece

    match = re.fullmatch(r"(\d{1,6})x(\d{1,6})\+(\d{1,6})\+(\d{1,6})", text)
    width, height, x, y = (int(number) for number in match.groups()) if match else (0, 0, 0, 0)
    if not width or not height:
        raise ConfigError(
            f"`--crop {text}` is no part of a picture", hint="give WxH+X+Y, such as 320x180+64+32"
        )
    return Piece(x, y, width, height)
