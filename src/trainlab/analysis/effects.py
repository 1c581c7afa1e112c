"""How much each axis matters: means per level, and shares of the metric's variance.

Runs of one setting (they differ in the seed) make a cell; least squares over all runs equals weighted least
squares over the cells plus the variance within them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np
import polars as pl

from trainlab.analysis.compare import clip_to_range, counted_runs, ensure_metric
from trainlab.analysis.varying_settings import compared_settings, setting_columns
from trainlab.errors import RequestError, unknown_name
from trainlab.stats.anova import FactorialDesign, Term, VarianceDecomposition, VariancePart
from trainlab.stats.intervals import Interval, mean_interval
from trainlab.stats.variance_shares import SeedVariance, VarianceShares

HIGHER_ORDER, SEEDS_SOURCE, SHARED_SOURCE = "three and more axes", "seeds", "shared among axes"
MAX_COLUMNS = 3000
"""Combinations of two levels, over all pairs of axes, that least squares can still tell apart in seconds."""
MAX_MISSING = 10_000
CHANCE_UNKNOWN = "chance is not known: add seeds"
"""The note of a share that cannot be told where hardly a setting was run twice."""


@dataclass(frozen=True)
class Effects:
    """The effect of each axis on a metric.

    `levels`: axis, level, settings, mean, low, high (95% interval within blocks: over what a level has beyond
    the others in the same other settings, seeds averaged, so that what the other axes do does not widen it;
    with one axis over the seeds; null for fewer than four), adjusted (what the mean would be if every level
    had been run with the same other settings; null where that cannot be estimated).
    `shares`: axis, degrees_of_freedom, share (of the metric's variance over all runs: ω², which has no chance
    in it), low, high (95%, over seeds), note; null where seeds are too few to know chance
    (`stats.variance_shares`). `interactions`: first, second and the same, of what the pair adds to all single
    axes. `other_sources`: source and the same, of the remainder: three and more axes together, seeds, and, on
    an unbalanced grid, what cannot be attributed to a single axis. `unexplained`: the share that single axes
    leave to interactions and seeds. `balanced`: whether every combination was run equally often; all shares
    add up to one. `largest_pair`: the interaction with the largest mean square, known without seeds too.
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
    largest_pair: tuple[str, str] | None = None

    @property
    def has_seeds(self) -> bool:
        """Whether so many settings were run more than once that seed variance is known."""
        return not self.other_sources.is_empty() and SEEDS_SOURCE in self.other_sources["source"].to_list()


@dataclass(frozen=True)
class _Response:
    """A metric over a grid: mean_C of the cells, how runs scatter about them, how often the grid was run."""

    grid: FactorialDesign
    mean_C: np.ndarray
    seeds: SeedVariance
    is_constant: bool


