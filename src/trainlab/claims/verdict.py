"""Expectations become findings, findings the verdict on a claim, claims the verdicts of a report.

A claim is a conjunction. It is supported where each of its expectations is at level α: the intersection-union
test needs no correction for their number (Berger 1982, Technometrics 24). It is refuted where one of them is
refuted, which Bonferroni corrects for. A second look, after seeds were added, doubles every p-value, so that
looking again is paid for. Over the claims of a report Holm's method keeps the chance of any false verdict; a
claim is either true or false, so that only one of its two verdicts can be, and the clearer one is what counts
(Shaffer 1980, Annals of Statistics 8).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainlab.claims import inference
from trainlab.claims.expectations import (
    Bound,
    Boundary,
    Chance,
    Exact,
    Interaction,
    Learns,
    More,
    Near,
    Order,
    Same,
)
from trainlab.claims.inference import Sides

ALPHA = 0.05
SUPPORTED, REFUTED, UNDECIDED = "supported", "refuted", "not enough evidence"

Values = Mapping[str, Mapping[int, float]]
"""A number for each arm and seed."""


@dataclass(frozen=True)
class Finding:
    """What came of one expectation.

    `estimate`, `low`, `high` (95% interval) and `bound` are of what was compared, in `unit`; None where the
    expectation is not about a mean. `n` seeds. `saw` tells it in words.
    """

    says: str
    kind: str
    verdict: str
    p_for: float
    p_against: float
    saw: str
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    bound: float | None = None
    unit: str = ""
    n: int = 0


def verdict_of(sides: Sides, alpha: float = ALPHA) -> str:
    """Supported, refuted, or neither."""
    if sides.p_for <= alpha:
        return SUPPORTED
    return REFUTED if sides.p_against <= alpha else UNDECIDED


def judge(expectation: Any, values: Values, looks: int = 1) -> Finding:
    """One expectation on a mean over seeds, judged; `looks` is how often the claim may be judged in all."""
    contrasts, bound = contrasts_of(expectation, values)
    if len(contrasts[0]) < 2:
        saw = f"{len(contrasts[0])} seeds have a value in every arm"
        return Finding(expectation.says, expectation.kind, UNDECIDED, 1.0, 1.0, saw, bound=bound)
    method = expectation.interval
    if isinstance(expectation, Same):
        sides = inference.within(contrasts[0], bound, method)
    elif isinstance(expectation, Bound) and expectation.at_most is not None:
        sides = Sides(*reversed(inference.exceeds(contrasts[0], bound, method)))
    else:
        each = [inference.exceeds(contrast, bound, method) for contrast in contrasts]
        against = min(1.0, len(each) * min(side.p_against for side in each))
        sides = Sides(max(side.p_for for side in each), against)
    sides = paid_for(sides, looks)
    intervals = [inference.interval(contrast, method) for contrast in contrasts]
    shown = min(intervals, key=lambda i: i.value or 0.0)  # of an order: the step that is least sure of itself
    unit = _unit(expectation)
    saw = "; ".join(_saw(i.value, i.low, i.high, unit) for i in intervals)
    return Finding(
        expectation.says, expectation.kind, verdict_of(sides), *sides, saw,
        shown.value, shown.low, shown.high, bound, unit, shown.n,
    )  # fmt: skip


def contrasts_of(expectation: Any, values: Values) -> tuple[list[list[float]], float]:
    """What is tested, seed by seed (paired over the seeds that all arms have), and against which bound."""
    seeds = sorted(set.intersection(*(set(values[arm]) for arm in expectation.arms())))

    def of(arm: str) -> np.ndarray:
        return np.array([values[arm][seed] for seed in seeds])

    if isinstance(expectation, More):
        return [(of(expectation.more) - of(expectation.than)).tolist()], expectation.by
    if isinstance(expectation, Same):
        first, second = expectation.same
        return [(of(first) - of(second)).tolist()], expectation.within
    if isinstance(expectation, Order):
        pairs = zip(expectation.order, expectation.order[1:], strict=False)
        return [(of(high) - of(low)).tolist() for high, low in pairs], expectation.by
    if isinstance(expectation, Interaction):
        (a, b), (c, d) = expectation.pair, expectation.against
        return [(of(a) - of(b) - of(c) + of(d)).tolist()], expectation.by
    bound = expectation.at_least if expectation.at_least is not None else expectation.at_most
    return [of(expectation.arm).tolist()], bound


def judge_learning(
    expectation: Learns | Chance, learned: Mapping[str, Mapping[int, bool]], looks: int = 1
) -> Finding:
    """One expectation on whether runs learn, judged by counts."""
    count, n = _counted(learned[expectation.arm])
    saw = f"{expectation.arm}: {count} of {n} learned"
    if isinstance(expectation, Chance):
        sides = Sides(*reversed(inference.learns(count, n)))
    elif expectation.unlike is None:
        sides = inference.learns(count, n)
    else:
        other, other_n = _counted(learned[expectation.unlike])
        sides = inference.learns_unlike(count, n, other, other_n)
        saw += f"; {expectation.unlike}: {other} of {other_n}"
    sides = paid_for(sides, looks)
    return Finding(expectation.says, expectation.kind, verdict_of(sides), *sides, saw, n=n)


def judge_near(expectation: Near, values: Mapping[str, Sequence[float]], looks: int = 1) -> Finding:
    """Numbers that are near their own, judged layer by layer; `values` over seeds, by layer of `wanted`.

    All must hold, so that the largest p-value is for it; against it, the least, times their number.
    """
    says, kind = expectation.says, expectation.kind
    off = {
        layer: [value / wanted - 1 for value in values[layer]] for layer, wanted in expectation.wanted.items()
    }
    if min(map(len, off.values())) < 2:
        return Finding(says, kind, UNDECIDED, 1.0, 1.0, "fewer than 2 seeds have a value")
    each = [inference.within(shares, expectation.within, expectation.interval) for shares in off.values()]
    against = min(1.0, len(each) * min(side.p_against for side in each))
    sides = paid_for(Sides(max(side.p_for for side in each), against), looks)
    saw = ", ".join(
        f"{_layer_is(layer)}{number(sum(values[layer]) / len(values[layer]), expectation.of.unit())} "
        f"({number(wanted, expectation.of.unit())})"
        for layer, wanted in expectation.wanted.items()
    )
    intervals = [
        inference.interval([100 * x for x in shares], expectation.interval) for shares in off.values()
    ]
    worst = max(intervals, key=lambda i: abs(i.value or 0.0))
    saw += f"; off by {_saw(worst.value, worst.low, worst.high, '%')} at most"
    return Finding(
        says, kind, verdict_of(sides), *sides, saw,
        worst.value, worst.low, worst.high, 100 * expectation.within, "%", worst.n,
    )  # fmt: skip


def judge_boundary(expectation: Boundary, values: Sequence[float], looks: int = 1) -> Finding:
    """How well theory's boundary agrees with what learned, a number a seed."""
    sides = paid_for(inference.exceeds(values, expectation.at_least, expectation.interval), looks)
    interval = inference.interval(values, expectation.interval)
    unit = "share" if expectation.measure == "agreement" else ""
    return Finding(
        expectation.says, expectation.kind, verdict_of(sides), *sides,
        _saw(interval.value, interval.low, interval.high, unit),
        interval.value, interval.low, interval.high, expectation.at_least, unit, interval.n,
    )  # fmt: skip


