"""A stack as a whole: its states and subsets, neighbours, users' modules, and what is refused."""

import copy

import pytest
import torch
from stacks import RUNS, assert_equals_singles, batch, networks
from torch import nn
from torch.nn import functional as F

from trainlab.errors import RequestError
from trainlab.models import PlainCNN
from trainlab.stacked import stack_networks
from trainlab.stacked.leaf import StackedLeaf
from trainlab.stacked.network import Order
from trainlab.stacked.run_loop import LoopOverRuns

ORDERS = ("by_layer", "by_run")


def stacked(singles, order: Order = "by_layer"):
    stack = stack_networks(singles)
    stack.order = order
    return stack


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("model", ["plain_cnn", "resnet", "vgg", "mlp", "locally_connected", "lenet5"])
def test_torch_s_own_way_of_stacking_gives_the_same(model, order):
    """`torch.func.stack_module_state` and vmap: the reference, where no layer keeps statistics."""
    singles = networks(model, activation="tanh")
    x_BNCHW = batch()
    parameters, buffers = torch.func.stack_module_state(singles)

    def call(parameters, buffers, x_NCHW):
        return torch.func.functional_call(singles[0], (parameters, buffers), (x_NCHW,))

    expected_BNK = torch.vmap(call)(parameters, buffers, x_BNCHW)
    torch.testing.assert_close(stacked(singles, order)(x_BNCHW), expected_BNK, rtol=0, atol=1e-9)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("model", "norm_layer"),
    [
        ("lenet5", "none"),
        pytest.param("resnet", "batchnorm", marks=pytest.mark.slow),
        pytest.param("vgg", "groupnorm", marks=pytest.mark.slow),
    ],
)
def test_twenty_steps_with_rates_of_each_run_are_those_of_the_runs_alone(model, norm_layer, order):
    singles = networks(model, norm_layer=norm_layer)
    stack = stacked(singles, order)
    rates_B = torch.tensor([0.02, 0.1, 0.3], dtype=torch.float64)
    for step in range(20):
        generator = torch.Generator().manual_seed(step)
        x_BNCHW = torch.randn(RUNS, 4, 1, 32, 32, generator=generator, dtype=torch.float64)
        y_BN = torch.randint(0, 10, (RUNS, 4), generator=generator)
        losses_B = F.cross_entropy(stack(x_BNCHW).flatten(0, 1), y_BN.flatten(), reduction="none")
        losses_B = losses_B.view(RUNS, -1).mean(1)
        gradients = torch.autograd.grad(losses_B.sum(), list(stack.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(stack.parameters(), gradients, strict=True):
                parameter -= rates_B.view(-1, *[1] * (parameter.dim() - 1)) * gradient
        for run, single in enumerate(singles):
            loss = F.cross_entropy(single(x_BNCHW[run]), y_BN[run])
            torch.testing.assert_close(losses_B[run], loss, rtol=0, atol=1e-9)
            single.zero_grad()
            loss.backward()
            torch.optim.SGD(single.parameters(), lr=rates_B[run].item()).step()
    assert_equals_singles(stack, singles, batch(), training=False)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("model", "norm_layer"),
    [
        ("plain_cnn", "batchnorm"),
        ("resnet", "layernorm"),
        ("mlp", "none"),
        ("locally_connected", "groupnorm"),
    ],
)
def test_place_and_a_diverged_neighbour_change_nothing(model, norm_layer, order):
    healthy, *others = networks(model, norm_layer=norm_layer, activation="prelu")
    broken = copy.deepcopy(others[0])
    for parameter in broken.parameters():
        nn.init.constant_(parameter, float("nan"))
    infinite = copy.deepcopy(others[1])
    for parameter in infinite.parameters():
        nn.init.constant_(parameter, float("inf"))
    x_NCHW = batch(1)[0]
    for others, place in (([broken, infinite], 0), ([broken, infinite], 1), ([infinite, broken], 2)):
        singles = [copy.deepcopy(single) for single in others]
        singles.insert(place, copy.deepcopy(healthy))
        stack = stacked(singles, order)
        x_BNCHW = torch.stack([x_NCHW if run == place else x_NCHW * float("nan") for run in range(RUNS)])
        y_BNK = stack(x_BNCHW)
        y_BNK.square().sum().backward()
        single = copy.deepcopy(healthy)
        single(x_NCHW).square().sum().backward()
        for name, parameter in single.named_parameters():
            gradient = stack.get_parameter(name).grad
            assert gradient is not None
            torch.testing.assert_close(gradient[place], parameter.grad, rtol=1e-9, atol=1e-9)
        assert y_BNK[[run for run in range(RUNS) if run != place]].isnan().all()
        for name, tensor in stack.state_of_run(place).items():
            torch.testing.assert_close(tensor, single.state_dict()[name], rtol=1e-9, atol=1e-9)


def test_a_run_s_state_is_a_single_network_s_and_loads():
    singles = networks("resnet", norm_layer="batchnorm")
    stack = stack_networks(singles)
    stack(batch())
    single = networks("resnet", norm_layer="batchnorm", runs=1)[0]
    single.load_state_dict(stack.state_of_run(1))
    stack.load_state_of_run(2, single.state_dict())
    for name, tensor in stack.state_of_run(2).items():
        assert torch.equal(tensor, stack.state_of_run(1)[name])
        assert tensor.dtype == single.state_dict()[name].dtype
    before = stack.state_of_run(0)
    stack.state_of_run(0)["head.linear.bias"].zero_()
    assert all(torch.equal(stack.state_of_run(0)[name], tensor) for name, tensor in before.items())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.pop("head.linear.bias"), "head.linear.bias is missing"),
        (lambda s: s.update(more=torch.ones(1)), "more is in the state and not in the network"),
        (
            lambda s: s.update({"head.linear.bias": torch.ones(1)}),
            r"head.linear.bias has shape \(1,\), expected \(10,\)",
        ),
    ],
)
def test_the_state_of_another_network_is_refused(change, said):
    stack = stack_networks(networks("plain_cnn"))
    state = stack.state_of_run(0)
    change(state)
    with pytest.raises(RequestError, match=f"state of run 1: {said}"):
        stack.load_state_of_run(1, state)


