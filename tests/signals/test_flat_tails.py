"""Where activations are flat: against formulas solved by hand."""

import math

import pytest
import torch
from torch import nn

from trainlab.signals.quantities import flat_tails

INF = math.inf
# sigmoid: s(1 − s) = 0.05/4; tanh: 1 − t² = 0.05; softsign: (1 + |z|)⁻² = 0.05
SIGMOID = math.log((1 + math.sqrt(0.95)) / (1 - math.sqrt(0.95)))
TANH, SOFTSIGN, ELU = math.atanh(math.sqrt(0.95)), 1 / math.sqrt(0.05) - 1, math.log(0.05)
TAILS = {
    nn.Sigmoid(): (-SIGMOID, SIGMOID), nn.Tanh(): (-TANH, TANH), nn.Softsign(): (-SOFTSIGN, SOFTSIGN),
    nn.Hardtanh(): (-1, 1), nn.ReLU6(): (-INF, 6), nn.ELU(): (ELU, INF), nn.SELU(): (ELU, INF),
    nn.Softplus(): (math.log(0.05 / 0.95), INF),
    nn.ReLU(): (-INF, INF), nn.ReLU(inplace=True): (-INF, INF), nn.LeakyReLU(): (-INF, INF),
    nn.PReLU(): (-INF, INF), nn.Identity(): (-INF, INF),
}  # fmt: skip


@pytest.mark.parametrize("activation", TAILS, ids=repr)
def test_tails_are_where_the_slope_is_a_twentieth(activation):
    assert flat_tails(activation) == pytest.approx(TAILS[activation], abs=0.0101)


@pytest.mark.parametrize("activation", [nn.GELU(), nn.SiLU()])
def test_a_slope_that_only_passes_through_zero_is_no_tail(activation):
    """Both have their minimum, of slope 0, far inside."""
    low, high = flat_tails(activation)
    assert low < -2 and high == INF
    z = torch.linspace(-20, low, 500, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(activation(z).sum(), z)
    assert slope.abs().max() <= 0.05 * 1.13


class Mirrored(nn.Module):
    def forward(self, z):
        return torch.tanh(z - 3)


def test_a_users_activation_needs_no_list():
    assert flat_tails(Mirrored()) == pytest.approx((3 - TANH, 3 + TANH), abs=0.0101)


@pytest.mark.parametrize("activation", [nn.GLU(), nn.PReLU(4)])
def test_what_is_not_elementwise_has_no_tails(activation):
    assert flat_tails(activation) is None


def test_module_and_random_state_stay_as_they_are():
    activation = nn.RReLU().train()
    before = torch.get_rng_state()
    flat_tails(activation)
    assert torch.get_rng_state().equal(before) and activation.training
    learned = nn.PReLU()
    flat_tails(learned)
    assert learned.weight.dtype == torch.float32 and learned.weight.grad is None
