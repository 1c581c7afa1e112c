"""Which tensors are propagated back: the one place where a loop shows its loss, whatever it is made of.

PyTorch has no hook for the beginning of a backward pass. `Tensor.backward`, a gradient scaler and the
trainers built on torch all call `torch.autograd.backward`: while somebody listens, a function that calls the
listeners stands in its place, and passes everything on as it is.
"""

import weakref
from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor


class BackwardListener(Protocol):
    """Is told of every backward pass of the process. What it raises reaches the caller: it must not."""

    def before_backward(self, tensors: Sequence[Tensor]) -> None:
        """The graph is whole, and no gradient of this pass has been computed."""
        ...

    def after_backward(self) -> None:
        """Gradients are there. Not called where the pass raised."""
        ...


_listeners: list[weakref.ref[BackwardListener]] = []
_original: Callable[..., None] = torch.autograd.backward


def listen(listener: BackwardListener) -> None:
    """Tells `listener`, which is held weakly, from now on."""
    global _original
    if not _listeners:
        _original = torch.autograd.backward
        torch.autograd.backward = _backward  # pyrefly: ignore[bad-assignment]
    _listeners.append(weakref.ref(listener))


def forget(listener: BackwardListener) -> None:
    """Tells it no more. With the last listener the original function is put back."""
    _listeners[:] = [known for known in _listeners if known() not in (None, listener)]
    if not _listeners and torch.autograd.backward is _backward:
        torch.autograd.backward = _original


def is_listening() -> bool:
    """Whether torch's own function is replaced now."""
    return torch.autograd.backward is _backward


def _backward(tensors: Tensor | Sequence[Tensor], *arguments: object, **keywords: object) -> None:
    if torch.compiler.is_compiling():
        _original(tensors, *arguments, **keywords)
        return
    told = [listener for known in _listeners if (listener := known()) is not None]
    roots = (tensors,) if isinstance(tensors, Tensor) else tuple(tensors)
    for listener in told:
        listener.before_backward(roots)
    _original(tensors, *arguments, **keywords)
    for listener in told:
        listener.after_backward()
