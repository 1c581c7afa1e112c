"""Locally connected layers against a naive twin, fans and the list of weight layers."""

import pytest
import torch
from torch import nn

from trainlab.errors import RequestError
from trainlab.nn.layers import LocallyConnected2d, fans, weight_layers


def naive(layer, x_NCHW):
    """One position after the other."""
    p = layer.padding
    x_NCHW = nn.functional.pad(x_NCHW, (p, p, p, p))
    height, width = layer.out_size_HW
    y = torch.zeros(len(x_NCHW), layer.out_channels, height, width, dtype=x_NCHW.dtype)
    for i in range(height):
        for j in range(width):
            top, left = i * layer.stride, j * layer.stride
            patch = x_NCHW[:, :, top : top + layer.kernel_size, left : left + layer.kernel_size]
            kernels = layer.weight[i * width + j].reshape(layer.out_channels, *patch.shape[1:])
            y[:, :, i, j] = (patch[:, None] * kernels).sum((2, 3, 4))
            if layer.bias is not None:
                y[:, :, i, j] += layer.bias[:, i, j]
    return y


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (2, 0), (1, 1), (2, 2)])
def test_matches_a_loop_over_positions(stride, padding, bias):
    torch.manual_seed(0)
    layer = LocallyConnected2d(3, 4, 3, in_size_HW=(8, 7), stride=stride, padding=padding, bias=bias).double()
    x = torch.randn(2, 3, 8, 7, dtype=torch.float64, requires_grad=True)
    g = torch.randn_like(naive(layer, x))
    results = []
    for forward in (layer, lambda x: naive(layer, x)):
        y = forward(x)
        results.append((y, *torch.autograd.grad(y, [x, *layer.parameters()], g)))
    torch.testing.assert_close(*results)


def test_with_equal_kernels_it_is_a_convolution():
    torch.manual_seed(0)
    conv = nn.Conv2d(2, 5, 3, padding=1)
    layer = LocallyConnected2d(2, 5, 3, in_size_HW=(6, 6), padding=1)
    with torch.no_grad():
        layer.weight.copy_(conv.weight.flatten(1).expand(36, 5, 18))
        layer.get_parameter("bias").copy_(conv.get_parameter("bias")[:, None, None].expand(5, 6, 6))
    x = torch.randn(3, 2, 6, 6).to(memory_format=torch.channels_last)
    torch.testing.assert_close(layer(x), conv(x), rtol=1e-5, atol=1e-5)


def test_parameters_are_those_of_the_formula():
    layer = LocallyConnected2d(1, 6, 5, in_size_HW=(28, 28))
    assert sum(p.numel() for p in layer.parameters()) == 89_856


def test_a_kernel_that_does_not_fit_is_refused():
    with pytest.raises(RequestError, match="5 × 5 does not fit into 4 × 9"):
        LocallyConnected2d(1, 6, 5, in_size_HW=(4, 9))


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.Linear(7, 11), (7, 11)),
        (nn.Conv2d(4, 6, (3, 5)), (4 * 15, 6 * 15)),
        (nn.Conv2d(4, 6, 1), (4, 6)),
        (nn.Conv2d(8, 12, 3, groups=4), (2 * 9, 3 * 9)),
        (nn.Conv2d(8, 8, 3, groups=8), (9, 9)),
        (nn.ConvTranspose2d(4, 6, 3), (4 * 9, 6 * 9)),
        (nn.ConvTranspose2d(4, 6, 3, groups=2), (2 * 9, 3 * 9)),
        (nn.Conv1d(4, 6, 3), (12, 18)),
        (LocallyConnected2d(3, 4, 5, in_size_HW=(9, 9)), (75, 100)),
    ],
)
def test_fans(layer, expected):
    assert fans(layer) == expected


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_fan_in_is_what_one_output_depends_on(groups):
    """Counted by the gradient of one inner output."""
    conv = nn.Conv2d(4, 8, 3, groups=groups)
    x = torch.randn(1, 4, 7, 7, requires_grad=True)
    conv(x)[0, 0, 2, 2].backward()
    assert x.grad is not None and fans(conv)[0] == (x.grad != 0).sum()
    y = conv(torch.zeros(1, 4, 7, 7))
    poked = torch.zeros(1, 4, 7, 7)
    poked[0, 0, 3, 3] = 1.0
    assert fans(conv)[1] == (conv(poked) != y).sum()


def test_weight_layers_are_found_wherever_they_are_and_norms_are_none():
    class Mixer(nn.Module):
        fan_in, fan_out = 4, 4

        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(4, 4))

    network = nn.Sequential(
        nn.Conv2d(1, 2, 3),
        nn.BatchNorm2d(2),
        nn.LayerNorm([2, 4, 4]),
        nn.PReLU(2),
        nn.Sequential(LocallyConnected2d(2, 2, 3, in_size_HW=(4, 4)), nn.Linear(2, 4)),
        Mixer(),
    )
    assert [name for name, _ in weight_layers(network)] == ["0", "4.0", "4.1", "5"]
    assert fans(network[5]) == (4, 4)
