"""A measured step: the rows against slow twins, and the step left as it was."""

import copy
import math
import statistics
from functools import partial

import pytest
import torch
from torch import nn

from trainlab.models import MLP, VGG, LeNet5, LocallyConnected, PlainCNN, ResNet
from trainlab.nn.layers import LocallyConnected2d, weight_layers
from trainlab.signals import quantities as q
from trainlab.signals.catalogue import (
    LAYER_QUANTITIES,
    LOOP_QUANTITIES,
    NETWORK,
    NETWORK_QUANTITIES,
    QUANTILE_LEVELS,
)
from trainlab.signals.quantities import flat_tails
from trainlab.signals.recorder import Measurement, SignalRecorder
from trainlab.signals.tensor_sampling import as_NPF

cross_entropy = nn.functional.cross_entropy


def tiny() -> nn.Module:
    """Convolution → BatchNorm → tanh → dense → relu → dense, small enough to be looked at whole."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, bias=False), nn.BatchNorm2d(3), nn.Tanh(), nn.Flatten(),
        nn.Linear(48, 5), nn.ReLU(), nn.Linear(5, 4),
    ).double()  # fmt: skip


def batch(images: int = 8, channels: int = 1, size: int = 6, classes: int = 4):
    generator = torch.Generator().manual_seed(1)
    x_NCHW = torch.randn(images, channels, size, size, generator=generator, dtype=torch.float64)
    return x_NCHW, torch.randint(classes, (images,), generator=generator)


def measure(network, x_NCHW, y_N, optimizer=None, before_update=None, **options) -> Measurement:
    recorder = SignalRecorder(network)
    recorder.start()
    loss = cross_entropy(network(x_NCHW), y_N)
    loss.backward()
    if optimizer is not None:
        recorder.before_update(**options)
        if before_update:
            before_update()
        optimizer.step()
    return recorder.finish(loss)


def table(measured: Measurement) -> dict[tuple[str, str], float]:
    values = {(layer, quantity): value for layer, quantity, value in measured.rows}
    assert len(values) == len(measured.rows), "each quantity once"
    return values


def hooks(network: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in network.modules())


def test_every_row_of_a_tiny_network_against_its_slow_twin():
    network, (x_NCHW, y_N) = tiny(), batch()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.1)
    conv, norm, _, _, hidden, _, output = slow = copy.deepcopy(network)
    values = table(measure(network, x_NCHW, y_N, optimizer))

    z1 = norm(conv(x_NCHW))
    a1 = torch.tanh(z1)
    z2 = hidden(a1.flatten(1))
    a2 = torch.relu(z2)
    z3 = output(a2)
    loss = cross_entropy(z3, y_N)
    signals = {"0": (z1, a1, nn.Tanh()), "4": (z2, a2, nn.ReLU()), "6": (z3, None, None)}
    expected = {
        (NETWORK, "loss"): loss,
        (NETWORK, "majority_share"): q.majority_share(z3),
        (NETWORK, "input_mean"): x_NCHW.mean(),
        (NETWORK, "input_std"): x_NCHW.std(correction=0),
        (NETWORK, "input_correlation"): q.correlation(x_NCHW.flatten(2)),
        (NETWORK, "outputs_probabilities"): torch.zeros(()),
        (NETWORK, "outputs_negative"): (z3 < 0).float().mean(),
        (NETWORK, "outputs_zero"): torch.zeros(()),
        (NETWORK, "gradient_left_over"): torch.zeros(()),
        (NETWORK, "batchnorm_frozen"): torch.zeros(()),
    }
    for (name, (z, a, activation)), layer in zip(signals.items(), (conv, hidden, output), strict=True):
        for kind, x in (("preactivation", z), ("activation", a)):
            if x is None:
                continue
            (grad,) = torch.autograd.grad(loss, x, retain_graph=True)
            expected |= {
                (name, f"{kind}_mean"): x.mean(),
                (name, f"{kind}_std"): x.std(correction=0),
                (name, f"{kind}_grad_norm"): grad.norm(),
                (name, f"{kind}_grad_rms"): grad.square().mean().sqrt(),
            }
            ordered = sorted(x.flatten().tolist())
            expected |= {
                (name, f"{kind}_{level}"): ordered[round(at * (len(ordered) - 1))]
                for level, at in QUANTILE_LEVELS.items()
            }
        expected[name, "correlation"] = q.correlation(as_NPF(z, False))
        if activation is not None:
            tails = flat_tails(activation)
            assert a is not None and tails is not None
            expected[name, "dead"] = q.dead_fraction(as_NPF(a, False))
            expected[name, "saturated"] = q.saturated_fraction(z, tails)
        (grad,) = torch.autograd.grad(loss, layer.weight, retain_graph=True)
        after = network.get_submodule(name).weight
        expected |= {
            (name, "weight_norm"): layer.weight.norm(),
            (name, "unit_spread"): _spread_of_units(layer.weight),
            (name, "trainable"): torch.ones(()),
            (name, "weight_grad_norm"): grad.norm(),
            (name, "weight_grad_rms"): grad.square().mean().sqrt(),
            (name, "update_ratio"): (after - layer.weight).norm() / layer.weight.norm(),
        }
    expected[NETWORK, "noise_scale"] = _noise_image_by_image(slow, a2.detach(), y_N)
    assert values.keys() == expected.keys()
    for key, value in expected.items():
        assert values[key] == pytest.approx(float(torch.as_tensor(value).detach()), rel=1e-6), key


def _spread_of_units(weight: torch.Tensor) -> float:
    rows = weight.detach().flatten(1).tolist()
    mean = [statistics.fmean(column) for column in zip(*rows, strict=True)]
    off = sum((w - m) ** 2 for row in rows for w, m in zip(row, mean, strict=True))
    return math.sqrt(off / sum(w * w for row in rows for w in row))


def _noise_image_by_image(network, a_NF, y_N) -> float:
    output, gradients = network[-1], []
    for a_F, y in zip(a_NF, y_N, strict=True):
        grads = torch.autograd.grad(cross_entropy(output(a_F[None]), y[None]), list(output.parameters()))
        gradients.append(torch.cat([g.flatten() for g in grads]))
    g = torch.stack(gradients)
    trace = float(g.var(0, correction=1).sum())
    signal = float(g.mean(0).square().sum()) - trace / len(g)
    return trace / signal if signal > 0 else math.inf


def test_units_that_are_copies_of_one_another():
    """A depthwise layer has its channels as units, an unshared one those of a position; one has no copy."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3, groups=4), nn.ReLU(),
        LocallyConnected2d(4, 3, 2, in_size_HW=(2, 2)), nn.Flatten(),
        nn.Linear(3, 1), nn.Tanh(), nn.Linear(1, 4),
    ).double()  # fmt: skip
    for layer, units in ((network[0], 0), (network[4], 1)):
        weight = layer.get_parameter("weight")
        weight.data[:] = weight.data.mean(units, keepdim=True)
    values = table(measure(network, *batch()))
    spread = {name: values.get((name, "unit_spread")) for name, _ in weight_layers(network)}
    assert spread["0"] == pytest.approx(0, abs=1e-12) and spread["4"] == pytest.approx(0, abs=1e-12)
    assert spread["2"] == pytest.approx(_spread_of_units(network[2].get_parameter("weight")))
    assert spread["6"] is None and spread["8"] > 0.5


