"""The gates that weights must pass, measured by `Trial`, as one table."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from vsr_cli.models.small.model import SmallModel
from vsr_cli.quality.cases import Degraded
from vsr_cli.quality.denoisers import non_local_means
from vsr_cli.training.probe import NOISE, TIMES, Frames, Trial, mean

Trials = Callable[[Degraded, int], list[Trial]]
WORST = 0.001  # LPIPS, by which more steps may be worse and still count as no worse
UNSEEN = 2.0  # dB of a lattice


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One line of the table."""

    gate: int
    what: str
    measured: str
    wanted: str
    passes: bool | None  # None: it is only told

    @property
    def verdict(self) -> str:
        """In a word."""
        return {True: "pass", False: "FAIL", None: ""}[self.passes]


def read_gates(model: SmallModel, trials: Trials, *, is_floor: bool) -> Iterator[Reading]:
    """All gates of a model, one line after the other as they are measured.

    Args:
        model: whose scales decide what can be measured.
        trials: the clips, by degradation and scale.
        is_floor: only the autoencoder has been trained: gates of the sampler are left out, and the
            others look at what the decoder makes of zero latents.
    """
    yield from _floor(trials)
    yield from _decoder(trials)
    if not is_floor:
        yield from _denoiser(trials)
        yield from _sampler(trials)
    yield from _pictures(trials)
    for scale, read in ((1, _restoring), (2, _doubling)):
        if scale in model.config.scales:
            yield from read(trials)
        else:
            what = f"scale {scale}"
            yield Reading(gate=6, what=what, measured="not built for", wanted="", passes=None)


def _floor(trials: Trials) -> Iterator[Reading]:
    clean = trials("clean", 4)
    made = [trial.decoded(trial.zero_latents) for trial in clean]
    gain = mean(a.psnr - b.bicubic.psnr for a, b in zip(made, clean, strict=True))
    yield _at_least(1, "zero latents, clean: PSNR-Y over bicubic's, dB", gain, 0.9)
    yield _at_most(1, "zero latents, clean: LPIPS", _lpips(made), 0.17)
    heavy = trials("heavy", 4)
    found = _lpips([trial.decoded(trial.zero_latents) for trial in heavy])
    yield _told(1, "zero latents, heavy: LPIPS", found)


def _decoder(trials: Trials) -> Iterator[Reading]:
    limits: tuple[tuple[Degraded, float], ...] = (("clean", 0.09), ("heavy", 0.14))
    for level, limit in limits:
        made = [trial.decoded(trial.noisy_latents(NOISE)) for trial in trials(level, 4)]
        what = f"true latents with noise {NOISE:g}, {level}: LPIPS"
        yield _at_most(2, what, _lpips(made), limit)


def _denoiser(trials: Trials) -> Iterator[Reading]:
    limits = {500: 0.6, 800: 0.8}
    for t in TIMES:
        ratio = mean(trial.x0_over_wiener(t) for trial in trials("clean", 4))
        yield _at_most(3, f"x0 error over scalar Wiener's, t = {t}", ratio, limits.get(t, 1.0))


def _sampler(trials: Trials) -> Iterator[Reading]:
    shares: tuple[tuple[Degraded, float], ...] = (("clean", 0.35), ("heavy", 0.5))
    for level, share in shares:
        found = trials(level, 4)
        steps = {1: 0.0, 4: 0.0, 15: 0.0, 50: 0.0}
        energy = 0.0
        for count in steps:
            drawn = [trial.sampled_latents(count) for trial in found]
            steps[count] = _lpips([t.decoded(z) for t, z in zip(found, drawn, strict=True)])
            if count == 4:
                energy = mean(
                    float(z.square().mean() / t.true_latents.square().mean())
                    for t, z in zip(found, drawn, strict=True)
                )
        zero = _lpips([trial.decoded(trial.zero_latents) for trial in found])
        true = _lpips([trial.decoded(trial.true_latents) for trial in found])
        yield _within(4, f"energy of sampled latents over true, {level}", energy, (0.6, 1.0))
        yield _closed_share(level, zero - steps[4], zero - true, share)
        what = f"LPIPS, {level}: of 1 step less that of 4"
        yield _at_least(4, what, steps[1] - steps[4], 0.005)
        for more, fewer in ((15, 4), (50, 15)):
            what = f"LPIPS, {level}: of {more} steps less that of {fewer}"
            yield _at_most(4, what, steps[more] - steps[fewer], WORST)


def _closed_share(level: Degraded, gained: float, gap: float, limit: float) -> Reading:
    """How much of the LPIPS between zero and true latents sampling gains."""
    what = f"share of LPIPS from zero to true latents, {level}"
    if gap > 0:
        return _at_least(4, what, gained / gap, limit)
    measured = "true latents are no better than zero"
    return Reading(gate=4, what=what, measured=measured, wanted=f">= {limit:.3f}", passes=False)


