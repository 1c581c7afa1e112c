"""The update rules of torch.optim for B runs at once, each with hyperparameters of its own.

A rule works on one flat row of parameters a run: gradients, states and directions have the shape (B, P). What
differs between runs is broadcast from (B, 1); what is the same for all stays a plain number, which is faster.
Nothing is read back from the device, so that a step can be captured as a CUDA graph.

Legend: B runs, P parameters of one run. Formulas: the documentation of torch.optim.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

Group: TypeAlias = Mapping[str, object]
"""Hyperparameters of one run, by their names in `param_groups` of its torch optimizer."""
Hyperparameter: TypeAlias = float | Tensor
"""One number for all runs, or one for each: (B, 1)."""


def exact_dtype(device: torch.device) -> torch.dtype:
    """In what rates and step counts are computed: float64, which Apple's GPUs do not have."""
    return torch.float32 if device.type == "mps" else torch.float64


class UpdateRule(Protocol):
    """What one kind of optimizer does with the gradients of all runs."""

    state_names: tuple[str, ...]

    def names_of_run(self, run: int) -> tuple[str, ...]:
        """Which of the states the torch optimizer of this run has."""
        ...

    def update(
        self, grad_BP: Tensor, state: Mapping[str, Tensor], steps_B: Tensor, lr_B: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(direction_BP, scale_B): the parameters move by their product. Advances `state`.

        grad_BP: used as scratch space. steps_B: the number of this step, 1 for the first.
        """
        ...


class SGDRule:
    """torch.optim.SGD: momentum, dampening, Nesterov (Sutskever et al. 2013)."""

    def __init__(self, groups: Sequence[Group], like: Tensor) -> None:
        momenta = _numbers(groups, "momentum")
        dampings = [d if mu else 0.0 for d, mu in zip(_numbers(groups, "dampening"), momenta, strict=True)]
        self._has_momentum = [mu != 0 for mu in momenta]
        self._momentum = per_run(momenta, like)
        self._is_damped = any(dampings)
        self._kept_B = 1 - _column(dampings, exact_dtype(like.device), like.device)[:, 0]
        self._nesterov = _flags(groups, "nesterov", like)
        self.state_names: tuple[str, ...] = ("momentum_buffer",) if any(self._has_momentum) else ()

    def names_of_run(self, run: int) -> tuple[str, ...]:
        """A run without momentum has no state."""
        return self.state_names if self._has_momentum[run] else ()

    def update(
        self, grad_BP: Tensor, state: Mapping[str, Tensor], steps_B: Tensor, lr_B: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `UpdateRule`. b ← μb + (1 − τ)g, in the first step b ← g."""
        if not self.state_names:
            return grad_BP, -lr_B
        buffer_BP = state["momentum_buffer"].mul_(self._momentum)
        if self._is_damped:
            kept_B = self._kept_B.masked_fill(steps_B == 1, 1.0)
            buffer_BP.addcmul_(grad_BP, _to_column(kept_B, grad_BP))
        else:
            buffer_BP.add_(grad_BP)
        return self._direction(grad_BP, buffer_BP), -lr_B

    def _direction(self, grad_BP: Tensor, buffer_BP: Tensor) -> Tensor:
        if self._nesterov is False:
            return buffer_BP
        if isinstance(self._momentum, Tensor):
            ahead_BP = grad_BP.addcmul_(buffer_BP, self._momentum)
        else:
            ahead_BP = grad_BP.add_(buffer_BP, alpha=self._momentum)
        return _choose(self._nesterov, ahead_BP, buffer_BP)


class AdamRule:
    """torch.optim.Adam and AdamW (Kingma & Ba 2015, algorithm 1), AMSGrad (Reddi et al. 2018)."""

    def __init__(self, groups: Sequence[Group], like: Tensor) -> None:
        beta1s, beta2s = zip(*(_betas(group) for group in groups), strict=True)
        self._new1 = per_run([1 - beta for beta in beta1s], like)
        self._beta2 = per_run(beta2s, like)
        self._new2 = per_run([1 - beta for beta in beta2s], like)
        exact = exact_dtype(like.device)
        self._betas_2B = torch.tensor([beta1s, beta2s], dtype=exact, device=like.device)
        self._eps_B = torch.tensor(_numbers(groups, "eps"), dtype=exact, device=like.device)
        self._uses_max = [bool(group["amsgrad"]) for group in groups]
        self._amsgrad = _flags(groups, "amsgrad", like)
        names = ("exp_avg", "exp_avg_sq")
        self.state_names: tuple[str, ...] = (*names, "max_exp_avg_sq") if any(self._uses_max) else names

    def names_of_run(self, run: int) -> tuple[str, ...]:
        """A maximum for AMSGrad alone."""
        return self.state_names if self._uses_max[run] else self.state_names[:2]

    def update(
        self, grad_BP: Tensor, state: Mapping[str, Tensor], steps_B: Tensor, lr_B: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `UpdateRule`. With c₁ = 1 − β₁ᵗ, c₂ = √(1 − β₂ᵗ): m/(√v + ε c₂) times −lr c₂/c₁."""
        mean_BP, square_BP = state["exp_avg"], state["exp_avg_sq"]
        mean_BP.lerp_(grad_BP, self._new1)
        _average_square(square_BP, grad_BP, self._beta2, self._new2)
        if self._amsgrad is not False:
            largest_BP = torch.maximum(state["max_exp_avg_sq"], square_BP, out=state["max_exp_avg_sq"])
            square_BP = _choose(self._amsgrad, largest_BP, square_BP)
        corrections_2B = 1 - self._betas_2B**steps_B
        root_B = corrections_2B[1].sqrt()
        scratch_BP = torch.sqrt(square_BP, out=grad_BP).add_(_to_column(self._eps_B * root_B, grad_BP))
        return torch.div(mean_BP, scratch_BP, out=scratch_BP), -lr_B * root_B / corrections_2B[0]


class RMSpropRule:
    """torch.optim.RMSprop (Tieleman & Hinton 2012; centered: Graves 2013, arXiv:1308.0850)."""

    def __init__(self, groups: Sequence[Group], like: Tensor) -> None:
        alphas, momenta = _numbers(groups, "alpha"), _numbers(groups, "momentum")
        self._alpha = per_run(alphas, like)
        self._new = per_run([1 - alpha for alpha in alphas], like)
        self._eps = per_run(_numbers(groups, "eps"), like)
        self._momentum = per_run(momenta, like)
        self._centered = _flags(groups, "centered", like)
        self._has = {
            "square_avg": [True] * len(groups),
            "momentum_buffer": [mu > 0 for mu in momenta],
            "grad_avg": [bool(group["centered"]) for group in groups],
        }
        self.state_names = tuple(name for name, runs in self._has.items() if any(runs))

    def names_of_run(self, run: int) -> tuple[str, ...]:
        """A buffer with momentum alone, a mean gradient where it is centered."""
        return tuple(name for name in self.state_names if self._has[name][run])

    def update(
        self, grad_BP: Tensor, state: Mapping[str, Tensor], steps_B: Tensor, lr_B: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `UpdateRule`. g/(√v + ε), where v is the running mean of g², less that of g, squared."""
        square_BP = state["square_avg"]
        _average_square(square_BP, grad_BP, self._alpha, self._new)
        if self._centered is not False:
            mean_BP = state["grad_avg"].lerp_(grad_BP, self._new)
            variance_BP = torch.addcmul(square_BP, mean_BP, mean_BP, value=-1)
            square_BP = _choose(self._centered, variance_BP, square_BP)
        root_BP = square_BP.sqrt().add_(self._eps)
        direction_BP = torch.div(grad_BP, root_BP, out=grad_BP)
        if "momentum_buffer" in state:
            direction_BP = state["momentum_buffer"].mul_(self._momentum).add_(direction_BP)
        return direction_BP, -lr_B


def per_run(values: Sequence[float], like: Tensor) -> Hyperparameter:
    """One number where all are the same, else (B, 1) in the type and on the device of `like`."""
    return values[0] if len(set(values)) == 1 else _column(values, like.dtype, like.device)


def _column(values: Sequence[float], dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=dtype, device=device)[:, None]


def _to_column(values_B: Tensor, like: Tensor) -> Tensor:
    return values_B.to(like.dtype)[:, None]


def _numbers(groups: Sequence[Group], name: str) -> list[float]:
    return [number(group[name]) for group in groups]


def number(value: object) -> float:
    """A hyperparameter, which is a plain number."""
    assert isinstance(value, int | float)  # `require_kind` lets nothing else in
    return float(value)


def _betas(group: Group) -> tuple[float, float]:
    betas = group["betas"]
    assert isinstance(betas, list | tuple)
    return number(betas[0]), number(betas[1])


def _flags(groups: Sequence[Group], name: str, like: Tensor) -> bool | Tensor:
    """True or False where all runs agree, else (B, 1)."""
    flags = [bool(group[name]) for group in groups]
    return flags[0] if len(set(flags)) == 1 else _column(flags, torch.bool, like.device)


def _choose(flag: bool | Tensor, yes_BP: Tensor, no_BP: Tensor) -> Tensor:
    if isinstance(flag, Tensor):
        return torch.where(flag, yes_BP, no_BP)
    return yes_BP if flag else no_BP


def _average_square(square_BP: Tensor, grad_BP: Tensor, old: Hyperparameter, new: Hyperparameter) -> None:
    """v ← old · v + new · g²; not as an interpolation, in which an infinite v would become NaN."""
    square_BP.mul_(old)
    if isinstance(new, Tensor):
        square_BP.addcmul_(grad_BP * new, grad_BP)
    else:
        square_BP.addcmul_(grad_BP, grad_BP, value=new)
