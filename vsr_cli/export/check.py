"""Whether graphs compute what they should, wherever they run."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from vsr_cli.counting import counted
from vsr_cli.errors import VerificationError
from vsr_cli.events import GraphChecked, Report
from vsr_cli.export.chain import Array, Run
from vsr_cli.export.vector import Vector, walk_through

if TYPE_CHECKING:
    from vsr_cli.export.engines import TensorRt

# The largest error of a graph's output, as a share of the range of that output.
TOLERANCES: Mapping[str, float] = {"float32": 1e-5, "float16": 2e-2}
# The mean error of whole videos, in codes of 8 bits.
CODE_TOLERANCES: Mapping[str, float] = {"float32": 0.05, "float16": 0.5}

ONNXRUNTIME = "onnxruntime"
TENSORRT = "tensorrt"


def onnx_runner(folder: Path, num_threads: int) -> Run:
    """Calls the graphs of a folder in onnxruntime on the CPU, each opened when it is needed.

    Raises:
        VerificationError: from a call, for a graph that does not load or does not run.
    """
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    errors = _exceptions_in(state)
    onnxruntime.set_default_logger_severity(4)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    sessions: dict[str, onnxruntime.InferenceSession] = {}

    def run(name: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
        try:
            if name not in sessions:
                path = str(folder / f"{name}.onnx")
                sessions[name] = onnxruntime.InferenceSession(
                    path, options, providers=["CPUExecutionProvider"]
                )
            names = [output.name for output in sessions[name].get_outputs()]
            return dict(zip(names, sessions[name].run(names, dict(inputs)), strict=True))
        except errors as error:
            raise VerificationError(
                f"`{name}.onnx` does not run in onnxruntime {onnxruntime.__version__}",
                why=" ".join(str(error).split())[:300],
                hint="export it again; if it stays so, please report it",
            ) from error

    return run


def _exceptions_in(module: ModuleType) -> tuple[type[Exception], ...]:
    """Those that onnxruntime defines, which have no name in common, and what else it raises."""
    kinds = (kind for kind in vars(module).values() if isinstance(kind, type))
    own = [kind for kind in kinds if issubclass(kind, Exception)]
    return (ValueError, RuntimeError, *own)


def check_calls(vector: Vector, run: Run, runtime: str, dtype: str) -> Iterator[GraphChecked]:
    """Hold every output of every graph against what torch computed of the same inputs.

    Args:
        vector: with the calls.
        run: calls a graph.
        runtime: what computes them, for people.
        dtype: of the graphs, which decides what is tolerated.
    """
    for call in vector.calls:
        found = run(call.graph, call.inputs)
        for name, expected in call.outputs.items():
            yield GraphChecked(
                graph=call.graph,
                output=name,
                runtime=runtime,
                error=_error_in_range(found[name], expected),
                tolerance=TOLERANCES[dtype],
                unit="range",
            )


def check_walks(
    vector: Vector, manifest: Mapping[str, object], run: Run, runtime: str, dtype: str
) -> Iterator[GraphChecked]:
    """Hold whole videos, all graphs in their order, against those of torch; see `check_calls`."""
    for walk in vector.walks:
        motion = walk.flow_forward, walk.flow_backward
        frames = np.stack(list(walk_through(manifest, run, walk.scale, walk.source, *motion)))
        error = float(np.abs(frames - walk.frames).mean()) * 127.5
        yield GraphChecked(
            graph=f"all_x{walk.scale}",
            output="frames",
            runtime=runtime,
            error=error,
            tolerance=CODE_TOLERANCES[dtype],
            unit="codes",
        )


def check_engines(
    vector: Vector, trt: "TensorRt", paths: Mapping[str, Path], report: Report
) -> list[GraphChecked]:
    """Engines, which may compute in half precision, against torch.

    Args:
        vector: with the calls.
        trt: on the GPU that they were built for.
        paths: of the engines, by the names of graphs.
        report: hears every check.

    Raises:
        VerificationError: one computes something else.
    """
    checks = check_calls(vector, trt.runner(paths), TENSORRT, "float16")
    return require_right(checks, report)


def require_right(checks: Iterator[GraphChecked], report: Report) -> list[GraphChecked]:
    """Report every check, and then refuse if one of them failed.

    Raises:
        VerificationError: an error is not tolerated, or not a number.
    """
    found = []
    for check in checks:
        report(check)
        found.append(check)
    wrong = [check for check in found if not check.passed]
    if wrong:
        worst = max(wrong, key=lambda check: np.nan_to_num(check.error, nan=np.inf))
        unit = "of its range" if worst.unit == "range" else "codes"
        raise VerificationError(
            f"`{worst.graph}` computes something else in {worst.runtime}",
            why=f"`{worst.output}` is off by {worst.error:.2g} {unit}; "
            f"{worst.tolerance:g} are tolerated "
            f"({counted(len(wrong), 'output is', 'outputs are')} wrong)",
            hint="export it again; if it stays so, please report it",
        )
    return found


def _error_in_range(found: Array, expected: Array) -> float:
    """The largest difference, as a share of the range; not a number where that is not finite."""
    if found.shape != expected.shape:
        return float("nan")
    span = float(expected.max() - expected.min()) or 1.0
    with np.errstate(invalid="ignore"):
        return float(np.abs(found.astype(np.float32) - expected).max()) / span
