"""Hooks that keep nothing alive: torch holds a hook until it is removed, and by a bound method its object.

A loop may end by an error before anybody removes the hook, and then all that the object refers to would stay.
"""

import weakref
from collections.abc import Callable
from typing import TypeVarTuple

import torch
from torch.utils.hooks import RemovableHandle

Arguments = TypeVarTuple("Arguments")


def hook_weakly(
    register: Callable[[Callable[[*Arguments], None]], RemovableHandle],
    method: Callable[[*Arguments], None],
) -> RemovableHandle:
    """Registers a hook that calls the method, and is removed with the method's object at the latest.

    Nothing is called while torch compiles.
    """
    reference = weakref.WeakMethod(method, lambda _: handle.remove())

    def hook(*arguments: *Arguments) -> None:
        if not torch.compiler.is_compiling() and (alive := reference()) is not None:
            alive(*arguments)

    handle = register(hook)
    return handle
