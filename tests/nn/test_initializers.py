"""Initializers: their variance against their formula, and what the papers promise."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from trainlab.errors import RequestError
from trainlab.nn.initializers import (
    DeltaOrthogonal,
    Glorot,
    Kaiming,
    LeCun,
    MeanField,
    Normal,
    Orthogonal,
    TorchDefault,
    Zeros,
    initialize,
    negative_slopes,
)
from trainlab.nn.layers import LocallyConnected2d, fans

LAYERS = {
    "dense": lambda: nn.Linear(300, 500),
    "conv": lambda: nn.Conv2d(64, 96, 3),
    "grouped": lambda: nn.Conv2d(64, 256, 3, groups=2),
    "pointwise": lambda: nn.Conv2d(256, 512, 1),
    "depthwise": lambda: nn.Conv2d(512, 512, 5, groups=512),
    "local": lambda: LocallyConnected2d(8, 10, 5, in_size_HW=(14, 14)),
}
VARIANCES = {
    "kaiming_normal": (Kaiming(), lambda i, o: 2 / i),
    "kaiming_uniform": (Kaiming(uniform=True), lambda i, o: 2 / i),
    "glorot_normal": (Glorot(), lambda i, o: 2 / (i + o)),
    "glorot_uniform": (Glorot(uniform=True), lambda i, o: 2 / (i + o)),
    "lecun": (LeCun(), lambda i, o: 1 / i),
    "normal": (Normal(), lambda i, o: 1e-4),
    "mean_field": (MeanField(1.7, 0.3), lambda i, o: 1.7 / i),
    "torch_default": (TorchDefault(), lambda i, o: 1 / (3 * i)),
    "kaiming gain 1": (Kaiming(gain=1.0), lambda i, o: 1 / i),
    "glorot gain 4": (Glorot(gain=4.0), lambda i, o: 32 / (i + o)),
    "lecun gain 0.5": (LeCun(gain=0.5, uniform=True), lambda i, o: 0.25 / i),
}


@pytest.mark.parametrize("build", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize(("initializer", "variance"), VARIANCES.values(), ids=VARIANCES)
def test_variance_is_that_of_the_formula(initializer, variance, build):
    torch.manual_seed(0)
    layer = build()
    initializer(layer)
    expected = variance(*fans(layer))
    # four standard errors of a normal sample's variance
    tolerance = 4 * math.sqrt(2 / layer.weight.numel())
    assert layer.weight.var().item() == pytest.approx(expected, rel=tolerance)
    assert abs(layer.weight.mean().item()) < 4 * math.sqrt(expected / layer.weight.numel())


@pytest.mark.parametrize("initializer", [Kaiming(uniform=True), Glorot(uniform=True), LeCun(uniform=True)])
def test_uniform_is_bounded_and_normal_is_not(initializer):
    torch.manual_seed(0)
    layer = nn.Linear(300, 500)
    initializer(layer)
    std = initializer.std(layer, 0.0)
    assert layer.weight.abs().max() <= math.sqrt(3) * std
    type(initializer)()(layer)
    assert layer.weight.abs().max() > math.sqrt(3) * std


@pytest.mark.parametrize("slope", [0.0, 0.01, 0.25, 1.0])
def test_kaiming_allows_for_the_negative_slope(slope):
    torch.manual_seed(0)
    layer = nn.Linear(500, 500)
    Kaiming()(layer, negative_slope=slope)
    assert layer.weight.var().item() == pytest.approx(2 / ((1 + slope**2) * 500), rel=0.02)


def test_the_slope_is_that_of_the_activation_after_the_layer():
    network = nn.Sequential(
        nn.Conv2d(1, 2, 3),
        nn.BatchNorm2d(2),
        nn.LeakyReLU(0.3),
        nn.Sequential(nn.Linear(2, 2), nn.PReLU(init=0.1)),
        nn.Linear(2, 2),
        nn.ReLU(),
        nn.Linear(2, 2),
    )
    assert negative_slopes(network) == {"0": 0.3, "3.0": 0.1, "4": 0.0, "6": 0.0}


def test_initialize_gives_each_layer_its_slope():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(400, 400), nn.LeakyReLU(1.0), nn.Linear(400, 400), nn.ReLU())
    initialize(network, Kaiming())
    assert network[0].get_parameter("weight").var().item() == pytest.approx(1 / 400, rel=0.02)
    assert network[2].get_parameter("weight").var().item() == pytest.approx(2 / 400, rel=0.02)


def test_initialize_takes_a_plain_function():
    first, second = nn.Linear(2, 3), nn.Linear(3, 2)

    def ones(layer, negative_slope=0.0):
        nn.init.ones_(layer.weight)

    initialize(nn.Sequential(first, nn.Sequential(second)), ones)
    assert all((layer.weight == 1).all() for layer in (first, second))


@pytest.mark.parametrize(
    "initializer",
    [Kaiming(), Glorot(), LeCun(), Normal(), Orthogonal(), DeltaOrthogonal(), Zeros(), MeanField(2.0, 0.0)],
)
def test_biases_are_zero(initializer):
    for build in LAYERS.values():
        layer = build()
        initializer(layer)
        assert (layer.get_parameter("bias") == 0).all()


def test_biases_that_are_not_zero():
    torch.manual_seed(0)
    layer = nn.Linear(16, 20_000)
    MeanField(1.0, 0.3)(layer)
    assert layer.bias.var().item() == pytest.approx(0.3, rel=0.05)
    TorchDefault()(layer)
    assert layer.bias.var().item() == pytest.approx(1 / (3 * 16), rel=0.05)


def test_zeros():
    for build in LAYERS.values():
        layer = build()
        Zeros()(layer)
        assert not layer.weight.any()


def test_a_layer_without_bias_is_filled():
    for initializer in (Kaiming(), MeanField(1.0, 1.0), TorchDefault(), Zeros(), DeltaOrthogonal()):
        initializer(nn.Conv2d(3, 4, 3, bias=False))


@pytest.mark.parametrize(("rows", "columns"), [(5, 9), (9, 5), (6, 6)])
def test_orthogonal_dense(rows, columns):
    torch.manual_seed(0)
    layer = nn.Linear(columns, rows)
    Orthogonal(gain=2.0)(layer)
    singular = torch.linalg.svdvals(layer.weight)
    torch.testing.assert_close(singular, torch.full_like(singular, 2.0), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("build", LAYERS.values(), ids=LAYERS)
def test_orthogonal_is_so_in_each_group_and_position(build):
    torch.manual_seed(0)
    layer = build()
    Orthogonal()(layer)
    groups = len(layer.weight) if isinstance(layer, LocallyConnected2d) else getattr(layer, "groups", 1)
    for matrix in layer.weight.reshape(groups, -1, fans(layer)[0])[:5]:
        singular = torch.linalg.svdvals(matrix)
        torch.testing.assert_close(singular, torch.ones_like(singular), rtol=1e-5, atol=1e-5)


def test_orthogonal_matrices_are_uniform():
    """Without the correction of signs the diagonal of Q would lean to one side."""
    torch.manual_seed(0)
    layer = LocallyConnected2d(4, 4, 1, in_size_HW=(50, 50))
    Orthogonal()(layer)
    assert layer.weight.mean(0).abs().max() < 4 * 0.5 / math.sqrt(2500)


@settings(deadline=None, max_examples=25)
@given(
    c_in=st.integers(1, 6),
    extra=st.integers(0, 6),
    kernel=st.sampled_from([1, 3, 5]),
    groups=st.sampled_from([1, 2]),
    seed=st.integers(0, 1000),
)
def test_delta_orthogonal_keeps_every_norm(c_in, extra, kernel, groups, seed):
    torch.manual_seed(seed)
    conv = nn.Conv2d(
        groups * c_in,
        groups * (c_in + extra),
        kernel,
        padding=kernel // 2,
        padding_mode="circular",
        groups=groups,
    )
    DeltaOrthogonal()(conv)
    x = torch.randn(3, groups * c_in, 6, 7)
    torch.testing.assert_close(conv(x).flatten(1).norm(dim=1), x.flatten(1).norm(dim=1), rtol=1e-5, atol=0)


@pytest.mark.parametrize("kernel", [2, 4])
def test_delta_orthogonal_keeps_norms_with_even_kernels_too(kernel):
    conv = nn.Conv2d(3, 5, kernel)
    DeltaOrthogonal()(conv)
    x = torch.randn(2, 3, 8, 8)
    wrapped = nn.functional.pad(x, (0, kernel - 1, 0, kernel - 1), mode="circular")
    torch.testing.assert_close(conv(wrapped).norm(), x.norm(), rtol=1e-5, atol=0)


def test_delta_orthogonal_of_fewer_outputs_has_orthonormal_rows():
    conv = nn.Conv2d(8, 3, 3)
    DeltaOrthogonal(gain=3.0)(conv)
    centre = conv.weight[:, :, 1, 1]
    torch.testing.assert_close(centre @ centre.T, 9 * torch.eye(3), rtol=1e-5, atol=1e-5)
    assert conv.weight.abs().sum().item() == pytest.approx(centre.abs().sum().item())


def test_delta_orthogonal_of_dense_and_local_layers():
    dense = nn.Linear(7, 9)
    DeltaOrthogonal()(dense)
    torch.testing.assert_close(dense.weight.T @ dense.weight, torch.eye(7), rtol=1e-5, atol=1e-5)
    local = LocallyConnected2d(3, 5, 3, in_size_HW=(6, 6), bias=False)
    DeltaOrthogonal()(local)
    x = torch.randn(2, 3, 6, 6)
    inner = x[:, :, 1:-1, 1:-1]
    torch.testing.assert_close(local(x).norm(dim=1), inner.norm(dim=1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("initializer", [Orthogonal(), DeltaOrthogonal(), Kaiming()])
def test_weights_in_channels_last_memory_are_filled(initializer):
    torch.manual_seed(0)
    plain = nn.Conv2d(8, 16, 3)
    other = nn.Conv2d(8, 16, 3).to(memory_format=torch.channels_last)
    for layer in (plain, other):
        nn.init.zeros_(layer.weight)
        torch.manual_seed(1)
        initializer(layer)
    assert plain.weight.any()
    torch.testing.assert_close(other.weight.norm(), plain.weight.norm(), rtol=0.2, atol=0)


def test_torch_default_is_what_torch_does():
    torch.manual_seed(3)
    fresh = nn.Conv2d(3, 8, 5)
    layer = nn.Conv2d(3, 8, 5)
    torch.manual_seed(3)
    TorchDefault()(layer)
    assert torch.equal(layer.weight, fresh.weight)
    assert torch.equal(layer.get_parameter("bias"), fresh.get_parameter("bias"))


@pytest.mark.parametrize(
    "build",
    [
        lambda: Kaiming(gain=-1.0),
        lambda: Glorot(gain=math.inf),
        lambda: Orthogonal(gain=math.nan),
        lambda: Normal(std=-0.1),
        lambda: MeanField(sigma_w2=-1.0),
        lambda: MeanField(sigma_b2=-1.0),
    ],
)
def test_what_is_no_scale_is_refused(build):
    with pytest.raises(RequestError, match="expected a finite number of at least 0"):
        build()


def test_torch_default_of_a_layer_without_one_is_refused():
    class Mixer(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(4, 4))

    with pytest.raises(RequestError, match="Mixer has no reset_parameters"):
        TorchDefault()(Mixer())
