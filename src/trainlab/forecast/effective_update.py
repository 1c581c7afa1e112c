"""What an optimizer makes of a gradient: the optimizer itself is run, on copies of the weights.

It is given the gradients measured at initialization, over and over, and the network is not evaluated again:
that is not training, it is the optimizer's own response, whatever its class. So lr/(1 − β) of momentum,
Adam's indifference to the gradient's scale, and the ε that ends it, are all in it.

Weight decay pulls against that, the more the farther the weights have gone. With r the share of the way that
it takes back a step, t steps of u come to u (1 − (1 − r)^t)/r and not to t u.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from trainlab.errors import RequestError, error_with_type
from trainlab.forecast.functional_model import Weights, displace
from trainlab.forecast.optimizer_factory import MakeOptimizer, ParamGroup, group_number

UPDATE_STEPS = 20
"""Steps that the optimizer makes with the gradients: momentum 0.9 has then come to 88% of its speed."""

MANY_WEIGHTS, UPDATE_STEPS_OF_MANY = 2_000_000, 8
"""Weights from which on it makes fewer steps."""

PROPORTIONAL = 1e-3
"""Relative deviation up to which a step without gradient counts as a shrinking by one factor."""


@dataclass(frozen=True)
class EffectiveUpdate:
    """The update of one step: the very first, and the mean of those that follow, by weight.

    `decay` is what weight decay takes off at each step, as a share: of the weights, where it shrinks them
    whatever the gradient (then it is no part of the updates); else, weight by weight, of the way to where
    gradient and decay balance (then it is part of them). `speed`: the update that momentum comes to in the
    end, over the steady one.
    """

    first: Weights
    steady: Weights
    decay: Mapping[str, float | Tensor]
    speed: Mapping[str, float]

    def displaced_weights(self, weights: Weights, steps: float) -> dict[str, Tensor]:
        """The weights after so many steps."""
        if not self.decay:
            return displace(weights, self.steady, steps)
        return {name: self._displaced_weight(name, weights[name], steps) for name in weights}

    def _displaced_weight(self, name: str, w: Tensor, steps: float) -> Tensor:
        update, decay = self.steady[name], self.decay.get(name)
        if decay is None:
            return torch.add(w, update, alpha=steps)
        if isinstance(decay, Tensor):
            return w + update * torch.where(decay > 0, -torch.expm1(-decay * steps) / decay, steps)
        kept = (1 - min(decay, 1.0)) ** steps
        return kept * w + update * (self.speed[name] * (1 - kept) / min(decay, 1.0))


def effective_update(
    make: MakeOptimizer, weights: Weights, gradients: Sequence[Weights], steps: int | None = None
) -> EffectiveUpdate:
    """Hands `gradients` in turn to a new optimizer over copies of `weights`.

    It makes `steps` steps, or UPDATE_STEPS; the steady update is the mean over the second half of them.

    Raises RequestError where the optimizer cannot be made or wants more than gradients.
    """
    if steps is None:
        is_large = sum(w.numel() for w in weights.values()) > MANY_WEIGHTS
        steps = UPDATE_STEPS_OF_MANY if is_large else UPDATE_STEPS
    copies = {name: nn.Parameter(w.clone()) for name, w in weights.items()}
    optimizer = make(list(copies.values()))
    groups = _groups(optimizer, copies)
    shrinks = {
        name: _decay_is_decoupled(optimizer, groups[name], make, weights)
        for name in groups
        if _has_decay(groups[name])
    }
    decay: dict[str, float | Tensor] = {
        name: _decay_per_step(groups[name]) for name in shrinks if shrinks[name]
    }
    for name in decay:
        groups[name]["weight_decay"] = 0.0
    marks = _weights_after_steps(
        optimizer, copies, gradients, steps, reset_to=weights if len(decay) < len(shrinks) else None
    )
    first, half, end = marks[0], marks[-2], marks[-1]
    reached = {name: _momentum_reached(group, steps) for name, group in groups.items()}
    # however few the steps and heavy the momentum: as far on its way as 0.9 is after UPDATE_STEPS
    catch_up = {name: max(1.0, REACHED_BY_MOMENTUM_09 / reached.get(name, 1.0)) for name in weights}
    steady = {name: (end[name] - half[name]) / (steps - steps // 2) * catch_up[name] for name in weights}
    for name in shrinks:
        if not shrinks[name]:
            decay[name] = _coupled_decay(
                steady[name], weights[name], gradients, name, group_number(groups[name], "weight_decay")
            )
    speed = {name: 1 / max(reached[name], REACHED_BY_MOMENTUM_09) for name in decay}
    return EffectiveUpdate({name: first[name] - weights[name] for name in weights}, steady, decay, speed)


def _weights_after_steps(
    optimizer: Optimizer,
    copies: Mapping[str, nn.Parameter],
    gradients: Sequence[Weights],
    steps: int,
    reset_to: Weights | None = None,
) -> list[dict[str, Tensor]]:
    """The weights after the first, half, and all of the steps; each made from `reset_to` if given."""
    marks = []
    moved = {name: torch.zeros_like(copy) for name, copy in copies.items()}
    try:
        for step in range(steps):
            for name, copy in copies.items():
                copy.grad = gradients[step % len(gradients)][name].clone()
            optimizer.step()
            if reset_to is not None:
                _reset(copies, reset_to, moved)
            if step in (0, steps // 2 - 1, steps - 1):
                marks.append({name: copy.detach() + moved[name] for name, copy in copies.items()})
    except Exception as error:  # whatever a user's optimizer raises
        raise RequestError(f"preflight: the optimizer cannot be run: {error_with_type(error)}") from error
    return marks


@torch.no_grad()
def _reset(copies: Mapping[str, nn.Parameter], reset_to: Weights, moved: Mapping[str, Tensor]) -> None:
    for name, copy in copies.items():
        moved[name].add_(copy - reset_to[name])
        copy.copy_(reset_to[name])


def _groups(optimizer: Optimizer, copies: Mapping[str, nn.Parameter]) -> dict[str, ParamGroup]:
    """The group of each weight that the optimizer holds."""
    names = {id(copy): name for name, copy in copies.items()}
    return {
        names[id(p)]: group for group in optimizer.param_groups for p in group["params"] if id(p) in names
    }


def _has_decay(group: ParamGroup) -> bool:
    return group_number(group, "weight_decay") > 0 and group_number(group, "lr") > 0


def _decay_is_decoupled(
    optimizer: Optimizer, group: ParamGroup, make: MakeOptimizer, weights: Weights
) -> bool:
    """Whether decay shrinks the weights by one factor a step, whatever the gradient."""
    if isinstance(optimizer, torch.optim.SGD | torch.optim.AdamW):
        return True
    if "decoupled_weight_decay" in group or type(optimizer).__module__.startswith("torch.optim"):
        return bool(group.get("decoupled_weight_decay"))
    return _shrinks_without_gradient(make, weights)


def _shrinks_without_gradient(make: MakeOptimizer, weights: Weights) -> bool:
    """For an optimizer that is not torch's: seen from a step without gradient, weight by weight."""
    copies = {name: nn.Parameter(w.clone()) for name, w in weights.items()}
    for copy in copies.values():
        copy.grad = torch.zeros_like(copy)
    make(list(copies.values())).step()
    changes = [((copies[name].detach() - w) / w)[w != 0] for name, w in weights.items()]
    changed = torch.cat([c.flatten() for c in changes if c.abs().sum() > 0] or [torch.ones(1)])
    return bool(changed.mean() < 0) and bool(changed.std(correction=0) <= PROPORTIONAL * changed.mean().abs())


