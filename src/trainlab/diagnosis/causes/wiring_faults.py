"""Causes that lie in how the network, its loss and its loop are put together. All of them are exact.

What they rest on is counted, not judged: they are said of a run that learned as well.
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
    share = evidence.signals.network("outputs_probabilities")
    if first_sustained_step(share, lambda value: value > 0.99) != min(share, default=None) or not share:
        return None
    says = "the outputs of every image are ≥ 0 and sum to 1: probabilities, not logits; the loss applies "
    says += "softmax itself"
    return Finding(
        "softmax_before_loss", says, {"outputs_probabilities": share[max(share)]}, None, min(share)
    )


def activation_after_last_layer(evidence: Evidence) -> Finding | None:
    """No output is ever below zero, and some are exactly zero: an activation stands after the last layer."""
    negative, zero = (evidence.signals.network(f"outputs_{name}") for name in ("negative", "zero"))
    shared = sorted(negative.keys() & zero.keys())
    if not shared or any(negative[step] > 0 or not zero[step] >= CUT_AT_ZERO for step in shared):
        return None
    last = shared[-1]
    says = f"a ReLU after the last layer: no logit is ever negative, {zero[last]:.0%} are exactly 0, and "
    says += "those get no gradient"
    return Finding("activation_after_last_layer", says, {"outputs_zero": zero[last]}, None, shared[0])


def layers_not_registered(evidence: Evidence) -> Finding | None:
    """Layers with weights run inside the network and are not among its parameters."""
    count = evidence.signals.network("unregistered_layers")
    if not count:
        return None
    layers, registered = count[max(count)], len(evidence.signals.layers)
    says = f"{layers:.0f} layers with weights run in the network and are not among its parameters, "
    says += f"{registered} are: a plain list hides them, ModuleList registers them"
    return Finding("layers_not_registered", says, {"unregistered_layers": layers}, None, min(count))


def gradients_add_up(evidence: Evidence) -> Finding | None:
    """Before a step's backward pass the gradient of earlier steps is still there, and grows."""
    left = evidence.signals.network("gradient_left_over")
    start = first_sustained_step(left, lambda value: value > ADDS_UP)
    if start is None or len(left) < 3 or _is_one_level(left):
        return None
    says = f"before the last measured step's backward pass the gradient held {left[max(left)]:.3g} times "
    says += "what the pass adds: gradients of all steps add up, zero_grad is missing"
    return Finding("gradients_add_up", says, {"gradient_left_over": left[max(left)]}, None, start)


def _is_one_level(left: Series) -> bool:
    """The first step has something left over too: gradients accumulated on purpose, from several batches."""
    return left[min(left)] > ADDS_UP / 10


def batchnorm_frozen(evidence: Evidence) -> Finding | None:
    """BatchNorm is in evaluation mode while the network trains, with the statistics it was made with."""
    share = evidence.signals.network("batchnorm_frozen")
    if not share or first_sustained_step(share, lambda value: value > 0) != min(share):
        return None
    says = f"{share[max(share)]:.0%} of the BatchNorm layers are in evaluation mode while the network "
    says += "trains, with running statistics of mean 0 and variance 1: they do not normalize"
    return Finding("batchnorm_frozen", says, {"batchnorm_frozen": share[max(share)]}, None, min(share))
