"""What a command line asks for: a list of values for each key, and their product."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Transformer, ValueType
from hydra.errors import HydraException

from trainlab.config import one_line
from trainlab.errors import RequestError

Overrides = tuple[Override, ...]
"""The overrides of one job, each with a single value."""


@dataclass(frozen=True)
class Grid:
    """The product of the values of every key, the last key's values changing fastest."""

    axes: tuple[Overrides, ...]
    swept: tuple[str, ...]

    def __len__(self) -> int:
        return math.prod(len(values) for values in self.axes)

    def jobs(self) -> Iterator[Overrides]:
        """The overrides of each job."""
        return itertools.product(*self.axes)


def expand(lines: Sequence[str], params: Mapping[str, Any], loader: ConfigLoader) -> Grid:
    """The grid of `params` (a preset's `hydra.sweeper.params`) and of a command line, which goes before it.

    Comma lists, `choice()`, `range()` and `glob()` are Hydra's own. `sweep.*` is taken out.

    Raises:
        RequestError: what does not parse, an interval, values that come to nothing, a swept `sweep.*`.
    """
    preset = [f"{key}={'null' if value is None else value}" for key, value in params.items()]
    try:
        parsed = OverridesParser.create(config_loader=loader).parse_overrides([*preset, *lines])
    except HydraException as error:
        raise RequestError(one_line(error)) from None
    by_key: dict[str, Overrides] = {}
    swept: dict[str, None] = {}
    for override in parsed:
        key = override.get_key_element()
        if key.lstrip("+~").split(".")[0] == "sweep":
            if override.is_sweep_override():
                raise RequestError(f"{override.input_line}: how a sweep goes about it cannot be swept")
            continue
        by_key[key] = tuple(_single_values(override))
        swept.pop(key, None)
        if override.is_sweep_override():
            swept[key] = None
    return Grid(tuple(by_key.values()), tuple(key.lstrip("+") for key in swept))


def _single_values(override: Override) -> Iterator[Override]:
    """The override itself, or one for each value it sweeps over."""
    if not override.is_sweep_override():
        yield override
        return
    if not override.is_discrete_sweep():
        raise RequestError(f"{override.input_line}: expected values to list: a,b  choice()  range()  glob()")
    key = override.get_key_element()
    values = list(override.sweep_iterator())
    if not values:
        raise RequestError(f"{override.input_line}: there is nothing that this matches")
    for value in values:
        line = f"{key}={Transformer.str(value)}"
        yield replace(override, value_type=ValueType.ELEMENT, _value=value, input_line=line)
