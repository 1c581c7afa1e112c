"""The user's optimizer and schedule, turned into ones over copies of the weights.

A function of the parameters is called with copies. An optimizer that exists already, over the network's own
parameters, is copied: its class, groups and state over copies of these. Neither is ever stepped itself.
"""

import copy
import inspect
import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import SupportsFloat

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from trainlab.diagnosis.evidence import SettingsSummary
from trainlab.errors import RequestError, error_with_type

MakeOptimizer = Callable[[Iterable[nn.Parameter]], Optimizer]
"""Makes a new optimizer over given parameters."""

ParamGroup = dict[str, object]
"""One of an optimizer's `param_groups`: its parameters, rate, momentum, …"""

OptimizerLike = Optimizer | type[Optimizer] | MakeOptimizer
"""An optimizer over the network's parameters, an optimizer's class, or a function that makes one."""

ScheduleLike = Callable[[Optimizer, int], LRScheduler | None] | LRScheduler
"""`schedule(optimizer, steps)` gives a torch scheduler or None; or a scheduler. It is advanced every step."""

EXPECTED_OPTIMIZER = (
    "expected an optimizer over the network's parameters, or a function of parameters that makes one"
)


class OptimizerFactory:
    """Makes optimizers over copies of the network's trainable `parameters`, in their order.

    `notes` tells what was assumed. Raises RequestError, when it is made or called, for what is no optimizer,
    and for one over other parameters.
    """

    def __init__(self, optimizer: OptimizerLike, parameters: Sequence[nn.Parameter]) -> None:
        self.parameters = list(parameters)
        self.notes: list[str] = []
        self._existing: Optimizer | None = None
        self._make: Callable[..., object] | None = None
        inner = getattr(optimizer, "optimizer", None)  # a trainer's wrapper around one
        if isinstance(inner, Optimizer) and not isinstance(optimizer, Optimizer):
            optimizer = inner
        if isinstance(optimizer, Optimizer):
            self._existing = self._checked(optimizer)
        elif callable(optimizer):
            self._make = optimizer
        else:
            raise RequestError(f"preflight: optimizer={_described(optimizer)}: {EXPECTED_OPTIMIZER}")
        self.rate = self._inspect()

    def __call__(self, parameters: Iterable[nn.Parameter]) -> Optimizer:
        """An optimizer over these copies."""
        copies = list(parameters)
        if self._existing is not None:
            return self._copy_over(self._existing, copies)
        assert self._make is not None
        try:
            made = self._make(copies)
        except RequestError:
            raise
        except Exception as error:
            raise RequestError(
                f"preflight: the optimizer cannot be made: {error_with_type(error)}"
            ) from error
        if not isinstance(made, Optimizer):
            raise RequestError(
                f"preflight: got {_described(made)} from the optimizer's function: {EXPECTED_OPTIMIZER}"
            )
        if _parameter_ids(made) & {id(p) for p in copies}:
            return made
        return self._copy_over(self._checked(made, "the made optimizer's"), copies)

    def make_fresh(self) -> Optimizer:
        """One over copies of the network's parameters."""
        return self([nn.Parameter(p.detach().clone()) for p in self.parameters])

    def settings_summary(self) -> SettingsSummary:
        """The optimizer's option, rate, momentum and weight decay, for the remedies."""
        if not self.parameters:
            return SettingsSummary()
        made = self.make_fresh()
        group = _largest_group(made)
        momentum, decay = (
            None if group.get(name) is None else group_number(group, name)
            for name in ("momentum", "weight_decay")
        )
        name = type(made).__name__.lower()
        if name == "sgd" and momentum:
            name = "sgd_nesterov" if group.get("nesterov") else "sgd_momentum"
        return SettingsSummary(axes={"optimizer": name}, lr=self.rate, momentum=momentum, weight_decay=decay)

    def _inspect(self) -> float | None:
        """The learning rate of the group with most weights; notes what an attentive reader would ask."""
        if not self.parameters:
            return None
        copies = [nn.Parameter(p.detach().clone()) for p in self.parameters]
        made = self(copies)
        optimized = _parameter_ids(made) & {id(p) for p in copies}
        if len(optimized) < len(copies):
            self.notes.append(
                f"the optimizer holds {len(optimized)} of the network's {len(copies)} trainable parameters"
            )
        given = self._make.keywords if isinstance(self._make, partial) else {}
        kind = self._make.func if isinstance(self._make, partial) else self._make
        first = made.param_groups[0]
        if isinstance(kind, type) and "lr" not in given and first.get("lr") is not None:
            rate = group_number(first, "lr")
            self.notes.append(f"{kind.__name__} was given without a rate: its own default, lr={rate:g}")
        largest = _largest_group(made)
        return None if largest.get("lr") is None else group_number(largest, "lr")

    def _checked(self, optimizer: Optimizer, whose: str = "the optimizer's") -> Optimizer:
        optimized = _parameter_ids(optimizer)
        if self.parameters and not optimized & {id(p) for p in self.parameters}:
            raise RequestError(
                f"preflight: none of {whose} {len(optimized)} parameters is a trainable one of the network: "
                f"{EXPECTED_OPTIMIZER}"
            )
        return optimizer

    def _copy_over(self, optimizer: Optimizer, copies: Sequence[nn.Parameter]) -> Optimizer:
        """Class, groups and state of an optimizer of the network, over these copies."""
        memo: dict[int, object] = {id(own): twin for own, twin in zip(self.parameters, copies, strict=True)}
        twin = copy_optimizer(optimizer, memo, "preflight")
        for group in twin.param_groups:
            if group.get("lr") == 0:  # a schedule that begins at zero has put it there
                group["lr"] = group.get("initial_lr", 0)
        return twin


