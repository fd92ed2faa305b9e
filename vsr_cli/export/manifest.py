"""`manifest.json`: all that another program needs to call the graphs and get the same video."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from vsr_cli import __version__
from vsr_cli.config import Chain, SamplerConfig, UpscaleConfig
from vsr_cli.diffusion.sampler import guidance_rounds
from vsr_cli.diffusion.schedule import keyed_noise, make_scheduler
from vsr_cli.export.graphs import Graph
from vsr_cli.export.shapes import DIMENSIONS, Port
from vsr_cli.models.small.model import SmallModel, lr_multiple

FORMAT = "vsr-export"
FORMAT_VERSION = 2  # changes where a program that reads the manifest must

NOISE = (
    "all arithmetic on words is modulo 2^64; G = 0x9E3779B97F4A7C15",
    "mix(x): x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9; x = (x ^ (x >> 27)) * 0x94D049BB133111EB; "
    "x ^ (x >> 31)",
    "key = 0; for value in (seed, frame, draw): key = mix(key + (value + 1) * G)",
    "word = mix(key + G * (pair * 2^48 + row * 2^24 + column)), pair = channel / 2, rounded down",
    "upper = the upper 32 bits of the word, lower = the lower 32 bits; in float32:",
    "radius = sqrt(max(0, -2 log((upper + 0.5) * 2^-32))), angle = lower * (2 pi 2^-32)",
    "noise = radius * cos(angle) in even channels, radius * sin(angle) in odd ones",
    "frame counts from 0 through the whole video, whatever its shots and clips; draw 0 starts the "
    "chain, draw k + 1 follows step k, and after the last step there is none: zeros",
)
FLOW = (
    "from neighbouring frames of `body`: code = round((luma + 1) * 127.5) of 0 to 255, luma = "
    "0.299 R + 0.587 G + 0.114 B",
    "sides below 32 are padded to 32 by repeating the right and the bottom edge, and flow is cut",
    "dense inverse search (arXiv 1603.03590): cv::DISOpticalFlow, PRESET_MEDIUM, no initial flow, "
    "cv::setNumThreads(1), because with more threads its result is another",
    "flow_forward[t] from frame t to t+1, flow_backward[t] from t+1 to t; pixels of `body`, "
    "channel 0 to the right, 1 down",
    "bodies of more than 2560 x 1440 pixels are reduced to half (bicubic, anti-aliased), and flow "
    "is enlarged (linear) and doubled",
)
CUTS = (
    "everything that is carried is forgotten where a shot ends; where that is may be your choice. "
    "`vsr upscale` compares neighbouring frames at 64 x 36 (means of areas), as `example/run.py` "
    "does in `is_cut`",
)
SOURCE = (
    "RGB as it is displayed, non-linear, 0 to 1, times 2 minus 1, float32",
    "padded at the right and the bottom to multiples of `source_multiple` by repeating the edge; "
    "frames of the target are cut to source times scale",
    "float32 frames are rounded once, when they become codes of the target",
)
ORDER = (
    "for each clip of neighbouring frames, at least one, of one shot:",
    "1. condition_xN of its frames; flow between bodies, from the last one of the clip before (of "
    "the same shot) on: T pairs, or T - 1 at the start of a shot",
    "2. motion of these pairs, if there are any",
    "3. noisy_latents = noise of draw 0; then for every step k of `sampling.steps`:",
    "3a. denoiser with the past of step k, or denoiser_first at the start of a shot; carry each "
    "new_past as the past of step k",
    "3b. step with `previous` = `kept` of step k of the clip before, or zeros; the latent maps of "
    "`motion`, at the start of a shot with a pair 0 of zeros before them; noise of draw k + 1, or "
    "zeros at the last step; coefficients of step k; carry `kept`; next_latents are the next "
    "noisy_latents, and after the last step the latents",
    "4. for each frame: decoder_xN with the memory, flow_backward and body_visible_backward of the "
    "pair that ends at it, or decoder_first_xN for the first frame of a shot; both with the source "
    "where they have such an input; carry new_memory",
    "5. finish_xN of its residual, source and body",
)
CARRIED = (
    "from clip to clip of a shot: past0..4 of every step, kept of every step, memory, and the last "
    "body; where clips are cut changes nothing",
)


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What an export was made of.

    model: name of the file of weights.
    sha256: of it.
    license: of the weights.
    """

    model: str
    sha256: str
    license: str


