"""What a CUDA graph does, on a CPU: operations are recorded with their tensors, and done again on these.

Python does not run again: a number that was read while recording stays as it was, a tensor that was made
lies where it lay, and whoever reads a number off a tensor cannot be recorded.
"""

from collections.abc import Callable

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from trainlab.training.cuda_graph import NotCapturable


class _Recording(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten._local_scalar_dense.default:
            raise NotCapturable("a number was read off a tensor")
        outcome = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, outcome))
        return outcome


def record(work: Callable[[], None]) -> Callable[[], None]:
    """As `capture_cuda_graph`: warms up, records, returns what does it again."""
    with _Recording():
        work()
    with _Recording() as recording:
        work()
    calls = recording.calls

    @torch.no_grad()
    def replay() -> None:
        for function, args, kwargs, outcome in calls:
            aliases = [result.alias_info for result in function._schema.returns]
            if any(alias is not None and not alias.is_write for alias in aliases):
                continue  # a view, which lies where it lay
            again = function(*args, **kwargs)
            if not any(aliases):
                for old, new in zip(tree_leaves(outcome), tree_leaves(again), strict=True):
                    if isinstance(old, torch.Tensor):
                        old.copy_(new)

    return replay
