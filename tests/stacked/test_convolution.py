"""Every implementation of a convolution gives the numbers of the single layer; the fastest is chosen."""

from typing import Any

import pytest
import torch
from stacks import LAYOUTS, RUNS, assert_equals_singles, batch, in_memory_as, networks
from torch import nn

from trainlab.stacked import stack_networks, tune
from trainlab.stacked.convolution import IMPLEMENTATIONS, StackedConv2d
from trainlab.stacked.tuning import choose_convolution

GEOMETRIES = {
    "plain": {},
    "without bias": {"bias": False},
    "padded": {"padding": 1},
    "uneven": {"kernel_size": (3, 2), "padding": (0, 1), "stride": (1, 2)},
    "strided": {"stride": 2, "padding": 1},
    "stride that leaves a column": {"stride": 3},
    "dilated": {"dilation": 2, "padding": 2},
    "groups": {"groups": 2, "padding": 1},
    "depthwise": {"groups": 4, "out_channels": 8},
    "same": {"padding": "same", "kernel_size": 4},
    "valid": {"padding": "valid"},
    "circular": {"padding": 1, "padding_mode": "circular"},
    "reflect": {"padding": 1, "padding_mode": "reflect"},
    "replicate": {"padding": 2, "padding_mode": "replicate"},
    "one tap": {"kernel_size": 1},
    "one position": {"kernel_size": (7, 8)},
    "one position, no bias": {"kernel_size": (7, 8), "bias": False},
    "few maps": {"out_channels": 2, "padding": 1},
}


def convolutions(**options):
    settings: dict[str, Any] = {"in_channels": 4, "out_channels": 6, "kernel_size": 3, **options}
    torch.manual_seed(0)
    return [nn.Conv2d(**settings).double() for _ in range(RUNS)]


def stacked(convolutions):
    """The stacked layer by itself."""
    layer = stack_networks([nn.Sequential(one) for one in convolutions]).get_submodule("0")
    assert isinstance(layer, StackedConv2d)
    return layer


def by_layer(singles, implementation):
    """A stack of networks whose first module is a convolution, by an implementation that is named."""
    stack = stack_networks(singles)
    stack.order = "by_layer"
    layer = stack.get_submodule("0")
    assert isinstance(layer, StackedConv2d)
    layer.implementation = implementation
    return stack


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_it_gives_the_numbers_of_the_single_layer(geometry, implementation):
    singles = [nn.Sequential(one) for one in convolutions(**GEOMETRIES[geometry])]
    assert_equals_singles(by_layer(singles, implementation), singles, batch(shape=(4, 7, 8)))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_it_takes_maps_in_any_order_of_memory(layout, implementation):
    singles = convolutions(padding=1)
    layer = stacked(singles)
    x_BNCHW = batch(shape=(4, 7, 8))
    y_BNFhw = layer.compute(in_memory_as(LAYOUTS[layout], x_BNCHW), implementation)
    for run, single in enumerate(singles):
        torch.testing.assert_close(y_BNFhw[run], single(x_BNCHW[run]), rtol=0, atol=1e-9)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_patches_are_made_for_a_few_runs_at_a_time(implementation, monkeypatch):
    monkeypatch.setattr("trainlab.stacked.product.MAX_PATCH_BYTES", 1)
    singles = [nn.Sequential(one) for one in convolutions(padding=1)]
    assert_equals_singles(by_layer(singles, implementation), singles, batch(shape=(4, 7, 8)))


def test_the_fastest_implementation_is_chosen_by_measurement():
    singles = networks("plain_cnn", norm_layer="batchnorm")
    stack = stack_networks(singles)
    stack.order = "by_layer"
    before = [stack.state_of_run(run) for run in range(RUNS)]
    random_state = torch.get_rng_state()
    chosen = tune(stack, batch())
    assert list(chosen) == [n for n, m in stack.named_modules() if isinstance(m, StackedConv2d)]
    for name, tuning in chosen.items():
        layer = stack.get_submodule(name)
        assert isinstance(layer, StackedConv2d)
        assert tuning.implementation == layer.implementation
        assert tuning.milliseconds == layer.milliseconds
        assert tuning.milliseconds[tuning.implementation] == min(tuning.milliseconds.values()) > 0
    for run, state in enumerate(before):
        assert all(torch.equal(state[name], tensor) for name, tensor in stack.state_of_run(run).items())
    assert torch.equal(torch.get_rng_state(), random_state) and stack.training
    assert all(p.grad is None for p in stack.parameters())
    assert_equals_singles(stack, singles, batch())


def test_what_was_measured_is_not_measured_again(monkeypatch):
    layer = stacked(convolutions())
    x_BNCHW = batch(shape=(4, 9, 11))
    first = choose_convolution(layer, x_BNCHW)
    monkeypatch.setattr("trainlab.stacked.tuning._times", None)
    layer.implementation = None
    assert choose_convolution(layer, x_BNCHW) == first and layer.implementation == first.implementation


def test_an_implementation_that_fails_is_left_out(monkeypatch):
    layer = stacked(convolutions())
    compute = StackedConv2d.compute

    def without_grouped(self, x_BNCHW, implementation):
        if implementation.startswith("grouped"):
            raise torch.OutOfMemoryError
        return compute(self, x_BNCHW, implementation)

    monkeypatch.setattr(StackedConv2d, "compute", without_grouped)
    choice = choose_convolution(layer, batch(shape=(4, 10, 11)))
    assert choice.milliseconds.keys() == {"product", "loop"}
    assert choice.left_out.keys() == {"grouped", "grouped_channels_last"}
    assert choice.left_out["grouped"].startswith("OutOfMemoryError")


@pytest.mark.parametrize("fault", ["wrong numbers", "nan", "no compiler"])
def test_kernels_of_its_own_that_are_wrong_or_fail_are_left_out_and_it_is_said_why(fault, monkeypatch):
    layer = stacked(convolutions(padding=1)).float()
    compute = StackedConv2d.compute

    def broken(self, x_BNCHW, implementation):
        if implementation == "triton" and fault == "no compiler":
            raise ValueError("no C compiler\nmore")
        name = "loop" if implementation.startswith("triton") else implementation
        y = compute(self, x_BNCHW, name)
        return y * (1.01 if fault == "wrong numbers" else float("nan")) if implementation == "triton" else y

    names = (*IMPLEMENTATIONS, "triton", "triton_channels_last")
    monkeypatch.setattr(StackedConv2d, "compute", broken)
    monkeypatch.setattr(StackedConv2d, "implementations", lambda self, x: names)
    monkeypatch.setattr("trainlab.stacked.tuning._measured", {})
    choice = choose_convolution(layer, batch(shape=(4, 7, 8), dtype=torch.float32))
    assert choice.milliseconds.keys() == {*IMPLEMENTATIONS, "triton_channels_last"}
    expected = "ValueError: no C compiler" if fault == "no compiler" else "ArithmeticError: y differs"
    assert choice.left_out["triton"].startswith(expected)
    assert "more" not in choice.left_out["triton"]


def test_kernels_for_gpus_are_no_candidates_on_a_cpu():
    assert stacked(convolutions()).implementations(batch(shape=(4, 7, 8))) == IMPLEMENTATIONS


def test_on_a_cpu_runs_go_one_after_the_other_and_nothing_is_chosen():
    stack = stack_networks(networks("lenet5"))
    assert stack.order_on(torch.device("cpu")) == "by_run"
    assert stack.order_on(torch.device("cuda")) == "by_layer"
    assert tune(stack, batch()) == {}
