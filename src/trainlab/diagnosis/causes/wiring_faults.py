"""Causes that lie in how the network, its loss and its loop are put together. All of them are exact.

They rest on counts and not on thresholds of what is usual: they are reported of a run that learned as well.
"""

from trainlab.diagnosis.evidence import Evidence, Series, first_sustained_step
from trainlab.diagnosis.known_causes import Finding

CUT_AT_ZERO = 0.05
"""Share of outputs that are exactly zero from which on, with none below, they were cut there."""

ADDS_UP = 1.0
"""‖left over‖ / ‖new gradient‖ from which on most of what is stepped along is of earlier steps."""


def softmax_before_loss(evidence: Evidence) -> Finding | None:
    """The outputs are probabilities at every measured step: the cross-entropy applies softmax to them
    again."""
    share = evidence.signals.network_series("outputs_probabilities")
    if first_sustained_step(share, lambda value: value > 0.99) != min(share, default=None) or not share:
        return None
    return probabilities_before_loss(share[max(share)], since_step=min(share))


def probabilities_before_loss(
    share: float, layer: str | None = None, since_step: int | None = None
) -> Finding:
    """The finding, by the share of images whose outputs are probabilities."""
    description = (
        "the outputs of every image are ≥ 0 and sum to 1: probabilities, not logits; the loss applies "
        "softmax itself"
    )
    return Finding("softmax_before_loss", description, {"outputs_probabilities": share}, layer, since_step)


def activation_after_last_layer(evidence: Evidence) -> Finding | None:
    """No output is ever below zero, and some are exactly zero: an activation stands after the last layer."""
    negative, zero = (evidence.signals.network_series(f"outputs_{name}") for name in ("negative", "zero"))
    shared = sorted(negative.keys() & zero.keys())
    if not shared or any(negative[step] > 0 or not zero[step] >= CUT_AT_ZERO for step in shared):
        return None
    last = shared[-1]
    description = (
        f"a ReLU after the last layer: no logit is ever negative, {zero[last]:.0%} are exactly 0, and "
        "those get no gradient"
    )
    return Finding("activation_after_last_layer", description, {"outputs_zero": zero[last]}, None, shared[0])


def layers_not_registered(evidence: Evidence) -> Finding | None:
    """Layers with weights run inside the network and are not among its parameters."""
    count = evidence.signals.network_series("unregistered_layers")
    if not count:
        return None
    layers, registered = count[max(count)], len(evidence.signals.layers)
    description = (
        f"{layers:.0f} layers with weights run in the network and are not among its parameters, "
        f"{registered} are: a plain list hides them, ModuleList registers them"
    )
    return Finding("layers_not_registered", description, {"unregistered_layers": layers}, None, min(count))


def gradients_add_up(evidence: Evidence) -> Finding | None:
    """Before a step's backward pass the gradient of earlier steps is still there, and grows."""
    carried = evidence.signals.network_series("gradient_carried")
    if carried:
        return _gradient_carried(carried)
    left = evidence.signals.network_series("gradient_left_over")
    start = first_sustained_step(left, lambda value: value > ADDS_UP)
    if start is None or len(left) < 3 or _is_one_level(left):
        return None
    description = (
        f"before the last measured step's backward pass the gradient held {left[max(left)]:.3g} times "
        "what the pass adds: gradients of all steps add up, zero_grad is missing"
    )
    return Finding("gradients_add_up", description, {"gradient_left_over": left[max(left)]}, None, start)


def _gradient_carried(carried: Series) -> Finding | None:
    """By what was there when the backward pass began: at each of the last looks, two at least."""
    start = first_sustained_step(carried, lambda value: value == 1)
    if start is None or sum(step >= start for step in carried) < 2:
        return None
    description = (
        f"the gradient of step {max(carried)} holds that of the steps before: when its backward pass began "
        "the gradient was not zero; gradients of all steps add up, zero_grad is missing"
    )
    return Finding("gradients_add_up", description, {"gradient_carried": 1.0}, None, start)


def _is_one_level(left: Series) -> bool:
    """The first step has something left over too: gradients accumulated on purpose, from several batches."""
    return left[min(left)] > ADDS_UP / 10


def batchnorm_frozen(evidence: Evidence) -> Finding | None:
    """BatchNorm is in evaluation mode while the network trains, with the statistics it was made with."""
    share = evidence.signals.network_series("batchnorm_frozen")
    if not share or first_sustained_step(share, lambda value: value > 0) != min(share):
        return None
    description = (
        f"{share[max(share)]:.0%} of the BatchNorm layers are in evaluation mode while the network "
        "trains, with running statistics of mean 0 and variance 1: they do not normalize"
    )
    return Finding("batchnorm_frozen", description, {"batchnorm_frozen": share[max(share)]}, None, min(share))
