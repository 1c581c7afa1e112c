"""Gradients at the network's own weights and at displaced ones, and the curvature that they show.

Legend: N images, K classes.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from trainlab.forecast.functional_model import FunctionalModel, Weights, displace, inner_product
from trainlab.forecast.image_sample import ImagePart

DIFFERENCE_STEP = 1e-3
"""Relative displacement for the difference of two gradients, the product of Hessian and direction."""


@dataclass(frozen=True)
class Gradients:
    """On one part: that of the loss, and that toward the labels less their shares.

    loss: mean cross-entropy, nats. clip_leaves: the share of its length that clipping leaves to the loss's.
    """

    loss: float
    loss_gradient: Weights
    label_gradient: Weights
    clip_leaves: float = 1.0


def compute_gradients(network: FunctionalModel, part: ImagePart, clip: float | None = None) -> Gradients:
    """Both gradients, by one pass forward and two back; `clip` is the largest norm of the loss's."""
    leaves = network.leaf_weights()
    logits_NK = network.logits(part.x_NCHW, leaves, part.seed)
    label_gradient = gradient_by_name(label_objective(logits_NK, part.y_N), leaves, retain_graph=True)
    # last, so that what hooks see of activations' gradients is the loss's
    loss = F.cross_entropy(logits_NK, part.y_N)
    loss_gradient = gradient_by_name(loss, leaves)
    factor = min(1.0, safe_ratio(clip, weights_norm(loss_gradient))) if clip else 1.0
    if factor < 1:
        loss_gradient, label_gradient = (scale_weights(g, factor) for g in (loss_gradient, label_gradient))
    return Gradients(float(loss.detach()), loss_gradient, label_gradient, factor)


def label_objective(logits_NK: Tensor, y_N: Tensor) -> Tensor:
    """−(1/N) Σ logits · (one-hot − shares): its gradient is the loss's once the logits are the shares'."""
    return -(logits_NK * centered_one_hot(y_N, logits_NK.shape[1])).sum() / len(y_N)


def gradient_by_name(
    value: Tensor, leaves: Mapping[str, Tensor], retain_graph: bool = False
) -> dict[str, Tensor]:
    """∂value/∂leaf by name; zero where a leaf has no part in it."""
    if not value.requires_grad:
        return {name: torch.zeros_like(leaf) for name, leaf in leaves.items()}
    gradients = torch.autograd.grad(
        value, list(leaves.values()), retain_graph=retain_graph, allow_unused=True, materialize_grads=True
    )
    return dict(zip(leaves, (gradient.detach() for gradient in gradients), strict=True))


def step_curvature(
    network: FunctionalModel, part: ImagePart, first: Weights, loss_gradient: Weights
) -> tuple[float, float]:
    """(overshoot, sharpness) of the first step u.

    overshoot: u·Hu / |u·g|. Above 2 the step ends higher than it began, on the quadratic through its start.
    sharpness: the same bound for v = D H u, one power iteration on: v·Hv / v·D⁻¹v, with D what the optimizer
    makes of a unit of gradient, weight by weight (lr, or lr/(|g| + ε) with Adam). Never less than overshoot.
    """

    def hessian_times(direction: Weights) -> Weights:
        by = small_step_scale(network.weights, direction, DIFFERENCE_STEP)
        leaves = network.leaf_weights(displace(network.weights, direction, by))
        there = gradient_by_name(
            F.cross_entropy(network.logits(part.x_NCHW, leaves, part.seed), part.y_N), leaves
        )
        return {name: (there[name] - loss_gradient[name]) / by for name in there}

    metric = {name: first[name].abs() / (loss_gradient[name].abs() + 1e-30) for name in first}
    curved = hessian_times(first)
    overshoot = safe_ratio(inner_product(first, curved), abs(inner_product(first, loss_gradient)))
    direction = {name: metric[name] * curved[name] for name in curved}
    curved = hessian_times(direction)
    size = sum(
        float((direction[name].double().square() / metric[name].double().clamp(min=1e-30)).sum())
        for name in direction
    )
    return overshoot, max(overshoot, safe_ratio(inner_product(direction, curved), size))


def label_gradient_growth(
    network: FunctionalModel, part: ImagePart, update: Weights, steps: float, label_gradient: Weights
) -> float:
    """Norm of the label gradient `steps` updates from here, over that of `label_gradient`; inf if lost.

    0 where the step has killed the network (dead, saturated), large where the step has thrown it off.
    """
    leaves = network.leaf_weights(displace(network.weights, update, steps))
    logits_NK = network.logits(part.x_NCHW, leaves, part.seed)
    if not torch.isfinite(logits_NK).all():
        return math.inf
    grown = weights_norm(gradient_by_name(label_objective(logits_NK, part.y_N), leaves))
    return math.inf if math.isnan(grown) else safe_ratio(grown, weights_norm(label_gradient))


def small_step_scale(weights: Weights, direction: Weights, relative: float) -> float:
    """How many times `direction` moves the layer that moves most by `relative` of its length."""
    ratios = [
        safe_ratio(float(direction[n].norm()), float(w.norm())) for n, w in weights.items() if w.dim() > 1
    ]
    largest = max((r for r in ratios if math.isfinite(r)), default=0.0)
    return relative / largest if largest > 0 else 1.0


def weights_norm(weights: Weights) -> float:
    """Over all weights, in float64."""
    return math.sqrt(inner_product(weights, weights))


def scale_weights(weights: Weights, factor: float) -> dict[str, Tensor]:
    """factor · weights."""
    return {name: factor * w for name, w in weights.items()}


def safe_ratio(a: float, b: float) -> float:
    """a / b; 0 for 0 / 0, infinite for a / 0."""
    if b == 0 or math.isnan(b):
        return 0.0 if a == 0 else math.copysign(math.inf, a)
    return a / b


def centered_one_hot(y_N: Tensor, classes: int) -> Tensor:
    """One-hot labels less the classes' shares, (N, K): what is left to learn once the shares are learned."""
    onehot_NK = F.one_hot(y_N, classes).float()
    return onehot_NK - onehot_NK.mean(0)
