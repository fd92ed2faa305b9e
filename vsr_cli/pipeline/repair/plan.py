"""Which repairs a job needs, in which order."""

from pathlib import Path

from vsr_cli.config import UpscaleConfig
from vsr_cli.events import Report
from vsr_cli.media.frame import VideoInfo
from vsr_cli.media.masks import Masks
from vsr_cli.pipeline.repair.dirt import Dirt
from vsr_cli.pipeline.repair.erase import Erase
from vsr_cli.pipeline.repair.fill import Fill
from vsr_cli.pipeline.repair.gaps import check_listed
from vsr_cli.pipeline.repair.rate import Rate, check_rate
from vsr_cli.pipeline.repair.stage import Chain, Stage


def plan_chain(config: UpscaleConfig, source: Path, info: VideoInfo, report: Report) -> Chain:
    """Make the stages that a config asks for, at their start.

    Args:
        config: the user's choices.
        source: as for every job.
        info: of the source.
        report: receives what the stages have to say.
    """
    stages: list[Stage] = []
    if config.fill is not None:
        stages.append(Fill(config.fill, info, report, scene_cut=config.scene_cut))
    if config.dirt is not None:
        stages.append(Dirt(config.dirt, info, report, scene_cut=config.scene_cut))
    if config.erase is not None:
        masks = Masks(config.erase, info, source, config.input, report)
        stages.append(Erase(config.erase, info, masks, report, scene_cut=config.scene_cut))
    if config.fps is not None:  # last, since masks are of the source's frames
        stages.append(Rate(config.fps, info, report, scene_cut=config.scene_cut))
    return Chain(stages)


def check_repairs(config: UpscaleConfig, source: Path, info: VideoInfo, report: Report) -> None:
    """Refuse what can be refused before anything is computed.

    Raises:
        ConfigError: a box or a mask does not fit the picture, or a rate the source, or there is no
            such frame or time.
        InputError: a mask cannot be read.
    """
    check_rate(config, info)
    if config.fill is not None:
        check_listed(config.fill, info)
    if config.erase is not None:
        Masks(config.erase, info, source, config.input, report).check()
