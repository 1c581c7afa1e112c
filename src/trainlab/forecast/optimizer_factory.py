"""The optimizer and the schedule as they are handed over, turned into ones over copies of the weights.

A function of the parameters is called with copies. An optimizer that exists already, over the network's own
parameters, is copied: its class, groups and state over copies of these. Neither is ever stepped itself.
"""

import copy
import inspect
import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from trainlab.errors import RequestError, error_with_type

MakeOptimizer = Callable[[Iterable[nn.Parameter]], Optimizer]
"""Of given parameters a new optimizer over them."""

OptimizerLike = Optimizer | type[Optimizer] | MakeOptimizer
"""An optimizer over the network's parameters, an optimizer's class, or a function that makes one."""

ScheduleLike = Callable[[Optimizer, int], Any] | LRScheduler
"""`schedule(optimizer, steps)` gives a torch scheduler or None; or a scheduler. It is advanced every step."""

EXPECTED_OPTIMIZER = (
    "expected an optimizer over the network's parameters, or a function of parameters that makes one"
)


class OptimizerFactory:
    """Makes optimizers over copies of the network's trainable `parameters`, in their order.

    `notes` says what was assumed. Raises RequestError, when it is made or called, for what is no optimizer,
    and for one over other parameters.
    """

    def __init__(self, optimizer: OptimizerLike, parameters: Sequence[nn.Parameter]) -> None:
        self.parameters = list(parameters)
        self.notes: list[str] = []
        self._existing: Optimizer | None = None
        self._make: Callable[..., Any] | None = None
        inner = getattr(optimizer, "optimizer", None)  # a trainer's wrapper around one
        if isinstance(inner, Optimizer) and not isinstance(optimizer, Optimizer):
            optimizer = inner
        if isinstance(optimizer, Optimizer):
            self._existing = self._over_the_network(optimizer)
        elif callable(optimizer):
            self._make = optimizer
        else:
            raise RequestError(f"preflight: optimizer={_described(optimizer)}: {EXPECTED_OPTIMIZER}")
        self.parts = self._look()

    def __call__(self, parameters: Iterable[nn.Parameter]) -> Optimizer:
        """An optimizer over these copies."""
        given = list(parameters)
        if self._existing is not None:
            return self._twin(self._existing, given)
        assert self._make is not None
        try:
            made: Any = self._make(given)
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
        if _parameter_ids(made) & {id(p) for p in given}:
            return made
        return self._twin(self._over_the_network(made, "the made optimizer's"), given)

    def anew(self) -> Optimizer:
        """One over copies of the network's parameters."""
        self._last = [nn.Parameter(p.detach().clone()) for p in self.parameters]
        return self(self._last)

    @property
    def setup(self) -> dict[str, Any]:
        """What `Setup` asks of an optimizer: its option's name, rate, momentum and weight decay."""
        if not self.parameters:
            return {}
        made = self.anew()
        group = max(made.param_groups, key=lambda g: sum(p.numel() for p in g["params"]))
        momentum = group.get("momentum")
        name = type(made).__name__.lower()
        if name == "sgd" and momentum:
            name = "sgd_nesterov" if group.get("nesterov") else "sgd_momentum"
        return {
            "axes": {"optimizer": name},
            "lr": self.rate,
            "momentum": momentum,
            "weight_decay": group.get("weight_decay"),
        }

    @property
    def rate(self) -> float | None:
        """The learning rate of the group that holds most weights."""
        rate = max(self.parts, key=lambda part: part[1], default=(None, 0))[0]
        return None if rate is None else float(rate)

    def _look(self) -> list[tuple[Any, int]]:
        """(rate, weights) of each group; notes what an attentive reader would ask about."""
        if not self.parameters:
            return []
        made = self.anew()
        twins = self._last
        parts = [(g.get("lr"), sum(p.numel() for p in g["params"])) for g in made.param_groups]
        held = _parameter_ids(made) & {id(p) for p in twins}
        if len(held) < len(twins):
            self.notes.append(
                f"the optimizer holds {len(held)} of the network's {len(twins)} trainable parameters"
            )
        asked = self._make.keywords if isinstance(self._make, partial) else {}
        kind = self._make.func if isinstance(self._make, partial) else self._make
        if isinstance(kind, type) and "lr" not in asked and parts[0][0] is not None:
            self.notes.append(
                f"{kind.__name__} was given without a rate: its own default, lr={float(parts[0][0]):g}"
            )
        return parts

    def _over_the_network(self, optimizer: Optimizer, whose: str = "the optimizer's") -> Optimizer:
        held = _parameter_ids(optimizer)
        if self.parameters and not held & {id(p) for p in self.parameters}:
            raise RequestError(
                f"preflight: none of {whose} {len(held)} parameters is a trainable one of the network: "
                f"{EXPECTED_OPTIMIZER}"
            )
        return optimizer

    def _twin(self, optimizer: Optimizer, given: Sequence[nn.Parameter]) -> Optimizer:
        """Class, groups and state of an optimizer of the network, over these copies."""
        memo: dict[int, Any] = {id(own): twin for own, twin in zip(self.parameters, given, strict=True)}
        try:
            twin = copy.deepcopy(optimizer, memo)
            for name, value in vars(optimizer).items():
                # what torch leaves out of a copy; a scheduler's wrapper of `step` would step the original
                if name not in vars(twin) and not name.startswith("_") and not callable(value):
                    setattr(twin, name, copy.deepcopy(value, memo))
            for group in twin.param_groups:
                if group.get("lr") == 0:  # a schedule that begins at zero has put it there
                    group["lr"] = group.get("initial_lr", 0)
        except Exception as error:
            raise RequestError(
                f"preflight: the optimizer cannot be copied: {error_with_type(error)}"
            ) from error
        return twin


