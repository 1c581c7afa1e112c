"""Which implementation of each convolution is fastest here: measured before training, on its own input.

Legend: B runs, N images, C channels, H × W pixels.
"""

import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor

from trainlab.nn.layers import restored_modes
from trainlab.stacked.convolution import Implementation, StackedConv2d
from trainlab.stacked.network import StackedNetwork
from trainlab.stacked.normalization import StackedModel

REPEATS = {"cuda": 10, "cpu": 2}
HOPELESS = 3.0
"""An implementation whose first time is this many times the best one's is not measured further."""

TOLERANCE = {torch.float32: 3e-3, torch.bfloat16: 3e-2, torch.float16: 4e-3}
"""Largest difference that TF32 and sums in another order may make, in parts of the largest number."""

Times: TypeAlias = dict[Implementation, float]
"""Milliseconds forward and backward, by implementation."""


@dataclass(frozen=True)
class ConvolutionChoice:
    """What was chosen for one convolution, and the milliseconds of each implementation that could be run.

    `left_out`: why of each other: what it raised, or by how much it differs from the grouped convolution.
    """

    implementation: Implementation
    milliseconds: Times
    left_out: dict[Implementation, str] = field(default_factory=dict)


_measured: dict[tuple[object, ...], ConvolutionChoice] = {}


def tune(model: StackedModel | StackedNetwork, x_BNCHW: Tensor) -> dict[str, ConvolutionChoice]:
    """Chooses the implementation of every convolution of a stack, by name; to be called before training.

    x_BNCHW: a batch as in training (pixels for a StackedModel). One forward pass in evaluation mode: each
    layer is measured on what the layers before it, as they were chosen, give it. Parameters, buffers,
    gradients, modes and random streams stay as they were. What was measured once in this process for the
    same card, shapes, layout and precision is not measured again. Nothing is chosen, {}, where the runs go
    through all layers one after the other (`StackedNetwork.order`, on a CPU).
    """
    network = model.network if isinstance(model, StackedModel) else model
    if network.order_on(x_BNCHW.device) == "by_run":
        return {}
    found: dict[str, ConvolutionChoice] = {}

    def choose(name: str, layer: StackedConv2d, inputs: tuple[Tensor, ...]) -> None:
        found[name] = choose_convolution(layer, inputs[0], needs_input_gradient=bool(found))

    with ExitStack() as stack:
        for name, module in network.named_modules():
            if isinstance(module, StackedConv2d):
                stack.callback(module.register_forward_pre_hook(partial(choose, name)).remove)
        stack.enter_context(restored_modes(model))
        stack.enter_context(torch.random.fork_rng([x_BNCHW.device] if x_BNCHW.is_cuda else []))
        stack.enter_context(torch.no_grad())
        before = [buffer.clone() for buffer in model.buffers()]
        model.eval()(x_BNCHW)
        for buffer, value in zip(model.buffers(), before, strict=True):
            buffer.copy_(value)
    return found


def choose_convolution(
    layer: StackedConv2d, x_BNCHW: Tensor, *, needs_input_gradient: bool = True
) -> ConvolutionChoice:
    """Sets the fastest implementation of one layer for inputs like this, forward and backward.

    needs_input_gradient: false for the first layer of a network. What cannot be run here (out of memory, no
    kernel) is left out.

    Raises RuntimeError where none can be run.
    """
    key = (*_circumstances(x_BNCHW), needs_input_gradient, *_settings(layer))
    if key not in _measured:
        times, left_out = _times(layer, x_BNCHW.detach().requires_grad_(needs_input_gradient))
        _measured[key] = ConvolutionChoice(min(times, key=lambda name: times[name]), times, left_out)
    choice = _measured[key]
    layer.implementation, layer.milliseconds = choice.implementation, dict(choice.milliseconds)
    return choice