@pytest.mark.parametrize("model", ["plain_cnn", "vgg"])
def test_a_subset_goes_on_as_its_runs_alone(model):
    shape = (1, 65, 65) if model == "vgg" else (1, 32, 32)
    singles = networks(
        model, norm_layer="batchnorm", in_shape_CHW=(1, 65, 65) if model == "vgg" else (1, 32, 32)
    )
    stack = stack_networks(singles)
    shape = (1, 65, 65) if model == "vgg" else (1, 32, 32)
    stack.seed_dropout([5, 6, 7])
    stack(batch(shape=shape))
    torch.manual_seed(7)
    singles[2](batch(shape=shape)[2])
    subset = stack.subset([2, 0])
    assert subset.runs == 2 and all(m.runs == 2 for m in subset.modules() if isinstance(m, StackedLeaf))
    # dropout goes on where run 2 was
    torch.testing.assert_close(
        subset(batch(shape=shape)[[2, 0]])[0], singles[2](batch(shape=shape)[2]), rtol=0, atol=1e-9
    )
    before = stack.state_of_run(2)
    with torch.no_grad():
        for parameter in subset.parameters():
            parameter.zero_()
    assert all(torch.equal(stack.state_of_run(2)[name], tensor) for name, tensor in before.items())
    for runs in ([], [3], [-1]):
        with pytest.raises(RequestError, match=r"expected some of 0\.\.2"):
            stack.subset(runs)


class OwnCount(nn.Module):
    """A user's own layer with a parameter, a buffer written in place, one put anew, and an attribute."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor
        self.scale = nn.Parameter(torch.rand(3))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self.register_buffer("mean", torch.zeros(3))

    def forward(self, x_NF):
        if self.training:
            self.seen.add_(1)
            self.mean = 0.9 * self.mean + 0.1 * x_NF.detach().mean(0)
        return torch.cos(self.factor * self.scale * x_NF) - self.mean


class OwnBlock(nn.Module):
    """A user's own composite: it mixes the images of its batch, and names no dimension from the right."""

    def __init__(self, factor):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 3), OwnCount(factor))
        self.frozen = nn.BatchNorm1d(3)

    def train(self, mode=True):
        super().train(mode)
        self.frozen.eval()
        return self

    def forward(self, x_NF):
        return self.net(self.frozen(x_NF)) - x_NF[:1].mean(0)


class OwnSine(nn.Module):
    def forward(self, x):
        return torch.sin(x) + x.mean(0)  # mixes images


class OwnReLU(nn.ReLU):
    """A known layer's subclass with another forward: not the known layer."""

    def forward(self, input):
        return input.flip(0)


class OwnPlainCNN(PlainCNN):
    def forward(self, x_NCHW):
        return self.head(self.stages(x_NCHW[:, :, :8]))


