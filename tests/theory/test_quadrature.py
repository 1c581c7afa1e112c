"""Gaussian expectations against closed forms and against SciPy's adaptive integration, kinks included."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate
from torch import nn

from trainlab.errors import RequestError
from trainlab.theory import moments
from trainlab.theory.elementwise import Elementwise
from trainlab.theory.quadrature import expect_gap

ACTIVATIONS = {
    "relu": nn.ReLU(),
    "relu_inplace": nn.ReLU(inplace=True),
    "leaky_relu": nn.LeakyReLU(0.1),
    "prelu": nn.PReLU(),
    "elu": nn.ELU(),
    "selu": nn.SELU(),
    "gelu": nn.GELU(),
    "silu": nn.SiLU(),
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "softsign": nn.Softsign(),
    "softplus": nn.Softplus(),
    "hardtanh": nn.Hardtanh(),
    "hardswish": nn.Hardswish(),
    "identity": nn.Identity(),
    "shifted_kink": lambda u: torch.relu(u - 0.3) - 0.2 * torch.relu(-u - math.pi / 7),
    "steep": lambda u: torch.sigmoid(60 * (u - 0.77)),
}
KINKS = {
    "hardtanh": [-1, 1],
    "hardswish": [-3, 3],
    "shifted_kink": [-math.pi / 7, 0.3],
    "steep": [0.6, 0.77, 0.9],
}


def brute_force(f, q, kinks=()):
    """E f(u), u ~ N(0, q), by SciPy's adaptive rule between the kinks."""
    scale = math.sqrt(q)
    points = sorted({-12.0, 0.0, 12.0, *(k / scale for k in kinks if abs(k) < 12 * scale)})

    def integrand(z):
        return f(scale * z) * math.exp(-z * z / 2) / math.sqrt(2 * math.pi)

    pieces = [
        integrate.quad(integrand, a, b, epsabs=1e-12, epsrel=1e-11, limit=400)[0]
        for a, b in itertools.pairwise(points)
    ]
    return sum(pieces)


@pytest.mark.parametrize("q", [0.04, 1.0, 30.0])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_second_moments_of_value_and_slope_match_adaptive_integration(name, q):
    phi = Elementwise(ACTIVATIONS[name])

    def value(u):
        return float(phi.value(np.array([u]))[0])

    def slope(u):
        return float(phi.slope(np.array([u]))[0])

    kinks = KINKS.get(name, ())
    assert moments.second_moment(phi, q) == pytest.approx(
        brute_force(lambda u: value(u) ** 2, q, kinks), rel=1e-9
    )
    assert moments.slope_second_moment(phi, q) == pytest.approx(
        brute_force(lambda u: slope(u) ** 2, q, kinks), rel=1e-9
    )


def arc_cosine(c):
    """E relu(u₁)relu(u₂) at q = 1 (Cho & Saul 2009)."""
    return (math.sqrt(1 - c * c) + c * (math.pi - math.acos(c))) / (2 * math.pi)


@pytest.mark.parametrize("c", [-1.0, -0.6, 0.0, 0.5, 0.99, 1 - 1e-6, 1 - 1e-10])
def test_pair_expectations_of_relu_match_the_arc_cosine_kernels(c):
    relu = Elementwise(torch.relu)
    assert moments.product(relu, 1.0, c) == pytest.approx(arc_cosine(c), abs=1e-10)
    assert moments.slope_product(relu, 1.0, c) == pytest.approx(
        (math.pi - math.acos(c)) / (2 * math.pi), abs=1e-10
    )


@pytest.mark.parametrize("c", [-0.9, -0.2, 0.3, 0.8, 0.999])
@pytest.mark.parametrize("q", [0.1, 2.0, 25.0])
def test_pair_expectations_of_tanh_match_a_dense_trapezoid_grid(c, q):
    z = np.linspace(-9, 9, 1201)
    weight = np.exp(-z * z / 2)
    weight /= weight.sum()
    first, second = np.meshgrid(z, z, indexing="ij")
    u1, u2 = math.sqrt(q) * first, math.sqrt(q) * (c * first + math.sqrt(1 - c * c) * second)
    tanh = Elementwise(torch.tanh)
    assert moments.product(tanh, q, c) == pytest.approx(
        weight @ (np.tanh(u1) * np.tanh(u2)) @ weight, abs=1e-8
    )


