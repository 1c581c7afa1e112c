"""BatchNorm's gradient growth against closed forms and against deep wide networks."""

import math

import pytest
import torch
from torch import nn

from trainlab.errors import RequestError
from trainlab.theory import mean_field as mf


def test_the_values_of_the_literature_for_relu():
    assert mf.batchnorm_gradient_growth(torch.relu) == pytest.approx(
        math.sqrt(math.pi / (math.pi - 1)), rel=1e-12
    )
    assert f"{mf.batchnorm_gradient_growth(torch.relu):.4f}" == "1.2112"
    assert f"{mf.batchnorm_gradient_growth(torch.relu, batch_size=8):.3f}" == "1.337"
    assert f"{mf.batchnorm_gradient_growth(torch.relu, batch_size=32):.3f}" == "1.234"


def relu_closed_form(batch_size):
    """The orthant probability and the arc-cosine kernel at the batch's correlation −1/(B−1)."""
    rho = -1 / (batch_size - 1)
    both = (math.pi / 2 + math.asin(rho)) / (2 * math.pi)
    product = math.sqrt(1 - rho**2) / (2 * math.pi) + rho * both
    numerator = (batch_size - 1) / 2 + both - 1 / 2 + product
    return math.sqrt(numerator / ((batch_size - 3) * (0.5 - product)))


@pytest.mark.parametrize("batch_size", [4, 5, 6, 8, 17, 32, 256, 100_000])
def test_finite_batches_match_the_closed_forms(batch_size):
    assert mf.batchnorm_gradient_growth(torch.relu, batch_size) == pytest.approx(
        relu_closed_form(batch_size), rel=1e-5 if batch_size == 4 else 1e-9
    )
    assert mf.batchnorm_gradient_growth(nn.Identity(), batch_size) == pytest.approx(
        math.sqrt((batch_size - 2) / (batch_size - 3)), rel=1e-9
    )


@pytest.mark.parametrize(("phi", "batch_size"), [(torch.tanh, 8), (nn.GELU(), 16)])
def test_gradient_growth_of_a_real_wide_network(phi, batch_size):
    """Width 400, 24 layers, slope over the middle 16: measured within 2% of the prediction."""
    torch.manual_seed(0)
    width, depth = 400, 24
    x = torch.randn(batch_size, width, requires_grad=True)
    layers = [x]
    for _ in range(depth):
        h = x @ torch.randn(width, width).T / math.sqrt(width)
        x = phi(nn.functional.batch_norm(h, None, None, training=True))
        layers.append(x)
    norms = [g.norm().item() for g in torch.autograd.grad((x * torch.randn_like(x)).sum(), layers)]
    measured = (norms[4] / norms[20]) ** (1 / 16)
    assert mf.batchnorm_gradient_growth(phi, batch_size) == pytest.approx(measured, rel=0.02)


def test_tiny_batches_and_constant_activations():
    assert [mf.batchnorm_gradient_growth(torch.tanh, batch_size) for batch_size in (1, 2, 3)][1:] == [
        0,
        math.inf,
    ]
    assert math.isnan(mf.batchnorm_gradient_growth(torch.ones_like))
    assert math.isnan(mf.batchnorm_gradient_growth(torch.tanh, 1))  # the output is φ(0) for every input


@pytest.mark.parametrize("batch_size", [0, -4, 2.5])
def test_what_is_no_batch_size_is_refused(batch_size):
    with pytest.raises(RequestError, match="batch_size"):
        mf.batchnorm_gradient_growth(torch.relu, batch_size)
