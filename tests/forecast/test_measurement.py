"""Every measured quantity against a slow, independent twin: autograd in full, loops, formulas by hand."""

import math
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny_network import SGD, flat, loss_of, measured, unflat
from torch import nn

from trainlab.forecast.effective_update import effective_update
from trainlab.forecast.features import (
    FEATURE_NAMES,
    RIGHT_ANGLE,
    clipped_log10,
    compute_features,
    lazy_features,
)
from trainlab.forecast.functional_model import FunctionalModel, displace
from trainlab.forecast.gradients import centered_one_hot
from trainlab.forecast.image_sample import count_layer_operations, take_sample
from trainlab.forecast.isolation import preserve_global_state
from trainlab.forecast.line_probe import evaluate_logits, probed_steps
from trainlab.forecast.logistic_model import Coefficients, learning_probability
from trainlab.forecast.measurement import InitialMeasurer, StepBudget
from trainlab.forecast.preflight import step_budget
from trainlab.models import MLP, PlainCNN, ResNet, anatomy, totals
from trainlab.nn.norm_layers import NormLayer
from trainlab.nn.schedules import cosine

BATCHNORM = NormLayer("before_activation", nn.BatchNorm2d)


def test_overshoot_and_sharpness_are_those_of_the_whole_hessian(tiny, sample):
    found, lr = measured(tiny, sample), 0.3
    loss, theta = loss_of(tiny, sample.first), flat(tiny.weights)
    H = torch.autograd.functional.hessian(loss, theta)
    g = torch.autograd.functional.jacobian(loss, theta)
    u = -lr * g
    assert found.overshoot == pytest.approx(float(u @ H @ u / abs(u @ g)), rel=0.02)
    v = H @ u
    rayleigh = float(lr * (v @ H @ v) / (v @ v))
    assert found.sharpness == pytest.approx(max(rayleigh, found.overshoot), rel=0.02)
    assert found.sharpness <= lr * float(torch.linalg.eigvalsh(H)[-1]) * 1.02


def test_share_of_the_label_gradient_and_agreement_by_finite_differences(tiny, sample):
    found = measured(tiny, sample)
    theta, eps = flat(tiny.weights), 1e-6

    def toward_labels(part):
        def agreement(vector):
            logits_NK = tiny.forward(part.x_NCHW, unflat(vector, tiny.weights))
            return -float((logits_NK * centered_one_hot(part.y_N, 3)).sum()) / len(part.y_N)

        rows = torch.eye(len(theta), dtype=torch.double)
        return torch.tensor(
            [(agreement(theta + eps * e) - agreement(theta - eps * e)) / (2 * eps) for e in rows]
        )

    first, second = toward_labels(sample.first), toward_labels(sample.second)
    g = torch.autograd.functional.jacobian(loss_of(tiny, sample.first), theta)
    assert found.label_gradient_share == pytest.approx(float(first.norm() / g.norm()), rel=1e-4)
    assert found.agreement == pytest.approx(float(F.cosine_similarity(first, second, dim=0)), abs=1e-4)


def test_growth_is_the_signal_at_displaced_weights(tiny, sample):
    lr, steps = 0.3, 50
    found = measured(tiny, sample, partial(torch.optim.SGD, lr=lr), steps)
    parts, theta = (sample.first, sample.second), flat(tiny.weights)
    downhill = [torch.autograd.functional.jacobian(loss_of(tiny, part), theta) for part in parts]

    def signal(vector):
        logits_NK = tiny.forward(sample.second.x_NCHW, unflat(vector, tiny.weights))
        return -(logits_NK * centered_one_hot(sample.second.y_N, 3)).sum() / len(sample.second.y_N)

    def size(vector):
        return float(torch.autograd.functional.jacobian(signal, vector).norm())

    for growth, at in zip(found.growth, (5, 20), strict=True):
        displaced = theta - lr * at * (downhill[0] + downhill[1]) / 2
        assert growth == pytest.approx(size(displaced) / size(theta), rel=1e-4)


