"""Layer-by-layer predictions against real networks, their scatter included."""

import itertools
import math
import time

import pytest
import torch
from torch import nn

from trainlab.errors import RequestError
from trainlab.theory import mean_field as mf
from trainlab.theory.propagation import Layer, propagate


def dense(depth, width, sigma_w2, phi, **options):
    return [
        Layer(f"layer{i}", width, width, sigma_w2 / width, activation=phi, **options) for i in range(depth)
    ]


def unit_rows(rows, width):
    """Random rows of mean square 1, so that neither input nor output gradient adds scatter."""
    x = torch.randn(rows, width)
    return x / x.square().mean(1, keepdim=True).sqrt()


def simulate(depth, width, sigma_w2, phi, norm, batch_size, networks):
    """log of (mean square of the output, mean square gradient at the input) of one sample, per network."""
    signal, gradient = [], []
    for _ in range(networks):
        first = x = unit_rows(batch_size, width).requires_grad_()
        for _ in range(depth):
            h = x @ torch.randn(width, width).T * math.sqrt(sigma_w2 / width)
            if norm == "batchnorm":
                h = nn.functional.batch_norm(h, None, None, training=True)
            elif norm == "layernorm":
                h = nn.functional.layer_norm(h, (width,))
            x = phi(h)
        (at_input,) = torch.autograd.grad(x, first, unit_rows(batch_size, width))
        signal.append(x[0].detach().square().mean())
        gradient.append(at_input[0].square().mean())
    return torch.stack(signal).log(), torch.stack(gradient).log()


def test_log_norm_of_a_relu_network_has_five_over_width_a_layer():
    widths = [64, 32, 16, 48]
    fans = zip([64, *widths[:-1]], widths, strict=True)
    layers = [Layer(str(n), fan_in, n, 2 / fan_in, activation=nn.ReLU()) for fan_in, n in fans]
    band = propagate(layers).layers[-1].second_moment
    expected = 5 * sum(1 / n for n in widths)
    assert band.mean == pytest.approx(1.0)
    assert band.log_variance == pytest.approx(expected)
    assert band.log_shift == pytest.approx(-expected / 2)
    assert band.low < band.mean < band.high


@pytest.mark.parametrize("norm", [None, "layernorm"])
@pytest.mark.parametrize("phi", [torch.relu, torch.tanh, nn.GELU(), nn.Identity()])
def test_scatter_of_real_networks(phi, norm):
    """300 networks of width 64, depth 3: log-variances within 35% (own error 8%), means within 0.15."""
    torch.manual_seed(1)
    sigma_w2 = 1.5 if phi is torch.tanh else 1.0 if isinstance(phi, nn.Identity) else 2.0
    signal, gradient = simulate(3, 64, sigma_w2, phi, norm, batch_size=1, networks=300)
    predicted = propagate(dense(3, 64, sigma_w2, phi, norm=norm)).layers
    for measured, band in ((signal, predicted[-1].second_moment), (gradient, predicted[0].gradient)):
        assert measured.mean().item() == pytest.approx(math.log(band.mean) + band.log_shift, abs=0.15)
        assert measured.var().item() == pytest.approx(band.log_variance, rel=0.35, abs=2e-3)


@pytest.mark.parametrize("phi", [torch.relu, torch.tanh])
def test_batchnorm_of_a_real_network(phi):
    """100 networks: the signal scatters as predicted within 50%, the mean gradient lies within 15%."""
    torch.manual_seed(2)
    signal, gradient = simulate(6, 64, 2.0, phi, "batchnorm", batch_size=16, networks=100)
    predicted = propagate(dense(6, 64, 2.0, phi, norm="batchnorm"), batch_size=16).layers
    assert signal.var().item() == pytest.approx(predicted[-1].second_moment.log_variance, rel=0.5)
    assert gradient.exp().mean().item() == pytest.approx(predicted[0].gradient.mean, rel=0.15)


def test_deep_batchnorm_layers_grow_gradients_as_yang_et_al_say():
    for batch_size in (None, 8):
        predicted = propagate(dense(6, 100, 2.0, torch.relu, norm="batchnorm"), batch_size=batch_size)
        growth = mf.batchnorm_gradient_growth(torch.relu, batch_size)
        assert math.sqrt(predicted.layers[3].gradient_factor) == pytest.approx(growth, rel=1e-4)


def test_layers_agree_with_the_mean_field_maps():
    sigma_w2, sigma_b2, phi = 1.7, 0.05, nn.Tanh()
    q = mf.fixed_point(phi, sigma_w2, sigma_b2)
    layers = dense(6, 50, sigma_w2, phi, bias_variance=sigma_b2)
    start = (q - sigma_b2) / sigma_w2
    predicted = propagate(layers, input_second_moment=start, input_correlation=-sigma_b2 / sigma_w2 / start)
    expected = [0.0, *mf.correlations(phi, 0.0, sigma_w2, sigma_b2, 5)]
    for layer, c in zip(predicted.layers, expected, strict=True):
        assert layer.variance == pytest.approx(q, rel=1e-9)
        assert layer.correlation == pytest.approx(c, abs=1e-9)
        assert layer.gradient_factor == pytest.approx(mf.chi1(phi, sigma_w2, sigma_b2), rel=1e-9)


def test_fan_in_scales_the_signal_and_fan_out_the_gradient():
    """Kaiming by fan-in keeps the signal; the gradient changes by fan_out/fan_in (He et al. 2015, Eq. 14)."""
    layer = Layer(
        "conv", fan_in=9 * 16, fan_out=9 * 32, weight_variance=2 / (9 * 16), width=32, activation=nn.ReLU()
    )
    (predicted,) = propagate([layer]).layers
    assert predicted.second_moment.mean == pytest.approx(1.0)
    assert predicted.gradient_factor == pytest.approx(2.0)
    assert predicted.second_moment.log_variance == pytest.approx(5 / 32)


