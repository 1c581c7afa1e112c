"""The network as it is trained: its modes, its dropout, its batch; and causes with evidence of their own."""

import copy
from functools import partial

import pytest
import torch
from planted import digits
from torch import Tensor, nn

from trainlab.diagnosis import Forecast, preflight
from trainlab.forecast.functional_model import FunctionalModel
from trainlab.forecast.isolation import preserve_global_state
from trainlab.forecast.logistic_model import answer_for, no_answer_interval

SGD = partial(torch.optim.SGD, lr=0.1)


def batches(size: int, count: int = 512) -> list[tuple[Tensor, Tensor]]:
    x_NCHW, y_N = digits()
    return [(x_NCHW[k : k + size], y_N[k : k + size]) for k in range(0, count, size)]


def dense(*between: nn.Module, depth: int = 2, activation=nn.ReLU, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    layers: list[nn.Module] = [nn.Flatten()]
    for k in range(depth):
        layers += [nn.Linear(64 if k == 0 else 32, 32), *copy.deepcopy(between), activation()]
    return nn.Sequential(*layers, nn.Linear(32, 10))


def foresee(network: nn.Module, size: int = 64, optimizer=SGD, steps: int = 200, **more) -> Forecast:
    return preflight(network, batches(size), optimizer, steps, **more)


def test_batchnorm_of_a_part_is_that_of_each_batch_by_hand():
    """Two hundred images in batches of eight are twenty-five calls of the network, one after the other."""
    network, x_NCHW = dense(nn.BatchNorm1d(32)), batches(200)[0][0]
    for size, images in ((8, 200), (48, 200), (2, 16), (500, 200)):
        functional = FunctionalModel(network)
        functional.batch_size = size
        with preserve_global_state(), torch.no_grad():
            found = functional.logits(x_NCHW[:images], seed=1)
            parts = x_NCHW[:images].tensor_split(max(1, round(images / size)))
            expected = torch.cat([network(part) for part in parts])
        assert torch.allclose(found, expected, atol=1e-4)


def test_outside_of_training_batchnorm_takes_all_images_and_dropout_none():
    network, x_NCHW = dense(nn.BatchNorm1d(32), nn.Dropout(0.5)), batches(64)[0][0]
    functional = FunctionalModel(network)
    functional.batch_size = 2
    with preserve_global_state(), torch.no_grad():
        found = functional.logits(x_NCHW)
        for module in network.modules():
            module.training = isinstance(module, nn.BatchNorm1d)
        assert torch.allclose(found, network(x_NCHW), atol=1e-5)
        assert not torch.equal(functional.logits(x_NCHW, seed=1), functional.logits(x_NCHW, seed=2))
        assert torch.equal(functional.logits(x_NCHW, seed=1), functional.logits(x_NCHW, seed=1))


def test_statistics_that_lag_are_those_after_so_many_steps():
    network, x_NCHW = dense(nn.BatchNorm1d(32, momentum=0.01)), batches(64)[0][0]
    functional = FunctionalModel(network)
    functional.steps = 40
    with preserve_global_state(), torch.no_grad():
        found = functional.logits(x_NCHW)
        for _ in range(40):
            network(x_NCHW)
        # torch's running variance is the unbiased one: 64/63
        assert torch.allclose(found, network.eval()(x_NCHW), rtol=1e-2, atol=2e-2)


def test_a_batch_of_two_is_a_batch_of_two():
    """Normalized in pairs every unit is ±1: the gradient goes, and with it what can be learned."""
    network = dense(nn.BatchNorm1d(32), depth=3)
    small, large = foresee(network, 2), foresee(network, 64)
    assert large.answer == "will learn" and small.learns < large.learns
    assert small.features["signal_share"] != large.features["signal_share"]


def deep_with_batchnorm() -> nn.Sequential:
    network = dense(nn.BatchNorm1d(32), depth=12, activation=nn.Sigmoid)
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.1)
    return network


class Frozen(nn.BatchNorm1d):
    """Frozen by a `train` of its own."""

    def train(self, mode: bool = True):
        return super().train(False)


def test_batchnorm_that_is_frozen_does_not_normalize():
    """By `eval()` on the layer, or by a `train` of its own: not as if it normalized by the batch."""
    free, frozen, own = deep_with_batchnorm(), deep_with_batchnorm(), deep_with_batchnorm()
    for module in frozen.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.eval()
    for module in own.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.__class__ = Frozen
    open_, shut, shut_too = (foresee(net) for net in (free, frozen, own))
    assert shut.learns < open_.learns and shut.features == shut_too.features
    assert shut.cause == "batchnorm_frozen" and any("12 of 12 BatchNorm" in note for note in shut.notes)


