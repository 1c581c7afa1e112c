"""What an optimizer's own weight decay does over many steps, against that optimizer itself, step by step."""

from functools import partial

import pytest
import torch
from torch import nn

from trainlab.forecast.effective_update import effective_update

WEIGHTS = {"w": torch.tensor([[1.0, -2.0, 0.5], [4.0, -0.1, 0.0]])}
GRADIENTS = [
    {"w": torch.tensor([[0.3, -0.1, 2.0], [1e-3, 0.0, 0.2]])},
    {"w": torch.tensor([[0.2, -0.3, 1.0], [-2e-3, 0.0, 0.3]])},
]
STILL = [{"w": torch.zeros(2, 3)}]


def stepped(make, gradients, steps: int) -> torch.Tensor:
    """The slow twin: the real optimizer with its real decay, for all steps."""
    weights = nn.Parameter(WEIGHTS["w"].clone())
    optimizer = make([weights])
    for step in range(steps):
        weights.grad = gradients[step % len(gradients)]["w"].clone()
        optimizer.step()
    return weights.detach()


SHRINKING = {
    "sgd": partial(torch.optim.SGD, lr=0.01, weight_decay=0.1),
    "momentum": partial(torch.optim.SGD, lr=0.01, weight_decay=0.1, momentum=0.9),
    "heavy momentum": partial(torch.optim.SGD, lr=0.001, weight_decay=0.1, momentum=0.99),
    "nesterov": partial(torch.optim.SGD, lr=0.01, weight_decay=0.1, momentum=0.9, nesterov=True),
    "dampening": partial(torch.optim.SGD, lr=0.01, weight_decay=0.1, momentum=0.9, dampening=0.5),
    "adamw": partial(torch.optim.AdamW, lr=0.001, weight_decay=1.0),
    "adam, decoupled": partial(torch.optim.Adam, lr=0.001, weight_decay=1.0, decoupled_weight_decay=True),
}
BALANCING = {
    "adam": partial(torch.optim.Adam, lr=0.01, weight_decay=0.1),
    "rmsprop": partial(torch.optim.RMSprop, lr=0.01, weight_decay=0.1),
    "rmsprop with momentum": partial(torch.optim.RMSprop, lr=0.003, weight_decay=0.1, momentum=0.9),
    "nadam": partial(torch.optim.NAdam, lr=0.01, weight_decay=0.1),
    "adamax": partial(torch.optim.Adamax, lr=0.01, weight_decay=0.1),
}


@pytest.mark.parametrize("steps", [30, 300, 3000])
@pytest.mark.parametrize("make", SHRINKING.values(), ids=SHRINKING)
@pytest.mark.parametrize("gradients", [STILL, GRADIENTS], ids=["no gradient", "gradients"])
def test_decay_that_shrinks_is_that_of_the_optimizer(make, gradients, steps):
    """Momentum takes 1/(1 − β) steps to come to its speed, which is a share of a short run."""
    found, expected = (
        effective_update(make, WEIGHTS, gradients).displaced_weights(WEIGHTS, steps)["w"],
        stepped(make, gradients, steps),
    )
    delay = 1 / (1 - make.keywords.get("momentum", 0.0))
    way = (expected - WEIGHTS["w"]).norm()
    assert (found - expected).norm() <= (0.02 + 2 * delay / steps) * way + 1e-6


@pytest.mark.parametrize("make", BALANCING.values(), ids=BALANCING)
def test_decay_within_the_gradient_ends_where_both_balance(make):
    """A weight goes to −g/λ and no farther, however many the steps; the first are as without decay."""
    update = effective_update(make, WEIGHTS, GRADIENTS)
    target = -(GRADIENTS[0]["w"] + GRADIENTS[1]["w"]) / 2 / 0.1
    far, expected = update.displaced_weights(WEIGHTS, 1e5)["w"], stepped(make, GRADIENTS, 6000)
    assert (far - expected).norm() < 0.1 * (expected - WEIGHTS["w"]).norm()
    assert torch.allclose(far, target, rtol=1e-2, atol=1e-2)
    soon = update.displaced_weights(WEIGHTS, 20)["w"] - WEIGHTS["w"]
    assert (
        torch.nn.functional.cosine_similarity(
            soon.flatten(), (stepped(make, GRADIENTS, 20) - WEIGHTS["w"]).flatten(), dim=0
        )
        > 0.9
    )
    still = effective_update(make, WEIGHTS, STILL)
    assert still.displaced_weights(WEIGHTS, 1e6)["w"].abs().max() < 1e-3 * WEIGHTS["w"].abs().max()


def test_decay_of_momentum_is_ten_times_that_of_plain_sgd():
    plain, heavy = (
        effective_update(
            partial(torch.optim.SGD, lr=0.01, weight_decay=0.1, momentum=beta), WEIGHTS, GRADIENTS
        ).decay["w"]
        for beta in (0.0, 0.9)
    )
    assert plain == pytest.approx(1e-3) and heavy == pytest.approx(1e-2)


def test_decay_is_that_of_each_weights_own_group():
    weights = {"w": torch.ones(2, 2), "b": torch.ones(2)}
    gradients = [{"w": torch.zeros(2, 2), "b": torch.zeros(2)}]

    def make(parameters):
        w, b = parameters
        return torch.optim.SGD(
            [{"params": [w], "weight_decay": 0.5}, {"params": [b], "weight_decay": 0.0}], lr=0.1
        )

    moved = effective_update(make, weights, gradients).displaced_weights(weights, 1000)
    assert moved["w"].abs().max() < 1e-6 and torch.equal(moved["b"], weights["b"])


class Lion(torch.optim.Optimizer):
    """A stranger's optimizer: a step of lr by sign, and decay apart from it (Chen et al. 2023)."""

    def __init__(self, params, lr=1e-3, weight_decay=0.0):
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None):  # pyrefly: ignore[bad-override]
        for group in self.param_groups:
            for p in group["params"]:
                p.mul_(1 - group["lr"] * group["weight_decay"]).add_(p.grad.sign(), alpha=-group["lr"])


def test_how_a_strangers_optimizer_decays_is_asked_of_it():
    make = partial(Lion, lr=1e-3, weight_decay=1.0)
    found = effective_update(make, WEIGHTS, GRADIENTS).displaced_weights(WEIGHTS, 3000)["w"]
    assert (found - stepped(make, GRADIENTS, 3000)).norm() < 0.05


def test_momentum_however_heavy_is_at_its_speed_in_a_long_run():
    make = partial(torch.optim.SGD, lr=1e-3, momentum=0.99)
    found = effective_update(make, WEIGHTS, [GRADIENTS[0]]).displaced_weights(WEIGHTS, 5000)["w"]
    way = (stepped(make, [GRADIENTS[0]], 5000) - WEIGHTS["w"]).norm()
    assert (found - WEIGHTS["w"]).norm() == pytest.approx(way, rel=0.25)
