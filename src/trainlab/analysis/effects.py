"""How much each axis matters: means per level, and shares of the metric's variance.

Runs of one setting (they differ in the seed) make a cell; least squares over all runs equals weighted least
squares over the cells plus the variance within them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
import polars as pl

from trainlab.analysis.compare import measured, possible, setting_columns, varying_settings, with_metric
from trainlab.analysis.intervals import mean_interval
from trainlab.errors import RequestError, unknown

_SINGULAR = 1e-10  # eigenvalues below this share of the largest count as zero


@dataclass(frozen=True)
class Effects:
    """The effect of each axis on a metric.

    `levels`: axis, level, settings, mean, low, high (95% interval over the other settings, each with its
    seeds averaged, within what the metric can be; over the seeds where a level has one setting only),
    adjusted (what the mean would be if every level had been run with the same other settings; null where that
    cannot be told).
    `shares`: axis, degrees_of_freedom, share (of the metric's variance over all runs), note.
    `interactions`: first, second, degrees_of_freedom, share (what the pair adds to all single axes), note.
    `rest`: the share that single axes leave to interactions and seeds. `balanced`: whether every combination
    was run equally often; then the shares of the axes and the rest add up to one.
    """

    metric: str
    balanced: bool
    levels: pl.DataFrame
    shares: pl.DataFrame
    interactions: pl.DataFrame
    rest: float | None


class _Cells(NamedTuple):
    """One entry per setting: codes of its levels, its number of runs, its mean."""

    levels: dict[str, list]  # per axis: the values that its codes stand for
    codes: dict[str, np.ndarray]  # per axis: code_C
    n_C: np.ndarray
    mean_C: np.ndarray
    total: float  # sum of squares over all runs about their mean


class _Fit(NamedTuple):
    """Least squares of the cells' means on factors: what it explains, its rank, its coefficients."""

    explained: float
    rank: int
    coefficients: np.ndarray


def effects(runs: pl.DataFrame, axes: Sequence[str] | None = None, metric: str = "test/acc") -> Effects:
    """The effect of each axis (by default all settings that differ) on the metric.

    Share of an axis: (what all axes explain − what the others explain without it) / total sum of squares. On
    a balanced grid this is η² (Fisher 1925); on an unbalanced one these are sums of squares of type II, which
    leave out what an axis shares with others (Yates 1934; Langsrud 2003, "ANOVA for unbalanced data: use type
    II instead of type III sums of squares"). An interaction is what the pair's combinations explain beyond
    all single axes. A share that cannot be estimated is null, with the reason in `note`.

    Raises RequestError for no measured run, an unknown axis, or nothing that differs.
    """
    runs = with_metric(runs, metric)
    for name in axes or ():
        if name not in setting_columns(runs):
            raise unknown("axis", name, setting_columns(runs))
    runs = measured(runs, metric)
    if runs.is_empty():
        raise RequestError(f"no run has a finite {metric} yet: the effect of an axis needs some")
    axes = [name for name in (axes or varying_settings(runs)) if runs[name].n_unique() > 1]
    if not axes:
        raise RequestError(
            f"the runs with a finite {metric} do not differ in any axis: there is no effect to tell"
        )
    cells = _cells(runs, axes, metric)
    full = _fit(cells, axes)
    shares = [_share(cells, axes, axis, full) for axis in axes]
    pairs = [_interaction(cells, axes, pair, full) for pair in combinations(axes, 2)]
    estimable = {row["axis"] for row in shares if row["share"] is not None and not row["note"]}
    levels = []
    for axis in axes:
        adjusted = (
            _adjusted(cells, axes, axis, full) if axis in estimable else [None] * len(cells.levels[axis])
        )
        column = pl.Series("adjusted", adjusted, dtype=pl.Float64)
        levels.append(_levels(runs, cells, axis, metric).with_columns(column))
    rest = None if cells.total == 0 else max(0.0, 1 - full.explained / cells.total)
    return Effects(
        metric=metric,
        balanced=_is_balanced(cells),
        levels=pl.concat(levels),
        shares=pl.DataFrame(shares, schema=_SHARES).sort("share", descending=True, nulls_last=True),
        interactions=pl.DataFrame(pairs, schema=_PAIRS).sort("share", descending=True, nulls_last=True),
        rest=rest,
    )


_LEVELS = {
    "axis": pl.String,
    "level": pl.String,
    "settings": pl.Int64,
    "mean": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
}
_SHARE = {"degrees_of_freedom": pl.Int64, "share": pl.Float64, "note": pl.String}
_SHARES = {"axis": pl.String} | _SHARE
_PAIRS = {"first": pl.String, "second": pl.String} | _SHARE


def _cells(runs: pl.DataFrame, axes: Sequence[str], metric: str) -> _Cells:
    table = runs.group_by(axes, maintain_order=True).agg(
        pl.len().alias("cell/n"), pl.col(metric).cast(pl.Float64).mean().alias("cell/mean")
    )
    levels = {axis: _sorted(table[axis].unique().to_list()) for axis in axes}
    codes = {axis: _codes(table[axis].to_list(), levels[axis]) for axis in axes}
    y_N = runs[metric].cast(pl.Float64).to_numpy()
    total = float(((y_N - y_N.mean()) ** 2).sum())
    if total <= (1e-12 * np.abs(y_N).max()) ** 2 * len(y_N):  # rounding, not variance
        total = 0.0
    return _Cells(
        levels, codes, table["cell/n"].to_numpy().astype(float), table["cell/mean"].to_numpy(), total
    )


def _sorted(values: list) -> list:
    return sorted(values, key=lambda value: (value is None, value))


def _codes(values: list, levels: list) -> np.ndarray:
    number = {level: code for code, level in enumerate(levels)}
    return np.array([number[value] for value in values])


def _fit(cells: _Cells, axes: Sequence[str], pair: tuple[str, str] | None = None) -> _Fit:
    """Weighted least squares on indicators of every level of `axes` (and of every combination of `pair`).

    The indicators are collinear; the normal equations XᵀWXβ = XᵀWy are solved on their range, and its
    dimension is the rank. The explained sum of squares is (XᵀWy)ᵀβ, for y about its weighted mean.
    """
    factors = [cells.codes[axis] for axis in axes]
    if pair:
        first, second = (cells.codes[axis] for axis in pair)
        factors.append(np.unique(first * (second.max() + 1) + second, return_inverse=True)[1])
    if not factors:
        return _Fit(0.0, 1, np.zeros(0))
    x_CP = np.concatenate([np.eye(codes.max() + 1)[codes] for codes in factors], axis=1)
    y_C = cells.mean_C - np.average(cells.mean_C, weights=cells.n_C)
    weighted_CP = x_CP * cells.n_C[:, None]
    right_P = weighted_CP.T @ y_C
    eigenvalues, vectors_PR = np.linalg.eigh(x_CP.T @ weighted_CP)
    kept = eigenvalues > _SINGULAR * eigenvalues[-1]
    projected_R = vectors_PR[:, kept].T @ right_P
    explained = float((projected_R**2 / eigenvalues[kept]).sum())
    return _Fit(explained, int(kept.sum()), vectors_PR[:, kept] @ (projected_R / eigenvalues[kept]))


def _share(cells: _Cells, axes: Sequence[str], axis: str, full: _Fit) -> dict[str, object]:
    others = [name for name in axes if name != axis]
    without = _fit(cells, others)
    freedom = full.rank - without.rank
    note = None
    if freedom == 0:
        note = f"not estimable: changes only together with {', '.join(others)}"
    elif freedom < len(cells.levels[axis]) - 1:
        note = f"partly not estimable: some levels change only together with {', '.join(others)}"
    return {"axis": axis} | _row(cells, freedom, full.explained - without.explained, note)


def _interaction(cells: _Cells, axes: Sequence[str], pair: tuple[str, str], full: _Fit) -> dict[str, object]:
    both = _fit(cells, axes, pair)
    freedom = both.rank - full.rank
    possible = (len(cells.levels[pair[0]]) - 1) * (len(cells.levels[pair[1]]) - 1)
    note = None
    if freedom == 0:
        note = "not estimable: too few combinations were run"
    elif freedom < possible:
        note = "partly not estimable: some combinations were not run"
    elif both.rank == int(cells.n_C.sum()):
        note = "no runs left to tell it from chance: add seeds"
    names = {"first": pair[0], "second": pair[1]}
    return names | _row(cells, freedom, both.explained - full.explained, note)


def _row(cells: _Cells, freedom: int, explained: float, note: str | None) -> dict[str, object]:
    if cells.total == 0:
        return {"degrees_of_freedom": freedom, "share": None, "note": "the metric is the same in all runs"}
    share = max(0.0, explained / cells.total) if freedom else None
    return {"degrees_of_freedom": freedom, "share": share, "note": note}


def _levels(runs: pl.DataFrame, cells: _Cells, axis: str, metric: str) -> pl.DataFrame:
    """One row per level of an axis: its mean over the settings that were run with it."""
    rows = []
    for code, level in enumerate(cells.levels[axis]):
        values = cells.mean_C[cells.codes[axis] == code]
        settings = len(values)
        if settings == 1:
            values = runs.filter(pl.col(axis).eq_missing(level))[metric].to_numpy()
        interval = possible(metric, mean_interval(values.tolist()))
        text = "null" if level is None else str(level)
        rows.append((axis, text, settings, interval.value, interval.low, interval.high))
    return pl.DataFrame(rows, schema=_LEVELS, orient="row")


def _adjusted(cells: _Cells, axes: Sequence[str], axis: str, full: _Fit) -> np.ndarray:
    """Per level, the mean that the fit predicts for all runs, had they been run with it."""
    offset = sum(len(cells.levels[name]) for name in axes[: axes.index(axis)])
    effect_L = full.coefficients[offset : offset + len(cells.levels[axis])]
    mean_effect = np.average(effect_L[cells.codes[axis]], weights=cells.n_C)
    return np.average(cells.mean_C, weights=cells.n_C) + effect_L - mean_effect


def _is_balanced(cells: _Cells) -> bool:
    possible = np.prod([len(levels) for levels in cells.levels.values()], dtype=float)
    return len(cells.n_C) == possible and len(set(cells.n_C.tolist())) == 1
