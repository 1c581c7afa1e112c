"""No check may find anything in a loop that is as it should be, and none may touch it."""

import copy
import random

import numpy as np
import pytest
import torch
from healthy import HEALTHY, healthy
from small_networks import Loop

import trainlab
from trainlab.doctor.sandbox import call_network


@pytest.mark.parametrize("name", HEALTHY)
def test_nothing_is_found(name):
    loop = healthy(name)
    report = trainlab.check(loop.model, loop.loss, loop.batch, loop.optimizer)
    assert not report, str(report)
    assert not trainlab.check(loop.model, loop.loss, loop.batch), "without an optimizer"


def test_a_backbone_that_is_frozen_on_purpose_is_a_note():
    loop = healthy("frozen backbone")
    report = trainlab.check(loop.model, loop.loss, loop.batch, loop.optimizer)
    assert any("5 of 6 weight layers are frozen, 1 train" in note for note in report.notes), report.notes


def state(loop: Loop) -> list[object]:
    """All that may not change, copied."""
    optimizers = loop.optimizer if isinstance(loop.optimizer, list) else [loop.optimizer]
    groups = [{k: v for k, v in g.items() if k != "params"} for o in optimizers for g in o.param_groups]
    return [
        {name: value.clone() for name, value in loop.model.state_dict().items()},
        [None if p.grad is None else p.grad.clone() for p in loop.model.parameters()],
        [(m.training, [p.requires_grad for p in m.parameters()]) for m in loop.model.modules()],
        [copy.deepcopy(optimizer.state_dict()["state"]) for optimizer in optimizers],
        groups,
        (torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()),
        (torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_num_threads()),
        [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in loop.model.modules()],
        [len(p._backward_hooks or ()) for p in loop.model.parameters()],
    ]


def assert_same(a: object, b: object) -> None:
    if isinstance(a, torch.Tensor):
        assert isinstance(b, torch.Tensor) and torch.equal(a, b)
    elif isinstance(a, dict):
        assert isinstance(b, dict) and a.keys() == b.keys()
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert isinstance(b, list | tuple) and len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            assert_same(one, other)
    else:
        assert a == b


@pytest.mark.parametrize("name", HEALTHY)
def test_nothing_of_the_users_is_touched(name):
    loop = healthy(name)
    call_network(loop.model, loop.batch["image"] if isinstance(loop.batch, dict) else loop.batch[0])
    for p in loop.model.parameters():
        p.grad = torch.randn_like(p)
    random.seed(1)
    before = state(loop)
    trainlab.check(loop.model, loop.loss, loop.batch, loop.optimizer)
    assert_same(before, state(loop))


def test_nothing_is_touched_when_the_step_fails_or_the_request_is_wrong():
    loop = healthy("batchnorm")
    before = state(loop)

    def failing(output, target):
        torch.manual_seed(7)
        torch.set_default_dtype(torch.float64)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainlab.check(loop.model, failing, loop.batch, loop.optimizer)
    assert_same(before, state(loop))
    assert trainlab.check(loop.model, lambda z, y: 1 / 0, loop.batch, loop.optimizer).causes == (
        "step_fails",
    )
    with pytest.raises(trainlab.errors.RequestError):
        trainlab.check(loop.model, loop.loss, [], loop.optimizer)
    assert_same(before, state(loop))


def test_a_closure_over_the_users_own_network_does_not_change_it_either():
    loop = healthy("batchnorm")
    x, y = loop.batch
    before = state(loop)

    def step(model, x, y, optimizer):
        loop.optimizer.zero_grad()
        loop.loss(loop.model(x), y).backward()
        loop.optimizer.step()
        loss = loop.loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    trainlab.check(loop.model, loop.loss, (x, y), loop.optimizer, step=step)
    after = state(loop)
    assert_same(
        [part for k, part in enumerate(before) if k != 3], [part for k, part in enumerate(after) if k != 3]
    )


def test_images_and_labels_are_not_changed_by_a_network_that_writes_into_them():
    class InPlace(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(8, 3)

        def forward(self, x):
            x.zero_()
            return self.layer(x + 1)

    x, y = torch.randn(32, 8), torch.arange(32) % 3
    kept = x.clone()
    trainlab.check(InPlace(), torch.nn.CrossEntropyLoss(), (x, y))
    assert torch.equal(x, kept)
