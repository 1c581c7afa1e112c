"""The score: fitted on one part of the zoo, judged on families that the fit has never seen.

A family is all runs that share an option (an activation, a data set, …) or a range of depths. Each is left
out in turn: means, scales, weights, the strength of the penalty and the threshold come from the other runs
alone. The positive class of precision, recall and false alarms is "does not learn".

Legend: R runs, F features.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from trainlab.forecast.features import FEATURE_NAMES
from trainlab.forecast.logistic_model import Coefficients, FeatureWeight

Array = NDArray[np.float64]
FAMILIES = (
    "activation", "init", "normalization", "norm_layer", "model", "data", "optimizer", "depth_range",
)  # fmt: skip
"""What is left out in turn."""

CONFIGURATION = (
    "activation", "init", "normalization", "norm_layer", "model", "data", "optimizer", "scheduler", "depth",
    "width", "lr", "weight_decay", "sigma_w2", "sigma_b2", "batch_size", "steps",
)  # fmt: skip
"""Runs that agree in all of these differ in their seed alone: never one in the fit, one in the judgement."""

PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0)
"""Inverse strengths of the squared penalty, the best of which on folds inside the fitting part is taken."""

FOLDS = 5


@dataclass(frozen=True)
class Fit:
    """A logistic function of standardized columns, and the threshold below which a run is named."""

    columns: tuple[str, ...]
    mean_F: Array
    scale_F: Array
    weight_F: Array
    intercept: float
    threshold: float

    def probability(self, runs: pl.DataFrame) -> Array:
        """Of learning, for each run."""
        z_R = ((matrix(runs, self.columns) - self.mean_F) / self.scale_F) @ self.weight_F + self.intercept
        return 1 / (1 + np.exp(-z_R))

    def coefficients(self, border: list[float]) -> Coefficients:
        """As `coefficients.json` holds them, with the border of "cannot tell"."""
        rows = zip(self.columns, self.weight_F, self.mean_F, self.scale_F, strict=True)
        features: dict[str, FeatureWeight] = {
            name: {"weight": _rounded(w), "mean": _rounded(m), "scale": _rounded(s)} for name, w, m, s in rows
        }
        return {
            "intercept": _rounded(self.intercept),
            "threshold": _rounded(self.threshold),
            "border": border,
            "features": features,
        }


def fit(runs: pl.DataFrame, columns: Sequence[str]) -> Fit:
    """Penalty by folds inside `runs`; the threshold where both kinds of error are equal on those folds."""
    x_RF, learned_R, folds = matrix(runs, columns), labels(runs), _folds(runs)
    inner = {c: _out_of_fold(x_RF, learned_R, folds, c) for c in PENALTIES}
    best = min(PENALTIES, key=lambda c: log_loss(learned_R, inner[c]))
    mean_F, scale_F, weight_F, intercept = _logistic(x_RF, learned_R, best)
    return Fit(
        tuple(columns), mean_F, scale_F, weight_F, intercept, equal_error_threshold(learned_R, inner[best])
    )


def left_out(runs: pl.DataFrame, axis: str, columns: Sequence[str]) -> pl.DataFrame:
    """run_id, family, probability, threshold, of each run, by the fit that knew nothing of its family."""
    parts = []
    for (family,), part in runs.group_by(axis, maintain_order=True):
        fitted = fit(runs.filter(pl.col(axis).ne_missing(family)), columns)
        parts.append(_predictions(part, axis, fitted.probability(part), fitted.threshold))
    return pl.concat(parts)


def left_out_raw(runs: pl.DataFrame, axis: str, column: str) -> pl.DataFrame:
    """The same by one number a run as it is: the fit decides which way it points, and from where on it names.

    Its probability, for the Brier score, is the best rising function of it (isotonic regression).
    """
    parts = []
    for (family,), part in runs.group_by(axis, maintain_order=True):
        rest = runs.filter(pl.col(axis).ne_missing(family))
        learned_R, x_R = labels(rest), rest[column].to_numpy().astype(float)
        sign = 1.0 if roc_auc_score(learned_R, x_R) >= 0.5 else -1.0
        rising = IsotonicRegression(out_of_bounds="clip", y_min=0.0, y_max=1.0).fit(sign * x_R, learned_R)
        score_R = sign * part[column].to_numpy().astype(float)
        threshold = equal_error_threshold(learned_R, sign * x_R)
        parts.append(_predictions(part, axis, rising.predict(score_R), threshold, score_R))
    return pl.concat(parts)


def _predictions(
    part: pl.DataFrame, axis: str, probability_R: Array, threshold: float, score_R: Array | None = None
) -> pl.DataFrame:
    """`score` is what orders the runs; `named` those that are said not to learn."""
    score_R = probability_R if score_R is None else score_R
    family = pl.col(axis).cast(pl.String).fill_null("null")
    return part.select(
        "run_id", "learned", axis=pl.lit(axis), family=family,
        probability=pl.Series(probability_R), threshold=pl.lit(threshold),
        score=pl.Series(score_R), named=pl.Series(score_R < threshold),
    )  # fmt: skip


def predict(fitted: Fit, runs: pl.DataFrame) -> pl.DataFrame:
    """What a fit says of runs that it has not seen, as of one family."""
    return _predictions(
        runs.with_columns(all=pl.lit("all")), "all", fitted.probability(runs), fitted.threshold
    )


def depth_range(ranges: Mapping[str, int], beyond: str) -> pl.Expr:
    """The first range whose largest depth a run does not exceed, else `beyond`; LeNet-5 has no depth."""
    expression = pl.when(pl.col("depth").is_null()).then(pl.lit("lenet5"))
    for name, most in ranges.items():
        expression = expression.when(pl.col("depth") <= most).then(pl.lit(name))
    return expression.otherwise(pl.lit(beyond))


def judged(predictions: pl.DataFrame) -> dict[str, float]:
    """AUROC, and of "does not learn" recall, precision, false alarms, the confusion matrix; Brier, ECE."""
    learned_R = labels(predictions)
    p_R = predictions["probability"].to_numpy()
    fails_R = p_R < predictions["threshold"].to_numpy()
    caught, alarms = int((fails_R & ~learned_R).sum()), int((fails_R & learned_R).sum())
    failed, fine = int((~learned_R).sum()), int(learned_R.sum())
    return {
        "runs": len(p_R),
        "auroc": float(roc_auc_score(learned_R, p_R)) if 0 < fine < len(p_R) else float("nan"),
        "recall": caught / failed if failed else float("nan"),
        "precision": caught / (caught + alarms) if caught + alarms else float("nan"),
        "false_alarms": alarms / fine if fine else float("nan"),
        "caught": caught, "missed": failed - caught, "alarms": alarms, "passed": fine - alarms,
        "brier": float(np.mean((p_R - learned_R) ** 2)),
        "ece": expected_calibration_error(learned_R, p_R),
    }  # fmt: skip


def reliability(learned_R: NDArray[np.bool_], p_R: Array, bins: int = 10) -> list[dict[str, float]]:
    """Of each tenth of the probability that holds runs: mean probability, share that learned, runs."""
    bin_R = np.minimum((p_R * bins).astype(int), bins - 1)
    return [
        {
            "from": b / bins,
            "to": (b + 1) / bins,
            "runs": int((bin_R == b).sum()),
            "said": float(p_R[bin_R == b].mean()),
            "learned": float(learned_R[bin_R == b].mean()),
        }
        for b in range(bins)
        if (bin_R == b).any()
    ]


def expected_calibration_error(learned_R: NDArray[np.bool_], p_R: Array) -> float:
    """Mean distance of probability and share over the tenths, weighted by their runs (Guo et al. 2017)."""
    table = reliability(learned_R, p_R)
    return sum(row["runs"] * abs(row["said"] - row["learned"]) for row in table) / len(p_R)


def equal_error_threshold(learned_R: NDArray[np.bool_], score_R: Array) -> float:
    """Where the share of failures missed and the share of false alarms are nearest to each other."""
    levels = np.unique(score_R)
    middles = np.concatenate([levels[:1], (levels[1:] + levels[:-1]) / 2, [np.inf]])
    missed = np.array([(score_R[~learned_R] >= t).mean() for t in middles])
    alarms = np.array([(score_R[learned_R] < t).mean() for t in middles])
    return float(middles[np.argmin(np.abs(missed - alarms))])


def log_loss(learned_R: NDArray[np.bool_], p_R: Array) -> float:
    """Mean −log of the probability given to what happened."""
    p_R = np.clip(p_R, 1e-6, 1 - 1e-6)
    return float(-np.mean(np.where(learned_R, np.log(p_R), np.log(1 - p_R))))


def matrix(runs: pl.DataFrame, columns: Sequence[str]) -> Array:
    """(R, F)."""
    return runs.select(pl.col(list(columns)).cast(pl.Float64)).to_numpy()


def labels(runs: pl.DataFrame) -> NDArray[np.bool_]:
    """Which runs learned."""
    return runs["learned"].to_numpy().astype(bool)


def _folds(runs: pl.DataFrame) -> NDArray[np.int64]:
    """A fold for each run, the same for all seeds of a configuration, by the order of their names."""
    key = runs.select(
        pl.concat_str([pl.col(c).cast(pl.String).fill_null("-") for c in CONFIGURATION], separator="|")
    )
    names = key.to_series().to_list()
    number = {name: i for i, name in enumerate(dict.fromkeys(names))}
    return np.array([number[name] % FOLDS for name in names])


def _out_of_fold(
    x_RF: Array, learned_R: NDArray[np.bool_], fold_R: NDArray[np.int64], penalty: float
) -> Array:
    p_R = np.empty(len(learned_R))
    for fold in range(FOLDS):
        out_R = fold_R == fold
        mean_F, scale_F, weight_F, intercept = _logistic(x_RF[~out_R], learned_R[~out_R], penalty)
        p_R[out_R] = 1 / (1 + np.exp(-(((x_RF[out_R] - mean_F) / scale_F) @ weight_F + intercept)))
    return p_R


def _logistic(x_RF: Array, learned_R: NDArray[np.bool_], penalty: float) -> tuple[Array, Array, Array, float]:
    mean_F = x_RF.mean(0)
    scale_F = np.maximum(x_RF.std(0), 1e-6)
    model = LogisticRegression(C=penalty, max_iter=2000).fit((x_RF - mean_F) / scale_F, learned_R)
    return mean_F, scale_F, model.coef_[0], float(model.intercept_[0])


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


Baseline = Callable[[pl.DataFrame], pl.Series]

LOST = 1e3
"""In the place of a training loss that was not finite."""


def baselines() -> Mapping[str, Baseline]:
    """What the forecast is held against: one number a run each, as it is."""

    def by(expression: pl.Expr) -> Baseline:
        return lambda runs: runs.select(expression.fill_null(strategy="mean").fill_nan(0.0)).to_series()

    reach = (pl.col("reach_layers").clip(1e-3, 1e6).log10() - pl.col("layers").log10()).clip(-4, 6)
    return {
        "a constant": by(0.0 * pl.col("parameters").cast(pl.Float64)),
        "log(parameters)": by(pl.col("parameters").log10()),
        "depth": by(pl.coalesce("depth", pl.lit(4)).cast(pl.Float64)),
        "gradient norm": by(pl.col("gradient_norm")),
        "χ₁ with the 6ξ rule": by(reach),
        TRAINED: by(-pl.col("loss_50").fill_null(LOST).clip(0.0, LOST)),
    }


TRAINED = "train 50 steps"

CLASSES, FINE = 10, 1e-4
"""Of every data set of the zoo; nats to which a distance of the loss from guessing is resolved."""


def of_the_loss() -> Mapping[str, pl.Expr]:
    """What 50 real steps tell, on a scale fine enough to see that a network has begun to learn."""
    first, after = (pl.col(name).fill_null(LOST).clip(0.0, LOST) for name in ("loss_first", "loss_50"))
    guessing = math.log(CLASSES)
    distances = {
        "below_guessing": guessing - after, "above_guessing": after - guessing,
        "fall": first - after, "rise": after - first,
    }  # fmt: skip
    return {
        **{f"{name}_50": distance.clip(FINE, LOST).log10() for name, distance in distances.items()},
        "loss_is_lost": pl.col("loss_50").is_null().cast(pl.Float64),
        "log_steps": pl.col("steps").cast(pl.Float64).log10(),
    }


COLUMNS = tuple(FEATURE_NAMES)
