"""A small video and all that graphs make of it, to check them with wherever they run."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vsr_cli.export.chain import Array, Chain, Run
from vsr_cli.export.graphs import Graph
from vsr_cli.models.small.model import BODY_STRIDE

_BODY = (26, 34)  # (height, width); levels of the denoiser have odd sides
_CLIPS = (2, 1)  # frames of each
_SPEED = 1.25  # pixels of the body that the picture moves to the right, from frame to frame


@dataclass(frozen=True)
class Call:
    """One call of a graph."""

    graph: str
    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]


@dataclass(frozen=True)
class Walk:
    """A video of three frames, in two clips of one shot, and what it becomes.

    source: (3, 3, h, w) RGB in [-1, 1].
    flow_forward, flow_backward: (2, 2, H, W) pixels of the body.
    frames: (3, 3, 4H, 4W) RGB in [-1, 1].
    """

    scale: int
    source: Array
    flow_forward: Array
    flow_backward: Array
    frames: Array


@dataclass(frozen=True)
class Vector:
    """The first call of every graph, and a whole video of each scale."""

    calls: tuple[Call, ...]
    walks: tuple[Walk, ...]

    def write(self, path: Path) -> None:
        """Write all of it into one `.npz`."""
        arrays: dict[str, Array] = {}
        for call in self.calls:
            arrays |= {f"call/{call.graph}/in/{name}": x for name, x in call.inputs.items()}
            arrays |= {f"call/{call.graph}/out/{name}": x for name, x in call.outputs.items()}
        for walk in self.walks:
            names = ("source", "flow_forward", "flow_backward", "frames")
            arrays |= {f"walk/{walk.scale}/{name}": getattr(walk, name) for name in names}
        np.savez_compressed(path, **arrays)  # type: ignore[arg-type]  # which takes other keywords

    @classmethod
    def read(cls, path: Path) -> "Vector":
        """Read what `write` wrote.

        Raises:
            OSError, ValueError, KeyError: it is something else.
        """
        inputs: dict[str, dict[str, Array]] = {}
        outputs: dict[str, dict[str, Array]] = {}
        walks: dict[int, dict[str, Array]] = {}
        with np.load(path, allow_pickle=False) as file:
            for key in file.files:
                kind, owner, *rest = key.split("/")
                if kind == "walk":
                    walks.setdefault(int(owner), {})[rest[0]] = file[key]
                else:
                    side = inputs if rest[0] == "in" else outputs
                    side.setdefault(owner, {})[rest[1]] = file[key]
        return cls(
            tuple(Call(graph, inputs[graph], outputs[graph]) for graph in outputs),
            tuple(Walk(scale, **arrays) for scale, arrays in walks.items()),
        )


def vector_size(scale: int) -> tuple[int, int]:
    """(height, width) of the small videos."""
    return _BODY[0] * BODY_STRIDE // scale, _BODY[1] * BODY_STRIDE // scale


def torch_runner(graphs: Sequence[Graph]) -> Run:
    """Calls the modules that the graphs were made of."""
    by_name = {graph.name: graph for graph in graphs}

    def run(name: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
        graph = by_name[name]
        values = [torch.from_numpy(np.array(inputs[port.name])) for port in graph.inputs]
        with torch.inference_mode():
            found = graph.module(*values)
        outputs = [found] if isinstance(found, torch.Tensor) else found
        names = [port.name for port in graph.outputs]
        return {name: x.numpy().copy() for name, x in zip(names, outputs, strict=True)}

    return run


def record(
    graphs: Sequence[Graph], manifest: Mapping[str, object], scales: Sequence[int]
) -> Vector:
    """Restore a small video of each scale, and note the first call of every graph.

    Args:
        graphs: whose modules compute in float32.
        manifest: what `Chain` is told.
        scales: of the graphs.
    """
    calls: dict[str, Call] = {}
    compute = torch_runner(graphs)

    def run(name: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
        outputs = compute(name, inputs)
        calls.setdefault(name, Call(name, dict(inputs), dict(outputs)))
        return outputs

    walks = []
    for scale in scales:
        source, forward, backward = _draw(scale)
        frames = np.stack(list(walk_through(manifest, run, scale, source, forward, backward)))
        walks.append(Walk(scale, source, forward, backward, frames))
    return Vector(tuple(calls.values()), tuple(walks))


def walk_through(
    manifest: Mapping[str, object],
    run: Run,
    scale: int,
    source: Array,
    flow_forward: Array,
    flow_backward: Array,
) -> Iterator[Array]:
    """Restore a video of one shot in two clips, with flow that is known.

    Args:
        manifest: of the graphs.
        run: calls them.
        scale: of the video.
        source: as in `Walk`, like the rest.
        flow_forward: to each next frame.
        flow_backward: and back.
    """
    chain = Chain(manifest, run, scale)
    first = 0
    for count in _CLIPS:
        seen = chain.look(source[first : first + count])
        pairs = slice(max(first - 1, 0), first + count - 1)
        yield from chain.frames(first, seen, flow_forward[pairs], flow_backward[pairs])
        first += count


def _draw(scale: int) -> tuple[Array, Array, Array]:
    """Waves and noise that move to the right, and their flow, of which a part is wrong."""
    generator = np.random.default_rng(0)
    height, width = vector_size(scale)
    rows, columns = np.mgrid[:height, :width] * (scale / BODY_STRIDE)
    frames = []
    for index in range(sum(_CLIPS)):
        x, y = columns - _SPEED * index, rows
        angles = 0.9 * x + 0.2 * y, 0.5 * y - 0.7 * x, 0.3 * x * (1 + y / 40)
        waves = [np.sin(angle) for angle in angles]
        noise = 0.1 * generator.standard_normal((3, height, width))
        frames.append(np.clip(0.6 * np.stack(waves) + noise, -1, 1))
    flow = np.zeros((sum(_CLIPS) - 1, 2, *_BODY))
    flow[:, 0] = _SPEED
    wrong = 0.1 * generator.standard_normal((2, *flow.shape))
    wrong[..., : _BODY[0] // 3, : _BODY[1] // 3] += 3 * generator.standard_normal()
    source, forward, backward = (
        x.astype(np.float32) for x in (np.stack(frames), flow + wrong[0], wrong[1] - flow)
    )
    return source, forward, backward
