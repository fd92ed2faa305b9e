"""The shipped family of models written as graphs that need no torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vsr_cli.errors import ConfigError
from vsr_cli.events import Exported, GraphChecked, Report, ignore
from vsr_cli.option_types import as_list
from vsr_cli.options import PathLike, make_config
from vsr_cli.values import parse_size

if TYPE_CHECKING:
    from vsr_cli.export.export import ExportConfig


def export_model(
    folder: PathLike,
    *,
    model: PathLike | None = None,
    dtype: Literal["float32", "float16", "bfloat16"] = "float32",
    opset: int = 20,
    steps: int | None = None,
    check: bool = True,
    engine: bool = False,
    size: str | Sequence[str] = (),
    num_frames: int = 8,
    overwrite: bool = False,
    report: Report = ignore,
) -> Exported:
    """Write a model as ONNX graphs, with a manifest, a test vector and an example.

    It needs the extra `export`: onnx, onnxscript and onnxruntime.

    Args:
        folder: to write; it appears when all is complete and checked.
        model: a file of weights of the shipped family, or a name of `list_weights`.
        dtype: what networks compute in; in- and outputs are float32. There is no bfloat16.
        opset: of ONNX, 18 to 23.
        steps: of denoising; None: the model's own default.
        check: whether all graphs are computed once more in onnxruntime, against torch.
        engine: whether TensorRT builds engines of the graphs, for the GPU of this machine.
        size: of sources that engines are built for, `WxH`.
        num_frames: the most frames of a clip, of engines alone.
        overwrite: whether an earlier export in the folder gives way; nothing else does.
        report: receives `GraphWritten`, `GraphChecked`, `Progress` and `Exported`.

    Raises:
        ConfigError: an option is out of range, the model is of another family, or a package is
            missing.
        OutputError: the folder exists or cannot be written.
        WeightsError: the model cannot be loaded.
        DeviceError: for engines TensorRT or the GPU is missing, or does not build one.
        VerificationError: a graph computes something else than torch does.
    """
    config = _config(model, dtype, opset, steps, check, overwrite)
    from dataclasses import replace

    from vsr_cli.export.export import export as write

    return write(
        Path(folder), replace(config, sizes=_sizes(engine, size), num_frames=num_frames), report
    )


def verify_export(folder: PathLike, *, report: Report = ignore) -> list[GraphChecked]:
    """Compare the files of an export with their digests, and compute its test vector once more.

    Engines are checked where their GPU is.

    Args:
        folder: that `export_model` has written.
        report: receives every check.

    Raises:
        ConfigError: onnxruntime is not installed.
        InputError: the folder is no export.
        VerificationError: a file was changed, or a graph computes something else.
    """
    from vsr_cli.export.export import verify

    return verify(Path(folder), report)


def _config(
    model: PathLike | None,
    dtype: Literal["float32", "float16", "bfloat16"],
    opset: int,
    steps: int | None,
    check: bool,
    overwrite: bool,
) -> "ExportConfig":
    if dtype == "bfloat16":
        raise ConfigError(
            "`--dtype bfloat16` cannot be exported",
            why="onnxruntime has no arithmetic in bfloat16 on a CPU, and such graphs do not load",
            hint="use float32, or float16 for a GPU",
        )
    from vsr_cli.export.export import ExportConfig

    return ExportConfig(
        model=make_config({"model": model}).model,
        dtype=dtype,
        opset=opset,
        steps=steps,
        check=check,
        overwrite=overwrite,
    )


def _sizes(engine: bool, size: str | Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Sources (height, width) that engines are built for."""
    if engine and not size:
        raise ConfigError(
            "`--engine` needs to know for which sources",
            hint="add `--size WxH`, once or more; the first is what it will be fastest for",
        )
    if size and not engine:
        raise ConfigError("`--size` means nothing without `--engine`", hint="leave it out")
    found = (parse_size("--size", text) for text in as_list(size))
    return tuple(one for one in found if one is not None)
