"""Engines of TensorRT, with a module in its place that computes with torch."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from tests.export.stand_in import StandIn, install
from tests.networks import tiny_model
from vsr_cli.errors import DeviceError, VerificationError
from vsr_cli.events import Event, GraphChecked, ignore
from vsr_cli.export.check import check_engines
from vsr_cli.export.engines import Gpu, Profile, TensorRt, build_engines, engine_key
from vsr_cli.export.graphs import Graph, make_graphs
from vsr_cli.export.manifest import Form, Origin, describe
from vsr_cli.export.vector import Vector, record, torch_runner
from vsr_cli.export.weights_file import WEIGHTS_FILE

STEPS = 8
SIZES = Profile(sources=((60, 80), (90, 160)), num_frames=8, scales=(4, 1))


@pytest.fixture(scope="module")
def graphs() -> list[Graph]:
    return make_graphs(tiny_model(), SIZES.scales, STEPS)


@pytest.fixture(scope="module")
def vector(graphs: list[Graph]) -> Vector:
    origin = Origin(model="tiny", sha256="0", license="none")
    form = Form(dtype="float32", opset=20, steps=STEPS, scales=SIZES.scales)
    return record(graphs, describe(tiny_model(), graphs, origin, form), SIZES.scales)


@pytest.fixture
def stand_in(graphs: list[Graph], monkeypatch: pytest.MonkeyPatch) -> StandIn:
    outputs = {graph.name: [port.name for port in graph.outputs] for graph in graphs}
    return install(monkeypatch, torch_runner(graphs), outputs)


@pytest.fixture
def folder(tmp_path: Path, graphs: list[Graph]) -> Path:
    """Of an export, as far as building looks at it."""
    folder = tmp_path / "one"
    write_files(folder, graphs)
    return folder


def write_files(folder: Path, graphs: list[Graph]) -> None:
    folder.mkdir()
    (folder / WEIGHTS_FILE).write_bytes(b"weights")
    for graph in graphs:
        (folder / f"{graph.name}.onnx").write_text(graph.name)


def test_engines_are_built_of_all_graphs_and_give_what_torch_gives(
    stand_in: StandIn, graphs: list[Graph], vector: Vector, folder: Path
) -> None:
    trt = TensorRt()
    paths = build_engines(trt, graphs, SIZES, folder, folder / "none")
    heard = list[Event]()
    checks = check_engines(vector, trt, paths, heard.append)
    assert stand_in.built == [graph.name for graph in graphs]
    assert {check.graph for check in checks} == {graph.name for graph in graphs}
    assert heard == checks
    assert all(check.passed and check.runtime == "tensorrt" for check in checks)


def test_positions_and_norms_are_computed_in_float32_and_the_rest_may_be_in_half(
    stand_in: StandIn, graphs: list[Graph], folder: Path
) -> None:
    TensorRt().build(graphs[0], folder / f"{graphs[0].name}.onnx", SIZES)
    convolution, look_up, count = stand_in.layers
    assert stand_in.flags == {"fp16", "obey"}
    assert (convolution.precision, look_up.precision) == ("any", "float32")
    assert (count.precision, count.output_types) == ("any", {})
    assert look_up.output_types == {0: "float32"}


def test_profiles_reach_from_the_test_vector_to_the_largest_source(graphs: list[Graph]) -> None:
    by_name = {graph.name: graph for graph in graphs}
    least, usual, most = SIZES.ranges(by_name["condition_x4"].inputs[0], 4)
    assert (least, usual, most) == ((1, 3, 26, 34), (8, 3, 60, 80), (8, 3, 90, 160))
    least, usual, most = SIZES.ranges(by_name["denoiser"].inputs[0], None)  # at either scale
    assert (least, usual, most) == ((1, 1, 4, 8, 10), (1, 8, 4, 30, 40), (1, 8, 4, 45, 80))


def test_an_engine_that_computes_something_else_is_not_handed_out(
    stand_in: StandIn, graphs: list[Graph], vector: Vector, folder: Path
) -> None:
    trt = TensorRt()
    paths = build_engines(trt, graphs, SIZES, folder, folder / "none")
    stand_in.fault = 1.0
    with pytest.raises(VerificationError, match="something else in tensorrt"):
        check_engines(vector, trt, paths, ignore)
    stand_in.fault = float("nan")
    with pytest.raises(VerificationError, match="something else in tensorrt"):
        check_engines(vector, trt, paths, ignore)


def test_engines_are_built_once_for_the_same_gpu_version_graphs_and_sizes(
    stand_in: StandIn, graphs: list[Graph], folder: Path, tmp_path: Path
) -> None:
    first = build_engines(TensorRt(), graphs, SIZES, folder, folder / "none")
    other = tmp_path / "two"
    write_files(other, graphs)
    (other / "step.onnx").write_text("another")
    stand_in.built.clear()
    second = build_engines(TensorRt(), graphs, SIZES, other, folder)
    assert stand_in.built == ["step"]
    assert {p.name for p in first.values()} - {p.name for p in second.values()} == {
        first["step"].name
    }


@pytest.mark.parametrize(
    "change",
    [
        *({"name": "Other"}, {"capability": "8.0"}, {"tensorrt": "10.10"}),
        *({"graph": "x"}, {"weights": "x"}, {"sizes": "x"}),
    ],
)
def test_the_key_of_an_engine_changes_with_all_that_it_depends_on(
    change: Mapping[str, str], tmp_path: Path
) -> None:
    def key(change: Mapping[str, str]) -> str:
        path = tmp_path / "a.onnx"
        path.write_text(change.get("graph", "graph"))
        (tmp_path / WEIGHTS_FILE).write_text(change.get("weights", "weights"))
        parts = {"name": "One", "capability": "9.0", "tensorrt": "10.9"}
        gpu = Gpu(**{name: change.get(name, value) for name, value in parts.items()})
        frames = 4 if "sizes" in change else 8
        return engine_key(gpu, path, Profile(sources=((60, 80),), num_frames=frames, scales=(4,)))

    assert key(change) != key({})
    assert key({}) == key({})


@pytest.mark.parametrize("fault", ["parse", "build"])
def test_a_build_that_fails_is_said(
    stand_in: StandIn, graphs: list[Graph], folder: Path, fault: str
) -> None:
    stand_in.fault = fault
    with pytest.raises(DeviceError, match="builds no engine of `condition_x4`"):
        build_engines(TensorRt(), graphs, SIZES, folder, folder / "none")


def test_an_engine_of_another_machine_is_refused(stand_in: StandIn, tmp_path: Path) -> None:
    (tmp_path / "step.engine").write_bytes(b"other step")
    run = TensorRt().runner({"step": tmp_path / "step.engine"})
    with pytest.raises(DeviceError, match="does not load"):
        run("step", {})


@pytest.mark.gpu
def test_tensorrt_itself_gives_what_torch_gives(
    graphs: list[Graph], vector: Vector, tmp_path: Path
) -> None:
    pytest.importorskip("tensorrt")
    from vsr_cli.export.tracing import trace
    from vsr_cli.export.weights_file import WeightsFile

    assert torch.cuda.is_available()
    weights = WeightsFile(tmp_path)
    for graph in graphs:
        model = trace(graph, 20)
        weights.take(model)
        (tmp_path / f"{graph.name}.onnx").write_bytes(model.SerializeToString())
    trt = TensorRt()
    paths = build_engines(trt, graphs, SIZES, tmp_path, tmp_path / "none")
    checks: list[GraphChecked] = check_engines(vector, trt, paths, ignore)
    assert all(check.passed for check in checks)
