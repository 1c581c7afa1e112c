"""JSON that every reader accepts, with numbers that are not finite.

JSON has no NaN or infinity. They are written as the strings "NaN", "Infinity" and "-Infinity", as the JSON
mapping of Protocol Buffers and Pydantic's `ser_json_inf_nan="strings"` do; null means "not measured".
"""

import json
import math
from collections.abc import Mapping

from trainlab.errors import TERMINAL_CONTROLS

_NOT_FINITE = frozenset({"NaN", "Infinity", "-Infinity"})


def dumps(value: object, indent: int | None = None) -> str:
    """`value` as strict JSON text. Raises TypeError for what is neither plain nor a number."""
    text = json.dumps(encode(value), indent=indent, allow_nan=False, ensure_ascii=False)
    # of these JSON itself escapes only the first
    return TERMINAL_CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def loads(text: str | bytes) -> object:
    """The inverse of `dumps`. Raises ValueError for text that is not JSON."""
    return decode(json.loads(text))


def encode(value: object) -> object:
    """`value` with its non-finite numbers as strings."""
    if isinstance(value, float):
        return encode_number(value)
    if isinstance(value, Mapping):
        return {key: encode(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [encode(item) for item in value]
    return value


def encode_number(value: float) -> float | str:
    """One number, as a string where it is not finite."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")


def decode(value: object) -> object:
    """`value` with the strings that stand for non-finite numbers as numbers again."""
    if isinstance(value, str):
        return float(value) if value in _NOT_FINITE else value
    if isinstance(value, dict):
        return {key: decode(item) for key, item in value.items()}
    if isinstance(value, list):
        return [decode(item) for item in value]
    return value
