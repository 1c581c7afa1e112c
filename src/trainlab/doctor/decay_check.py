"""Whether weight decay pulls harder than the gradient, as far as the first step shows it."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from trainlab.diagnosis.known_causes import Finding
from trainlab.doctor.layer_names import join_names, layers_of
from trainlab.doctor.parameter_facts import numbers_in

OVER_GRADIENT, OVER_UPDATE = 10.0, 2.0
"""Length of the weight decay's part of a step from which on it wins in a layer: over the gradient's, which
grows where the loss does; and over an update of Adam's, which does not."""

SHRINKS = 1e-3
"""Share of the weights that decay takes in a step, from which on it matters within a few thousand of them."""


class _Pull(NamedTuple):
    """Of one weight: the decay's length over what it is added to, and the limit for it."""

    ratio: float
    limit: float


def weight_decay_too_strong(
    network: nn.Module, optimizers: Sequence[Optimizer], grads: Mapping[str, Tensor | None]
) -> Finding | None:
    """In most weight layers the decay's part of the step is many times that of the gradient."""
    names = {id(p): name for name, p in network.named_parameters() if p.dim() > 1}
    pulls: dict[str, _Pull] = {}
    strongest = 0.0
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            decay, rate, momentum = (float(group.get(key) or 0) for key in ("weight_decay", "lr", "momentum"))
            if rate * decay < SHRINKS * (1 - momentum):
                continue
            for p in group["params"]:
                grad = grads.get(names.get(id(p), ""))
                if grad is not None:
                    strongest = max(strongest, decay)
                    pulls[names[id(p)]] = _pull(optimizer, decay, p.detach(), grad)
    winning = [name for name, pull in pulls.items() if pull.ratio > pull.limit]
    if len(winning) <= len(names) / 2:
        return None
    layers = layers_of(network, winning)
    ratio = statistics.median(pull.ratio for pull in pulls.values())
    description = (
        f"weight decay {strongest:g} pulls the weights to zero {ratio:.2g} times as hard as the gradient "
        f"pulls them in the median layer, and wins in {len(winning)} of {len(names)}: {join_names(layers)}"
    )
    numbers = {"weight_decay": strongest, "decay_over_gradient": ratio}
    return Finding("weight_decay_too_strong", description, numbers, layers[0])


def _pull(optimizer: Optimizer, decay: float, weight: Tensor, grad: Tensor) -> _Pull:
    """‖decay · w‖ over the gradient's length; where decay is decoupled, over an update of one a weight."""
    is_decoupled = bool(optimizer.param_groups[0].get("decoupled_weight_decay"))
    length = decay * float(weight.norm())
    if is_decoupled or isinstance(optimizer, AdamW):
        return _Pull(length / math.sqrt(grad.numel()), OVER_UPDATE)
    return _Pull(length / max(float(numbers_in(grad).norm()), 1e-30), OVER_GRADIENT)
