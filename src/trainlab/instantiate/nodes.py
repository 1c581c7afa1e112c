"""Settings become objects: what an option's node names is built here and nowhere else."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from trainlab.errors import RequestError, describe_value, error_message
from trainlab.instantiate.allowlist import resolve_permitted, with_current_names
from trainlab.instantiate.parts import TARGET, Part, expected_call
from trainlab.section import Component, Section

MAX_LEVELS, MAX_VALUES = 20, 10_000
"""The most levels and values of an untrusted option; ours have four levels and a dozen values."""

_SWITCHES = {"_partial_": False, "_recursive_": True}
_RESERVED_KEYS = (TARGET, "_args_", "_convert_", *_SWITCHES)


def instantiate(
    node: Component | Mapping[str, object] | None, part: Part, *args: object, **kwargs: object
) -> Any:
    """What a component names, built of its keys and of what is given here; None where it names nothing.

    A plain mapping is untrusted.

    Raises:
        RequestError: it is untrusted and names what such settings may not build; or the class is not
            there, or does not take these arguments.
    """
    if node is None:
        return None
    plain = node.to_plain() if isinstance(node, Component) else node
    if not isinstance(plain, Mapping):
        raise RequestError(f"{part.name}: got a {type(node).__name__}, expected settings with {TARGET}")
    if plain.get(TARGET) is None:
        return None
    if isinstance(node, Component) and node.is_trusted:
        return _instantiate_with_hydra(plain, part, args, kwargs)
    found = _NodeChecker(part).check(plain)
    assert isinstance(found, _CheckedCall)
    try:
        return found.made(args, kwargs)
    except RequestError:
        raise
    except Exception as error:  # a constructor with arbitrary arguments may raise anything
        raise RequestError(
            f"{part.name} {describe_value(plain[TARGET])}: "
            f"{root_cause_message(error)}{_expected_call(error, plain, part)}"
        ) from error


def check_node(node: object, part: Part) -> Any:
    """Refuses an untrusted node that names what may not be built, at any depth; nothing is called.

    Returns what `instantiate` would call, None for trusted nodes.

    Raises:
        RequestError: it names what may not be built (says how to allow it), or holds what is not plain.
    """
    if isinstance(node, Section) and node.is_trusted:
        return None
    return _NodeChecker(part).check(node.to_plain() if isinstance(node, Section) else node)


def check_bounded(value: object, name: str) -> None:
    """Refuses values without end: more levels or more values than settings have. Raises RequestError."""
    left = MAX_VALUES
    level: list[object] = [value]
    for _ in range(MAX_LEVELS):
        inside = [list(v.values()) if isinstance(v, Mapping) else v for v in level]
        level = [item for v in inside if isinstance(v, list | tuple) for item in v][: left + 1]
        left -= len(level)
        if not level:
            return
        if left < 0:
            break
    raise RequestError(f"{name}: expected at most {MAX_LEVELS} levels and {MAX_VALUES:,} values")


def root_cause_message(error: BaseException) -> str:
    """The innermost message of something that failed, in one line."""
    while error.__cause__ is not None and isinstance(error.__cause__, Exception):
        error = error.__cause__
    return error_message(error)


def _expected_call(error: BaseException, node: Mapping[str, object], part: Part) -> str:
    """How the part is called, where the error is that it cannot be called so."""
    while error.__cause__ is not None:
        error = error.__cause__
    return expected_call(part.name, bool(node.get("_partial_"))) if isinstance(error, TypeError) else ""


def _instantiate_with_hydra(
    node: Mapping[str, object], part: Part, args: tuple[object, ...], kwargs: Mapping[str, object]
) -> object:
    """By Hydra, which refuses a few targets itself (`os.system`)."""
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate  # a third of a second, and most callers have it already

    try:
        # `_convert_="all"`: what is built never sees OmegaConf's containers
        return instantiate(with_current_names(dict(node)), *args, _convert_="all", **kwargs)
    except InstantiationException as error:
        if isinstance(error.__cause__, RequestError):
            raise error.__cause__ from None
        raise RequestError(
            f"{part.name} {node[TARGET]}: {root_cause_message(error)}{_expected_call(error, node, part)}"
        ) from error


@dataclass(frozen=True)
class _CheckedCall:
    """A node that has been checked: the very object that was judged, and what it is called with."""

    target: Callable[..., object]
    args: tuple[object, ...]
    kwargs: Mapping[str, object]
    is_partial: bool

    def made(self, args: tuple[object, ...] = (), kwargs: Mapping[str, object] | None = None) -> object:
        """Calls it; arguments given here go before its own."""
        args = args or tuple(map(_construct, self.args))
        given = {key: _construct(value) for key, value in self.kwargs.items()} | dict(kwargs or {})
        return partial(self.target, *args, **given) if self.is_partial else self.target(*args, **given)


def _construct(value: object) -> object:
    if isinstance(value, _CheckedCall):
        return value.made()
    if isinstance(value, dict):
        return {key: _construct(item) for key, item in value.items()}
    return [_construct(item) for item in value] if isinstance(value, list) else value


class _NodeChecker:
    """Checks an untrusted node: plain values stay, nodes become calls, anything else is refused."""

    def __init__(self, part: Part):
        self._part = part
        self._left = MAX_VALUES

    def check(self, value: object, depth: int = 0) -> object:
        """A value at any depth."""
        self._left -= 1
        if depth > MAX_LEVELS or self._left < 0:
            raise RequestError(
                f"{self._part.name}: expected at most {MAX_LEVELS} levels and {MAX_VALUES:,} values of "
                f"settings"
            )
        if isinstance(value, Mapping):
            return self._check_mapping(value, depth)
        if isinstance(value, list | tuple):
            return [self.check(item, depth + 1) for item in value]
        if isinstance(value, str) and "${" in value:
            raise self._fault(f"{describe_value(value)} is an interpolation, expected a plain value")
        if value is not None and not isinstance(value, bool | int | float | str):
            raise self._fault(f"got a {type(value).__name__}, expected plain values")
        return value

    def _check_mapping(self, mapping: Mapping[object, object], depth: int) -> object:
        node = {key: item for key, item in mapping.items() if isinstance(key, str)}
        if len(node) < len(mapping):
            raise self._fault("a key is not text")
        target = node.get(TARGET)
        if target is None:
            return {key: self.check(item, depth + 1) for key, item in node.items() if key != TARGET}
        found = resolve_permitted(target, self._part)
        read = {key: self.check(item, depth + 1) for key, item in node.items() if key != TARGET}
        is_partial, is_deep = (self._switch(read, key, default) for key, default in _SWITCHES.items())
        given = read if is_deep else node
        args = given.get("_args_") or []
        if not isinstance(args, list | tuple):
            raise self._fault(f"_args_ is {describe_value(args)}, expected a list")
        own_keys = {key: value for key, value in given.items() if key not in _RESERVED_KEYS}
        return _CheckedCall(found, tuple(args), own_keys, is_partial)

    def _switch(self, node: Mapping[str, object], key: str, default: bool) -> bool:
        value = node.get(key, default)
        if not isinstance(value, bool):
            raise self._fault(f"{key} is {describe_value(value)}, expected true or false")
        return value

    def _fault(self, says: str) -> RequestError:
        return RequestError(f"{self._part.name}: {says}")