def estimate_effects(
    runs: pl.DataFrame, axes: Sequence[str] | None = None, metric: str = "test/acc"
) -> Effects:
    """The effect of each axis (by default all settings that differ) on the metric.

    Share of an axis: ω² of (what all axes explain − what the others explain without it). On an unbalanced
    grid these are sums of squares of type II, which leave out what an axis shares with others (Yates 1934;
    Langsrud 2003, "ANOVA for unbalanced data: use type II instead of type III sums of squares"). An
    interaction is what the pair's combinations explain beyond all single axes. A share that cannot be
    estimated is null, with the reason in `note`. Intervals are over other seeds of the same settings.

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
    measured = grid.decompose(response.mean_C)
    is_known = response.seeds.is_known and not response.is_constant
    shares = VarianceShares(measured, response.seeds) if is_known else None
    rows = {term: _effect_row(measured, term, response, shares) for term in measured.parts}
    full = {axis: _estimability_note(measured, (axis,), grid) is None for axis in axes}
    main_effects: list[dict[str, object]] = [{"axis": axis} | rows[axis,] for axis in axes]
    pairs: list[dict[str, object]] = [
        {"first": term[0], "second": term[1]} | row for term, row in rows.items() if len(term) == 2
    ]
    return Effects(
        metric=metric,
        balanced=grid.is_balanced,
        levels=pl.concat([_levels(known, response, axis, metric, full[axis]) for axis in axes]),
        shares=_by_share(main_effects, ["axis"]),
        interactions=_by_share(pairs, ["first", "second"]),
        unexplained=None if shares is None else 1 - shares.signal(measured.axes) / shares.total,
        other_sources=_other_sources(measured, shares, grid.is_balanced),
        measured_settings=len(response.mean_C),
        possible_settings=grid.combination_count,
        missing=_missing_combinations(runs, known, grid),
        largest_pair=_largest_pair(measured),
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
    squares_C = np.bincount(cell_N, weights=(y_N - mean_C[cell_N]) ** 2)
    is_constant = bool(np.ptp(y_N) <= 1e-12 * np.abs(y_N).max())  # rounding, not variance
    grid = FactorialDesign(levels, {axis: code_CA[:, i] for i, axis in enumerate(axes)}, n_C)
    if not grid.is_balanced and grid.pair_count > MAX_COLUMNS:
        most = max(levels, key=lambda axis: len(levels[axis]))
        raise RequestError(
            f"effects: {len(levels)} axes, {most} with {len(levels[most])} levels, are too many to tell "
            "apart in a grid with gaps; name the axes, as in --by activation,init"
        )
    return _Response(grid, mean_C, SeedVariance(n_C, squares_C), is_constant)


def _sorted_levels(values: list) -> list:
    return sorted(values, key=lambda value: (value is None, value))


def _codes(values: list, levels: list) -> np.ndarray:
    number = {level: code for code, level in enumerate(levels)}
    return np.array([number[value] for value in values])


def _largest_pair(measured: VarianceDecomposition) -> tuple[str, str] | None:
    pairs = {
        (term[0], term[1]): part.squares / part.degrees_of_freedom
        for term, part in measured.parts.items()
        if len(term) == 2 and part.degrees_of_freedom
    }
    return max(pairs, key=lambda pair: pairs[pair]) if pairs else None


def _effect_row(
    measured: VarianceDecomposition, term: Term, response: _Response, shares: VarianceShares | None
) -> dict[str, object]:
    """The row of one axis or pair."""
    note = _estimability_note(measured, term, response.grid)
    if response.is_constant:
        note = "the metric is the same in all runs"
    elif shares is None and measured.parts[term].degrees_of_freedom:
        note = f"{note}; {CHANCE_UNKNOWN}" if note else CHANCE_UNKNOWN
    return _share_row(measured.parts[term], shares, note)


def _estimability_note(measured: VarianceDecomposition, term: Term, grid: FactorialDesign) -> str | None:
    """Why the share of a term cannot be estimated, or only in part; None where the grid allows it."""
    freedom = measured.parts[term].degrees_of_freedom
    full_freedom = int(np.prod([len(grid.levels[axis]) - 1 for axis in term]))
    if len(term) == 1 and freedom < full_freedom:
        others = ", ".join(axis for axis in grid.axes if axis not in term)
        if freedom:
            return f"partly not estimable: some levels change only together with {others}"
        return f"not estimable: changes only together with {others}"
    if freedom == 0:
        return "not estimable: too few combinations were run"
    return "partly not estimable: some combinations were not run" if freedom < full_freedom else None


def _share_row(
    component: VariancePart, shares: VarianceShares | None, note: str | None = None
) -> dict[str, object]:
    row: dict[str, object] = {"degrees_of_freedom": component.degrees_of_freedom, "note": note}
    if shares is None or component.degrees_of_freedom == 0:
        return row | {"share": None, "low": None, "high": None}
    share, low, high = shares.share(component)
    return row | {"share": share, "low": low, "high": high}


def _other_sources(
    measured: VarianceDecomposition, shares: VarianceShares | None, is_balanced: bool
) -> pl.DataFrame:
    """Sources beside axes and pairs: higher interactions, seeds, what an unbalanced grid cannot attribute."""
    rows: list[dict[str, object]] = []
    if shares is not None:
        attributed = [shares.signal(part) for part in measured.parts.values()]
        if measured.higher.degrees_of_freedom > 0:
            rows.append({"source": HIGHER_ORDER} | _share_row(measured.higher, shares))
            attributed.append(shares.signal(measured.higher))
        share, low, high = shares.share_of_seeds()
        freedom = shares.seeds.freedom
        rows.append(
            {"source": SEEDS_SOURCE, "degrees_of_freedom": freedom, "share": share, "low": low, "high": high}
        )
        if not is_balanced:
            left = 1 - share - sum(attributed) / shares.total
            note = "the grid has gaps; below 0 where axes tell more together"
            rows.append({"source": SHARED_SOURCE, "degrees_of_freedom": None, "share": left, "note": note})
    return pl.DataFrame(rows, schema={"source": pl.String} | _SHARE_SCHEMA)


def _by_share(rows: list[dict[str, object]], names: Sequence[str]) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String) | _SHARE_SCHEMA)
    return frame.sort("share", descending=True, nulls_last=True)


def _levels(runs: pl.DataFrame, response: _Response, axis: str, metric: str, adjust: bool) -> pl.DataFrame:
    """One row per level of an axis: its mean over the settings that were run with it."""
    grid, rows = response.grid, []
    deviation_BL = _block_deviations(response, axis)
    for code, level in enumerate(grid.levels[axis]):
        values = response.mean_C[grid.codes[axis] == code]
        if len(grid.axes) == 1:
            of_level = runs.filter(pl.col(axis).eq_missing(level))[metric]
            interval = mean_interval(of_level.cast(pl.Float64).to_numpy())
        else:
            interval = _shifted(mean_interval(deviation_BL[:, code]), float(values.mean()))
        interval = clip_to_range(metric, interval)
        text = "–" if level is None else str(level)
        rows.append((axis, text, len(values), interval.value, interval.low, interval.high))
    adjusted = _adjusted(response, axis) if adjust else [None] * len(rows)
    frame = pl.DataFrame(rows, schema=_LEVEL_SCHEMA, orient="row")
    return frame.with_columns(pl.Series("adjusted", adjusted, dtype=pl.Float64))


def _block_deviations(response: _Response, axis: str) -> np.ndarray:
    """deviation_BL: what level l has beyond the mean of all L levels in each block, times √(L/(L − 1)).

    A block is a setting of the other axes with which every level was run. The factor makes up for the mean
    having the level itself in it (Morey 2008, "Confidence intervals from normalized data").
    """
    grid = response.grid
    levels = len(grid.levels[axis])
    others = [grid.codes[other] for other in grid.axes if other != axis]
    if not others:
        return np.empty((0, levels))
    block_C = np.unique(np.stack(others, axis=1), axis=0, return_inverse=True)[1]
    value_BL = np.full((block_C.max() + 1, levels), np.nan)
    value_BL[block_C, grid.codes[axis]] = response.mean_C
    full_BL = value_BL[~np.isnan(value_BL).any(axis=1)]
    return (full_BL - full_BL.mean(axis=1, keepdims=True)) * np.sqrt(levels / (levels - 1))


def _shifted(interval: Interval, mean: float) -> Interval:
    """The interval about another mean."""
    if interval.value is None or interval.low is None or interval.high is None:
        return Interval(mean, None, None, interval.n)
    low, high = mean + interval.low - interval.value, mean + interval.high - interval.value
    return Interval(mean, low, high, interval.n)


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
