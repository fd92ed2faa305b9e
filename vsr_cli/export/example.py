"""Enlarges a video with the exported graphs: onnxruntime, NumPy, PyAV and OpenCV, without torch.

    python example/run.py SOURCE TARGET [--scale N] [--seed N] [--threads N]

A pattern to copy, no player: it reads the picture as 8-bit RGB and writes FFV1, without sound.
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import onnxruntime
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from vsr_cli.export.chain import Array, Chain

Codes = NDArray[np.uint8]

CLIP_LENGTH = 8  # frames computed together; changes memory, not the picture
LUMA = np.array([0.299, 0.587, 0.114], np.float32)[:, None, None]


class Sessions:
    """The graphs of a folder, each opened when it is first called."""

    def __init__(self, folder: Path, threads: int) -> None:
        self._folder = folder
        self._options = onnxruntime.SessionOptions()
        self._options.intra_op_num_threads = threads
        self._sessions: dict[str, onnxruntime.InferenceSession] = {}

    def run(self, name: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Call a graph."""
        if name not in self._sessions:
            self._sessions[name] = onnxruntime.InferenceSession(
                self._folder / f"{name}.onnx", self._options, providers=["CPUExecutionProvider"]
            )
        session = self._sessions[name]
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, dict(inputs)), strict=True))


def find_flow(earlier: Array, later: Array) -> Array:
    """Dense inverse search from one body (3, h, w) to another: (2, h, w) pixels."""
    codes = []
    for body in (earlier, later):
        luma = (body * LUMA).sum(axis=0)
        code = np.rint((luma + 1) * np.float32(127.5)).clip(0, 255).astype(np.uint8)
        height, width = code.shape
        codes.append(np.pad(code, ((0, max(32 - height, 0)), (0, max(32 - width, 0))), mode="edge"))
    if height * width > 2560 * 1440:
        raise SystemExit("this example finds no motion in targets that large")
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow = search.calc(codes[0], codes[1], np.empty((0, 0), np.float32))
    found: Array = flow[:height, :width].transpose(2, 0, 1).astype(np.float32)
    return found


