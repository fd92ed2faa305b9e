"""What is evaluated: enlarging, or restoring at the size of the source."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal

from vsr_cli.errors import ConfigError
from vsr_cli.quality.baselines import bicubic, lanczos
from vsr_cli.quality.cases import Degraded
from vsr_cli.quality.defects import DEFECTS
from vsr_cli.quality.denoisers import motion_compensated_mean, non_local_means
from vsr_cli.quality.evaluate import Restorer, unaided

Task = Literal["upscale", "restore"]

INPUTS: Mapping[Task, tuple[Degraded, ...]] = {
    "upscale": ("clean", "mild", "heavy"),
    "restore": (*DEFECTS, "clean"),
}


def choose_inputs(task: Task, names: Sequence[str]) -> list[Degraded]:
    """The inputs of a task that have these names; all of them if none is given.

    Raises:
        ConfigError: the task has no such input.
    """
    known = {str(name): name for name in INPUTS[task]}
    for name in names:
        if name not in known:
            raise ConfigError(
                f"`--level {name}` is no degradation of `--task {task}`",
                hint="use " + ", ".join(known),
            )
    return [known[name] for name in dict.fromkeys(names or known)]


def yardsticks(task: Task, scale: int) -> dict[str, Restorer]:
    """What every table of a task has beside the model."""
    if task == "restore":
        return {
            "source": unaided(lambda frames: frames),
            "nlm": unaided(non_local_means),
            "mcmean": unaided(motion_compensated_mean),
        }
    return {
        "bicubic": unaided(partial(bicubic, scale=scale)),
        "lanczos": unaided(partial(lanczos, scale=scale)),
    }
