"""`vsr export`: from weights to a folder of graphs that was checked, or a finding why not."""

import importlib.util
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import torch

from vsr_cli.digest import sha256
from vsr_cli.errors import ConfigError, DeviceError, InputError, VerificationError
from vsr_cli.events import Exported, GraphChecked, GraphWritten, Note, Progress, Report
from vsr_cli.export import folder as folders
from vsr_cli.export import texts
from vsr_cli.export.graphs import make_graphs
from vsr_cli.export.manifest import Form, Origin, describe
from vsr_cli.export.vector import Vector, record
from vsr_cli.export.weights_file import WeightsFile
from vsr_cli.models.files import read_header, shipped_weights, weights_dir
from vsr_cli.models.small.model import SmallModel
from vsr_cli.pipeline.restorers.registry import ModelFile
from vsr_cli.pipeline.units.places import cores

if TYPE_CHECKING:
    from vsr_cli.export.engines import TensorRt

VECTOR = "test/vector.npz"
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
OPSETS = range(18, 24)
MOST_STEPS = 1000

ExportDtype = Literal["float32", "float16"]


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """What is exported, and how.

    sizes: (height, width) of sources that engines are built for; none: no engines.
    num_frames: the most in a clip, of engines alone.
    """

    model: Path | None = None  # a weights file; None: the shipped one
    dtype: ExportDtype = "float32"
    opset: int = 20
    steps: int | None = None  # of denoising; None: the model's own default
    check: bool = True  # compute all graphs once more, in onnxruntime
    overwrite: bool = False
    sizes: tuple[tuple[int, int], ...] = field(default=())
    num_frames: int = 8

    def __post_init__(self) -> None:
        if self.opset not in OPSETS:
            raise ConfigError(
                f"`--opset {self.opset}` is out of range",
                hint=f"use {OPSETS[0]} to {OPSETS[-1]}; 20 is what most runtimes know",
            )
        if self.steps is not None and not 1 <= self.steps <= MOST_STEPS:
            raise ConfigError(f"`--steps {self.steps}` is out of range", hint="use 1 to 1000")
        if self.num_frames < 1:
            raise ConfigError(f"`--frames {self.num_frames}` is out of range", hint="use 1 or more")
        if any(min(size) < 16 for size in self.sizes):
            raise ConfigError("`--size` is too small", hint="use WxH, such as 640x480")


def is_installed(name: str) -> bool:
    """Whether there is such a package, without loading it."""
    return importlib.util.find_spec(name) is not None


def require_packages(names: Sequence[str]) -> None:
    """Refuse to begin without a package that comes with the extra `export`.

    Raises:
        ConfigError: it is missing.
    """
    missing = [name for name in names if not is_installed(name)]
    if missing:
        raise ConfigError(
            f"`vsr export` needs {', '.join(f'`{name}`' for name in missing)}",
            why="not installed: they come with the extra `export`",
            hint=f"`pip install {' '.join(missing)}`",
        )


def export(folder: Path, config: ExportConfig, report: Report) -> Exported:
    """Write a model as graphs; see `vsr_cli.api.export`."""
    started = time.monotonic()
    require_packages(PACKAGES if config.check else PACKAGES[:2])
    folders.require_free(folder, overwrite=config.overwrite)
    trt = _find_tensorrt() if config.sizes else None
    path = config.model or shipped_weights()
    work = _Work(folder, config, _load(path), report)
    with folders.made_aside(folder) as temp:
        checks, engines = list[GraphChecked](), 0
        try:
            work.write(temp, path)
            if config.check:
                checks = work.check(temp)
            if trt is not None:
                checks += work.build_engines(trt, temp)
                engines = len(work.graphs)
        except VerificationError as error:
            kept = folders.keep_failed(temp, folder)
            raise VerificationError(
                str(error), why=error.why, hint=f"see `{kept}`, which is not to be used"
            ) from error
        folders.write_manifest(temp, work.manifest)
        num_bytes = sum(one.stat().st_size for one in temp.rglob("*") if one.is_file())
        folders.put_in_place(temp, folder)
    done = Exported(
        folder=str(folder),
        graphs=len(work.graphs),
        engines=engines,
        checks=len(checks),
        num_bytes=num_bytes,
        seconds=round(time.monotonic() - started, 1),
    )
    report(done)
    return done


