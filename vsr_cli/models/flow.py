"""Optical flow between neighbouring frames, in both directions."""

import os
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vsr_cli.errors import WeightsError
from vsr_cli.models.checkpoint import read_checkpoint, unwrapped
from vsr_cli.models.raft import published_name, translate
from vsr_cli.ops.color import luma
from vsr_cli.ops.resize import pad_to_multiple, resize
from vsr_cli.ops.warp import resize_flow

FLOW_PREFIX = "flow."  # of a flow network inside a model's own file

_DIS_MIN_SIDE = 32  # DIS refuses less than 12; below 32 its pyramid is a single level
_DIS_MOST_PIXELS, _FINE_MOST_PIXELS = 2560 * 1440, 1920 * 1080
_FINE_BYTES = 200  # of a pixel that is searched at, in one direction
_RAFT_MULTIPLE = 8
_RAFT_MIN_SIDE = 128  # four correlation levels of the eighth-size features
_NO_GUESS = np.empty((0, 0), np.float32)  # an initial flow of no size: start from zero


class FlowEstimator(Protocol):
    """Frames in, flow of every neighbouring pair out, forward and backward."""

    def __call__(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Estimate flow in pixels of `frames`.

        Args:
            frames: (B, T, 3, H, W) in [-1, 1], T >= 1.

        Returns:
            flow_forward, flow_backward: (B, T-1, 2, H, W) float32 on the device of `frames`.
        """


class DisFlow:
    """Dense inverse search (arXiv 1603.03590) on the luma, on the CPU, without weights.

    The `medium` preset: per 320x180 pair and direction 5.5 ms on one core, against 1.1 ms for
    `fast`, which leaves 15 % more warping error. Pictures larger than 2560x1440, or 1920x1080 where
    it is fine, are looked at in half their size, as the search would take more memory than the
    networks. Safe to share between threads.
    """

    def __init__(self, *, num_threads: int | None = None, is_fine: bool = False) -> None:
        """Nothing is held between calls.

        Args:
            num_threads: of the CPU.
            is_fine: whether to search at every pixel, with larger patches: five times as long,
                for frames that are made of others. Repeated structure, such as rows of windows,
                is found where the preset mistakes one for the next.
        """
        self._num_threads = num_threads or min(8, os.cpu_count() or 1)
        self._search = _search_finely if is_fine else _search
        self._most_pixels = _FINE_MOST_PIXELS if is_fine else _DIS_MOST_PIXELS

    @property
    def num_directions(self) -> int:
        """How many searches run at the same time for a pair."""
        return min(2, self._num_threads)

    def __call__(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        b, t, _, height, width = _require_frames(frames)
        if height * width > self._most_pixels:
            half = resize(frames, (-(-height // 2), -(-width // 2)))
            forward, backward = (resize_flow(flow, (height, width)) for flow in self(half))
            return forward, backward
        luma = _luma_bytes(frames)
        pairs = [(clip[k], clip[k + 1]) for clip in luma for k in range(t - 1)]
        jobs = pairs + [(later, earlier) for earlier, later in pairs]
        flows = np.empty((2, b, t - 1, 2, height, width), np.float32)
        with _one_opencv_thread(), ThreadPoolExecutor(self._num_threads) as pool:
            found = pool.map(self._search, *zip(*jobs, strict=True)) if jobs else iter(())
            for place, flow in zip(flows.reshape(-1, 2, height, width), found, strict=True):
                place[...] = flow[:height, :width].transpose(2, 0, 1)
        forward, backward = torch.from_numpy(flows).to(frames.device)
        return forward, backward


@contextmanager
def _one_opencv_thread() -> Iterator[None]:
    """Within, OpenCV does not split its work.

    DIS cuts the image into one stripe per OpenCV thread, and stripes change the flow: only one
    thread gives the same flow on every machine. Pairs run in parallel instead. The number is the
    whole process's: the last to leave restores what the first has found.
    """
    with _opencv.lock:
        if _opencv.num_inside == 0:
            _opencv.num_threads = cv2.getNumThreads()
            cv2.setNumThreads(1)
        _opencv.num_inside += 1
    try:
        yield
    finally:
        with _opencv.lock:
            _opencv.num_inside -= 1
            if _opencv.num_inside == 0:
                cv2.setNumThreads(_opencv.num_threads)


@dataclass
class _OpencvThreads:
    """How many calls hold OpenCV to one thread, and how many it had before."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    num_inside: int = 0
    num_threads: int = 1


_opencv = _OpencvThreads()


class RaftFlow:
    """RAFT (arXiv 2003.12039) with the user's weights; large or small, told by tensor names.

    Names are torchvision's or those of RAFT's own files; of a model that brings its flow network,
    that one is taken.

    Raises:
        WeightsError: `path` is missing, unreadable, or holds neither network exactly.
    """

    def __init__(
        self, path: Path, *, device: torch.device | None = None, num_updates: int = 12
    ) -> None:
        self._network = _load_raft(path).to(device or torch.device("cpu"))
        self._num_updates = num_updates

    @torch.no_grad()
    def __call__(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        b, t, _, height, width = _require_frames(frames)
        device = next(self._network.parameters()).device
        padded = pad_to_multiple(frames.float(), _RAFT_MULTIPLE)
        padded = _pad_to_least(padded, _RAFT_MIN_SIDE).to(device)
        flows = frames.new_empty((2, b, t - 1, 2, height, width), dtype=torch.float32)
        for k in range(t - 1):  # one pair at a time: memory does not grow with the clip
            earlier, later = padded[:, k], padded[:, k + 1]
            pairs = torch.cat((earlier, later)), torch.cat((later, earlier))
            found = self._network(*pairs, num_flow_updates=self._num_updates)[-1]
            flows[:, :, k] = found[..., :height, :width].reshape(2, b, 2, height, width).to(flows)
        forward, backward = flows
        return forward, backward


def _require_frames(frames: Tensor) -> tuple[int, int, int, int, int]:
    if frames.ndim != 5 or frames.shape[2] != 3:
        raise ValueError(f"expected frames (B, T, 3, H, W), got {tuple(frames.shape)}")
    b, t, c, height, width = frames.shape
    return b, t, c, height, width


def _luma_bytes(frames: Tensor) -> NDArray[np.uint8]:
    """(B, T, 3, H, W) in [-1, 1] to (B, T, H', W') uint8, at least the size DIS accepts."""
    codes = luma(frames.float())[:, :, 0].add(1).mul(127.5).round().clamp(0, 255)
    padded = _pad_to_least(codes, _DIS_MIN_SIDE).to("cpu", torch.uint8)
    array: NDArray[np.uint8] = padded.contiguous().numpy()
    return array


def _pad_to_least(x: Tensor, side: int) -> Tensor:
    """Repeat the right and bottom edge of x (..., h, w) until both sides are `side` or more."""
    height, width = x.shape[-2:]
    if height < side:
        x = torch.cat((x, x[..., -1:, :].expand(*x.shape[:-2], side - height, -1)), dim=-2)
    if width < side:
        x = torch.cat((x, x[..., -1:].expand(*x.shape[:-1], side - width)), dim=-1)
    return x


def _search(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Flow (H, W, 2) from `first` to `second`."""
    # The object keeps buffers between calls, so it cannot be shared between threads.
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return np.asarray(dis.calc(first, second, _NO_GUESS), np.float32)


def _search_finely(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The same, finer."""
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    dis.setFinestScale(0)
    dis.setPatchSize(12)
    dis.setPatchStride(6)
    dis.setVariationalRefinementIterations(10)
    return np.asarray(dis.calc(first, second, _NO_GUESS), np.float32)


def fine_search_bytes(height: int, width: int) -> int:
    """Memory that a fine search takes for one direction of a pair of frames."""
    while height * width > _FINE_MOST_PIXELS:
        height, width = -(-height // 2), -(-width // 2)
    return _FINE_BYTES * height * width


def read_raft(path: Path) -> dict[str, Tensor]:
    """RAFT of a file, large or small, under torchvision's names.

    Raises:
        WeightsError: `path` is missing, unreadable, or holds neither network exactly.
    """
    return match_raft(path, read_checkpoint(path, prefix=FLOW_PREFIX))


def match_raft(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of RAFT, large or small, under torchvision's names.

    Args:
        path: of the file, for what is said of it.
        tensors: under torchvision's names or those of RAFT's own files; counters of batches may be
            missing.

    Raises:
        WeightsError: they are neither network exactly.
    """
    problems = []
    for network in _rafts():
        expected = network.state_dict()
        found = translate(unwrapped(tensors), expected)
        counters = [name for name in expected if name.endswith("num_batches_tracked")]
        found = dict.fromkeys(counters, torch.tensor(0)) | found
        is_plain = any(name in expected for name in tensors)
        named = {name: name if is_plain else published_name(name) for name in expected}
        wrong = {named.get(name, name) for name in found.keys() ^ expected.keys()}
        misshapen = [
            name for name, x in expected.items() if name in found and found[name].shape != x.shape
        ]
        if wrong:
            problems.append((len(wrong), f"tensor names differ, among them `{min(wrong)}`"))
        elif misshapen:
            name = misshapen[0]
            problems.append((len(misshapen), f"`{named[name]}` is {tuple(found[name].shape)}"))
        else:
            return {name: tensor.contiguous().clone() for name, tensor in found.items()}
    raise WeightsError(
        f"`{path.name}` is neither `raft_large` nor `raft_small`",
        why=min(problems)[1],
        hint="give RAFT's own file, as `raft-things.pth`, or torchvision's",
    )


def _load_raft(path: Path) -> nn.Module:
    tensors = read_raft(path)
    for network in _rafts():
        if network.state_dict().keys() == tensors.keys():
            network.load_state_dict(tensors, assign=True)
            return network.eval().requires_grad_(False)
    raise AssertionError("what `read_raft` gives is one of them")


def _rafts() -> Iterator[nn.Module]:
    """The large and the small network, without values."""
    # Two seconds of import that DIS, the default, should not pay.
    from torchvision.models.optical_flow import raft_large, raft_small

    for build in (raft_large, raft_small):
        with torch.device("meta"):
            network: nn.Module = build(weights=None, progress=False)
        yield network
