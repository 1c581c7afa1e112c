"""LSUV: unit variance of every pre-activation on the batch, and nothing else changed."""

import pytest
import torch
from torch import nn

from trainlab.errors import RequestError
from trainlab.nn.initializers import initialize
from trainlab.nn.layers import weight_layers
from trainlab.nn.lsuv import LSUV


def network(*after_conv):
    return nn.Sequential(
        nn.Conv2d(3, 8, 3),
        *after_conv,
        nn.Tanh(),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.Sigmoid(),
        nn.Flatten(),
        nn.Linear(8 * 36, 20),
        nn.Dropout(0.5),
        nn.Linear(20, 5),
    )


@pytest.fixture
def x_NCHW():
    torch.manual_seed(0)
    return 4 * torch.rand(32, 3, 8, 8) - 1


def pre_activation_variances(net, x_NCHW):
    variances = {}
    for name, layer in weight_layers(net):
        layer.register_forward_hook(lambda _m, _i, y, name=name: variances.update({name: y.var().item()}))
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    net(x_NCHW)
    return variances


@pytest.mark.parametrize("norm", [[], [nn.BatchNorm2d(8)]], ids=["plain", "batchnorm"])
def test_every_pre_activation_has_unit_variance(norm, x_NCHW):
    net = network(*norm)
    initialize(net, LSUV(), x_NCHW)
    variances = pre_activation_variances(net, x_NCHW)
    assert len(variances) == 4
    assert variances == pytest.approx(dict.fromkeys(variances, 1.0), rel=1e-3)


def test_the_weights_are_scaled_orthonormal(x_NCHW):
    net = network()
    initialize(net, LSUV(), x_NCHW)
    singular = torch.linalg.svdvals(net[0].get_parameter("weight").flatten(1))
    torch.testing.assert_close(singular, singular.mean().expand_as(singular), rtol=1e-4, atol=0)


def test_order_is_that_of_the_forward_pass_not_of_registration(x_NCHW):
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = nn.Linear(10, 4)
            self.first = nn.Linear(192, 10)

        def forward(self, x):
            return self.last(torch.relu(self.first(x.flatten(1))))

    net = Backwards()
    initialize(net, LSUV(), x_NCHW)
    assert pre_activation_variances(net, x_NCHW) == pytest.approx({"first": 1.0, "last": 1.0}, rel=1e-3)


def test_a_layer_that_is_not_linear_in_its_weight_is_divided_again(x_NCHW):
    class Offset(nn.Linear):
        def forward(self, input):
            return super().forward(input) * self.weight.norm().sqrt()

    net = nn.Sequential(nn.Flatten(), Offset(192, 10))
    initialize(net, LSUV(max_iterations=50), x_NCHW)
    assert pre_activation_variances(net, x_NCHW)["1"] == pytest.approx(1.0, rel=1e-3)


def test_buffers_modes_hooks_and_random_state_stay(x_NCHW):
    net = network(nn.BatchNorm2d(8), nn.RReLU())  # RReLU draws its slopes
    for _, layer in weight_layers(net):
        LSUV()(layer)
    net.eval()
    net[3].train()
    buffers = {name: b.clone() for name, b in net.named_buffers()}
    modes = [m.training for m in net.modules()]
    state = torch.get_rng_state()
    LSUV().on_batch(net, x_NCHW)
    assert torch.equal(torch.get_rng_state(), state)
    assert [m.training for m in net.modules()] == modes
    assert all(torch.equal(b, buffers[name]) for name, b in net.named_buffers())
    assert not any(m._forward_hooks for m in net.modules())


def test_a_shared_layer_is_scaled_once(x_NCHW):
    shared = nn.Linear(192, 192)
    net = nn.Sequential(nn.Flatten(), shared, nn.Tanh(), shared)
    initialize(net, LSUV(), x_NCHW)
    assert shared(x_NCHW.flatten(1)).var().item() == pytest.approx(1.0, rel=1e-3)


def test_what_no_scale_can_mend_is_refused_by_name(x_NCHW):
    with pytest.raises(RequestError, match="layer '0' has variance 0 on the batch"):
        initialize(network(), LSUV(), torch.zeros_like(x_NCHW))
    with pytest.raises(RequestError, match="needs a batch"):
        initialize(network(), LSUV())
