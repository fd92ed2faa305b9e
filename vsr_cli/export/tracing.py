"""From networks to ONNX: traced, named, stripped of what tells of this machine, and checked."""

import inspect
import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
import torch
from onnx import ModelProto, ValueInfoProto
from torch import Tensor

from vsr_cli import __version__
from vsr_cli.errors import ConfigError, VerificationError
from vsr_cli.export.graphs import Graph
from vsr_cli.export.shapes import Port, find_dimensions
from vsr_cli.export.vector import vector_size
from vsr_cli.models.small.model import BODY_STRIDE

_TRACED_FRAMES = 3  # all sizes stay free
_STRIPPED = ("doc_string", "metadata_props")


def trace(graph: Graph, opset: int) -> ModelProto:
    """Turn a graph's module into an ONNX model, all in one message.

    Args:
        graph: on the CPU.
        opset: of ONNX.

    Raises:
        ConfigError: the packages that are installed cannot write it.
    """
    scale = graph.scale or BODY_STRIDE
    dimensions = find_dimensions(vector_size(scale), scale, _TRACED_FRAMES)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        values = [torch.rand(port.sized(dimensions)) for port in graph.inputs]
    model = _export(graph, tuple(values), opset)
    _strip(model)
    model.producer_name, model.producer_version = "vsr", __version__
    model.graph.name = graph.name
    _name(model.graph.input, graph.inputs)
    _name(model.graph.output, graph.outputs)
    return model


def _export(graph: Graph, values: tuple[Tensor, ...], opset: int) -> ModelProto:
    """What torch makes of a graph's module, called with such values."""
    try:
        with _silence(), torch.no_grad():
            program = torch.onnx.export(
                graph.module,
                values,
                dynamo=True,
                dynamic_shapes=_free_dimensions(graph),
                input_names=[port.name for port in graph.inputs],
                output_names=[port.name for port in graph.outputs],
                opset_version=opset,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        *_, last = str(error.__cause__ or error).strip().splitlines()
        raise ConfigError(
            f"`{graph.name}` cannot be written with what is installed",
            why=f"torch {torch.__version__}, onnx {onnx.__version__}: {last[:200]}",
            hint="update torch, onnx and onnxscript, or use another `--opset`",
        ) from error
    assert program is not None
    return program.model_proto


def _free_dimensions(graph: Graph) -> tuple[object, ...]:
    """What `torch.export` is told of the arguments: named lengths are free."""
    shapes = [
        {axis: torch.export.Dim.AUTO for axis, n in enumerate(port.shape) if isinstance(n, str)}
        for port in graph.inputs
    ]
    parameters = inspect.signature(graph.module.forward).parameters.values()
    fixed = sum(parameter.kind != parameter.VAR_POSITIONAL for parameter in parameters)
    gathered = shapes[fixed:]  # those that the module takes as one tuple
    return (*shapes[:fixed], tuple(gathered)) if gathered else tuple(shapes)


@contextmanager
def _silence() -> Iterator[None]:
    """Within, the exporter keeps its remarks for developers to itself."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch", "onnxscript", "onnx_ir")]
    before = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for logger, level in zip(loggers, before, strict=True):
                logger.setLevel(level)


def _strip(model: ModelProto) -> None:
    """Take out where each node comes from, which names files of this machine."""
    graph = model.graph
    parts = [model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer]
    for part in parts:
        for field in _STRIPPED:
            part.ClearField(field)
    del graph.value_info[:]


def _name(values: Iterable[ValueInfoProto], ports: tuple[Port, ...]) -> None:
    """Give inputs or outputs the lengths of their ports, by name where they are free."""
    for value, port in zip(values, ports, strict=True):
        shape = value.type.tensor_type.shape
        del shape.dim[:]
        for length in port.shape:
            if isinstance(length, int):
                shape.dim.add().dim_value = length
            else:
                shape.dim.add().dim_param = length


def find_foreign(model: ModelProto) -> set[str]:
    """The operators of a model that ONNX itself does not define."""
    foreign = {node.domain + "::" + node.op_type for node in model.graph.node if node.domain}
    functions = {function.name for function in model.functions}
    domains = {one.domain for one in model.opset_import if one.domain}
    return foreign | functions | domains


def check_file(path: Path) -> None:
    """Have ONNX check a model, its weights and, strictly, all of its shapes.

    Raises:
        VerificationError: it is no valid model, shapes contradict each other, or it has operators
            that are not standard.
    """
    why = None
    try:
        onnx.checker.check_model(str(path), full_check=True)
        model = onnx.load(str(path), load_external_data=False)
        onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        why = " ".join(str(error).split())[:300]
    else:
        if foreign := find_foreign(model):
            why = f"these operators are not standard: {', '.join(sorted(foreign))}"
    if why is not None:
        raise VerificationError(f"`{path.name}` is no valid graph", why=why)