def test_a_real_convolutional_network():
    """Four 3 × 3 layers of unequal width, circular padding: means over 40 networks lie within 25%.

    Their own error is about √(5 Σ 1/n / 40) = 10%.
    """
    torch.manual_seed(3)
    channels = [8, 64, 32, 128, 48]
    outputs, gradients = [], []
    for _ in range(40):
        x = torch.randn(1, channels[0], 8, 8, requires_grad=True)
        h = x
        for fan, out in itertools.pairwise(channels):
            conv = nn.Conv2d(fan, out, 3, padding=1, padding_mode="circular", bias=False)
            nn.init.normal_(conv.weight, std=math.sqrt(1.5 / (9 * fan)))
            h = torch.relu(conv(h))
        outputs.append(h.detach().square().mean())
        gradients.append(torch.autograd.grad(h, x, torch.randn_like(h))[0].square().mean())
    predicted = propagate(
        [
            Layer(f"conv{out}", 9 * fan, 9 * out, 1.5 / (9 * fan), width=out, activation=nn.ReLU())
            for fan, out in itertools.pairwise(channels)
        ]
    ).layers
    assert torch.stack(outputs).mean().item() == pytest.approx(predicted[-1].second_moment.mean, rel=0.25)
    assert torch.stack(gradients).mean().item() == pytest.approx(predicted[0].gradient.mean, rel=0.25)


def test_what_is_beyond_first_order_is_said():
    wide, narrow = (propagate(dense(20, width, 2.0, nn.GELU())) for width in (20_000, 8))
    assert not wide.notes
    assert "several times off the theory" in narrow.notes[0]
    assert math.isfinite(narrow.layers[-1].second_moment.high)


def test_a_deep_sigmoid_network_loses_its_gradient_and_its_angles():
    layers = dense(12, 64, 1.0, nn.Sigmoid())
    predicted = propagate(layers).layers
    assert predicted[0].gradient.high < 1e-12
    assert predicted[-1].correlation == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("position", ["before_activation", "after_activation"])
@pytest.mark.parametrize("norm", ["batchnorm", "instancenorm", "layernorm", "groupnorm"])
def test_norm_layers_repair_scale(norm, position):
    """Weights a thousand times too small: with a norm layer the output is that of good weights."""
    good, small = (
        propagate(dense(4, 64, sigma_w2, nn.ReLU(), norm=norm, norm_position=position), norm_eps=0.0)
        for sigma_w2 in (2.0, 2e-6)
    )
    assert small.layers[-1].second_moment.mean == pytest.approx(good.layers[-1].second_moment.mean, rel=1e-6)
    assert small.layers[1].gradient_factor == pytest.approx(good.layers[1].gradient_factor, rel=1e-6)


def test_layernorm_repairs_scale_but_not_the_angle():
    predicted = propagate(dense(30, 64, 2e-4, nn.ReLU(), norm="layernorm")).layers
    assert predicted[-1].correlation == pytest.approx(
        mf.correlations(torch.relu, 0.0, 2.0, 0.0, 29)[-1], abs=1e-3
    )
    decorrelated = propagate(dense(30, 64, 2e-4, nn.ReLU(), norm="batchnorm")).layers
    assert decorrelated[-1].correlation == pytest.approx(1 / math.pi, abs=1e-2)


@pytest.mark.parametrize("norm", [None, "batchnorm", "layernorm"])
@pytest.mark.parametrize("position", ["before_activation", "after_activation"])
def test_zero_weights_give_zeros_and_no_crash(norm, position):
    predicted = propagate(dense(3, 8, 0.0, nn.ReLU(), norm=norm, norm_position=position)).layers
    assert [layer.gradient.mean for layer in predicted] == [0, 0, 0]
    assert predicted[-1].second_moment.mean == 0
    assert predicted[-1].correlation == 1


def test_tiny_and_huge_weights_are_followed_far_beyond_float32():
    vanishing, exploding = (propagate(dense(24, 64, scale, nn.ReLU())).layers[-1] for scale in (2e-4, 2e4))
    assert math.log10(vanishing.second_moment.mean) == pytest.approx(-96)
    assert math.log10(exploding.second_moment.mean) == pytest.approx(96)


@pytest.mark.parametrize("phi", [nn.ReLU, nn.Tanh, nn.GELU, nn.PReLU])
@pytest.mark.parametrize("norm", [None, "batchnorm"])
def test_sixteen_layers_take_less_than_a_second(phi, norm):
    layers = [Layer(str(i), 288, 288, 2 / 288, width=32, activation=phi(), norm=norm) for i in range(16)]
    started = time.process_time()
    propagate(layers, batch_size=32)
    assert time.process_time() - started < 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fan_in": 0}, "fan_in"),
        ({"weight_variance": -1.0}, "weight_variance"),
        ({"width": math.nan}, "width"),
        ({"norm": "batchnrom"}, "batchnorm"),
        ({"norm_position": "before"}, "before_activation"),
    ],
)
def test_a_layer_that_cannot_be_is_refused(change, message):
    fields = {"name": "a", "fan_in": 3, "fan_out": 3, "weight_variance": 0.1} | change
    with pytest.raises(RequestError, match=message):
        Layer(**fields)


def test_an_empty_network_and_a_wrong_input_are_refused():
    with pytest.raises(RequestError, match="at least one layer"):
        propagate([])
    with pytest.raises(RequestError, match="input"):
        propagate(dense(1, 4, 1.0, None), input_correlation=2.0)
