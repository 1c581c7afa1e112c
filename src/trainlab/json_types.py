"""What JSON and plain YAML hold, as types: records, the plain form of settings, answers of commands."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
"""Any plain value. Read-only by type, so that a `dict[str, float]` is one too."""

JsonObject: TypeAlias = Mapping[str, Json]
"""A mapping of names to plain values."""
