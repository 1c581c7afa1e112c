"""Optimizers of a stack against torch.optim, run by run."""

import copy
import math

import pytest
import torch
from torch import nn

from trainlab.build.optimizer import optimizer_factory
from trainlab.config import compose
from trainlab.errors import RequestError
from trainlab.settings import OptimizerSettings
from trainlab.stacked.optimizer import clip_gradients, stack_optimizers
from trainlab.stacked.optimizer_kinds import is_stackable_optimizer, optimizer_kind

SHAPES = ((4, 3, 3, 3), (4,), (5, 12), (1,))
STEPS = 20
BASE = compose(["logger=none"])


def optimizer_of(name, **arguments):
    """Settings of a run with this optimizer of torch.optim."""
    node = {"_target_": f"torch.optim.{name}", "_partial_": True, "lr": 0.01, **arguments}
    return BASE.replace(optimizer=OptimizerSettings.model_validate(node))


def alone(settings, parameters):
    """What the run alone trains with."""
    return optimizer_factory(settings)(parameters)


CASES = {
    "sgd": [optimizer_of("SGD", lr=lr) for lr in (0.1, 0.01, 0.3)],
    "sgd with decay": [optimizer_of("SGD", lr=0.1, weight_decay=decay) for decay in (0.0, 0.1, 0.5)],
    "sgd with momentum": [optimizer_of("SGD", momentum=mu) for mu in (0.0, 0.5, 0.9)],
    "sgd with one momentum": [optimizer_of("SGD", momentum=0.9, lr=lr) for lr in (0.1, 0.01, 0.3)],
    "sgd with dampening": [
        optimizer_of("SGD", momentum=mu, dampening=tau) for mu, tau in ((0.9, 0.5), (0.9, 0.0), (0.0, 0.7))
    ],
    "nesterov": [optimizer_of("SGD", momentum=mu, nesterov=True, weight_decay=0.1) for mu in (0.5, 0.8, 0.9)],
    "one nesterov": [optimizer_of("SGD", momentum=0.9, nesterov=True, lr=lr) for lr in (0.1, 0.01, 0.3)],
    "nesterov, momentum and neither": [
        optimizer_of("SGD", momentum=0.9, nesterov=True),
        optimizer_of("SGD", momentum=0.9),
        optimizer_of("SGD"),
    ],
    "adam": [optimizer_of("Adam", lr=lr) for lr in (0.1, 0.01, 0.3)],
    "adam with its own betas": [
        optimizer_of("Adam", betas=betas, eps=eps, weight_decay=decay)
        for betas, eps, decay in (((0.9, 0.999), 1e-8, 0.0), ((0.5, 0.9), 1e-3, 0.1), ((0.0, 0.99), 0.1, 0.3))
    ],
    "adamw": [optimizer_of("AdamW", lr=0.1, weight_decay=decay) for decay in (0.01, 0.0, 0.5)],
    "adam and adamw": [
        optimizer_of("Adam", lr=0.1, weight_decay=0.3),
        optimizer_of("AdamW", lr=0.1, weight_decay=0.3),
        optimizer_of("AdamW", lr=0.1),
    ],
    "amsgrad": [optimizer_of("Adam", lr=0.1, amsgrad=True, betas=(0.9, b)) for b in (0.5, 0.9, 0.99)],
    "with amsgrad and without": [
        optimizer_of("Adam", lr=0.1, amsgrad=on, betas=(0.9, 0.5)) for on in (True, False, True)
    ],
    "rmsprop": [optimizer_of("RMSprop", lr=lr) for lr in (0.1, 0.01, 0.3)],
    "rmsprop with its own hyperparameters": [
        optimizer_of("RMSprop", alpha=alpha, eps=eps, momentum=mu, weight_decay=decay)
        for alpha, eps, mu, decay in ((0.99, 1e-8, 0.0, 0.0), (0.5, 0.1, 0.9, 0.1), (0.9, 1e-3, 0.5, 0.0))
    ],
    "rmsprop centered and not": [
        optimizer_of("RMSprop", centered=on, momentum=mu)
        for on, mu in ((True, 0.9), (False, 0.9), (True, 0.0))
    ],
    "rmsprop centered": [optimizer_of("RMSprop", centered=True, lr=lr) for lr in (0.1, 0.01, 0.3)],
}


