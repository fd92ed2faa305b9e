"""Each layer can be read, tested and thrown away without the layers above it."""

import ast
import sys
import tomllib
from functools import lru_cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "vsr_cli"
FILES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))
MAX_LINES = 400

BASE = {
    "atomic",
    "cancellation",
    "config",
    "counting",
    "digest",
    "errors",
    "events",
    "exit_codes",
    "pixels",
    "repair_config",
    "sharing",
    "sizes",
    "stdio",
}

# Which parts of vsr_cli a layer may import beside itself; `a.b` allows that module alone.
MAY_IMPORT = {
    "": BASE | {"api", "cli", "settings"},  # __init__, __main__
    "options": {"config", "errors", "pixels", "repair_config", "sharing", "sizes"}
    | {"models.files", "option_types", "repair_options", "values"},
    "option_types": {"errors"},
    "values": {"config", "errors"},
    "repair_options": {"config", "errors", "repair_config"},
    "repair_config": {"errors"},
    "settings": {"errors", "events", "options", "settings_file"},
    "settings_file": set[str](),
    "api": BASE
    | {
        "options",
        "option_types",
        "values",
        "repair_options",
        "settings",
        "media",
        "models",
        "pipeline",
        "quality",
    }
    | {"evaluation", "export", "viewing"},
    "export": BASE | {"ops", "models", "diffusion", "pipeline"},
    "evaluation": BASE | {"options", "ops", "media", "models", "pipeline", "quality"},
    "viewing": BASE
    | {
        "options",
        "option_types",
        "repair_options",
        "ops",
        "media",
        "models",
        "pipeline",
        "quality",
    },
    "atomic": set[str](),
    "digest": set[str](),
    "config": {"counting", "errors", "pixels", "repair_config", "sharing", "sizes"},
    "counting": set[str](),
    "sharing": {"errors"},
    "events": {"errors"},
    "errors": {"exit_codes"},
    "exit_codes": set[str](),
    "pixels": {"errors"},
    "cancellation": set[str](),
    "sizes": {"errors"},
    "stdio": set[str](),
    "media": BASE,
    "ops": BASE,
    "models": BASE | {"ops"},
    "diffusion": BASE | {"ops"},
    "quality": BASE | {"ops", "media", "models.flow", "models.rim"},
    "pipeline": BASE | {"ops", "media", "models", "diffusion"},
    "training": BASE | {"ops", "media", "models", "diffusion", "quality"},
    "cli": BASE | {"api", "options", "settings", "ops", "media", "models", "quality", "pipeline"},
}

# Which packages from outside a layer may import beside the standard library.
MAY_USE = {
    "api": {"numpy", "torch"},  # for their types
    "evaluation": {"torch"},  # likewise
    "export": {"torch", "numpy"},
    "media": {"av", "numpy", "PIL"},
    "viewing": {"av", "numpy", "torch", "PIL"},
    "ops": {"torch"},
    "models": {"torch", "torchvision", "diffusers", "safetensors"},
    "diffusion": {"torch"},
    "quality": {"torch", "torchvision", "safetensors", "PIL"},
    "pipeline": {"torch", "numpy", "safetensors", "filelock"},
    "training": {"torch", "torchvision", "safetensors", "numpy", "typer", "PIL"},
    "cli": {"typer", "rich", "platformdirs"},
}

# Single modules that may use more, and what for.
EXCEPTIONS = {
    "models/flow.py": {"cv2", "numpy"},  # DIS flow
    "ops/dirt.py": {"cv2", "numpy"},  # connected places, template matching
    "ops/fill.py": {"cv2", "numpy"},  # wider masks
    "ops/interpolate.py": {"cv2", "numpy"},  # median filters
    "models/rim.py": {"cv2", "numpy"},  # Telea's fill
    "quality/denoisers.py": {"cv2", "numpy"},  # non-local means, a yardstick
    "pipeline/cluster/connection.py": {"ray"},  # loads when a cluster is asked for
    "pipeline/speed.py": {"platformdirs"},  # where speeds are kept
    "settings.py": {"platformdirs"},  # where the user's settings lie
    "models/files.py": {"platformdirs"},  # where the user's weights lie
    "models/download.py": {"huggingface_hub"},  # the only one that opens a connection
    "export/tracing.py": {"onnx"},  # what the extra `export` installs
    "export/weights_file.py": {"onnx"},  # for its types
    "export/check.py": {"onnxruntime"},
    "export/example.py": {"onnxruntime", "av", "cv2"},  # copied, and run by itself
    "cli/demo_clip.py": {"av", "numpy", "PIL"},  # the demo draws and writes its own clip
}

# Parts of one layer that know nothing of each other.
APART = [("media/reading", "media/writing"), ("media/writing", "media/reading")]

# What `vsr --help` loads: nothing of these may import a layer before a command runs.
LAZY = {"media", "ops", "models", "diffusion", "quality", "pipeline", "training", "viewing"}
LAZY |= {"export"}


def layer_of(path: Path) -> str:
    if len(path.parts) > 1:
        return path.parts[0]
    return "" if path.stem.startswith("__") else path.stem


