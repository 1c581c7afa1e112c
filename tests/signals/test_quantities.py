"""Each quantity against a slow twin that goes through the values one by one."""

import itertools
import math
import statistics

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from torch import nn

from trainlab.signals import quantities as q

SHAPES = st.tuples(st.integers(2, 5), st.integers(1, 4), st.integers(1, 6))


def tensor(shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(shape=SHAPES, seed=st.integers(0, 99))
def test_mean_std_norm_and_rms(shape, seed):
    x = tensor(shape, seed)
    values = x.flatten().tolist()
    assert float(q.mean(x)) == pytest.approx(statistics.fmean(values))
    assert float(q.std(x)) == pytest.approx(statistics.pstdev(values))
    assert float(q.norm(x)) == pytest.approx(math.sqrt(sum(v * v for v in values)))
    assert float(q.root_mean_square(x)) == pytest.approx(math.sqrt(sum(v * v for v in values) / len(values)))


def test_norms_neither_underflow_nor_overflow_in_float32():
    for size in (1e-30, 1e30):
        assert float(q.norm(torch.full((100,), size))) == pytest.approx(10 * size)
        assert float(q.root_mean_square(torch.full((100,), size))) == pytest.approx(size)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200), st.floats(0, 1))
def test_quantiles_are_values_of_that_rank(values, level):
    (got,) = q.quantiles(torch.tensor(values, dtype=torch.float64), [level])
    assert float(got) == sorted(values)[round(level * (len(values) - 1))]


def test_quantiles_of_many_values_see_all_units():
    """Half of the units hold 1, half 0: a stride that meets even units only would see one of them."""
    x_NPF = torch.zeros(32, 8, 64, dtype=torch.float64)
    x_NPF[:, :, ::2] = 1
    low, high = q.quantiles(x_NPF, [0.25, 0.75])
    assert (float(low), float(high)) == (0, 1)
    normal = tensor((100, 400))
    for level, got in zip((0.05, 0.5, 0.95), q.quantiles(normal, (0.05, 0.5, 0.95)), strict=True):
        assert float(got) == pytest.approx(statistics.NormalDist().inv_cdf(level), abs=0.12)


@given(shape=SHAPES, seed=st.integers(0, 99))
def test_saturated_fraction_counts(shape, seed):
    z = 3 * tensor(shape, seed)
    values = z.flatten().tolist()
    count = sum(1 for v in values if v <= -2 or v >= 1.5)
    assert float(q.saturated_fraction(z, (-2.0, 1.5))) == pytest.approx(count / len(values))
    assert float(q.saturated_fraction(z, (-math.inf, math.inf))) == 0


@given(shape=SHAPES, seed=st.integers(0, 99))
def test_dead_fraction_finds_units_that_never_change(shape, seed):
    a_NPF = torch.relu(tensor(shape, seed))
    N, P, F = shape
    dead = 0
    for unit in range(F):
        values = {float(a_NPF[n, p, unit]) for n in range(N) for p in range(P)}
        dead += len(values) == 1
    assert float(q.dead_fraction(a_NPF)) == pytest.approx(dead / F)


def test_a_unit_stuck_at_its_asymptote_is_dead_and_a_faint_one_is_not():
    z = torch.stack([torch.linspace(40, 90, 64), torch.linspace(-1e-6, 1e-6, 64)], dim=-1)[:, None]
    assert float(q.dead_fraction(torch.tanh(z))) == 0.5
    assert float(q.dead_fraction(torch.tanh(z) + 1e-9)) == 0.5


@given(shape=SHAPES, seed=st.integers(0, 99))
def test_correlation_is_the_mean_cosine_over_pairs(shape, seed):
    z_NPF = tensor(shape, seed) + 0.3
    cosines = [
        float(nn.functional.cosine_similarity(a.flatten(), b.flatten(), dim=0))
        for a, b in itertools.combinations(z_NPF, 2)
    ]
    assert float(q.correlation(z_NPF)) == pytest.approx(statistics.fmean(cosines), abs=1e-12)


def test_correlation_of_equal_opposite_absent_and_single_images():
    z = tensor((1, 3, 4))
    assert float(q.correlation(z.expand(8, 3, 4))) == pytest.approx(1)
    assert float(q.correlation(torch.cat([z, -2 * z]))) == pytest.approx(-1)
    assert math.isnan(q.correlation(z)) and math.isnan(q.correlation(torch.zeros(4, 3, 4)))


def test_correlation_follows_the_relu_map_of_a_wide_network():
    """From 0, a ReLU layer makes 0.3183 = 1/π, a second 0.4937 (mean-field theory)."""
    a_ND, found = torch.eye(2, dtype=torch.float64), []
    for layer in range(3):
        weight = tensor((a_ND.shape[1], 4000), seed=layer) * math.sqrt(2 / a_ND.shape[1])
        z_ND = a_ND @ weight
        found.append(float(q.correlation(z_ND[:, None])))
        a_ND = torch.relu(z_ND)
    assert found == pytest.approx([0, 0.31831, 0.49373], abs=0.06)


