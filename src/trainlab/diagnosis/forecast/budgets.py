"""How many steps it would take: the same measurement, asked for longer runs."""

from collections.abc import Callable, Sequence

from trainlab.diagnosis.forecast.calibration import WILL_LEARN, answer_of, probability
from trainlab.diagnosis.forecast.features import features
from trainlab.diagnosis.forecast.measure import Budget, Measured

LONGER = (2, 4, 8, 16)
"""Times the steps that were asked about."""

ByStep = Sequence[tuple[int, float]]
"""(steps, probability of learning within them), both rising."""


def over_budgets(measured: Measured, chance: float, steps: int, budget_of: Callable[[int], Budget]) -> ByStep:
    """The probability within `steps`, and within longer runs until one is expected to learn.

    A run that learns in fewer steps is no worse off with more: where the measurement says less for more steps
    (the direction that it follows leads astray), what it said for fewer stands.
    """
    found = [(steps, chance)]
    for times in LONGER:
        if answer_of(found[-1][1]) == WILL_LEARN:
            break
        longer = probability(features(measured.at(budget_of(times * steps))))
        found.append((times * steps, max(longer, found[-1][1])))
    return found


def needed(by_steps: ByStep) -> int | None:
    """The fewest of these steps with which it is expected to learn; None where none is enough."""
    return next((steps for steps, chance in by_steps if answer_of(chance) == WILL_LEARN), None)


def in_words(by_steps: ByStep) -> str:
    """ "64% in 180 steps, 95% in 720": now, and at the end of what was asked."""
    first, last = by_steps[0], by_steps[-1]
    said = f"{percent(first[1])} in {first[0]:,} steps"
    return said if first == last else f"{said}, {percent(last[1])} in {last[0]:,}"


def percent(chance: float) -> str:
    """Of a probability; never a certainty that it is not."""
    if 0 < chance < 0.01:
        return "under 1%"
    return "over 99%" if 0.99 < chance < 1 else f"{chance:.0%}"
