"""Imported weights -> a model."""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from vsr_cli.errors import WeightsError
from vsr_cli.models.checkpoint import require_exactly
from vsr_cli.models.files import verify
from vsr_cli.models.flow import FLOW_PREFIX
from vsr_cli.models.mgld.config import read_config
from vsr_cli.models.mgld.model import MgldModel

_FEATURES = "feature_encoder."


def load_mgld(path: Path) -> MgldModel:
    """Build the model that a file describes and fill it, strictly; in the file's own dtype.

    Raises:
        WeightsError: missing, damaged, or not exactly this model.
    """
    verify(path)
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            names = set(file.keys())
            flow = {name for name in names if name.startswith(FLOW_PREFIX)}
            tensors = {name: file.get_tensor(name) for name in sorted(names - flow)}
    except SafetensorError as error:
        raise WeightsError(
            f"`{path}` is not a safetensors file", why=str(error), hint="import it again"
        ) from error
    shares_encoder = not any(name.startswith(_FEATURES) for name in tensors)
    config = read_config(path, header)
    try:
        with torch.device("meta"):
            model = MgldModel(config, shares_encoder=shares_encoder)
    except (ValueError, RuntimeError, LookupError, ZeroDivisionError) as error:
        raise WeightsError(
            f"`{path.name}` describes no model that can be built",
            why=str(error),
            hint="import the published files again",
        ) from error
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    shared = {name for name in expected if shares_encoder and name.startswith(_FEATURES)}
    require_exactly(
        path, tensors, {name: shape for name, shape in expected.items() if name not in shared}
    )
    if infinite := [name for name, tensor in tensors.items() if not tensor.isfinite().all()]:
        raise WeightsError(f"`{path.name}` is damaged", why=f"`{infinite[0]}` is not finite")
    # Assigned, not copied: the file is mapped into memory. A shared encoder is filled once.
    model.load_state_dict(tensors, strict=False, assign=True)
    model.path, model.has_flow = path, bool(flow)
    return model.eval().requires_grad_(False)
