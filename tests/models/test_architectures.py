"""Architectures: the numbers of their papers, their sizes, and what is refused."""

from functools import partial

import pytest
import torch
from hydra.utils import instantiate
from model_options import names, network, node
from torch import nn

from trainlab.errors import RequestError
from trainlab.models import MLP, VGG, LeNet5, LocallyConnected, PlainCNN, ResNet, allowed_depths
from trainlab.nn.layers import weight_layers
from trainlab.nn.norm_layers import NormLayer


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def on_meta(architecture, *args, **kwargs):
    with torch.device("meta"):
        return architecture(*args, **kwargs)


@pytest.mark.parametrize("side", [28, 32])
def test_lenet5_has_the_layers_of_the_paper(side):
    net = LeNet5((1, side, side), 10)
    assert parameters(net) == 61_706
    shapes = {}
    for name in ("C1", "S2", "C3", "S4", "C5", "F6", "output"):
        net.get_submodule(name).register_forward_hook(
            lambda _m, _i, y, name=name: shapes.update({name: tuple(y.shape[1:])})
        )
    net(torch.zeros(2, 1, side, side))
    assert shapes == {
        "C1": (6, 28, 28),
        "S2": (6, 14, 14),
        "C3": (16, 10, 10),
        "S4": (16, 5, 5),
        "C5": (120, 1, 1),
        "F6": (84,),
        "output": (10,),
    }


@pytest.mark.parametrize("pool", ["avg", "stride"])
def test_lenet5_has_the_same_parameters_with_any_pool(pool):
    assert parameters(network("lenet5", pool=pool)) == 61_706


@pytest.mark.parametrize(
    ("depth", "expected"), [(11, 132_863_336), (13, 133_047_848), (16, 138_357_544), (19, 143_667_240)]
)
def test_vgg_has_the_parameters_of_the_imagenet_form(depth, expected):
    assert parameters(on_meta(VGG, (3, 224, 224), 1000, depth=depth)) == expected


@pytest.mark.parametrize(("depth", "convolutions"), [(11, 8), (13, 10), (16, 13), (19, 16)])
def test_vgg_for_small_images(depth, convolutions):
    net = on_meta(VGG, (3, 32, 32), 10, depth=depth)
    kinds = [type(layer) for _, layer in weight_layers(net)]
    assert kinds == [nn.Conv2d] * convolutions + [nn.Linear]
    if depth == 16:
        assert parameters(net) == 14_714_688 + 512 * 10 + 10


@pytest.mark.parametrize("side", [32, 48, 64, 65, 96])
def test_vgg_takes_other_images(side):
    net = VGG((3, side, side), 7, depth=11, width=2)
    assert net(torch.zeros(2, 3, side, side)).shape == (2, 7)


def test_vgg_for_large_images_drops_half_of_both_hidden_dense_layers():
    net = on_meta(VGG, (3, 224, 224), 1000)
    assert [m.p for m in net.head if isinstance(m, nn.Dropout)] == [0.5, 0.5]


def test_resnet20_has_the_parameters_of_the_paper():
    norm = NormLayer("before_activation", nn.BatchNorm2d)
    assert parameters(on_meta(ResNet, (3, 32, 32), 10, norm_layer=norm)) == 269_722
    assert len(weight_layers(on_meta(ResNet, (3, 32, 32), 10, norm_layer=norm))) == 20


@pytest.mark.parametrize("norm", [None, nn.BatchNorm2d])
def test_resnet_with_dead_branches_is_the_identity_of_its_stem(norm):
    """With zero branches nothing but relu, subsampling and padding is left."""
    torch.manual_seed(0)
    net = ResNet((3, 16, 16), 10, depth=3, width=4, norm_layer=NormLayer("before_activation", norm)).eval()
    for name, layer in weight_layers(net.stages):
        if ".second." in name:
            nn.init.zeros_(layer.get_parameter("weight"))
            if layer.bias is not None:
                nn.init.zeros_(layer.get_parameter("bias"))
    stem = net.stem(torch.randn(2, 3, 16, 16))
    out = net.stages(stem)
    assert out.shape == (2, 16, 4, 4)
    assert torch.equal(out[:, :4], stem[:, :, ::4, ::4])
    assert not out[:, 4:].any()


