"""What a user hands over stays as it was: the network is copied, the state of the process is put back."""

import copy
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.nn.parameter import is_lazy
from torch.utils.data import DataLoader

from trainlab.errors import RequestError, error_with_type

Restore = Callable[[], object]
"""Puts one thing back."""


def copy_model(
    model: nn.Module, memo: dict[int, object] | None = None, asked_by: str = "preflight"
) -> nn.Module:
    """The network on its own: weights, statistics, modes and hooks, without compilation or parallel wrapping.

    What a module keeps besides (an activation with its graph, a lock, a file) is detached, or shared where it
    cannot be copied. `memo` is filled with the copies by the `id` of what was copied; `asked_by` begins the
    errors.

    Raises RequestError for what is no network, and for one that cannot be copied or has no weights yet.
    """
    if not isinstance(model, nn.Module):
        what = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
        raise RequestError(
            f"{asked_by}: got {what} for the network, expected a torch.nn.Module that was built"
        )
    lazy = [name for name, p in (*model.named_parameters(), *model.named_buffers()) if is_lazy(p)]
    if lazy:
        raise RequestError(
            f"{asked_by}: {lazy[0]} has no shape yet: pass one batch through the network first"
        )
    own, memo = unwrap_model(model), {} if memo is None else memo
    memo.update(_detached_memo(own))
    try:
        twin = copy.deepcopy(own, memo)
    except Exception:  # something in it cannot be copied, and is shared
        memo.clear()
        twin = _copy_what_can_be_copied(own, memo, asked_by)
    return _unwrap_children(twin)


def unwrap_model(module: nn.Module) -> nn.Module:
    """The network inside torch.compile's or a parallel wrapper."""
    while True:
        compiled = vars(module).get("_modules", {}).get("_orig_mod")
        if isinstance(module, DataParallel | DistributedDataParallel):
            module = module.module
        elif isinstance(compiled, nn.Module):
            module = compiled
        else:
            return module


def _unwrap_children(module: nn.Module) -> nn.Module:
    for name, child in list(module.named_children()):
        setattr(module, name, _unwrap_children(unwrap_model(child)))
    return module


def _copy_what_can_be_copied(model: nn.Module, memo: dict[int, object], asked_by: str) -> nn.Module:
    memo.update(_detached_memo(model))
    for module in model.modules():
        for name, value in vars(module).items():
            if name in ("_parameters", "_buffers", "_modules"):
                continue
            try:
                copy.deepcopy(value, _detached_memo(model))
            except Exception:
                memo[id(value)] = value
    try:
        return copy.deepcopy(model, memo)
    except Exception as error:
        raise RequestError(f"{asked_by}: the network cannot be copied: {error_with_type(error)}") from error


def _detached_memo(model: nn.Module) -> dict[int, object]:
    """For deepcopy: tensors that a module keeps with their graph, which torch refuses to copy."""
    memo: dict[int, object] = {}
    for module in model.modules():
        for value in _tensors(vars(module).values(), 2):
            if not value.is_leaf:
                memo[id(value)] = value.detach().clone()
    return memo


def _tensors(values: Iterable[object], depth: int) -> Iterable[Tensor]:
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


SEARCHED_ATTRIBUTES = ("sampler", "batch_sampler", "dataset", "transform", "transforms", "collate_fn")
"""Attributes in which a loader's own generators are looked for."""

SEARCH_DEPTH = 4
"""How far down they are looked for: loader, batch sampler, sampler, generator."""


@contextmanager
def preserve_global_state(*owners: object) -> Iterator[None]:
    """Random states, flags and modes are put back at the end, by an error or Ctrl-C too; gradients are on.

    `owners` (a loader, a data set, a sampler) keep generators of their own, which are put back as well.
    """
    restore = [
        *_random_states(),
        _flags(),
        *(put_back for owner in owners for put_back in _generators(owner, SEARCH_DEPTH)),
    ]
    with ExitStack() as stack:
        for put_back in restore:
            stack.callback(put_back)
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for device in _device_types():
            stack.enter_context(torch.autocast(device, enabled=False))
        yield


def loader_copy(batches: Iterable[object]) -> Iterable[object]:
    """A loader that reads the same without its persistent workers; anything else as it is."""
    if not isinstance(batches, DataLoader):
        return batches
    twin = copy.copy(batches)
    vars(twin)["_iterator"] = None  # of persistent workers, which belong to the original
    return twin


def _device_types() -> list[str]:
    """Of the devices on which a cast may be on."""
    return ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def _random_states() -> list[Restore]:
    """Python's, NumPy's, and torch's on every device that has been used."""
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    restores: list[Restore] = [
        lambda: random.setstate(python),
        lambda: np.random.set_state(numpy),
        lambda: torch.set_rng_state(cpu),
    ]
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        cuda = torch.cuda.get_rng_state_all()
        restores.append(lambda: torch.cuda.set_rng_state_all(cuda))
    if torch.backends.mps.is_available():
        mps = torch.mps.get_rng_state()
        restores.append(lambda: torch.mps.set_rng_state(mps))
    return restores


def _flags() -> Restore:
    """What a network's own forward pass, or an optimizer, may have set for the whole process."""
    dtype, precision, threads = (
        torch.get_default_dtype(),
        torch.get_float32_matmul_precision(),
        torch.get_num_threads(),
    )
    exact, warns = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    anomaly, cudnn = torch.is_anomaly_enabled(), torch.backends.cudnn
    kernels = {name: getattr(cudnn, name) for name in ("enabled", "benchmark", "deterministic")}

    def put_back() -> None:
        torch.set_default_dtype(dtype)
        torch.set_float32_matmul_precision(precision)
        torch.use_deterministic_algorithms(exact, warn_only=warns)
        torch.autograd.set_detect_anomaly(anomaly)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        for name, value in kernels.items():
            setattr(cudnn, name, value)

    return put_back


def _generators(owner: object, depth: int) -> list[Restore]:
    """Generators in the attributes of `owner`, and of the samplers, data sets and transforms in it."""
    restores: list[Restore] = []
    for name, value in list(getattr(owner, "__dict__", {}).items()):
        restore = _generator_restore(value)
        if restore is not None:
            restores.append(restore)
        elif depth and (name in SEARCHED_ATTRIBUTES or isinstance(owner, DataLoader)):
            inner: Iterable[object] = value if isinstance(value, list | tuple) else [value]
            restores += [restore for part in inner for restore in _generators(part, depth - 1)]
    return restores


def _generator_restore(value: object) -> Restore | None:
    if isinstance(value, torch.Generator):
        state = value.get_state()
        return lambda: value.set_state(state)
    if isinstance(value, np.random.Generator):
        numbers = value.bit_generator.state
        return lambda: setattr(value.bit_generator, "state", numbers)
    if isinstance(value, np.random.RandomState):
        numbers = value.get_state()
        return lambda: value.set_state(numbers)
    if isinstance(value, random.Random):
        python = value.getstate()
        return lambda: value.setstate(python)
    return None