@pytest.mark.parametrize("training", [True, False])
def test_a_user_s_own_modules_are_called_for_each_run(training):
    singles = []
    for seed in range(RUNS):
        torch.manual_seed(seed)
        own = nn.Sequential(nn.Linear(5, 3), OwnBlock(seed + 1.0), OwnSine(), OwnReLU(), nn.Linear(3, 2))
        singles.append(own.double())
    stack = stack_networks(singles)
    kinds = [type(module) for module in stack.children()]
    assert kinds[1:4] == [LoopOverRuns] * 3 and stack.has_looped_modules
    for _ in range(2):
        assert_equals_singles(stack, singles, batch(shape=(5,)), training=training)
        for single, x_NF in zip(singles, batch(shape=(5,)), strict=True):
            single.train(training)(x_NF)
    subset = stack.subset([1]).train(training)
    torch.testing.assert_close(subset(batch(shape=(5,))[[1]])[0], singles[1](batch(shape=(5,))[1]))
    stack.load_state_of_run(0, stack.state_of_run(1))


def test_a_whole_network_of_a_user_is_looped():
    singles = []
    for seed in range(RUNS):
        torch.manual_seed(seed)
        singles.append(OwnPlainCNN((1, 32, 32), 10, width=4).double())
    stack = stack_networks(singles)
    assert_equals_singles(stack, singles, batch())
    torch.testing.assert_close(stack.subset([2])(batch()[[2]])[0], singles[2](batch()[2]))


def test_what_occurs_twice_is_shared_in_the_stack_too():
    singles = []
    for seed in range(RUNS):
        torch.manual_seed(seed)
        twice = nn.Linear(4, 4)
        tied = nn.Linear(4, 4)
        tied.weight = twice.weight
        singles.append(nn.Sequential(twice, nn.Tanh(), twice, tied).double())
    for order in ORDERS:
        stack = stacked(singles, order)
        assert [n for n, _ in stack.named_parameters()] == ["0.weight", "0.bias", "3.bias"]
        assert_equals_singles(stack, singles, batch(shape=(4,)))


def test_frozen_parameters_stay_frozen():
    singles = networks("mlp")
    for single in singles:
        single.get_parameter("output.weight").requires_grad_(False)
    stack = stack_networks(singles)
    assert not stack.get_parameter("output.weight").requires_grad
    assert not stack.subset([0]).get_parameter("output.weight").requires_grad


def test_a_hook_on_a_layer_sees_all_runs():
    singles = networks("plain_cnn", activation="tanh")
    stack = stack_networks(singles)
    seen = []
    leaf = stack.get_submodule("stages.1.conv1.activation")
    assert isinstance(leaf, StackedLeaf) and leaf.kind is nn.Tanh and type(leaf.single) is nn.Tanh
    handle = leaf.register_forward_hook(lambda module, inputs, output: seen.append(output))
    y_BNK = stack(batch())
    handle.remove()
    assert seen[0].shape == (RUNS, 4, 4, 32, 32)
    torch.testing.assert_close(stack(batch()), y_BNK, rtol=0, atol=1e-12)
    assert len(seen) == 1


def test_hooks_that_a_single_network_brings_are_called_for_each_run():
    singles = networks("plain_cnn")
    for single in singles:
        layer = single.get_submodule("head.linear")
        layer.register_forward_hook(lambda module, inputs, output: 2 * output)
    assert_equals_singles(stack_networks(singles), singles, batch())


def changed(**options):
    return networks("plain_cnn", runs=1, **{"width": 4, **options})[0]


UNLIKE = [
    (changed(width=8), r"stages.1.conv1.conv.weight is 4×1×3×3 in run 0, 8×1×3×3 in run 2"),
    (changed(depth=5), r"stages.2.conv2.conv.weight is missing in run 0, 8×8×3×3 in run 2"),
    (changed().float(), r"weight is float64 on cpu, trained in run 0, float32 on cpu, trained in run 2"),
    (changed(activation="tanh"), r"stages.1.conv1.activation is ReLU\(\) in run 0, Tanh\(\) in run 2"),
    (changed(pool="avg"), r"stages.1.pool is MaxPool2d\(.*\) in run 0, AvgPool2d\(.*\) in run 2"),
    (changed(padding="circular"), r"conv is Conv2d\(.*\) in run 0, Conv2d\(.*circular\) in run 2"),
    (changed().eval(), "the mode of the network is training in run 0, evaluation in run 2"),
]


@pytest.mark.parametrize(("other", "said"), UNLIKE)
def test_unlike_networks_are_refused_in_one_line(other, said):
    with pytest.raises(RequestError, match=f"^a stack of unlike networks: .*{said}$") as refused:
        stack_networks([changed(), changed(), other])
    assert "\n" not in str(refused.value)


def test_no_networks_are_refused():
    with pytest.raises(RequestError, match="got none"):
        stack_networks([])
