"""Which optical flow a job gets: of the model, of the user, or what is built in."""

from dataclasses import replace
from pathlib import Path

import torch

from vsr_cli.config import UpscaleConfig
from vsr_cli.errors import ConfigError
from vsr_cli.models.flow import DisFlow, FlowEstimator, RaftFlow

RAFT_UPDATES = 12  # for each pair of frames


def resolve_flow(config: UpscaleConfig, *, has_flow: bool) -> UpscaleConfig:
    """Turn a choice of `auto` into `raft` or `dis`.

    Args:
        config: the user's choices.
        has_flow: whether the model's file holds RAFT as well.

    Raises:
        ConfigError: RAFT is asked for, and there are no weights of it.
    """
    can_raft = has_flow or config.flow_weights is not None
    if config.flow == "auto":
        return replace(config, flow="raft" if can_raft else "dis")
    if config.flow == "raft" and not can_raft:
        raise ConfigError(
            "`--flow raft` has no weights",
            why="no RAFT is shipped, and none came with the model",
            hint="give `--flow-weights FILE`, or leave `--flow` out for the built-in DIS flow",
        )
    return config


def make_flow(
    config: UpscaleConfig,
    device: torch.device,
    *,
    num_updates: int,
    bundled_weights: Path | None = None,
) -> FlowEstimator:
    """Load the estimator that a resolved config names.

    Args:
        config: from `resolve_flow`.
        device: where RAFT computes.
        num_updates: of RAFT, for each pair of frames.
        bundled_weights: RAFT that the model brings, for users who name no other.

    Raises:
        WeightsError: the file holds no RAFT.
    """
    path = config.flow_weights or bundled_weights
    if config.flow == "raft" and path is not None:
        return RaftFlow(path, device=device, num_updates=num_updates)
    return DisFlow()
