"""Which optimizers have a stacked form, and their hyperparameters as torch itself has them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

from trainlab.build.optimizer import optimizer_factory
from trainlab.errors import RequestError
from trainlab.settings import Settings
from trainlab.stacked.update_rules import AdamRule, Group, RMSpropRule, SGDRule, UpdateRule


@dataclass(frozen=True)
class OptimizerKind:
    """Optimizers that can be in one stack, whatever their hyperparameters."""

    name: str
    rule: Callable[[Sequence[Group], Tensor], UpdateRule]
    counts_steps: bool

    def steps_of(self, entry: Mapping[str, Tensor] | None) -> int:
        """Steps that a parameter has taken, by its state in torch's format; 1 for any number not counted."""
        if not entry:
            return 0
        return int(entry["step"]) if self.counts_steps else 1


_ADAM = OptimizerKind("Adam", AdamRule, counts_steps=True)
KINDS: dict[type[Optimizer], OptimizerKind] = {
    SGD: OptimizerKind("SGD", SGDRule, counts_steps=False),
    Adam: _ADAM,
    AdamW: _ADAM,  # the decay apart from the gradient is a flag of each run
    RMSprop: OptimizerKind("RMSprop", RMSpropRule, counts_steps=True),
}
"""By class, how it is stacked."""
_NOT_STACKED = ("maximize", "differentiable")


def run_optimizer(settings: Settings, like: Tensor | None = None) -> Optimizer:
    """The run's own torch optimizer, over a parameter that stands for all. Raises RequestError."""
    stand_in = torch.zeros(1) if like is None else torch.zeros(1, dtype=like.dtype, device=like.device)
    return optimizer_factory(settings)([nn.Parameter(stand_in)])


def optimizer_kind(settings: Settings) -> str | None:
    """What the optimizers of one stack have in common: "SGD", "Adam" (AdamW too), "RMSprop".

    None for an optimizer without a stacked form. Raises RequestError where it cannot be built.
    """
    kind = _kind_of(run_optimizer(settings))
    return kind.name if kind is not None else None


def is_stackable_optimizer(settings: Settings) -> bool:
    """Whether the run's optimizer has a stacked form. Raises RequestError where it cannot be built."""
    return optimizer_kind(settings) is not None


def require_kind(optimizers: Sequence[Optimizer]) -> OptimizerKind:
    """The one kind of these optimizers. Raises RequestError: one without a stacked form, or several kinds."""
    kinds = [_kind_of(optimizer) for optimizer in optimizers]
    names = ", ".join(cls.__name__ for cls in KINDS)
    for optimizer, kind in zip(optimizers, kinds, strict=True):
        if kind is None:
            raise RequestError(
                f"optimizer {type(optimizer).__name__}: has no stacked form, expected {names} of torch.optim "
                "with plain numbers, one group, and neither maximize nor differentiable (or sweep.stack=off)"
            )
    found = {kind.name: kind for kind in kinds if kind is not None}
    if len(found) != 1:
        raise RequestError(f"optimizers of one stack: got {', '.join(found)}, expected one kind")
    return next(iter(found.values()))


def _kind_of(optimizer: Optimizer) -> OptimizerKind | None:
    kind = KINDS.get(type(optimizer))
    if kind is None or len(optimizer.param_groups) != 1:
        return None
    group = optimizer.param_groups[0]
    has_tensors = any(isinstance(value, Tensor) for value in (group["lr"], *group.get("betas", ())))
    return None if has_tensors or any(group[flag] for flag in _NOT_STACKED) else kind