def test_gradient_norms_against_finite_differences():
    network, (x_NCHW, y_N) = tiny(), batch()
    values = table(measure(network, x_NCHW, y_N))
    hidden, step, squares = network[4], 1e-6, 0.0
    with torch.no_grad():
        for i in range(hidden.weight.numel()):
            losses = []
            for sign in (1, -1):
                hidden.weight.view(-1)[i] += sign * step
                losses.append(float(cross_entropy(network(x_NCHW), y_N)))
                hidden.weight.view(-1)[i] -= sign * step
            squares += ((losses[0] - losses[1]) / (2 * step)) ** 2
    assert values["4", "weight_grad_norm"] == pytest.approx(math.sqrt(squares), rel=1e-5)


MODELS = {
    "lenet5": (LeNet5, (1, 28, 28)), "plain_cnn": (partial(PlainCNN, depth=3, width=4), (1, 16, 16)),
    "mlp": (partial(MLP, width=16), (1, 8, 8)), "vgg": (partial(VGG, depth=11, width=2), (3, 72, 72)),
    "resnet": (partial(ResNet, depth=3, width=4), (3, 16, 16)),
    "locally_connected": (LocallyConnected, (1, 28, 28)),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_layers_are_the_weight_layers_in_forward_order(name):
    build, shape = MODELS[name]
    network = build(shape, 10)
    x_NCHW, y_N = torch.randn(4, *shape), torch.arange(4)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    values = table(measure(network, x_NCHW, y_N, optimizer))
    names = [layer for layer, _ in weight_layers(network)]
    assert list(dict.fromkeys(layer for layer, _ in values)) == [*names, NETWORK]
    for layer in names:
        without = (
            set() if layer != names[-1] else {n for n in LAYER_QUANTITIES if n.startswith("activation_")}
        )
        without |= {"dead", "saturated"} if layer == names[-1] else set()
        assert {n for at, n in values if at == layer} == set(LAYER_QUANTITIES) - without, layer
    of_network = {n for at, n in values if at == NETWORK}
    assert set(NETWORK_QUANTITIES) <= of_network <= set(NETWORK_QUANTITIES) | set(LOOP_QUANTITIES)
    assert hooks(network) == 0


def test_a_residual_sum_is_the_preactivation_of_the_branchs_last_layer():
    network = ResNet((1, 8, 8), 4, depth=3, width=4, activation=nn.Tanh)
    x_NCHW, y_N = torch.randn(4, 1, 8, 8), torch.arange(4)
    block, seen = network.stages[0][0], []
    handle = block.joined.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].detach()))
    values = table(measure(network, x_NCHW, y_N))
    handle.remove()
    assert values["stages.1.block1.second.conv", "preactivation_mean"] == pytest.approx(
        float(seen[0].double().mean()), abs=1e-6
    )


