"""A folder of graphs of a tiny model, made once, and all that is promised of it."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray
from typer.testing import CliRunner, Result

from tests.export.stand_in import install
from tests.networks import TINY, tiny_model
from vsr_cli.cli.app import app
from vsr_cli.export.check import TOLERANCES, onnx_runner
from vsr_cli.export.graphs import Graph, make_graphs
from vsr_cli.export.shapes import find_dimensions
from vsr_cli.export.vector import torch_runner
from vsr_cli.models.small.model import SmallModel
from vsr_cli.models.weights import save_weights

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

from vsr_cli.export import tracing  # noqa: E402  needs onnx

pytestmark = pytest.mark.slow

SCALES = (4, 2)
STEPS = 8  # which pull twice each
CONFIG = replace(TINY, scales=SCALES, offered_scales=SCALES, default_steps=STEPS)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    tensors = tiny_model().state_dict()
    tensors.pop("trunk.folded_stems.4.weight"), tensors.pop("trunk.folded_stems.4.bias")
    save_weights(path, tensors, CONFIG)
    return path


@pytest.fixture(scope="module")
def model(weights: Path) -> SmallModel:
    from vsr_cli.models.weights import load_weights

    return load_weights(weights)


@pytest.fixture(scope="module")
def graphs(model: SmallModel) -> list[Graph]:
    return make_graphs(model, SCALES, STEPS)


@pytest.fixture(scope="module")
def exported(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "out"
    result = run("export", folder, "--model", weights, "--json")
    assert result.exit_code == 0, result.stderr
    events = [json.loads(line) for line in result.stdout.splitlines()]
    kinds = [event["type"] for event in events]
    assert kinds.count("graph") == 12
    assert kinds[-1] == "export"
    assert events[-1]["checks"] == kinds.count("check") > 30
    assert all(event["passed"] for event in events if event["type"] == "check")
    # Elsewhere, and nothing is left where it was made.
    moved = tmp_path_factory.mktemp("moved") / "graphs"
    shutil.move(folder, moved)
    assert list(folder.parent.iterdir()) == []
    return moved


@pytest.fixture
def traced(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tracing takes minutes, and its results are there."""
    monkeypatch.setattr(
        tracing, "trace", lambda graph, opset: onnx.load(exported / f"{graph.name}.onnx")
    )


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def draw_inputs(
    graph: Graph, num_frames: int, size: tuple[int, int]
) -> dict[str, NDArray[np.float32]]:
    generator = np.random.default_rng(num_frames)
    dimensions = find_dimensions(size, graph.scale or 4, num_frames)
    found = {}
    for port in graph.inputs:
        x = generator.standard_normal(port.sized(dimensions))
        found[port.name] = ((x > -0.5) if "visible" in port.name else x).astype(np.float32)
    return found


@pytest.mark.parametrize(("num_frames", "size"), [(1, (16, 24)), (2, (54, 36)), (8, (20, 46))])
def test_every_graph_gives_what_torch_gives_whatever_the_size_and_count(
    exported: Path, graphs: list[Graph], num_frames: int, size: tuple[int, int]
) -> None:
    compute, expect = onnx_runner(exported, 1), torch_runner(graphs)
    for graph in graphs:
        inputs = draw_inputs(graph, num_frames, size)
        expected, found = expect(graph.name, inputs), compute(graph.name, inputs)
        for name, x in expected.items():
            error = np.abs(found[name] - x).max() / max(float(np.ptp(x)), 1e-6)
            assert error < TOLERANCES["float32"], (graph.name, name)


def test_graphs_are_plain_onnx_with_free_lengths_and_tell_nothing_of_this_machine(
    exported: Path, graphs: list[Graph]
) -> None:
    for graph in graphs:
        path = exported / f"{graph.name}.onnx"
        tracing.check_file(path)
        model = onnx.load(path, load_external_data=False)
        assert [(one.domain, one.version) for one in model.opset_import] == [("", 20)]
        assert tracing.find_foreign(model) == set()
        for values, ports in (
            (model.graph.input, graph.inputs),
            (model.graph.output, graph.outputs),
        ):
            for value, port in zip(values, ports, strict=True):
                dims = value.type.tensor_type.shape.dim
                assert value.name == port.name
                assert tuple(d.dim_param or d.dim_value for d in dims) == port.shape
    for path in exported.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert b"site-packages" not in content
            assert os.fsencode(Path.home()) + b"/" not in content


