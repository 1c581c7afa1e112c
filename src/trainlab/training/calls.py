"""Whether what an option names takes the call that it will get, asked before a network is built."""

import inspect
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from trainlab.build import build, policy, reason
from trainlab.build.calls import LATER, expected
from trainlab.build.policy import Part
from trainlab.errors import RequestError

MODEL_ARGUMENTS = ("in_shape_CHW", "num_classes", "activation", "norm_layer", "pool")

_CALLS: tuple[tuple[Part, tuple[Any, ...], Mapping[str, Any]], ...] = (
    (policy.MODEL, (), dict.fromkeys(MODEL_ARGUMENTS)),
    (policy.ACTIVATION, (), {}),
    (policy.POOL, (), {}),
    (policy.NORM_LAYER, (8,), {}),
    (policy.NORMALIZATION, (), {"mean_C": (0.0,), "std_C": (1.0,)}),
    (policy.INIT, (None,), {"negative_slope": 0.0}),
    (policy.OPTIMIZER, (None,), {}),
    (policy.SCHEDULER, (None, 1), {}),
    (policy.AUGMENT, (None, None), {}),
)


_SMALL = frozenset({"activation", "pool", "norm_layer", "normalization"})
"""Parts that cost nothing to build: a module without an `__init__` of its own has a signature that lies."""


def check_calls(settings: Mapping[str, Any]) -> None:
    """Binds each option's arguments, and calls those that cost nothing.

    Raises:
        RequestError: one that would not take them: what it says, and how it is called.
    """
    for part, args, kwargs in _CALLS:
        node = settings[part.name]
        node = node["layer"] if part is policy.NORM_LAYER else node
        built = build(node, part)
        if built is None:
            continue
        named = f"{part.name} {node['_target_']}"
        if part.name in LATER and isinstance(built, nn.Module):
            raise RequestError(f"{named}: it is built already{expected(part.name, is_partial=False)}")
        if not callable(built):
            raise RequestError(f"{named}: cannot be called{expected(part.name)}")
        try:
            _signature(built).bind(*args, **kwargs)
            if part.name in _SMALL:
                with torch.device("meta"):
                    built(*args, **kwargs)
        except TypeError as error:
            raise RequestError(f"{named}: {reason(error)}{expected(part.name)}") from error


def _signature(built: Any) -> inspect.Signature:
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
    anything = [(name, getattr(inspect.Parameter, f"VAR_{kind}")) for name, kind in
                (("args", "POSITIONAL"), ("kwargs", "KEYWORD"))]  # fmt: skip
    return inspect.Signature([inspect.Parameter(name, kind) for name, kind in anything])
