"""How good a set of predictions is: by configuration, within families, with intervals.

A prediction is that of one fit about one run whose family the fit has not seen; a run has one for each axis.

- Configurations are the units. Runs that differ in their seed alone share the weight of one, are drawn
  together. The several predictions of a run are one run, judged several times: averaged, not counted.
- AUROC is taken within a family, where all scores come from one fit, and averaged over the families with
  both kinds of run, by their number of configurations, and over the axes. A constant has 0.5.
- Intervals: 95%, by a bootstrap that draws configurations with replacement.

Legend: R runs, C configurations, B draws, L runs of a family that learned, F that did not.
"""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from experiments.preflight.cross_validation import CONFIGURATION

Array = NDArray[np.float64]

Scores: TypeAlias = Mapping[str, Any]
"""Recall, false alarms, AUROC, precision, Brier score, their intervals and counts, by name."""

Results: TypeAlias = Mapping[str, Any]
"""results.json, as it is written and read."""

DRAWS = 1000
INTERVAL = (2.5, 97.5)


def configuration() -> pl.Expr:
    """A name for all settings but the seed."""
    return pl.concat_str([pl.col(c).cast(pl.String).fill_null("-") for c in CONFIGURATION], separator="|")


def score_predictions(predictions: pl.DataFrame, runs: pl.DataFrame, draws: int = DRAWS) -> Scores:
    """Of predictions (run_id, axis, family, learned, probability, score, named) about some of `runs`.

    "Does not learn" is the positive class: recall is the share of failures that were named, a false alarm is
    a run that learned and was named. What has no value (no failures, no family with both kinds) is NaN.
    """
    units = runs.select("run_id", configuration().alias("configuration"))
    table = predictions.join(units, on="run_id")
    of_run = table.group_by("run_id", "configuration", maintain_order=True).agg(
        pl.col("learned").first(),
        pl.col("named").cast(pl.Float64).mean(),
        brier=((pl.col("probability") - pl.col("learned").cast(pl.Float64)) ** 2).mean(),
    )
    weight_BR = _weights(of_run["configuration"], draws)
    place = {run_id: i for i, run_id in enumerate(of_run["run_id"])}
    learned_R, named_R = of_run["learned"].to_numpy().astype(float), of_run["named"].to_numpy()
    shares = {
        "recall": _mean(named_R, weight_BR * (1 - learned_R)),
        "false_alarms": _mean(named_R, weight_BR * learned_R),
        "auroc": _auroc(table, place, weight_BR),
    }
    precision = _mean(1 - learned_R, weight_BR[:1] * named_R)[0]
    return {
        "runs": len(of_run),
        "configurations": of_run["configuration"].n_unique(),
        **{name: float(values[0]) for name, values in shares.items()},
        **{f"{name}_interval": _interval(values[1:]) for name, values in shares.items()},
        "precision": float(precision),
        "brier": float(_mean(of_run["brier"].to_numpy(), weight_BR[:1])[0]),
    }


def _weights(configuration: pl.Series, draws: int) -> Array:
    """(1 + B, R): what each run counts in the table itself, and in each draw."""
    names, index_R, count_C = np.unique(configuration.to_numpy(), return_inverse=True, return_counts=True)
    rng = np.random.default_rng(0)
    drawn_BC = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    times_BC = np.concatenate([np.ones((1, len(names))), drawn_BC])
    return times_BC[:, index_R] / count_C[index_R]


def _mean(value_R: Array, weight_BR: Array) -> Array:
    total_B = weight_BR.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (weight_BR @ value_R) / total_B


def _auroc(table: pl.DataFrame, place: dict[str, int], weight_BR: Array) -> Array:
    """Of the table and of each draw: over the families of an axis, then over the axes."""
    axes = []
    for (_,), part in table.group_by("axis", maintain_order=True):
        found = list(_of_families(part, place, weight_BR))
        if found:
            value_FB, size_FB = (np.stack(values) for values in zip(*found, strict=True))
            known_FB = np.where(np.isnan(value_FB), 0.0, size_FB)
            with np.errstate(invalid="ignore", divide="ignore"):
                axes.append((np.nan_to_num(value_FB) * known_FB).sum(0) / known_FB.sum(0))
    return np.mean(axes, axis=0) if axes else np.full(len(weight_BR), np.nan)


def _of_families(
    part: pl.DataFrame, place: dict[str, int], weight_BR: Array
) -> Iterator[tuple[Array, Array]]:
    """(AUROC, weight of the family) in the table and in each draw, of families that hold both kinds."""
    for (_,), family in part.group_by("family", maintain_order=True):
        learned = family["learned"].to_numpy().astype(bool)
        if learned.all() or not learned.any():
            continue
        score, index = family["score"].to_numpy(), np.array([place[r] for r in family["run_id"]])
        above_LF = score[learned][:, None] > score[~learned][None, :]
        equal_LF = score[learned][:, None] == score[~learned][None, :]
        weight_BL, weight_BF = weight_BR[:, index[learned]], weight_BR[:, index[~learned]]
        won_B = ((weight_BL @ (above_LF + 0.5 * equal_LF)) * weight_BF).sum(1)
        with np.errstate(invalid="ignore", divide="ignore"):
            yield won_B / (weight_BL.sum(1) * weight_BF.sum(1)), weight_BL.sum(1) + weight_BF.sum(1)


def _interval(values_B: Array) -> list[float]:
    known = values_B[~np.isnan(values_B)]
    return [float(v) for v in np.percentile(known, INTERVAL)] if len(known) else [float("nan")] * 2