def test_locally_connected_has_the_parameters_of_the_formula():
    net = LocallyConnected((1, 28, 28), 10)
    assert [parameters(net.get_submodule(f"layers.local{i}")) for i in (1, 2)] == [89_856, 8 * 8 * 6 * 151]


def test_locally_connected_with_shared_weights_is_a_convolution_of_the_same_maps():
    local, shared = (LocallyConnected((1, 28, 28), 10, shared=shared) for shared in (None, True))
    assert [parameters(shared.get_submodule(f"layers.local{i}")) for i in (1, 2)] == [6 * 26, 6 * 151]
    assert parameters(shared.output) == parameters(local.output)
    maps = []
    for net in (local, shared):
        conv = net.get_submodule("layers.local1.conv")
        for parameter in conv.parameters():
            nn.init.ones_(parameter)
        x_NCHW = torch.arange(28.0 * 28).reshape(1, 1, 28, 28)
        maps.append(conv(x_NCHW))
    assert torch.allclose(*maps)


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5, 6])
def test_locally_connected_is_as_deep_as_asked_for(depth):
    net = LocallyConnected((1, 28, 28), 10, depth=depth)
    assert len(weight_layers(net)) == depth + 1
    assert net(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


@pytest.mark.parametrize(
    "build", [partial(PlainCNN, depth=3, width=4, stages=1), partial(VGG, depth=11, width=2)]
)
def test_circular_padding_loses_no_signal_at_the_border(build):
    """A constant image gives constant maps, which zeros at the border would not."""
    torch.manual_seed(0)
    for padding, is_constant in (("circular", True), (None, False)):
        first = next(m for m in build((1, 32, 32), 10, padding=padding).modules() if isinstance(m, nn.Conv2d))
        maps = first(torch.ones(1, 1, 32, 32))
        assert bool(torch.allclose(maps, maps[..., :1, :1].expand_as(maps), atol=1e-6)) is is_constant


def test_mlp_is_as_deep_and_wide_as_asked_for():
    net = MLP((1, 28, 28), 10, depth=4, width=50)
    assert [layer.out_features for _, layer in weight_layers(net)] == [50] * 4 + [10]
    assert parameters(net) == 785 * 50 + 3 * 51 * 50 + 51 * 10


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5, 12, 30])
@pytest.mark.parametrize("side", [8, 16, 28, 32])
def test_plain_cnn_counts_its_convolutions_at_any_depth(depth, side):
    net = PlainCNN((1, side, side), 10, depth=depth, width=4)
    convolutions = [layer for _, layer in weight_layers(net) if isinstance(layer, nn.Conv2d)]
    assert len(convolutions) == depth
    assert convolutions[-1].out_channels == 4 * 2 ** (min(depth, 3) - 1)
    assert net(torch.zeros(2, 1, side, side)).shape == (2, 10)


def test_plain_cnn_doubles_its_maps_and_halves_them_between_stages():
    net = PlainCNN((3, 32, 32), 10, depth=7, width=16)
    convolutions = [layer.out_channels for _, layer in weight_layers(net) if isinstance(layer, nn.Conv2d)]
    assert convolutions == [16, 16, 32, 32, 64, 64, 64]
    assert [stage.out_shape_CHW for stage in net.stages] == [(16, 16, 16), (32, 8, 8), (64, 8, 8)]


def test_plain_cnn_takes_the_smallest_images():
    assert len(PlainCNN((1, 2, 2), 10).stages) == 2
    assert len(PlainCNN((1, 1, 1), 10).stages) == 1


