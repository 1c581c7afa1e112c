"""A network that ignores what it is swept over: said in one line, whatever its signature claims."""

from pathlib import Path
from typing import cast

import pytest
import torch
from torch import nn

from trainlab.config import compose
from trainlab.errors import RequestError
from trainlab.section import Component
from trainlab.settings import RunSettings
from trainlab.sweeps import network_checks
from trainlab.sweeps.forkserver import ForkServer
from trainlab.sweeps.plan import Job, Plan

SMALL = ("data.image_size=16", "width=4", "model=plain_cnn")


class IgnoresPool(nn.Module):
    """Takes whatever comes, and makes use of its activation alone."""

    def __init__(self, in_shape_CHW, num_classes, activation, **others):
        super().__init__()
        size = in_shape_CHW[0] * in_shape_CHW[1] * in_shape_CHW[2]
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(size, 8), activation(), nn.Linear(8, num_classes))

    def forward(self, x_NCHW):
        return self.net(x_NCHW)


class UsesPoolUnseen(IgnoresPool):
    """Its modules say nothing of the pooling, its answer does."""

    def __init__(self, in_shape_CHW, num_classes, activation, pool, **others):
        super().__init__(in_shape_CHW, num_classes, activation)
        self.build = [pool]

    def forward(self, x_NCHW):
        pooled_NCHW = self.build[0]()(x_NCHW)
        return self.net(nn.functional.interpolate(pooled_NCHW, x_NCHW.shape[2:]))


class Unrunnable(IgnoresPool):
    def forward(self, x_NCHW):
        raise RuntimeError("needs what only a run has")


def settings(*overrides: str, model: type | None = None) -> RunSettings:
    composed = RunSettings.identified(compose([*SMALL, *overrides]), "r", "f", "copy", {})
    if model is None:
        return composed
    node = {"_target_": f"{__name__}.{model.__name__}", "_partial_": True}
    mine = Component.model_validate(node).trusted()
    return composed.replace(model=mine, axes={**composed.axes, "model": "mine"})


class ThisProcess:
    """Instead of a fork server: calls a function here."""

    def call(self, function, *arguments):
        return function(*arguments)


@pytest.fixture
def checked(monkeypatch):
    """What the check of a plan of these settings says, with no process of its own."""

    def check(*all_settings: RunSettings, swept=("pool",)) -> list[str]:
        jobs = [Job(str(i), "", (), "absent", s.to_json()) for i, s in enumerate(all_settings)]
        monkeypatch.setattr(Job, "settings", property(lambda job: all_settings[int(job.run_id)]))
        run_ids = [job.run_id for job in jobs]
        return network_checks.check_networks(
            Plan("sweep", Path(), tuple(swept), jobs, run_ids, jobs), cast(ForkServer, ThisProcess())
        )

    return check


def test_a_model_that_ignores_an_axis_is_named(checked):
    both = [settings(f"pool={pool}", model=IgnoresPool) for pool in ("max", "avg")]
    (line,) = checked(*both)
    assert "model=mine makes no use of pool" in line and "max and avg" in line


def test_what_it_does_use_is_not_named(checked):
    assert checked(*(settings(f"activation={a}", model=IgnoresPool) for a in ("relu", "tanh"))) == []
    assert checked(*(settings(f"pool={pool}", model=UsesPoolUnseen) for pool in ("max", "avg"))) == []
    assert checked(*(settings(f"pool={pool}", model=Unrunnable) for pool in ("max", "avg"))) == []


@pytest.mark.parametrize(
    "axis", ["pool=max,avg", "norm_layer=none,batchnorm", "activation=relu,tanh", "depth=2,3"]
)
def test_our_own_networks_use_what_they_are_swept_over(checked, axis):
    name, _, values = axis.partition("=")
    more = () if name == "depth" else ("depth=2",)
    assert checked(*(settings(f"{name}={v}", *more) for v in values.split(",")), swept=(name,)) == []


def test_one_convolution_has_nowhere_to_pool(checked):
    (line,) = checked(*(settings(f"pool={pool}", "depth=1") for pool in ("max", "avg")))
    assert "model=plain_cnn depth=1 makes no use of pool" in line


def test_nothing_is_built_for_a_sweep_over_seeds(checked):
    assert checked(settings("seed=0"), settings("seed=1"), swept=("seed", "optimizer.lr")) == []


# What is built, and how often


@pytest.fixture
def built_on_meta(monkeypatch) -> list[str]:
    """The model of every network that is built on the meta device, in order."""
    from trainlab.build import networks

    build, built = networks.build_network, []

    def count(settings, *shape):
        if torch.get_default_device().type == "meta":
            built.append(f"{settings.axes['activation']} {settings.model.model_extra['depth']}")
        return build(settings, *shape)

    monkeypatch.setattr(networks, "build_network", count)
    return built


def test_each_distinct_network_is_built_once_however_many_runs_train_it(checked, built_on_meta):
    grid = [
        settings(f"activation={activation}", f"depth={depth}", f"optimizer.lr={lr}", f"seed={seed}")
        for lr in (0.1, 0.01)
        for seed in (0, 1)
        for activation in ("relu", "tanh")
        for depth in (2, 3)
    ]
    assert checked(*grid, swept=("activation", "depth", "optimizer.lr", "seed")) == []
    assert sorted(built_on_meta) == ["relu 2", "relu 3", "tanh 2", "tanh 3"]


def test_a_run_that_the_plan_has_checked_is_not_built_on_meta_again(settings_of_a_run, built_on_meta):
    from trainlab.training.worker import run_settings

    assert run_settings(settings_of_a_run("trainer.max_steps=1"), is_checked=True) == 0
    assert built_on_meta == []
    assert run_settings(settings_of_a_run("trainer.max_steps=1", "seed=1")) == 0
    assert len(built_on_meta) == 1


def test_all_faults_are_listed_and_nothing_is_compared(checked):
    wrong = [settings("optimizer.lr=0.1", "+optimizer.nothing=1"), settings("+pool.nothing=1")]
    with pytest.raises(RequestError, match=r"2 faults(.|\n)*nothing(.|\n)*nothing"):
        checked(*wrong)


@pytest.mark.parametrize("part", ["normalization", "augment"])
def test_every_part_is_checked_for_each_of_its_options(checked, part):
    with pytest.raises(RequestError, match=part):
        checked(settings(), settings(f"+{part}.nothing=1"))