def test_tracing_twice_gives_the_same_bytes(exported: Path, graphs: list[Graph]) -> None:
    graph = next(graph for graph in graphs if graph.name == "decoder_first_x2")
    first, second = (tracing.trace(graph, 20).SerializeToString() for _ in range(2))
    assert first == second
    weights = onnx.load(exported / f"{graph.name}.onnx")
    assert len(weights.graph.node) == len(onnx.load_from_string(first).graph.node)


@pytest.mark.parametrize("opset", [18, 23])
def test_other_opsets_give_the_same(graphs: list[Graph], opset: int, tmp_path: Path) -> None:
    graph = next(graph for graph in graphs if graph.name == "decoder_x2")  # with a look-up
    path = tmp_path / "decoder_x2.onnx"
    path.write_bytes(tracing.trace(graph, opset).SerializeToString())
    tracing.check_file(path)
    assert onnx.load(path).opset_import[0].version == opset
    inputs = draw_inputs(graph, 1, (20, 24))
    found, expected = onnx_runner(tmp_path, 1)("decoder_x2", inputs), torch_runner([graph])
    for name, x in expected("decoder_x2", inputs).items():
        np.testing.assert_allclose(found[name], x, atol=1e-4)


def test_half_precision_is_inside_of_graphs_alone(model: SmallModel, tmp_path: Path) -> None:
    half = SmallModel(CONFIG)
    half.load_state_dict(model.state_dict())
    exact = make_graphs(model, SCALES, STEPS)
    names = ("condition_x4", "decoder_x2")
    for graph in make_graphs(half.eval().half(), SCALES, STEPS):
        if graph.name in names:
            traced = tracing.trace(graph, 20)
            (tmp_path / f"{graph.name}.onnx").write_bytes(traced.SerializeToString())
            kinds = {tensor.data_type for tensor in traced.graph.initializer}
            assert onnx.TensorProto.FLOAT16 in kinds
    compute, expect = onnx_runner(tmp_path, 1), torch_runner(exact)
    for graph in exact:
        if graph.name in names:
            inputs = draw_inputs(graph, 2, (20, 24))
            found = compute(graph.name, inputs)
            for name, x in expect(graph.name, inputs).items():
                assert found[name].dtype == np.float32
                assert 0 < np.abs(found[name] - x).max() / np.ptp(x) < TOLERANCES["float16"] or (
                    name == "body"
                )


def write_two_shots(path: Path, size: tuple[int, int]) -> Path:
    """Nine frames of (height, width) in RGB, of two shots, the first of them moving."""
    generator = np.random.default_rng(5)
    first = generator.integers(0, 255, (*size, 3)).repeat(4, axis=1)
    second = np.full((*size, 3), (200, 40, 10)) + generator.integers(0, 40, (*size, 3))
    frames = [first[:, k : k + size[1]] for k in range(5)] + [second] * 4
    with av.open(path, "w") as output:
        stream = output.add_stream("ffv1", rate=25)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width, stream.pix_fmt = *size, "bgr0"
        for codes in frames:
            frame = VideoFrame.from_ndarray(codes.astype(np.uint8), format="rgb24")
            output.mux(stream.encode(frame.reformat(format="bgr0")))
        output.mux(stream.encode(None))
    return path


def read_codes(path: Path) -> NDArray[np.int64]:
    with av.open(path) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return np.stack(frames).astype(int)


