"""Receptive fields: carried from tensor to tensor through any network.

Legend: size, jump, kernel … are (height, width), or one number for each dimension of the map.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

Size = tuple[int, ...]


@dataclass(frozen=True)
class SlidingWindow:
    """The window that a convolution or pooling slides over the map."""

    kernel: Size
    stride: Size
    padding: Size
    dilation: Size

    @classmethod
    def of_layer(cls, layer: nn.Module, x: Tensor, y: Tensor) -> "SlidingWindow | None":
        """The layer's window; of adaptive pooling the equivalent one; None for a layer without."""
        dims = x.dim() - 2
        ones = (1,) * dims
        if isinstance(layer, nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d):
            kernel = tuple(n // m for n, m in zip(x.shape[2:], y.shape[2:], strict=True))
            return cls(kernel, kernel, (0,) * dims, ones)
        if not hasattr(layer, "kernel_size") or dims < 1:
            return None
        kernel, dilation = (
            _per_dimension(getattr(layer, name, 1), dims) for name in ("kernel_size", "dilation")
        )
        stride, padding = getattr(layer, "stride", None), getattr(layer, "padding", 0)
        if padding == "same":
            padding = tuple(d * (k - 1) // 2 for d, k in zip(dilation, kernel, strict=True))
        elif padding == "valid":
            padding = 0
        return cls(
            kernel,
            _per_dimension(kernel if stride is None else stride, dims),
            _per_dimension(padding, dims),
            dilation,
        )


@dataclass(frozen=True)
class ReceptiveField:
    """What one position of a map sees of the input: `size` pixels, `jump` pixels from its neighbour's.

    That of the first position begins at `start`, which is negative where padding lies before the image.
    """

    size: Size
    jump: Size
    start: Size

    @classmethod
    def of_pixels(cls, dims: int) -> "ReceptiveField":
        """Of the image itself."""
        return cls((1,) * dims, (1,) * dims, (0,) * dims)

    def pixels_at(self, position: Size) -> tuple[Size, Size]:
        """(first pixel, pixel after the last one) of what the unit at `position` sees, padding included."""
        first = tuple(s + i * j for s, i, j in zip(self.start, position, self.jump, strict=True))
        return first, tuple(map(sum, zip(first, self.size, strict=True)))

    @staticmethod
    def attached_to(tensor: Tensor) -> "ReceptiveField | None":
        """The field that `attach` left on the tensor, None where there is none."""
        return getattr(tensor, "receptive_field", None)

    def attach(self, tensor: Tensor) -> None:
        """Store the field as an attribute of the tensor."""
        tensor.receptive_field = self  # pyrefly: ignore[missing-attribute]

    def through(self, window: SlidingWindow) -> "ReceptiveField":
        """After a window: size + dilation·(kernel − 1)·jump, jump·stride, start − padding·jump."""
        reach = [d * (k - 1) for d, k in zip(window.dilation, window.kernel, strict=True)]
        return ReceptiveField(
            tuple(s + r * j for s, r, j in zip(self.size, reach, self.jump, strict=True)),
            tuple(j * s for j, s in zip(self.jump, window.stride, strict=True)),
            tuple(s - p * j for s, p, j in zip(self.start, window.padding, self.jump, strict=True)),
        )

    def over_map(self, map_size: Size) -> "ReceptiveField":
        """Of all positions of a map together: what a dense layer after flattening sees."""
        dims = len(map_size)
        whole = self.through(SlidingWindow(map_size, (1,) * dims, (0,) * dims, (1,) * dims))
        return ReceptiveField(whole.size, self.jump, self.start)

    def union(self, other: "ReceptiveField") -> "ReceptiveField":
        """Where two branches meet: the larger of both, from where the first of them begins."""
        return ReceptiveField(
            tuple(map(max, self.size, other.size)),
            tuple(map(max, self.jump, other.jump)),
            tuple(map(min, self.start, other.start)),
        )


def propagate(layer: nn.Module, x: Tensor, y: Tensor) -> ReceptiveField | None:
    """Attach to a layer's output the field that its window makes of its input's, and return it."""
    window, field = SlidingWindow.of_layer(layer, x, y), ReceptiveField.attached_to(x)
    if window is not None and field is not None:
        field.through(window).attach(y)
    return ReceptiveField.attached_to(y)


class TrackReceptiveFields(TorchFunctionMode):
    """Hands the receptive field of a torch function's inputs on to its output.

    Windows are added by the rows of the layers that have them; here branches meet (the widest field counts),
    and maps that lose their positions (flatten, mean) come to see what all positions saw.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        output = func(*args, **(kwargs or {}))
        if isinstance(output, Tensor) and ReceptiveField.attached_to(output) is None:
            inputs = _tensors_in((args, kwargs))
            fields = [field for x in inputs if (field := _field_at_output(x, output)) is not None]
            if fields:
                reduce(ReceptiveField.union, fields).attach(output)
        return output


def _tensors_in(value: object) -> Iterator[Tensor]:
    """The tensors among a function's arguments: by themselves, and in lists, tuples and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors_in(item)
    elif isinstance(value, dict):
        yield from _tensors_in(list(value.values()))


def _field_at_output(x: Tensor, y: Tensor) -> ReceptiveField | None:
    """The field of x as it reaches y."""
    field = ReceptiveField.attached_to(x)
    if field is None or x.dim() <= 2 or y.dim() != 2:
        return field
    return field.over_map(tuple(x.shape[2:]))


def _per_dimension(value: int | Size, dims: int) -> Size:
    return (value,) * dims if isinstance(value, int) else tuple(value)
