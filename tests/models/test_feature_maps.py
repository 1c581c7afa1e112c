"""Feature maps: what a forward pass by hand gives, for every architecture; and where a unit looks."""

import pytest
import torch
import torch.nn.functional as F
from model_options import names, network
from torch import nn

from trainlab.errors import RequestError
from trainlab.models import anatomy, feature_maps
from trainlab.nn.layers import LocallyConnected2d


def image(channels=1, side=32):
    return torch.randn(1, channels, side, side, generator=torch.Generator().manual_seed(0))


def test_maps_and_kernels_are_those_of_a_forward_pass_by_hand():
    conv, norm = nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3)
    net = nn.Sequential(conv, norm, nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 5, 3)).eval()
    norm.get_buffer("running_mean").add_(0.3)
    x_1CHW = image()
    first, last = feature_maps(net, x_1CHW)
    z = F.conv2d(x_1CHW, conv.weight, conv.bias, padding=1)
    assert torch.allclose(first.z_Fhw, z[0]) and torch.allclose(first.a_Fhw, norm(z)[0].relu())
    assert first.kernels_FCkk is not None and last.kernels_FCkk is not None
    assert torch.equal(first.kernels_FCkk, conv.weight) and last.kernels_FCkk.shape == (5, 3, 3, 3)
    assert torch.allclose(last.z_Fhw, net(x_1CHW)[0]) and torch.equal(last.a_Fhw, last.z_Fhw)


@pytest.mark.parametrize("model", names("model"))
def test_every_architecture_shows_its_convolutions(model):
    net = network(model, norm_layer="batchnorm")
    views = feature_maps(net, image())
    rows = {row.name: row for row in anatomy(net, (1, 32, 32))}
    wanted = [n for n, m in net.named_modules() if isinstance(m, nn.Conv2d | LocallyConnected2d)]
    assert sorted(view.name for view in views) == sorted(wanted)
    for view in views:
        assert view.z_Fhw.shape == view.a_Fhw.shape == rows[view.name].out_shape
        assert view.field is not None and view.field.size == rows[view.name].receptive_field
        assert (view.kernels_FCkk is None) == (model == "locally_connected")


@pytest.mark.parametrize(("row", "column"), [(0, 0), (2, 5), (7, 7)])
@pytest.mark.parametrize(
    "layers",
    [
        [nn.Conv2d(1, 2, 3, padding=1), nn.AvgPool2d(2), nn.Conv2d(2, 2, 5, padding=2), nn.AvgPool2d(2)],
        [nn.Conv2d(1, 2, 5, stride=2, padding=2), nn.Conv2d(2, 2, 3, padding=1, stride=2)],
    ],
)
def test_a_unit_sees_what_its_gradient_reaches(layers, row, column):
    net = nn.Sequential(*layers, nn.Conv2d(2, 1, 3, padding=1))
    for p in net.parameters():
        nn.init.uniform_(p, 0.5, 1.0)  # positive weights: nothing cancels
    x_1CHW = image().requires_grad_()
    net(x_1CHW)[0, 0, row, column].backward()
    reached = [side.nonzero() for side in (x_1CHW.grad[0, 0].any(1), x_1CHW.grad[0, 0].any(0))]
    first, last = feature_maps(net, image())[-1].pixels_seen_by((row, column), (32, 32))
    assert first == tuple(int(r.min()) for r in reached)
    assert last == tuple(int(r.max()) + 1 for r in reached)


def test_looking_changes_nothing():
    net = network("plain_cnn", norm_layer="batchnorm").train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    x_1CHW = image()
    feature_maps(net, x_1CHW)
    assert net.training and all(torch.equal(before[n], v) for n, v in net.state_dict().items())
    assert not any(m._forward_hooks for m in net.modules()) and not hasattr(x_1CHW, "receptive_field")


def test_views_do_not_share_memory_with_the_network():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True))
    view = feature_maps(net, image())[0]
    assert view.z_Fhw.min() < 0 <= view.a_Fhw.min()
    assert view.kernels_FCkk is not None
    view.kernels_FCkk.zero_()
    assert net[0].get_parameter("weight").abs().min() > 0


def test_a_dense_network_has_none_and_wrong_images_are_refused():
    assert feature_maps(network("mlp"), image()) == []
    with pytest.raises(RequestError, match="expected one image"):
        feature_maps(network("lenet5"), torch.zeros(2, 1, 32, 32))
    with pytest.raises(RequestError, match="takes no image of 3 × 32 × 32"):
        feature_maps(network("plain_cnn"), image(3))