def test_a_network_that_was_wholly_in_eval_mode_is_taken_as_after_train():
    network = dense(nn.BatchNorm1d(32), nn.Dropout(0.2))
    training = foresee(network)
    evaluated = foresee(network.eval())
    assert evaluated.features == training.features
    assert any("eval mode" in note and "train()" in note for note in evaluated.notes)
    assert not any("eval mode" in note for note in training.notes)


def test_dropout_counts():
    network = dense(nn.Dropout(0.97), depth=3)
    with_it = foresee(network, steps=60)
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    assert with_it.learns < foresee(network, steps=60).learns
    assert with_it.features["agreement"] < foresee(network, steps=60).features["agreement"]


def test_statistics_that_hardly_move_are_named():
    found = foresee(dense(nn.BatchNorm1d(32, momentum=1e-3)), steps=100)
    assert found.cause == "batchnorm_statistics_lag" and "90%" in found.says and not found.will_learn
    assert foresee(dense(nn.BatchNorm1d(32)), steps=100).will_learn


def test_zero_weights_are_copies_of_one_another_whatever_the_rate():
    network = dense(activation=nn.Sigmoid)
    for p in network.parameters():
        nn.init.zeros_(p)
    for rate in (1e-6, 0.5):
        found = foresee(network, optimizer=partial(torch.optim.SGD, lr=rate))
        assert found.cause == "symmetric_weights" and "lr" not in (found.remedy or "")


def test_a_clip_that_leaves_next_to_nothing_is_the_cause_and_not_the_rate():
    found = foresee(dense(), optimizer=partial(torch.optim.SGD, lr=0.05), gradient_clip=1e-4)
    assert found.cause == "gradient_clip_too_small" and "lr" not in (found.remedy or "")
    assert foresee(dense(), optimizer=partial(torch.optim.SGD, lr=0.05), gradient_clip=10.0).will_learn


def test_a_schedule_that_ends_at_once_is_the_cause_and_not_the_rate():
    def falling(optimizer):
        return torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.1)

    found = foresee(dense(), optimizer=partial(torch.optim.SGD, lr=0.05), schedule=falling)
    assert found.cause == "schedule_decays_too_early" and "lr" not in (found.remedy or "")
    assert found.needs_steps is None  # more steps of a rate of nothing are nothing


def test_labels_of_other_images_are_named_and_no_probability_is_claimed():
    shuffled = torch.randperm(512, generator=torch.Generator().manual_seed(1))
    y_N = torch.cat([y for _, y in batches(64)])[shuffled].split(64)
    wrong = [(x, y) for (x, _), y in zip(batches(64), y_N, strict=True)]
    found = preflight(dense(), wrong, SGD, 300)
    assert found.cause == "labels_unlearnable" and not found.will_learn and found.evidence
    assert foresee(dense(), steps=300).cause is None


@pytest.mark.parametrize("rate", [3e-5, 1e-4, 1e-3, 3e-3])
def test_longer_runs_are_no_less_likely_to_learn_and_the_steps_are_said(rate):
    found = foresee(dense(), optimizer=partial(torch.optim.SGD, lr=rate), steps=100)
    steps, chances = zip(*found.by_steps, strict=True) if found.by_steps else ((100,), (found.learns,))
    assert steps[0] == 100 and chances[0] == found.learns
    assert list(chances) == sorted(chances) and list(steps) == sorted(steps)
    if found.needs_steps:
        assert answer_for(dict(found.by_steps)[found.needs_steps]) == "will learn" != found.answer
    if found.cause == "too_few_steps":
        assert found.needs_steps == found.evidence["steps_needed"]


def test_the_answer_is_one_of_three_by_a_border_that_was_measured():
    low, high = no_answer_interval()
    assert 0 < low < high < 1
    assert [answer_for(p) for p in (0.0, low - 1e-6, low, (low + high) / 2, high - 1e-6, high, 1.0)] == [
        "will not learn", "will not learn", "cannot tell", "cannot tell", "cannot tell", "will learn",
        "will learn",
    ]  # fmt: skip
    assert foresee(dense()).to_dict()["answer"] == "will learn"
