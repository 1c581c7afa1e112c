"""What untrusted settings may name: judged by the object itself, never by the path that leads to it.

Of what they name, only classes and functions of trainlab and torch that belong to that part of the settings
(`parts`) are built, judged by the module and the name under which they were defined; no module is imported
to look for others. A user adds to them by the environment variable TRAINLAB_ALLOW: exact names, or a package
with its dot (`my_package.`, and then only what is defined in it), separated by commas.

`conf/`, users' own `./conf` and the settings of old records hold names as they were first released, and a
run's identity is a hash of them: they stay, and are looked up here (`RENAMED`).
"""

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FunctionType

from trainlab.errors import RequestError, describe_value
from trainlab.instantiate.parts import TARGET, Part

RENAMED = {
    "trainlab.training.schedules": "trainlab.nn.schedules",
    "trainlab.data.official": "trainlab.data.torchvision_datasets",
    "trainlab.training.tracking.wandb_logger": "trainlab.training.wandb_tracking.wandb_logger",
}
"""Modules, or single objects in them: released name → today's."""


def current_name(target: str) -> str:
    """Where the class or function that was released under this name is now."""
    module, _, name = target.rpartition(".")
    return RENAMED.get(target) or (f"{RENAMED[module]}.{name}" if module in RENAMED else target)


def with_current_names(node: object) -> object:
    """A copy of plain settings, every `_target_` at any depth by its current name."""
    if isinstance(node, dict):
        items = {key: with_current_names(value) for key, value in node.items()}
        if isinstance(target := items.get("_target_"), str):
            items["_target_"] = current_name(target)
        return items
    return [with_current_names(item) for item in node] if isinstance(node, list) else node


ALLOW_VARIABLE = "TRAINLAB_ALLOW"

_allowed_in_block: ContextVar[tuple[str, ...]] = ContextVar("allowed", default=())


@contextmanager
def allowing(names: Iterable[str]) -> Iterator[None]:
    """Adds to what untrusted settings may build, as TRAINLAB_ALLOW does, inside a block."""
    before = _allowed_in_block.set((*_allowed_in_block.get(), *names))
    try:
        yield
    finally:
        _allowed_in_block.reset(before)


def resolve_permitted(target: object, part: Part) -> Callable[..., object]:
    """The object that untrusted settings name in this part. Raises RequestError."""
    if not isinstance(target, str):
        raise RequestError(f"{part.name}.{TARGET}: got a {type(target).__name__}, expected a name")
    target = current_name(target)
    if _matching_allow_entry(target):
        return _find_allowed_by_user(target, part)
    found = _find_built_in(target, part)
    if found is None:
        raise _not_allowed_error(target, part)
    return found


def _find_built_in(target: str, part: Part) -> Callable[..., object] | None:
    """The object, where it is one of ours for this part; None otherwise. Nothing else is imported."""
    module, _, name = target.rpartition(".")
    if not all(map(str.isidentifier, target.split("."))):
        return None
    # `torch.nn` and `trainlab.models` give the names of what is defined below them
    homes = [home for home in part.classes_in if _is_inside(module, home) or home == f"{module}.modules"]
    if not homes and target not in part.named:
        return None
    try:
        found = vars(importlib.import_module(module)).get(name)
    except ImportError:
        return None
    if not (inspect.isclass(found) or inspect.isfunction(found)) or not _is_defined_there(found):
        return None
    if target in part.named:
        return found
    is_home = any(_is_inside(found.__module__, home) for home in part.classes_in)
    return found if is_home and inspect.isclass(found) and _is_subclass_of_base(found, part) else None


def _is_subclass_of_base(found: type, part: Part) -> bool:
    if part.base is None:
        return True
    module, _, name = part.base.rpartition(".")
    return issubclass(found, getattr(importlib.import_module(module), name))


def _is_defined_there(found: type | FunctionType) -> bool:
    """Whether it is what its own module has under its own name."""
    home = sys.modules.get(found.__module__)
    return home is not None and vars(home).get(found.__qualname__) is found


def _matching_allow_entry(target: str) -> str | None:
    """The entry of TRAINLAB_ALLOW that covers a name."""
    mine = [
        *_allowed_in_block.get(),
        *filter(None, os.environ.get(ALLOW_VARIABLE, "").replace(" ", "").split(",")),
    ]
    fitting = (n for n in mine if target == n or (n.endswith(".") and len(n) > 1 and target.startswith(n)))
    return next(fitting, None)


def _find_allowed_by_user(target: str, part: Part) -> Callable[..., object]:
    """What the user has allowed: by its exact name as it is; below a package only what is defined there."""
    entry = str(_matching_allow_entry(target))
    if entry.endswith(".") and "__" in target:
        raise _not_allowed_error(target, part)
    found = _import_object(target)
    if not (inspect.isclass(found) or inspect.isroutine(found)):
        raise RequestError(f"{part.name} names {target}: got a {type(found).__name__}, expected a class")
    home = f"{getattr(found, '__module__', None)}."
    if entry.endswith(".") and not home.startswith(entry):
        raise _not_allowed_error(target, part, found)
    return found


def _import_object(target: str) -> object:
    """The object under a name that has been permitted: its longest module, then names inside classes."""
    words = target.split(".")
    for length in range(len(words) - 1, 0, -1):
        name = ".".join(words[:length])
        try:
            found = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise RequestError(f"{target}: {error}") from error
            continue
        except Exception as error:  # importing a user's own module runs it
            raise RequestError(f"{target}: {type(error).__name__} in {name}: {error}") from error
        for word in words[length:]:
            found = getattr(found, word, None)
        if found is None:
            raise RequestError(f"{target}: {name} has no {'.'.join(words[length:])}")
        return found
    raise RequestError(f"{target}: no module named {words[0]}")


def _is_inside(module: str, home: str) -> bool:
    return module == home or module.startswith(f"{home}.")


def _not_allowed_error(target: str, part: Part, found: object = None) -> RequestError:
    own_name = f"{getattr(found, '__module__', None)}.{getattr(found, '__qualname__', None)}"
    really = f" (it is {own_name})" if found is not None else ""
    return RequestError(
        f"{part.name} names {describe_value(target)}{really}, which is not on the allow-list for settings "
        f"that others "
        f"have written; if you trust whoever wrote them: {ALLOW_VARIABLE}={describe_value(target)}"
    )
