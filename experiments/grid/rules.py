"""Rules of thumb of the literature, each as a contrast between settings, tested on the runs of the grid.

A rule says that one thing is better than another by more than a point of test accuracy: a difference for each
setting of the axes that it does not name, its seeds averaged; whether the mean of these differences
exceeds a point is a t test over those settings, as in the claims. Over all rules p-values are Holm-adjusted.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

import polars as pl

from trainlab.claims.judge import REFUTED, SUPPORTED, UNDECIDED
from trainlab.stats.e_processes import ALPHA
from trainlab.stats.hypothesis_tests import holm_adjust, mean_test
from trainlab.stats.intervals import mean_interval

MINIMUM = 0.01
"""What a difference of accuracies has to exceed: one point."""

AXES = ("activation", "init", "normalization", "depth", "norm_layer")
Level = str | int
"""Of an axis."""
Contrast = Callable[[pl.DataFrame], pl.Series]
"""Settings with their scores → a difference for each setting of the axes that are not compared."""
Quantity = Callable[[pl.DataFrame], pl.DataFrame]
"""Settings with their scores → a number for each setting of the remaining axes, in `value`."""


@dataclass(frozen=True)
class Rule:
    """`statement` in words, its `source`, what it compares (in words), and the contrast itself."""

    statement: str
    source: str
    compared: str
    contrast: Contrast


@dataclass(frozen=True)
class RuleResult:
    """The result of a rule: mean difference with its 95% interval over `n` settings, in how many it held."""

    statement: str
    source: str
    compared: str
    verdict: str
    estimate: float
    low: float | None
    high: float | None
    n: int
    held: int
    p: float
    adjusted: float


class RuleRow(TypedDict):
    """`RuleResult` in the result file."""

    says: str
    source: str
    compares: str
    verdict: str
    estimate: float
    low: float | None
    high: float | None
    n: int
    held: int
    p: float
    adjusted: float


def level_difference(axis: str, better: Level, worse: Level, **fixed: Level) -> Contrast:
    """Score of one level less that of another, in each setting of all other axes; some axes are fixed."""
    gain = level_gain(axis, better, worse)
    return lambda settings: gain(_select_levels(settings, fixed))["value"]


def effect_reduction(axis: str, level: Level, other: Level, quantity: Quantity) -> Contrast:
    """How much larger a quantity is at the level `other` of an axis than at `level`."""

    def contrast(settings: pl.DataFrame) -> pl.Series:
        at_level, at_other = (quantity(settings.filter(pl.col(axis) == value)) for value in (level, other))
        keys = [name for name in at_level.columns if name in AXES and name != axis]
        paired = at_other.join(at_level, on=keys, suffix=" at level")
        return paired["value"] - paired["value at level"]

    return contrast


def level_spread(over: str) -> Quantity:
    """The standard deviation of the score over the levels of an axis, in each setting of the others."""
    return lambda settings: settings.group_by([name for name in AXES if name != over]).agg(
        value=pl.col("score").std(ddof=0)
    )


def level_gain(axis: str, better: Level, worse: Level) -> Quantity:
    """Score of one level less that of another, in each setting of the others."""

    def quantity(settings: pl.DataFrame) -> pl.DataFrame:
        others = [name for name in AXES if name != axis]
        first, second = (settings.filter(pl.col(axis) == level) for level in (better, worse))
        paired = first.join(second, on=others, suffix=" of worse")
        return paired.select(*others, value=pl.col("score") - pl.col("score of worse"))

    return quantity


RULES = (
    Rule(
        "ReLU wants Kaiming", "He et al. 2015",
        "Kaiming − Glorot, of ReLU without BatchNorm",
        level_difference("init", "kaiming", "glorot", activation="relu", norm_layer="none"),
    ),
    Rule(
        "tanh wants Glorot", "Glorot & Bengio 2010",
        "Glorot − Kaiming, of tanh without BatchNorm",
        level_difference("init", "glorot", "kaiming", activation="tanh", norm_layer="none"),
    ),
    Rule(
        "SELU wants weights of variance 1/fan-in (here Glorot), not Kaiming's 2/fan-in",
        "Klambauer et al. 2017",
        "Glorot − Kaiming, of SELU without BatchNorm",
        level_difference("init", "glorot", "kaiming", activation="selu", norm_layer="none"),
    ),
    Rule(
        "a small fixed std (0.01) needs BatchNorm", "Glorot & Bengio 2010; Ioffe & Szegedy 2015",
        "BatchNorm − none, with weights of std 0.01",
        level_difference("norm_layer", "batchnorm", "none", init="normal"),
    ),
    Rule(
        "a deep sigmoid network needs BatchNorm", "Ioffe & Szegedy 2015",
        "BatchNorm − none, of sigmoid at depth 12",
        level_difference("norm_layer", "batchnorm", "none", activation="sigmoid", depth=12),
    ),
    Rule(
        "without BatchNorm, take ReLU rather than sigmoid", "Glorot, Bordes & Bengio 2011",
        "ReLU − sigmoid, without BatchNorm",
        level_difference("activation", "relu", "sigmoid", norm_layer="none"),
    ),
    Rule(
        "BatchNorm makes the initializer matter less", "Ioffe & Szegedy 2015",
        "standard deviation over initializers: none − BatchNorm",
        effect_reduction("norm_layer", "batchnorm", "none", level_spread("init")),
    ),
    Rule(
        "input normalization matters more without BatchNorm", "LeCun et al. 1998; Ioffe & Szegedy 2015",
        "what standardized pixels have over raw ones: none − BatchNorm",
        effect_reduction("norm_layer", "batchnorm", "none", level_gain("normalization", "standardize",
        "raw")),
    ),
    Rule(
        "depth hurts without BatchNorm", "Schoenholz et al. 2017",
        "4 − 12 layers, without BatchNorm",
        level_difference("depth", 4, 12, norm_layer="none"),
    ),
    Rule(
        "BatchNorm makes depth hurt less", "Ioffe & Szegedy 2015",
        "what 4 layers have over 12: none − BatchNorm",
        effect_reduction("norm_layer", "batchnorm", "none", level_gain("depth", 4, 12)),
    ),
)  # fmt: skip


def evaluate_rules(settings: pl.DataFrame, rules: Sequence[Rule] = RULES) -> list[RuleResult]:
    """Tests each rule on settings with their axes and `score`, a row each."""
    differences = [rule.contrast(settings).to_list() for rule in rules]
    tests = [mean_test(values, MINIMUM) for values in differences]
    adjusted = holm_adjust([min(test) for test in tests])
    results = []
    for rule, values, test, p in zip(rules, differences, tests, adjusted, strict=True):
        mean = mean_interval(values)
        clearer = SUPPORTED if test.p_for < test.p_against else REFUTED
        results.append(
            RuleResult(
                rule.statement, rule.source, rule.compared, clearer if p < ALPHA else UNDECIDED,
                float(mean.value or 0.0), mean.low, mean.high, mean.n,
                sum(value > MINIMUM for value in values), min(test), p,
            )
        )  # fmt: skip
    return results


def rule_rows(results: Sequence[RuleResult]) -> list[RuleRow]:
    """As the result file has them."""
    return [
        RuleRow(
            says=result.statement, source=result.source, compares=result.compared, verdict=result.verdict,
            estimate=result.estimate, low=result.low, high=result.high, n=result.n, held=result.held,
            p=result.p, adjusted=result.adjusted,
        )
        for result in results
    ]  # fmt: skip


def _select_levels(settings: pl.DataFrame, levels: Mapping[str, Level]) -> pl.DataFrame:
    for axis, level in levels.items():
        settings = settings.filter(pl.col(axis) == level)
    return settings
