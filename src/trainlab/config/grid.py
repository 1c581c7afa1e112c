"""What a command line asks for: a list of values for each key, and their product."""

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from hydra.core.override_parser.types import ElementType, Override

from trainlab.config.hydra_internals import range_sweep, single_value
from trainlab.config.presets import refuse_swept_presets
from trainlab.errors import RequestError

Overrides = tuple[Override, ...]
"""The overrides of one job, each with a single value."""

SWEEP_WIDE_SETTINGS = ("group", "paths.runs", "paths.cache")
"""Settings of a run that a sweep has once; with `sweep.*` and `hydra.*`, which are no settings of a run."""
MAX_VALUES = 1_000_000
"""Of one key; a sweep of more is a slip of the pen, and would fill the memory before it was planned."""


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

    def label(self, job: Sequence[Override]) -> str:
        """What is particular to a job: `activation=relu init=glorot`."""
        return job_label(job, self.swept)


def job_label(job: Sequence[Override], swept: Sequence[str]) -> str:
    """The overrides of a job that it does not share with all others of its grid."""
    words = [o.input_line or "" for o in job if o.get_key_element().lstrip("+") in swept]
    return " ".join(words) or "the run"


def expand_grid(overrides: Sequence[Override]) -> Grid:
    """The product of the values of these overrides; of one key, the last override counts.

    Comma lists, `choice()`, `range()` and `glob()` are Hydra's own. `sweep.*` is taken out.

    Raises:
        RequestError: an interval, values that come to nothing, a swept `sweep.*`.
    """
    by_key: dict[str, Overrides] = {}
    swept: dict[str, None] = {}
    for override in overrides:
        key = override.get_key_element()
        if key.lstrip("+~").split(".")[0] == "sweep" and not override.is_sweep_override():
            continue
        _refuse_sweep_wide_setting(key, override)
        by_key[key] = tuple(_single_values(override))
        if key.lstrip("+") == "experiment" and override.is_sweep_override():
            refuse_swept_presets([str(single.value()) for single in by_key[key]])
        swept.pop(key, None)
        if override.is_sweep_override():
            swept[key] = None
    return Grid(tuple(by_key.values()), tuple(key.lstrip("+") for key in swept))


def _refuse_sweep_wide_setting(key: str, override: Override) -> None:
    """A sweep goes about all its runs in one way, and they lie in one folder and one group."""
    name = key.lstrip("+~")
    root = name.replace("/", ".").split(".")[0]
    if override.is_sweep_override() and (root in ("sweep", "hydra") or name in SWEEP_WIDE_SETTINGS):
        raise RequestError(f"{override.input_line}: one for all runs of a sweep, it cannot be swept")


def _single_values(override: Override) -> Iterator[Override]:
    """The override itself, or one for each value it sweeps over."""
    if not override.is_sweep_override():
        yield override
        return
    if not override.is_discrete_sweep():
        raise RequestError(f"{override.input_line}: expected values to list: a,b  choice()  range()  glob()")
    values = list(_swept_values(override))
    if not values:
        raise RequestError(f"{override.input_line}: there is nothing that this matches")
    for value in values:
        yield single_value(override, value)


def _swept_values(override: Override) -> Iterator[ElementType]:
    """What a sweep lists. Raises RequestError for a range without an end, or with far too many values."""
    given = range_sweep(override)
    if given is None:
        return override.sweep_iterator()
    start, stop, step = (_typed_decimal(number) for number in (given.start, given.stop, given.step))
    if not step or not all(number.is_finite() for number in (start, stop, step)):
        raise RequestError(f"{override.input_line}: expected finite numbers and a step other than zero")
    count = max(0, math.ceil((stop - start) / step))
    if count > MAX_VALUES:
        raise RequestError(f"{override.input_line}: {count:,} values, expected at most {MAX_VALUES:,}")
    if isinstance(given.range(), range):
        return override.sweep_iterator()
    values = [float(start + i * step) for i in range(count)]
    if given.shuffle:
        random.shuffle(values)
    return iter(values)


def _typed_decimal(number: float | None) -> Decimal:
    """A number as it was typed: 0.1 and not 0.1000000000000000055, whose third sum is 0.30000000000000004."""
    return Decimal(f"{number:.15g}" if isinstance(number, float) else number or 0)
