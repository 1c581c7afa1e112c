"""OmegaConf's merge, overrides and interpolations on plain dictionaries, for what is common in settings.

Everything else raises `NeedsHydra`. `tests/config/test_composer.py` compares the results with Hydra's.
"""

import os
import re
from collections.abc import Mapping
from functools import cache

from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import OmegaConf

_REFERENCE = re.compile(r"\$\{([A-Za-z_]\w*(?:\.\w+)*)\}")
_ENVIRONMENT = re.compile(r"\$\{oc\.env:\s*([^,${}\\]*)[^${}\\]*\}")


class NeedsHydra(Exception):
    """Something that only Hydra and OmegaConf themselves can do."""


def merge(into: dict[str, object], content: Mapping[str, object]) -> None:
    """OmegaConf's merge on plain values: mappings merge, everything else replaces."""
    for key, value in content.items():
        before = into.get(key)
        if isinstance(value, dict):
            if isinstance(before, str) and "${" in before:
                raise NeedsHydra  # OmegaConf merges into what it refers to
            if not isinstance(before, dict):
                into[key] = before = {}
            merge(before, value)
        elif value == "???":
            into.setdefault(key, value)
        else:
            into[key] = value


def apply_override(settings: dict[str, object], override: Override) -> None:
    """Hydra's override on a plain tree: `a.b=1` where it exists, `+a.b=1` where not, `++a.b=1` anyhow."""
    value = override.value()
    if override.is_delete() or override.package is not None or isinstance(value, dict) or value == "???":
        raise NeedsHydra
    *parents, last = override.key_or_group.split(".")
    node: object = settings
    for key in parents:
        if not isinstance(node, dict) or key not in node:
            raise NeedsHydra
        node = node[key]
    if not isinstance(node, dict) or "[" in override.key_or_group:
        raise NeedsHydra
    if override.is_add() and node.get(last) is not None:
        raise NeedsHydra
    if override.type is OverrideType.CHANGE and last not in node:
        raise NeedsHydra
    before = node.get(last)
    if isinstance(before, str) and "${" in before and isinstance(value, list):
        raise NeedsHydra
    node[last] = value


def resolve_interpolations(value: object, root: Mapping[str, object]) -> object:
    """A copy of `value` with its interpolations replaced by what they refer to."""
    if isinstance(value, dict):
        return {k: resolve_interpolations(v, root) for k, v in value.items()}
    if isinstance(value, list):
        return [resolve_interpolations(v, root) for v in value]
    if not isinstance(value, str) or "${" not in value:
        return value
    if reference := _REFERENCE.fullmatch(value):
        return resolve_interpolations(_look_up(root, reference[1]), root)
    if variable := _ENVIRONMENT.fullmatch(value):
        return _environment_value(value, os.environ.get(variable[1]))
    raise NeedsHydra


@cache
def _environment_value(interpolation: str, current: str | None) -> object:
    """An `${oc.env:…}` resolved; `current`, the value of its variable, is there for the cache."""
    return OmegaConf.create({"value": interpolation}).value


def _look_up(root: Mapping[str, object], path: str) -> object:
    node: object = root
    for key in path.split("."):
        if isinstance(node, str) and "${" in node:
            raise NeedsHydra  # through another interpolation
        if not isinstance(node, dict) or key not in node:
            raise NeedsHydra
        node = node[key]
    if node == "???":
        raise NeedsHydra
    return node