def imported_names(tree: ast.AST) -> set[str]:
    """Every module a file imports anywhere, and the names taken from it, with dots."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module or ''}.{alias.name}" for alias in node.names}
    return names


def may_import(layer: str, name: str) -> bool:
    """Whether a layer may import `name`, such as `vsr_cli.models.flow.DisFlow`."""
    parts = name.split(".")[1:]
    if parts in (["__version__"], []):
        return True
    allowed = MAY_IMPORT[layer] | {layer}
    return parts[0] in allowed or ".".join(parts[:2]) in allowed


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_follow_the_layers(path: Path) -> None:
    layer = layer_of(path)
    names = imported_names(ast.parse((PACKAGE / path).read_text()))
    inside = {name for name in names if name.split(".")[0] == "vsr_cli"}
    outside = {name.split(".")[0] for name in names - inside} - sys.stdlib_module_names

    assert {name for name in inside if not may_import(layer, name)} == set()
    assert outside - MAY_USE.get(layer, set()) - EXCEPTIONS.get(path.as_posix(), set()) == set()


@pytest.mark.parametrize(("part", "other"), APART)
def test_parts_that_are_apart_never_reach_each_other(part: str, other: str) -> None:
    own = {path for path in FILES if path.is_relative_to(part)}
    assert {path.as_posix() for path in reached_from(own) if path.is_relative_to(other)} == set()


@pytest.mark.parametrize("path", [path for path in FILES if layer_of(path) == "pipeline"], ids=str)
def test_a_family_is_known_to_its_own_restorer_alone_and_a_restorer_to_no_resuming(
    path: Path,
) -> None:
    names = imported_names(ast.parse((PACKAGE / path).read_text()))
    across = {name.removeprefix("vsr_cli.") for name in names if crosses_families(path, name)}
    assert across == set()


def crosses_families(path: Path, name: str) -> bool:
    """Whether a file of the pipeline that imports `name` reaches into a family not its own.

    A family is `models/<family>` and `pipeline/restorers/<family>`. Files outside of all families
    may import any restorer, except those that resume jobs.
    """
    restorers = Path("pipeline/restorers")
    families = {file.parent.name for file in FILES if file.parent.parent == restorers}
    own = path.parent.name if path.parent.parent == restorers else None
    for family in families - {own}:
        if name.startswith(f"vsr_cli.models.{family}."):
            return True
        if own is not None and name.startswith(f"vsr_cli.pipeline.restorers.{family}."):
            return True
    return path.is_relative_to("pipeline/resume") and name.startswith("vsr_cli.pipeline.restorers.")


@pytest.mark.parametrize("path", FILES, ids=str)
def test_no_file_imports_itself_by_way_of_others(path: Path) -> None:
    assert path not in reached_from({path})


def reached_from(files: set[Path]) -> set[Path]:
    """The files of vsr_cli that these import, and those that they import, and so on."""
    reached = set[Path]()
    waiting = list(files)
    while waiting:
        found = imported_files(waiting.pop()) - reached
        reached |= found
        waiting += found
    return reached


@lru_cache
def imported_files(path: Path) -> frozenset[Path]:
    """The files of vsr_cli that a file of it imports anywhere."""
    names = imported_names(ast.parse((PACKAGE / path).read_text()))
    found = set[Path]()
    for name in names:
        if name.startswith("vsr_cli."):
            parts = name.split(".")[1:]  # a module, or something in one
            found |= {Path("/".join(parts) + ".py"), Path("/".join(parts[:-1]) + ".py")}
    return frozenset(found.intersection(FILES))


def test_the_guard_sees_forbidden_imports() -> None:
    assert not may_import("models", "vsr_cli.diffusion.schedule.make_scheduler")
    assert not may_import("diffusion", "vsr_cli.models.flow.DisFlow")
    assert not may_import("quality", "vsr_cli.models.weights.load_weights")
    assert may_import("quality", "vsr_cli.models.flow.DisFlow")
    small, mgld = (Path(f"pipeline/restorers/{name}/restorer.py") for name in ("small", "mgld"))
    assert crosses_families(small, "vsr_cli.models.mgld.model.MgldModel")
    assert crosses_families(mgld, "vsr_cli.pipeline.restorers.small.stages.ClipState")
    assert not crosses_families(mgld, "vsr_cli.models.mgld.model.MgldModel")
    assert crosses_families(Path("pipeline/clips.py"), "vsr_cli.models.small.model.SmallModel")
    assert crosses_families(Path("pipeline/resume/job.py"), "vsr_cli.pipeline.restorers.registry.x")
    lazy = ast.parse("def f():\n    from vsr_cli.cli import app\n    import click.core")
    assert imported_names(lazy) == {"vsr_cli.cli.app", "click.core"}


@pytest.mark.parametrize("path", FILES, ids=str)
def test_files_stay_short(path: Path) -> None:
    assert (PACKAGE / path).read_text().count("\n") <= MAX_LINES


@pytest.mark.parametrize("path", [path for path in FILES if layer_of(path) == "cli"], ids=str)
def test_the_command_line_loads_other_layers_inside_commands_only(path: Path) -> None:
    tree = ast.parse((PACKAGE / path).read_text())
    at_import = [
        node
        for node in tree.body
        if not isinstance(node, ast.FunctionDef) and not is_for_types_alone(node)
    ]
    names = imported_names(ast.Module(at_import, []))
    assert {name for name in names if name.split(".")[:1] == ["vsr_cli"] and is_lazy(name)} == set()


def is_for_types_alone(node: ast.stmt) -> bool:
    """Whether this is `if TYPE_CHECKING:`, which never runs."""
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def is_lazy(name: str) -> bool:
    return name.split(".")[1:2] != [] and name.split(".")[1] in LAZY


def test_every_package_is_listed_for_installation() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {path.parent for path in PACKAGE.rglob("__init__.py")}
    found = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    assert set(listed) == found | {"vsr_cli._weights"}
