"""Files of weights as users know them: what one holds, and whether it is whole."""

import json
from dataclasses import dataclass
from pathlib import Path

from vsr_cli.digest import sha256
from vsr_cli.models.files import find_weights, read_header
from vsr_cli.pipeline.restorers.registry import ModelFile


@dataclass(frozen=True, kw_only=True)
class WeightsInfo:
    """What a file of weights says of itself.

    family: of models, such as `small`.
    num_parameters: numbers in all its tensors.
    sources: the files that it was made from, for people.
    memory: what it needs, a line for each size of target; empty: as `vsr upscale --dry-run` plans.
    """

    name: str
    file: Path
    num_bytes: int
    family: str
    num_tensors: int
    num_parameters: int
    license: str
    sources: tuple[str, ...]
    memory: tuple[str, ...]


def describe_weights(name: str) -> WeightsInfo:
    """Read the header of a file of weights; see `vsr_cli.api.describe_weights`."""
    path = find_weights(name)
    header = read_header(path)
    return WeightsInfo(
        name=path.stem,
        file=path,
        num_bytes=path.stat().st_size,
        family=header.metadata.get("family", "unknown"),
        num_tensors=len(header.num_values),
        num_parameters=sum(header.num_values.values()),
        license=header.metadata.get("license", "Apache-2.0: shipped with vsr"),
        sources=tuple(json.loads(header.metadata.get("sources", "[]"))),
        memory=tuple(ModelFile(path).family.describe_memory(path)),
    )


def verify_weights(name: str) -> str:
    """Load weights and return their digest; see `vsr_cli.api.verify_weights`."""
    path = find_weights(name)
    ModelFile(path).model  # noqa: B018
    return sha256(path)
