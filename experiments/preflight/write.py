"""zoo.csv → the fit that the package ships, results.json, README.md and its figure."""

import json
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from experiments.preflight import cross_validation, metrics, repeats
from experiments.preflight.design import ORDINARY, PARTS, WIDE
from experiments.preflight.metrics import Scores
from experiments.preflight.page import (
    README,
    RESULTS,
    RUNS_SEEN,
    WRONG,
    axis_text,
    draw_reliability,
    readme,
    table_of_axes,
    table_of_baselines,
)
from experiments.preflight.table import TABLE
from experiments.rendering import round_numbers
from trainlab.forecast.logistic_model import COEFFICIENTS, learning_probability

TARGETS = {"recall": 0.9, "false_alarms": 0.1}
BORDER, LOG_2 = (0.12, 0.20), 0.3
"""Where ten classes hardly tell learning from guessing on these test sets; log10 of an overshoot of 2."""

ASKED_AXES = ("activation", "depth_range", "data", "optimizer")
"""The axes that a forecast is most often asked to be right on without having seen the option."""

DEPTHS = {"1–2": 2, "3–5": 5, "6–9": 9, "10–15": 15, "16–24": 99}


def write() -> None:
    """All files, from the table."""
    runs = load()
    forecast = {
        axis: cross_validation.left_out(runs, axis, cross_validation.COLUMNS)
        for axis in cross_validation.FAMILIES
    }
    border = border_of(pl.concat(list(forecast.values())))
    results = round_numbers(scored(runs, forecast))
    shipped = cross_validation.fit(fitted_on(runs), cross_validation.COLUMNS).coefficients(border)
    COEFFICIENTS.write_text(json.dumps(shipped, indent=1) + "\n", encoding="utf-8")
    probabilities = [round(learning_probability(row, shipped), 4) for row in runs.iter_rows(named=True)]
    runs.drop("depth_range").with_columns(probability=pl.Series(probabilities)).write_csv(TABLE)
    RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    README.write_text(readme(results), encoding="utf-8")
    draw_reliability(results)
    print(table_of_axes(results), table_of_baselines(results), sep="\n\n")


def border_of(predictions: pl.DataFrame) -> list[float]:
    """Probabilities that one in twenty of those that learned lies below, of those that did not above.

    Where hardly any run lies between the two the order may turn around: then both are the mean of the two.
    """
    learned = pl.col("learned").cast(pl.Boolean)
    low = float(predictions.filter(learned)["probability"].quantile(WRONG, "linear") or 0.0)
    high = float(predictions.filter(~learned)["probability"].quantile(1 - WRONG, "linear") or 1.0)
    both = [low, high] if low <= high else [(low + high) / 2] * 2
    return [round(value, 4) for value in both]


def load(path: Path = TABLE) -> pl.DataFrame:
    """The table, with the range of its depth beside each run, in a fixed order."""
    runs = pl.read_csv(path, infer_schema_length=None)
    return runs.with_columns(depth_range=cross_validation.depth_range(DEPTHS, "more")).sort("number")


def fitted_on(runs: pl.DataFrame) -> pl.DataFrame:
    """What the shipped fit has seen: the wide part. The ordinary part stays a test that no fit has seen."""
    return runs.filter(pl.col("part") == WIDE.name)


def scored(runs: pl.DataFrame, forecast: Mapping[str, pl.DataFrame]) -> Scores:
    """The forecast, by the predictions of each axis left out, and every baseline in the same way."""
    every = pl.concat(list(forecast.values()))
    return {
        "zoo": _zoo(runs),
        "must": TARGETS,
        "pooled": metrics.score_predictions(every, runs),
        "fresh": _fresh(runs),
        "parts": _parts(runs, every),
        "axes": {
            axis: metrics.score_predictions(predictions, runs) for axis, predictions in forecast.items()
        },
        "families": {
            axis: {
                family: metrics.score_predictions(part, runs)
                for (family,), part in sorted(predictions.group_by("family"))
            }
            for axis, predictions in forecast.items()
        },
        "answers": _answers(forecast, runs),
        "reliability": cross_validation.reliability(
            cross_validation.labels(every), every["probability"].to_numpy()
        ),
        "baselines": _baselines(runs),
        "ceiling": _with_steps(runs),
        "where": _where(runs, every),
        "repeats": repeats.summarize_repeats(),
        "misjudged": _misjudged(runs, every),
    }


def _fresh(runs: pl.DataFrame) -> Scores:
    """The fit of the runs that were looked at while the features were made, on the others of that part."""
    wide = fitted_on(runs)
    seen = pl.col("number") < RUNS_SEEN
    return metrics.score_predictions(
        cross_validation.predict(
            cross_validation.fit(wide.filter(seen), cross_validation.COLUMNS), wide.filter(~seen)
        ),
        runs,
    )


def _parts(runs: pl.DataFrame, every: pl.DataFrame) -> Scores:
    """Each part of the zoo by fits that left a family of the whole zoo out; one part by the other alone."""
    named = pl.col("axis").is_in(ASKED_AXES)
    run_ids = {name: runs.filter(pl.col("part") == name).select("run_id") for name in PARTS}
    parts = {name: every.join(ids, on="run_id", how="semi") for name, ids in run_ids.items()}
    ordinary = runs.filter(pl.col("part") == ORDINARY.name)
    by_wide = cross_validation.predict(
        cross_validation.fit(fitted_on(runs), cross_validation.COLUMNS), ordinary
    )
    words = f"each {', '.join(axis_text(axis) for axis in ASKED_AXES)}"
    return {
        **{f"{name} part": metrics.score_predictions(part, runs) for name, part in parts.items()},
        **{
            f"{name} part, {words}": metrics.score_predictions(part.filter(named), runs)
            for name, part in parts.items()
        },
        "**ordinary part, by the shipped fit**, which knows the wide part alone": metrics.score_predictions(
            by_wide, runs
        ),
    }


