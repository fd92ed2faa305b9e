"""Restorers compared on true clips, degraded in ways that never change."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Protocol

from torch import Tensor

from vsr_cli.events import Progress, Report, ignore
from vsr_cli.models.flow import DisFlow
from vsr_cli.quality import metrics
from vsr_cli.quality.baselines import match_sharpness, sharpen
from vsr_cli.quality.cases import Case, Results
from vsr_cli.quality.clips import read_footage, to_codes
from vsr_cli.quality.metrics import Distance
from vsr_cli.quality.sheets import compare_clips, save_picture
from vsr_cli.quality.table import Row, Settings, Table


class Restorer(Protocol):
    """Anything that makes the input of a case as large as its truth."""

    def __call__(self, lr_frames: Tensor, hr_frames: Tensor, /) -> Tensor:
        """Input (T, 3, h, w) in [-1, 1] -> (T, 3, H, W), the size of the truth `hr_frames`.

        What is compared must not look at the truth; what is run to find where faults come from may.
        """
        ...


def unaided(restore: Callable[[Tensor], Tensor]) -> Restorer:
    """The restorer that hands its input alone to a function of (T, 3, h, w)."""

    def restorer(lr_frames: Tensor, hr_frames: Tensor) -> Tensor:
        return restore(lr_frames)

    return restorer


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What is compared: restorers and results of others, under their names in the table.

    restorers: run here, in this order.
    settings: of these, for the table.
    sharpen_like: the restorer whose LPIPS `sharpen` shall have; None: it is left out.
    results: of other tools.
    """

    restorers: Mapping[str, Restorer]
    settings: Mapping[str, Settings] = field(default_factory=dict)
    sharpen_like: str | None = None
    results: Mapping[str, Results] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, in the order of the table."""
        sharpened = ("sharpen",) if self.sharpen_like is not None else ()
        return (*self.restorers, *sharpened, *self.results)


def evaluate(
    cases: Sequence[Case],
    evaluation: Evaluation,
    *,
    lpips: Distance | None = None,
    seed: int = 0,
    pictures: Path | None = None,
    report: Report = ignore,
) -> Table:
    """Restore the input of every case, and measure.

    Inputs depend on the name of the clip, the level and the seed alone, so tables of different
    days can be compared.

    Args:
        cases: those of one clip beside each other.
        evaluation: what is compared; `sharpen` needs `lpips`.
        lpips: for the two perceptual columns.
        seed: of the degradation.
        pictures: a folder that exists, for one side-by-side sheet of each case: the restorers in
            their order, then the truth.
        report: hears about each finished restoration.

    Raises:
        InputError: if a clip cannot be read.
        ValueError: if a restorer returns another size than it must.
    """
    rows: list[Row] = []
    started = time.monotonic()
    done, total = 0, len(evaluation.names) * sum(case.num_frames for case in cases)
    for source, group in groupby(cases, key=lambda case: case.source):
        clip_cases = list(group)
        footage = read_footage(source, max(case.num_frames for case in clip_cases))
        evaluator: _Evaluator | None = None
        for case in clip_cases:
            hr_frames = case.truth(footage)
            if evaluator is None or evaluator.hr_frames.shape != hr_frames.shape:
                evaluator = _Evaluator(hr_frames, lpips)
            clips: dict[str, Tensor] = {}
            for restoration in _restorations(case, evaluation, evaluator, seed):
                rows.append(evaluator.row(restoration, case))
                clips[restoration.restorer] = restoration.sr_frames
                done += case.num_frames
                report(
                    Progress(
                        stage=f"{restoration.restorer}, {case.degradation}, {case.clip}",
                        frame=done,
                        num_frames=total,
                        seconds=time.monotonic() - started,
                    )
                )
            if pictures:
                sheet = compare_clips({**clips, "truth": hr_frames})
                save_picture(pictures / f"{case.name}.png", sheet)
    return Table(rows=tuple(rows))


@dataclass(frozen=True)
class _Restoration:
    """What one restorer made of a case."""

    restorer: str
    sr_frames: Tensor  # on the codes of 8-bit video
    seconds: float | None  # per frame
    settings: Settings


def _restorations(
    case: Case, evaluation: Evaluation, evaluator: "_Evaluator", seed: int
) -> Iterator[_Restoration]:
    lr_frames = case.lr_frames(evaluator.hr_frames, seed)
    basic = Settings(frames=case.num_frames, seed=seed, scale=case.scale)
    like: Tensor | None = None
    for name, restorer in evaluation.restorers.items():
        settings = replace(
            evaluation.settings.get(name, basic),
            frames=basic.frames,
            seed=basic.seed,
            scale=basic.scale,
        )
        restoration = _run(name, partial(restorer, lr_frames, evaluator.hr_frames), settings)
        if name == evaluation.sharpen_like:
            like = restoration.sr_frames
        yield restoration
    if evaluation.sharpen_like is not None:
        if like is None or evaluator.lpips is None:
            raise ValueError("expected LPIPS and a restorer to match `sharpen` with")
        amount = match_sharpness(lr_frames, evaluator.hr_frames, like, evaluator.lpips)
        settings = replace(basic, amount=amount)
        yield _run("sharpen", partial(sharpen, lr_frames, case.scale, amount), settings)
    for name, results in evaluation.results.items():
        settings = replace(basic, folder=str(results.folder))
        yield _Restoration(name, to_codes(results.read(case)), None, settings)


def _run(name: str, restore: Callable[[], Tensor], settings: Settings) -> _Restoration:
    started = time.monotonic()
    sr_frames = to_codes(restore())
    return _Restoration(name, sr_frames, (time.monotonic() - started) / len(sr_frames), settings)


class _Evaluator:
    """Measures against one truth, whose motion is estimated once."""

    def __init__(self, hr_frames: Tensor, lpips: Distance | None) -> None:
        self.hr_frames = hr_frames
        self.lpips = lpips
        self.flow = DisFlow()
        self.flow_forward, self.visible = metrics.motion_of(hr_frames, self.flow)
        self.true_warping_error = self._warping_error(hr_frames)
        self.true_lattice = _lattice(hr_frames)

    def row(self, restoration: _Restoration, case: Case) -> Row:
        sr_frames, hr_frames, lpips = restoration.sr_frames, self.hr_frames, self.lpips
        distances = lpips(sr_frames, hr_frames) if lpips else None
        return Row(
            degradation=case.degradation,
            clip=case.clip,
            restorer=restoration.restorer,
            psnr=metrics.psnr_y(sr_frames, hr_frames),
            ssim=metrics.ssim(sr_frames, hr_frames),
            lpips=float(distances.mean()) if distances is not None else None,
            lattice=_lattice(sr_frames),
            true_lattice=self.true_lattice,
            drift=metrics.drift(distances) if distances is not None else None,
            tlpips=metrics.tlpips(sr_frames, hr_frames, lpips) if lpips else None,
            tof=metrics.tof(sr_frames, hr_frames, self.flow),
            warping_error=self._warping_error(sr_frames),
            true_warping_error=self.true_warping_error,
            seconds=restoration.seconds,
            settings=restoration.settings,
        )

    def _warping_error(self, frames: Tensor) -> float:
        return metrics.warping_error(frames, self.flow_forward, self.visible)


def _lattice(frames: Tensor) -> float | None:
    """Of a mesh as fine as the pixels of a source that is enlarged four times."""
    is_large = min(frames.shape[-2:]) >= metrics.LEAST_SIDE
    return metrics.lattice(frames, 4) if is_large else None
