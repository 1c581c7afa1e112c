"""From features to a probability: one logistic function, fitted on a zoo of runs and shipped as numbers.

p = 1 / (1 + exp(−(b + Σ w (x − m)/s))), with b, w, m, s in `coefficients.json`, which
`python -m experiments.preflight score` writes.
"""

import json
import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TypedDict

COEFFICIENTS = Path(__file__).with_name("coefficients.json")

WILL_LEARN, CANNOT_TELL, WILL_NOT_LEARN = "will learn", "cannot tell", "will not learn"


class FeatureWeight(TypedDict):
    """w, m and s of one feature."""

    weight: float
    mean: float
    scale: float


class Coefficients(TypedDict):
    """The fit. border: between these probabilities there is no answer, see `no_answer_interval`."""

    intercept: float
    threshold: float
    border: list[float]
    features: dict[str, FeatureWeight]


@cache
def coefficients() -> Coefficients:
    """The fit that the package ships."""
    return json.loads(COEFFICIENTS.read_text(encoding="utf-8"))


def learning_probability(features: Mapping[str, float], fitted: Coefficients | None = None) -> float:
    """The probability 0..1 of learning."""
    fitted = fitted or coefficients()
    total = fitted["intercept"]
    for name, fit in fitted["features"].items():
        total += fit["weight"] * (features[name] - fit["mean"]) / fit["scale"]
    return 1 / (1 + math.exp(-min(max(total, -500.0), 500.0)))


def decision_threshold() -> float:
    """The probability below which a run is expected not to learn: both kinds of error are equal there."""
    return coefficients()["threshold"]


def no_answer_interval() -> tuple[float, float]:
    """Between these probabilities the forecast cannot tell.

    Of the zoo's runs that learned, judged by fits that had not seen their family, one in twenty lies below
    the lower one; of those that did not learn, one in twenty lies above the upper one.
    """
    low, high = coefficients()["border"]
    return low, high


def answer_for(chance: float) -> str:
    """ "will learn", "will not learn", or "cannot tell" between the two."""
    low, high = no_answer_interval()
    if chance >= high:
        return WILL_LEARN
    return WILL_NOT_LEARN if chance < low else CANNOT_TELL
