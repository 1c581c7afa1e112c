"""Rates of a run in a stack against its own scheduler, advanced over its own optimizer."""

import copy

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CyclicLR, LambdaLR, ReduceLROnPlateau

from trainlab.build.optimizer import optimizer_factory, scheduler_factory
from trainlab.config import compose
from trainlab.config.options import catalogue
from trainlab.errors import RequestError
from trainlab.section import Component
from trainlab.stacked.optimizer import stack_optimizers
from trainlab.stacked.schedules import RunSchedule, lr_table

TOTAL = 137
CHANGED = {
    "cosine": ["scheduler.warmup_fraction=0.1"],
    "onecycle": ["scheduler.warmup_fraction=0.5"],
    "step": ["scheduler.at_fractions=[0.1,0.3,0.9]", "scheduler.factor=0.3"],
}
CASES = [[f"scheduler={name}"] for name in catalogue("scheduler")]
CASES += [[f"scheduler={name}", *overrides] for name, overrides in CHANGED.items()]


def inverse_root(optimizer, total_steps, floor=0.0):
    """A user's own schedule, which is not proportional to the rate."""
    base = optimizer.param_groups[0]["lr"]
    return LambdaLR(optimizer, lambda step: max(1 / (1 + step) ** 0.5, floor / base))


def cycling(optimizer, total_steps, cycle_momentum=True):
    """Changes momentum, too."""
    return CyclicLR(optimizer, 0.01, 0.1, step_size_up=10, cycle_momentum=cycle_momentum)


def by_a_metric(optimizer, total_steps):
    """Advances only with a metric."""
    return ReduceLROnPlateau(optimizer)


def settings_of(*overrides):
    return compose(["logger=none", "optimizer=sgd_momentum", *overrides])


def with_own(schedule, *overrides, **arguments):
    node = {"_target_": f"{__name__}.{schedule.__name__}", "_partial_": True, **arguments}
    return settings_of(*overrides).replace(scheduler=Component.model_validate(node).trusted())


def parameter():
    """One that has a gradient."""
    own = nn.Parameter(torch.zeros(2))
    own.grad = torch.ones(2)
    return own


def built(settings, total_steps=TOTAL):
    optimizer = optimizer_factory(settings)([parameter()])
    return optimizer, scheduler_factory(settings)(optimizer, total_steps)


def advanced_rates(settings, total_steps=TOTAL):
    optimizer, scheduler = built(settings, total_steps)
    rates = []
    for _ in range(total_steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
    return torch.tensor(rates, dtype=torch.float64)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("lr", [1.0, 0.37, 1e-4])
@pytest.mark.parametrize("overrides", CASES, ids=" ".join)
def test_rates_are_those_of_the_scheduler(overrides, lr, optimizer):
    settings = settings_of(*overrides, f"optimizer={optimizer}", f"optimizer.lr={lr}")
    table = lr_table(settings, TOTAL)
    assert (table.shape, table.dtype) == ((TOTAL,), torch.float64)
    assert torch.allclose(table, advanced_rates(settings), rtol=1e-12, atol=1e-15 * lr)
    assert torch.equal(torch.tensor(RunSchedule(settings, TOTAL).rates(), dtype=torch.float64),
                       advanced_rates(settings))  # fmt: skip


def test_rates_of_many_steps():
    settings = settings_of("scheduler=cosine", "scheduler.warmup_fraction=0.05", "optimizer.lr=0.013")
    assert torch.allclose(lr_table(settings, 5000), advanced_rates(settings, 5000), rtol=0, atol=1e-14)


@pytest.mark.parametrize("total_steps", [1, 2, 3])
@pytest.mark.parametrize("overrides", CASES, ids=" ".join)
def test_rates_of_a_few_steps(overrides, total_steps):
    settings = settings_of(*overrides)
    try:
        expected = advanced_rates(settings, total_steps)
    except (ValueError, ZeroDivisionError) as error:  # so does the run alone
        with pytest.raises(type(error)):
            lr_table(settings, total_steps)
    else:
        assert torch.allclose(lr_table(settings, total_steps), expected, rtol=1e-12, atol=1e-15)


def test_a_schedule_of_ones_own_is_advanced_for_each_rate():
    for lr in (0.5, 0.01):
        settings = with_own(inverse_root, f"optimizer.lr={lr}", floor=0.005)
        assert torch.equal(lr_table(settings, TOTAL), advanced_rates(settings))
    assert lr_table(settings, TOTAL)[-1] == 0.005


def test_a_schedule_that_changes_more_than_the_rate_is_refused():
    settings = with_own(cycling)
    with pytest.raises(
        RequestError, match=r"scheduler: got momentum=0.89 at step 1, expected 0.9 as at first"
    ):
        lr_table(settings, TOTAL)
    rate_alone = with_own(cycling, cycle_momentum=False)
    assert torch.equal(lr_table(rate_alone, TOTAL), advanced_rates(rate_alone))


def test_a_schedule_that_wants_a_metric_is_refused():
    with pytest.raises(RequestError, match=r"scheduler at step 0: .*metrics"):
        lr_table(with_own(by_a_metric), TOTAL)


# What a checkpoint holds


@pytest.mark.parametrize("overrides", CASES, ids=" ".join)
def test_a_run_alone_goes_on_with_the_schedule_of_the_stack(overrides):
    settings = settings_of(*overrides, "optimizer.lr=0.3")
    optimizer, scheduler = built(settings)
    schedule = RunSchedule(settings, TOTAL)
    stacked = stack_optimizers([settings], [nn.Parameter(torch.zeros(1, 2))])
    for step in (0, 13, 90, 40):
        state, group = schedule.state(step), schedule.param_group(step)
        saved = stacked.state_of_run(0, group)
        optimizer, scheduler = built(settings)
        optimizer.load_state_dict(dict(copy.deepcopy(saved)))
        assert (state is None) == (scheduler is None)
        rates = []
        if scheduler is not None and state is not None:
            scheduler.load_state_dict(state)
        for _ in range(step, TOTAL):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
        assert rates == RunSchedule(settings, TOTAL).rates()[step:]


@pytest.mark.parametrize("overrides", CASES, ids=" ".join)
def test_states_are_those_of_the_run_alone(overrides):
    settings = settings_of(*overrides)
    optimizer, scheduler = built(settings)
    for _ in range(50):
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
    schedule = RunSchedule(settings, TOTAL)
    group = optimizer.state_dict()["param_groups"][0]
    assert {**schedule.param_group(50), "params": [0]} == group
    expected = None if scheduler is None else scheduler.state_dict()
    state = schedule.state(50)
    if expected is not None and "_schedulers" in expected:
        assert state["_schedulers"] == expected["_schedulers"]
    assert state == expected