class Problem:
    """B runs with parameters of a few shapes, and gradients that depend on them."""

    def __init__(self, runs, dtype=torch.float64, seed=0):
        generator = torch.Generator().manual_seed(seed)
        self.stacked = [
            nn.Parameter(torch.randn((runs, *shape), dtype=dtype, generator=generator)) for shape in SHAPES
        ]
        self.noise = [
            torch.randn((STEPS * 2, *p.shape), dtype=dtype, generator=generator) for p in self.stacked
        ]
        self.singles = [[nn.Parameter(p.detach()[run].clone()) for p in self.stacked] for run in range(runs)]

    def set_gradients(self, step, without=()):
        for position, p in enumerate(self.stacked):
            rows = [single[position] for single in self.singles]
            if position in without:
                p.grad = None
                for single in rows:
                    single.grad = None
                continue
            noise = self.noise[position][step]
            p.grad = p.detach() * 0.5 + noise
            for run, single in enumerate(rows):
                single.grad = single.detach() * 0.5 + noise[run]

    def largest_difference(self):
        return max(
            float((p.detach()[run] - single[position].detach()).abs().max())
            for position, p in enumerate(self.stacked)
            for run, single in enumerate(self.singles)
        )


def gradients(problem):
    return [p.grad.clone() for p in problem.stacked if p.grad is not None]


def rates(settings, step):
    """A rate for each run that changes from step to step."""
    return [one.optimizer.lr * (1 + 0.5 * math.cos(step + run)) for run, one in enumerate(settings)]


def train(problem, settings, optimizer, optimizers, steps, without=lambda step: ()):
    for step in steps:
        problem.set_gradients(step, without(step))
        lrs = rates(settings, step)
        optimizer.step(torch.tensor(lrs, dtype=torch.float64))
        for one, lr in zip(optimizers, lrs, strict=True):
            one.param_groups[0]["lr"] = lr
            one.step()


def begin(settings, **kwargs):
    problem = Problem(len(settings), **kwargs)
    optimizer = stack_optimizers(settings, problem.stacked)
    return problem, optimizer, [alone(s, p) for s, p in zip(settings, problem.singles, strict=True)]


@pytest.mark.parametrize("name", CASES)
def test_twenty_steps_are_those_of_torch(name):
    settings = CASES[name]
    problem, optimizer, optimizers = begin(settings)
    train(problem, settings, optimizer, optimizers, range(STEPS))
    assert problem.largest_difference() < 1e-12


@pytest.mark.parametrize("name", CASES)
def test_a_step_in_float32(name):
    settings = CASES[name]
    problem, optimizer, optimizers = begin(settings, dtype=torch.float32)
    train(problem, settings, optimizer, optimizers, range(1))
    assert problem.largest_difference() < 1e-5


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["sgd with momentum", "adam", "adamw", "rmsprop"])
def test_a_step_in_16_bits(name, dtype):
    settings = CASES[name]
    problem, optimizer, optimizers = begin(settings, dtype=dtype)
    train(problem, settings, optimizer, optimizers, range(2))
    assert problem.largest_difference() < 8 * 4 * torch.finfo(dtype).eps


@pytest.mark.parametrize("name", CASES)
def test_parameters_without_a_gradient_are_skipped(name):
    settings = CASES[name]
    problem, optimizer, optimizers = begin(settings)

    def without(step):
        return {0: (1,), 1: (0, 1)}.get(step % 3, ())

    train(problem, settings, optimizer, optimizers, range(STEPS), without)
    assert problem.largest_difference() < 1e-12


@pytest.mark.parametrize("name", CASES)
def test_a_state_is_that_of_torch(name):
    settings = CASES[name]
    problem, optimizer, optimizers = begin(settings)
    train(problem, settings, optimizer, optimizers, range(5), lambda step: (1,) if step < 2 else ())
    for run, own in enumerate(optimizers):
        ours, expected = optimizer.state_of_run(run), own.state_dict()
        assert ours["state"].keys() == expected["state"].keys()
        for position, entry in expected["state"].items():
            assert ours["state"][position].keys() == entry.keys()
            for key, value in entry.items():
                assert ours["state"][position][key].shape == value.shape
                assert torch.allclose(
                    ours["state"][position][key].double(), value.double(), rtol=0, atol=1e-12
                )
        groups = [
            {key: value for key, value in state["param_groups"][0].items() if key != "lr"}
            for state in (ours, expected)
        ]
        assert groups[0] == groups[1]


