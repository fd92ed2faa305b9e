"""Which convolutions are computed in 8-bit integers, and within which ranges inputs are rounded."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from vsr_cli.ops.int8 import convolve_add_int8, convolve_int8, round_filters

ActivationRanges = Mapping[str, tuple[Sequence[float], Sequence[float]]]
"""Least and greatest values of each channel of the input of convolutions, by their names."""

_FEWEST_CHANNELS = 32  # with fewer, rounding the input takes as long as is gained
_TAIL = 1e-4  # of a channel's values on each side that do not count for its range
_SAMPLE = 20_000  # values that a quantile is taken of

# Single pixels, latents and the last sums stay in floats. So does the trunk, whose errors all other
# parts would pass on: patterns of full contrast differ by 9 dB less for it, at 4 % of the time.
_PARTS = ("condition_encoder", "decoder", "denoiser")
_LAST = ("denoiser.out", "decoder.output")


class Int8Conv2d(nn.Module):
    """A trained convolution whose weights and input are rounded to 8 bits.

    The range of its input was found beforehand, and so is the same for every picture, tile and
    clip; what lies outside is clamped. On the CPU only, and without gradients.

    Shape: (N, C_in, H, W) -> (N, C_out, H', W'), with channels last in memory.
    """

    def __init__(
        self, conv: nn.Conv2d, low: Sequence[float], high: Sequence[float], *, is_shuffled: bool
    ) -> None:
        """Round the weights of a convolution.

        Args:
            conv: a convolution in float32 on the CPU, which stays as it is.
            low: least value of each channel of its input.
            high: the greatest.
            is_shuffled: a shuffle of 2 follows: the four pixels that a pixel becomes come one after
                the other, not channel by channel.
        """
        super().__init__()
        self.out_channels = conv.out_channels
        weight, bias = conv.weight.detach(), conv.bias
        assert bias is not None
        bias = bias.detach()
        if is_shuffled:
            weight = weight.unflatten(0, (-1, 4)).transpose(0, 1).flatten(0, 1)
            bias = bias.view(-1, 4).t().flatten()
        stride, padding = conv.stride[0], conv.padding[0]
        assert isinstance(padding, int)
        self._filters = round_filters(
            weight,
            bias,
            torch.tensor(low),
            torch.tensor(high),
            stride=stride,
            padding=padding,
        )

    def forward(self, x: Tensor) -> Tensor:
        return convolve_int8(self._filters, x)

    def add(self, x: Tensor, other: Tensor) -> Tensor:
        """The sum of `other` and the convolution of x, written over `other`."""
        return convolve_add_int8(self._filters, x, other)


def roundable(network: nn.Module) -> dict[str, nn.Conv2d]:
    """The convolutions that may be computed in 8-bit integers, by their names."""
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d)
        and name.startswith(_PARTS)
        and name not in _LAST
        and module.kernel_size == (3, 3)
        and module.in_channels >= _FEWEST_CHANNELS
    }


def round_convolutions(network: nn.Module, ranges: ActivationRanges) -> None:
    """Replace convolutions by ones in 8-bit integers, where that has not been done.

    Args:
        network: on the CPU, in float32.
        ranges: of the inputs of some of those that are `roundable`.
    """
    for name, conv in roundable(network).items():
        if name in ranges:
            path, _, own = name.rpartition(".")
            low, high = ranges[name]
            rounded = Int8Conv2d(conv, low, high, is_shuffled=own.startswith("up_"))
            network.get_submodule(path).register_module(own, rounded)


@contextmanager
def observe_ranges(network: nn.Module) -> Iterator[dict[str, tuple[list[float], list[float]]]]:
    """Note the ranges of what convolutions are given, over all calls while this is entered.

    A ten-thousandth of a channel's values on each side is left out, call by call: steps are the
    finer, and frames the nearer to those of floats, if few values are clamped.

    Args:
        network: in floats; under gradients or autocast, or else its convolutions are fused with
            what follows, and not seen.

    Yields:
        The ranges, which are complete after the last call.
    """
    found: dict[str, tuple[list[float], list[float]]] = {}

    def watch(name: str, conv: nn.Conv2d) -> None:
        def note(_: nn.Module, given: tuple[Tensor]) -> None:
            low, high = found.get(name, ([0.0] * conv.in_channels, [0.0] * conv.in_channels))
            least, most = _tails(given[0])
            found[name] = [*map(min, low, least)], [*map(max, high, most)]

        hooks.callback(conv.register_forward_pre_hook(note).remove)

    with ExitStack() as hooks:
        for name, conv in roundable(network).items():
            watch(name, conv)
        yield found


def _tails(x: Tensor) -> tuple[list[float], list[float]]:
    """Least and greatest value of each channel of (N, C, H, W), but for a few."""
    values = x.detach().float().transpose(0, 1).flatten(1)
    values = values[:, :: -(-values.shape[1] // _SAMPLE)]
    bounds = torch.quantile(values, values.new_tensor([_TAIL, 1 - _TAIL]), dim=1)
    low, high = bounds.tolist()
    return low, high
