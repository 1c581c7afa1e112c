"""A linear classifier on a layer, against one fitted by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from trainlab.claims import linear_probe
from trainlab.claims.linear_probe import PENALTIES, probe_accuracy
from trainlab.data.images import ImageData, Split
from trainlab.errors import RequestError
from trainlab.nn.normalization import NormalizedNetwork, Unit


def images(n=300, *, is_linear=True):
    """Three classes: by the mean of one of three pixels, or by the sign of a product of two."""
    generator = np.random.default_rng(0)
    x_NHWC = generator.integers(0, 256, (2 * n, 4, 4, 1), dtype=np.uint8)
    if is_linear:
        y_N = x_NHWC[:, 0, :3, 0].argmax(1)
    else:
        high = x_NHWC[:, 0, :2, 0] > 127
        y_N = (high[:, 0] ^ high[:, 1]).astype(np.int64)
    train, test = np.arange(n), np.arange(n, 2 * n)
    first, none, second = (Split(x_NHWC, y_N, rows) for rows in (train, train[:0], test))
    return ImageData(first, none, second, (0.5,), (0.3,), ("a", "b", "c"), "fingerprint", "made")


class Product(nn.Module):
    """Adds the product of the first two pixels: what no linear classifier on pixels can know."""

    def forward(self, x_NF):
        return torch.cat([x_NF, (x_NF[:, :1] - 0.5) * (x_NF[:, 1:2] - 0.5)], dim=1)


def model():
    torch.manual_seed(0)
    layers = nn.Sequential()
    layers.add_module("flatten", nn.Flatten())
    layers.add_module("product", Product())
    layers.add_module("output", nn.Linear(17, 3))
    return NormalizedNetwork(Unit(), layers).eval()


def test_a_probe_is_ridge_regression_on_one_hot_labels():
    data, n = images(), 300
    x_ND = data.train.x_NHWC[:n].reshape(n, 16) / 255.0
    mean, scale = x_ND.mean(0), x_ND.astype(np.float32).std(ddof=1)
    one_hot = np.eye(3)[data.train.labels_N]
    accuracies = []
    test_MD = (data.test.x_NHWC[data.test.index].reshape(n, 16) / 255.0 - mean) / scale
    for penalty in PENALTIES:
        z_ND = (x_ND - mean) / scale
        ridge = penalty * (z_ND**2).sum(1).mean()
        weight = np.linalg.solve(z_ND.T @ z_ND + ridge * np.eye(16), z_ND.T @ (one_hot - one_hot.mean(0)))
        predicted = (test_MD @ weight + one_hot.mean(0)).argmax(1)
        accuracies.append((predicted == data.test.labels_N).mean())
    found = probe_accuracy(model(), data, "input", 1000)
    assert min(abs(found - a) for a in accuracies) < 1.5 / n
    assert found > 0.85


def test_a_layer_shows_what_the_pixels_hide():
    data = images(is_linear=False)
    pixels, product = (probe_accuracy(model(), data, layer, 300) for layer in ("input", "product"))
    assert pixels < 0.62 and product > 0.8
    assert probe_accuracy(model(), data, "logits", 300) < 0.8


def test_the_model_is_left_as_it_was_and_the_layer_without_a_hook():
    net = model()
    before = [p.clone() for p in net.parameters()]
    first = probe_accuracy(net, images(), "product", 100)
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    assert not any(module._forward_hooks for module in net.modules())
    assert probe_accuracy(net, images(), "product", 100) == first


def test_the_penalty_is_chosen_on_images_that_were_left_out():
    torch.manual_seed(0)
    noise_ND = torch.randn(60, 200, dtype=torch.float64)
    y_N = torch.randint(0, 3, (60,))
    one_hot_NK = nn.functional.one_hot(y_N, 3).double()
    assert linear_probe._choose_penalty(noise_ND @ noise_ND.T / 200, one_hot_NK, y_N) in PENALTIES


@pytest.mark.parametrize(
    ("layer", "most", "message"),
    [
        ("produkt", 100, "unknown layer of a probe 'produkt': did you mean 'product'"),
        ("input", 5, "probe: got 5 images, expected 2 a class at least"),
    ],
)
def test_what_cannot_be_probed_is_refused(layer, most, message):
    with pytest.raises(RequestError, match=message):
        probe_accuracy(model(), images(), layer, most)
