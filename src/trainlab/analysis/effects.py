"""How much each axis matters: means per level, and shares of the metric's variance.

Runs of one setting (they differ in the seed) make a cell; least squares over all runs equals weighted least
squares over the cells plus the variance within them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import NamedTuple

import numpy as np
import polars as pl

from trainlab.analysis.compare import clip_to_range, ensure_metric, with_finite_metric
from trainlab.analysis.varying_settings import compared_settings, setting_columns
from trainlab.errors import RequestError, unknown_name
from trainlab.stats import wild_bootstrap
from trainlab.stats.anova import FactorialDesign, SumOfSquares, Term, VarianceDecomposition
from trainlab.stats.intervals import mean_interval

HIGHER_ORDER, SEEDS_SOURCE, SHARED_SOURCE = "three and more axes", "seeds", "shared among axes"
MAX_COLUMNS = 3000
"""Combinations of two levels, over all pairs of axes, that least squares can still tell apart in seconds."""
MAX_MISSING = 10_000


@dataclass(frozen=True)
class Effects:
    """The effect of each axis on a metric.

    `levels`: axis, level, settings, mean, low, high (95% interval over the other settings, each with its
    seeds averaged, within what the metric can be; over the seeds where a level has one setting only),
    adjusted (what the mean would be if every level had been run with the same other settings; null where that
    cannot be told).
    `shares`: axis, degrees_of_freedom, share (of the metric's variance over all runs), low, high (95%, over
    seeds: `noise.interval`), note. `interactions`: first, second and the same, of what the pair adds to all
    single axes. `others`: source and the same, of what is left: three and more axes together, seeds, and, on
    an unbalanced grid, what no single axis can be given.
    `rest`: the share that single axes leave to interactions and seeds. `balanced`: whether every combination
    was run equally often; then all shares add up to one.
    `settings` of `possible` combinations have the metric; `missing` are those that do not, with their axes
    (empty where there are more than 10,000 combinations), and status, where they were run.
    """

    metric: str
    balanced: bool
    levels: pl.DataFrame
    shares: pl.DataFrame
    interactions: pl.DataFrame
    rest: float | None
    others: pl.DataFrame = field(default_factory=pl.DataFrame)
    settings: int = 0
    possible: int = 0
    missing: pl.DataFrame = field(default_factory=pl.DataFrame)

    @property
    def has_seeds(self) -> bool:
        """Whether settings were run more than once: what chance does is known then."""
        return not self.others.is_empty() and SEEDS_SOURCE in self.others["source"].to_list()


@dataclass(frozen=True)
class _Response:
    """A metric over a grid: mean_C of the cells, y_N of the runs in cell_N, and the sums of squares."""

    grid: FactorialDesign
    mean_C: np.ndarray
    y_N: np.ndarray
    cell_N: np.ndarray
    within: float
    total: float


class _Resamples(NamedTuple):
    """What other seeds might have given.

    total_B: centred on the measured total. The resampled one has chance in it twice.
    """

    parts: VarianceDecomposition
    within_B: np.ndarray
    total_B: np.ndarray

    def share_B(self, squares_B: np.ndarray) -> np.ndarray:
        """Resampled squares as shares."""
        return squares_B / self.total_B


def estimate_effects(
    runs: pl.DataFrame, axes: Sequence[str] | None = None, metric: str = "test/acc"
) -> Effects:
    """The effect of each axis (by default all settings that differ) on the metric.

    Share of an axis: (what all axes explain − what the others explain without it) / total sum of squares. On
    a balanced grid this is η² (Fisher 1925); on an unbalanced one these are sums of squares of type II, which
    leave out what an axis shares with others (Yates 1934; Langsrud 2003, "ANOVA for unbalanced data: use type
    II instead of type III sums of squares"). An interaction is what the pair's combinations explain beyond
    all single axes. A share that cannot be estimated is null, with the reason in `note`. Intervals say what
    other seeds of the same settings would have given.

    Raises RequestError for no measured run, an unknown axis, nothing that differs, or hundreds of levels
    in a grid with gaps.
    """
    runs = ensure_metric(runs, metric)
    for name in axes or ():
        if name not in setting_columns(runs):
            raise unknown_name("axis", name, setting_columns(runs))
    known = with_finite_metric(runs, metric)
    if known.is_empty():
        raise RequestError(f"no run has a finite {metric} yet: the effect of an axis needs some")
    axes = [name for name in (axes or compared_settings(known)) if known[name].n_unique() > 1]
    if not axes:
        raise RequestError(
            f"the runs with a finite {metric} do not differ in any axis: there is no effect to tell"
        )
    response = _response(known, axes, metric)
    grid = response.grid
    found = grid.decompose(response.mean_C[:, None])
    again = _resample(response)
    rows = {effect: _effect_row(found, effect, response, again) for effect in found.parts}
    whole = {axis: rows[axis,]["share"] is not None and not rows[axis,]["note"] for axis in axes}
    alone: list[dict] = [{"axis": axis} | rows[axis,] for axis in axes]
    pairs: list[dict] = [{"first": e[0], "second": e[1]} | row for e, row in rows.items() if len(e) == 2]
    explained = float(found.axes.squares_B[0])
    return Effects(
        metric=metric,
        balanced=grid.is_balanced,
        levels=pl.concat([_levels(known, response, axis, metric, whole[axis]) for axis in axes]),
        shares=_by_share(alone, ["axis"]),
        interactions=_by_share(pairs, ["first", "second"]),
        rest=None if response.total == 0 else max(0.0, 1 - explained / response.total),
        others=_other_sources(found, response, again),
        settings=len(response.mean_C),
        possible=grid.possible,
        missing=_missing_combinations(runs, known, grid),
    )


_LEVEL_SCHEMA = {
    "axis": pl.String, "level": pl.String, "settings": pl.Int64,
    "mean": pl.Float64, "low": pl.Float64, "high": pl.Float64,
}  # fmt: skip
_SHARE_SCHEMA = {
    "degrees_of_freedom": pl.Int64, "share": pl.Float64, "low": pl.Float64, "high": pl.Float64,
    "note": pl.String,
}  # fmt: skip


def _response(runs: pl.DataFrame, axes: Sequence[str], metric: str) -> _Response:
    levels = {axis: _sorted_levels(runs[axis].unique().to_list()) for axis in axes}
    code_NA = np.stack([_codes(runs[axis].to_list(), levels[axis]) for axis in axes], axis=1)
    code_CA, cell_N = np.unique(code_NA, axis=0, return_inverse=True)
    y_N = runs[metric].cast(pl.Float64).to_numpy()
    n_C = np.bincount(cell_N).astype(float)
    mean_C = np.bincount(cell_N, weights=y_N) / n_C
    total = float(((y_N - y_N.mean()) ** 2).sum())
    if total <= (1e-12 * np.abs(y_N).max()) ** 2 * len(y_N):  # rounding, not variance
        total = 0.0
    grid = FactorialDesign(levels, {axis: code_CA[:, i] for i, axis in enumerate(axes)}, n_C)
    if not grid.is_balanced and grid.columns > MAX_COLUMNS:
        most = max(levels, key=lambda axis: len(levels[axis]))
        raise RequestError(
            f"effects: {len(levels)} axes, {most} with {len(levels[most])} levels, are too many to tell "
            "apart in a grid with gaps; name the axes, as in --by activation,init"
        )
    return _Response(grid, mean_C, y_N, cell_N, float(((y_N - mean_C[cell_N]) ** 2).sum()), total)


def _sorted_levels(values: list) -> list:
    return sorted(values, key=lambda value: (value is None, value))


def _codes(values: list, levels: list) -> np.ndarray:
    number = {level: code for code, level in enumerate(levels)}
    return np.array([number[value] for value in values])


def _resample(response: _Response) -> _Resamples | None:
    drawn = wild_bootstrap.resample_responses(response.grid, response.mean_C, response.cell_N, response.y_N)
    if drawn is None or response.total == 0:
        return None
    parts = response.grid.decompose(drawn.mean_CB)
    total_B = parts.between.squares_B + drawn.within_B
    return _Resamples(parts, drawn.within_B, total_B - total_B.mean() + response.total)


def _effect_row(
    found: VarianceDecomposition, effect: Term, response: _Response, again: _Resamples | None
) -> dict[str, object]:
    """The row of one axis or pair."""
    grid, part = response.grid, found.parts[effect]
    others = ", ".join(axis for axis in grid.axes if axis not in effect)
    possible = int(np.prod([len(grid.levels[axis]) - 1 for axis in effect]))
    note = None
    if len(effect) == 1 and part.freedom < possible:
        note = f"changes only together with {others}"
        note = (
            f"partly not estimable: some levels change only together with {others}"
            if part.freedom
            else f"not estimable: {note}"
        )
    elif part.freedom == 0:
        note = "not estimable: too few combinations were run"
    elif part.freedom < possible:
        note = "partly not estimable: some combinations were not run"
    elif len(effect) == 2 and found.axes.freedom + part.freedom + 1 == len(response.y_N):
        note = "no runs left to tell it from chance: add seeds"
    shares_B = None if again is None else again.share_B(again.parts.parts[effect].squares_B)
    return _share_row(part, response, note, shares_B)


def _share_row(
    part: SumOfSquares, response: _Response, note: str | None = None, shares_B: np.ndarray | None = None
) -> dict[str, object]:
    known: dict[str, object] = {"degrees_of_freedom": part.freedom}
    known |= {"share": None, "low": None, "high": None, "note": note}
    if response.total == 0:
        return known | {"note": "the metric is the same in all runs"}
    if part.freedom == 0:
        return known
    share = max(0.0, float(part.squares_B[0]) / response.total)
    low, high = (None, None) if shares_B is None else wild_bootstrap.basic_bootstrap_interval(share, shares_B)
    return known | {"share": share, "low": low, "high": high}


def _other_sources(
    found: VarianceDecomposition, response: _Response, again: _Resamples | None
) -> pl.DataFrame:
    """What axes and pairs leave: higher interactions, seeds, what an unbalanced grid can give to no one."""
    rows: list[dict[str, object]] = []
    if found.higher.freedom > 0:
        shares_B = None if again is None else again.share_B(again.parts.higher.squares_B)
        rows.append({"source": HIGHER_ORDER} | _share_row(found.higher, response, None, shares_B))
    freedom = len(response.y_N) - len(response.mean_C)
    if freedom > 0:
        seeds = SumOfSquares(np.array([response.within]), freedom)
        shares_B = None if again is None else again.share_B(again.within_B)
        rows.append(
            {"source": SEEDS_SOURCE}
            | _share_row(seeds, response, _note_on_chance(response, freedom), shares_B)
        )
    if not response.grid.is_balanced and response.total > 0:
        given = [float(part.squares_B[0]) for part in (*found.parts.values(), found.higher)]
        left = 1 - (sum(given) + response.within) / response.total
        note = "the grid has gaps; below 0 where axes tell more together"
        rows.append({"source": SHARED_SOURCE, "degrees_of_freedom": None, "share": left, "note": note})
    return pl.DataFrame(rows, schema={"source": pl.String} | _SHARE_SCHEMA)


def _note_on_chance(response: _Response, freedom: int) -> str | None:
    """How much of the other shares is chance too: each has as much of it as degrees of freedom."""
    if response.total == 0:
        return None
    elsewhere = (len(response.mean_C) - 1) * response.within / freedom / response.total
    return f"chance adds another {elsewhere:.1%} to the shares above; their intervals are without it"


def _by_share(rows: list[dict], names: Sequence[str]) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String) | _SHARE_SCHEMA)
    return frame.sort("share", descending=True, nulls_last=True)


def _levels(runs: pl.DataFrame, response: _Response, axis: str, metric: str, adjust: bool) -> pl.DataFrame:
    """One row per level of an axis: its mean over the settings that were run with it."""
    grid, rows = response.grid, []
    for code, level in enumerate(grid.levels[axis]):
        values = response.mean_C[grid.codes[axis] == code]
        settings = len(values)
        if settings == 1:
            values = runs.filter(pl.col(axis).eq_missing(level))[metric].cast(pl.Float64).to_numpy()
        interval = clip_to_range(metric, mean_interval(values.tolist()))
        text = "–" if level is None else str(level)
        rows.append((axis, text, settings, interval.value, interval.low, interval.high))
    adjusted = _adjusted(response, axis) if adjust else [None] * len(rows)
    frame = pl.DataFrame(rows, schema=_LEVEL_SCHEMA, orient="row")
    return frame.with_columns(pl.Series("adjusted", adjusted, dtype=pl.Float64))


def _adjusted(response: _Response, axis: str) -> np.ndarray:
    """Per level, the mean that the single axes predict for all runs, had they been run with it."""
    grid = response.grid
    centre = np.average(response.mean_C, weights=grid.n_C)
    coefficients_PR, basis_RC = grid.solve([(name,) for name in grid.axes])
    effect_P = coefficients_PR @ (basis_RC @ (response.mean_C - centre))
    offset = sum(len(grid.levels[name]) for name in grid.axes[: grid.axes.index(axis)])
    effect_L = effect_P[offset : offset + len(grid.levels[axis])]
    return centre + effect_L - np.average(effect_L[grid.codes[axis]], weights=grid.n_C)


def _missing_combinations(runs: pl.DataFrame, known: pl.DataFrame, grid: FactorialDesign) -> pl.DataFrame:
    """The combinations of levels without the metric, with what became of their runs, where there are any."""
    if grid.possible > MAX_MISSING or grid.possible == len(grid.n_C):
        return pl.DataFrame()
    axes = grid.axes
    combinations = pl.DataFrame(
        list(product(*grid.levels.values())), schema={axis: known.schema[axis] for axis in axes}, orient="row"
    )
    absent = combinations.join(known, on=axes, how="anti", nulls_equal=True, maintain_order="left")
    ends = runs.group_by(axes).agg(pl.col("status").unique().sort().str.join(", "))
    return absent.join(ends, on=axes, how="left", nulls_equal=True, maintain_order="left")
