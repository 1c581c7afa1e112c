"""Rules of thumb of the literature, each as a contrast between settings, and what came of each.

A rule says that one thing is better than another by more than a point of test accuracy: a difference for each
setting of the axes that it does not speak of, its seeds averaged; whether the mean of these differences
exceeds a point is a t test over those settings, as in the claims. Over all rules p-values are Holm-adjusted.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from trainlab.claims.judge import ALPHA, REFUTED, SUPPORTED, UNDECIDED
from trainlab.stats.hypothesis_tests import holm_adjust, mean_test
from trainlab.stats.intervals import mean_interval

MINIMUM = 0.01
"""What a difference of accuracies has to exceed: one point."""

AXES = ("activation", "init", "normalization", "depth", "norm_layer")
Levels = Mapping[str, Any]


@dataclass(frozen=True)
class Rule:
    """`says` in words, its `source`, and `contrast`: settings with their scores → a difference each."""

    says: str
    source: str
    compares: str
    contrast: Callable[[pl.DataFrame], pl.Series]


@dataclass(frozen=True)
class RuleResult:
    """What came of a rule: mean difference with its 95% interval over `n` settings, in how many it held."""

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


def level_difference(axis: str, better: Any, worse: Any, **where: Any) -> Callable[[pl.DataFrame], pl.Series]:
    """Score of one level less that of another, in each setting of all other axes."""

    return lambda settings: level_gain(axis, better, worse)(_select_levels(settings, where))["value"]


def effect_reduction(
    axis: str, level: Any, other: Any, of: Callable[[pl.DataFrame], pl.DataFrame]
) -> Callable[[pl.DataFrame], pl.Series]:
    """How much larger a quantity (`of` settings, a row each, in `value`) is at `other` than at `level`."""

    def contrast(settings: pl.DataFrame) -> pl.Series:
        here, there = (of(settings.filter(pl.col(axis) == value)) for value in (level, other))
        keys = [name for name in here.columns if name in AXES and name != axis]
        paired = there.join(here, on=keys, suffix=" here")
        return paired["value"] - paired["value here"]

    return contrast


def level_spread(over: str) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """The standard deviation of the score over the levels of an axis, in each setting of the others."""
    return lambda settings: settings.group_by([name for name in AXES if name != over]).agg(
        value=pl.col("score").std(ddof=0)
    )


def level_gain(axis: str, better: Any, worse: Any) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """What one level has over another, in each setting of the others."""

    def quantity(settings: pl.DataFrame) -> pl.DataFrame:
        rest = [name for name in AXES if name != axis]
        first, second = (settings.filter(pl.col(axis) == level) for level in (better, worse))
        paired = first.join(second, on=rest, suffix=" of the other")
        return paired.select(*rest, value=pl.col("score") - pl.col("score of the other"))

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
    """What came of each rule, from settings with their axes and `score`, a row each."""
    values = [rule.contrast(settings).to_list() for rule in rules]
    sides = [mean_test(of, MINIMUM) for of in values]
    adjusted = holm_adjust([min(side) for side in sides])
    found = []
    for rule, of, side, p in zip(rules, values, sides, adjusted, strict=True):
        mean = mean_interval(of)
        clear = SUPPORTED if side.p_for < side.p_against else REFUTED
        found.append(
            RuleResult(
                rule.says, rule.source, rule.compares, clear if p < ALPHA else UNDECIDED,
                float(mean.value or 0.0), mean.low, mean.high, mean.n,
                sum(value > MINIMUM for value in of), min(side), p,
            )
        )  # fmt: skip
    return found


def as_json(found: Sequence[RuleResult]) -> list[dict[str, Any]]:
    """As JSON takes them."""
    return [asdict(ruling) for ruling in found]


def _select_levels(settings: pl.DataFrame, where: Levels) -> pl.DataFrame:
    for axis, level in where.items():
        settings = settings.filter(pl.col(axis) == level)
    return settings
