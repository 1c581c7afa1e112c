"""A measured step of a stack: each run has the rows that it has alone."""

import copy
import math
from collections import Counter
from collections.abc import Sequence
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from trainlab.models import MLP, VGG, LeNet5, LocallyConnected, PlainCNN, ResNet
from trainlab.nn.norm_layers import NormLayer, group_norm, layer_norm
from trainlab.signals.catalogue import NETWORK
from trainlab.signals.recorder import Measurement, SignalRecorder
from trainlab.signals.stacked_recorder import StackedRecorder
from trainlab.stacked.network import stack_networks

RUNS, IMAGES, CLASSES = 3, 20, 5
cross_entropy = nn.functional.cross_entropy

MODELS = {
    "lenet5": (LeNet5, (1, 28, 28)), "plain_cnn": (partial(PlainCNN, depth=3, width=4), (3, 16, 16)),
    "mlp": (partial(MLP, width=48), (1, 8, 8)), "vgg": (partial(VGG, depth=11, width=2), (3, 32, 32)),
    "resnet": (partial(ResNet, depth=3, width=4), (3, 16, 16)),
    "locally_connected": (LocallyConnected, (1, 20, 20)),
}  # fmt: skip
ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "prelu": nn.PReLU, "elu": nn.ELU, "sigmoid": nn.Sigmoid}
NORMS = {
    "none": NormLayer(), "batchnorm": NormLayer(layer=nn.BatchNorm2d),
    "layernorm": NormLayer(layer=layer_norm),
    "batchnorm_after_activation": NormLayer("after_activation", nn.BatchNorm2d),
    "groupnorm": NormLayer(layer=group_norm),
}  # fmt: skip
QUICK = {("relu", "none"), ("tanh", "batchnorm"), ("prelu", "batchnorm_after_activation")}


def networks(
    model: str, activation: str = "relu", norm: str = "none", runs: int = RUNS
) -> Sequence[nn.Module]:
    build, shape = MODELS[model]
    made = []
    for run in range(runs):
        torch.manual_seed(run)
        network = build(shape, CLASSES, activation=ACTIVATIONS[activation], norm_layer=NORMS[norm]).double()
        for module in network.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        made.append(network)
    return made


def batches(shape_CHW: tuple[int, ...], runs: int = RUNS) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x_BNCHW = torch.randn(runs, IMAGES, *shape_CHW, generator=generator, dtype=torch.float64)
    return x_BNCHW, torch.randint(CLASSES, (runs, IMAGES), generator=generator)


class Alone:
    """Runs one by one, each measured by a SignalRecorder."""

    def __init__(self, singles: Sequence[nn.Module]) -> None:
        self.singles = singles
        self.recorders = [SignalRecorder(single) for single in singles]

    def step(self, x_BNCHW: Tensor, y_BN: Tensor, losses=(cross_entropy,) * RUNS, scale=1.0):
        measured = []
        for single, recorder, x, y, loss_of in zip(
            self.singles, self.recorders, x_BNCHW, y_BN, losses, strict=False
        ):
            recorder.start()
            loss = loss_of(single(x), y)
            (scale * loss).backward()
            unscale(single, scale)
            recorder.before_update(grad_scale=scale)
            descend(single)
            measured.append(recorder.finish(loss))
        return measured


class Stacked:
    """The same runs in a stack."""

    def __init__(self, singles: Sequence[nn.Module]) -> None:
        self.network, self.runs = stack_networks(singles), len(singles)
        self.recorder = StackedRecorder(self.network, self.runs)

    def step(self, x_BNCHW: Tensor, y_BN: Tensor, losses=(cross_entropy,) * RUNS, scale=1.0):
        self.recorder.start()
        logits_BNK = self.network(x_BNCHW)
        each = zip(losses, logits_BNK, y_BN, strict=False)
        loss_B = torch.stack([loss_of(logits_NK, y_N) for loss_of, logits_NK, y_N in each])
        (scale * loss_B.sum()).backward()
        unscale(self.network, scale)
        self.recorder.before_update(grad_scale=scale)
        descend(self.network)
        return self.recorder.finish(loss_B)


