"""Why there is no mean to test: too few values, values without a number, runs of two outcomes.

A t test is one of values of one distribution. Where some runs of an arm learned and others did not, or some
reached a goal and others did not, they are of two, and more seeds make it no better.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

SeedOutcomes = Mapping[str, Mapping[int, bool]]
"""Whether the run of each arm and seed learned (or reached a goal)."""


class Outcomes(NamedTuple):
    """Which runs learned, and which reached the goal, where the values that are tested depend on that."""

    learned: SeedOutcomes
    reached: SeedOutcomes


NO_OUTCOMES = Outcomes({}, {})
"""Of values that depend on neither."""


class Untestable(NamedTuple):
    """Why there is no mean to test, and whether no further seed can change that."""

    reason: str
    is_final: bool


def why_untestable(
    values: Sequence[Sequence[float]], arms: Sequence[str], outcomes: Outcomes
) -> Untestable | None:
    """Why the mean of any of these contrasts, a value a seed each, is not tested; None where it is."""
    n = min(map(len, values))
    if n < 2:
        return Untestable(f"{n} seeds have a value in every arm", is_final=False)
    infinite = sum(not all(map(math.isfinite, of_seed)) for of_seed in zip(*values, strict=True))
    if infinite:
        return Untestable(f"{infinite} of {n} seeds have no finite value: there is no mean to test", True)
    learned, reached = _counts(arms, outcomes.learned), _counts(arms, outcomes.reached)
    mixed = [f"{arm}: {count} of {n} learned" for arm, (count, n) in learned.items() if 0 < count < n]
    if mixed:
        return Untestable(f"{'; '.join(mixed)}: a mean over both kinds says nothing of either", True)
    short = [f"{arm}: {count} of {n} reached the goal" for arm, (count, n) in reached.items() if count < n]
    if short:
        return Untestable(f"{'; '.join(short)}: of the others the steps are not known, nor a mean", True)
    return None


def count_outcomes(outcomes: Mapping[int, bool]) -> tuple[int, int]:
    """How many runs did, and of how many."""
    return sum(outcomes.values()), len(outcomes)


def _counts(arms: Sequence[str], outcomes: SeedOutcomes) -> dict[str, tuple[int, int]]:
    return {arm: count_outcomes(outcomes[arm]) for arm in dict.fromkeys(arms) if arm in outcomes}