def _answers(forecast: Mapping[str, pl.DataFrame], runs: pl.DataFrame) -> dict[str, float]:
    """The three answers, each family by a border that was drawn from the others; configurations as units."""
    units = runs.select("run_id", metrics.configuration().alias("configuration"))
    units = units.join(units.group_by("configuration").agg(weight=1 / pl.len()), on="configuration")
    answered = []
    for predictions in forecast.values():
        for (family,), part in predictions.group_by("family"):
            low, high = border_of(predictions.filter(pl.col("family") != family))
            no, yes = pl.col("probability") < low, pl.col("probability") >= high
            answered.append(part.select("run_id", "learned", no=no, yes=yes))
    table = pl.concat(answered).join(units, on="run_id")

    def share(what: pl.Expr, among: pl.Expr) -> float:
        part = table.filter(among)
        return float(
            (part.select((what.cast(pl.Float64) * pl.col("weight")).sum() / pl.col("weight").sum())).item()
        )

    no, yes, learned = pl.col("no"), pl.col("yes"), pl.col("learned").cast(pl.Boolean)
    return {
        "silent": share(~(no | yes), pl.lit(True)),
        "silent_of_learned": share(~(no | yes), learned),
        "learned_said_no": share(no, learned),
        "failed_said_yes": share(yes, ~learned),
        "recall_of_answered": share(no, ~learned & (no | yes)),
        "false_alarms_of_answered": share(no, learned & (no | yes)),
    }


def _baselines(runs: pl.DataFrame) -> Scores:
    found = {}
    for name, column in cross_validation.baselines().items():
        with_it = runs.with_columns(column(runs).alias("baseline"))
        parts = [
            cross_validation.left_out_raw(with_it, axis, "baseline") for axis in cross_validation.FAMILIES
        ]
        found[name] = metrics.score_predictions(pl.concat(parts), runs)
    return found


def _with_steps(runs: pl.DataFrame) -> Scores:
    """What the features come to together with what only training tells, and what that tells by itself."""
    with_it = runs.with_columns(**cross_validation.of_the_loss())
    columns = {
        "50 steps, the loss on six scales": list(cross_validation.of_the_loss()),
        "preflight and these 50 steps": [*cross_validation.COLUMNS, *cross_validation.of_the_loss()],
    }
    return {
        name: metrics.score_predictions(
            pl.concat(
                [cross_validation.left_out(with_it, axis, names) for axis in cross_validation.FAMILIES]
            ),
            runs,
        )
        for name, names in columns.items()
    }


def _zoo(runs: pl.DataFrame) -> Scores:
    axes = (
        "activation",
        "init",
        "normalization",
        "norm_layer",
        "model",
        "data",
        "optimizer",
        "depth_range",
        "steps",
    )
    return {
        "runs": len(runs),
        "learned": int(runs["learned"].sum()),
        "diverged": int((runs["status"] == "diverged").sum()),
        "configurations": runs.select(cross_validation.CONFIGURATION).unique().height,
        "counts": {
            axis: {str(k): n for k, n in runs[axis].value_counts(sort=True).iter_rows()} for axis in axes
        },
    }


def _where(runs: pl.DataFrame, pooled: pl.DataFrame) -> Scores:
    """The same predictions, parted: how near a run ended to the border, size and number of its steps."""
    near = pl.col("test_acc").fill_null(0.0).is_between(*BORDER)
    large = (pl.col("first_step") > -1) | (pl.col("overshoot") > LOG_2)
    parts = {
        f"test accuracy between {BORDER[0]:.0%} and {BORDER[1]:.0%}": near,
        "all others": ~near,
        "others, first step above a tenth of a layer or beyond the curvature": ~near & large,
        "others, small steps": ~near & ~large,
        **{f"{steps} steps": pl.col("steps") == steps for steps in sorted(set(runs["steps"]))},
    }
    return {
        name: metrics.score_predictions(
            pooled.join(runs.filter(which).select("run_id"), on="run_id", how="semi"), runs
        )
        for name, which in parts.items()
    }


def _misjudged(runs: pl.DataFrame, pooled: pl.DataFrame) -> list[Scores]:
    """Runs that most of their left-out fits got wrong, the most confident errors first."""
    mean = pooled.group_by("run_id").agg(
        probability=pl.col("probability").mean(),
        wrong=(pl.col("named") == pl.col("learned")).mean(),
    )
    shown = (
        "run_id", "model", "depth", "activation", "init", "norm_layer", "optimizer", "lr", "data",
        "normalization", "steps", "seed", "learned", "test_acc",
    )  # fmt: skip
    wrong = mean.filter(pl.col("wrong") > 0.5).join(runs, on="run_id")
    error = (pl.col("probability") - pl.col("learned").cast(pl.Float64)).abs()
    worst = wrong.sort(error, descending=True).select(*shown, "probability")
    return list(worst.iter_rows(named=True))
