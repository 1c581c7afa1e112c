"""The learning rate of every step of a run, as its own torch scheduler gives it.

A run in a stack has no scheduler: its rates are a table, made beforehand by advancing the scheduler of its
settings over an optimizer that stands in for its own.

Legend: T steps of the whole run.
"""

import copy
import json
from collections.abc import Callable, Mapping
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import LRScheduler

from trainlab.build.optimizer import scheduler_factory
from trainlab.errors import RequestError, error_message
from trainlab.nn import schedules
from trainlab.settings import Settings
from trainlab.stacked.optimizer_kinds import run_optimizer

_PROPORTIONAL = (schedules.cosine, schedules.onecycle, schedules.step)
"""Schedules that are lr times a function of the step alone, up to rounding."""


def lr_table(settings: Settings, total_steps: int) -> Tensor:
    """The rate of each step, (T,) in float64: that of the run's own scheduler, advanced once a step.

    A constant rate costs nothing; one of our own schedules is computed once and scaled for other rates, which
    is exact to rounding; a user's own is advanced step by step. Raises RequestError as `RunSchedule.rates`.
    """
    factory = scheduler_factory(settings)
    function = getattr(factory, "func", factory)
    if function is schedules.constant:
        return torch.full((total_steps,), settings.optimizer.lr, dtype=torch.float64)
    if function in _PROPORTIONAL:
        arguments = json.dumps(settings.scheduler.arguments, sort_keys=True)
        unit = _unit_rates(function, arguments, total_steps)
        return torch.tensor(unit, dtype=torch.float64) * settings.optimizer.lr
    return torch.tensor(RunSchedule(settings, total_steps).rates(), dtype=torch.float64)


class RunSchedule:
    """The scheduler of one run, and the optimizer whose rate it sets, at any step; for checkpoints.

    total_steps: what the schedule is built for. Going back to an earlier step begins anew.
    Raises RequestError where the optimizer or the schedule cannot be built, or a schedule not be advanced.
    """

    def __init__(self, settings: Settings, total_steps: int) -> None:
        self._settings, self._total_steps = settings, total_steps
        self._begin()

    def param_group(self, step: int) -> Mapping[str, object]:
        """The run's entry of `param_groups` after so many steps, without its parameters."""
        self._go_to(step)
        return _without_parameters(self._optimizer)

    def state(self, step: int) -> dict[str, object] | None:
        """`state_dict()` of the scheduler after so many steps; None: the rate is constant."""
        self._go_to(step)
        return None if self._scheduler is None else copy.deepcopy(self._scheduler.state_dict())

    def rates(self) -> list[float]:
        """The rate of each of the T steps.

        Raises RequestError where the schedule changes anything but the rate, which a stack does not follow.
        """
        rates = []
        for step in range(self._total_steps):
            group = self.param_group(step)
            rates.append(float(str(group["lr"])))
            self._require_unchanged(group, step)
        return rates

    def _begin(self) -> None:
        self._optimizer = run_optimizer(self._settings)
        self._built_with = _without_parameters(self._optimizer)
        factory = scheduler_factory(self._settings)
        self._scheduler: LRScheduler | None = factory(self._optimizer, self._total_steps)
        self._optimizer.step()  # without gradients: torch warns of a scheduler that goes first
        self._step = 0

    def _go_to(self, step: int) -> None:
        if step < self._step:
            self._begin()
        while self._scheduler is not None and self._step < step:
            try:
                self._scheduler.step()
            except (TypeError, ValueError) as error:  # it wants more than to be advanced, or ends too early
                raise RequestError(f"scheduler at step {self._step}: {error_message(error)}") from error
            self._step += 1

    def _require_unchanged(self, group: Mapping[str, object], step: int) -> None:
        for key, value in self._built_with.items():
            if key != "lr" and group[key] != value:
                raise RequestError(
                    f"scheduler: got {key}={group[key]} at step {step}, expected {value} as at first: in "
                    "a stack a schedule may change the learning rate alone (or sweep.stack=off)"
                )


@lru_cache(maxsize=64)
def _unit_rates(schedule: Callable[..., LRScheduler], arguments: str, total_steps: int) -> tuple[float, ...]:
    """The rates of a schedule of our own, of which the highest is 1."""
    optimizer = SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = schedule(optimizer, total_steps, **json.loads(arguments))
    optimizer.step()
    rates = []
    for _ in range(total_steps):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        scheduler.step()
    return tuple(rates)


def _without_parameters(optimizer: Optimizer) -> dict[str, object]:
    return {key: value for key, value in optimizer.param_groups[0].items() if key != "params"}
