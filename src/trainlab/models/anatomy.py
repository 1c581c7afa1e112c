"""The layer table of any network: what each layer does to shapes, what it costs, how far it sees.

Legend: N images, C channels, H × W map. Everything runs on the meta device: shapes without numbers.
"""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from trainlab.errors import RequestError
from trainlab.models.receptive_field import (
    ReceptiveField,
    Size,
    SlidingWindow,
    TrackReceptiveFields,
    propagate,
)
from trainlab.nn.layers import fans, restored_modes, weight_layers


@dataclass(frozen=True)
class LayerRow:
    """One layer, as one image passes it.

    `kernel`, `stride`, `padding` (height, width) are None where a layer has none. `out_shape` is without the
    batch. `multiply_adds` counts the products of weight layers; the rest costs little beside them.
    `receptive_field` (height, width) is in pixels of the input image, padding included; None if unknown.
    """

    name: str
    kind: str
    kernel: Size | None
    stride: Size | None
    padding: Size | None
    out_shape: Size
    parameters: int
    multiply_adds: int
    receptive_field: Size | None


class Totals(NamedTuple):
    """Sums over a layer table."""

    parameters: int
    multiply_adds: int


def totals(rows: Iterable[LayerRow]) -> Totals:
    """Parameters and multiply-adds of all rows."""
    rows = list(rows)
    return Totals(sum(row.parameters for row in rows), sum(row.multiply_adds for row in rows))


def anatomy(module: nn.Module, in_shape_CHW: Size) -> list[LayerRow]:
    """The rows of `module` for one image of `in_shape_CHW`, in the order in which the layers run.

    A layer is a module without children, or with parameters of its own; one that runs twice has two rows and
    counts its parameters once. The module is left as it was; no data and no memory for weights is needed.
    Raises RequestError where the module does not take such an image.
    """
    rows: list[LayerRow] = []
    counted: set[Tensor] = set()
    fan_in = {layer: fans(layer)[0] for _, layer in weight_layers(module)}

    def record(name: str) -> Callable[..., None]:
        def hook(layer: nn.Module, inputs: tuple[object, ...], output: object) -> None:
            if inputs and isinstance(inputs[0], Tensor) and isinstance(output, Tensor):
                new = set(layer.parameters(recurse=False)) - counted
                counted.update(new)
                macs = output.numel() * fan_in.get(layer, 0)
                rows.append(_layer_row(name, layer, inputs[0], output, sum(p.numel() for p in new), macs))

        return hook

    with ExitStack() as stack:
        for name, layer in module.named_modules():
            is_inner = list(layer.children()) or isinstance(layer, nn.Sequential)
            if not is_inner or list(layer.parameters(recurse=False)):
                stack.callback(layer.register_forward_hook(record(name)).remove)
        stack.enter_context(TrackReceptiveFields())
        _run_on_meta(module, in_shape_CHW)
    return rows


def _run_on_meta(module: nn.Module, in_shape_CHW: Size) -> None:
    """One forward pass in eval mode with stand-ins for weights, buffers and the image."""
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    on_meta = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors.items()}
    dtype = next((tensor.dtype for tensor in tensors.values() if tensor.is_floating_point()), None)
    x_NCHW = torch.empty(1, *in_shape_CHW, device="meta", dtype=dtype)
    ReceptiveField.of_pixels(len(in_shape_CHW) - 1).attach(x_NCHW)
    try:
        with restored_modes(module):
            torch.func.functional_call(module.eval(), on_meta, x_NCHW)
    except (RuntimeError, ValueError) as error:
        got = " × ".join(map(str, in_shape_CHW))
        reason = str(error).splitlines()[0]
        raise RequestError(f"anatomy: {type(module).__name__} takes no image of {got}: {reason}") from error


def _layer_row(
    name: str, layer: nn.Module, x: Tensor, y: Tensor, parameters: int, multiply_adds: int
) -> LayerRow:
    window, field = SlidingWindow.of_layer(layer, x, y), propagate(layer, x, y)
    return LayerRow(
        name=name,
        kind=type(layer).__name__,
        kernel=None if window is None else window.kernel,
        stride=None if window is None else window.stride,
        padding=None if window is None else window.padding,
        out_shape=tuple(y.shape[1:]),
        parameters=parameters,
        multiply_adds=multiply_adds,
        receptive_field=None if field is None else field.size,
    )
