"""The images of a forecast: read from what the user hands over, checked, and split in parts.

Two parts to take gradients from, and one that no gradient has seen.

Legend: N images, C channels, H × W pixels, K classes.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, IterableDataset

from trainlab.errors import RequestError, error_with_type
from trainlab.forecast.functional_model import FunctionalModel
from trainlab.forecast.isolation import floating_dtype, loader_copy
from trainlab.nn.layers import fans, weight_layers

Batch = tuple[Tensor, Tensor]
Batches = Iterable[Batch]

EXPECTED_BATCHES = "expected batches of (x_NCHW, y_N), two tensors"


def read_batches(batches: object, model: nn.Module) -> Iterator[Batch]:
    """The batches, each checked before it is given, of what a loader or a list gives, or of one (x, y).

    A loader is read through a copy of itself, so that workers that it keeps stay in their epoch.

    Raises RequestError for what is no batch of images and classes that `model` can be trained on.
    """
    dtype = floating_dtype(model)
    for batch in _iterate([batches] if _is_one_batch(batches) else batches):
        x_NCHW, y_N = _pair(batch)
        _check_images(x_NCHW, dtype)
        _check_classes(y_N)
        if len(x_NCHW) != len(y_N):
            raise RequestError(f"preflight: got {len(x_NCHW)} images with {len(y_N)} labels in one batch")
        yield x_NCHW, y_N


def _is_one_batch(batches: object) -> bool:
    if not isinstance(batches, tuple | list) or len(batches) != 2:
        return False
    x_NCHW, y_N = batches
    return isinstance(x_NCHW, Tensor) and isinstance(y_N, Tensor) and y_N.dim() < x_NCHW.dim()


def _iterate(batches: object) -> Iterator[object]:
    if isinstance(batches, Dataset) and not isinstance(batches, IterableDataset):
        raise RequestError(
            f"preflight: got a data set ({type(batches).__name__}), {EXPECTED_BATCHES}: "
            "torch.utils.data.DataLoader(data_set, batch_size=64, shuffle=True)"
        )
    if isinstance(batches, str | bytes | Mapping) or not isinstance(batches, Iterable):
        raise RequestError(
            f"preflight: got {_type_with_article(batches)} for the batches, {EXPECTED_BATCHES}"
        )
    try:
        yield from loader_copy(batches)
    except RequestError:
        raise
    except Exception as error:
        raise RequestError(f"preflight: the batches cannot be read: {error_with_type(error)}") from error


def _pair(batch: object) -> Batch:
    if isinstance(batch, Mapping):
        names = ", ".join(map(str, batch))
        raise RequestError(
            f"preflight: got batches with the keys {names}, {EXPECTED_BATCHES}: "
            '((b["image"], b["label"]) for b in loader), with your names'
        )
    if isinstance(batch, Tensor):
        raise RequestError(
            f"preflight: got one tensor of shape {tuple(batch.shape)} without labels, {EXPECTED_BATCHES}"
        )
    if not isinstance(batch, tuple | list):
        raise RequestError(f"preflight: got {_type_with_article(batch)} as a batch, {EXPECTED_BATCHES}")
    if len(batch) != 2:
        hint = ": ((x, y) for x, y, *_ in loader)" if len(batch) > 2 else ""
        raise RequestError(f"preflight: got batches of {len(batch)} parts, {EXPECTED_BATCHES}{hint}")
    return _tensor("images", batch[0]), _tensor("labels", batch[1])


def _tensor(what: str, part: object) -> Tensor:
    if isinstance(part, Tensor):
        return part
    hint = ": torch.from_numpy" if type(part).__module__ == "numpy" else ""
    raise RequestError(
        f"preflight: the {what} of a batch are {_type_with_article(part)}, {EXPECTED_BATCHES}{hint}"
    )


def _check_images(x_NCHW: Tensor, dtype: torch.dtype | None) -> None:
    got = f"preflight: the images are {_dtype_name(x_NCHW.dtype)}"
    if x_NCHW.dim() < 2:
        raise RequestError(
            f"preflight: the images have the shape {tuple(x_NCHW.shape)}, expected (N, C, H, W)"
        )
    if x_NCHW.dtype == torch.uint8:
        raise RequestError(f"{got} (bytes), expected floats, normalized: (x.float() / 255 - mean) / std")
    if not x_NCHW.is_floating_point():
        raise RequestError(f"{got}, expected floats, normalized: x.float()")
    if dtype is not None and x_NCHW.dtype != dtype:
        raise RequestError(
            f"{got}, the network's weights {_dtype_name(dtype)}: expected the same, "
            f"x.to(torch.{_dtype_name(dtype)})"
        )


def _check_classes(y_N: Tensor) -> None:
    kind, shape = _dtype_name(y_N.dtype), tuple(y_N.shape)
    expected = "expected classes 0 … K − 1 as int64 of shape (N,)"
    if y_N.dim() == 2 and y_N.shape[1] == 1:
        raise RequestError(
            f"preflight: the labels have the shape (N, 1) = {shape}, {expected}: y.squeeze(1).long()"
        )
    if y_N.dim() == 2:
        raise RequestError(
            f"preflight: the labels are {kind} of shape (N, K) = {shape}, {expected}; one-hot? y.argmax(1)"
        )
    if y_N.dim() != 1:
        raise RequestError(f"preflight: the labels have the shape {shape}, {expected}: one class an image")
    if y_N.is_floating_point():
        whole = bool((y_N == y_N.round()).all())
        hint = ": y.long()" if whole else "; these are no whole numbers: a regression cannot be forecast"
        raise RequestError(f"preflight: the labels are {kind}, {expected}{hint}")
    if y_N.dtype != torch.int64:
        raise RequestError(f"preflight: the labels are {kind}, {expected}: y.long()")


def _dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _type_with_article(value: object) -> str:
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


MOST_IMAGES, FEWEST_IMAGES, FEWEST_WITH_BATCHNORM = 128, 16, 32
"""Images of a part. BatchNorm's statistics need 32 at least (its gradient depends on them)."""