def unscale(network: nn.Module, scale: float) -> None:
    for parameter in network.parameters():
        if parameter.grad is not None:
            parameter.grad /= scale


@torch.no_grad()
def descend(network: nn.Module) -> None:
    for parameter in network.parameters():
        if parameter.grad is not None:
            parameter -= 0.05 * parameter.grad
            parameter.grad = None


def assert_same_rows(stacked: list[Measurement], alone: list[Measurement]) -> None:
    assert len(stacked) == len(alone)
    for one, other in zip(stacked, alone, strict=True):
        assert [row[:2] for row in one.rows] == [row[:2] for row in other.rows], "names and order"
        for (layer, quantity, value), (_, _, expected) in zip(one.rows, other.rows, strict=True):
            # images are compared and classified in float32
            rel = 1e-5 if quantity.startswith(("neighbours", "probe")) else 1e-9
            assert value == pytest.approx(expected, rel=rel, abs=1e-12, nan_ok=True), (layer, quantity)
        assert one.preactivations.keys() == other.preactivations.keys()
        for layer, z_NPF in other.preactivations.items():
            torch.testing.assert_close(
                one.preactivations[layer], z_NPF, rtol=1e-9, atol=1e-12, equal_nan=True
            )


def values(measured: Measurement) -> dict[tuple[str, str], float]:
    return {(layer, quantity): value for layer, quantity, value in measured.rows}


def catalogue():
    for model in MODELS:
        for activation in ACTIVATIONS:
            for norm in NORMS:
                marks = () if (activation, norm) in QUICK else pytest.mark.slow
                yield pytest.param(model, activation, norm, marks=marks)


@pytest.mark.parametrize(("model", "activation", "norm"), list(catalogue()))
def test_each_run_has_the_rows_that_it_has_alone(model, activation, norm):
    """At the first step and after an update."""
    singles = networks(model, activation, norm)
    stack, alone = Stacked(singles), Alone(singles)
    x_BNCHW, y_BN = batches(MODELS[model][1])
    assert not stack.recorder.unsupported
    for _ in range(2):
        assert_same_rows(stack.step(x_BNCHW, y_BN), alone.step(x_BNCHW, y_BN))


@pytest.mark.parametrize("norm", ["none", "batchnorm"])
def test_a_neighbour_that_diverged_changes_no_other_row(norm):
    singles = networks("plain_cnn", "tanh", norm)
    for parameter in singles[1].parameters():
        nn.init.constant_(parameter, math.nan)
    stack, alone = Stacked(singles), Alone(singles)
    x_BNCHW, y_BN = batches((3, 16, 16))
    x_BNCHW[1, 0, 0, 0, 0] = math.inf
    stacked, expected = stack.step(x_BNCHW, y_BN), alone.step(x_BNCHW, y_BN)
    assert_same_rows(stacked, expected)
    assert math.isnan(values(stacked[1])[NETWORK, "loss"])
    assert (NETWORK, "neighbours") in values(stacked[0])
    assert not {(NETWORK, "neighbours"), (NETWORK, "probe_accuracy")} & values(stacked[1]).keys()


def test_a_stack_of_one_and_another_place_in_the_stack():
    singles = networks("lenet5", "tanh")
    x_BNCHW, y_BN = batches((1, 28, 28))
    expected = Alone(copy.deepcopy(singles)).step(x_BNCHW, y_BN)
    assert_same_rows(Stacked(singles[:1]).step(x_BNCHW[:1], y_BN[:1]), expected[:1])
    turned = Stacked(singles[::-1]).step(x_BNCHW.flip(0), y_BN.flip(0))
    assert_same_rows(turned[::-1], expected)


def test_a_loss_of_another_kind_has_no_probe_of_its_labels():
    def squares(logits_NK: Tensor, y_N: Tensor) -> Tensor:
        return nn.functional.mse_loss(logits_NK, nn.functional.one_hot(y_N, CLASSES).to(logits_NK))

    singles = networks("mlp")
    x_BNCHW, y_BN = batches((1, 8, 8))
    losses = (cross_entropy, squares, cross_entropy)
    stacked = Stacked(singles).step(x_BNCHW, y_BN, losses)
    assert_same_rows(stacked, Alone(singles).step(x_BNCHW, y_BN, losses))
    assert [(NETWORK, "probe_accuracy") in values(one) for one in stacked] == [True, False, True]


