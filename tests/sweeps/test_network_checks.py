"""A network that ignores what it is swept over: said in one line, whatever its signature claims."""

import pytest
from torch import nn

from trainlab.config import compose
from trainlab.instantiate import mark_trusted
from trainlab.sweeps import network_checks

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


def settings(*overrides: str, model: type | None = None) -> dict:
    composed = compose([*SMALL, *overrides])
    if model is not None:
        composed["axes"]["model"] = "mine"
        composed["model"] = mark_trusted({"_target_": f"{__name__}.{model.__name__}", "_partial_": True})
    return composed


@pytest.fixture
def said(monkeypatch):
    """What a sweep over these settings is told, with no process of its own."""

    class Here:
        def call(self, function, *arguments):
            return function(*arguments)

    def ask(*all_settings: dict, swept=("pool",)) -> list[str]:
        import json
        from pathlib import Path

        from trainlab.sweeps.plan import Job, Plan

        jobs = [Job(str(i), "", (), "absent", json.dumps(s)) for i, s in enumerate(all_settings)]
        monkeypatch.setattr(Job, "settings", property(lambda job: all_settings[int(job.run_id)]))
        return network_checks.unused_axes(Plan("sweep", Path(), tuple(swept), jobs, []), Here())

    return ask


def test_a_model_that_ignores_an_axis_is_named(said):
    both = [settings(f"pool={pool}", model=IgnoresPool) for pool in ("max", "avg")]
    (line,) = said(*both)
    assert "model=mine makes no use of pool" in line and "max and avg" in line


def test_what_it_does_use_is_not_named(said):
    assert said(*(settings(f"activation={a}", model=IgnoresPool) for a in ("relu", "tanh"))) == []
    assert said(*(settings(f"pool={pool}", model=UsesPoolUnseen) for pool in ("max", "avg"))) == []
    assert said(*(settings(f"pool={pool}", model=Unrunnable) for pool in ("max", "avg"))) == []


@pytest.mark.parametrize(
    "axis", ["pool=max,avg", "norm_layer=none,batchnorm", "activation=relu,tanh", "depth=2,3"]
)
def test_our_own_networks_use_what_they_are_swept_over(said, axis):
    name, _, values = axis.partition("=")
    more = () if name == "depth" else ("depth=2",)
    assert said(*(settings(f"{name}={v}", *more) for v in values.split(",")), swept=(name,)) == []


def test_one_convolution_has_nowhere_to_pool(said):
    (line,) = said(*(settings(f"pool={pool}", "depth=1") for pool in ("max", "avg")))
    assert "model=plain_cnn depth=1 makes no use of pool" in line


def test_nothing_is_built_for_a_sweep_over_seeds(said):
    assert said(settings("seed=0"), settings("seed=1"), swept=("seed", "optimizer.lr")) == []
