"""The network as the theory takes it: the chain of its layers, and what is predicted of them."""

from functools import partial

import pytest
import torch
from torch import nn

from trainlab.forecast.chain_theory import chain_layers, chain_theory
from trainlab.forecast.functional_model import FunctionalModel
from trainlab.forecast.image_sample import take_sample
from trainlab.forecast.isolation import preserve_global_state
from trainlab.forecast.measurement import InitialMeasurer, StepBudget
from trainlab.models import MLP, LeNet5, ResNet
from trainlab.nn.initializers import Kaiming, initialize
from trainlab.nn.norm_layers import NormLayer
from trainlab.theory.propagation import Layer, propagate

BATCHNORM = NormLayer("before_activation", nn.BatchNorm2d)


def test_the_chain_of_a_network_by_hand():
    torch.manual_seed(0)
    network = MLP((1, 4, 4), 10, depth=2, width=24, activation=nn.Tanh, norm_layer=BATCHNORM)
    initialize(network, Kaiming())
    x_NCHW = torch.randn(64, 1, 4, 4)
    functional = FunctionalModel(network)
    with preserve_global_state():
        theory = chain_theory(functional, x_NCHW)
    assert theory is not None

    def variance(name):
        return float(network.get_parameter(f"{name}.weight").detach().double().square().mean())

    layers = [
        Layer("hidden.1.linear", 16, 24, variance("hidden.1.linear"), 0.0, 24, torch.tanh, "batchnorm"),
        Layer("hidden.2.linear", 24, 24, variance("hidden.2.linear"), 0.0, 24, torch.tanh, "batchnorm"),
        Layer("output", 24, 10, variance("output"), 0.0, 10),
    ]
    x_ND = x_NCHW.flatten(1).double()
    gram = x_ND @ x_ND.T / 16
    square, product = gram.diagonal().mean(), gram[~torch.eye(64, dtype=torch.bool)].mean()
    expected = propagate(
        layers, input_second_moment=float(square), input_correlation=float(product / square), batch_size=64
    )
    for ours, theirs in zip(theory.prediction.layers, expected.layers, strict=True):
        assert ours.name == theirs.name and ours.gradient_factor == pytest.approx(
            theirs.gradient_factor, rel=1e-6
        )
        assert ours.variance == pytest.approx(theirs.variance, rel=1e-6)


def test_what_is_no_chain_has_no_theory():
    shortcut = FunctionalModel(ResNet((1, 16, 16), 10, depth=3, width=4))
    straight = FunctionalModel(LeNet5((1, 28, 28), 10))
    with preserve_global_state(), preserve_global_state():
        assert chain_layers(shortcut, torch.randn(2, 1, 16, 16)) == []
        names = [layer.name for layer in chain_layers(straight, torch.randn(2, 1, 28, 28))]
    assert names == ["C1.conv", "C3.conv", "C5.conv", "F6.linear", "output"]


def test_theory_agrees_with_a_wide_network():
    """Measured beside predicted, as `trainlab preflight` shows them: within the scatter of width 300."""
    from trainlab.forecast.chain_theory import theory_report
    from trainlab.forecast.layer_report import report_layers

    torch.manual_seed(0)
    network = MLP((1, 12, 12), 10, depth=4, width=300, activation=nn.Tanh)
    initialize(network, Kaiming())
    x_NCHW, y_N = torch.randn(256, 1, 12, 12), torch.arange(256) % 10
    functional = FunctionalModel(network)
    with preserve_global_state():
        taken = take_sample([(x_NCHW, y_N)], functional)
        found = InitialMeasurer(functional, taken, partial(torch.optim.SGD, lr=0.1)).measure(StepBudget(10))
        theory = theory_report(chain_theory(functional, taken.first.x_NCHW))
    for seen, expected in zip(report_layers(found), theory["layers"], strict=True):
        assert seen.name == expected["name"] and seen.scale == pytest.approx(expected["scale"], rel=0.1)
        assert seen.correlation == pytest.approx(expected["correlation"], abs=0.1)
        if seen.gradient is not None:
            assert seen.gradient == pytest.approx(expected["gradient"], rel=0.15)
