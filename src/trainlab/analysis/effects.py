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

from trainlab.analysis.compare import clip_to_range, counted_runs, ensure_metric
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
    cannot be estimated).
    `shares`: axis, degrees_of_freedom, share (of the metric's variance over all runs), low, high (95%, over
    seeds: `wild_bootstrap.basic_bootstrap_interval`), note. `interactions`: first, second and the same, of
    what the pair adds to all single axes. `other_sources`: source and the same, of the remainder: three and
    more axes together, seeds, and, on an unbalanced grid, what cannot be attributed to a single axis.
    `unexplained`: the share that single axes leave to interactions and seeds. `balanced`: whether every
    combination was run equally often; then all shares add up to one.
    `measured_settings` of `possible_settings` combinations have the metric; `missing` are the others, with
    their axes (empty where there are more than 10,000 combinations), and status, where they were run.
    """

    metric: str
    balanced: bool
    levels: pl.DataFrame
    shares: pl.DataFrame
    interactions: pl.DataFrame
    unexplained: float | None
    other_sources: pl.DataFrame = field(default_factory=pl.DataFrame)
    measured_settings: int = 0
    possible_settings: int = 0
    missing: pl.DataFrame = field(default_factory=pl.DataFrame)

    @property
    def has_seeds(self) -> bool:
        """Whether some settings were run more than once: then seed variance is known."""
        return not self.other_sources.is_empty() and SEEDS_SOURCE in self.other_sources["source"].to_list()


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
    """Sums of squares that other seeds might have given.

    total_B: centred on the measured total, as resampling adds the seed variance a second time.
    """

    parts: VarianceDecomposition
    within_B: np.ndarray
    total_B: np.ndarray

    def share_B(self, squares_B: np.ndarray) -> np.ndarray:
        return squares_B / self.total_B


def estimate_effects(
    runs: pl.DataFrame, axes: Sequence[str] | None = None, metric: str = "test/acc"
) -> Effects:
    """The effect of each axis (by default all settings that differ) on the metric.

    Share of an axis: (what all axes explain − what the others explain without it) / total sum of squares. On
    a balanced grid this is η² (Fisher 1925); on an unbalanced one these are sums of squares of type II, which
    leave out what an axis shares with others (Yates 1934; Langsrud 2003, "ANOVA for unbalanced data: use type
    II instead of type III sums of squares"). An interaction is what the pair's combinations explain beyond
    all single axes. A share that cannot be estimated is null, with the reason in `note`. Intervals are over
    other seeds of the same settings.

    A run that diverged or failed counts with the worst value of the metric (`runs.worst_values`). Raises
    RequestError where that is infinite, for no measured run, an unknown axis, nothing that differs, or
    hundreds of levels in a grid with gaps.
    """
    runs = ensure_metric(runs, metric)
    for name in axes or ():
        if name not in setting_columns(runs):
            raise unknown_name("axis", name, setting_columns(runs))
    known = counted_runs(runs, metric)
    if known.is_empty():
        raise RequestError(f"no run has a {metric} yet: the effect of an axis needs some")
    axes = [name for name in (axes or compared_settings(known)) if known[name].n_unique() > 1]
    if not axes:
        raise RequestError(f"the runs with a {metric} do not differ in any axis: there is no effect to tell")
    response = _response(known, axes, metric)
    grid = response.grid
    measured = grid.decompose(response.mean_C[:, None])
    resamples = _resample(response)
    rows = {term: _effect_row(measured, term, response, resamples) for term in measured.parts}
    estimable = {axis: rows[axis,]["share"] is not None and not rows[axis,]["note"] for axis in axes}
    main_effects: list[dict[str, object]] = [{"axis": axis} | rows[axis,] for axis in axes]
    pairs: list[dict[str, object]] = [
        {"first": term[0], "second": term[1]} | row for term, row in rows.items() if len(term) == 2
    ]
    explained = float(measured.axes.squares_B[0])
    return Effects(
        metric=metric,
        balanced=grid.is_balanced,
        levels=pl.concat([_levels(known, response, axis, metric, estimable[axis]) for axis in axes]),
        shares=_by_share(main_effects, ["axis"]),
        interactions=_by_share(pairs, ["first", "second"]),
        unexplained=None if response.total == 0 else max(0.0, 1 - explained / response.total),
        other_sources=_other_sources(measured, response, resamples),
        measured_settings=len(response.mean_C),
        possible_settings=grid.combination_count,
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
    if not grid.is_balanced and grid.pair_count > MAX_COLUMNS:
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
    measured: VarianceDecomposition, term: Term, response: _Response, resamples: _Resamples | None
) -> dict[str, object]:
    """The row of one axis or pair."""
    shares_B = None if resamples is None else resamples.share_B(resamples.parts.parts[term].squares_B)
    note = _estimability_note(measured, term, response)
    return _share_row(measured.parts[term], response, note, shares_B)


def _estimability_note(measured: VarianceDecomposition, term: Term, response: _Response) -> str | None:
    """Why the share of a term cannot be estimated, or only in part; None where it can."""
    grid, freedom = response.grid, measured.parts[term].degrees_of_freedom
    full_freedom = int(np.prod([len(grid.levels[axis]) - 1 for axis in term]))
    if len(term) == 1 and freedom < full_freedom:
        others = ", ".join(axis for axis in grid.axes if axis not in term)
        if freedom:
            return f"partly not estimable: some levels change only together with {others}"
        return f"not estimable: changes only together with {others}"
    if freedom == 0:
        return "not estimable: too few combinations were run"
    if freedom < full_freedom:
        return "partly not estimable: some combinations were not run"
    if len(term) == 2 and measured.axes.degrees_of_freedom + freedom + 1 == len(response.y_N):
        return "no runs left to tell it from chance: add seeds"
    return None


def _share_row(
    part: SumOfSquares, response: _Response, note: str | None = None, shares_B: np.ndarray | None = None
) -> dict[str, object]:
    row: dict[str, object] = {"degrees_of_freedom": part.degrees_of_freedom, "note": note}
    row |= {"share": None, "low": None, "high": None}
    if response.total == 0:
        return row | {"note": "the metric is the same in all runs"}
    if part.degrees_of_freedom == 0:
        return row
    share = max(0.0, float(part.squares_B[0]) / response.total)
    low, high = (None, None) if shares_B is None else wild_bootstrap.basic_bootstrap_interval(share, shares_B)
    return row | {"share": share, "low": low, "high": high}


def _other_sources(
    measured: VarianceDecomposition, response: _Response, resamples: _Resamples | None
) -> pl.DataFrame:
    """Sources beside axes and pairs: higher interactions, seeds, what an unbalanced grid cannot attribute."""
    rows: list[dict[str, object]] = []
    if measured.higher.degrees_of_freedom > 0:
        shares_B = None if resamples is None else resamples.share_B(resamples.parts.higher.squares_B)
        rows.append({"source": HIGHER_ORDER} | _share_row(measured.higher, response, None, shares_B))
    freedom = len(response.y_N) - len(response.mean_C)
    if freedom > 0:
        seeds = SumOfSquares(np.array([response.within]), freedom)
        shares_B = None if resamples is None else resamples.share_B(resamples.within_B)
        note = _note_on_chance(response, freedom)
        rows.append({"source": SEEDS_SOURCE} | _share_row(seeds, response, note, shares_B))
    if not response.grid.is_balanced and response.total > 0:
        attributed = [float(part.squares_B[0]) for part in (*measured.parts.values(), measured.higher)]
        left = 1 - (sum(attributed) + response.within) / response.total
        note = "the grid has gaps; below 0 where axes tell more together"
        rows.append({"source": SHARED_SOURCE, "degrees_of_freedom": None, "share": left, "note": note})
    return pl.DataFrame(rows, schema={"source": pl.String} | _SHARE_SCHEMA)


def _note_on_chance(response: _Response, freedom: int) -> str | None:
    """How much seed variance the other shares contain: in proportion to their degrees of freedom."""
    if response.total == 0:
        return None
    elsewhere = (len(response.mean_C) - 1) * response.within / freedom / response.total
    return f"chance adds another {elsewhere:.1%} to the shares above; their intervals are without it"


def _by_share(rows: list[dict[str, object]], names: Sequence[str]) -> pl.DataFrame:
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
    """Per level, the mean that the main effects predict if all runs had this level."""
    grid = response.grid
    centre = np.average(response.mean_C, weights=grid.n_C)
    coefficients_PR, basis_RC = grid.solve([(name,) for name in grid.axes])
    effect_P = coefficients_PR @ (basis_RC @ (response.mean_C - centre))
    offset = sum(len(grid.levels[name]) for name in grid.axes[: grid.axes.index(axis)])
    effect_L = effect_P[offset : offset + len(grid.levels[axis])]
    return centre + effect_L - np.average(effect_L[grid.codes[axis]], weights=grid.n_C)


def _missing_combinations(runs: pl.DataFrame, known: pl.DataFrame, grid: FactorialDesign) -> pl.DataFrame:
    """The combinations of levels without the metric, with the status of their runs, if any."""
    if grid.combination_count > MAX_MISSING or grid.combination_count == len(grid.n_C):
        return pl.DataFrame()
    axes = grid.axes
    combinations = pl.DataFrame(
        list(product(*grid.levels.values())), schema={axis: known.schema[axis] for axis in axes}, orient="row"
    )
    absent = combinations.join(known, on=axes, how="anti", nulls_equal=True, maintain_order="left")
    ends = runs.group_by(axes).agg(pl.col("status").unique().sort().str.join(", "))
    return absent.join(ends, on=axes, how="left", nulls_equal=True, maintain_order="left")