def copy_optimizer(optimizer: Optimizer, memo: dict[int, object], asked_by: str) -> Optimizer:
    """Class, groups and state of an optimizer, over the copies of its parameters that `memo` holds by id.

    Raises RequestError, which begins with `asked_by`, for one that cannot be copied.
    """
    try:
        twin = copy.deepcopy(optimizer, memo)
        for name, value in vars(optimizer).items():
            # what torch leaves out of a copy; a scheduler's wrapper of `step` would step the original
            if name not in vars(twin) and not name.startswith("_") and not callable(value):
                setattr(twin, name, copy.deepcopy(value, memo))
    except Exception as error:
        raise RequestError(f"{asked_by}: the optimizer cannot be copied: {error_with_type(error)}") from error
    return twin


def schedule_factors(
    schedule: ScheduleLike | None, make_optimizer: OptimizerFactory | None, steps: int
) -> list[float]:
    """What a schedule makes of the rate at each step, in units of the optimizer's own; empty for none.

    Without a `make_optimizer` it is run on an optimizer of rate 1. Raises RequestError where it cannot be
    made or advanced.
    """
    if schedule is None or (make_optimizer is not None and not make_optimizer.parameters):
        return []
    if make_optimizer is not None:
        optimizer = make_optimizer.make_fresh()
    else:
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    group = _largest_group(optimizer)
    base = group_number(group, "lr")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the optimizer makes no step
        try:
            scheduler = _scheduler(schedule, optimizer, steps)
            if scheduler is None or isinstance(scheduler, ReduceLROnPlateau) or base == 0:
                return []
            factors = []
            for _ in range(steps):
                factors.append(group_number(group, "lr") / base)
                scheduler.step()
        except RequestError:
            raise
        except Exception as error:
            raise RequestError(f"preflight: the schedule cannot be run: {error_with_type(error)}") from error
    if not all(map(math.isfinite, factors)):
        raise RequestError("preflight: the schedule gives rates that are not finite")
    return factors


def _scheduler(schedule: object, optimizer: Optimizer, steps: int) -> LRScheduler | None:
    if isinstance(schedule, LRScheduler):
        return copy.deepcopy(schedule, {id(schedule.optimizer): _at_its_start(schedule, optimizer)})
    if not callable(schedule):
        raise RequestError(
            f"preflight: schedule={_described(schedule)}: expected a scheduler, or a function of an "
            "optimizer and the steps"
        )
    made = schedule(optimizer, steps) if _takes_two_arguments(schedule) else schedule(optimizer)
    if made is None or getattr(made, "optimizer", optimizer) is optimizer:
        if made is not None and not callable(getattr(made, "step", None)):
            raise RequestError(
                f"preflight: got {_described(made)} from the schedule, expected a torch scheduler"
            )
        return made
    return _scheduler(made, optimizer, steps)


def _at_its_start(schedule: LRScheduler, optimizer: Optimizer) -> Optimizer:
    """The copy with the rates that the scheduler's own optimizer has now."""
    for ours, theirs in zip(optimizer.param_groups, schedule.optimizer.param_groups, strict=False):
        ours.update({name: value for name, value in theirs.items() if name != "params"})
    return optimizer


def _takes_two_arguments(schedule: Callable[..., object]) -> bool:
    """Whether it can be called with an optimizer and a number of steps."""
    try:
        inspect.signature(schedule).bind(None, 1)
    except TypeError:
        return False
    except ValueError:  # no signature to be had
        return True
    return True


def _largest_group(optimizer: Optimizer) -> ParamGroup:
    """The group that holds most weights."""
    return max(optimizer.param_groups, key=lambda group: sum(p.numel() for p in group["params"]))


def group_number(group: ParamGroup, name: str) -> float:
    """A number of a parameter group; 0 where it is missing or None."""
    value = group.get(name)
    return float(value) if isinstance(value, SupportsFloat) else 0.0


def _parameter_ids(optimizer: Optimizer) -> set[int]:
    return {id(p) for group in optimizer.param_groups for p in group["params"]}


def _described(value: object) -> str:
    text = repr(value) if isinstance(value, str | int | float | None) else type(value).__name__
    return text if len(text) < 60 else text[:57] + "…"
