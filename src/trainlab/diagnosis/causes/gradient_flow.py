"""Causes that show in the gradient as it goes from layer to layer: gone, shrinking, growing."""

import math

from trainlab.diagnosis.evidence import Evidence
from trainlab.diagnosis.known_causes import Finding

LITTLE = 0.05
"""Weights that go less than this share of their own length in the whole run stay what they were drawn."""

SHRINKS = 0.01
"""Share of the last hidden layer's gradient below which the first has lost it: sound nets keep about 1."""

GROWS = 10.0
"""Times the last hidden layer's gradient from which on it has grown."""

THROWN = 0.3
"""‖Δw‖/‖w‖ of one step from which on a layer is thrown off rather than trained; 0.001 is usual."""

HUGE_LOSS = 10.0
"""Times the chance loss from which on the first loss shows a signal that has grown out of bounds."""


def no_trainable_gradient(evidence: Evidence) -> Finding | None:
    """No weight ever gets a gradient: all frozen, cut off from the loss, or with a gradient of exactly 0."""
    signals = evidence.signals
    if not signals.layers:
        return None
    of_weights = signals.by_layer("weight_grad_norm").values()
    of_hidden = [signals.series(layer, "preactivation_grad_norm") for layer in signals.layers[:-1]]
    if of_weights and any(value != 0 for series in (*of_weights, *of_hidden) for value in series.values()):
        return None
    frozen = _frozen(evidence)
    kind = "a gradient other than zero" if of_weights else "a gradient: frozen, or cut off from the loss"
    if len(frozen) == len(signals.layers):
        kind = "a gradient: all are frozen (requires_grad=False)"
    description = f"none of the {len(signals.layers)} weight layers gets {kind}"
    numbers = {"weight_grad_norm": 0.0, "layers_trained": 0.0, "layers_frozen": float(len(frozen))}
    return Finding("no_trainable_gradient", description, numbers, signals.layers[0], 0)


def some_without_gradient(evidence: Evidence) -> Finding | None:
    """Layers that never get a gradient, while others do: frozen by design, or cut off by mistake."""
    signals = evidence.signals
    trained = signals.by_layer("weight_grad_norm")
    others = sum(any(series.values()) for series in trained.values())
    without = [layer for layer in signals.layers if not any(trained.get(layer, {}).values())]
    if not others or not without:
        return None
    frozen = [layer for layer in _frozen(evidence) if layer in without]
    description = (
        f"{len(without)} of {len(signals.layers)} weight layers never get a gradient, {without[0]} the "
        "first: they stay what they were drawn"
    )
    if frozen:
        description += f"; {len(frozen)} of {len(signals.layers)} layers are frozen (requires_grad=False)"
    numbers = {"weight_grad_norm": 0.0, "layers_trained": float(others), "layers_frozen": float(len(frozen))}
    return Finding("no_trainable_gradient", description, numbers, without[0], 0)


def _frozen(evidence: Evidence) -> list[str]:
    """The layers whose weights may not be trained; none where it was not recorded."""
    trainable = evidence.signals.by_layer("trainable")
    return [layer for layer, series in trainable.items() if not any(series.values())]


def vanishing_gradient(evidence: Evidence) -> Finding | None:
    """The gradient shrinks toward the input, and the layer it reaches last hardly moves in the whole run.

    Both are checked: Adam divides the gradient by its own size, so that a small one alone is no fault.
    """
    flow = _flow(evidence)
    if flow is None:
        return None
    step, layer, share = flow
    moved = evidence.path_length(layer)
    if not (share < SHRINKS and moved < LITTLE):
        return None
    description = (
        f"the gradient at {layer} is {share:.1g} of that at the last hidden layer; in the whole run its "
        f"weights went {moved:.1g} of their length"
    )
    numbers = {"gradient_share": share, "moved": moved}
    return Finding("vanishing_gradient", description, numbers, layer, step)


def exploding_gradient(evidence: Evidence) -> Finding | None:
    """The gradient grows toward the input, and the first steps or the first loss show that it matters."""
    flow = _flow(evidence)
    if flow is None:
        return None
    step, layer, growth = flow
    thrown = evidence.signals.series(layer, "update_ratio").get(step, math.nan)
    loss = evidence.losses.get(step, math.nan)
    if not (growth > GROWS and (thrown > THROWN or not loss < HUGE_LOSS * evidence.chance_loss)):
        return None
    description = (
        f"the gradient at {layer} is {growth:.3g} times that at the last hidden layer; the first step "
        f"changes {thrown:.2g} of its weights, the first loss is {loss:.3g}"
    )
    numbers = {"gradient_growth": growth, "update_ratio": thrown, "first_loss": loss}
    return Finding("exploding_gradient", description, numbers, layer, step)


def _flow(evidence: Evidence) -> tuple[int, str, float] | None:
    """The first measured step, the first layer, and the norm of ∂loss/∂z there over the last hidden layer's.

    The norm over the batch, not the root mean square: pooling spreads a gradient over more positions and
    keeps its norm.
    """
    hidden = evidence.signals.layers[:-1]
    of_layers = evidence.signals.by_layer("preactivation_grad_norm")
    reached = [layer for layer in hidden if layer in of_layers]
    if len(reached) < 2:
        return None
    first, last = of_layers[reached[0]], of_layers[reached[-1]]
    step = min(first)
    if not last.get(step, 0.0) > 0 or not math.isfinite(first[step] / last[step]):
        return None
    return step, reached[0], first[step] / last[step]
