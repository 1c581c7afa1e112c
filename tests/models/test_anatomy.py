"""The layer table: the papers' numbers, any module, and nothing changed by looking."""

import pytest
import torch
from model_options import names, network
from torch import nn

from trainlab.errors import RequestError
from trainlab.models import VGG, LeNet5, ResNet, anatomy, totals
from trainlab.nn.layers import weight_layers


def rows_by_name(net, shape):
    return {row.name: row for row in anatomy(net, shape)}


def test_vgg16_at_224():
    with torch.device("meta"):
        net = VGG((3, 224, 224), 1000)
    rows = anatomy(net, (3, 224, 224))
    assert totals(rows).parameters == 138_357_544
    assert round(totals(rows).multiply_adds / 1e9, 2) == 15.47
    dense = [row.parameters for row in rows if row.kind == "Linear"]
    assert dense == [102_764_544, 16_781_312, 4_097_000]


@pytest.mark.parametrize(("side", "padding"), [(28, 2), (32, 0)])
def test_lenet5(side, padding):
    rows = rows_by_name(LeNet5((1, side, side), 10), (1, side, side))
    weights = ("C1.conv", "C3.conv", "C5.conv", "F6.linear", "output")
    assert [rows[n].parameters for n in weights] == [156, 2_416, 48_120, 10_164, 850]
    assert [rows[n].multiply_adds for n in weights] == [117_600, 240_000, 48_000, 10_080, 840]
    assert totals(rows.values()).parameters == 61_706
    c1, s2 = rows["C1.conv"], rows["S2"]
    assert (c1.kernel, c1.stride, c1.padding, c1.out_shape) == ((5, 5), (1, 1), (padding,) * 2, (6, 28, 28))
    assert (s2.kernel, s2.stride, s2.padding, s2.out_shape) == ((2, 2), (2, 2), (0, 0), (6, 14, 14))
    assert [rows[n].receptive_field for n in ("C1.conv", "S2", "C3.conv", "S4", "C5.conv", "output")] == [
        (n, n) for n in (5, 6, 14, 16, 32, 32)
    ]


def pixels_seen(module, side, channels=1):
    """Height of the region of the input that the middle output depends on, by its gradient."""
    torch.manual_seed(0)
    x = torch.randn(1, channels, side, side, dtype=torch.float64, requires_grad=True)
    y = module.double()(x)
    if y.dim() == 4:
        y = y[..., y.shape[2] // 2, y.shape[3] // 2]
    y.sum().backward()
    assert x.grad is not None
    rows = x.grad.abs().sum((0, 1, 3)).nonzero()
    return int(rows.max() - rows.min()) + 1


@pytest.mark.parametrize(
    "layers",
    [
        [nn.Conv2d(1, 2, 3, padding=1), nn.AvgPool2d(2), nn.Conv2d(2, 2, 5, padding=2)],
        [nn.Conv2d(1, 2, 3, stride=2), nn.Conv2d(2, 2, 3, dilation=2, padding="same"), nn.AvgPool2d(3, 1)],
        [nn.AvgPool2d(2), nn.Conv2d(1, 1, 3, padding="valid"), nn.AvgPool2d(2), nn.Conv2d(1, 1, 3)],
    ],
)
def test_receptive_field_is_what_the_gradient_reaches(layers):
    net = nn.Sequential(*layers)
    seen = pixels_seen(net, 64)
    assert anatomy(net, (1, 64, 64))[-1].receptive_field == (seen, seen)


def test_receptive_field_where_branches_meet():
    net = ResNet((1, 64, 64), 10, depth=3, width=2, activation=nn.Identity)
    seen = pixels_seen(nn.Sequential(net.stem, net.stages), 64)
    rows = rows_by_name(net, (1, 64, 64))
    assert rows["stages.3.block1.joined.activation"].receptive_field == (seen, seen)
    assert rows["head.linear"].receptive_field[0] >= 64


def test_functions_between_layers_carry_the_receptive_field():
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.wide, self.narrow = nn.Conv2d(1, 2, (7, 3), padding=(3, 1)), nn.Conv2d(1, 2, 3, padding=1)
            self.join = nn.Conv2d(4, 2, 1)
            self.output = nn.Linear(2, 3)

        def forward(self, x):
            x = torch.cat([torch.relu(self.narrow(x)), torch.tanh(self.wide(x))], dim=1)
            return self.output(self.join(x).mean((2, 3)))

    rows = rows_by_name(Functional(), (1, 16, 16))
    assert rows["join"].receptive_field == (7, 3)
    assert rows["output"].receptive_field == (7 + 15, 3 + 15)


@pytest.mark.parametrize("model", names("model"))
def test_totals_agree_with_the_network(model):
    net = network(model, norm_layer="batchnorm", activation="prelu", in_shape_CHW=(3, 32, 32))
    rows = anatomy(net, (3, 32, 32))
    assert totals(rows).parameters == sum(p.numel() for p in net.parameters())
    assert [row.name for row in rows if row.multiply_adds] == [name for name, _ in weight_layers(net)]


def test_multiply_adds_against_torchs_own_counter():
    from torch.utils.flop_counter import FlopCounterMode

    for model in ("plain_cnn", "vgg", "resnet", "lenet5", "mlp"):
        net = network(model)
        with FlopCounterMode(display=False) as counter:
            net.eval()(torch.zeros(1, 1, 32, 32))
        assert 2 * totals(anatomy(net, (1, 32, 32))).multiply_adds == counter.get_total_flops()


def test_a_layer_used_twice_has_two_rows_and_its_parameters_once():
    shared = nn.Linear(8, 8)
    rows = anatomy(nn.Sequential(shared, nn.ReLU(), shared), (8,))
    assert [(row.parameters, row.multiply_adds) for row in rows] == [(72, 64), (0, 0), (0, 64)]


def test_looking_changes_nothing():
    net = network("plain_cnn", norm_layer="batchnorm").train()
    net.stages[0].eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    modes = [m.training for m in net.modules()]
    state = torch.get_rng_state()
    anatomy(net, (1, 32, 32))
    assert [m.training for m in net.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not any(m._forward_hooks for m in net.modules())
    assert torch.equal(torch.get_rng_state(), state)


def test_an_image_that_does_not_fit_is_refused_in_one_line():
    with pytest.raises(RequestError, match="LeNet5 takes no image of 3 × 28 × 28") as error:
        anatomy(LeNet5((1, 28, 28), 10), (3, 28, 28))
    assert "\n" not in str(error.value)
