"""Every option of every axis in every architecture: it builds, runs, and every parameter gets a gradient."""

import pytest
import torch
import yaml
from model_options import CONF, WITHOUT_POOLING, build, names, network, node
from torch import nn

from trainlab.errors import RequestError
from trainlab.nn.initializers import initialize
from trainlab.nn.layers import weight_layers
from trainlab.nn.whitening import PatchWhitening

MODELS = names("model")
NO_MAPS_LEFT = {"mlp", "lenet5"}
"""Architectures with dense hidden layers, where instancenorm has nothing to normalize."""


def batch(n=6, side=32):
    torch.manual_seed(1)
    return torch.randn(n, 1, side, side), torch.arange(n) % 10


def check(net, *, gradients_are_zero=False):
    """One step of training, forward and backward; weight layers' gradients may vanish only when told so."""
    x_NCHW, y_N = batch()
    logits_NK = net(x_NCHW)
    assert logits_NK.shape == (6, 10)
    assert logits_NK.isfinite().all()
    nn.functional.cross_entropy(logits_NK, y_N).backward()
    for name, parameter in net.named_parameters():
        if not parameter.requires_grad:  # a scale that is fixed
            continue
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert gradients_are_zero or parameter.grad.any(), f"{name} gets no gradient"


OPTIONS = """
activation: relu sigmoid tanh leaky_relu prelu elu selu gelu silu softsign softplus hardtanh identity
init: kaiming kaiming_normal kaiming_uniform glorot glorot_uniform glorot_normal lecun normal orthogonal
    delta_orthogonal lsuv dirac torch_default zeros mean_field
normalization: standardize shifted center unit symmetric raw per_image
norm_layer: none batchnorm batchnorm_no_affine batchnorm_after_activation batchnorm_fixed_scale
    layernorm groupnorm instancenorm
pool: max avg stride none
model: plain_cnn mlp locally_connected lenet5 vgg resnet whitened_cnn
"""
GROUPS = {group: set(options.split()) for group, options in yaml.safe_load(OPTIONS).items()}


def test_the_groups_hold_the_options_of_the_design():
    assert {group: set(names(group)) for group in GROUPS} == GROUPS


@pytest.mark.parametrize("group", GROUPS)
def test_every_option_says_in_its_first_lines_what_it_is(group):
    for name in names(group):
        lines = (CONF / group / f"{name}.yaml").read_text().splitlines()
        lines = [line for line in lines if not line.startswith("# @package")]
        assert lines[0].startswith("# ")
        assert not lines[0].startswith("# Paper"), name
        if lines[1].startswith("#"):
            assert lines[1].startswith("# Paper: "), name


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("activation", names("activation"))
def test_activation(model, activation):
    torch.manual_seed(0)
    net = network(model, activation=activation)
    initialize(net, build("init", "glorot"))
    check(net)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("init", names("init"))
def test_init(model, init):
    torch.manual_seed(0)
    net = network(model)
    initialize(net, build("init", init), batch(n=16)[0])
    check(net, gradients_are_zero=init == "zeros")


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("norm_layer", names("norm_layer"))
def test_norm_layer(model, norm_layer):
    torch.manual_seed(0)
    if norm_layer == "instancenorm" and model in NO_MAPS_LEFT:
        with pytest.raises(RequestError, match="InstanceNorm2d cannot normalize"):
            network(model, norm_layer=norm_layer)
        return
    net = network(model, norm_layer=norm_layer)
    initialize(net, build("init", "kaiming"))
    check(net)
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d | nn.GroupNorm | nn.InstanceNorm2d)]
    # every weight layer but the output has one
    assert len(norms) == (0 if norm_layer == "none" else len(weight_layers(net)) - 1)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("norm_layer", [n for n in names("norm_layer") if "batchnorm" in n])
def test_batchnorm_statistics_move_in_train_and_stand_still_in_eval(model, norm_layer):
    torch.manual_seed(0)
    net = network(model, norm_layer=norm_layer)
    initialize(net, build("init", "kaiming"))

    def statistics():
        return {name: b.clone() for name, b in net.named_buffers() if "running" in name}

    start = statistics()
    net(batch()[0])
    moved = statistics()
    assert start and all(not torch.equal(moved[name], start[name]) for name in start)
    net.eval()
    net(batch()[0])
    assert all(torch.equal(value, moved[name]) for name, value in statistics().items())


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("pool", names("pool"))
def test_pool(model, pool):
    if (model in WITHOUT_POOLING and pool != "none") or (model == "lenet5" and pool == "none"):
        with pytest.raises(RequestError, match=f"model={model}.*pool"):
            network(model, pool=pool)
        return
    torch.manual_seed(0)
    net = network(model, pool=pool)
    initialize(net, build("init", "kaiming"))
    check(net)


@pytest.mark.parametrize("normalization", names("normalization"))
def test_normalization(normalization):
    x_NCHW = torch.randint(0, 256, (4, 1, 32, 32), dtype=torch.uint8)
    module = build("normalization", normalization)(mean_C=(0.5,), std_C=(0.25,))
    assert network("lenet5")(module(x_NCHW)).isfinite().all()


