"""What an export tells people: its README and its licence."""

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

_README = """\
# `{model}` as ONNX graphs

Made by vsr {vsr} with `vsr export`. Any program that runs ONNX can enlarge video with these files;
no Python is needed. In- and outputs are float32, networks compute in {dtype}, opset {opset}; only
standard operators are used. All graphs share `weights.bin`, which must lie beside them.

| graph | takes | gives |
|---|---|---|
{table}

Lengths that are names may change from call to call:

{dimensions}

Flow between frames, the noise and the order of calls are the caller's; `manifest.json` writes
them out, so that another program gives the same video, up to rounding:

{order}

## Example

    pip install onnxruntime numpy av opencv-python-headless
    python example/run.py SOURCE TARGET

`example/chain.py` is the order of calls and the noise, in NumPy alone; `example/run.py` adds flow,
cuts and files. `test/vector.npz` holds a small video and the first call of every graph with what it
gave in torch, as `call/GRAPH/in/NAME`, `call/GRAPH/out/NAME` and `walk/SCALE/NAME`;
`vsr export --verify FOLDER` computes all of it again in onnxruntime.

## Licence

The graphs and the example are under the Apache License 2.0, see `LICENSE`. For the
weights: {license}.
"""
_NOTICE = """\
The graphs and the example of this folder are under the Apache License, Version 2.0:
https://www.apache.org/licenses/LICENSE-2.0
"""


def readme(manifest: Mapping[str, object]) -> str:
    """The README of an export, from its manifest."""
    graphs: Mapping[str, Mapping[str, list[Mapping[str, object]]]] = manifest["graphs"]  # type: ignore[assignment]
    rows = [
        f"| `{name}.onnx` | {_list(graph['inputs'])} | {_list(graph['outputs'])} |"
        for name, graph in graphs.items()
    ]
    dimensions: Mapping[str, str] = manifest["dimensions"]  # type: ignore[assignment]
    order: list[str] = manifest["order"]  # type: ignore[assignment]
    values = {key: manifest[key] for key in ("model", "vsr", "dtype", "opset", "license")}
    return _README.format(
        **values,
        table="\n".join(rows),
        dimensions="\n".join(f"- `{name}`: {meaning}" for name, meaning in dimensions.items()),
        order="\n".join(f"- {line}" for line in order),
    )


def license_text() -> str:
    """The licence that this package is under, or where it is found."""
    beside = Path(__file__).resolve().parents[2] / "LICENSE"
    if beside.is_file():
        return beside.read_text(encoding="utf-8")
    try:
        text = metadata.distribution("vsr-cli").read_text("licenses/LICENSE")
    except metadata.PackageNotFoundError:
        text = None
    return text or _NOTICE


def _list(ports: list[Mapping[str, object]]) -> str:
    """Names and shapes, as `source (frames, 3, source_h, source_w)`."""
    shapes = [", ".join(str(n) for n in _lengths(port)) for port in ports]
    pairs = zip(ports, shapes, strict=True)
    return "; ".join(f"`{port['name']}` ({shape})" for port, shape in pairs)


def _lengths(port: Mapping[str, object]) -> list[object]:
    found = port["shape"]
    assert isinstance(found, list)
    return found
