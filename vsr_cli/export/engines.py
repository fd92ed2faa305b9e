"""Engines of TensorRT: built of the graphs on the GPU that they will run on, and kept by a key.

Written for TensorRT 10. An engine fits one model of GPU, one version and one driver, so none is
ever shipped; and none is handed out unchecked, as fused kernels have been wrong before.
"""

import importlib.util
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vsr_cli.digest import sha256, sha256_of_bytes
from vsr_cli.errors import DeviceError
from vsr_cli.export.chain import Array, Run
from vsr_cli.export.graphs import Graph
from vsr_cli.export.shapes import Port, find_dimensions
from vsr_cli.export.vector import vector_size
from vsr_cli.export.weights_file import WEIGHTS_FILE

FOLDER = "engines"
SUFFIX = ".engine"

# What is computed in float32 where the rest may be in half precision: positions are off by whole
# pixels there, and sums over channels lose their last bits.
_FULL_PRECISION = ("GRID_SAMPLE", "NORMALIZATION", "SCATTER", "REDUCE")
_WORKSPACE = 4 * 2**30  # bytes that a kernel may take at most


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """What an engine depends on beside its graph."""

    name: str
    capability: str  # as `9.0`
    tensorrt: str  # version


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Sizes that an engine is built for: everything between the least and the largest.

    sources: (height, width), the one that it shall be fastest for first.
    num_frames: the most in a clip.
    scales: enlargements.
    """

    sources: tuple[tuple[int, int], ...]
    num_frames: int
    scales: tuple[int, ...]

    def ranges(self, port: Port, scale: int | None) -> tuple[tuple[int, ...], ...]:
        """The least, the usual and the largest shape of an input.

        Args:
            port: the input.
            scale: of its graph; None: it serves all scales.
        """
        scales = self.scales if scale is None else (scale,)
        least = [port.sized(find_dimensions(vector_size(one), one, 1)) for one in scales]
        wanted = [
            port.sized(find_dimensions(source, one, self.num_frames))
            for source in self.sources
            for one in scales
        ]
        smallest = tuple(map(min, zip(*least, *wanted, strict=True)))
        largest = tuple(map(max, zip(*least, *wanted, strict=True)))
        return smallest, wanted[0], largest


class TensorRt:
    """TensorRT on the first GPU.

    Raises:
        DeviceError: the package or the GPU is missing.
    """

    def __init__(self) -> None:
        """Load the package."""
        if not has_tensorrt():
            raise DeviceError(
                "`--engine` needs TensorRT",
                why="the package `tensorrt` is not installed",
                hint="`pip install tensorrt`, on the machine with the GPU that engines are for",
            )
        self.device = find_gpu()
        try:
            self._trt: Any = importlib.import_module("tensorrt")
        except (ImportError, OSError) as error:
            raise DeviceError(
                "TensorRT does not load",
                why=" ".join(str(error).split())[:200],
                hint="install a version of `tensorrt` that fits the driver",
            ) from error
        self._logger = self._trt.Logger(self._trt.Logger.ERROR)
        name, capability = describe_gpu(self.device)
        self.gpu = Gpu(name=name, capability=capability, tensorrt=str(self._trt.__version__))

    def build(self, graph: Graph, path: Path, sizes: Profile) -> bytes:
        """Build the engine of a graph, which takes minutes.

        Args:
            graph: which one.
            path: of its ONNX file, with its weights beside it.
            sizes: that it shall be good for.

        Raises:
            DeviceError: the build fails.
        """
        trt = self._trt
        builder = trt.Builder(self._logger)
        network = builder.create_network(0)
        parser = trt.OnnxParser(network, self._logger)
        if not parser.parse_from_file(str(path)):
            errors = "; ".join(str(parser.get_error(n)) for n in range(parser.num_errors))
            raise _no_engine(graph, errors)
        config = builder.create_builder_config()
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, _WORKSPACE)
        config.set_flag(trt.BuilderFlag.FP16)
        config.set_flag(trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS)
        self._keep_precise(network)
        profile = builder.create_optimization_profile()
        for port in graph.inputs:
            profile.set_shape(port.name, *sizes.ranges(port, graph.scale))
        config.add_optimization_profile(profile)
        engine = builder.build_serialized_network(network, config)
        if engine is None:
            raise _no_engine(graph, "the builder gives nothing")
        return bytes(engine)

    def _keep_precise(self, network: Any) -> None:  # noqa: ANN401  TensorRT has no types
        """Have layers that need it compute in float32."""
        trt = self._trt
        kinds = {getattr(trt.LayerType, name) for name in _FULL_PRECISION}
        for index in range(network.num_layers):
            layer = network.get_layer(index)
            outputs = range(layer.num_outputs)
            is_float = all(layer.get_output(n).dtype == trt.float32 for n in outputs)
            if layer.type in kinds and is_float:  # sums of lengths are whole numbers
                layer.precision = trt.float32
                for output in outputs:
                    layer.set_output_type(output, trt.float32)

    def runner(self, paths: Mapping[str, Path]) -> Run:
        """Calls engines.

        Args:
            paths: their files by the names of graphs.

        Raises:
            DeviceError: from a call, for an engine that does not load here.
        """
        runtime = self._trt.Runtime(self._logger)
        engines: dict[str, object] = {}

        def run(name: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
            if name not in engines:
                engine = runtime.deserialize_cuda_engine(paths[name].read_bytes())
                if engine is None:
                    raise DeviceError(
                        f"`{paths[name].name}` does not load",
                        why="it was built for another GPU, driver or version of TensorRT",
                        hint="build it again with `--engine`",
                    )
                engines[name] = engine
            return self._call(name, engines[name], inputs)

        return run

    def _call(self, name: str, engine: Any, inputs: Mapping[str, Array]) -> dict[str, Array]:  # noqa: ANN401  TensorRT has no types
        """One call, in a context of its own."""
        context = engine.create_execution_context()
        lying = {key: torch.from_numpy(np.array(x)).to(self.device) for key, x in inputs.items()}
        for key, x in lying.items():
            context.set_input_shape(key, tuple(x.shape))
            context.set_tensor_address(key, x.data_ptr())
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        found = {}
        for key in (key for key in names if key not in lying):
            found[key] = torch.empty(tuple(context.get_tensor_shape(key)), device=self.device)
            context.set_tensor_address(key, found[key].data_ptr())
        if not context.execute_async_v3(current_stream(self.device)):
            raise DeviceError(f"the engine of `{name}` does not run", hint="build it again")
        synchronize(self.device)
        return {key: x.cpu().numpy() for key, x in found.items()}


def build_engines(
    trt: TensorRt, graphs: Sequence[Graph], sizes: Profile, folder: Path, earlier: Path
) -> dict[str, Path]:
    """Build what is not there yet, and return the file of each graph's engine.

    Args:
        trt: on its GPU.
        graphs: all of them.
        sizes: that engines shall be good for.
        folder: of the graphs; engines go into one within.
        earlier: of an earlier export, whose engines are taken where their key is the same; it
            need not exist.
    """
    (folder / FOLDER).mkdir()
    found = {}
    for graph in graphs:
        path = folder / f"{graph.name}.onnx"
        name = f"{graph.name}-{engine_key(trt.gpu, path, sizes)[:16]}{SUFFIX}"
        kept = earlier / FOLDER / name
        content = kept.read_bytes() if kept.is_file() else trt.build(graph, path, sizes)
        found[graph.name] = folder / FOLDER / name
        found[graph.name].write_bytes(content)
    return found


def engine_key(gpu: Gpu, path: Path, sizes: Profile) -> str:
    """What an engine depends on, as a digest: GPU, version, graph, weights and sizes."""
    parts = {
        "gpu": asdict(gpu),
        "graph": sha256(path),
        "weights": sha256(path.with_name(WEIGHTS_FILE)),
        "sizes": asdict(sizes),
        "precise": _FULL_PRECISION,
    }
    return sha256_of_bytes(json.dumps(parts, sort_keys=True).encode())


def has_tensorrt() -> bool:
    """Whether the package is installed."""
    return importlib.util.find_spec("tensorrt") is not None


def find_gpu() -> torch.device:
    """The GPU that engines are built on.

    Raises:
        DeviceError: there is none.
    """
    if not torch.cuda.is_available():
        raise DeviceError(
            "`--engine` needs a GPU",
            why="no CUDA device found; an engine fits the GPU that it was built on alone",
            hint="run this on the machine that has it, or leave `--engine` out",
        )
    return torch.device("cuda", torch.cuda.current_device())


def describe_gpu(device: torch.device) -> tuple[str, str]:
    """Name and compute capability of a GPU."""
    major, minor = torch.cuda.get_device_capability(device)
    return torch.cuda.get_device_name(device), f"{major}.{minor}"


def current_stream(device: torch.device) -> int:
    """The stream that work on a GPU is queued in."""
    return torch.cuda.current_stream(device).cuda_stream


def synchronize(device: torch.device) -> None:
    """Wait for a GPU."""
    torch.cuda.synchronize(device)


def _no_engine(graph: Graph, why: str) -> DeviceError:
    return DeviceError(
        f"TensorRT builds no engine of `{graph.name}`",
        why=" ".join(why.split())[:300],
        hint="use the graphs with onnxruntime, or another version of TensorRT",
    )