def _circumstances(x: Tensor) -> tuple[object, ...]:
    device = torch.cuda.get_device_name(x.device) if x.is_cuda else f"{torch.get_num_threads()} threads"
    autocast = torch.is_autocast_enabled(x.device.type) and torch.get_autocast_dtype(x.device.type)
    cudnn = torch.backends.cudnn
    tf32 = cudnn.conv.fp32_precision  # pyrefly: ignore[missing-attribute]
    precision = (tf32, torch.backends.cuda.matmul.fp32_precision)
    deterministic = torch.are_deterministic_algorithms_enabled() or cudnn.deterministic
    return device, x.dtype, autocast, precision, deterministic, cudnn.benchmark, x.shape, x.stride()


def _settings(layer: StackedConv2d) -> tuple[object, ...]:
    padding = (layer.padding, layer.padding_mode)
    return layer.weight.shape, layer.bias is None, layer.stride, layer.dilation, layer.groups, padding


def _times(layer: StackedConv2d, x_BNCHW: Tensor) -> tuple[Times, dict[Implementation, str]]:
    times: Times = {}
    left_out: dict[Implementation, str] = {}
    for implementation in layer.implementations(x_BNCHW):
        own_kernels = implementation.startswith("triton")
        try:
            if own_kernels:
                _check(layer, x_BNCHW, implementation)
            _milliseconds(layer, x_BNCHW, implementation)  # the first call loads kernels
            took = _milliseconds(layer, x_BNCHW, implementation)
            if took < HOPELESS * min(times.values(), default=took):
                took = _milliseconds(layer, x_BNCHW, implementation, REPEATS[x_BNCHW.device.type])
            times[implementation] = took
        # out of memory is a RuntimeError; a compiler of kernels raises anything
        except Exception as error:
            if not own_kernels and not isinstance(error, RuntimeError):
                raise
            left_out[implementation] = f"{type(error).__name__}: {error}".split("\n", 1)[0]
    if not times:
        raise RuntimeError(f"no implementation of {layer} runs on {x_BNCHW.device}: {left_out}")
    return times, left_out


def _check(layer: StackedConv2d, x_BNCHW: Tensor, implementation: Implementation) -> None:
    """Raises ArithmeticError where values or gradients are not those of the grouped convolution."""
    expected = _values_and_gradients(layer, x_BNCHW, "grouped")
    got = _values_and_gradients(layer, x_BNCHW, implementation)
    for name, right in expected.items():
        largest = right.abs().max().clamp(min=torch.finfo(right.dtype).tiny)
        difference = float((got[name] - right).abs().max() / largest)
        if not difference <= TOLERANCE[expected["y"].dtype]:
            raise ArithmeticError(f"{name} differs from the grouped one's by {difference:.2g} of its largest")


@torch.enable_grad()
def _values_and_gradients(
    layer: StackedConv2d, x_BNCHW: Tensor, implementation: Implementation
) -> dict[str, Tensor]:
    """y, and the gradients of what has them, where those of y are random numbers."""
    y_BNFhw = layer.compute(x_BNCHW, implementation)
    generator = torch.Generator(y_BNFhw.device).manual_seed(0)
    dy_BNFhw = torch.randn(y_BNFhw.shape, generator=generator, device=y_BNFhw.device, dtype=y_BNFhw.dtype)
    wanted = {n: t for n, t in {"x": x_BNCHW, **dict(layer.named_parameters())}.items() if t.requires_grad}
    gradients = torch.autograd.grad(y_BNFhw, list(wanted.values()), dy_BNFhw)
    return {"y": y_BNFhw.detach(), **dict(zip(wanted, gradients, strict=True))}


@torch.enable_grad()
def _milliseconds(
    layer: StackedConv2d, x_BNCHW: Tensor, implementation: Implementation, repeats: int = 1
) -> float:
    """Of one pass forward and backward: the mean of some in a row, which a GPU is given while it works."""
    wanted = [tensor for tensor in (x_BNCHW, *layer.parameters()) if tensor.requires_grad]
    start = _now(x_BNCHW.device)
    for _ in range(repeats):
        y_BNFhw = layer.compute(x_BNCHW, implementation)
        torch.autograd.grad(y_BNFhw, wanted, torch.ones_like(y_BNFhw))
    return (_now(x_BNCHW.device) - start) / repeats


def _now(device: torch.device) -> float:
    """Milliseconds, once the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() * 1000