@pytest.mark.parametrize("scale", SCALES)
def test_the_example_gives_the_same_video_without_torch(
    exported: Path, weights: Path, tmp_path: Path, scale: int
) -> None:
    source = write_two_shots(tmp_path / "in.mkv", (37, 51))
    words = ["--model", weights, "--dtype", "float32", "--device", "cpu", "--scale", scale]
    words += ["--vcodec", "ffv1", "--pix-fmt", "bgr0"]
    assert run("upscale", source, tmp_path / "vsr.mkv", *words).exit_code == 0
    target = tmp_path / "example.mkv"
    script = exported / "example" / "run.py"
    code = (
        "import sys, runpy; sys.modules['torch'] = None; sys.modules['vsr_cli'] = None; "
        "sys.path.insert(0, sys.argv[1].rsplit('/', 1)[0]); "
        "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    words = [script, source, target, "--scale", scale, "--threads", 1]
    command = [sys.executable, "-c", code, *map(str, words)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found, expected = read_codes(target), read_codes(tmp_path / "vsr.mkv")
    assert found.shape == expected.shape == (9, 37 * scale, 51 * scale, 3)
    assert np.abs(found - expected).mean() < 0.05


def test_an_export_is_verified_and_harm_is_found(exported: Path, tmp_path: Path) -> None:
    result = run("export", "--verify", exported)
    assert result.exit_code == 0
    assert "checked" in result.stderr
    folder = tmp_path / "ruined"
    shutil.copytree(exported, folder)
    content = bytearray((folder / "weights.bin").read_bytes())
    content[len(content) // 2] ^= 64
    (folder / "weights.bin").write_bytes(content)
    result = run("export", "--verify", folder)
    assert result.exit_code == 7
    assert "weights.bin` is not what was exported" in result.stderr


def ruin_weights(model: object) -> None:
    tensor = next(x for x in model.graph.initializer if len(x.raw_data) > 2000)  # type: ignore[attr-defined]
    values = np.frombuffer(tensor.raw_data, np.float32).copy()
    values[::3] += 1
    tensor.raw_data = values.tobytes()


def ruin_shape(model: object) -> None:
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 5  # type: ignore[attr-defined]


def ruin_domain(model: object) -> None:
    model.graph.node[0].domain = "com.example"  # type: ignore[attr-defined]


def ruin_operator(model: object) -> None:
    node = next(x for x in model.graph.node if x.op_type == "Conv")  # type: ignore[attr-defined]
    node.op_type = "Softplus"
    del node.attribute[:], node.input[1:]


@pytest.mark.parametrize("ruin", [ruin_weights, ruin_operator, ruin_shape, ruin_domain])
def test_a_ruined_graph_is_kept_apart_and_ends_with_7(
    weights: Path,
    exported: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ruin: Callable[[object], None],
) -> None:
    def trace(graph: Graph, opset: int) -> object:
        model = onnx.load(exported / f"{graph.name}.onnx")
        if graph.name == "decoder_x4":
            ruin(model)
        return model

    monkeypatch.setattr(tracing, "trace", trace)
    (tmp_path / "out.failed").mkdir()
    result = run("export", tmp_path / "out", "--model", weights)
    assert result.exit_code == 7, result.stderr
    assert "decoder" in result.stderr
    assert "hint: see `" in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.failed", "out.failed-2"]


@pytest.mark.usefixtures("traced")
def test_the_same_again_is_the_same_bytes_and_gives_way_only_when_asked(
    weights: Path, exported: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    words = ("export", folder, "--model", weights)
    assert run(*words, "--no-check").exit_code == 0
    names = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    assert len(names) == 19
    for name in names:
        assert (folder / name).read_bytes() == (exported / name).read_bytes(), name
    assert run(*words, "--no-check").exit_code == 4
    (folder / "notes.txt").write_text("mine")
    result = run(*words, "-y", "--no-check")
    assert result.exit_code == 0
    assert "nothing was checked" in result.stderr
    assert (folder / "notes.txt").read_text() == "mine"
    assert run("export", "--verify", folder).exit_code == 0


@pytest.mark.usefixtures("traced")
def test_engines_lie_in_the_folder_and_are_taken_again(
    weights: Path, graphs: list[Graph], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = {graph.name: [port.name for port in graph.outputs] for graph in graphs}
    stand_in = install(monkeypatch, torch_runner(graphs), outputs)
    folder = tmp_path / "out"
    words = ("export", folder, "--model", weights, "--engine", "--size", "64x48")
    result = run(*words)
    assert result.exit_code == 0, result.stderr
    assert "12 graphs and 12 engines" in result.stderr
    assert len(stand_in.built) == 12
    assert run("export", "--verify", folder).exit_code == 0
    stand_in.built.clear()
    assert run(*words, "-y").exit_code == 0
    assert stand_in.built == []
    stand_in.__version__ = "11.0"
    result = run("export", "--verify", folder)
    assert result.exit_code == 0
    assert "W_ENGINES_UNCHECKED" in result.stderr
    stand_in.fault = 1.0
    assert run("export", tmp_path / "wrong", *words[2:]).exit_code == 7
    assert (tmp_path / "wrong.failed").is_dir()
