"""Mean-field quantities against the literature's values, real wide networks, and their own definitions."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from trainlab.errors import RequestError
from trainlab.theory import mean_field as mf
from trainlab.theory import moments
from trainlab.theory.elementwise import Elementwise

SMOOTH_AND_KINKED = {
    "relu": nn.ReLU(),
    "leaky_relu": nn.LeakyReLU(0.2),
    "tanh": nn.Tanh(),
    "sigmoid": nn.Sigmoid(),
    "gelu": nn.GELU(),
    "silu": nn.SiLU(),
    "elu": nn.ELU(),
    "hardtanh": nn.Hardtanh(),
    "shifted_kink": lambda u: torch.relu(u - 0.3),
}


def test_relu_correlations_from_zero():
    after = mf.correlations(torch.relu, 0.0, 2.0, 0.0, 100)
    got = [f"{after[depth - 1]:.6f}" for depth in (1, 2, 5, 10, 20, 50, 100)]
    assert got == ["0.318310", "0.493731", "0.735946", "0.871536", "0.948428", "0.987862", "0.996423"]


@pytest.mark.parametrize("sigma_w2", [0.01, 0.5, 2.0, 7.3])
def test_relu_angle_does_not_depend_on_the_scale(sigma_w2):
    assert mf.correlation_map(torch.relu, 0.0, sigma_w2, 0.0) == pytest.approx(1 / math.pi, abs=1e-9)
    assert mf.chi1(torch.relu, sigma_w2, 0.0) == pytest.approx(sigma_w2 / 2, rel=1e-9)


@pytest.mark.parametrize(
    ("sigma_b2", "sigma_w2"),
    [(2.01e-5, 1.04999), (0.01, 1.42421), (0.05, 1.76095), (0.1, 1.98607), (0.2, 2.28515)],
)
def test_tanh_critical_line(sigma_b2, sigma_w2):
    got = mf.critical_sigma_w2(torch.tanh, sigma_b2)
    assert got == pytest.approx(sigma_w2, abs=6e-6)
    assert mf.chi1(torch.tanh, got, sigma_b2) == pytest.approx(1, abs=1e-8)


def test_tanh_at_a_bias_variance_of_a_twentieth():
    assert mf.fixed_point(torch.tanh, 1.76095, 0.05) == pytest.approx(0.570, abs=5e-4)
    assert mf.chi1(torch.tanh, 1.0, 0.05) == pytest.approx(0.759, abs=5e-4)
    assert mf.depth_scales(torch.tanh, 1.0, 0.05).xi_c == pytest.approx(3.63, abs=5e-3)
    assert mf.chi1(torch.tanh, 2.0, 0.05) == pytest.approx(1.048, abs=5e-4)
    assert mf.fixed_correlation(torch.tanh, 2.0, 0.05) == pytest.approx(0.744, abs=5e-4)
    phases = [mf.phase(torch.tanh, sigma_w2, 0.05) for sigma_w2 in (1.0, 1.76095, 2.0)]
    assert phases == ["ordered", "critical", "chaotic"]


@pytest.mark.parametrize(
    ("phi", "sigma_w2", "expected"),
    [
        (torch.sigmoid, 1 / 3, "0.0200"),
        (torch.sigmoid, 1.0, "0.0557"),
        (torch.sigmoid, 2.0, "0.1010"),
        (torch.relu, 1 / 3, "0.1667"),
        (torch.relu, 1.0, "0.5000"),
        (torch.relu, 2.0, "1.0000"),
        (torch.tanh, 1 / 3, "0.3333"),
        (torch.tanh, 1.0, "1.0000"),
        (torch.tanh, 2.0, "1.1055"),
    ],
)
def test_chi1_without_bias(phi, sigma_w2, expected):
    assert f"{mf.chi1(phi, sigma_w2, 0.0):.4f}" == expected


def test_selu_keeps_mean_zero_and_variance_one():
    assert mf.fixed_point(nn.SELU(), 1.0, 0.0) == pytest.approx(1.0, abs=1e-12)
    assert moments.mean(Elementwise(nn.SELU()), 1.0) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    ("phi", "sigma_w2", "sigma_b2", "expected"),
    [
        (torch.relu, 1.99, 0.0, 0.0),
        (torch.relu, 2.0, 0.0, 1.0),  # every q is a fixed point
        (torch.relu, 2.0001, 0.0, math.inf),
        (torch.relu, 2.0, 0.1, math.inf),
        (torch.relu, 1.0, 0.1, 0.2),
        (torch.tanh, 1.0, 0.0, 0.0),
        (torch.tanh, 0.9999, 0.0, 0.0),
        (nn.Identity(), 0.5, 1.0, 2.0),
        (nn.Identity(), 1.5, 0.0, math.inf),
        (torch.ones_like, 0.7, 0.1, 0.8),
        (torch.zeros_like, 3.0, 0.0, 0.0),
        (torch.tanh, 0.0, 0.3, 0.3),
        (torch.tanh, 0.0, 0.0, 0.0),
        (torch.exp, 1.0, 0.0, math.inf),
        (nn.Hardshrink(), 1.0, 0.0, 0.0),
        (lambda u: u**3, 0.01, 0.0, 0.0),
        (lambda u: u**3, 1.0, 0.0, math.inf),
    ],
)
def test_fixed_points_at_the_edges(phi, sigma_w2, sigma_b2, expected):
    assert mf.fixed_point(phi, sigma_w2, sigma_b2) == pytest.approx(expected, abs=1e-12, rel=1e-9)


def test_a_fixed_point_near_criticality_is_found_beyond_slow_iteration():
    q = mf.fixed_point(torch.tanh, 1.001, 0.0)
    assert q == pytest.approx(5e-4, rel=0.01)  # (σw² − 1)/2 to first order
    assert mf.variance_map(torch.tanh, q, 1.001, 0.0) == pytest.approx(q, rel=1e-12)


def test_no_weights_and_constant_activations_forget_everything_at_once():
    for phi, sigma_w2 in ((torch.tanh, 0.0), (torch.ones_like, 1.0)):
        assert mf.chi1(phi, sigma_w2, 0.2) == 0
        assert mf.correlation_map(phi, 0.0, sigma_w2, 0.2) == 1
        assert mf.depth_scales(phi, sigma_w2, 0.2) == mf.DepthScales(xi_q=0.0, xi_c=0.0)
    assert mf.critical_sigma_w2(torch.ones_like, 0.1) == math.inf
    assert mf.correlation_map(torch.zeros_like, 0.3, 1.0, 0.0) == 1


def test_identity_keeps_angles_and_is_critical_at_one():
    assert mf.correlation_map(nn.Identity(), 0.3, 1.0, 0.0) == pytest.approx(0.3, abs=1e-12)
    assert mf.critical_sigma_w2(nn.Identity(), 0.0) == pytest.approx(1.0, rel=1e-9)
    assert mf.depth_scales(nn.Identity(), 1.0, 0.0) == mf.DepthScales(xi_q=math.inf, xi_c=math.inf)


def test_odd_chaotic_networks_make_inputs_orthogonal():
    assert mf.fixed_correlation(torch.tanh, 3.0, 0.0) == 0
    assert mf.correlation_map(torch.tanh, -0.5, 3.0, 0.0) == pytest.approx(
        -mf.correlation_map(torch.tanh, 0.5, 3.0, 0.0), abs=1e-10
    )


def test_xi_q_is_the_decay_of_a_deviation_under_iteration():
    q_star, q = mf.fixed_point(torch.tanh, 1.5, 0.05), 1.0
    deviations = []
    for _ in range(12):
        q = mf.variance_map(torch.tanh, q, 1.5, 0.05)
        deviations.append(abs(q - q_star))
    measured = -1 / math.log(deviations[-1] / deviations[-2])
    assert mf.depth_scales(torch.tanh, 1.5, 0.05).xi_q == pytest.approx(measured, rel=1e-3)


def test_xi_c_is_the_decay_of_a_deviation_under_iteration():
    for sigma_w2 in (1.0, 2.5):
        c_star = mf.fixed_correlation(torch.tanh, sigma_w2, 0.05)
        deviations = [abs(c - c_star) for c in mf.correlations(torch.tanh, 0.5, sigma_w2, 0.05, 40)]
        measured = -1 / math.log(deviations[-1] / deviations[-2])
        assert mf.depth_scales(torch.tanh, sigma_w2, 0.05).xi_c == pytest.approx(measured, rel=5e-3)


finite_points = st.tuples(
    st.sampled_from(sorted(SMOOTH_AND_KINKED)), st.floats(0.3, 1.6), st.floats(0.01, 0.5)
)


@given(point=finite_points)
@settings(max_examples=30, deadline=None)
def test_chi1_is_the_numerical_slope_of_the_correlation_map_at_one(point):
    name, sigma_w2, sigma_b2 = point
    phi = SMOOTH_AND_KINKED[name]
    step = 1e-8
    slope = (1 - mf.correlation_map(phi, 1 - step, sigma_w2, sigma_b2)) / step
    # A kink bends the map like (1 − c)^(3/2): the slope at 1 − 1e-8 is 1e-4 off.
    assert slope == pytest.approx(mf.chi1(phi, sigma_w2, sigma_b2), rel=1e-3, abs=1e-6)


@given(point=finite_points, c=st.floats(-1, 1), d=st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_the_correlation_map_fixes_one_and_grows(point, c, d):
    name, sigma_w2, sigma_b2 = point
    phi = SMOOTH_AND_KINKED[name]
    assert mf.correlation_map(phi, 1.0, sigma_w2, sigma_b2) == 1
    after = mf.correlation_map(phi, c, sigma_w2, sigma_b2)
    assert -1 - 1e-12 <= after <= 1
    if c >= 0:
        assert mf.correlation_map(phi, c + (1 - c) * d, sigma_w2, sigma_b2) >= after - 1e-10


@given(point=finite_points)
@settings(max_examples=30, deadline=None)
def test_the_fixed_point_is_fixed(point):
    name, sigma_w2, sigma_b2 = point
    q = mf.fixed_point(SMOOTH_AND_KINKED[name], sigma_w2, sigma_b2)
    assert mf.variance_map(SMOOTH_AND_KINKED[name], q, sigma_w2, sigma_b2) == pytest.approx(q, rel=1e-10)


@given(sigma_b2=st.floats(0.001, 1.0))
@settings(max_examples=8, deadline=None)
def test_the_critical_line_separates_order_from_chaos(sigma_b2):
    sigma_w2 = mf.critical_sigma_w2(nn.Hardtanh(), sigma_b2)
    assert mf.phase(nn.Hardtanh(), 0.9 * sigma_w2, sigma_b2) == "ordered"
    assert mf.phase(nn.Hardtanh(), sigma_w2, sigma_b2) == "critical"
    assert mf.phase(nn.Hardtanh(), 1.1 * sigma_w2, sigma_b2) == "chaotic"


@pytest.mark.parametrize("name", ["tanh", "gelu", "shifted_kink"])
def test_variance_and_correlation_of_a_real_wide_network(name):
    """Width 3000, 4 layers: the sample's relative error is about √(2/3000) = 0.03 a layer; 0.1 is allowed."""
    phi, width, sigma_w2, sigma_b2 = SMOOTH_AND_KINKED[name], 3000, 1.5, 0.1
    torch.manual_seed(0)
    q = mf.fixed_point(phi, sigma_w2, sigma_b2)
    h_2N = torch.randn(2, width) * math.sqrt(q)
    for expected_c in mf.correlations(phi, 0.0, sigma_w2, sigma_b2, 4):
        weight = torch.randn(width, width) * math.sqrt(sigma_w2 / width)
        h_2N = phi(h_2N) @ weight.T + torch.randn(width) * math.sqrt(sigma_b2)
        assert h_2N.square().mean().item() == pytest.approx(q, rel=0.1)
        assert torch.cosine_similarity(h_2N[0], h_2N[1], dim=0).item() == pytest.approx(expected_c, abs=0.07)


@pytest.mark.parametrize("c", [-1.1, 1.5, math.nan])
def test_what_is_no_correlation_is_refused(c):
    with pytest.raises(RequestError, match="correlation"):
        mf.correlation_map(torch.tanh, c, 1.0, 0.1)


@pytest.mark.parametrize(("sigma_w2", "sigma_b2"), [(-1, 0), (1, -0.1), (math.nan, 0), (math.inf, 0)])
def test_what_is_no_variance_is_refused(sigma_w2, sigma_b2):
    with pytest.raises(RequestError, match="variance"):
        mf.chi1(torch.tanh, sigma_w2, sigma_b2)