def test_weights_before_a_norm_layer_are_at_right_angles_to_their_gradient():
    torch.manual_seed(0)
    x_NCHW, y_N = torch.randn(128, 1, 4, 4), torch.arange(128) % 10
    along = {}
    for name, norm_layer in (("batchnorm", BATCHNORM), ("none", NormLayer())):
        network = MLP((1, 4, 4), 10, depth=2, width=16, activation=nn.Tanh, norm_layer=norm_layer)
        functional = FunctionalModel(network)
        with preserve_global_state():
            sample = take_sample([(x_NCHW, y_N)], functional)
            found = InitialMeasurer(functional, sample, SGD).measure(StepBudget(10))
        along[name] = [layer.along_itself for layer in found.layers.values()]
    assert max(along["batchnorm"][:-1]) < RIGHT_ANGLE < min(along["none"])


def test_the_lines_are_the_network_at_moved_weights(tiny, sample):
    lr, steps = 0.3, 50
    found = measured(tiny, sample, partial(torch.optim.SGD, lr=lr), steps)
    gradients = [
        torch.autograd.functional.jacobian(loss_of(tiny, part), flat(tiny.weights))
        for part in (sample.first, sample.second)
    ]
    end = flat(tiny.weights) - lr * steps * (gradients[0] + gradients[1]) / 2
    logits_NK = tiny.forward(sample.held_out.x_NCHW, unflat(end, tiny.weights))
    assert found.downhill[-1].loss == pytest.approx(
        float(F.cross_entropy(logits_NK, sample.held_out.y_N)), rel=1e-4
    )
    assert [p.steps for p in found.downhill][::5] == pytest.approx([1, steps])


def test_a_point_by_loops():
    rng = np.random.default_rng(0)
    start_NK, logits_NK, y_N = rng.normal(size=(12, 4)), rng.normal(size=(12, 4)) + 2, np.arange(12) % 3
    point = evaluate_logits(7.0, torch.tensor(logits_NK), torch.tensor(start_NK), torch.tensor(y_N))
    z = [[logits_NK[i][k] - sum(row[k] for row in logits_NK) / 12 for k in range(4)] for i in range(12)]
    z0 = [[start_NK[i][k] - sum(row[k] for row in start_NK) / 12 for k in range(4)] for i in range(12)]
    share = [sum(y == k for y in y_N) / 12 for k in range(4)]
    y = [[(y_N[i] == k) - share[k] for k in range(4)] for i in range(12)]

    def cos(a, b):
        dot = sum(p * q for r, s in zip(a, b, strict=True) for p, q in zip(r, s, strict=True))
        return dot / math.sqrt(sum(p * p for r in a for p in r) * sum(q * q for s in b for q in s))

    change = [[p - q for p, q in zip(r, s, strict=True)] for r, s in zip(z, z0, strict=True)]
    nats = 0.0
    for i in range(12):
        weights = [math.exp(z[i][k]) * max(share[k], 1e-9) for k in range(4)]
        nats -= math.log(weights[y_N[i]] / sum(weights)) / 12
    entropy = -sum(s * math.log(s) for s in share if s)
    assert point.gain == pytest.approx(entropy - nats, abs=1e-6)
    assert point.alignment == pytest.approx(cos(z, y)) and point.change_alignment == pytest.approx(
        cos(change, y)
    )
    assert point.change_rms == pytest.approx(math.sqrt(sum(c * c for r in change for c in r) / 48))
    assert point.spread == pytest.approx(math.sqrt(sum(c * c for r in z for c in r) / 48))
    assert point.accuracy == sum(int(np.argmax(logits_NK[i])) == y_N[i] for i in range(12)) / 12
    assert point.majority_share == 4 / 12


def test_logits_that_are_not_finite_are_the_worst_point():
    bad = torch.tensor([[torch.inf, 0.0], [0.0, 1.0]])
    point = evaluate_logits(1.0, bad, torch.zeros(2, 2), torch.tensor([0, 1]))
    assert point.gain == -math.inf and point.loss == math.inf and point.alignment == 0


def test_steps_are_even_in_the_logarithm():
    steps = probed_steps(1000, 4)
    assert steps == pytest.approx([1, 10, 100, 1000]) and probed_steps(1, 6) == [1.0]