def test_a_gradient_scaler_is_taken_out_of_the_activations_gradients():
    singles = networks("plain_cnn")
    x_BNCHW, y_BN = batches((3, 16, 16))
    scaled = Stacked(singles).step(x_BNCHW, y_BN, scale=1024.0)
    assert_same_rows(scaled, Alone(singles).step(x_BNCHW, y_BN, scale=1024.0))


def test_frozen_layers_and_frozen_batchnorm():
    singles = networks("plain_cnn", "relu", "batchnorm")
    for single in singles:
        first = next(module for module in single.modules() if isinstance(module, nn.Conv2d))
        first.requires_grad_(False)
        next(module for module in single.modules() if isinstance(module, nn.BatchNorm2d)).eval()
    still = next(module for module in singles[2].modules() if isinstance(module, nn.BatchNorm2d))
    still.get_buffer("running_mean").add_(1)
    x_BNCHW, y_BN = batches((3, 16, 16))
    stacked = Stacked(singles).step(x_BNCHW, y_BN)
    assert_same_rows(stacked, Alone(singles).step(x_BNCHW, y_BN))
    frozen = [values(one)[NETWORK, "batchnorm_frozen"] for one in stacked]
    assert frozen == pytest.approx([1 / 3, 1 / 3, 0])
    assert [value for _, quantity, value in stacked[0].rows if quantity == "trainable"] == [0, 1, 1, 1]


def test_the_tails_of_a_learned_slope_are_each_runs_own_and_stay_when_the_stack_is_repacked():
    singles = networks("mlp", "prelu")
    for single, slope in zip(singles, (0.25, 1e-4, 0.25), strict=True):
        for module in single.modules():
            if isinstance(module, nn.PReLU):
                nn.init.constant_(module.weight, slope)
    stack, alone = Stacked(singles), Alone(singles)
    x_BNCHW, y_BN = batches((1, 8, 8))
    stacked = stack.step(x_BNCHW, y_BN)
    assert_same_rows(stacked, alone.step(x_BNCHW, y_BN))
    saturated = [[v for _, quantity, v in one.rows if quantity == "saturated"] for one in stacked]
    assert not any(saturated[0]) and any(saturated[1])

    kept = [1, 2]
    for single in singles:
        for module in single.modules():
            if isinstance(module, nn.PReLU):
                nn.init.constant_(module.weight, 0.25)
    alone.singles, alone.recorders = singles[1:], alone.recorders[1:]
    repacked = Stacked(singles[1:])
    repacked.recorder = stack.recorder.subset(repacked.network, kept)
    assert_same_rows(repacked.step(x_BNCHW[kept], y_BN[kept]), alone.step(x_BNCHW[kept], y_BN[kept]))


