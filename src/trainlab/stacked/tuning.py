"""Which implementation of each convolution is fastest here: measured before training, on its own input.

Legend: B runs, N images, C channels, H × W pixels.
"""

import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor

from trainlab.nn.layers import restored_modes
from trainlab.stacked.convolution import IMPLEMENTATIONS, Implementation, StackedConv2d
from trainlab.stacked.network import StackedNetwork
from trainlab.stacked.normalization import StackedModel

REPEATS = {"cuda": 10, "cpu": 2}
HOPELESS = 3.0
"""An implementation whose first time is this many times the best one's is not measured further."""

Times: TypeAlias = dict[Implementation, float]
"""Milliseconds forward and backward, by implementation."""

_measured: dict[tuple[object, ...], Times] = {}


@dataclass(frozen=True)
class ConvolutionChoice:
    """What was chosen for one convolution, and the milliseconds of each implementation that could be run."""

    implementation: Implementation
    milliseconds: Times


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
        _measured[key] = _times(layer, x_BNCHW.detach().requires_grad_(needs_input_gradient))
    times = _measured[key]
    fastest = min(times, key=lambda name: times[name])
    layer.implementation, layer.milliseconds = fastest, dict(times)
    return ConvolutionChoice(fastest, dict(times))


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


def _times(layer: StackedConv2d, x_BNCHW: Tensor) -> Times:
    times: Times = {}
    failed: RuntimeError | None = None
    for implementation in IMPLEMENTATIONS:
        try:
            _milliseconds(layer, x_BNCHW, implementation)  # the first call loads kernels
            took = _milliseconds(layer, x_BNCHW, implementation)
            if took < HOPELESS * min(times.values(), default=took):
                took = _milliseconds(layer, x_BNCHW, implementation, REPEATS[x_BNCHW.device.type])
            times[implementation] = took
        except RuntimeError as error:  # out of memory is one
            failed = error
    if not times:
        raise RuntimeError(f"no implementation of {layer} runs on {x_BNCHW.device}") from failed
    return times


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
