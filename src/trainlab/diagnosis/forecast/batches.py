"""What is handed over as batches: images and classes, or one line that says what came and what was expected.

Legend: N images, C channels, H × W pixels, K classes.
"""

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset

from trainlab.diagnosis.forecast.copied import floating_dtype
from trainlab.errors import RequestError, full_message

Batch = tuple[Tensor, Tensor]
Batches = Iterable[Batch]

EXPECTED = "expected batches of (x_NCHW, y_N), two tensors"


def read(batches: Any, model: nn.Module) -> Iterator[Batch]:
    """The batches, each checked before it is given, of what a loader or a list gives, or of one (x, y).

    A loader is read through a copy of itself, so that workers that it keeps stay in their epoch.

    Raises RequestError for what is no batch of images and classes that `model` can be trained on.
    """
    if _is_one_batch(batches):
        batches = [batches]
    dtype = floating_dtype(model)
    for batch in _iterated(batches):
        x_NCHW, y_N = _pair(batch)
        _check_images(x_NCHW, dtype)
        _check_classes(y_N)
        if len(x_NCHW) != len(y_N):
            raise RequestError(f"preflight: got {len(x_NCHW)} images with {len(y_N)} labels in one batch")
        yield x_NCHW, y_N


def _is_one_batch(batches: Any) -> bool:
    return (
        isinstance(batches, tuple | list)
        and len(batches) == 2
        and all(isinstance(part, Tensor) for part in batches)
        and batches[1].dim() < batches[0].dim()
    )


def _iterated(batches: Any) -> Iterator[Any]:
    if isinstance(batches, Dataset) and not isinstance(batches, IterableDataset):
        raise RequestError(
            f"preflight: got a data set ({type(batches).__name__}), {EXPECTED}: "
            "torch.utils.data.DataLoader(data_set, batch_size=64, shuffle=True)"
        )
    if isinstance(batches, str | bytes | Mapping) or not isinstance(batches, Iterable):
        raise RequestError(f"preflight: got {_kind(batches)} for the batches, {EXPECTED}")
    try:
        yield from _aside(batches)
    except RequestError:
        raise
    except Exception as error:
        raise RequestError(f"preflight: the batches cannot be read: {full_message(error)}") from error


def _aside(batches: Any) -> Any:
    if not isinstance(batches, DataLoader):
        return batches
    twin = copy.copy(batches)
    vars(twin)["_iterator"] = None  # of persistent workers, which belong to the original
    return twin


def _pair(batch: Any) -> Batch:
    if isinstance(batch, Mapping):
        names = ", ".join(map(str, batch))
        raise RequestError(
            f"preflight: got batches with the keys {names}, {EXPECTED}: "
            '((b["image"], b["label"]) for b in loader), with your names'
        )
    if isinstance(batch, Tensor):
        raise RequestError(
            f"preflight: got one tensor of shape {tuple(batch.shape)} without labels, {EXPECTED}"
        )
    if not isinstance(batch, tuple | list):
        raise RequestError(f"preflight: got {_kind(batch)} as a batch, {EXPECTED}")
    if len(batch) != 2:
        hint = ": ((x, y) for x, y, *_ in loader)" if len(batch) > 2 else ""
        raise RequestError(f"preflight: got batches of {len(batch)} parts, {EXPECTED}{hint}")
    for what, part in zip(("images", "labels"), batch, strict=True):
        if not isinstance(part, Tensor):
            hint = ": torch.from_numpy" if type(part).__module__ == "numpy" else ""
            raise RequestError(f"preflight: the {what} of a batch are {_kind(part)}, {EXPECTED}{hint}")
    return batch[0], batch[1]


def _check_images(x_NCHW: Tensor, dtype: torch.dtype | None) -> None:
    got = f"preflight: the images are {_dtype(x_NCHW.dtype)}"
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
            f"{got}, the network's weights {_dtype(dtype)}: expected the same, x.to(torch.{_dtype(dtype)})"
        )


def _check_classes(y_N: Tensor) -> None:
    kind, shape = _dtype(y_N.dtype), tuple(y_N.shape)
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


def why(model: nn.Module, x_NCHW: Tensor, error: Exception) -> str:
    """Why the network does not take these images, in one line: their layout, where that is it."""
    shape = f"({', '.join(['N', *map(str, x_NCHW.shape[1:])])})"
    first = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    if first is not None and x_NCHW.dim() == 3:
        return f"the images have the shape (N, H, W), here {shape}, expected (N, C, H, W): x.unsqueeze(1)"
    wanted = first.in_channels if first is not None else None
    if x_NCHW.dim() == 4 and wanted is not None and x_NCHW.shape[1] != wanted:
        if x_NCHW.shape[3] == wanted:
            got = f"the images have the shape (N, H, W, C), here {shape}"
            return f"{got}, expected (N, C, H, W): x.permute(0, 3, 1, 2)"
        return f"the images have {x_NCHW.shape[1]} channels, the network's first convolution takes {wanted}"
    return f"the network cannot be run on images of shape {shape}: {full_message(error)}"


def _dtype(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _kind(value: Any) -> str:
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