WEIGHTS = {"w": torch.tensor([[1.0, -2.0], [0.5, 4.0]])}
GRADIENT = {"w": torch.tensor([[0.3, -0.1], [2.0, 1e-3]])}


@pytest.mark.parametrize(
    ("make", "first", "steady"),
    [
        (partial(torch.optim.SGD, lr=0.1), 0.1, 0.1),
        # the mean of steps 11 to 20 of lr g (1 − β^t)/(1 − β)
        (
            partial(torch.optim.SGD, lr=0.1, momentum=0.9),
            0.1,
            0.1 * sum((1 - 0.9**t) / 0.1 for t in range(11, 21)) / 10,
        ),
    ],
    ids=["sgd", "momentum"],
)
def test_what_sgd_makes_of_a_gradient(make, first, steady):
    update = effective_update(make, WEIGHTS, [GRADIENT], 20)
    assert torch.allclose(update.first["w"], -first * GRADIENT["w"], rtol=1e-4, atol=1e-7)
    assert torch.allclose(update.steady["w"], -steady * GRADIENT["w"], rtol=1e-4, atol=1e-6)


def test_what_adam_makes_of_a_gradient():
    """A step of lr whatever the size, until ε is as large as the gradient."""
    small = {"w": torch.full((2, 2), 1e-8)}
    for gradient, share in ((GRADIENT, 1.0), (small, 0.5)):
        update = effective_update(partial(torch.optim.Adam, lr=1e-3), WEIGHTS, [gradient], 20)
        assert torch.allclose(update.steady["w"], -1e-3 * share * gradient["w"].sign(), rtol=1e-2)


def test_weight_decay_is_kept_apart_where_it_is_a_shrinking():
    for make in (torch.optim.SGD, torch.optim.AdamW):
        update = effective_update(
            lambda p, make=make: make(p, lr=0.1, weight_decay=0.5), WEIGHTS, [GRADIENT], 4
        )
        plain = effective_update(
            lambda p, make=make: make(p, lr=0.1, weight_decay=0.0), WEIGHTS, [GRADIENT], 4
        )
        assert update.decay == {"w": pytest.approx(0.05)}
        assert torch.equal(update.steady["w"], plain.steady["w"])


def test_weight_decay_shrinks_along_the_line(tiny, sample):
    make = partial(torch.optim.SGD, lr=1e-12, weight_decay=1e11)
    found = measured(tiny, sample, make, steps=20)
    kept = {name: 0.9**20 * w for name, w in tiny.weights.items()}
    logits_NK = tiny.forward(sample.held_out.x_NCHW, kept)
    assert found.downhill[-1].loss == pytest.approx(
        float(F.cross_entropy(logits_NK, sample.held_out.y_N)), abs=1e-6
    )


def test_moves_are_relative_to_each_layer(tiny, sample):
    found = measured(tiny, sample, partial(torch.optim.Adam, lr=1e-3))
    w = tiny.weights["hidden.weight"]
    assert found.layers["hidden"].first_step == pytest.approx(
        1e-3 * math.sqrt(w.numel()) / float(w.norm()), rel=1e-3
    )
    g = torch.autograd.functional.jacobian(loss_of(tiny, sample.first), flat(tiny.weights))
    assert found.layers["hidden"].gradient_norm == pytest.approx(float(g[: w.numel()].norm()), rel=1e-6)


def test_the_subject_is_the_network_in_training_mode_without_dropout():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(144, 3)
    )
    x_NCHW = torch.randn(8, 1, 8, 8)
    functional = FunctionalModel(network)
    with preserve_global_state():
        logits_NK = functional.logits(x_NCHW)
    h = network[0](x_NCHW)
    mean, var = h.mean((0, 2, 3), keepdim=True), h.var((0, 2, 3), correction=0, keepdim=True)
    expected = network[4](((h - mean) / (var + 1e-5).sqrt()).flatten(1))
    assert torch.allclose(logits_NK, expected, atol=1e-5)
    assert (
        torch.equal(network[1].get_buffer("running_mean"), torch.zeros(4))
        and network[1].num_batches_tracked == 0
    )