@dataclass(frozen=True, kw_only=True)
class Form:
    """How the graphs of an export are.

    dtype: what networks compute in.
    opset: of ONNX.
    steps: of denoising.
    scales: enlargements, descending.
    """

    dtype: str
    opset: int
    steps: int
    scales: tuple[int, ...]


def describe(
    model: SmallModel, graphs: Sequence[Graph], origin: Origin, form: Form
) -> dict[str, object]:
    """Everything of a manifest but the files of the folder and their digests.

    Args:
        model: of the graphs.
        graphs: in order.
        origin: what they were made of.
        form: how they are.
    """
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "vsr": __version__,
        **asdict(origin),
        "dtype": form.dtype,
        "opset": form.opset,
        "latent_channels": model.latent_channels,
        "scales": {
            str(scale): {
                "source_multiple": lr_multiple(scale),
                "condition": f"condition_x{scale}",
                "decoder": f"decoder_x{scale}",
                "decoder_first": f"decoder_first_x{scale}",
                "finish": f"finish_x{scale}",
            }
            for scale in form.scales
        },
        "defaults": {
            "seed": SamplerConfig.seed,
            "strength": SamplerConfig.motion_scale,
            "fidelity": UpscaleConfig.fidelity,
        },
        "sampling": _sampling(form.steps, model.chain(form.steps)),
        "dimensions": dict(DIMENSIONS),
        "graphs": {
            graph.name: {
                "file": f"{graph.name}.onnx",
                "inputs": [_port(port) for port in graph.inputs],
                "outputs": [_port(port) for port in graph.outputs],
            }
            for graph in graphs
        },
        "source": list(SOURCE),
        "order": list(ORDER),
        "carried": list(CARRIED),
        "cuts": list(CUTS),
        "flow": list(FLOW),
        "noise": {"rules": list(NOISE), "examples": _noise_examples()},
    }


def _sampling(steps: int, chain: Chain) -> dict[str, object]:
    """Times, and what the graphs are told at each."""
    scheduler = make_scheduler(steps, chain)
    times = scheduler.timesteps.tolist()
    rows = []
    for index, time in enumerate(times):
        now = float(scheduler.alphas_cumprod[time])
        is_last = index == len(times) - 1
        after = 1.0 if is_last else float(scheduler.alphas_cumprod[times[index + 1]])
        ratio = now / after
        size = scheduler.latent_scale if is_last else 1.0
        clamped = scheduler.alphas_cumprod[time].clamp_min(1e-9)
        rows.append(
            {
                "time": time,
                "alpha": now,
                "alpha_after": after,
                "log_snr": float(clamped.logit()),
                "coefficients": [
                    math.sqrt(now),
                    math.sqrt(1 - now),
                    math.sqrt(after) * (1 - ratio) / (1 - now) * size,
                    math.sqrt(ratio) * (1 - after) / (1 - now),
                    scheduler.sigma(time),
                ],
            }
        )
    return {
        "pulls": guidance_rounds(steps),
        "equations": [
            "x0 = c0 x - c1 v, pulled along the flow as often as `pulls` says",
            "next x = c2 x0 + c3 x + c4 noise, c = `coefficients`",
        ],
        "steps": rows,
    }


def _port(port: Port) -> dict[str, object]:
    return {
        "name": port.name,
        "type": "float32",
        "shape": list(port.shape),
        "meaning": port.meaning,
    }


def _noise_examples() -> list[dict[str, object]]:
    """Eight numbers to try an implementation with."""
    places = [(0, 0, 0, 0, 0, 0), (0, 0, 0, 1, 0, 0), (0, 0, 0, 0, 0, 1), (0, 0, 0, 2, 5, 7)]
    places += [(0, 1, 0, 0, 0, 0), (0, 1, 3, 3, 11, 2), (7, 123, 1, 1, 4, 300)]
    places += [(2**63 - 1, 99_999, 4, 0, 1000, 2000)]
    found = []
    for seed, frame, draw, channel, row, column in places:
        field = keyed_noise(
            seed,
            frames=[frame],
            step=draw,
            channels=channel + 1,
            rows=range(row, row + 1),
            columns=range(column, column + 1),
        )
        where: Mapping[str, object] = {
            **{"seed": seed, "frame": frame, "draw": draw},
            **{"channel": channel, "row": row, "column": column},
        }
        found.append({**where, "noise": round(float(field[0, channel, 0, 0]), 6)})
    return found
