"""What a loss function does, found by trying it on numbers of our own: whatever it is called, or written as.

A loss of logits that applies the softmax itself does not change when a constant is added to all logits of an
image; a negative log-likelihood falls by that constant; a binary cross-entropy of logits is ln 2 at zero and
grows by one for each unit of a wrong logit; a squared error has a constant second difference.

Legend: N images, K classes; `…` positions of a segmentation.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

SOFTMAX, LOG_LIKELIHOOD, SIGMOID, SQUARED = (
    "softmax cross-entropy", "negative log-likelihood", "binary cross-entropy of logits", "squared error",
)  # fmt: skip

TOLERANCE = 1e-4
"""Of float32 sums over a batch."""

SEED = 6_180_339
"""Of the numbers that are tried; no seed that targets may have been drawn with."""

FAR = 60.0
"""A logit so far out that softplus is a straight line to the last bit."""


@dataclass(frozen=True)
class LossKind:
    """name: one of the above, None where it is none of these.

    by_doubling: the loss of a batch taken twice over that of the batch: 1 for a mean, 2 for a sum, 1/2 for a
    mean that is divided by the number of images again. factor: the loss at logits of zero, over what the
    plain mean loss is there (ln K, ln 2). has_gradient: whether any output changes it.
    """

    name: str | None = None
    by_doubling: float = math.nan
    factor: float = math.nan
    has_gradient: bool = True


Loss = Callable[[Tensor], Tensor]


def probe_loss(loss_fn: Callable[..., object], logits: Tensor, targets: Tensor) -> LossKind:
    """What `loss_fn(output, target)` does with outputs of this shape and these targets.

    Nothing is known of one that fails on them, or gives no finite number.
    """
    generator = torch.Generator().manual_seed(SEED)
    draw = lambda shape: torch.randn(shape, generator=generator).to(logits)  # noqa: E731
    z, shift = draw(logits.shape), draw((len(logits), 1, *logits.shape[2:]) if logits.dim() > 1 else (1,))
    at = lambda x: _value(loss_fn, x, targets)  # noqa: E731
    try:
        with torch.enable_grad():
            leaf = z.clone().requires_grad_(True)
            (grad,) = torch.autograd.grad(at(leaf), leaf, allow_unused=True)
        if grad is None or not bool(grad.any()):
            return LossKind(has_gradient=False)
        name = _name(at, z, shift, grad)
        twice = _value(loss_fn, torch.cat([z, z]), torch.cat([targets, targets]))
        doubling = float(twice / at(z))
        return LossKind(name, doubling, _factor(name, at, z))
    except Exception:  # a loss of its own: whatever it raises, nothing is known of it
        return LossKind()


def _value(loss_fn: Callable[..., object], x: Tensor, targets: Tensor) -> Tensor:
    value = loss_fn(x, targets.clone())
    if not isinstance(value, Tensor) or value.numel() != 1 or not bool(value.isfinite()):
        raise ValueError("no finite number")
    return value.reshape(()).double()


def _name(at: Loss, z: Tensor, shift: Tensor, grad: Tensor) -> str | None:
    with torch.no_grad():
        here, zero = float(at(z)), float(at(torch.zeros_like(z)))
        near = lambda a, b: abs(a - b) <= TOLERANCE * max(1.0, abs(a), abs(b))  # noqa: E731
        classes = z.shape[1] if z.dim() > 1 else 1
        if classes > 1 and near(float(at(z + shift)), here):
            return SOFTMAX
        is_linear = near(float(at(2 * z)) - here, here - zero) and near(zero, 0.0)
        if z.dim() > 1 and is_linear and bool(((grad != 0).sum(1) <= 1).all()) and bool((grad <= 0).all()):
            return LOG_LIKELIHOOD
        values = [float(at(k * z)) for k in range(4)]
        third = values[3] - 3 * values[2] + 3 * values[1] - values[0]
        second = values[2] - 2 * values[1] + values[0]
        if second > 0 and abs(third) <= TOLERANCE * max(map(abs, values)):
            return SQUARED
        slope = _sigmoid_slope(at, z)
        if slope > 0 and near(zero / slope, math.log(2)):
            return SIGMOID
    return None


def _sigmoid_slope(at: Loss, z: Tensor) -> float:
    """By how much a wrong logit counts for each unit, far out."""
    far = torch.full_like(z, FAR)
    return float(at(far) + at(-far)) / FAR


def _factor(name: str | None, at: Loss, z: Tensor) -> float:
    with torch.no_grad():
        zero = float(at(torch.zeros_like(z)))
    if name == SOFTMAX:
        return zero / math.log(z.shape[1])
    return _sigmoid_slope(at, z) if name == SIGMOID else math.nan