def test_moved_weights():
    by = {"w": torch.ones(2, 2)}
    assert torch.equal(displace(WEIGHTS, by, 3.0)["w"], WEIGHTS["w"] + 3)


def test_multiply_adds_are_those_of_the_layer_table():
    for network in (PlainCNN((3, 16, 16), 10, depth=4), ResNet((3, 16, 16), 10), MLP((3, 16, 16), 10)):
        functional = FunctionalModel(network)
        with preserve_global_state():
            counted, _ = count_layer_operations(functional, torch.randn(2, 3, 16, 16))
        assert counted == totals(anatomy(network, (3, 16, 16))).multiply_adds


def test_batchnorm_gets_32_images_however_large_the_network_is():
    for norm_layer, fewest in ((NormLayer(), 16), (BATCHNORM, 32)):
        network = PlainCNN((3, 32, 32), 10, depth=4, width=128, norm_layer=norm_layer)
        functional = FunctionalModel(network)
        with preserve_global_state():
            taken = take_sample([(torch.randn(300, 3, 32, 32), torch.arange(300) % 10)], functional)
        assert len(taken.first.y_N) == len(taken.second.y_N) == len(taken.held_out.y_N) == fewest


def test_parts_do_not_overlap_where_there_are_images_enough():
    functional = FunctionalModel(MLP((1, 2, 2), 10))
    x_NCHW = torch.arange(400.0).view(100, 1, 2, 2)
    with preserve_global_state():
        taken = take_sample(
            [(x_NCHW[:30], torch.arange(30) % 10), (x_NCHW[30:], torch.arange(70) % 10)], functional
        )
    seen = torch.cat([taken.first.x_NCHW, taken.second.x_NCHW, taken.held_out.x_NCHW])
    assert len(seen) == 100 and len(seen.unique()) == 400


def test_label_direction_has_no_part_in_the_shares():
    direction_NK = centered_one_hot(torch.tensor([0, 0, 1, 2]), 4)
    assert torch.allclose(direction_NK.sum(0), torch.zeros(4)) and direction_NK[2, 1] == 0.75


def test_a_schedule_is_its_mean_and_its_largest_factor():
    budget = step_budget(100, cosine)
    expected = [(1 + math.cos(math.pi * t / 100)) / 2 for t in range(100)]
    assert budget.mean_factor == pytest.approx(sum(expected) / 100) and budget.largest_factor == 1.0
    assert step_budget(100, None) == StepBudget(100)


def test_features_are_all_there_and_finite(tiny, sample):
    found = compute_features(measured(tiny, sample))
    assert set(FEATURE_NAMES) <= set(found) and all(math.isfinite(value) for value in found.values())


def test_the_linear_network_has_a_word_only_where_steps_are_small():
    found = {"first_step": -2.0, "overshoot": -1.0, "linear_accuracy": 0.13, "linear_alignment": 0.0}
    quiet = lazy_features(found)
    assert quiet["lazy"] == pytest.approx(1, abs=0.02)
    assert quiet["lazy_accuracy"] > 0.9 and quiet["lazy_alignment"] < -0.7
    for wild in ({"first_step": 0.5}, {"overshoot": 1.5}):
        assert all(abs(value) < 0.01 for value in lazy_features({**found, **wild}).values())


def test_logarithms_within_bounds():
    assert (
        clipped_log10(1000.0, -1, 2) == 2
        and clipped_log10(0.0, -1, 2) == -1
        and clipped_log10(math.nan, -1, 2) == -1
    )
    assert clipped_log10(math.inf, -1, 2) == 2 and clipped_log10(10.0, -1, 2) == pytest.approx(1)


def test_the_probability_is_the_logistic_of_the_weighted_sum():
    fitted: Coefficients = {
        "intercept": 0.5, "features": {"a": {"weight": 2.0, "mean": 1.0, "scale": 4.0}},
        "threshold": 0.5, "border": [0.4, 0.6],
    }  # fmt: skip
    assert learning_probability({"a": 3.0}, fitted) == pytest.approx(
        1 / (1 + math.exp(-(0.5 + 2 * (3 - 1) / 4)))
    )
    assert learning_probability({"a": -1e9}, fitted) == pytest.approx(0, abs=1e-200)
