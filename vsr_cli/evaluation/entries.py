"""What takes part in an evaluation, under which names."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from vsr_cli.config import GivenLatents, UpscaleConfig
from vsr_cli.errors import ConfigError
from vsr_cli.evaluation.variants import Entry, parse_variant

if TYPE_CHECKING:
    from vsr_cli.pipeline.restorers.registry import ModelFile
    from vsr_cli.quality.cases import Results
    from vsr_cli.quality.evaluate import Evaluation, Restorer
    from vsr_cli.quality.table import Settings

# Names that are taken
BASELINES = ("bicubic", "lanczos", "sharpen", "source", "nlm", "mcmean", "truth")


def plan_entries(
    base: UpscaleConfig,
    steps: Sequence[int] | None,
    latents: GivenLatents | None,
    variants: Sequence[str],
) -> list[tuple[str, Entry]]:
    """The model's rows: one for each number of steps, then the variants of the first of them.

    The name of the first is not known before the model is, unless `--steps` or `--latents` is
    given: it is "".

    Raises:
        ConfigError: these options contradict each other, or a variant is none.
    """
    if latents is not None and steps:
        raise ConfigError(
            "`--latents` and `--steps` contradict each other",
            why="given latents take the place of the sampler, whose steps these are",
            hint="give one of them, and the other as a `--variant`",
        )
    if latents is not None:
        entries = [(f"small@{latents.name}", Entry(config=base, latents=latents))]
    else:
        counts: Sequence[int | None] = steps or [None]
        entries = [
            (f"small@{count}" if count else "", Entry(config=_with_steps(base, count)))
            for count in dict.fromkeys(counts)
        ]
    for text in variants:
        name, entry = parse_variant(text, entries[0][1])
        require_free("--variant", name, [name for name, _ in entries])
        entries.append((name, entry))
    return entries


def require_free(option: str, name: str, taken: Sequence[str]) -> None:
    """Refuse a name that a row has already.

    Raises:
        ConfigError: it has.
    """
    if name in BASELINES or name in taken or name.startswith(("small@", "mgld@")):
        raise ConfigError(f"`{option}`: the name `{name}` is taken", hint="choose another")


def build_evaluation(
    entries: Sequence[tuple[str, Entry]],
    task: Literal["upscale", "restore"],
    results: "Mapping[str, Results]",
    *,
    sharpen: bool,
) -> "Evaluation":
    """Build the evaluation of a model, beside what every table of the task has, and load it."""
    from vsr_cli.digest import sha256
    from vsr_cli.models.files import shipped_weights
    from vsr_cli.pipeline.frames import frame_restorer
    from vsr_cli.pipeline.restorers.registry import ModelFile
    from vsr_cli.pipeline.restorers.small.given_latents import frame_decoder
    from vsr_cli.pipeline.run_plan import dtype_name
    from vsr_cli.quality.evaluate import Evaluation, unaided
    from vsr_cli.quality.table import Settings
    from vsr_cli.quality.tasks import yardsticks

    base = entries[0][1].config
    model = ModelFile(base.model or shipped_weights())
    device, dtype = model.computes_in(base)
    common = Settings(
        model=model.path.name,
        model_sha256=sha256(model.path),
        device=str(device),
        dtype=dtype_name(dtype),
    )
    jobs: dict[str, Restorer] = {}
    settings: dict[str, Settings] = {}
    for given_name, entry in entries:
        config = model.resolve(entry.config)
        name = given_name or f"{model.info.family}@{config.sampler.steps}"
        if entry.latents is None:
            jobs[name] = unaided(frame_restorer(model, config))
        else:
            jobs[name] = frame_decoder(model, config, entry.latents)
        settings[name] = _describe(common, model, config, entry.latents)
    return Evaluation(
        restorers={**yardsticks(task, int(base.scale)), **jobs},
        settings=settings,
        sharpen_like=next(iter(jobs)) if sharpen else None,
        results=results,
    )


def _describe(
    common: "Settings", model: "ModelFile", config: UpscaleConfig, latents: GivenLatents | None
) -> "Settings":
    """How an entry is computed, for the table."""
    found = replace(
        common,
        fidelity=config.fidelity,
        color=config.color,
        memory=config.memory,
        flow=config.flow,
    )
    if latents is not None:
        return replace(found, latents=latents.name)
    return replace(
        found,
        steps=config.sampler.steps,
        motion_scale=config.sampler.motion_scale,
        guidance=model.family.guidance_name(config),
    )


def _with_steps(config: UpscaleConfig, steps: int | None) -> UpscaleConfig:
    return replace(config, sampler=replace(config.sampler, steps=steps))