@pytest.mark.parametrize("model", MODELS)
def test_every_activation_is_a_module_of_its_own(model):
    net = network(model, activation="tanh")
    layers = [layer for _, layer in weight_layers(net)]
    activations = [m for m in net.modules() if isinstance(m, nn.Tanh)]
    # the output has none; whitened patches have one, and no weights to train
    whitened = len([m for m in net.modules() if isinstance(m, PatchWhitening)])
    assert len(activations) == len(set(activations)) == len(layers) - 1 + whitened


@pytest.mark.parametrize("model", MODELS)
def test_registration_follows_the_forward_pass(model):
    net = network(model)
    order = []
    for name, layer in weight_layers(net):
        layer.register_forward_hook(lambda *_, name=name: order.append(name))
    net(batch()[0])
    assert order == [name for name, _ in weight_layers(net)]


@pytest.mark.parametrize("activation", ["leaky_relu", "prelu"])
@pytest.mark.parametrize("model", MODELS)
def test_the_slope_reaches_the_initializer(model, activation):
    seen = []

    def note_slope(layer, negative_slope=0.0):
        seen.append(negative_slope)

    net = network(model, activation=activation)
    initialize(net, note_slope)
    slope = {"leaky_relu": 0.01, "prelu": 0.25}[activation]
    assert seen == [slope] * (len(seen) - 1) + [0.0]


@pytest.mark.parametrize("model", MODELS)
def test_it_builds_on_the_meta_device(model):
    with torch.device("meta"):
        net = network(model, norm_layer="batchnorm")
    assert all(p.is_meta for p in net.parameters())
    assert net(torch.empty(2, 1, 32, 32, device="meta")).shape == (2, 10)


@pytest.mark.parametrize("model", MODELS)
def test_the_default_sizes_are_those_of_the_design(model):
    content = node("model", model)
    depth = {
        "plain_cnn": 4, "locally_connected": 2, "mlp": 3, "vgg": 16, "resnet": 9, "lenet5": None,
        "whitened_cnn": 6,
    }[model]  # fmt: skip
    assert content["depth"] == depth
    assert content["model"].get("depth") == depth
    if depth is None:
        assert content["width"] is None and "width" not in content["model"]


WITH_BIAS_OPTION = [model for model in MODELS if "bias" in node("model", model)["model"]]


def test_every_model_of_plain_layers_has_the_option_of_no_biases():
    assert set(WITH_BIAS_OPTION) == set(MODELS) - {"whitened_cnn"}


@pytest.mark.parametrize("norm_layer", ["none", "batchnorm", "batchnorm_after_activation"])
@pytest.mark.parametrize("model", WITH_BIAS_OPTION)
def test_without_biases_only_norm_layers_shift(model, norm_layer):
    torch.manual_seed(0)
    net = network(model, norm_layer=norm_layer, bias=False)
    initialize(net, build("init", "mean_field"))
    check(net)
    kept = {id(p) for m in net.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()}
    assert all(p.dim() > 1 or id(p) in kept for p in net.parameters())
    if norm_layer == "none":
        assert not net(torch.zeros(2, 1, 32, 32)).any()
        x_NCHW, _ = batch()
        assert torch.allclose(net(3 * x_NCHW), 3 * net(x_NCHW), rtol=1e-4)  # ReLU is homogeneous
    with_biases = network(model, norm_layer=norm_layer, bias=True)
    assert {n for n, _ in with_biases.named_parameters()} > {n for n, _ in net.named_parameters()}


@pytest.mark.parametrize("model", WITH_BIAS_OPTION)
def test_weights_start_the_same_beside_biases_and_without(model):
    states = []
    for bias in (None, True, False):
        torch.manual_seed(0)
        net = network(model, bias=bias)
        initialize(net, build("init", "kaiming"))
        states.append(net.state_dict())
    assert list(states[0]) == list(states[1])
    assert all(torch.equal(states[0][name], tensor) for name, tensor in states[2].items())
    assert {name.rpartition(".")[2] for name in states[2]} == {"weight"}


@pytest.mark.parametrize("head", ["mean", "dense"])
@pytest.mark.parametrize("model", [m for m in MODELS if "head" in node("model", m)["model"]])
def test_heads(model, head):
    torch.manual_seed(0)
    net = network(model, head=head)
    initialize(net, build("init", "kaiming"))
    check(net)
    inputs = weight_layers(net)[-1][1].in_features
    maps = 16 if model == "plain_cnn" else 4
    assert inputs == (maps if head == "mean" else maps * (8 * 8 if model == "plain_cnn" else 5 * 5))
    default = network(model)
    same = {"plain_cnn": "mean", "locally_connected": "dense"}[model] == head
    shapes = [[(n, p.shape) for n, p in x.named_parameters()] for x in (net, default)]
    assert (shapes[0] == shapes[1]) is same


@pytest.mark.parametrize("norm_layer", ["none", "batchnorm"])
@pytest.mark.parametrize("model", MODELS)
def test_it_learns_a_batch_by_heart(model, norm_layer):
    torch.manual_seed(0)
    net = network(model, norm_layer=norm_layer, activation="relu")
    initialize(net, build("init", "kaiming"))
    x_NCHW, y_N = batch(n=8)
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    for _ in range(100):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x_NCHW), y_N)
        loss.backward()
        optimizer.step()
    assert loss < 0.1
