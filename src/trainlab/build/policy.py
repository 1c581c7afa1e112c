"""What a stranger's settings may name: by the object itself, never by the path that leads to it.

Of what they name, only classes and functions of trainlab and torch that belong to that part of the settings
are built, judged by the module and the name under which they were defined; no module is imported to look for
others. A user adds to them by the environment variable TRAINLAB_ALLOW: exact names, or a package with its dot
(`my_package.`, and then only what is defined in it), separated by commas.
"""

import importlib
import inspect
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from trainlab.errors import RequestError

ALLOW = "TRAINLAB_ALLOW"
TARGET = "_target_"


@dataclass(frozen=True)
class Part:
    """A part of the settings, and which objects it may name where the settings are a stranger's.

    classes_in: packages or modules; a class defined in one of them will do if it is a subclass of `base`
        (`module.Class`; any class where that is None).
    named: single classes and functions that will do as well.
    """

    name: str
    classes_in: tuple[str, ...] = ()
    base: str | None = None
    named: tuple[str, ...] = ()


_LAYER = "torch.nn.Module"
_LAYERS_IN = ("torch.nn.modules", "trainlab.nn")
ACTIVATION = Part("activation", _LAYERS_IN, _LAYER)
INIT = Part("init", ("trainlab.nn.initializers", "trainlab.nn.lsuv"))
NORMALIZATION = Part("normalization", ("trainlab.nn.normalization",), _LAYER)
NORM_LAYER = Part("norm_layer", _LAYERS_IN, _LAYER, named=(
    "trainlab.nn.norm_layers.layer_norm", "trainlab.nn.norm_layers.group_norm",
))  # fmt: skip
POOL = Part("pool", _LAYERS_IN, _LAYER)
MODEL = Part("model", ("trainlab.models",), _LAYER)
SOURCE = Part("data.source", named=(
    "trainlab.data.digits.Digits",
    "trainlab.data.official.mnist",
    "trainlab.data.official.fashion_mnist",
    "trainlab.data.official.cifar10",
    "trainlab.data.shapeset.Shapeset",
    "trainlab.data.image_folder.ImageFolder",
))  # fmt: skip
AUGMENT = Part("augment", named=("trainlab.data.augment.none", "trainlab.data.augment.flip_crop"))
OPTIMIZER = Part("optimizer", ("torch.optim",), "torch.optim.Optimizer")
SCHEDULER = Part("scheduler", named=tuple(
    f"trainlab.training.schedules.{name}" for name in ("constant", "cosine", "onecycle", "step")
))  # fmt: skip
LOGGER = Part("logger", named=tuple(
    f"trainlab.training.tracking.{name}_logger" for name in ("csv", "tensorboard", "wandb")
))  # fmt: skip

_allowed_here: ContextVar[tuple[str, ...]] = ContextVar("allowed", default=())


@contextmanager
def allowing(names: Iterable[str]) -> Iterator[None]:
    """Adds to what a stranger's settings may build, as TRAINLAB_ALLOW does, inside a block."""
    before = _allowed_here.set((*_allowed_here.get(), *names))
    try:
        yield
    finally:
        _allowed_here.reset(before)


def permitted(target: Any, part: Part) -> Any:
    """The object that a stranger's settings name in this part. Raises RequestError."""
    if not isinstance(target, str):
        raise RequestError(f"{part.name}.{TARGET}: got a {type(target).__name__}, expected a name")
    if _allowed_by_user(target):
        return _found_as_allowed(target, part)
    found = _found_in_ours(target, part)
    if found is None:
        raise _refused(target, part)
    return found


def _found_in_ours(target: str, part: Part) -> Any:
    """The object, where it is one of ours for this part; None otherwise. Nothing else is imported."""
    module, _, name = target.rpartition(".")
    if not all(map(str.isidentifier, target.split("."))):
        return None
    # `torch.nn` and `trainlab.models` give the names of what is defined below them
    homes = [home for home in part.classes_in if _within(module, home) or home == f"{module}.modules"]
    if not homes and target not in part.named:
        return None
    try:
        found = vars(importlib.import_module(module)).get(name)
    except ImportError:
        return None
    if not (inspect.isclass(found) or inspect.isfunction(found)) or not _is_itself(found):
        return None
    if target in part.named:
        return found
    is_home = any(_within(found.__module__, home) for home in part.classes_in)
    return found if is_home and inspect.isclass(found) and _is_based(found, part) else None


def _is_based(found: type, part: Part) -> bool:
    if part.base is None:
        return True
    module, _, name = part.base.rpartition(".")
    return issubclass(found, getattr(importlib.import_module(module), name))


def _is_itself(found: Any) -> bool:
    """Whether it is what its own module has under its own name."""
    home = sys.modules.get(found.__module__)
    return home is not None and vars(home).get(found.__qualname__) is found


def _allowed_by_user(target: str) -> str | None:
    """The entry of TRAINLAB_ALLOW that covers a name."""
    mine = [*_allowed_here.get(), *filter(None, os.environ.get(ALLOW, "").replace(" ", "").split(","))]
    fitting = (n for n in mine if target == n or (n.endswith(".") and len(n) > 1 and target.startswith(n)))
    return next(fitting, None)


def _found_as_allowed(target: str, part: Part) -> Any:
    """What the user has allowed: by its exact name as it is; below a package only what is defined there."""
    entry = str(_allowed_by_user(target))
    if entry.endswith(".") and "__" in target:
        raise _refused(target, part)
    found = _resolved(target)
    if not (inspect.isclass(found) or inspect.isroutine(found)):
        raise RequestError(f"{part.name} names {target}: got a {type(found).__name__}, expected a class")
    home = f"{getattr(found, '__module__', None)}."
    if entry.endswith(".") and not home.startswith(entry):
        raise _refused(target, part, found)
    return found


def _resolved(target: str) -> Any:
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
        except Exception as error:  # a module of the user's own runs as it is imported
            raise RequestError(f"{target}: {type(error).__name__} in {name}: {error}") from error
        for word in words[length:]:
            found = getattr(found, word, None)
        if found is None:
            raise RequestError(f"{target}: {name} has no {'.'.join(words[length:])}")
        return found
    raise RequestError(f"{target}: no module named {words[0]}")


def _within(module: str, home: str) -> bool:
    return module == home or module.startswith(f"{home}.")


def _refused(target: str, part: Part, found: Any = None) -> RequestError:
    own_name = f"{getattr(found, '__module__', None)}.{getattr(found, '__qualname__', None)}"
    really = f" (it is {own_name})" if found is not None else ""
    return RequestError(
        f"{part.name} names {shown(target)}{really}, which is not on the allow-list for settings that others "
        f"have written; if you trust whoever wrote them: {ALLOW}={shown(target)}"
    )


def shown(value: Any) -> str:
    """A stranger's value in a message: one line, of bounded length, with nothing that a terminal obeys."""
    text = value if isinstance(value, str) else repr(value)
    text = "".join(c if c.isprintable() else "�" for c in text)
    return text if len(text) <= 120 else f"{text[:119]}…"