def test_update_ratio():
    before, after = tensor((3, 4)), tensor((3, 4), seed=1)
    moved = math.sqrt(
        sum((a - b) ** 2 for a, b in zip(after.flatten().tolist(), before.flatten().tolist(), strict=True))
    )
    assert float(q.update_ratio(before, after)) == pytest.approx(moved / float(before.norm()))
    zero = torch.zeros(2, 2)
    assert float(q.update_ratio(zero, zero)) == 0
    assert float(q.update_ratio(zero, zero + 1)) == math.inf


@given(shape=SHAPES, seed=st.integers(0, 99))
def test_unit_spread_is_what_differs_between_units(shape, seed):
    w_GUK = tensor(shape, seed) + 0.2
    off = whole = 0.0
    for matrix in w_GUK.tolist():
        for column in zip(*matrix, strict=True):
            off += sum((w - statistics.fmean(column)) ** 2 for w in column)
            whole += sum(w * w for w in column)
    assert float(q.unit_spread(w_GUK)) == pytest.approx(math.sqrt(off / whole), abs=1e-12)


def test_unit_spread_of_copies_zeros_and_independent_units():
    one_unit = tensor((3, 1, 5))
    assert float(q.unit_spread(one_unit.expand(3, 4, 5))) == pytest.approx(0, abs=1e-15)
    assert float(q.unit_spread(torch.zeros(1, 4, 5))) == 0
    assert float(q.unit_spread(tensor((1, 100, 400)))) == pytest.approx(math.sqrt(1 - 1 / 100), abs=1e-3)


@pytest.mark.parametrize("bias", [True, False])
def test_noise_scale_is_that_of_gradients_taken_image_by_image(bias):
    B, features, classes = 24, 6, 4
    layer = nn.Linear(features, classes, bias=bias).double()
    a_NF, y_N = tensor((B, features)) + 1, torch.zeros(B, dtype=torch.long)
    y_N[: B // 6] = 1
    gradients = []
    for i in range(B):
        layer.zero_grad()
        nn.functional.cross_entropy(layer(a_NF[i : i + 1]), y_N[i : i + 1]).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in layer.parameters() if p.grad is not None]))
    g = torch.stack(gradients)
    trace = float(g.var(0, correction=1).sum())
    signal = float(g.mean(0).square().sum()) - trace / B
    assert signal > 0, "a case in which the batch sees its gradient"

    logits_NK = layer(a_NF).detach().requires_grad_()
    nn.functional.cross_entropy(logits_NK, y_N).backward()
    assert float(q.noise_scale(a_NF, B * logits_NK.grad, bias)) == pytest.approx(trace / signal)


def test_noise_scale_estimates_the_true_one():
    """Gradients δ·a with a = 1 and δ ~ N(0.5, 1): tr Σ = 1, |G|² = 0.25, so 4 images."""
    delta = 0.5 + tensor((200_000, 1))
    assert float(q.noise_scale(torch.ones(200_000, 1, dtype=torch.float64), delta, False)) == pytest.approx(
        4, rel=0.05
    )


def test_noise_scale_at_its_limits():
    one, ones = torch.ones(1, 2).double(), torch.ones(4, 2).double()
    assert math.isnan(q.noise_scale(one, one, True)), "one image has no spread"
    assert float(q.noise_scale(ones, ones, True)) == 0, "all images agree"
    opposite = torch.tensor([[1.0], [-1.0], [1.0], [-1.0]]).double()
    assert float(q.noise_scale(torch.ones(4, 1).double(), opposite, False)) == math.inf
    assert math.isnan(q.noise_scale(ones, 0 * ones, True)), "no gradient at all"


@given(st.lists(st.integers(0, 4), min_size=1, max_size=40))
def test_majority_share_counts_predictions(classes):
    logits_NK = nn.functional.one_hot(torch.tensor(classes), 5).float()
    assert float(q.majority_share(logits_NK)) == pytest.approx(
        max(map(classes.count, classes)) / len(classes)
    )


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_shows_and_never_raises(bad):
    x = tensor((4, 3, 5))
    x[1, 2, 3] = bad
    results = [q.mean(x), q.std(x), q.norm(x), q.root_mean_square(x), q.saturated_fraction(x, (-1.0, 1.0))]
    results += [q.dead_fraction(x), q.correlation(x), *q.quantiles(x, [0.05, 0.5]), q.majority_share(x[:, 2])]
    results += [q.update_ratio(x, tensor((4, 3, 5))), q.unit_spread(x)]
    results += [q.noise_scale(x[:, 2], tensor((4, 2)), True)]
    assert not any(math.isfinite(r) for r in results)


def test_shapes_in_annotations_are_checked_while_the_tests_run():
    with pytest.raises(TypeCheckError, match="a_NPF"):
        q.dead_fraction(torch.zeros(3, 4))
    with pytest.raises(TypeCheckError, match="delta_NK"):
        q.noise_scale(torch.zeros(3, 4), torch.zeros(2, 4), has_bias=True)
