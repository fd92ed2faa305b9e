"""Published checkpoints of SeedVR2 -> one file of this package, every tensor accounted for."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from vsr_cli.counting import counted
from vsr_cli.errors import WeightsError
from vsr_cli.events import Report, ignore
from vsr_cli.models.checkpoint import (
    read_checkpoint,
    read_single_tensor,
    require_networks,
    require_two,
    unwrapped,
)
from vsr_cli.models.imports import (
    ImportedWeights,
    converted,
    require_free,
    with_progress,
    write_import,
)
from vsr_cli.models.seedvr2.config import PUBLISHED, SeedVr2Config
from vsr_cli.models.seedvr2.model import SeedVr2Model
from vsr_cli.models.seedvr2.windows import rotary_frequencies

LICENCE = (
    "Converted from the published SeedVR2-3B checkpoints by ByteDance Seed (arXiv 2506.05301), "
    "whose code and weights are under the Apache License 2.0 "
    "(https://www.apache.org/licenses/LICENSE-2.0): this file may be used and passed on under its "
    "terms, with this notice. Number format and names of tensors were changed."
)
MARK_OF_DENOISER, MARK_OF_AUTOENCODER = "vid_in.proj.weight", "encoder.conv_in.weight"
_WRAPPERS = ("model.diffusion_model.", "diffusion_model.")
# A repackaged file holds its words itself; those of the negative prompt are never used.
_TEXT, _NEGATIVE_TEXT = "positive_conditioning", "negative_conditioning"
_NEEDED = "one file of SeedVR2's transformer and one of its autoencoder are needed"
_FILES = "give `seedvr2_ema_3b_fp16.safetensors` and `ema_vae_fp16.safetensors`"
_ROTARY = "attn.rope.rope.freqs"  # in every block: what is computed here
_ROUNDED = 1e-2  # relative error that half precision or less may have left in them


def import_seedvr2(
    checkpoints: Sequence[Path],
    target: Path,
    *,
    text: Path | None = None,
    half: bool = True,
    overwrite: bool = False,
    ignore_unknown: bool = False,
    config: SeedVr2Config = PUBLISHED,
    report: Report = ignore,
) -> ImportedWeights:
    """Convert the checkpoints of the transformer and of the autoencoder into one file.

    Names and shapes are checked before anything is converted. Files of torch are mapped into
    memory, so the result in memory is all that they take.

    Args:
        checkpoints: both files, in any order.
        target: the file to write; it appears when it is complete.
        text: `pos_emb.pt`, where the transformer's file has no embedding of the prompt.
        half: whether to store float16; float32 takes twice the room.
        overwrite: whether to replace an existing target.
        ignore_unknown: whether unknown tensors are left out, and not refused.
        config: widths; tests are narrower.
        report: hears of progress, in tensors.

    Raises:
        WeightsError: a file is not what it should be; what is wrong is named.
        OutputError: the target exists or cannot be written.
    """
    require_free(target, overwrite=overwrite)
    dtype = torch.float16 if half else torch.float32
    require_two(checkpoints, _NEEDED, _FILES)
    files = {path: unwrapped(read_checkpoint(path), _WRAPPERS) for path in checkpoints}
    denoiser_path = _only(files, MARK_OF_DENOISER, "the transformer")
    autoencoder_path = _only(files, MARK_OF_AUTOENCODER, "the autoencoder")
    with torch.device("meta"):
        model = SeedVr2Model(config)
    denoiser, autoencoder = files[denoiser_path], files[autoencoder_path]
    rotary = [f"blocks.{index}.{_ROTARY}" for index in range(config.num_blocks)]
    shapes = _shapes(model.denoiser) | dict.fromkeys(rotary, (config.rotary_channels // 2,))
    spare = (_TEXT, _NEGATIVE_TEXT)
    findings = require_networks(
        denoiser_path, denoiser, shapes, ("",), spare, ignore_unknown=ignore_unknown
    )
    _check_rotary(denoiser_path, denoiser, rotary, config)
    findings += require_networks(
        autoencoder_path,
        autoencoder,
        _shapes(model.autoencoder),
        ("",),
        ignore_unknown=ignore_unknown,
    )
    words = _take_words(denoiser_path, denoiser, text, config)

    tensors = {"text": converted("text", words, dtype)}
    wanted = [(f"denoiser.{n}", denoiser[n]) for n in _shapes(model.denoiser)]
    wanted += [(f"autoencoder.{n}", autoencoder[n]) for n in _shapes(model.autoencoder)]
    for name, tensor in with_progress(wanted, report):
        tensors[name] = converted(name.partition(".")[2], tensor, dtype)
    sources = [path.name for path in (denoiser_path, autoencoder_path, text) if path]
    header = {
        "family": "seedvr2",
        "config": json.dumps(asdict(config)),
        "license": LICENCE,
        "sources": json.dumps(sources),
    }
    write_import(target, tensors, header)
    findings += _findings(denoiser)
    return ImportedWeights(target, len(tensors), target.stat().st_size, tuple(findings), LICENCE)


def _only(files: Mapping[Path, Mapping[str, Tensor]], mark: str, what: str) -> Path:
    """The one file that holds a network.

    Raises:
        WeightsError: none does, or more than one.
    """
    found = [path for path, tensors in files.items() if mark in tensors]
    if len(found) == 1 and len(files) == 2:
        return found[0]
    raise WeightsError(
        _NEEDED,
        why=f"{what}'s tensor `{mark}` is in {len(found)} of {counted(len(files), 'file')}",
        hint=_FILES,
    )


def _check_rotary(
    path: Path, found: Mapping[str, Tensor], rotary: Sequence[str], config: SeedVr2Config
) -> None:
    """Refuse a transformer that rotates by other angles than the published one.

    Raises:
        WeightsError: it does.
    """
    expected = rotary_frequencies(config.rotary_channels)
    for name in rotary:
        if not torch.allclose(found[name].float(), expected, rtol=_ROUNDED, atol=1e-4):
            raise WeightsError(
                f"`{path.name}` is not the published checkpoint",
                why=f"`{name}` holds other frequencies",
                hint="give the files as they were published",
            )


def _take_words(
    path: Path, denoiser: Mapping[str, Tensor], text: Path | None, config: SeedVr2Config
) -> Tensor:
    """The embedding of the prompt, (L, W).

    Raises:
        WeightsError: there is none, or it is another one.
    """
    words = read_single_tensor(text) if text else denoiser.get(_TEXT)
    if words is None:
        raise WeightsError(
            f"`{path.name}` has no embedding of the prompt",
            why="it is a file of its own, `pos_emb.pt`, beside the published checkpoints",
            hint="give it with `--text pos_emb.pt`",
        )
    expected = (config.num_words, config.text_width)
    found = tuple(words.shape[1:] if words.ndim == 3 and len(words) == 1 else words.shape)
    if found != expected:
        raise WeightsError(
            f"`{(text or path).name}` does not hold the embedding of the prompt",
            why=f"its tensor is {tuple(words.shape)} and not {expected}",
            hint="give `pos_emb.pt`; `neg_emb.pt` is not used",
        )
    return words.reshape(expected)


def _shapes(network: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def _findings(denoiser: Mapping[str, Tensor]) -> list[str]:
    """What is worth knowing of the files."""
    kinds = {tensor.dtype for tensor in denoiser.values()}
    if any(kind.itemsize == 1 for kind in kinds):
        return ["the transformer was stored in 8 bits: finer pictures come of the fp16 file"]
    return []
