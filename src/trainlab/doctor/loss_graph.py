"""What a loss is made of, as its own graph says it: which loss, of which outputs and labels, times what.

Autograd keeps what the backward pass needs: of a negative log-likelihood the log-probabilities and labels.
They are read before the backward pass, as they are, whatever the loop calls its variables.

Legend: N images, K classes; `...` positions of a segmentation.
"""

import math
from collections import deque
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor
from torch.autograd.graph import Node

MOST_NODES = 64
"""Nodes that are looked at: a loss ends after a few, and then the network begins."""

NORMALIZED = 1e-2
"""How far the log of the summed probabilities may be from 0: rounding of 16 bits."""

NLL = ("NllLossBackward0", "NllLoss2DBackward0", "NllLossNdBackward0")
LOG_SOFTMAX = "LogSoftmaxBackward0"
OTHERS = {
    "MseLossBackward0": "mean squared error",
    "L1LossBackward0": "absolute error",
    "SmoothL1LossBackward0": "smooth absolute error",
    "HuberLossBackward0": "Huber loss",
    "BinaryCrossEntropyBackward0": "binary cross-entropy of probabilities",
    "BinaryCrossEntropyWithLogitsBackward0": "binary cross-entropy of logits",
    "KlDivBackward0": "Kullback–Leibler divergence",
}
"""Losses that are one node of the graph, in words."""

Found: TypeAlias = dict[str, Node]


@dataclass(frozen=True)
class LossFacts:
    """kind: the loss in words; None where the graph does not say. is_cross_entropy: None likewise.

    classes: K of a cross-entropy. softmax_over_images: its softmax runs over N. is_normalized: whether what a
    negative log-likelihood is taken from are log-probabilities. right: share of the batch whose label has the
    largest output. sigmoid_twice: outputs of a cross-entropy of logits that lie between 0 and 1, all of them.
    scale: of a gradient scaler, by which the loss was multiplied.
    """

    kind: str | None = None
    is_cross_entropy: bool | None = None
    classes: int | None = None
    softmax_over_images: bool = False
    is_normalized: bool | None = None
    right: float | None = None
    sigmoid_twice: bool = False
    scale: float = 1.0


def read_loss(loss: Tensor) -> LossFacts:
    """The facts of a loss that is about to be propagated back; none of one whose graph was freed."""
    try:
        with torch.no_grad():
            return _read(_nodes(loss))
    except (RuntimeError, AttributeError):  # freed, or saved in another way
        return LossFacts()


def _nodes(loss: Tensor) -> Found:
    """The first node of each name, from the loss on; not beyond what is known as a loss."""
    found: Found = {}
    waiting = deque([loss.grad_fn])
    seen = 0
    while waiting and seen < MOST_NODES:
        node = waiting.popleft()
        if node is None:
            continue
        seen += 1
        found.setdefault(node.name(), node)
        if node.name() == LOG_SOFTMAX or node.name() in OTHERS:
            continue
        waiting.extend(following for following, _ in node.next_functions)
    return found


def _read(found: Found) -> LossFacts:
    scale = _scale(found.get("MulBackward0"))
    nll = next((found[name] for name in NLL if name in found), None)
    softmax = found.get(LOG_SOFTMAX)
    if nll is not None:
        return _negative_log_likelihood(nll, softmax, scale)
    if softmax is not None:
        result = softmax._saved_result  # type: ignore[attr-defined]
        return LossFacts("cross-entropy", True, result.shape[1] if result.dim() > 1 else None, scale=scale)
    for name, kind in OTHERS.items():
        if name in found:
            return LossFacts(kind, False, sigmoid_twice=_is_sigmoid_twice(name, found[name]), scale=scale)
    return LossFacts(scale=scale)


def _negative_log_likelihood(nll: Node, softmax: Node | None, scale: float) -> LossFacts:
    log_NK: Tensor = nll._saved_self  # type: ignore[attr-defined]
    labels_N: Tensor = nll._saved_target  # type: ignore[attr-defined]
    over = 1 if log_NK.dim() > 1 else 0
    right = (log_NK.argmax(over) == labels_N).double().mean()
    off = log_NK.detach().float().logsumexp(over).abs().amax()
    dim = None if softmax is None else _signed(softmax._saved_dim, log_NK.dim())  # type: ignore[attr-defined]
    return LossFacts(
        "cross-entropy" if softmax is not None else "negative log-likelihood",
        softmax is not None,
        log_NK.shape[over],
        softmax_over_images=dim == 0 and log_NK.dim() > 1,
        is_normalized=bool(off < NORMALIZED) or not bool(off.isfinite()),
        right=float(right),
        scale=scale,
    )


def _signed(dim: int, dims: int) -> int:
    """Autograd gives dimension −1 as the largest number of 64 bits."""
    return dim if dim < dims else dim - 2**64 + dims


def _is_sigmoid_twice(name: str, node: Node) -> bool:
    if name != "BinaryCrossEntropyWithLogitsBackward0":
        return False
    outputs: Tensor = node._saved_self  # type: ignore[attr-defined]
    return outputs.numel() > 1 and bool(((outputs >= 0) & (outputs <= 1)).all())


def _scale(node: Node | None) -> float:
    """What a gradient scaler has multiplied the loss by: a power of two, in a tensor of float32."""
    other = getattr(node, "_saved_other", None)
    if not isinstance(other, Tensor) or other.dim() or other.dtype != torch.float32 or other.requires_grad:
        return 1.0
    value = float(other)
    return value if value >= 1 and math.frexp(value)[0] == 0.5 else 1.0
