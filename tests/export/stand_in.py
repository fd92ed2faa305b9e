"""A module in the place of `tensorrt`: it notes what it is asked for, and computes with torch."""

import ctypes
import sys
from collections.abc import Mapping
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from vsr_cli.export import engines
from vsr_cli.export.chain import Run

PRECISE = ("GRID_SAMPLE", "NORMALIZATION", "SCATTER", "REDUCE")


class Layer:
    def __init__(self, kind: str, dtype: str = "float32") -> None:
        self.dtype = dtype
        self.type, self.num_outputs, self.precision = kind, 1, "any"
        self.output_types = dict[int, str]()

    def get_output(self, index: int) -> "Layer":
        return self

    def set_output_type(self, index: int, kind: str) -> None:
        self.output_types[index] = kind


class StandIn(ModuleType):
    """What TensorRT would do with the graphs that `run` calls.

    built: names of the graphs that engines were built of.
    profiles: shapes of each, by name of the graph and of the input.
    layers: of the last network.
    fault: added to all that engines give; or `build` and `parse`, what fails.
    """

    __version__ = "10.9"
    float32 = "float32"
    LayerType = SimpleNamespace(CONVOLUTION="CONVOLUTION", **{name: name for name in PRECISE})
    BuilderFlag = SimpleNamespace(FP16="fp16", OBEY_PRECISION_CONSTRAINTS="obey")
    MemoryPoolType = SimpleNamespace(WORKSPACE="workspace")

    def __init__(self, run: Run, outputs: Mapping[str, list[str]]) -> None:
        super().__init__("tensorrt")
        self.run, self.outputs = run, outputs
        self.built = list[str]()
        self.profiles = dict[str, dict[str, Any]]()
        self.layers = list[Layer]()
        self.flags = set[str]()
        self.fault: float | str = 0.0
        stand_in = self

        class Logger:
            ERROR = "error"

            def __init__(self, level: str) -> None: ...

        class Builder:
            def __init__(self, logger: Logger) -> None: ...

            def create_network(self, flags: int) -> Any:  # noqa: ANN401
                stand_in.layers = [
                    Layer("CONVOLUTION"),
                    Layer("GRID_SAMPLE"),
                    Layer("REDUCE", "int64"),
                ]
                return SimpleNamespace(num_layers=3, get_layer=stand_in.layers.__getitem__)

            def create_builder_config(self) -> Any:  # noqa: ANN401
                return SimpleNamespace(
                    set_memory_pool_limit=lambda pool, size: None,
                    set_flag=stand_in.flags.add,
                    add_optimization_profile=stand_in.take,
                )

            def create_optimization_profile(self) -> Any:  # noqa: ANN401
                shapes = dict[str, Any]()
                return SimpleNamespace(
                    shapes=shapes,
                    set_shape=lambda name, *three: shapes.update({name: three}),
                )

            def build_serialized_network(self, network: object, config: object) -> bytes | None:
                stand_in.built.append(stand_in.name)
                return None if stand_in.fault == "build" else f"engine {stand_in.name}".encode()

        class OnnxParser:
            num_errors = 1

            def __init__(self, network: object, logger: Logger) -> None: ...

            def parse_from_file(self, path: str) -> bool:
                stand_in.name = path.rsplit("/", 1)[-1].removesuffix(".onnx")
                return stand_in.fault != "parse"

            def get_error(self, index: int) -> str:
                return "no such operator"

        class Runtime:
            def __init__(self, logger: Logger) -> None: ...

            def deserialize_cuda_engine(self, content: bytes) -> "Engine | None":
                head, _, name = content.decode().partition(" ")
                return Engine(stand_in, name) if head == "engine" else None

        self.name = ""
        self.Logger, self.Builder = Logger, Builder
        self.OnnxParser, self.Runtime = OnnxParser, Runtime

    def take(self, profile: Any) -> None:  # noqa: ANN401
        self.profiles[self.name] = dict(profile.shapes)


class Engine:
    def __init__(self, stand_in: StandIn, name: str) -> None:
        self.stand_in, self.name = stand_in, name
        self.names = [*stand_in.profiles[name], *stand_in.outputs[name]]
        self.num_io_tensors = len(self.names)
        self.shapes = dict[str, tuple[int, ...]]()
        self.addresses = dict[str, int]()

    def get_tensor_name(self, index: int) -> str:
        return self.names[index]

    def create_execution_context(self) -> "Engine":
        return self

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> None:
        least, _, most = self.stand_in.profiles[self.name][name]
        assert all(a <= n <= b for a, n, b in zip(least, shape, most, strict=True)), name
        self.shapes[name] = shape

    def set_tensor_address(self, name: str, address: int) -> None:
        self.addresses[name] = address

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self._compute()[name].shape

    def execute_async_v3(self, stream: int) -> bool:
        for name, x in self._compute().items():
            self._at(name, x.shape)[...] = x + self.stand_in.fault
        return True

    def _compute(self) -> dict[str, Any]:
        return self.stand_in.run(
            self.name, {name: self._at(name, shape) for name, shape in self.shapes.items()}
        )

    def _at(self, name: str, shape: tuple[int, ...]) -> Any:  # noqa: ANN401
        block = (ctypes.c_float * int(np.prod(shape))).from_address(self.addresses[name])
        return np.frombuffer(memoryview(block), np.float32).reshape(shape)


def install(monkeypatch: pytest.MonkeyPatch, run: Run, outputs: Mapping[str, list[str]]) -> StandIn:
    """Put a stand-in where `tensorrt` is looked for, and the CPU where a GPU is."""
    stand_in = StandIn(run, outputs)
    monkeypatch.setitem(sys.modules, "tensorrt", stand_in)
    monkeypatch.setattr(engines, "has_tensorrt", lambda: True)
    monkeypatch.setattr(engines, "find_gpu", lambda: torch.device("cpu"))
    monkeypatch.setattr(engines, "describe_gpu", lambda device: ("Stand-in", "9.0"))
    monkeypatch.setattr(engines, "current_stream", lambda device: 0)
    monkeypatch.setattr(engines, "synchronize", lambda device: None)
    return stand_in
