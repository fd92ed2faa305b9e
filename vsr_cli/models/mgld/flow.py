"""RAFT for a model that was imported without it."""

from pathlib import Path

from safetensors import SafetensorError, safe_open

from vsr_cli.errors import OutputError, WeightsError
from vsr_cli.models.files import family_of, verify
from vsr_cli.models.flow import FLOW_PREFIX, read_raft
from vsr_cli.models.imports import ImportedWeights, write_import


def add_flow(model: Path, flow: Path, *, overwrite: bool = False) -> ImportedWeights:
    """Put RAFT into the file of an imported model.

    Args:
        model: the file of an MGLD-VSR; it is replaced when the new one is complete.
        flow: RAFT's own file or torchvision's.
        overwrite: whether a flow network that the model has is replaced.

    Raises:
        WeightsError: there is no such model, or `flow` holds no RAFT.
        OutputError: the model has a flow network, or the disk is full.
    """
    if not model.is_file():
        raise WeightsError(
            f"there is no model `{model.stem}` that RAFT could be added to",
            hint="import it first, or name another with `--name`",
        )
    if family_of(model) != "mgld":
        raise WeightsError(
            f"`{model.stem}` takes no flow network",
            why="only MGLD-VSR was trained with one",
            hint="name another model with `--name`, or use `--flow-weights` with `vsr upscale`",
        )
    verify(model)
    added = {FLOW_PREFIX + name: tensor for name, tensor in read_raft(flow).items()}
    try:
        with safe_open(model, framework="pt") as file:
            header = dict(file.metadata() or {})
            names = set(file.keys())
            own = sorted(name for name in names if not name.startswith(FLOW_PREFIX))
            if len(own) < len(names) and not overwrite:
                raise OutputError(
                    f"`{model.stem}` has a flow network", hint="use `--overwrite` to replace it"
                )
            tensors = {name: file.get_tensor(name) for name in own} | added
    except SafetensorError as error:
        raise WeightsError(
            f"`{model}` is not a safetensors file", why=str(error), hint="import it again"
        ) from error
    write_import(model, tensors, header)
    findings = (f"the flow network of `{flow.name}` was added",)
    size, license_ = model.stat().st_size, header.get("license", "")
    return ImportedWeights(model, len(tensors), size, findings, license_)
