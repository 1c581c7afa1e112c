"""What an optimizer makes of a gradient: asked of the optimizer itself, on copies of the weights.

It is handed the gradients measured at initialization, over and over, and the network is not looked at
again: that is not training, it is the optimizer's own answer, whatever its class. So lr/(1 − β) of momentum,
Adam's indifference to the gradient's scale, and the ε that ends it, are all in it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.optim import Optimizer

from trainlab.diagnosis.forecast.subject import Weights
from trainlab.errors import RequestError

MakeOptimizer = Callable[[Iterable[nn.Parameter]], Optimizer]

PUSHES = 20
"""Times that the optimizer is handed the gradients: momentum 0.9 has then come to 88% of its speed."""

HEAVY, PUSHES_OF_HEAVY = 2_000_000, 8
"""Weights from which on it is asked less often."""

DECOUPLED = (torch.optim.SGD, torch.optim.AdamW)
"""Their weight decay shrinks by lr · λ a step, whatever the gradient; that of others becomes part of it."""


@dataclass(frozen=True)
class Push:
    """The update of one step: the very first, and the mean of those that follow, by weight.

    `decay` is the share of the weights that weight decay takes off at each step.
    """

    first: Weights
    steady: Weights
    decay: float


def push(
    make: MakeOptimizer, weights: Weights, gradients: Sequence[Weights], steps: int | None = None
) -> Push:
    """Hands `gradients` in turn to a new optimizer over copies of `weights`, for `steps` steps or `PUSHES`.

    The steady update is the mean over the second half of the steps.

    Raises RequestError where the optimizer cannot be made or wants more than gradients.
    """
    if steps is None:
        steps = PUSHES if sum(w.numel() for w in weights.values()) <= HEAVY else PUSHES_OF_HEAVY
    copies = {name: nn.Parameter(w.clone()) for name, w in weights.items()}
    try:
        optimizer = make(list(copies.values()))
        decay = _without_decay(optimizer)
        marks = []
        for step in range(steps):
            for name, copy in copies.items():
                copy.grad = gradients[step % len(gradients)][name].clone()
            optimizer.step()
            if step in (0, steps // 2 - 1, steps - 1):
                marks.append({name: copy.detach().clone() for name, copy in copies.items()})
    except (TypeError, ValueError, RuntimeError) as error:
        raise RequestError(f"preflight: the optimizer cannot be asked: {error}") from error
    first, half, end = marks[0], marks[-2], marks[-1]
    return Push(
        {name: first[name] - weights[name] for name in weights},
        {name: (end[name] - half[name]) / (steps - steps // 2) for name in weights},
        decay,
    )


def _without_decay(optimizer: Optimizer) -> float:
    """Takes decoupled weight decay out of the optimizer, and returns lr · λ of its largest group."""
    if not isinstance(optimizer, DECOUPLED):
        return 0.0
    decay = max(float(group["lr"]) * float(group["weight_decay"]) for group in optimizer.param_groups)
    for group in optimizer.param_groups:
        group["weight_decay"] = 0.0
    return decay
