"""The straight way from noise to clean latents, walked in few steps or in one."""

from collections.abc import Callable

from torch import Tensor

HORIZON = 1000.0  # the time at which there is nothing but noise


def straight_times(steps: int) -> tuple[float, ...]:
    """Where a walk of so many steps looks at the network: from the horizon down, evenly.

    Raises:
        ValueError: there are no steps.
    """
    if steps < 1:
        raise ValueError(f"expected 1 step or more, got {steps}")
    return tuple(HORIZON * (1 - k / steps) for k in range(steps))


def walk_straight(predict: Callable[[Tensor, float], Tensor], noise: Tensor, steps: int) -> Tensor:
    """Draw clean latents with Euler's method (rectified flow, arXiv 2209.03003).

    x_t = (1 - t/T) x0 + (t/T) x_T, and the network predicts x_T - x0, so that
    x_s = x_t - (t - s)/T prediction. A single step gives noise - prediction.

    Args:
        predict: from noisy latents and their time.
        noise: x_T, standard normal, of any shape.
        steps: at least 1.
    """
    times = straight_times(steps)
    x = noise
    for t, after in zip(times, (*times[1:], 0.0), strict=True):
        x = x - (t - after) / HORIZON * predict(x, t)
    return x