def test_a_step_is_the_same_to_the_bit_with_and_without_a_measurement():
    def steps(measured: bool) -> tuple[dict, torch.Tensor]:
        torch.manual_seed(3)
        network = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.RReLU(), nn.Dropout(0.3), nn.Flatten(), nn.Linear(64, 4)
        )
        optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
        recorder, (x_NCHW, y_N) = SignalRecorder(network), batch()
        for _ in range(4):
            if measured:
                recorder.start()
            loss = cross_entropy(network(x_NCHW.float()), y_N)
            optimizer.zero_grad()
            loss.backward()
            recorder.before_update()
            optimizer.step()
            assert bool(recorder.finish(loss).rows) == measured
        return network.state_dict(), torch.get_rng_state()

    (with_state, with_rng), (without_state, without_rng) = steps(True), steps(False)
    assert with_rng.equal(without_rng)
    assert all(with_state[key].equal(without_state[key]) for key in without_state)


def test_hooks_are_there_during_the_step_alone():
    network, (x_NCHW, y_N) = tiny(), batch()
    recorder = SignalRecorder(network)
    assert hooks(network) == 0
    recorder.start()
    assert hooks(network) > 0
    with torch.no_grad():
        network(x_NCHW)  # a look at the network without gradients is not the step
    loss = cross_entropy(network(x_NCHW), y_N)
    loss.backward()
    recorder.before_update()
    assert hooks(network) == 0
    assert recorder.finish(loss).rows and not recorder.finish(loss).rows
    recorder.start()
    recorder.cancel()
    assert hooks(network) == 0 and recorder.finish().rows == []


def test_clipping_in_place_comes_after_the_gradient_was_read():
    network, (x_NCHW, y_N) = tiny(), batch()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    clip = partial(nn.utils.clip_grad_norm_, network.parameters(), 1e-3)
    clipped = table(measure(copy.deepcopy(network), x_NCHW, y_N))
    values = table(measure(network, x_NCHW, y_N, optimizer, before_update=clip))
    assert values["0", "weight_grad_norm"] == clipped["0", "weight_grad_norm"]
    assert values["0", "update_ratio"] * values["0", "weight_norm"] <= 1.01e-4


def test_a_gradient_scaler_is_taken_out_of_the_activations_gradients():
    network, (x_NCHW, y_N) = tiny(), batch()
    plain = table(measure(copy.deepcopy(network), x_NCHW, y_N))
    recorder = SignalRecorder(network)
    recorder.start()
    loss = cross_entropy(network(x_NCHW), y_N)
    (1024 * loss).backward()
    for parameter in network.parameters():
        assert parameter.grad is not None
        parameter.grad /= 1024
    recorder.before_update(grad_scale=1024.0)
    scaled = table(recorder.finish(loss))
    for key, value in plain.items():
        assert scaled[key] == pytest.approx(value), key


class Own(nn.Module):
    """A user's activation, in a module of the name that blocks give it."""

    def forward(self, z):
        return torch.sin(z)


@pytest.mark.parametrize("make", [Own, partial(nn.ReLU, inplace=True), nn.PReLU, nn.GELU, nn.Identity])
def test_any_activation_is_seen(make):
    network = PlainCNN((1, 8, 8), 4, depth=2, width=4, activation=make)
    seen = []
    first = next(m for n, m in network.named_modules() if n.endswith("activation"))
    first.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].detach().clone()))
    first.register_forward_hook(lambda module, inputs, output: seen.append(output.detach().clone()))
    values = table(measure(network, torch.randn(4, 1, 8, 8), torch.arange(4)))
    (name, _), *_ = weight_layers(network)
    assert values[name, "preactivation_mean"] == pytest.approx(float(seen[0].double().mean()), abs=1e-6)
    assert values[name, "activation_mean"] == pytest.approx(float(seen[1].double().mean()), abs=1e-6)