@pytest.mark.parametrize("name", CASES)
def test_a_run_alone_goes_on_from_a_state_of_the_stack(name):
    settings = CASES[name]
    problem, optimizer, optimizers = begin(settings)
    train(problem, settings, optimizer, optimizers, range(7))
    fresh = [alone(s, p) for s, p in zip(settings, problem.singles, strict=True)]
    for run, one in enumerate(fresh):
        one.load_state_dict(dict(copy.deepcopy(optimizer.state_of_run(run))))
    train(problem, settings, optimizer, fresh, range(7, STEPS))
    assert problem.largest_difference() < 1e-12


@pytest.mark.parametrize("name", CASES)
def test_a_stack_goes_on_from_states_of_runs_alone(name):
    settings = CASES[name]
    problem, _, optimizers = begin(settings)
    for run, (one, parameters) in enumerate(zip(optimizers, problem.singles, strict=True)):
        for step in range(3 * run):  # each another number of steps: one none at all
            for position, parameter in enumerate(parameters):
                parameter.grad = None if position == 2 else problem.noise[position][step][run]
            one.step()
    for position, p in enumerate(problem.stacked):
        p.data = torch.stack([single[position].detach() for single in problem.singles])
    optimizer = stack_optimizers(settings, problem.stacked)
    for run, one in enumerate(optimizers):
        optimizer.load_state_of_run(run, one.state_dict())
    train(problem, settings, optimizer, optimizers, range(STEPS))
    assert problem.largest_difference() < 1e-12


@pytest.mark.parametrize("name", CASES)
def test_some_of_the_runs_go_on(name):
    settings = CASES[name]
    problem, optimizer, optimizers = begin(settings)
    train(problem, settings, optimizer, optimizers, range(5), lambda step: (1,) if step < 2 else ())
    kept = [2, 0]
    problem.stacked = [nn.Parameter(p.detach()[kept]) for p in problem.stacked]
    problem.noise = [noise[:, kept] for noise in problem.noise]
    problem.singles = [problem.singles[run] for run in kept]
    rest = optimizer.subset(kept, problem.stacked)
    assert rest.runs == 2
    train(problem, [settings[run] for run in kept], rest, [optimizers[run] for run in kept], range(5, STEPS))
    assert problem.largest_difference() < 1e-12


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, 1e300])
@pytest.mark.parametrize("name", CASES)
def test_a_run_that_is_not_finite_leaves_the_others_to_the_bit(name, bad):
    settings = CASES[name]
    ends = []
    for value in (None, bad):
        problem = Problem(len(settings))
        optimizer = stack_optimizers(settings, problem.stacked)
        for step in range(6):
            problem.set_gradients(step)
            if value is not None:
                for p in problem.stacked:
                    p.grad[1] = value
            limits = torch.tensor([0.5, 0.5, torch.inf], dtype=torch.float64)
            optimizer.step(torch.tensor(rates(settings, step), dtype=torch.float64), limits)
        ends.append([p.detach()[[0, 2]].clone() for p in problem.stacked])
    assert all(torch.equal(clean, beside) for clean, beside in zip(*ends, strict=True))


LIMITS = [0.5, torch.inf, 1e4]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_clipping_is_that_of_torch(dtype):
    problem = Problem(len(LIMITS), dtype)
    problem.set_gradients(0, without=(1,))
    norms_B = clip_gradients(problem.stacked, torch.tensor(LIMITS, dtype=torch.float64))
    for run, (single, limit) in enumerate(zip(problem.singles, LIMITS, strict=True)):
        norm = nn.utils.clip_grad_norm_(single, limit)
        assert torch.allclose(norms_B[run], norm)
        for stacked, own in zip(problem.stacked, single, strict=True):
            assert (stacked.grad is None) == (own.grad is None)
            if own.grad is not None:
                assert torch.allclose(
                    stacked.grad[run], own.grad, rtol=1e-12 if dtype.itemsize == 8 else 1e-6
                )


