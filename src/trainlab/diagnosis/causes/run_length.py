"""Causes that lie in the length of the run: it ended too soon, or nothing else is known.

How many steps it takes is estimated from the trend of the loss, or of the difference between images.
"""

import math
import statistics
from typing import NamedTuple

from trainlab.diagnosis.causes.labels_and_splits import evidence_that_labels_follow
from trainlab.diagnosis.causes.step_size import FEWEST_STEPS
from trainlab.diagnosis.evidence import Evidence
from trainlab.diagnosis.known_causes import Finding

FALLING, LEAST_FALL, FEWEST_TO_FALL = 4.0, 2e-3, 12
"""To be falling: standard errors of the slope, share of the chance loss that is lost, losses that are
known."""

GROWTH, DISTINCT = 3.0, 0.5
"""Times that 1 − correlation grows in the second half; its value where images are told apart."""

MOST_TIMES_LONGER = 20
"""Times its own steps that are proposed at most: more is another run, not a longer one."""


class Trend(NamedTuple):
    """What shows that a run was learning when it ended. needed_steps: what it would take in all."""

    description: str
    numbers: dict[str, float]
    layer: str | None
    needed_steps: float


def too_few_steps(evidence: Evidence) -> Finding | None:
    """It was on its way when it ended: the loss falls, or what it tells images apart by grows."""
    if not _has_ended(evidence):
        return None
    trend = _falling(evidence) or _growing(evidence) or _hardly_begun(evidence)
    if trend is None:
        return None
    numbers = {**_numbers(evidence), **trend.numbers, "steps_needed": float(trend.needed_steps)}
    return Finding("too_few_steps", f"{_describe_loss(evidence)}{trend.description}", numbers, trend.layer)


def not_known(evidence: Evidence) -> Finding | None:
    """Nothing else was found; how many steps would show more."""
    if not _has_ended(evidence):
        return None
    needed = _bounded(4 * evidence.steps, evidence.steps)
    description = (
        f"{_describe_loss(evidence)} and does not fall beyond its noise; {needed:,} steps would tell more"
    )
    if follow := evidence_that_labels_follow(evidence):
        description += f"; the labels do follow from the images: {follow}"
    return Finding("not_known", description, _numbers(evidence) | {"steps_needed": float(needed)})


def _has_ended(evidence: Evidence) -> bool:
    """Whether there is an end to explain: a run that goes on has none yet."""
    return bool(evidence.losses and evidence.signals.layers) and not evidence.is_running


def _describe_loss(evidence: Evidence) -> str:
    late, chance = evidence.final_loss(), evidence.chance_loss
    return f"after {evidence.steps:,} steps the training loss is {late:.3f} (guessing gives {chance:.3f})"


def _numbers(evidence: Evidence) -> dict[str, float]:
    late, chance = evidence.final_loss(), evidence.chance_loss
    return {"steps": float(evidence.steps), "train_loss": late, "chance_loss": chance}


def _falling(evidence: Evidence) -> Trend | None:
    """The loss falls: at its own rate it takes so long to half of what guessing gives."""
    fall = _fall(evidence)
    if fall is None:
        return None
    missing = max(evidence.final_loss() - evidence.chance_loss / 2, 0.0) / fall
    needed = _bounded(evidence.steps + missing, evidence.steps)
    description = f" and falls by {100 * fall:.2g} in 100 steps: at this rate it takes about {needed:,} steps"
    return Trend(description, {"fall_per_step": fall}, None, needed)


def _growing(evidence: Evidence) -> Trend | None:
    """1 − correlation of the last hidden layer grows over the second half of a run whose images look alike.

    It takes the doublings that are missing until images are told apart, and as many steps again to learn.
    """
    signals = evidence.signals
    if len(signals.layers) < 2:
        return None
    layer = signals.layers[-2]
    known = {s: 1 - c for s, c in signals.series(layer, "correlation").items() if math.isfinite(c) and c < 1}
    if len(known) < 3:
        return None
    last = max(known)
    half = max((step for step in known if step <= last / 2), default=last)
    times = known[last] / known[half]
    if not (times > GROWTH and known[last] < DISTINCT / 2):
        return None
    doubling = (last - half) / math.log2(times)
    needed = _bounded(evidence.steps + 2 * doubling * math.log2(DISTINCT / known[last]), evidence.steps)
    description = (
        f", but at {layer} the difference between images grew {times:.3g} times in the second half and "
        f"doubles every {doubling:.0f} steps: it takes about {needed:,} steps"
    )
    return Trend(description, {"growth": times, "doubling_steps": doubling}, layer, needed)


def _hardly_begun(evidence: Evidence) -> Trend | None:
    if evidence.steps >= FEWEST_STEPS:
        return None
    return Trend(f": fewer than {FEWEST_STEPS} steps tell nothing", {}, None, 4 * FEWEST_STEPS)


def _fall(evidence: Evidence) -> float | None:
    """By how much the loss falls a step over the last two thirds (least squares); None where noise may do it.

    The first third is left out: in it the biases learn the classes' shares, which any network does.
    """
    known = [(step, loss) for step, loss in sorted(evidence.losses.items()) if math.isfinite(loss)]
    known = known[len(known) // 3 :]
    if len(known) < FEWEST_TO_FALL:
        return None
    steps, losses = zip(*known, strict=True)
    slope, level = statistics.linear_regression(steps, losses)
    rest = sum((loss - level - slope * step) ** 2 for step, loss in known) / (len(known) - 2)
    error = (rest / (len(known) * statistics.pvariance(steps))) ** 0.5
    fall = -slope
    return fall if fall > FALLING * error and fall * len(known) > LEAST_FALL * evidence.chance_loss else None


def _bounded(needed: float, steps: int) -> int:
    """A number of steps between 1.5 and MOST_TIMES_LONGER times those that were made, with two digits."""
    needed = min(max(needed, 1.5 * steps, 10), MOST_TIMES_LONGER * max(steps, 10))
    digit = 10 ** max(0, math.floor(math.log10(needed)) - 1)
    return int(math.ceil(needed / digit) * digit)