def _pictures(trials: Trials) -> Iterator[Reading]:
    levels: tuple[Degraded, ...] = ("clean", "mild", "heavy")
    for level in levels:
        found = trials(level, 4)
        pictures = [trial.restored() for trial in found]
        made = [t.measured(x) for t, x in zip(found, pictures, strict=True)]
        yield _told(5, f"as users get it, {level}: LPIPS", _lpips(made))
        better = sum(a.lpips < b.bicubic.lpips for a, b in zip(made, found, strict=True))
        yield _all(5, f"clips below bicubic's LPIPS, {level}", better, len(found))
        calm = mean(t.sharpened(x).tlpips for t, x in zip(found, pictures, strict=True))
        ours = mean(frames.tlpips for frames in made)
        what = f"tLPIPS, against `sharpen` as near in LPIPS as it comes, {level}"
        yield _at_most(5, what, ours, calm)
        truth = mean(trial.measured(trial.hr_frames).lattice for trial in found)
        what = f"lattice of 4 pixels, dB, {level}: at most {UNSEEN:g} more than the truth's"
        yield _at_most(5, what, mean(frames.lattice for frames in made), truth + UNSEEN)


def _restoring(trials: Trials) -> Iterator[Reading]:
    clean = [trial.measured(trial.restored()).psnr for trial in trials("clean", 1)]
    yield _at_least(6, "scale 1, clean: lowest PSNR-Y, dB", min(clean), 40)
    defects: tuple[Degraded, ...] = ("noise15", "crf34")
    for defect in defects:
        found = trials(defect, 1)
        made = [trial.measured(trial.restored()) for trial in found]
        yield _told(6, f"scale 1, {defect}: LPIPS", _lpips(made))
        for name, others in (
            ("the source's", [trial.measured(trial.lr_frames) for trial in found]),
            ("NLM's", [trial.measured(non_local_means(trial.lr_frames)) for trial in found]),
        ):
            better = sum(a.lpips < b.lpips for a, b in zip(made, others, strict=True))
            yield _all(6, f"scale 1, {defect}: clips below {name} LPIPS", better, len(found))


def _doubling(trials: Trials) -> Iterator[Reading]:
    levels: tuple[Degraded, ...] = ("clean", "mild")
    for level in levels:
        found = trials(level, 2)
        made = [trial.measured(trial.restored()) for trial in found]
        plain = [trial.bicubic for trial in found]
        four = [trial.reduced_from_four() for trial in found]
        what = f"scale 2, {level}: LPIPS, against bicubic's"
        yield _at_most(6, what, _lpips(made), _lpips(plain))
        gain = mean(a.psnr - b.psnr for a, b in zip(made, plain, strict=True))
        yield _at_least(6, f"scale 2, {level}: PSNR-Y over bicubic's, dB", gain, 0.0)
        what = f"scale 2, {level}: LPIPS, against four times and reduced"
        yield _at_most(6, what, _lpips(made), _lpips(four))
        gain = mean(a.psnr - b.psnr for a, b in zip(made, four, strict=True))
        what = f"scale 2, {level}: PSNR-Y over four times and reduced, dB"
        yield _at_least(6, what, gain, 0.0)


def _lpips(made: list[Frames]) -> float:
    return mean(frames.lpips for frames in made)


def _at_most(gate: int, what: str, value: float, limit: float) -> Reading:
    return Reading(
        gate=gate,
        what=what,
        measured=f"{value:.3f}",
        wanted=f"<= {limit:.3f}",
        passes=value <= limit,
    )


def _at_least(gate: int, what: str, value: float, limit: float) -> Reading:
    return Reading(
        gate=gate,
        what=what,
        measured=f"{value:.3f}",
        wanted=f">= {limit:.3f}",
        passes=value >= limit,
    )


def _within(gate: int, what: str, value: float, limits: tuple[float, float]) -> Reading:
    return Reading(
        gate=gate,
        what=what,
        measured=f"{value:.3f}",
        wanted=f"{limits[0]:g} to {limits[1]:g}",
        passes=limits[0] <= value <= limits[1],
    )


def _all(gate: int, what: str, count: int, total: int) -> Reading:
    return Reading(
        gate=gate, what=what, measured=f"{count} of {total}", wanted="all", passes=count == total
    )


def _told(gate: int, what: str, value: float) -> Reading:
    return Reading(gate=gate, what=what, measured=f"{value:.3f}", wanted="", passes=None)


Column = Literal["gate", "what", "measured", "wanted", "verdict"]
COLUMNS: tuple[Column, ...] = ("gate", "what", "measured", "wanted", "verdict")


def line(reading: Reading) -> str:
    """A row of the table in Markdown."""
    cells = [str(getattr(reading, column)) for column in COLUMNS]
    return f"| {' | '.join(cells)} |"


def head() -> str:
    """The first two rows of the table."""
    return f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}"
