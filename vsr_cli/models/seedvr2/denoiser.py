"""The diffusion transformer of SeedVR2: video and words, attending within windows.

Modules are called as in the published files, so that names need no translation.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vsr_cli.models.seedvr2.config import INPUT_CHANNELS, LATENT_CHANNELS, SeedVr2Config
from vsr_cli.models.seedvr2.windows import (
    EqualWindows,
    group_cells,
    place_angles,
    plan_cells,
    rotate,
    word_angles,
)

MOST_TOKENS = 8192  # that are worked on at once, unless a single window has more
_EPS = 1e-5  # of every norm
_VIDEO, _WORDS, _SHARED = "vid", "txt", "all"
Turn = Callable[[nn.Module], AbstractContextManager[object]]  # for as long as a block computes
_ATTENTION, _MLP = 0, 1  # parts of the time's embedding


def _branches(make: Callable[[], nn.Module], *, is_shared: bool) -> nn.ModuleDict:
    """One module for video and one for words, or one for both."""
    return nn.ModuleDict({name: make() for name in ([_SHARED] if is_shared else [_VIDEO, _WORDS])})


def _branch(modules: nn.ModuleDict, name: str) -> nn.Module:
    return modules[_SHARED if _SHARED in modules else name]


class TimeEmbedding(nn.Module):
    """The time of diffusion -> what modulates all layers.

    Shape: a time up to 1000 -> (D, 2, 3) float32: for attention and MLP, shift, scale and gate.
    """

    def __init__(self, config: SeedVr2Config) -> None:
        super().__init__()
        self.channels = config.time_channels
        self.proj_in = nn.Linear(config.time_channels, config.width)
        self.proj_hid = nn.Linear(config.width, config.width)
        self.proj_out = nn.Linear(config.width, 6 * config.width)

    def forward(self, t: float) -> Tensor:
        weight = self.proj_in.weight
        half = self.channels // 2
        # Rounded as when it was trained: times are large, and so are the angles' last digits.
        frequencies = torch.exp(-math.log(10_000) * torch.arange(half, device=weight.device) / half)
        angles = t * frequencies
        x = torch.cat((angles.sin(), angles.cos())).to(weight.dtype)
        x = self.proj_out(F.silu(self.proj_hid(F.silu(self.proj_in(x)))))
        return x.float().unflatten(0, (-1, 2, 3))


class Modulation(nn.Module):
    """Shifts, scales and gates of a layer, to which those of the time are added (AdaLN)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        for part in ("attn", "mlp"):
            for what in ("shift", "scale", "gate"):
                self.register_parameter(f"{part}_{what}", nn.Parameter(torch.zeros(width)))

    def at(self, part: int, time: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Shift, scale and gate, (D,) float32 each, before and after one part of the layer."""
        own = ("attn", "mlp")[part]
        shift, scale, gate = (
            self.get_parameter(f"{own}_{what}").float() + time[:, part, index]
            for index, what in enumerate(("shift", "scale", "gate"))
        )
        return shift, scale, gate


class Mlp(nn.Module):
    """proj_out(SiLU(gate(x)) * in(x)) (SwiGLU, arXiv 2002.05202).  Shape: (..., D) -> (..., D)."""

    def __init__(self, width: int, hidden_width: int) -> None:
        super().__init__()
        self.proj_in_gate = nn.Linear(width, hidden_width, bias=False)
        self.proj_in = nn.Linear(width, hidden_width, bias=False)
        self.proj_out = nn.Linear(hidden_width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj_out(F.silu(self.proj_in_gate(x)).mul_(self.proj_in(x)))


class WindowAttention(nn.Module):
    """Attention of the tokens of each window to each other and to all words.

    Words attend to every window, too; what they get is the mean over the windows.
    """

    def __init__(self, config: SeedVr2Config, *, is_shared: bool) -> None:
        super().__init__()
        inner = config.num_heads * config.head_channels
        self.heads = (3, config.num_heads, config.head_channels)

        def branches(make: Callable[[], nn.Module]) -> nn.ModuleDict:
            return _branches(make, is_shared=is_shared)

        self.proj_qkv = branches(lambda: nn.Linear(config.width, 3 * inner, bias=False))
        self.proj_out = branches(lambda: nn.Linear(inner, config.width))
        self.norm_q = branches(lambda: nn.RMSNorm(config.head_channels, eps=_EPS))
        self.norm_k = branches(lambda: nn.RMSNorm(config.head_channels, eps=_EPS))

    def project(self, x: Tensor, angles: Tensor, name: str) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values (..., tokens, heads, channels) of x (..., tokens, D)."""
        q, k, v = _branch(self.proj_qkv, name)(x).unflatten(-1, self.heads).unbind(-3)
        q, k = (
            rotate(_rms(y, _branch(norms, name).get_parameter("weight")), angles).to(v.dtype)
            for y, norms in ((q, self.norm_q), (k, self.norm_k))
        )
        return q, k, v

    def forward(
        self, x: Tensor, angles: Tensor, words: tuple[Tensor, Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Tokens of equal windows (N, n, D) and projected words -> (N, n, D) and sums (L, D')."""
        num_tokens = x.shape[1]
        q, k, v = (
            torch.cat((own, of_words.expand(len(x), -1, -1, -1)), dim=1).transpose(1, 2)
            for own, of_words in zip(self.project(x, angles, _VIDEO), words, strict=True)
        )
        out = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)  # (N, n + L, D')
        answers = out[:, num_tokens:].sum(dim=0, dtype=torch.float32)
        return _branch(self.proj_out, _VIDEO)(out[:, :num_tokens]), answers

    def answer(self, mean: Tensor) -> Tensor:
        """What words take from the mean (L, D') of what windows have answered, (L, D)."""
        project = _branch(self.proj_out, _WORDS)
        return project(mean.to(next(project.parameters()).dtype))


class Block(nn.Module):
    """A layer of the transformer, on the residual streams of video and words.

    Shape: video (N, D) and words (L, D), float32, N tokens of the grid in order; both are
    written over. The last layer leaves the words alone.
    """

    def __init__(self, config: SeedVr2Config, *, is_shared: bool, is_last: bool) -> None:
        super().__init__()
        self.is_last = is_last
        self.attn = WindowAttention(config, is_shared=is_shared)
        self.mlp = _branches(lambda: Mlp(config.width, config.hidden_width), is_shared=is_shared)
        self.ada = _branches(lambda: Modulation(config.width), is_shared=is_shared)

    def forward(
        self, video: Tensor, words: Tensor, time: Tensor, windows: "Windows"
    ) -> tuple[Tensor, Tensor]:
        self._attend(video, words, time, windows)
        for name, x in ((_VIDEO, video), (_WORDS, words)):
            if name == _WORDS and self.is_last:
                continue
            shift, scale, gate = self._modulation(name).at(_MLP, time)
            for rows in x.split(MOST_TOKENS):
                inner = (_rms(rows) * scale + shift).to(self.dtype)
                rows.addcmul_(_branch(self.mlp, name)(inner).float(), gate)
        return video, words

    @property
    def dtype(self) -> torch.dtype:
        """What the layer computes in."""
        return next(self.mlp.parameters()).dtype

    def _attend(self, video: Tensor, words: Tensor, time: Tensor, windows: "Windows") -> None:
        inner, word_gate = _rms(words), None
        if not self.is_last:
            word_shift, word_scale, word_gate = self._modulation(_WORDS).at(_ATTENTION, time)
            inner = inner * word_scale + word_shift
        projected = self.attn.project(inner.to(self.dtype), windows.word_angles, _WORDS)
        shift, scale, gate = self._modulation(_VIDEO).at(_ATTENTION, time)
        answers, num_windows = video.new_zeros(()), 0
        for rows, angles in windows:
            x = video[rows]  # (windows, tokens, D)
            inner = (_rms(x) * scale + shift).to(self.dtype)
            out, answer = self.attn(inner, angles, projected)
            # Every token is in one window of a layer, so nobody looks at it afterwards.
            video[rows] = x.addcmul_(out.float(), gate)
            answers, num_windows = answer + answers, num_windows + len(rows)
        if word_gate is not None:
            words.addcmul_(self.attn.answer(answers / num_windows).float(), word_gate)

    def _modulation(self, name: str) -> Modulation:
        found = _branch(self.ada, name)
        assert isinstance(found, Modulation)
        return found


class Windows:
    """The windows of a layer in batches, each with the angles of its tokens."""

    def __init__(
        self, groups: Sequence[EqualWindows], angles: Sequence[Tensor], word_angles: Tensor
    ) -> None:
        """`angles` are those of each group; `word_angles` are of the prompt."""
        self._groups, self._angles = groups, angles
        self.word_angles = word_angles

    @classmethod
    def plan(
        cls, size: tuple[int, int, int], num_words: int, channels: int, device: torch.device
    ) -> "tuple[Windows, Windows]":
        """Those of even and of odd layers, for a grid of (frames, height, width) tokens."""
        of_words = word_angles(num_words, channels).to(device)
        both = []
        for is_shifted in (False, True):
            groups = group_cells(plan_cells(size, is_shifted=is_shifted), size, device=device)
            angles = [
                place_angles(group.shape, first_time=num_words, channels=channels).to(device)
                for group in groups
            ]
            both.append(cls(groups, angles, of_words))
        return both[0], both[1]

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Indices (windows, tokens) and angles; no more tokens at once than `MOST_TOKENS`."""
        for group, angles in zip(self._groups, self._angles, strict=True):
            for rows in group.rows.split(max(1, MOST_TOKENS // group.rows.shape[1])):
                yield rows, angles


class Denoiser(nn.Module):
    """Predicts the way from clean latents to noise, given the source's latents.

    Shape: noisy latents (T, 16, h, w), those of the source with a mask (T, 17, h, w), h and w
    even, words (L, W), t up to 1000 -> (T, 16, h, w) float32.
    """

    def __init__(self, config: SeedVr2Config) -> None:
        super().__init__()
        self.config = config
        self.vid_in = nn.ModuleDict({"proj": nn.Linear(4 * INPUT_CHANNELS, config.width)})
        self.txt_in = nn.Linear(config.text_width, config.width)
        self.emb_in = TimeEmbedding(config)
        last = config.num_blocks - 1
        self.blocks = nn.ModuleList(
            Block(config, is_shared=k >= config.separate_blocks, is_last=k == last)
            for k in range(config.num_blocks)
        )
        self.vid_out_norm = nn.RMSNorm(config.width, eps=_EPS)
        self.vid_out_ada = nn.ParameterDict(
            {name: torch.zeros(config.width) for name in ("out_shift", "out_scale")}
        )
        self.vid_out = nn.ModuleDict({"proj": nn.Linear(config.width, 4 * LATENT_CHANNELS)})

    def forward(
        self,
        noisy_latents: Tensor,
        condition: Tensor,
        text: Tensor,
        t: float,
        *,
        turn: Turn = nullcontext,
    ) -> Tensor:
        num_frames, _, height, width = noisy_latents.shape
        size = (num_frames, height // 2, width // 2)
        dtype = self.txt_in.weight.dtype
        patches = _to_patches(torch.cat((noisy_latents, condition), dim=1))
        video = self.vid_in["proj"](patches.to(dtype)).float()
        words = self.txt_in(text.to(dtype)).float()
        time = self.emb_in(t)
        channels = self.config.rotary_channels
        windows = Windows.plan(size, len(text), channels, video.device)
        for index, block in enumerate(self.blocks):
            with turn(block):
                video, words = block(video, words, time, windows[index % 2])
        # The published network takes the shift and scale of attention here, for want of its own.
        shift = time[:, _ATTENTION, 0] + self.vid_out_ada["out_shift"].float()
        scale = time[:, _ATTENTION, 1] + self.vid_out_ada["out_scale"].float()
        out = torch.cat(
            [
                self.vid_out["proj"](
                    (_rms(rows, self.vid_out_norm.weight) * scale + shift).to(dtype)
                )
                for rows in video.split(MOST_TOKENS)
            ]
        )
        return _from_patches(out.float(), size)


def _to_patches(x: Tensor) -> Tensor:
    """(T, C, h, w) -> (T * h/2 * w/2, 4 * C), the channel running fastest."""
    t, c, h, w = x.shape
    squares = x.reshape(t, c, h // 2, 2, w // 2, 2)
    return squares.permute(0, 2, 4, 3, 5, 1).reshape(t * (h // 2) * (w // 2), 4 * c)


def _from_patches(x: Tensor, size: tuple[int, int, int]) -> Tensor:
    """The reverse, for a grid of (frames, height, width) tokens."""
    t, h, w = size
    squares = x.reshape(t, h, w, 2, 2, -1)
    return squares.permute(0, 5, 1, 3, 2, 4).reshape(t, -1, 2 * h, 2 * w)


def _rms(x: Tensor, weight: Tensor | None = None) -> Tensor:
    """Root mean square norm over the last axis, in float32 (arXiv 1910.07467)."""
    return F.rms_norm(x.float(), x.shape[-1:], None if weight is None else weight.float(), _EPS)