def test_pool_stride_has_no_pooling_layer_and_strides_the_convolution():
    plain, strided = (network("plain_cnn", pool=pool) for pool in ("max", "stride"))
    assert parameters(plain) == parameters(strided)
    strides = [layer.stride[0] for _, layer in weight_layers(strided) if isinstance(layer, nn.Conv2d)]
    assert strides == [2, 2, 1, 1]
    assert not any(isinstance(m, nn.MaxPool2d) for m in strided.modules())


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: VGG((3, 32, 32), 10, depth=12), "vgg: got depth=12, expected one of 11, 13, 16, 19"),
        (lambda: VGG((1, 28, 28), 10), "vgg: 5 poolings on 28 × 28 pixels, expected at most 4"),
        (lambda: VGG((1, 28, 28), 10, width=0), "width: got 0"),
        (lambda: PlainCNN((1, 28, 28), 10, depth=6, stages=6), "5 poolings on 28 × 28.*at most 4"),
        (lambda: PlainCNN((1, 28, 28), 10, depth=3, stages=4), "stages: got 4, expected at most depth=3"),
        (lambda: PlainCNN((1, 28, 28), 10, stages=0), "stages: got 0, expected at least 1"),
        (lambda: PlainCNN((1, 28, 28), 10, depth=0), "depth: got 0"),
        (lambda: MLP((1, 28, 28), 10, width=-3), "width: got -3"),
        (lambda: ResNet((3, 32, 32), 10, depth=8), "depth=8 blocks, expected a multiple of 3"),
        (lambda: ResNet((3, 32, 32), 10, depth=0), "depth=0 blocks"),
        (lambda: LeNet5((3, 64, 64), 10), "images of 64 × 64 pixels, expected 28 × 28 or 32 × 32"),
        (lambda: LocallyConnected((1, 28, 28), 10, depth=7), "depth=7.*at most 6"),
        (lambda: LocallyConnected((1, 28, 28), 10, head="means"), "model.head.*'means'.*dense, mean"),
        (lambda: PlainCNN((1, 28, 28), 10, head="flat"), "model.head.*'flat'.*dense, mean"),
        (lambda: PlainCNN((1, 28, 28), 10, padding="circle"), "model.padding.*did you mean 'circular'"),
        (lambda: VGG((1, 32, 32), 10, padding="circle"), "model.padding.*did you mean 'circular'"),
        (
            lambda: PlainCNN((1, 4, 4), 10, norm_layer=NormLayer("before_activation", nn.InstanceNorm2d)),
            "InstanceNorm2d cannot normalize 64 features of one position",
        ),
        (
            lambda: PlainCNN((1, 4, 4), 10, pool=lambda: nn.MaxPool2d(5)),
            r"MaxPool2d.* cannot take a map of 4 × 4 \(16 channels\)",
        ),
    ],
)
def test_what_cannot_be_built_is_refused_in_one_line(build, message):
    with pytest.raises(RequestError, match=message) as error:
        build()
    assert "\n" not in str(error.value)


def test_a_users_own_parts_work_without_edits():
    class Swish(nn.Module):
        def forward(self, x):
            return x * x.sigmoid()

    class ChannelScale(nn.Module):
        def __init__(self, num_features):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(num_features, 1, 1))

        def forward(self, x_NCHW):
            return self.scale * x_NCHW

    class Widest(nn.Module):
        def forward(self, x_NCHW):
            return nn.functional.max_pool2d(x_NCHW, 3, stride=2)

    norm = NormLayer("after_activation", ChannelScale)
    for architecture in (MLP, PlainCNN, LeNet5):
        net = architecture((1, 32, 32), 10, activation=Swish, norm_layer=norm, **_pool(architecture, Widest))
        net(torch.randn(2, 1, 32, 32)).sum().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


def _pool(architecture, pool):
    # an MLP has nothing to pool; a pool of 3 × 3 leaves LeNet-5's maps too small for C5
    return {} if architecture in (MLP, LeNet5) else {"pool": pool}


def test_a_residual_network_with_branches_of_gain_zero_is_its_stem_and_shortcuts():
    x_NCHW = torch.randn(2, 3, 16, 16)
    net = ResNet((3, 16, 16), 10, depth=6, width=4, branch_gain=0.0)
    expected_NCHW = net.stem(x_NCHW)
    for stage in net.stages:
        for block in stage:
            expected_NCHW = torch.relu(block.shortcut(expected_NCHW))
    assert torch.equal(net.stages(net.stem(x_NCHW)), expected_NCHW)
    assert parameters(net) == parameters(ResNet((3, 16, 16), 10, depth=6, width=4)) + 6  # one a block
    net(x_NCHW).sum().backward()
    gains = [p for name, p in net.named_parameters() if name.endswith("gain.factor")]
    assert len(gains) == 6 and all(p.grad is not None and p.grad != 0 for p in gains)


