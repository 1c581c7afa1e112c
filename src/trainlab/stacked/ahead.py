"""Values of a numbered series, each computed while the one before it is used."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Ahead(Generic[Value]):
    """Keeps the value last asked for, and lets a thread work on the one after it.

    compute: the value of a number (an epoch, a group of steps), a function of it alone that leaves the GPU
        alone: the thread could fall into the capture of a CUDA graph.
    in_background: False computes each only when it is asked for, in this thread.
    """

    def __init__(self, compute: Callable[[int], Value], *, in_background: bool) -> None:
        self._compute = compute
        self._thread = ThreadPoolExecutor(max_workers=1) if in_background else None
        self._last: tuple[int, Value] | None = None
        self._next: tuple[int, Future[Value]] | None = None

    def __call__(self, number: int) -> Value:
        """The value of this number. Raises what computing it raises."""
        if self._last is None or self._last[0] != number:
            self._last = number, self._take(number)
            if self._thread is not None:
                self._next = number + 1, self._thread.submit(self._compute, number + 1)
        return self._last[1]

    def _take(self, number: int) -> Value:
        if self._next is not None and self._next[0] == number:
            return self._next[1].result()
        return self._compute(number)
