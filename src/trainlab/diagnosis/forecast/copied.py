"""A copy of a user's network, so that whatever is done with it, the user's own stays as it was to the bit."""

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.nn.parameter import is_lazy

from trainlab.errors import RequestError, full_message


def copied(model: nn.Module) -> nn.Module:
    """The network on its own: weights, statistics, modes and hooks, without compilation or parallel wrapping.

    What a module keeps besides (an activation with its graph, a lock, a file) is detached, or shared where it
    cannot be copied.

    Raises RequestError for what is no network, and for one that cannot be copied or has no weights yet.
    """
    if not isinstance(model, nn.Module):
        what = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
        raise RequestError(
            f"preflight: got {what} for the network, expected a torch.nn.Module that was built"
        )
    lazy = [name for name, p in (*model.named_parameters(), *model.named_buffers()) if is_lazy(p)]
    if lazy:
        raise RequestError(f"preflight: {lazy[0]} has no shape yet: pass one batch through the network first")
    own = unwrapped(model)
    try:
        twin = copy.deepcopy(own, _detached(own))
    except Exception:  # whatever it is that cannot be copied: it is shared, and asked once more
        twin = _as_far_as_it_goes(own)
    return _unwrapped_inside(twin)


def unwrapped(module: Any) -> nn.Module:
    """What torch.compile or a parallel wrapper was put around."""
    while True:
        if isinstance(module, DataParallel | DistributedDataParallel):
            module = module.module
        elif isinstance(vars(module).get("_modules", {}).get("_orig_mod"), nn.Module):
            module = module._orig_mod
        else:
            return module


def _unwrapped_inside(module: nn.Module) -> nn.Module:
    for name, child in list(module.named_children()):
        setattr(module, name, _unwrapped_inside(unwrapped(child)))
    return module


def _as_far_as_it_goes(model: nn.Module) -> nn.Module:
    memo = _detached(model)
    for module in model.modules():
        for name, value in vars(module).items():
            if name in ("_parameters", "_buffers", "_modules"):
                continue
            try:
                copy.deepcopy(value, _detached(model))
            except Exception:
                memo[id(value)] = value
    try:
        return copy.deepcopy(model, memo)
    except Exception as error:
        raise RequestError(f"preflight: the network cannot be copied: {full_message(error)}") from error


def _detached(model: nn.Module) -> dict[int, Any]:
    """For deepcopy: tensors that a module keeps with their graph, which torch refuses to copy."""
    memo: dict[int, Any] = {}
    for module in model.modules():
        for value in _tensors(vars(module).values(), 2):
            if not value.is_leaf:
                memo[id(value)] = value.detach().clone()
    return memo


def _tensors(values: Iterable[Any], depth: int) -> Iterable[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif depth and isinstance(value, dict):
            yield from _tensors(value.values(), depth - 1)
        elif depth and isinstance(value, list | tuple):
            yield from _tensors(value, depth - 1)


def floating_dtype(model: nn.Module) -> torch.dtype | None:
    """That of the network's first floating parameter."""
    return next((p.dtype for p in model.parameters() if p.is_floating_point()), None)
