"""Patch whitening, the Dirac start, a BatchNorm of fixed scale, smoothed labels: each against its formula."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from trainlab.nn.initializers import Dirac, fit_to_images, images_to_fit
from trainlab.nn.losses import smoothed_cross_entropy
from trainlab.nn.norm_layers import fixed_scale_batch_norm
from trainlab.nn.whitening import PatchWhitening
from trainlab.signals.label_probe import labels_from_gradient


def smooth_images(n=40, channels=3, side=12):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, channels, side, side, generator=generator)
    return F.avg_pool2d(x, 3, stride=1, padding=1) * torch.tensor([1.0, 2.0, 3.0])[:channels, None, None]


@pytest.mark.parametrize("channels", [1, 3])
def test_whitened_patches_are_uncorrelated_and_of_unit_power(channels):
    x_NCHW = smooth_images(channels=channels)
    layer = PatchWhitening(channels, eps=0.0)
    layer.fit_to_images(x_NCHW)
    maps_NFHW = layer(x_NCHW)
    half = 4 * channels
    assert maps_NFHW.shape == (40, 2 * half, 11, 11)
    first_PF = maps_NFHW[:, :half].permute(0, 2, 3, 1).reshape(-1, half)
    assert torch.allclose(first_PF.T @ first_PF / len(first_PF), torch.eye(half), atol=1e-3)
    assert torch.equal(maps_NFHW[:, half:], -maps_NFHW[:, :half])


def test_the_power_of_patches_is_counted_by_hand():
    x_NCHW = smooth_images(n=3, side=5)
    patches = [x[:, i : i + 2, j : j + 2].flatten() for x in x_NCHW for i in range(4) for j in range(4)]
    by_hand = torch.stack([torch.outer(p, p) for p in patches]).mean(0)
    assert torch.allclose(PatchWhitening(3).patch_power(x_NCHW), by_hand.double(), atol=1e-6)


def test_epsilon_bounds_what_is_made_of_a_direction_without_power():
    layer = PatchWhitening(3)
    layer.fit_to_images(torch.ones(4, 3, 8, 8))
    assert (
        layer.weight.isfinite().all() and layer.weight.flatten(1).norm(dim=1).max() <= layer.eps**-0.5 + 1e-3
    )


def test_a_network_is_fitted_wherever_the_layer_stands_and_it_is_no_parameter():
    network = nn.Sequential(PatchWhitening(1), nn.ReLU(), nn.Flatten())
    assert images_to_fit(network) == PatchWhitening.fitted_on_images and images_to_fit(nn.Linear(2, 2)) == 0
    fit_to_images(network, smooth_images(channels=1))
    layer = network[0]
    assert isinstance(layer, PatchWhitening)
    assert not torch.equal(layer.weight[:4].flatten(1), torch.eye(4))
    assert [name for name, _ in network.named_parameters()] == [
        "0.bias"
    ] and "0.weight" in network.state_dict()


@pytest.mark.parametrize(("inputs", "outputs"), [(3, 8), (8, 3), (4, 4)])
def test_dirac_hands_on_the_first_channels_and_no_more(inputs, outputs):
    conv = nn.Conv2d(inputs, outputs, 3, padding=1)
    torch.manual_seed(0)
    Dirac()(conv)
    x_NCHW = torch.randn(2, inputs, 5, 5)
    n = min(inputs, outputs)
    assert torch.equal(conv(x_NCHW)[:, :n], x_NCHW[:, :n])
    rest = conv.weight[n:]
    assert rest.abs().max() <= 1 / (9 * inputs) ** 0.5 if len(rest) else outputs <= inputs
    groups = nn.Conv2d(4, 4, 3, padding=1, groups=2)
    Dirac()(groups)
    x_NCHW = torch.randn(2, 4, 5, 5)
    assert torch.equal(groups(x_NCHW), x_NCHW)


def test_the_fixed_scale_is_one_and_gets_no_gradient():
    layer = fixed_scale_batch_norm(3)
    layer(torch.randn(8, 3, 2, 2)).square().sum().backward()
    assert layer.weight.grad is None and layer.bias.grad is not None and (layer.weight == 1).all()
    assert layer.momentum == 0.4 and layer.eps == 1e-12


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.2])
def test_the_gradient_is_of_smoothed_labels_and_the_value_of_the_labels_as_they_are(smoothing):
    logits = torch.randn(16, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = torch.arange(16) % 7
    logits.requires_grad_()
    loss = smoothed_cross_entropy(logits, y, smoothing)
    assert loss.item() == pytest.approx(F.cross_entropy(logits, y).item(), rel=1e-14)
    (grad,) = torch.autograd.grad(loss, logits)
    target = (1 - smoothing) * F.one_hot(y, 7) + smoothing / 7
    assert torch.allclose(grad, (logits.softmax(1) - target) / 16)
    (torchs,) = torch.autograd.grad(F.cross_entropy(logits, y, label_smoothing=smoothing), logits)
    assert torch.allclose(grad, torchs)


@pytest.mark.parametrize("scale", [0.1, 1.0, 8.0])
def test_labels_are_read_from_the_gradient_of_smoothed_labels(scale):
    logits = scale * torch.randn(64, 10, generator=torch.Generator().manual_seed(0))
    logits.requires_grad_()
    y = torch.arange(64) % 10
    (grad,) = torch.autograd.grad(smoothed_cross_entropy(logits, y, 0.2), logits)
    assert (scale == 0.1) == ((grad < 0).sum(1) <= 1).all(), "else several entries of a row are negative"
    found = labels_from_gradient(grad, logits)
    assert found is not None and found.tolist() == y.tolist()
    (grad,) = torch.autograd.grad(F.mse_loss(logits, torch.eye(10)[y]), logits)
    assert labels_from_gradient(grad, logits) is None
