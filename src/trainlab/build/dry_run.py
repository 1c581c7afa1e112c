"""Refuses settings that cannot be built or trained, before any data are read: builds them on the meta
device."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from trainlab.axes import NETWORK_WRAPPERS
from trainlab.build.networks import MetaNetworks
from trainlab.errors import RequestError
from trainlab.instantiate import instantiate, root_cause_message
from trainlab.instantiate.parts import (
    ACTIVATION,
    AUGMENT,
    INIT,
    MODEL,
    NORM_LAYER,
    NORMALIZATION,
    OPTIMIZER,
    PARTIAL_PARTS,
    PARTS,
    POOL,
    SCHEDULER,
    Part,
    expected_call,
)
from trainlab.settings import Settings

MODEL_ARGUMENTS = ("in_shape_CHW", "num_classes", "activation", "norm_layer", "pool")

_CALLS: tuple[tuple[Part, tuple[object, ...], Mapping[str, object]], ...] = (
    (MODEL, (), dict.fromkeys(MODEL_ARGUMENTS)),
    (ACTIVATION, (), {}),
    (POOL, (), {}),
    (NORM_LAYER, (8,), {}),
    (NORMALIZATION, (), {"mean_C": (0.0,), "std_C": (1.0,)}),
    (INIT, (None,), {"negative_slope": 0.0}),
    (OPTIMIZER, (None,), {}),
    (SCHEDULER, (None, 1), {}),
    (AUGMENT, (None, None), {}),
    *((PARTS[axis.name], (None,), {}) for axis in NETWORK_WRAPPERS),
)


_CHEAP_PARTS = frozenset({"activation", "pool", "norm_layer", "normalization"})
"""Parts that cost nothing to build: a module without an `__init__` of its own has a signature that lies."""


def validate_calls(settings: Settings) -> None:
    """Binds each option's arguments, and calls those that cost nothing.

    Raises:
        RequestError: one that would not take them: what it says, and how it is called.
    """
    for part, args, kwargs in _CALLS:
        node = settings.component(part.name)
        built = instantiate(node, part)
        if node is None or built is None:
            continue
        named = f"{part.name} {node.target}"
        if part.name in PARTIAL_PARTS and isinstance(built, nn.Module):
            raise RequestError(f"{named}: it is built already{expected_call(part.name, is_partial=False)}")
        if not callable(built):
            raise RequestError(f"{named}: cannot be called{expected_call(part.name)}")
        try:
            _call_signature(built).bind(*args, **kwargs)
            if part.name in _CHEAP_PARTS:
                with torch.device("meta"):
                    built(*args, **kwargs)
        except TypeError as error:
            raise RequestError(f"{named}: {root_cause_message(error)}{expected_call(part.name)}") from error


def _call_signature(built: Callable[..., object]) -> inspect.Signature:
    """The signature of a callable; one that takes everything where it is written in C, and has none.

    Raises TypeError where a partial's own keywords do not fit.
    """
    try:
        return inspect.signature(built)
    except ValueError as error:
        if isinstance(built, partial) and "partial" in str(error):
            keys = ", ".join(built.keywords)
            raise TypeError(f"{inspect.signature(built.func)} does not take {keys}") from error
    except TypeError:
        pass
    return inspect.signature(lambda *args, **kwargs: None)


def validate_build(settings: Settings, networks: MetaNetworks | None = None) -> None:
    """Refuses what cannot be built or trained, before any data are read: builds it on the meta device.

    `networks`, where many settings are checked, builds the network of several of them once.

    Raises:
        RequestError: by name, with what was expected.
    """
    validate_calls(settings)
    network = (networks or MetaNetworks()).get(settings)
    if network is None:
        return
    validate_batch_size(settings, network)
    parameter = nn.Parameter(torch.zeros(1))
    try:
        optimizer = instantiate(settings.optimizer, OPTIMIZER)([parameter])
        instantiate(settings.scheduler, SCHEDULER)(optimizer, 100)
    except (TypeError, ValueError) as error:
        raise RequestError(f"optimizer or scheduler: {root_cause_message(error)}") from error


def validate_batch_size(settings: Settings, built: nn.Module) -> None:
    """A batch of one has no variance over the batch: BatchNorm cannot train on it."""
    per_device = settings.data.batch_size // settings.trainer.devices
    if per_device < 1:
        raise RequestError(
            f"data.batch_size={settings.data.batch_size}: expected at least one image for each of "
            f"trainer.devices={settings.trainer.devices}"
        )
    has_batchnorm = any(isinstance(m, _BatchNorm) for m in built.modules())
    smallest = min(per_device, settings.data.train_size or per_device)
    if has_batchnorm and smallest == 1:
        raise RequestError(
            f"norm_layer={settings.axes['norm_layer']} on a batch of one: "
            "expected data.batch_size of at least 2 per device, or norm_layer=layernorm, groupnorm or none"
        )