def test_no_limit_leaves_gradients_to_the_bit_whatever_they_are():
    problem = Problem(2)
    problem.set_gradients(0)
    problem.stacked[0].grad[0] = torch.inf
    before = gradients(problem)
    clip_gradients(problem.stacked, torch.full((2,), torch.inf))
    assert all(torch.equal(new, old) for new, old in zip(gradients(problem), before, strict=True))


@pytest.mark.parametrize("name", ["sgd", "adam", "rmsprop"])
def test_a_step_clips_as_clipping_before_it_does(name):
    settings = CASES[name]
    limits_B = torch.tensor(LIMITS, dtype=torch.float64)
    ends = []
    for within in (True, False):
        problem = Problem(len(settings))
        optimizer = stack_optimizers(settings, problem.stacked)
        for step in range(4):
            problem.set_gradients(step, without=(2,) if step else ())
            if not within:
                clip_gradients(problem.stacked, limits_B)
            lr_B = torch.tensor(rates(settings, step))
            optimizer.step(lr_B, limits_B if within else None)
        ends.append(problem.stacked)
    assert all(torch.allclose(a, b, rtol=0, atol=1e-13) for a, b in zip(*ends, strict=True))


def test_gradients_are_left_as_they_are_by_a_step_and_forgotten_on_request():
    problem = Problem(3)
    optimizer = stack_optimizers(CASES["adam with its own betas"], problem.stacked)
    problem.set_gradients(0)
    before = gradients(problem)
    optimizer.step(torch.ones(3), torch.full((3,), 0.1))
    assert all(torch.equal(new, old) for new, old in zip(gradients(problem), before, strict=True))
    optimizer.zero_grad()
    assert all(p.grad is None for p in problem.stacked)


# What has no stacked form


@pytest.mark.parametrize(
    "settings, kind",
    [
        (optimizer_of("SGD"), "SGD"),
        (optimizer_of("AdamW"), "Adam"),
        (optimizer_of("RMSprop"), "RMSprop"),
        (optimizer_of("SGD", maximize=True), None),
        (optimizer_of("Adagrad"), None),
        (optimizer_of("NAdam"), None),
    ],
)
def test_kinds(settings, kind):
    assert optimizer_kind(settings) == kind
    assert is_stackable_optimizer(settings) == (kind is not None)


@pytest.mark.parametrize(
    "settings, says",
    [
        ([optimizer_of("Adagrad")] * 3, "optimizer Adagrad: has no stacked form"),
        (
            [optimizer_of("Adam"), optimizer_of("SGD"), optimizer_of("SGD")],
            "got Adam, SGD, expected one kind",
        ),
        ([optimizer_of("SGD")] * 2, "expected 2 runs in front"),
    ],
)
def test_what_cannot_be_stacked_is_refused(settings, says):
    with pytest.raises(RequestError, match=says):
        stack_optimizers(settings, Problem(3).stacked)


def test_parameters_of_two_types_are_refused():
    parameters = [nn.Parameter(torch.zeros(3, 2)), nn.Parameter(torch.zeros(3, 2, dtype=torch.float64))]
    with pytest.raises(RequestError, match="expected one type on one device"):
        stack_optimizers(CASES["sgd"], parameters)


@pytest.mark.parametrize(
    "other, says",
    [
        (
            optimizer_of("RMSprop"),
            "got square_avg, step of parameter 0, expected exp_avg, exp_avg_sq, step of 4",
        ),
        (optimizer_of("SGD", momentum=0.9), "got momentum_buffer of parameter 0"),
    ],
)
def test_the_state_of_another_optimizer_is_refused(other, says):
    problem = Problem(3)
    problem.set_gradients(0)
    own = alone(other, problem.singles[0])
    own.step()
    with pytest.raises(RequestError, match=says):
        stack_optimizers(CASES["adam"], problem.stacked).load_state_of_run(0, own.state_dict())


def test_the_state_of_other_parameters_is_refused():
    problem = Problem(3)
    problem.set_gradients(0)
    parameters = list(reversed(problem.singles[0]))
    own = alone(optimizer_of("Adam"), parameters)
    own.step()
    optimizer = stack_optimizers(CASES["adam"], problem.stacked)
    with pytest.raises(RequestError, match=r"got shapes .* for parameter 0, expected"):
        optimizer.load_state_of_run(0, own.state_dict())