class Count(TorchDispatchMode):
    """Counts the operations that reach the device."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.operations[str(func)] += 1
        return func(*args, **(kwargs or {}))


def test_the_number_of_operations_does_not_grow_with_the_runs_and_no_value_is_read_on_the_way():
    counted = []
    for runs in (2, 5):
        stack = Stacked(networks("plain_cnn", "tanh", "batchnorm", runs))
        x_BNCHW, y_BN = batches((3, 16, 16), runs)
        stack.step(x_BNCHW, y_BN, (cross_entropy,) * runs)  # reads the activations' tails, once
        stack.recorder.start()
        logits_BNK = stack.network(x_BNCHW)
        cross_entropy(logits_BNK.flatten(0, 1), y_BN.flatten()).mul(runs).backward()
        with Count() as count:
            stack.recorder.before_update()
            stack.recorder.finish(torch.zeros(runs))
        counted.append(count.operations)
    assert counted[0] == counted[1] and counted[0].total() > 100
    assert not counted[0]["aten._local_scalar_dense.default"]


def test_a_step_is_the_same_to_the_bit_with_and_without_a_measurement():
    def trained(measured: bool) -> dict[str, Tensor]:
        stack = Stacked(networks("lenet5", "tanh", "batchnorm"))
        stack.network.order = "by_layer"  # as on a GPU; on a CPU only measured steps are computed so
        x_BNCHW, y_BN = batches((1, 28, 28))
        for _ in range(3):
            if not measured:
                stack.recorder.start = lambda: None  # type: ignore[method-assign]
            assert any(one.rows for one in stack.step(x_BNCHW, y_BN)) == measured
        return stack.network.state_dict()

    without, state = trained(False), torch.get_rng_state()
    with_signals = trained(True)
    assert all(with_signals[name].equal(tensor) for name, tensor in without.items())
    assert torch.get_rng_state().equal(state)


def test_between_steps_the_network_carries_no_hooks_and_what_was_not_run_has_no_rows():
    stack = Stacked(networks("mlp"))
    stack.recorder.start()
    assert [one.rows for one in stack.recorder.finish()] == [[]] * RUNS
    stack.recorder.start()
    stack.recorder.cancel()
    modules = list(stack.network.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in modules)
    assert not torch.nn.modules.module._global_forward_hooks
    assert [one.rows for one in stack.recorder.finish()] == [[]] * RUNS


class Swish(nn.Module):
    """A user's own activation, with a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.steepness = nn.Parameter(torch.rand(()) + 1)

    def forward(self, z: Tensor) -> Tensor:
        return z * torch.sigmoid(self.steepness * z)


def test_a_users_own_activation_is_measured():
    made = []
    for seed in range(RUNS):
        torch.manual_seed(seed)
        made.append(PlainCNN((3, 8, 8), CLASSES, depth=2, width=4, activation=Swish).double())
    x_BNCHW, y_BN = batches((3, 8, 8))
    stack = Stacked(made)
    assert not stack.recorder.unsupported
    assert_same_rows(stack.step(x_BNCHW, y_BN), Alone(made).step(x_BNCHW, y_BN))


class Scaled(nn.Module):
    """A user's own weight layer."""

    def __init__(self, features: int, units: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(units, features))

    def forward(self, x_NF: Tensor) -> Tensor:
        return x_NF @ self.weight.T / 3


def test_a_users_own_weight_layer_is_measured():
    made = [nn.Sequential(Scaled(4, 6), nn.Tanh(), Scaled(6, CLASSES)).double() for _ in range(RUNS)]
    x_BNF, y_BN = torch.randn(RUNS, 6, 4).double(), torch.arange(6).expand(RUNS, 6) % CLASSES
    stack = Stacked(made)
    measured = stack.step(x_BNF, y_BN)
    assert not stack.recorder.unsupported
    assert_same_rows(measured, Alone(made).step(x_BNF, y_BN))
    assert {("0", "unit_spread"), ("0", "saturated")} <= values(measured[0]).keys()


class Twice(nn.Module):
    """A user's own block, whose forward is its own."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.activation = nn.Linear(6, 6), nn.Tanh()

    def forward(self, x_NF: Tensor) -> Tensor:
        return self.activation(self.linear(self.activation(self.linear(x_NF))))


def test_layers_inside_a_users_own_block_are_named_as_unsupported():
    made = [nn.Sequential(nn.Linear(4, 6), Twice(), nn.Linear(6, CLASSES)).double() for _ in range(2)]
    stack = Stacked(made)
    assert stack.recorder.unsupported == ["1.linear", "1.activation"]
    x_BNF, y_BN = torch.randn(2, 6, 4).double(), torch.arange(6).expand(2, 6) % CLASSES
    measured = stack.step(x_BNF, y_BN, (cross_entropy,) * 2)
    alone = Alone(made).step(x_BNF, y_BN)
    assert not any(quantity == "unregistered_layers" for _, quantity, _ in measured[0].rows)
    for one, other in zip(measured, alone, strict=True):
        assert values(one) == pytest.approx({k: v for k, v in values(other).items() if k in values(one)})
