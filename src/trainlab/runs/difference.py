"""In which settings do two runs differ?"""

from collections.abc import Mapping
from typing import NamedTuple

from trainlab.runs.identity import deciding, flat

_NOTHING = object()
_OF_NO_INTEREST = ("run_id", "axes.")
"""The name itself, and what is for people: the axes' contents say the same."""


class Differing(NamedTuple):
    """A setting, its values in both runs (None where one has none), and whether it decides the result."""

    setting: str
    first: object
    second: object
    decides: bool


def difference(first: Mapping, second: Mapping) -> list[Differing]:
    """The settings in which two runs differ, those that decide the result before the others.

    Raises RequestError for settings that are not plain.
    """
    one, other = flat(first), flat(second)
    decide = deciding(first).keys() | deciding(second).keys()
    rows = [
        Differing(name, one.get(name), other.get(name), name in decide)
        for name in dict.fromkeys([*one, *other])
        if not name.startswith(_OF_NO_INTEREST) and one.get(name, _NOTHING) != other.get(name, _NOTHING)
    ]
    return sorted(rows, key=lambda row: not row.decides)
