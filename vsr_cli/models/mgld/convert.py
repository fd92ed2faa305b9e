"""Published checkpoints -> one file of this package: every tensor accounted for, none trusted."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from vsr_cli.errors import WeightsError
from vsr_cli.events import Report, ignore
from vsr_cli.models.checkpoint import read_checkpoint, require_exactly, require_two, unwrapped
from vsr_cli.models.flow import FLOW_PREFIX, match_raft, read_raft
from vsr_cli.models.imports import (
    ImportedWeights,
    converted,
    require_free,
    with_progress,
    write_import,
)
from vsr_cli.models.mgld.config import PUBLISHED, MgldConfig
from vsr_cli.models.mgld.inventory import (
    FILES,
    NEEDED,
    take_inventory,
    take_video_inventory,
    tell_apart,
)
from vsr_cli.models.mgld.model import MgldModel
from vsr_cli.models.mgld.names import FIRST_STAGE, FLOW, TEXT, UNET
from vsr_cli.models.mgld.text import embed_empty_prompt, text_shapes

LICENCE = (
    "Converted from the published MGLD-VSR checkpoints. The code they came with is under the S-Lab "
    "License 1.0 (non-commercial); they derive from Stable Diffusion 2.1 (CreativeML Open "
    "RAIL++-M, which restricts use), OpenCLIP (MIT) and RAFT (BSD-3-Clause). Whether they may be "
    "used commercially is not settled. Do not pass this file on."
)
_VISION = "visual."  # the other half of OpenCLIP
_FEATURES, _LATENTS = "feature_encoder.", "encoder."
_NO_FLOW = (
    "there is no RAFT in the files, which the model was trained with: DIS takes its place; "
    "`vsr weights import --flow raft-things.pth` adds it"
)
_IDLE = 1e-3  # a blend below this leaves a layer without effect


def import_published(
    checkpoints: Sequence[Path],
    target: Path,
    *,
    text: Path | None = None,
    flow: Path | None = None,
    half: bool = True,
    overwrite: bool = False,
    ignore_unknown: bool = False,
    config: MgldConfig = PUBLISHED,
    report: Report = ignore,
) -> ImportedWeights:
    """Convert the checkpoints of the U-Net and of the video autoencoder into one file.

    Names and shapes are checked before anything is converted. Files are mapped into memory, so the
    result in memory is all that it takes, unless they are in the format of torch before 1.6.

    Args:
        checkpoints: both files, in any order.
        target: the file to write; it appears when it is complete.
        text: OpenCLIP's or Stable Diffusion 2.1's file, where the U-Net's has no text encoder.
        flow: RAFT's own file, instead of the network in the U-Net's file.
        half: whether to store float16; float32 takes twice the room. Flow is never halved.
        overwrite: whether to replace an existing target.
        ignore_unknown: whether unknown tensors of the networks are left out, and not refused; those
            beside them always are.
        config: widths; tests are narrower.
        report: hears of progress, in tensors.

    Raises:
        WeightsError: a file is not what it should be; what is wrong is named.
        OutputError: the target exists or cannot be written.
    """
    require_free(target, overwrite=overwrite)
    dtype = torch.float16 if half else torch.float32
    require_two(checkpoints, NEEDED, FILES)
    files = {path: unwrapped(read_checkpoint(path), [FIRST_STAGE]) for path in checkpoints}
    unet_path, video_path = tell_apart(files)
    unet, video = files[unet_path], files[video_path]
    with torch.device("meta"):
        model = MgldModel(config, shares_encoder=False)
    of_unet, left_out = take_inventory(
        unet_path, unet, config, model, ignore_unknown=ignore_unknown
    )
    of_video, others = take_video_inventory(video_path, video, model, ignore_unknown=ignore_unknown)
    wanted = [(unet, item) for item in of_unet] + [(video, item) for item in of_video]
    context, findings = _embed_prompt(unet_path, unet, text, config)
    flow_tensors, about_flow = _take_flow(unet_path, unet, flow)

    tensors = {"context": context.to(dtype)}
    for item, source in with_progress([(item, file) for file, item in wanted], report):
        published = item.source
        tensor = published.convert(source[published.name])
        tensors[item.name] = converted(published.name, tensor, dtype)
    findings = [*_inspect(tensors), _share_encoder(tensors), *findings, *left_out, *others]
    findings += about_flow
    tensors |= {FLOW_PREFIX + name: tensor for name, tensor in flow_tensors.items()}
    sources = [path.name for path in (unet_path, video_path, text, flow) if path]
    header = {
        "family": "mgld",
        "config": json.dumps(asdict(config)),
        "license": LICENCE,
        "sources": json.dumps(sources),
    }
    write_import(target, tensors, header)
    return ImportedWeights(target, len(tensors), target.stat().st_size, tuple(findings), LICENCE)


def _embed_prompt(
    unet_path: Path, unet: Mapping[str, Tensor], text: Path | None, config: MgldConfig
) -> tuple[Tensor, list[str]]:
    """The embedding of the empty prompt, and how the U-Net compares with what it came from.

    Raises:
        WeightsError: there is no text encoder, or not the one expected.
    """
    path = text or unet_path
    file = read_checkpoint(text) if text else unet
    prefix = TEXT if not text or any(name.startswith(TEXT) for name in file) else ""
    tower = {
        name: tensor
        for name, tensor in file.items()
        if name.startswith(prefix) and not name.startswith(_VISION)
    }
    if not tower:
        raise WeightsError(
            f"`{path.name}` has no text encoder",
            why=f"no tensor of it is named `{TEXT}...`",
            hint="give OpenCLIP's or Stable Diffusion 2.1's file with `--text`",
        )
    shapes = {prefix + name: shape for name, shape in text_shapes(config).items()}
    require_exactly(path, tower, shapes, spare=[f"{prefix}attn_mask"])
    tower = {name.removeprefix(prefix): tensor for name, tensor in tower.items()}
    context = embed_empty_prompt(tower, config)
    base = {name: x for name, x in file.items() if name.startswith(UNET)} if text else {}
    if not base:
        return context, []
    same = sum(_equals(unet.get(_moved(name)), tensor) for name, tensor in base.items())
    return context, [f"{same} of {len(base)} tensors of the U-Net are those of `{path.name}`"]


def _moved(name: str) -> str:
    """Where a tensor of the original middle block is found among layers along time."""
    for before, after in (
        ("middle_block.2.", "middle_block.4."),
        ("middle_block.1.", "middle_block.2."),
    ):
        if before in name:
            return name.replace(before, after)
    return name


def _equals(ours: Tensor | None, theirs: Tensor) -> bool:
    return ours is not None and torch.equal(ours.float(), theirs.float())


def _take_flow(
    unet_path: Path, unet: Mapping[str, Tensor], flow: Path | None
) -> tuple[dict[str, Tensor], list[str]]:
    """RAFT from its own file or else the U-Net's, if there is one, and what is said of it.

    Raises:
        WeightsError: the user's own file holds another network.
    """
    if flow is not None:
        return read_raft(flow), []
    found = {name.removeprefix(FLOW): x for name, x in unet.items() if name.startswith(FLOW)}
    try:
        return (match_raft(unet_path, found) if found else {}), [] if found else [_NO_FLOW]
    except WeightsError:  # another network, which nothing here can use
        return {}, [f"the flow network of `{unet_path.name}` is no RAFT; {_NO_FLOW}"]


def _inspect(tensors: Mapping[str, Tensor]) -> list[str]:
    """Which of the added layers do anything at all."""
    middle = "denoiser.unet.mid_block."
    alphas = [
        tensors[f"{middle}{layer}.temporal.alpha"].item()
        for layer in ("resnets.0", "attentions.0", "resnets.1")
    ]
    blends = ", ".join(f"{alpha:.4f}" for alpha in alphas)
    idle = sum(abs(alpha) < _IDLE for alpha in alphas)
    lines = [
        f"blends of the layers along time: {blends}" + (f"; {idle} do nothing" if idle else "")
    ]
    for layer, what in (
        ("attentions.0.layer.proj_out", "the middle attention's projection"),
        ("resnets.1.layer.conv2.conv", "the last convolution of the middle block"),
    ):
        is_dead = not tensors[f"{middle}{layer}.weight"].any()
        lines.append(f"{what} is " + ("zero: it does nothing" if is_dead else "alive"))
    return lines


def _share_encoder(tensors: dict[str, Tensor]) -> str:
    """Keep one encoder where both files have the same, or where only one has any."""
    features = {name for name in tensors if name.startswith(_FEATURES)}
    pairs = {name: _LATENTS + name.removeprefix(_FEATURES) for name in features}
    if not any(own in tensors for own in pairs.values()):
        tensors |= {own: tensors.pop(name) for name, own in pairs.items()}
        return "the U-Net's file has no encoder: that of the video autoencoder serves for both"
    if all(torch.equal(tensors[name], tensors[own]) for name, own in pairs.items()):
        for name in features:
            del tensors[name]
        return "both files have the same encoder: it is kept once"
    return "the files have different encoders: both are kept"