def judge_exact(expectation: Exact, value: Any) -> Finding:
    """A fact, which is so or not."""
    holds = _equal(value, expectation.equals, expectation.within)
    sides = Sides(0.0, 1.0) if holds else Sides(1.0, 0.0)
    saw = f"{_shown(value)}" if holds else f"{_shown(value)}, expected {_shown(expectation.equals)}"
    return Finding(expectation.says, expectation.kind, verdict_of(sides), *sides, saw)


def paid_for(sides: Sides, looks: int) -> Sides:
    """p-values where a claim may be judged `looks` times (Bonferroni over the looks)."""
    return Sides(*(min(1.0, p * looks) for p in sides))


def of_claim(findings: Sequence[Finding]) -> Sides:
    """The p-values of a claim: all of its expectations hold, or one of them does not."""
    p_against = min(1.0, len(findings) * min(finding.p_against for finding in findings))
    return Sides(max(finding.p_for for finding in findings), p_against)


def of_report(claims: Mapping[str, Sides], alpha: float = ALPHA) -> dict[str, tuple[str, float]]:
    """Verdict and adjusted p-value of each claim of a report: Holm over the p-value of its clearer side."""
    adjusted = inference.holm([min(sides) for sides in claims.values()])
    verdicts = {}
    for (name, sides), p in zip(claims.items(), adjusted, strict=True):
        side = SUPPORTED if sides.p_for <= sides.p_against else REFUTED
        verdicts[name] = (side if p <= alpha else UNDECIDED, p)
    return verdicts


def _layer_is(layer: str) -> str:
    return f"{layer} " if layer else ""


def _unit(expectation: Any) -> str:
    """Shares are percentages; their differences are percentage points."""
    unit = expectation.of.unit()
    return "points" if unit == "share" and not isinstance(expectation, Bound) else unit


def _counted(learned: Mapping[int, bool]) -> tuple[int, int]:
    return sum(learned.values()), len(learned)


def _equal(value: Any, expected: Any, within: float) -> bool:
    if isinstance(expected, Mapping):
        return isinstance(value, Mapping) and all(
            name in value and _equal(value[name], part, within) for name, part in expected.items()
        )
    if isinstance(expected, list):
        return list(value) == expected
    return abs(value - expected) <= within


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_shown(part)}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return " × ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"


def _saw(value: float | None, low: float | None, high: float | None, unit: str) -> str:
    """`4.31 points (2.10 … 6.52)`."""
    if value is None or low is None or high is None:
        return number(value, unit)
    bounds = (number(bound, unit).split(" ")[0] for bound in (low, high))
    return f"{number(value, unit)} ({' … '.join(bounds)})"


def number(value: float | None, unit: str) -> str:
    """A number in its unit: shares as percentages or percentage points, decades with their name."""
    if value is None:
        return "–"
    if unit == "share":
        return f"{100 * value:.2f} %"
    if unit == "points":
        return f"{100 * value:.2f} points"
    return f"{value:.3g} {unit}".strip()
