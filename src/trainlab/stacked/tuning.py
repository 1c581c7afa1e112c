"""Which implementation of each convolution is fastest here: measured before training, on its own input.

Legend: B runs, N images, C channels, H × W pixels.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from math import inf
from pathlib import Path
from typing import TypeAlias, get_args

import torch
from torch import Tensor

from trainlab.json_types import Json
from trainlab.nn.layers import restored_modes
from trainlab.stacked.convolution import Implementation, StackedConv2d
from trainlab.stacked.network import StackedNetwork
from trainlab.stacked.normalization import StackedModel
from trainlab.stacked.recorded_work import milliseconds, recorded
from trainlab.stacked.triton_blocks import chosen_blocks, recall_blocks
from trainlab.stacked.triton_convolution import CHANNELS_LAST, MIN_CHANNELS_TO_COPY, PLANES, compute_dtype
from trainlab.stacked.triton_internals import compile_side_by_side
from trainlab.stacked.tuning_file import add_choices, read_choices, tuning_file

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


CONVOLUTIONS, BLOCKS = "convolutions", "blocks"
"""Sections of the file."""

_measured: dict[str, ConvolutionChoice] = {}


def tune(
    model: StackedModel | StackedNetwork, x_BNCHW: Tensor, cache: Path | None = None
) -> dict[str, ConvolutionChoice]:
    """Chooses the implementation of every convolution of a stack, by name; to be called before training.

    x_BNCHW: a batch as in training (pixels for a StackedModel). One forward pass in evaluation mode: each
    layer is measured on what the layers before it, as they were chosen, give it. Parameters, buffers,
    gradients, modes and random streams stay as they were. What was measured once for the same card, shapes,
    layout and precision is not measured again: in this process, or with the same `cache` folder. Nothing is
    chosen, {}, where the runs go through all layers one after the other (`StackedNetwork.order`, on a CPU).
    """
    network = model.network if isinstance(model, StackedModel) else model
    if network.order_on(x_BNCHW.device) == "by_run":
        return {}
    path = None if cache is None else tuning_file(cache, x_BNCHW.device)
    if path is not None:
        _recall(read_choices(path))
    found: dict[str, ConvolutionChoice] = {}
    missing: list[tuple[StackedConv2d, Tensor, bool]] = []

    def look_up(name: str, layer: StackedConv2d, inputs: tuple[Tensor, ...]) -> None:
        has_gradient = bool(found) or bool(missing)
        choice = _known(layer, inputs[0], has_gradient)
        if choice is None:
            missing.append((layer, inputs[0].detach().to("meta", compute_dtype(inputs[0])), has_gradient))
        else:
            found[name] = _use(layer, choice)

    _forward(model, x_BNCHW, look_up)
    if missing:
        _compile_ahead(missing, x_BNCHW.device)
        found.clear()

        def choose(name: str, layer: StackedConv2d, inputs: tuple[Tensor, ...]) -> None:
            found[name] = choose_convolution(layer, inputs[0], needs_input_gradient=bool(found))

        _forward(model, x_BNCHW, choose)
        if path is not None:
            choices: dict[str, Json] = {key: _as_json(choice) for key, choice in _measured.items()}
            add_choices(path, {CONVOLUTIONS: choices, BLOCKS: chosen_blocks()})
    return found


@torch.no_grad()
def _forward(
    model: StackedModel | StackedNetwork,
    x_BNCHW: Tensor,
    before_layer: Callable[[str, StackedConv2d, tuple[Tensor, ...]], None],
) -> None:
    """One pass in evaluation mode, which leaves everything as it was; a call before each convolution."""
    with ExitStack() as stack:
        for name, module in (model.network if isinstance(model, StackedModel) else model).named_modules():
            if isinstance(module, StackedConv2d):
                stack.callback(module.register_forward_pre_hook(partial(before_layer, name)).remove)
        stack.enter_context(restored_modes(model))
        stack.enter_context(torch.random.fork_rng([x_BNCHW.device] if x_BNCHW.is_cuda else []))
        before = [buffer.clone() for buffer in model.buffers()]
        model.eval()(x_BNCHW)
        for buffer, value in zip(model.buffers(), before, strict=True):
            buffer.copy_(value)


def choose_convolution(
    layer: StackedConv2d, x_BNCHW: Tensor, *, needs_input_gradient: bool = True
) -> ConvolutionChoice:
    """Sets the fastest implementation of one layer for inputs like this, forward and backward.

    needs_input_gradient: false for the first layer of a network. What cannot be run here (out of memory, no
    kernel) is left out.

    Raises RuntimeError where none can be run.
    """
    choice = _known(layer, x_BNCHW, needs_input_gradient)
    if choice is None:
        times, left_out = _times(layer, x_BNCHW.detach().requires_grad_(needs_input_gradient))
        choice = ConvolutionChoice(min(times, key=lambda name: times[name]), times, left_out)
        _measured[_key(layer, x_BNCHW, needs_input_gradient)] = choice
    return _use(layer, choice)


def _known(layer: StackedConv2d, x_BNCHW: Tensor, needs_input_gradient: bool) -> ConvolutionChoice | None:
    """What was chosen before, if it can be run here."""
    choice = _measured.get(_key(layer, x_BNCHW, needs_input_gradient))
    runs = choice is not None and choice.implementation in layer.implementations(x_BNCHW)
    return choice if runs else None


def _use(layer: StackedConv2d, choice: ConvolutionChoice) -> ConvolutionChoice:
    layer.implementation, layer.milliseconds = choice.implementation, dict(choice.milliseconds)
    return choice


def _recall(content: Mapping[str, Mapping[str, Json]]) -> None:
    """Takes over what another process measured; what is no choice is passed over."""
    for key, choice in content.get(CONVOLUTIONS, {}).items():
        if key not in _measured and (known := _as_choice(choice)) is not None:
            _measured[key] = known
    recall_blocks(content.get(BLOCKS, {}))


def _as_json(choice: ConvolutionChoice) -> Json:
    times: dict[str, Json] = {**choice.milliseconds}
    return {
        "implementation": choice.implementation,
        "milliseconds": times,
        "left_out": {**choice.left_out},
    }


def _as_choice(content: Json) -> ConvolutionChoice | None:
    if not isinstance(content, Mapping):
        return None
    times, left_out = content.get("milliseconds"), content.get("left_out")
    if not isinstance(times, Mapping) or not isinstance(left_out, Mapping):
        return None
    took: Times = {}
    reasons: dict[Implementation, str] = {}
    names: tuple[Implementation, ...] = get_args(Implementation)
    for name in names:
        if isinstance(number := times.get(name), float):
            took[name] = number
        if name in left_out:
            reasons[name] = str(left_out[name])
    chosen = [name for name in took if name == content.get("implementation")]
    return ConvolutionChoice(chosen[0], took, reasons) if chosen else None


def _compile_ahead(layers: Sequence[tuple[StackedConv2d, Tensor, bool]], device: torch.device) -> None:
    """Compiles the kernels that are about to be tried, side by side: one takes some tenths of a second.

    x of a layer lies in memory as the layers before it give it: in x's own order or with channels last. What
    is not foreseen, or fails, is compiled when it is tried.
    """
    if device.type != "cuda":
        return
    jobs: list[tuple[StackedConv2d, Tensor, bool]] = []
    for layer, x, grad in layers:
        if not layer.has_kernels(x):
            continue
        if not grad:  # the first layer: x is the pixels
            jobs.append((layer, x, grad))
            continue
        orders = [CHANNELS_LAST] if x.shape[2] >= MIN_CHANNELS_TO_COPY else [PLANES, CHANNELS_LAST]
        laid = [torch.empty_permuted(x.shape, order, dtype=x.dtype, device="meta") for order in orders]
        jobs += [(layer, x, grad) for x in laid]

    compile_side_by_side(
        [partial(layer.compile_kernels, x, needs_input_gradient=grad) for layer, x, grad in jobs], device
    )


def _key(layer: StackedConv2d, x_BNCHW: Tensor, needs_input_gradient: bool) -> str:
    return str((*_circumstances(x_BNCHW), needs_input_gradient, *_settings(layer)))


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
    expected: dict[str, Tensor] = {}
    for implementation in layer.implementations(x_BNCHW):
        own_kernels = implementation.startswith("triton")
        try:
            if own_kernels:
                expected = expected or _values_and_gradients(layer, x_BNCHW, "grouped")
                _check(expected, _values_and_gradients(layer, x_BNCHW, implementation))
            times[implementation] = _milliseconds(
                layer, x_BNCHW, implementation, min(times.values(), default=inf)
            )
        # out of memory is a RuntimeError; a compiler of kernels raises anything
        except Exception as error:
            if not own_kernels and not isinstance(error, RuntimeError):
                raise
            left_out[implementation] = f"{type(error).__name__}: {error}".split("\n", 1)[0]
    if not times:
        raise RuntimeError(f"no implementation of {layer} runs on {x_BNCHW.device}: {left_out}")
    return times, left_out


def _check(expected: Mapping[str, Tensor], got: Mapping[str, Tensor]) -> None:
    """Raises ArithmeticError where values or gradients are not those of the grouped convolution."""
    for name, right in expected.items():
        largest = right.abs().max().clamp(min=torch.finfo(right.dtype).tiny)
        difference = float((got[name] - right).abs().max() / largest)
        if not difference <= TOLERANCE[expected["y"].dtype]:
            raise ArithmeticError(f"{name} differs from the grouped one's by {difference:.2g} of its largest")


@torch.enable_grad()
def _values_and_gradients(
    layer: StackedConv2d, x_BNCHW: Tensor, implementation: Implementation
) -> dict[str, Tensor]:
    """y, and the gradients of what has them, where those of y are random numbers that lie as y does."""
    y_BNFhw = layer.compute(x_BNCHW, implementation)
    generator = torch.Generator(y_BNFhw.device).manual_seed(0)
    random = torch.randn(y_BNFhw.shape, generator=generator, device=y_BNFhw.device, dtype=y_BNFhw.dtype)
    dy_BNFhw = torch.empty_like(y_BNFhw).copy_(random)
    wanted = {n: t for n, t in {"x": x_BNCHW, **dict(layer.named_parameters())}.items() if t.requires_grad}
    gradients = torch.autograd.grad(y_BNFhw, list(wanted.values()), dy_BNFhw)
    return {"y": y_BNFhw.detach(), **dict(zip(wanted, gradients, strict=True))}


@torch.enable_grad()
def _milliseconds(
    layer: StackedConv2d, x_BNCHW: Tensor, implementation: Implementation, best: float
) -> float:
    """Of one pass forward and backward, as a recorded step takes it; of a HOPELESS one roughly."""
    wanted = [tensor for tensor in (x_BNCHW, *layer.parameters()) if tensor.requires_grad]
    y_BNFhw = layer.compute(x_BNCHW, implementation)
    dy_BNFhw = torch.ones_like(y_BNFhw)
    torch.autograd.grad(y_BNFhw, wanted, dy_BNFhw)  # the first call loads kernels

    @torch.enable_grad()
    def work() -> None:
        torch.autograd.grad(layer.compute(x_BNCHW, implementation), wanted, dy_BNFhw)

    device = x_BNCHW.device
    replay = recorded(work, device)
    took = milliseconds(replay, device, 1)
    if took < HOPELESS * best:
        took = milliseconds(replay, device, REPEATS[device.type])
    return took
