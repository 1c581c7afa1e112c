"""What a claim's design can decide: its largest e-value, its power at the declared effect, its seeds.

The power is that of the verdict which the declared effect makes true: a lesson may expect to be refuted. It
is of the primary expectation by itself, and of what the runner does: seeds one at a time until e ≥ 40 on
either side, or to their most; the verdict is that of the last look, at e ≥ 20. Means are simulated (normal
values, the parts of a conjunction independent of each other), counts are computed exactly. A mean without a
t test, since runs of an arm have both outcomes, is not in it.
"""

from dataclasses import dataclass
from typing import NamedTuple

from trainlab.claims.evidence_text import format_evidence
from trainlab.claims.expectations import (
    ApproxEqual,
    AtChance,
    Equivalent,
    ExpectedMean,
    GreaterBy,
    Interaction,
    Learns,
    LearnsMoreOften,
    OneSided,
    Ordered,
    PhaseBoundary,
    Tested,
)
from trainlab.claims.judge import DECIDED_E, STOP_E
from trainlab.claims.spec import SeedCounts
from trainlab.stats.power import (
    Kind,
    Power,
    best_attainable_e,
    power_of_counts,
    power_of_equivalence,
    power_of_mean,
)

MIN_POWER = 0.8
WHAT_POWER_IS = (
    f"power: how often the declared effect is decided, where seeds stop at {STOP_E:g} : 1 or at their most, "
    f"and the last look decides at {DECIDED_E:g} : 1"
)


class _Design(NamedTuple):
    """An expectation as a test: of which kind, how many in conjunction, and its power where it is known."""

    kind: Kind
    parts: int
    power: Power | None
    effect: str = ""


@dataclass(frozen=True)
class DesignPower:
    """What seeds can decide of an expectation.

    `best`: the largest e-value at `most` seeds. power and seeds are None without a declared effect (`effect`
    in words).
    """

    seeds: SeedCounts
    best: float
    power: float | None
    mean_seeds: float | None
    effect: str

    @property
    def fault(self) -> str:
        """Why it cannot be decided; empty where it can."""
        if self.best < DECIDED_E:
            best = format_evidence(self.best)
            return (
                f"cannot be decided: evidence is at most {best} with {self.seeds.most} seeds, expected 20 : 1"
            )
        if self.power is not None and self.power < MIN_POWER:
            return (
                f"power {self.power:.0%} at the declared effect ({self.effect}) with {self.seeds.most} "
                f"seeds, expected {MIN_POWER:.0%} or more"
            )
        return ""

    def line(self) -> str:
        """All of it in words."""
        text = f"evidence up to {format_evidence(self.best)} at {self.seeds.most} seeds"
        if self.power is None or self.mean_seeds is None:
            return f"{text}; power not known, no effect is declared (`expects`)"
        return f"{text}; power {self.power:.0%} at {self.effect}; {self.mean_seeds:.1f} seeds expected"


def design_power(expectation: Tested, seeds: SeedCounts) -> DesignPower:
    """What these seeds can decide of an expectation."""
    design = _design(expectation, seeds)
    attainable = best_attainable_e(design.kind, seeds.most)
    best = max(attainable.e_for, attainable.e_against / design.parts)
    if design.power is None:
        return DesignPower(seeds, best, None, None, "")
    power = max(design.power.supported, design.power.refuted)
    return DesignPower(seeds, best, power, design.power.mean_seeds, design.effect)


def _design(expectation: Tested, seeds: SeedCounts) -> _Design:
    match expectation:
        case Learns() | LearnsMoreOften() | AtChance():
            return _design_of_counts(expectation, seeds)
        case Equivalent():
            return _of_equivalence(expectation.expects, expectation.within, seeds)
        case ApproxEqual():
            return _of_approx_equal(expectation, seeds)
        case GreaterBy() | Interaction():
            return _of_mean(expectation.expects, expectation.by, seeds)
        case Ordered():
            return _of_mean(expectation.expects, expectation.by, seeds, parts=len(expectation.order) - 1)
        case OneSided():
            sign = 1 if expectation.at_least is not None else -1
            return _of_mean(expectation.expects, expectation.bound, seeds, sign)
        case PhaseBoundary():
            return _of_mean(expectation.expects, expectation.at_least, seeds)


def _of_mean(
    expects: ExpectedMean | None, bound: float, seeds: SeedCounts, sign: int = 1, parts: int = 1
) -> _Design:
    if expects is None:
        return _Design("mean", parts, None)
    d = sign * (expects.mean - bound) / expects.sd
    effect = f"{expects.mean:g} ± {expects.sd:g}, d = {d:.2g}"
    power = power_of_mean(d, seeds.first, seeds.most, STOP_E, DECIDED_E, parts)
    return _Design("mean", parts, power, effect)


def _of_equivalence(
    expects: ExpectedMean | None,
    within: float,
    seeds: SeedCounts,
    parts: int = 1,
    target: float | None = None,
) -> _Design:
    """`target`: where the number itself is expected, and its relative error is tested."""
    if expects is None:
        return _Design("equivalence", parts, None)
    mean, sd = expects.mean, expects.sd
    if target is not None:
        mean, sd = mean / target - 1, sd / abs(target)
    power = power_of_equivalence(mean / sd, within / sd, seeds.first, seeds.most, STOP_E, DECIDED_E, parts)
    return _Design("equivalence", parts, power, f"{expects.mean:g} ± {expects.sd:g}")


def _of_approx_equal(expectation: ApproxEqual, seeds: SeedCounts) -> _Design:
    target = expectation.targets.get("")
    parts = len(expectation.targets)
    return _of_equivalence(expectation.expects, expectation.within, seeds, parts, target)


def _design_of_counts(expectation: Learns | LearnsMoreOften | AtChance, seeds: SeedCounts) -> _Design:
    if isinstance(expectation, AtChance):
        kind = "majority"
    elif isinstance(expectation, LearnsMoreOften):
        kind = "more_often"
    else:
        kind = "majority" if expectation.unlike is None else "contrast"
    expects = expectation.expects
    if expects is None:
        return _Design(kind, 1, None)
    share = 1 - expects.arm if isinstance(expectation, AtChance) else expects.arm
    other = next((one for one in (expects.unlike, expects.than) if one is not None), 0.0)
    effect = f"{expects.arm:.0%} of runs" + (f" against {other:.0%}" if kind != "majority" else "")
    power = power_of_counts(kind, share, seeds.first, seeds.most, STOP_E, other, DECIDED_E)
    return _Design(kind, 1, power, f"{effect} learn")