class Functional(nn.Module):
    """Activations that are no modules, one activation module for two layers, a layer that runs twice."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.third = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 4)
        self.shared = nn.Tanh()

    def forward(self, x):
        x = torch.relu(self.first(x))
        x = self.shared(self.second(x))
        return self.third(self.shared(self.second(x)))


def test_networks_of_other_kinds():
    values = table(measure(Functional(), torch.randn(5, 6), torch.arange(4).repeat(2)[:5]))
    assert ("first", "preactivation_std") in values and ("first", "activation_std") not in values
    assert ("second", "activation_std") in values
    single = table(measure(nn.Linear(6, 4), torch.randn(5, 6), torch.arange(5) % 4))
    assert ("network", "weight_norm") in single and ("network", "noise_scale") in single


def test_a_frozen_layer_has_no_gradient_and_does_not_move():
    network, (x_NCHW, y_N) = tiny(), batch()
    network[0].requires_grad_(False)
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    values = table(measure(network, x_NCHW, y_N, optimizer))
    assert ("0", "weight_grad_norm") not in values and ("0", "weight_grad_rms") not in values
    assert values["0", "update_ratio"] == 0 and values["0", "weight_norm"] > 0
    assert math.isfinite(values["0", "preactivation_grad_norm"]), "its BatchNorm still learns"


def test_a_zero_initialized_residual_branch_is_by_design():
    """The branch ends in zeros: the block is the identity, its signal and gradients are those of the sum."""
    network = ResNet((1, 8, 8), 4, depth=3, width=4).double()
    for stage in network.stages:
        nn.init.zeros_(stage[0].second.conv.weight)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    x_NCHW, y_N = batch(size=8)
    values = table(measure(network, x_NCHW, y_N, optimizer))
    name = "stages.1.block1.second.conv"
    assert values[name, "weight_norm"] == 0 and values[name, "update_ratio"] == math.inf
    assert values[name, "weight_grad_norm"] > 0 and values[name, "preactivation_std"] > 0
    inner = "stages.1.block1.first.conv"
    assert values[inner, "weight_grad_norm"] == 0 and values[inner, "update_ratio"] == 0
    assert values[inner, "preactivation_std"] > 0 and 0 < values[inner, "correlation"] < 1


def test_constant_input_and_one_class():
    network, (x_NCHW, y_N) = tiny(), batch()
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    for module in (network[0], network[4]):
        nn.init.normal_(module.weight)
    same_NCHW, one_N = x_NCHW[:1].expand_as(x_NCHW), torch.zeros_like(y_N)
    values = table(measure(network, same_NCHW, one_N, optimizer))
    assert values["4", "correlation"] == pytest.approx(1) and values["4", "dead"] == 1
    assert values[NETWORK, "majority_share"] == 1 and values[NETWORK, "noise_scale"] == pytest.approx(0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_is_recorded(bad):
    network, (x_NCHW, y_N) = tiny(), batch()
    x_NCHW[0, 0, 0, 0] = bad
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    values = table(measure(network, x_NCHW, y_N, optimizer))
    for quantity in ("preactivation_std", "preactivation_q50", "dead", "saturated", "correlation"):
        assert math.isnan(values["0", quantity]), quantity
    assert math.isfinite(values["0", "weight_norm"])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_precisions(dtype):
    network = PlainCNN((1, 8, 8), 4, depth=2, width=4, activation=nn.Tanh).to(dtype)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    values = table(measure(network, torch.randn(4, 1, 8, 8).to(dtype), torch.arange(4), optimizer))
    assert all(math.isfinite(v) for (_, quantity), v in values.items() if quantity != "noise_scale")


def test_autocast():
    network, (x_NCHW, y_N) = tiny().float(), batch()
    recorder = SignalRecorder(network)
    recorder.start()
    with torch.autocast("cpu", torch.bfloat16):
        loss = cross_entropy(network(x_NCHW.float()), y_N)
    loss.backward()
    lower = table(recorder.finish(loss))
    full = table(measure(tiny().float(), x_NCHW.float(), y_N))
    assert lower.keys() == full.keys()
    assert lower["0", "preactivation_std"] == pytest.approx(full["0", "preactivation_std"], rel=0.02)
    gradient = full["4", "preactivation_grad_norm"]
    assert lower["4", "preactivation_grad_norm"] == pytest.approx(gradient, rel=0.1)


def test_vanishing_gradients_are_told_from_none():
    """24 sigmoid layers: the square of the first layer's gradient is no float32 any more."""
    torch.manual_seed(0)
    layers = [part for _ in range(24) for part in (nn.Linear(8, 8), nn.Sigmoid())]
    for linear in layers[::2]:
        nn.init.normal_(linear.get_parameter("weight"), std=0.1)
    network = nn.Sequential(*layers, nn.Linear(8, 4))
    values = table(measure(network, torch.randn(16, 8), torch.arange(16) % 4))
    assert 0 < values["0", "preactivation_grad_rms"] < 1e-25
    assert 0 < values["0", "weight_grad_norm"] < 1e-25