@pytest.mark.parametrize("distance", [1e-3, 1e-6, 1e-9, 1e-12])
def test_gap_keeps_relative_accuracy_as_the_correlation_approaches_one(distance):
    """E (φ(u₁) − φ(u₂))²/2 → q (1 − c) E φ'²: tanh without, hardtanh with a √ correction."""
    for f in (torch.tanh, nn.Hardtanh()):
        phi = Elementwise(f)
        expected = distance * moments.slope_second_moment(phi, 1.0)
        assert expect_gap(phi, 1.0, 1 - distance) == pytest.approx(
            expected, rel=2 * math.sqrt(distance) + 1e-3
        )


@given(kink=st.floats(-3, 3), left=st.floats(-2, 2), right=st.floats(-2, 2), q=st.floats(0.01, 100))
@settings(max_examples=60, deadline=None)
def test_a_users_kink_anywhere_is_exact(kink, left, right, q):
    """φ = left (u − k)₋ + right (u − k)₊ has E φ'² = left² P(u < k) + right² P(u > k).

    To 1e-7: a kink that lies within 1e-7 of zero is taken to lie there.
    """
    phi = Elementwise(lambda u: torch.where(u < kink, left * (u - kink), right * (u - kink)))
    below = 0.5 * (1 + math.erf(kink / math.sqrt(2 * q)))
    expected = left**2 * below + right**2 * (1 - below)
    assert moments.slope_second_moment(phi, q) == pytest.approx(expected, abs=1e-7)


def test_a_function_without_graph_gets_its_slope_from_differences():
    plain = Elementwise(lambda u: torch.from_numpy(np.maximum(u.detach().numpy() - 0.5, 0)))
    expected = 0.5 * (1 - math.erf(0.5 / math.sqrt(2)))
    assert moments.slope_second_moment(plain, 1.0) == pytest.approx(expected, abs=1e-6)
    at_zero = Elementwise(lambda u: torch.from_numpy(np.maximum(u.detach().numpy(), 0)))
    assert moments.slope_second_moment(at_zero, 1e-12) == pytest.approx(0.5, abs=1e-6)


def test_a_function_in_float32_is_accepted_to_its_precision():
    single = Elementwise(lambda u: torch.tanh(u.float()))
    double = Elementwise(torch.tanh)
    assert moments.second_moment(single, 1.0) == pytest.approx(moments.second_moment(double, 1.0), abs=1e-6)


def test_a_custom_backward_counts_as_it_does_in_training():
    class StraightThrough(torch.autograd.Function):
        @staticmethod
        def forward(ctx, u):
            return torch.sign(u)

        @staticmethod
        def backward(ctx, *gradients):
            return gradients

    assert moments.slope_second_moment(Elementwise(StraightThrough.apply), 1.0) == pytest.approx(1.0)


def test_the_module_is_left_as_it_was():
    module = nn.PReLU()
    seen = []
    module.register_forward_hook(lambda *_: seen.append(1))
    state = torch.random.get_rng_state()
    with torch.inference_mode():
        moments.slope_second_moment(Elementwise(module), 1.0)
    assert module.weight.dtype == torch.float32
    assert module.weight.grad is None and module.training
    assert not seen
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("phi", "message"),
    [
        (lambda u: torch.softmax(u, 0), "not elementwise"),
        (lambda u: u - u.mean(), "not elementwise"),
        (lambda u: u + torch.rand_like(u), "not elementwise"),
        (lambda u: u.sum(), "shape"),
        (lambda u: 1.0, "got float"),
        (lambda u: u > 0, "floating point"),
        (nn.Linear(3, 3), "phi fails"),
        (torch.log, "NaN"),
        ("relu", "callable"),
    ],
)
def test_what_is_no_activation_is_refused_in_one_line(phi, message):
    with pytest.raises(RequestError, match=message):
        moments.second_moment(Elementwise(phi), 1.0)