def test_circular_padding_sees_no_border():
    net = PlainCNN((1, 8, 8), 10, depth=3, stages=1, width=4, padding="circular")
    x_NCHW = torch.randn(2, 1, 8, 8)
    moved = net.stages(x_NCHW.roll((3, 2), (2, 3)))
    assert torch.allclose(moved, net.stages(x_NCHW).roll((3, 2), (2, 3)), atol=1e-6)


def test_a_residual_network_with_circular_padding_sees_no_border():
    x_NCHW = torch.randn(2, 1, 8, 8)
    for padding, is_borderless in (("circular", True), (None, False)):
        torch.manual_seed(0)
        net = ResNet((1, 8, 8), 10, depth=3, width=4, padding=padding)
        before_striding = nn.Sequential(net.stem, net.stages[0])
        moved = before_striding(x_NCHW.roll((3, 2), (2, 3)))
        expected = before_striding(x_NCHW).roll((3, 2), (2, 3))
        assert bool(torch.allclose(moved, expected, atol=1e-5)) is is_borderless


def test_an_unknown_padding_is_answered_with_the_closest():
    with pytest.raises(RequestError, match=r"unknown model\.padding 'circle': did you mean 'circular'"):
        PlainCNN((1, 8, 8), 10, depth=3, padding="circle")


DEPTHS = [
    (PlainCNN, list(range(1, 21))),
    (MLP, list(range(1, 21))),
    (LocallyConnected, [1, 2, 3, 4, 5, 6]),
    (ResNet, [3, 6, 9, 12, 15, 18]),
    (VGG, [11, 13, 16, 19]),
]


@pytest.mark.parametrize(("architecture", "depths"), DEPTHS, ids=lambda value: getattr(value, "__name__", ""))
def test_an_architecture_takes_the_depths_that_it_lists(architecture, depths):
    assert list(architecture.depths(20)) == depths
    side = 28 if architecture is LocallyConnected else 32
    for depth in depths:
        on_meta(architecture, (3, side, side), 10, depth=depth, width=2)
    if architecture not in (PlainCNN, MLP):  # these take any
        for depth in set(range(21)) - set(depths):
            with pytest.raises(RequestError, match="depth"):
                on_meta(architecture, (3, side, side), 10, depth=depth, width=2)


@pytest.mark.parametrize("name", names("model"))
def test_the_depth_of_every_option_is_one_that_it_lists(name):
    option, depth = instantiate(node("model", name)["model"]), node("model", name)["depth"]
    allowed = allowed_depths(option)
    assert allowed is not None
    assert depth in allowed if depth is not None else list(allowed) == []


def test_a_users_own_architecture_may_leave_its_depths_open():
    class Own(nn.Module):
        pass

    assert allowed_depths(Own) is None and allowed_depths(partial(Own)) is None


def test_a_residual_network_without_shortcuts_is_its_branches_in_a_row():
    torch.manual_seed(0)
    x_NCHW = torch.randn(2, 3, 16, 16)
    net = ResNet((3, 16, 16), 10, depth=6, width=4, shortcut=False)
    assert [(n, p.shape) for n, p in net.named_parameters()] == [
        (n, p.shape) for n, p in ResNet((3, 16, 16), 10, depth=6, width=4).named_parameters()
    ]
    expected_NCHW = net.stem(x_NCHW)
    for stage in net.stages:
        for block in stage:
            expected_NCHW = torch.relu(block.second.conv(block.first(expected_NCHW)))
    assert torch.equal(net.stages(net.stem(x_NCHW)), expected_NCHW)


def test_an_mlp_without_hidden_layers_is_a_linear_classifier():
    net = MLP((1, 8, 8), 10, depth=0)
    assert [type(layer) for _, layer in weight_layers(net)] == [nn.Linear]
    assert parameters(net) == 65 * 10
    x_NCHW, other_NCHW, zero_NCHW = torch.randn(2, 1, 8, 8), torch.randn(2, 1, 8, 8), torch.zeros(2, 1, 8, 8)
    together = net(x_NCHW) + net(other_NCHW) - net(zero_NCHW)
    assert torch.allclose(net(x_NCHW + other_NCHW), together, atol=1e-5)
