"""`check(step=…)`: the user's own training step, run on copies."""

import pytest
import torch
import torch.nn.functional as F
from faults import ending
from small_networks import classes, convolutions, mlp, pictures
from torch import nn

import trainlab
from trainlab.errors import RequestError


def plain_step(model, x, y, optimizer):
    model.train()
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()
    optimizer.step()


def no_zero_grad(model, x, y, optimizer):
    F.cross_entropy(model(x), y).backward()
    optimizer.step()


def no_backward(model, x, y, optimizer):
    optimizer.zero_grad()
    F.cross_entropy(model(x), y)
    optimizer.step()


def zeroed_after_backward(model, x, y, optimizer):
    F.cross_entropy(model(x), y).backward()
    optimizer.zero_grad()
    optimizer.step()


def no_step(model, x, y, optimizer):
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()


def under_no_grad(model, x, y, optimizer):
    optimizer.zero_grad()
    with torch.no_grad():
        loss = F.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()


def in_eval_mode(model, x, y, optimizer):
    model.eval()
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()
    optimizer.step()


def always_clipped(model, x, y, optimizer):
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1e-5)
    optimizer.step()


def accumulating(model, x, y, optimizer):
    optimizer.zero_grad()
    for part, labels in zip(x.chunk(4), y.chunk(4), strict=True):
        (F.cross_entropy(model(part), labels) / 4).backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()


def with_closure(model, x, y, optimizer):
    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        return loss

    optimizer.step(closure)


@pytest.mark.parametrize(
    ("step", "cause"),
    [
        (no_zero_grad, "gradients_add_up"),
        (no_backward, "no_backward"),
        (zeroed_after_backward, "no_backward"),
        (no_step, "no_optimizer_step"),
        (under_no_grad, "gradients_disabled"),
        (in_eval_mode, "eval_mode_in_training"),
        (always_clipped, "gradient_clip_too_small"),
        (plain_step, None),
        (accumulating, None),
        (with_closure, None),
    ],
)
def test_a_step_of_ones_own(step, cause):
    torch.manual_seed(0)
    model = convolutions(nn.BatchNorm2d)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    report = trainlab.check(model, None, (pictures(), classes()), optimizer, step=step)
    assert report.causes == ((cause,) if cause else ()), str(report)


def test_a_step_of_a_network_that_is_frozen_as_a_whole():
    model = mlp(768).requires_grad_(False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    report = trainlab.check(model, None, (pictures(), classes()), optimizer, step=plain_step)
    assert report.causes == ("no_trainable_gradient",)


def test_what_follows_from_the_fault_is_not_told_beside_it():
    torch.manual_seed(0)
    model = ending(nn.ReLU())
    nn.init.constant_(model[0][-1].bias, -10.0)  # every logit is cut off: no gradient is left
    assert trainlab.check(model, F.cross_entropy, (pictures(), classes())).causes == (
        "activation_after_last_layer",
    )


def test_a_step_that_calls_train_itself_may_be_given_a_network_in_evaluation_mode():
    model = convolutions(nn.BatchNorm2d).eval()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    batch = (pictures(), classes())
    assert not trainlab.check(model, F.cross_entropy, batch, optimizer, step=plain_step)
    assert not model.training


def test_a_step_needs_an_optimizer_and_runs_what_it_is_given():
    model = mlp(768)
    batch = (pictures(), classes())
    with pytest.raises(RequestError, match="needs the optimizer too"):
        trainlab.check(model, None, batch, step=plain_step)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(RequestError, match="never runs the network that it is given"):
        trainlab.check(model, None, batch, optimizer, step=lambda m, x, y, o: model(x))
