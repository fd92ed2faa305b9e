"""In what order graphs are called, with what noise, and what is carried on: NumPy alone.

An export has a copy of this file beside its example.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
# (name of a graph, its inputs by name) -> its outputs by name
Run = Callable[[str, Mapping[str, Array]], dict[str, Array]]

_GOLDEN = 0x9E3779B97F4A7C15
_MIX_FIRST = 0xBF58476D1CE4E5B9
_MIX_SECOND = 0x94D049BB133111EB
_WORD = 2**64


class Chain:
    """Restores the clips of a video in order; a shot may be cut into clips anywhere.

    What it carries from clip to clip: the denoiser's past of each step, each step's `kept`, and the
    decoder's memory. A new shot begins without them.
    """

    def __init__(
        self,
        manifest: Mapping[str, object],
        run: Run,
        scale: int,
        *,
        seed: int = 0,
        motion_scale: float = 1.0,
        fidelity: float = 1.0,
    ) -> None:
        """Begin a video.

        Args:
            manifest: `manifest.json`.
            run: calls a graph.
            scale: one of the manifest's.
            seed: of the noise, 0 to 2^63 - 1.
            motion_scale: strength of the pull along the motion; 0: none.
            fidelity: share of the source's features in the picture, 0 to 1.
        """
        sampling: dict[str, list[dict[str, object]]] = manifest["sampling"]  # type: ignore[assignment]
        self._steps = sampling["steps"]
        self._num_pulls = int(str(sampling["pulls"]))
        self._channels = int(str(manifest["latent_channels"]))
        self._run, self._scale, self._seed = run, scale, seed
        graphs: dict[str, dict[str, list[dict[str, object]]]] = manifest["graphs"]  # type: ignore[assignment]
        inputs = graphs[f"decoder_x{scale}"]["inputs"]
        self._filters_source = any(port["name"] == "source" for port in inputs)
        self._strength, self._fidelity = np.float32(motion_scale), np.float32(fidelity)
        self.begin_shot()

    def begin_shot(self) -> None:
        """Forget what was carried."""
        self._past: list[dict[str, Array]] = []  # of each step
        self._kept: list[Array] = []  # likewise
        self._memory: Array | None = None

    def look(self, source: Array) -> dict[str, Array]:
        """What graphs know of padded frames (T, 3, h, w) in [-1, 1]; `body` is what flow is of."""
        return self._run(f"condition_x{self._scale}", {"source": source}) | {"source": source}

    def frames(
        self, first: int, seen: Mapping[str, Array], flow_forward: Array, flow_backward: Array
    ) -> Iterator[Array]:
        """Restore a clip, frame by frame: each (3, H, W) in [-1, 1].

        Args:
            first: index in the video of its first frame.
            seen: of `look`, for all its frames.
            flow_forward: (P, 2, h, w) pixels of `body`, from each frame to the next. P is T, the
                first from the last frame of the clip before, or at the start of a shot T - 1.
            flow_backward: the same, back.
        """
        starts = self._memory is None
        if len(flow_forward) != len(seen["body"]) - starts:
            raise ValueError(f"{len(seen['body'])} frames have {len(flow_forward)} flows")
        motion: dict[str, Array] = {}
        if len(flow_forward):
            pairs = {"flow_forward": flow_forward[None], "flow_backward": flow_backward[None]}
            motion = self._run("motion", pairs)
        latents = self._latents(first, seen, motion)
        for index in range(len(seen["body"])):
            inputs = {
                "latents": latents[:, index],
                "features": seen["features"][index : index + 1],
                "fidelity": np.asarray(self._fidelity),
            }
            if self._filters_source:
                inputs |= {"source": seen["source"][index : index + 1]}
            if self._memory is None:
                decoded = self._run(f"decoder_first_x{self._scale}", inputs)
            else:
                pair = index - starts
                inputs |= {"memory": self._memory, "flow": flow_backward[pair : pair + 1]}
                inputs |= {"visible": motion["body_visible_backward"][:, pair]}
                decoded = self._run(f"decoder_x{self._scale}", inputs)
            self._memory = decoded["new_memory"]
            finish = {name: seen[name][index : index + 1] for name in ("source", "body")}
            finish |= {"residual": decoded["residual"]}
            yield self._run(f"finish_x{self._scale}", finish)["frame"][0]

    def _latents(self, first: int, seen: Mapping[str, Array], motion: Mapping[str, Array]) -> Array:
        """Clean latents (1, T, L, h, w), sampled."""
        levels = {f"level{n}": seen[f"level{n}"] for n in range(3)}
        count, _, height, width = levels["level0"].shape
        frames = range(first, first + count)

        def noise(step: int) -> Array:
            return keyed_noise(self._seed, frames, step, self._channels, height, width)[None]

        pull = self._pull(motion, (height, width))
        nothing = np.zeros((self._num_pulls, 1, 1, self._channels, height, width), np.float32)
        before, past = self._kept, self._past
        self._kept, self._past = [], []
        latents = noise(0)
        for index, step in enumerate(self._steps):
            log_snr = np.array([step["log_snr"]], np.float32)
            inputs = {"noisy_latents": latents, "log_snr": log_snr, **levels}
            inputs |= past[index] if past else {}
            predicted = self._run("denoiser" if past else "denoiser_first", inputs)
            v = predicted.pop("v")
            self._past.append({name.removeprefix("new_"): x for name, x in predicted.items()})
            is_last = index == len(self._steps) - 1
            inputs = {
                "noisy_latents": latents,
                "v": v,
                "previous": before[index] if before else nothing,
                "noise": np.zeros_like(latents) if is_last else noise(index + 1),
                "coefficients": np.array(step["coefficients"], np.float32),
            }
            stepped = self._run("step", {**inputs, **pull})
            latents = stepped["next_latents"]
            self._kept.append(stepped["kept"])
        return latents

    def _pull(self, motion: Mapping[str, Array], size: tuple[int, int]) -> dict[str, Array]:
        """What every step is told of the motion: pair t leads from frame t - 1 to frame t."""
        pull: dict[str, Array] = {"strength": np.asarray(self._strength)}
        for name, channels in (("flow", 2), ("visible", 1)):
            for way in ("forward", "backward"):
                found = motion.get(f"latent_{name}_{way}")
                # Before the first frame of a shot there is none, and nothing of it is visible.
                none = np.zeros((1, 0 if self._kept else 1, channels, *size), np.float32)
                parts = [none] if found is None else [none, found]
                pull[f"{name}_{way}"] = np.concatenate(parts, axis=1)
        return pull


def keyed_noise(
    seed: int, frames: Sequence[int], step: int, channels: int, height: int, width: int
) -> Array:
    """Standard normal noise as a function of (seed, frame, step, channel, row, column).

    word = mix(key(seed, frame, step) + G (pair 2^48 + row 2^24 + column)) modulo 2^64, where
    channels 2 pair and 2 pair + 1 are both halves of Box and Muller's transform of one word, and
    mix is the finaliser of SplitMix64.

    Returns:
        (T, channels, height, width) float32.
    """
    keys = np.array([_frame_key(seed, frame, step) for frame in frames], np.uint64)
    pair, row, column = (
        np.arange(count, dtype=np.uint64) * np.uint64((unit * _GOLDEN) % _WORD)
        for count, unit in (((channels + 1) // 2, 2**48), (height, 2**24), (width, 1))
    )
    places = pair[:, None, None] + row[:, None] + column
    words = _mix(keys[:, None, None, None] + places)
    upper, lower = words >> np.uint64(32), words & np.uint64(2**32 - 1)
    uniform = (upper.astype(np.float32) + np.float32(0.5)) * np.float32(2.0**-32)
    radius = np.sqrt(np.maximum(np.float32(-2) * np.log(uniform), np.float32(0)))
    angle = lower.astype(np.float32) * np.float32(2 * math.pi * 2.0**-32)
    both = np.stack((radius * np.cos(angle), radius * np.sin(angle)), axis=2)
    found: Array = both.reshape(len(keys), -1, height, width)[:, :channels]
    return found


def _frame_key(seed: int, frame: int, step: int) -> int:
    """Each of the three adds to it: key = mix(key + (value + 1) G), from 0."""
    key = 0
    for value in (seed, frame, step):
        key = (key + (value + 1) * _GOLDEN) % _WORD
        key = (key ^ (key >> 30)) * _MIX_FIRST % _WORD
        key = (key ^ (key >> 27)) * _MIX_SECOND % _WORD
        key ^= key >> 31
    return key


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64; products wrap around."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(_MIX_FIRST)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(_MIX_SECOND)
    found: NDArray[np.uint64] = x ^ (x >> np.uint64(31))
    return found
