"""What one step of a loop does with the parameters: who holds them, which get a gradient, which change.

Exact facts, by identity and by value. A step may be reached in many ways (closures, several backward passes,
several optimizers): what counts is what is there when the optimizer begins, and when it is done.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from trainlab.signals.weak_hooks import hook_weakly

SAMPLED = 4096
"""Values of a tensor that are compared, beside the sum of all."""

NO_BACKWARD, ZEROED, NOT_REACHED = 1.0, 2.0, 3.0
"""Why the optimizer finds no gradient: no backward pass, zeroed after it, or a loss of something else."""

Prints = Mapping[int, Tensor]
"""What is kept of a parameter's values, by its id."""


def held_by(optimizers: Iterable[Optimizer]) -> list[nn.Parameter]:
    """All parameters in the groups of the optimizers, each once."""
    held = {
        id(parameter): parameter
        for optimizer in optimizers
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    return list(held.values())


def numbers_in(grad: Tensor) -> Tensor:
    """The numbers of a gradient; of a sparse one those that are there."""
    return grad.coalesce().values() if grad.is_sparse else grad


def fingerprint(x: Tensor) -> Tensor:
    """Evenly spaced values, and the sum of all in float64: what changes a parameter, or a batch, changes
    these."""
    values = x.detach().reshape(-1)
    sample = values[:: max(1, -(-len(values) // SAMPLED))].double()
    return torch.cat([sample, values.sum(dtype=torch.float64)[None]])


@dataclass
class ParameterStep:
    """One step, from its first forward or backward pass to its end.

    `before`: the prints of the last step that was looked at, None for the first.
    """

    network: nn.Module
    optimizers: Sequence[Optimizer]
    before: Prints | None = None
    backward_passes: int = 0
    prints: dict[int, Tensor] = field(default_factory=dict)
    _rows: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.own = dict(self.network.named_parameters())
        self._reached: set[int] = set()
        self._carried = False
        self._norms: dict[int, Tensor] = {}
        self._kept: tuple[Tensor, Tensor] | None = None
        self._with_gradient: list[nn.Parameter] = []
        self._probe: nn.Parameter | None = None
        self.reached_now = False
        self._handles: list[RemovableHandle] = [
            hook_weakly(parameter.register_post_accumulate_grad_hook, self._reach)
            for parameter in self.own.values()
            if parameter.requires_grad and parameter.is_leaf
        ]

    def remove(self) -> None:
        """Takes the hooks off the parameters."""
        while self._handles:
            self._handles.pop().remove()

    @property
    def is_reached(self) -> bool:
        """Whether a backward pass of this step has come to the network's parameters."""
        return bool(self._reached)

    def before_backward(self) -> None:
        """Whether the gradient of an earlier step is still there when a new one begins to be added up."""
        if self.backward_passes == 0:
            left = (p for p in reversed(self._held_and_own()) if _is_set(p.grad))
            self._probe = next(left, None)
        # set to zero between two passes: what comes from there on is the step's own
        self._carried = (self._carried or self.backward_passes == 0) and self._is_left()
        self.backward_passes += 1
        self.reached_now = False

    def _is_left(self) -> bool:
        return self._probe is not None and _is_set(self._probe.grad)

    def after_backward(self) -> None:
        """The gradient's length, before anything clips it."""
        for optimizer in self.optimizers:
            grads = self._gradients(optimizer)
            if grads:
                self._norms[id(optimizer)] = get_total_norm(grads)

    def before_update(self, optimizer: Optimizer) -> None:
        """The optimizer is about to change what it holds."""
        if self.prints:
            return
        own, held = self.own.values(), {id(parameter) for parameter in held_by(self.optimizers)}
        self.prints = {id(parameter): fingerprint(parameter) for parameter in own if parameter.numel()}
        self._with_gradient = [p for p in self._held_and_own() if p.grad is not None]
        self._rows["gradient_missing"] = self._why_without_gradient()
        if self.backward_passes:
            self._rows["gradient_carried"] = float(self._carried)
        trained = [p for p in own if p.requires_grad]
        unreached = [p for p in trained if p.grad is None]
        if self._with_gradient:
            self._rows["parameters_unreached"] = _share_of_values(unreached, trained)
        outside = [p for p in trained if id(p) not in held and p.grad is not None]
        if self.before is not None:
            still = [p for p in outside if self._is_unchanged(p, self.before)]
            self._rows["parameters_outside"] = _share_of_values(still, trained)
        strangers = [p for p in held_by(self.optimizers) if id(p) not in {id(q) for q in own}]
        self._rows["optimizer_strangers"] = float(sum(p.grad is None for p in strangers))
        grads, norm = self._gradients(optimizer), self._norms.get(id(optimizer))
        if grads and norm is not None:
            self._kept = norm, get_total_norm(grads)

    @torch.no_grad()
    def rows(self, scale: float) -> dict[str, float]:
        """The step is done: what it showed. `scale`: of a gradient scaler, where the loss had one."""
        with_gradient = [p for p in self._with_gradient if id(p) in self.prints and _is_set(p.grad)]
        if with_gradient:
            changed = [not torch.equal(fingerprint(p), self.prints[id(p)]) for p in with_gradient]
            self._rows["parameters_unchanged"] = 1 - sum(changed) / len(changed)
        kept = self._share_kept(scale)
        if math.isfinite(kept):
            self._rows["gradient_kept"] = kept
        return self._rows

    def _reach(self, parameter: Tensor) -> None:
        self._reached.add(id(parameter))
        self.reached_now = True

    def _held_and_own(self) -> list[nn.Parameter]:
        own = {id(parameter) for parameter in self.own.values()}
        return [parameter for parameter in held_by(self.optimizers) if id(parameter) in own]

    def _gradients(self, optimizer: Optimizer) -> list[Tensor]:
        grads = [p.grad for p in held_by([optimizer]) if p.grad is not None]
        return [grad for grad in grads if not grad.is_sparse]

    def _why_without_gradient(self) -> float:
        if any(_is_set(parameter.grad) for parameter in self._with_gradient):
            return 0.0
        if not self.backward_passes:
            return NO_BACKWARD
        if not self._reached:
            return NOT_REACHED
        # reached, and None now: zeroed. Zeros may be the gradient itself, which layers' own rows show
        return 0.0 if self._with_gradient and not self._is_zeroed() else ZEROED

    def _is_zeroed(self) -> bool:
        """Whether the gradient had a length after the backward pass."""
        return any(bool(norm > 0) for norm in self._norms.values())

    def _is_unchanged(self, parameter: nn.Parameter, before: Prints) -> bool:
        known = before.get(id(parameter))
        now = self.prints.get(id(parameter))
        return known is not None and now is not None and torch.equal(known, now)

    def _share_kept(self, scale: float) -> float:
        """Of the gradient's length, between the backward pass and the step; unscaled."""
        if self._kept is None:
            return math.nan
        norm, at_step = (float(length) for length in self._kept)
        if not norm > 0:
            return math.nan
        share = at_step / norm
        return share * scale if share * scale < 1.5 else share


def _is_set(grad: Tensor | None) -> bool:
    return grad is not None and bool(numbers_in(grad).any())


def _share_of_values(part: Iterable[Tensor], whole: Iterable[Tensor]) -> float:
    """Of all numbers in `whole`, those that are in `part`."""
    total = sum(parameter.numel() for parameter in whole)
    return sum(parameter.numel() for parameter in part) / total if total else 0.0