def verify(folder: Path, report: Report) -> list[GraphChecked]:
    """Compute the test vector of an export once more; see `vsr_cli.api.verify_export`."""
    require_packages(PACKAGES[2:])
    manifest = folders.read_manifest(folder)
    _require_told(folder, manifest)
    folders.require_whole(folder, manifest)
    vector = _read_vector(folder)
    found = _check(folder, vector, manifest, report)
    if "engines" in manifest:
        found += _check_engines(folder, vector, manifest, report)
    return found


def _require_told(folder: Path, manifest: Mapping[str, object]) -> None:
    """Refuse a manifest without what a check needs, as it may have been changed by hand.

    Raises:
        InputError: it is one.
    """
    kinds = {"dtype": str, "sampling": dict, "latent_channels": int}
    missing = [name for name, kind in kinds.items() if not isinstance(manifest.get(name), kind)]
    if missing or manifest["dtype"] not in get_args(ExportDtype):
        raise InputError(
            f"the `{folders.MANIFEST}` of `{folder}` is damaged",
            why=f"`{(missing or ['dtype'])[0]}` is not what `vsr export` writes",
            hint="export it again",
        )


def _check_engines(
    folder: Path, vector: Vector, manifest: Mapping[str, object], report: Report
) -> list[GraphChecked]:
    """Engines, where the GPU is that they were built on."""
    from vsr_cli.export.check import check_engines

    told: Mapping[str, Mapping[str, str]] = manifest["engines"]  # type: ignore[assignment]
    try:
        trt = _find_tensorrt()
    except DeviceError as error:
        why = error.why or str(error)
    else:
        if asdict(trt.gpu) == told["gpu"]:
            paths = {name: folder / file for name, file in told["files"].items()}
            return check_engines(vector, trt, paths, report)
        why = f"they were built for {told['gpu']['name']}, TensorRT {told['gpu']['tensorrt']}"
    report(Note(code="W_ENGINES_UNCHECKED", text=f"engines were not checked: {why}"))
    return []


def _find_tensorrt() -> "TensorRt":
    from vsr_cli.export.engines import TensorRt

    return TensorRt()


def _read_vector(folder: Path) -> Vector:
    try:
        return Vector.read(folder / VECTOR)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise VerificationError(
            f"`{folder / VECTOR}` cannot be read", why=str(error), hint="export it again"
        ) from error


def _check(
    folder: Path, vector: Vector, manifest: Mapping[str, object], report: Report
) -> list[GraphChecked]:
    """All graphs in onnxruntime, one by one and then in their order."""
    from vsr_cli.export.check import (
        ONNXRUNTIME,
        check_calls,
        check_walks,
        onnx_runner,
        require_right,
    )

    run, dtype = onnx_runner(folder, num_threads()), str(manifest["dtype"])
    found = require_right(check_calls(vector, run, ONNXRUNTIME, dtype), report)
    walks = check_walks(vector, manifest, run, ONNXRUNTIME, dtype)
    return found + require_right(walks, report)