def is_cut(before: Codes, after: Codes) -> bool:
    """Whether a shot ends between two frames (h, w, 3); `cuts` of the manifest tells how."""
    pair = np.stack([thumbnail(before), thumbnail(after)])  # (2, 3, 36, 64) in [0, 1]
    light = (pair * LUMA).sum(axis=1)
    levels = np.minimum((pair * 4).astype(int), 3)
    colours = (levels[:, 0] * 4 + levels[:, 1]) * 4 + levels[:, 2]
    counts = [np.bincount(one.ravel(), minlength=64) / one.size for one in colours]
    histogram = 0.1 * np.abs(counts[0] - counts[1]).sum() / 2
    if np.abs(light[0] - light[1]).mean() + histogram <= 0.062:
        return False
    padded = np.pad(light[0], ((9, 9), (16, 16)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (9, 8))
    least, likest = [], []
    for y in range(0, 36, 9):
        for x in range(0, 64, 8):
            block, near = light[1][y : y + 9, x : x + 8], windows[y : y + 19, x : x + 33]
            least.append(np.abs(near - block).mean((2, 3)).min())
            centred = block - block.mean()
            product = (near * centred).mean((2, 3))
            spread = (near**2).mean((2, 3)) - near.mean((2, 3)) ** 2
            scale = (np.maximum(spread, 0) + 1e-4) * ((centred**2).mean() + 1e-4)
            likest.append(((product + 1e-4) / np.sqrt(scale)).max())
    return bool(np.mean(least) + histogram > 0.062 and 1 - np.mean(likest) > 0.12)


def thumbnail(frame: Codes) -> Array:
    """The mean of the area around each of 36 x 64 places, (3, 36, 64) in [0, 1]."""
    rows, columns = (
        [(i * length // count, -(-(i + 1) * length // count)) for i in range(count)]
        for length, count in ((frame.shape[0], 36), (frame.shape[1], 64))
    )
    strips = np.stack([frame[a:b].mean(axis=0) for a, b in rows])
    small = np.stack([strips[:, a:b].mean(axis=1) for a, b in columns], axis=1)
    found: Array = (small / 255).transpose(2, 0, 1).astype(np.float32)
    return found


def read_frames(path: str) -> Iterator[tuple[Codes, Fraction]]:
    """Frames (h, w, 3) and their times in seconds."""
    with av.open(path) as container:
        for frame in container.decode(video=0):
            time = Fraction(frame.pts or 0) * Fraction(frame.time_base or 1)
            yield frame.to_ndarray(format="rgb24").astype(np.uint8), time


def restore(
    chain: Chain, frames: Iterator[tuple[Codes, Fraction]], scale: int, multiple: int
) -> Iterator[tuple[Codes, Fraction]]:
    """Clips of neighbouring frames through the chain, each frame once."""
    first, last_body = 0, None  # the last body of the clip before, unless a shot starts
    for clip, starts in cut_clips(frames):
        if starts:
            chain.begin_shot()
            last_body = None
        height, width = clip[0][0].shape[:2]
        codes = np.stack([frame for frame, _ in clip]).transpose(0, 3, 1, 2)
        edges = ((0, 0), (0, 0), (0, -height % multiple), (0, -width % multiple))
        source: Array = np.pad(codes, edges, mode="edge").astype(np.float32)
        source = (source / 255 * 2 - 1).astype(np.float32)
        seen = chain.look(source)
        bodies = [*([] if last_body is None else [last_body]), *seen["body"]]
        pairs = list(pairwise(bodies))
        none = np.empty((0, 2, *seen["body"].shape[2:]), np.float32)
        forward = np.stack([find_flow(a, b) for a, b in pairs]) if pairs else none
        backward = np.stack([find_flow(b, a) for a, b in pairs]) if pairs else none
        for index, frame in enumerate(chain.frames(first, seen, forward, backward)):
            code = np.rint((frame + 1) / 2 * 255).astype(np.uint8).transpose(1, 2, 0)
            yield code[: height * scale, : width * scale], clip[index][1]
        first, last_body = first + len(clip), seen["body"][-1]


def cut_clips(
    frames: Iterator[tuple[Codes, Fraction]],
) -> Iterator[tuple[list[tuple[Codes, Fraction]], bool]]:
    """Frames in clips, and whether each starts a shot."""
    clip: list[tuple[Codes, Fraction]] = []
    starts, before = True, None
    for frame, time in frames:
        cut = before is not None and is_cut(before, frame)
        if clip and (cut or len(clip) == CLIP_LENGTH):
            yield clip, starts
            clip, starts = [], cut
        clip.append((frame, time))
        before = frame
    if clip:
        yield clip, starts


def main() -> None:
    """Enlarge a video."""
    parser = argparse.ArgumentParser(description="Enlarges a video with the exported graphs.")
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--scale", type=int, help="one of the manifest's; else the largest")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="of onnxruntime; 0: as many as fit")
    given = parser.parse_args()
    cv2.setNumThreads(1)  # with more, flow would be another on other machines
    folder = Path(__file__).resolve().parents[1]
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    scale = given.scale or max(map(int, manifest["scales"]))
    multiple = manifest["scales"][str(scale)]["source_multiple"]
    run = Sessions(folder, given.threads).run
    chain = Chain(manifest, run, scale, seed=given.seed)
    with av.open(given.target, "w") as output:
        stream: VideoStream | None = None
        for codes, time in restore(chain, read_frames(given.source), scale, multiple):
            if stream is None:
                stream = output.add_stream("ffv1", rate=1000)
                stream.height, stream.width, stream.pix_fmt = *codes.shape[:2], "bgr0"
                stream.codec_context.time_base = Fraction(1, 90_000)
            frame = VideoFrame.from_ndarray(np.ascontiguousarray(codes), format="rgb24")
            frame.time_base, frame.pts = Fraction(1, 90_000), round(time * 90_000)
            output.mux(stream.encode(frame.reformat(format="bgr0")))
        if stream is not None:
            output.mux(stream.encode(None))


if __name__ == "__main__":
    main()
