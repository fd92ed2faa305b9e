"""RAFT's own file names, as torchvision's `raft_large` has them."""

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

_RULES = (
    (r"^(feature|context)_encoder\.convnormrelu\.0\b", r"\1.conv1"),
    (r"^(feature|context)_encoder\.convnormrelu\.1\b", r"\1.norm1"),
    (r"^(feature|context)_encoder\.conv\b", r"\1.conv2"),
    (r"^(feature|context)_encoder\.", r"\1."),
    (r"^feature\.", "fnet."),
    (r"^context\.", "cnet."),
    (r"\bconvnormrelu(\d)\.0\b", r"conv\1"),
    (r"\bconvnormrelu(\d)\.1\b", r"norm\1"),
    (r"\bmotion_encoder\.convcorr(\d)\.0\b", r"encoder.convc\1"),
    (r"\bmotion_encoder\.convflow(\d)\.0\b", r"encoder.convf\1"),
    (r"\bmotion_encoder\.conv\.0\b", "encoder.conv"),
    (r"\brecurrent_block\.convgru(\d)\.conv([zrq])\b", r"gru.conv\2\1"),
    (r"^mask_predictor\.convrelu\.0\b", "update_block.mask.0"),
    (r"^mask_predictor\.conv\b", "update_block.mask.2"),
)


def published_name(name: str) -> str:
    """The name that a tensor of `raft_large` has in RAFT's own file."""
    for here, there in _RULES:
        name = re.sub(here, there, name)
    return name


def plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of RAFT's own file, each once.

    The file holds the norm of each shortcut twice, inside `downsample` and as `norm3` beside it.
    """
    doubled = {name for name in tensors if name.replace("norm3", "downsample.1") in tensors}
    return {
        name: tensor
        for name, tensor in tensors.items()
        if not (".norm3." in name and name in doubled)
    }


def translate(tensors: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
    """Tensors of RAFT's own file under the names of `raft_large`; others keep theirs.

    Args:
        tensors: by published name.
        names: all that `raft_large` has.
    """
    found = {published_name(name): name for name in names}
    return {found.get(name, name): tensor for name, tensor in plain(tensors).items()}