def schedule_factors(schedule: ScheduleLike | None, make: OptimizerFactory | None, steps: int) -> list[float]:
    """What a schedule makes of the rate at each step, in units of the optimizer's own; empty for none.

    Without a `make` it is run on an optimizer of rate 1. Raises RequestError where it cannot be made or
    advanced.
    """
    if schedule is None or (make is not None and not make.parameters):
        return []
    optimizer = make.anew() if make is not None else torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    group = max(optimizer.param_groups, key=lambda g: sum(p.numel() for p in g["params"]))
    base = float(group.get("lr") or 0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the optimizer makes no step
        try:
            scheduler = _scheduler(schedule, optimizer, steps)
            if scheduler is None or isinstance(scheduler, ReduceLROnPlateau) or base == 0:
                return []
            found = []
            for _ in range(steps):
                found.append(float(group["lr"]) / base)
                scheduler.step()
        except RequestError:
            raise
        except Exception as error:
            raise RequestError(
                f"preflight: the schedule cannot be asked: {error_with_type(error)}"
            ) from error
    if not all(map(math.isfinite, found)):
        raise RequestError("preflight: the schedule gives rates that are not finite")
    return found


def _scheduler(schedule: Any, optimizer: Optimizer, steps: int) -> Any:
    if isinstance(schedule, LRScheduler):
        return copy.deepcopy(schedule, {id(schedule.optimizer): _at_its_start(schedule, optimizer)})
    if not callable(schedule):
        raise RequestError(
            f"preflight: schedule={_described(schedule)}: expected a scheduler, or a function of an "
            f"optimizer "
            "and the steps"
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


def _takes_two_arguments(schedule: Callable[..., Any]) -> bool:
    """Whether it can be called with an optimizer and a number of steps."""
    try:
        inspect.signature(schedule).bind(None, 1)
    except TypeError:
        return False
    except ValueError:  # no signature to be had
        return True
    return True


def _parameter_ids(optimizer: Optimizer) -> set[int]:
    return {id(p) for group in optimizer.param_groups for p in group["params"]}


def _described(value: Any) -> str:
    text = repr(value) if isinstance(value, str | int | float | None) else type(value).__name__
    return text if len(text) < 60 else text[:57] + "…"