def _decay_per_step(group: ParamGroup) -> float:
    """lr λ; times (1 − dampening)/(1 − β) with SGD, which hands decay to momentum with the gradient."""
    decay = group_number(group, "lr") * group_number(group, "weight_decay")
    beta = group_number(group, "momentum")
    if "dampening" not in group or not beta:
        return decay
    return decay * (1 - group_number(group, "dampening")) / (1 - beta)


def _coupled_decay(
    update: Tensor, w: Tensor, gradients: Sequence[Weights], name: str, decay: float
) -> Tensor:
    """λ D, with D what the optimizer makes of a unit of gradient and decay together, weight by weight."""
    total = sum(g[name] for g in gradients) / len(gradients) + decay * w
    return torch.where(total != 0, decay * update.abs() / total.abs().clamp(min=1e-38), 0.0)


def _momentum_reached(group: ParamGroup, steps: int) -> float:
    """How far SGD's momentum has come to its speed in the second half of the steps, on the mean; 1 without.

    The same recursion as torch's, for a gradient of 1: b ← β b + (1 − dampening), the first b being 1.
    """
    beta, dampening = group_number(group, "momentum"), group_number(group, "dampening")
    if "dampening" not in group or not 0 < beta < 1 or dampening >= 1:
        return 1.0
    updates, buffer = [], 1.0
    for step in range(steps):
        buffer = buffer if step == 0 else beta * buffer + 1 - dampening
        updates.append(1 + beta * buffer if group.get("nesterov") else buffer)
    return math.fsum(updates[steps // 2 :]) / (steps - steps // 2) * (1 - beta) / (1 - dampening)


REACHED_BY_MOMENTUM_09 = _momentum_reached({"momentum": 0.9, "dampening": 0.0}, UPDATE_STEPS)
"""What momentum 0.9 has come to: four fifths of its speed, on which the probability was fitted."""