class _Work:
    """One export on its way."""

    def __init__(
        self, folder: Path, config: ExportConfig, model: SmallModel, report: Report
    ) -> None:
        self._folder, self._config, self._report = folder, config, report
        self._model = model
        self._steps = config.steps or model.default_steps
        self._exact = make_graphs(model, model.offered_scales, self._steps)
        self.graphs = self._exact
        if config.dtype == "float16":
            half = SmallModel(model.config)
            half.load_state_dict(model.state_dict())
            self.graphs = make_graphs(half.eval().half(), model.offered_scales, self._steps)
        self.manifest: dict[str, object] = {}
        self._vector: Vector | None = None

    def write(self, temp: Path, weights: Path) -> None:
        """Trace all graphs, and write them with all that belongs to them."""
        config, model = self._config, self._model
        origin = Origin(model=weights.stem, sha256=sha256(weights), license=_license_of(weights))
        form = Form(
            dtype=config.dtype, opset=config.opset, steps=self._steps, scales=model.offered_scales
        )
        self.manifest = describe(model, self.graphs, origin, form)
        self._trace(temp)
        for inner in ("test", "example"):
            (temp / inner).mkdir()
        with torch.random.fork_rng(devices=[]):
            self._vector = record(self._exact, self.manifest, model.offered_scales)
        self._vector.write(temp / VECTOR)
        for name, source in (("run", "example"), ("chain", "chain")):
            text = Path(__file__).with_name(f"{source}.py").read_text(encoding="utf-8")
            text = text.replace("from vsr_cli.export.chain import", "from chain import")
            (temp / "example" / f"{name}.py").write_text(text, encoding="utf-8")
        (temp / "README.md").write_text(texts.readme(self.manifest), encoding="utf-8")
        (temp / "LICENSE").write_text(texts.license_text(), encoding="utf-8")

    def _trace(self, temp: Path) -> None:
        from vsr_cli.export.tracing import check_file, trace

        weights = WeightsFile(temp)
        started = time.monotonic()
        for index, graph in enumerate(self.graphs):
            self._tell(index, started)
            model = trace(graph, self._config.opset)
            weights.take(model)
            path = temp / f"{graph.name}.onnx"
            path.write_bytes(model.SerializeToString(deterministic=True))
            check_file(path)
            size, nodes = path.stat().st_size, len(model.graph.node)
            self._report(
                GraphWritten(graph=graph.name, file=path.name, num_bytes=size, nodes=nodes)
            )
        self._tell(len(self.graphs), started)

    def _tell(self, count: int, started: float) -> None:
        self._report(
            Progress(
                stage="export",
                frame=count,
                num_frames=len(self.graphs),
                seconds=time.monotonic() - started,
                unit="graphs",
            )
        )

    def check(self, temp: Path) -> list[GraphChecked]:
        """All graphs in onnxruntime against torch in float32."""
        assert self._vector is not None
        return _check(temp, self._vector, self.manifest, self._report)

    def build_engines(self, trt: "TensorRt", temp: Path) -> list[GraphChecked]:
        """Engines of all graphs, each checked."""
        from vsr_cli.export.check import check_engines
        from vsr_cli.export.engines import Profile, build_engines

        assert self._vector is not None
        sizes = Profile(
            sources=self._config.sizes,
            num_frames=self._config.num_frames,
            scales=self._model.offered_scales,
        )
        paths = build_engines(trt, self.graphs, sizes, temp, self._folder)
        self.manifest |= {
            "engines": {
                **{"gpu": asdict(trt.gpu), "sizes": asdict(sizes)},
                "files": {name: path.relative_to(temp).as_posix() for name, path in paths.items()},
            }
        }
        return check_engines(self._vector, trt, paths, self._report)


def num_threads() -> int:
    """How many threads onnxruntime may use, as torch would."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdecimal() and int(given) else len(cores())


def _load(path: Path) -> SmallModel:
    """The model of a file of weights.

    Raises:
        ConfigError: it is of a family that is not exported.
        WeightsError: missing or damaged.
    """
    file = ModelFile(path)
    if file.family.name != SmallModel.family:
        raise ConfigError(
            f"`{path.stem}` cannot be exported",
            why=f"it is of the family `{file.family.name}`; only the shipped family is written as "
            "graphs",
            hint="leave out `--model`, or name weights of the family `small`",
        )
    model = file.model
    assert isinstance(model, SmallModel)
    return model


def _license_of(path: Path) -> str:
    """Under which terms weights are, as far as is known."""
    told = read_header(path).metadata.get("license")
    if told is None and path.resolve().parent == weights_dir().resolve():
        told = "Apache-2.0"
    return told or "as whoever made them says"
