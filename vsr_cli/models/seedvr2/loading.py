"""Imported weights -> a model."""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from vsr_cli.errors import WeightsError
from vsr_cli.models.checkpoint import require_exactly
from vsr_cli.models.files import recorded_digest, verify
from vsr_cli.models.seedvr2.config import read_config
from vsr_cli.models.seedvr2.model import SeedVr2Model


def load_seedvr2(path: Path) -> SeedVr2Model:
    """Build the model that a file describes and fill it, strictly; in the file's own dtype.

    The file is mapped into memory: what is not used is not read.

    Raises:
        WeightsError: missing, damaged, or not exactly this model.
    """
    verify(path)
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise WeightsError(
            f"`{path}` is not a safetensors file", why=str(error), hint="import it again"
        ) from error
    config = read_config(path, header)
    try:
        with torch.device("meta"):
            model = SeedVr2Model(config)
    except (ValueError, RuntimeError, LookupError, ZeroDivisionError) as error:
        raise WeightsError(
            f"`{path.name}` describes no model that can be built",
            why=str(error),
            hint="import the published files again",
        ) from error
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    require_exactly(path, tensors, shapes)
    if recorded_digest(path) is None:  # else they were looked at when they were imported
        infinite = [name for name, tensor in tensors.items() if not tensor.isfinite().all()]
        if infinite:
            raise WeightsError(f"`{path.name}` is damaged", why=f"`{infinite[0]}` is not finite")
    model.load_state_dict(tensors, assign=True)
    return model.eval().requires_grad_(False)