AFFORDED_MULTIPLY_ADDS = 1e11
"""What a forecast may cost: about two seconds on two cores."""

COST_OF_AN_OUTPUT = 100
"""Multiply-adds that take as long as norm layer, activation and pooling of one output."""

PASSES, PASSES_HELD_OUT = 46, 26
"""Forward passes of each image of a part, and of each that is held out; a backward pass counts as two."""


@dataclass(frozen=True)
class ImagePart:
    """Images as the network sees them, their classes, and the seed of dropout for them."""

    x_NCHW: Tensor
    y_N: Tensor
    seed: int = 1


@dataclass(frozen=True)
class ImageSample:
    """`first` and `second`, of one size, and `held_out`: two or four times that, as it can be afforded.

    `is_affordable` is False where even the fewest images cost more than a forecast may. batch_size: images of
    a batch as it was handed over.
    """

    first: ImagePart
    second: ImagePart
    held_out: ImagePart
    is_affordable: bool = True
    batch_size: int | None = None

    @property
    def all_x_NCHW(self) -> Tensor:
        """Every image once, where there were enough."""
        return torch.cat([part.x_NCHW for part in (self.first, self.second, self.held_out)])

    @property
    def all_y_N(self) -> Tensor:
        """Their classes."""
        return torch.cat([part.y_N for part in (self.first, self.second, self.held_out)])

    @property
    def classes(self) -> Tensor:
        """The classes that occur."""
        return self.all_y_N.unique()


def take_sample(batches: Batches, network: FunctionalModel) -> ImageSample:
    """The first images of `batches`, as many as can be afforded for this network.

    Raises RequestError for fewer than four images, and for what is no batch of images and classes.
    """
    xs, ys, wanted, part, is_affordable = [], [], 4, 1, True
    for x_NCHW, y_N in read_batches(batches, network.model):
        if not xs and len(x_NCHW):
            part, held_out, is_affordable = _affordable_images(
                network, x_NCHW[:2].to(network.device), len(x_NCHW)
            )
            wanted = 2 * part + held_out
        xs.append(x_NCHW.detach())
        ys.append(y_N)
        if sum(map(len, xs)) >= wanted:
            break
    count = min(sum(map(len, xs)), wanted)
    if count < 4:
        raise RequestError(f"preflight: got {count} images, expected at least 4, better 256")
    shapes = sorted({tuple(x.shape[1:]) for x in xs})
    if len(shapes) > 1:
        raise RequestError(
            f"preflight: got images of the shapes {shapes[0]} and {shapes[1]}, expected one shape"
        )
    x_NCHW, y_N = torch.cat(xs)[:count].to(network.device), torch.cat(ys)[:count].to(network.device)
    # with few images the held-out ones are fewer, or are fitted as well: BatchNorm needs its 32
    size = part if count == wanted else max(count // 4, min(_fewest_images(network), count // 2))
    held_out = max(count - 2 * size, size)
    return ImageSample(
        ImagePart(x_NCHW[:size], y_N[:size], 1),
        ImagePart(x_NCHW[size : 2 * size], y_N[size : 2 * size], 2),
        ImagePart(x_NCHW[-held_out:], y_N[-held_out:], 3),
        is_affordable,
        len(xs[0]),
    )


def _fewest_images(network: FunctionalModel) -> int:
    return FEWEST_WITH_BATCHNORM if network.has_batch_statistics else FEWEST_IMAGES


def _affordable_images(network: FunctionalModel, x_NCHW: Tensor, batch_size: int) -> tuple[int, int, bool]:
    """Images of a part, and of those held out; whether they can be afforded."""
    passes = AFFORDED_MULTIPLY_ADDS / max(image_cost(network, x_NCHW), 1)
    if passes >= MOST_IMAGES * (PASSES + 4 * PASSES_HELD_OUT):
        part = _whole_batches(MOST_IMAGES, batch_size)
        return part, 4 * part, True
    affordable, fewest = int(passes / (PASSES + 2 * PASSES_HELD_OUT)), _fewest_images(network)
    if affordable < fewest:
        return fewest, fewest, False
    part = _whole_batches(min(affordable, MOST_IMAGES), batch_size)
    return part, 2 * part, True


def _whole_batches(images: int, batch_size: int) -> int:
    """As many whole batches as there are in so many images; of larger batches a part."""
    return images // batch_size * batch_size or images


def image_cost(network: FunctionalModel, x_NCHW: Tensor) -> float:
    """What one image costs, in multiply-adds: those of the weight layers, and what follows each output."""
    products, outputs = count_layer_operations(network, x_NCHW)
    return products + COST_OF_AN_OUTPUT * outputs


def count_layer_operations(network: FunctionalModel, x_NCHW: Tensor) -> tuple[float, float]:
    """(multiply-adds, outputs) of the weight layers for one image, counted in a forward pass of these."""
    products: list[int] = []
    outputs: list[int] = []
    fan_in: Mapping[torch.nn.Module, int] = {
        layer: fans(layer)[0] for _, layer in weight_layers(network.model)
    }

    def count(layer: torch.nn.Module, inputs: tuple, output: Tensor) -> None:
        products.append(output.numel() * fan_in[layer])
        outputs.append(output.numel())

    handles = [layer.register_forward_hook(count) for layer in fan_in]
    try:
        with torch.no_grad():
            network.forward(x_NCHW)
    finally:
        for handle in handles:
            handle.remove()
    return sum(products) / len(x_NCHW), sum(outputs) / len(x_NCHW)
