"""Did it learn, and how well? Better than guessing, by more than chance; against what a linear model
reaches."""

from collections.abc import Mapping, Sequence
from typing import Any

from trainlab.stats.intervals import wilson_lower_bound

RULES_VERSION = 2
"""Of the rules and thresholds that make a verdict; a record says by which it was judged (none: version 1).

1: `labels_unlearnable` was said of any run that stayed at chance for 100 steps without another cause.
2: a cause only where its own evidence is there; `not_known`; how well, against a linear model.
"""

WITHDRAWN_CAUSES = {"labels_unlearnable": 2}
"""Causes that were said without evidence, and the version from which on they have it: of an older verdict
they are not repeated."""

# Two points of accuracy above the commonest class: less is not what people call learning.
ACCURACY_MARGIN = 0.02

LEVELS = ("not", "barely", "poorly", "well")
"""How well a run learned. `learned` is True of all but the first."""

BARELY, WELL = 0.5, 0.9
"""Shares of the way from guessing to the linear model's accuracy: below the first a run has barely learned,
from the second on it has learned well. The linear model sees a part of the training images only, so that a
network that has learned stands above it."""

BARELY_WITHOUT_REFERENCE = 0.25
"""Where no linear model was fitted: the share of the way from guessing to no error at all, below which a run
has barely learned. More is not said then, since nobody knows what can be reached."""


def has_learned(confusion_KK: Sequence[Sequence[int]], margin: float = ACCURACY_MARGIN) -> bool:
    """Whether accuracy's lower bound exceeds the share of the commonest class by `margin`.

    `confusion_KK` counts images by true class (row) and predicted class (column). The bound is the lower end
    of the Wilson score interval (Wilson 1927, eq. 6): (p + z²/2n − z √(p(1−p)/n + z²/4n²)) / (1 + z²/n).
    The absolute accuracy plays no part: 12% is learning on 50 classes, and is not on MNIST, where one class
    alone makes up 11.4%.
    """
    total = sum(map(sum, confusion_KK))
    if not total:
        return False
    correct = sum(row[k] for k, row in enumerate(confusion_KK))
    commonest = max(map(sum, confusion_KK)) / total
    return wilson_lower_bound(correct, total) > commonest + margin


def learning_level(
    confusion_KK: Sequence[Sequence[int]], reference: Mapping[str, Any] | None = None
) -> str | None:
    """How well: "not", "barely", "poorly" or "well"; None for a run that learned, of which it is not known.

    Measured against `reference["accuracy"]`, a linear model's on the same images. Without one, or where that
    is itself no better than guessing, against no error at all: "barely", or None.
    """
    if not has_learned(confusion_KK):
        return "not"
    total = sum(map(sum, confusion_KK))
    accuracy = sum(row[k] for k, row in enumerate(confusion_KK)) / total
    commonest = max(map(sum, confusion_KK)) / total
    linear = attainable_accuracy(reference, commonest)
    if linear is None:
        return "barely" if accuracy - commonest < BARELY_WITHOUT_REFERENCE * (1 - commonest) else None
    share = (accuracy - commonest) / (linear - commonest)
    return "barely" if share < BARELY else "poorly" if share < WELL else "well"


def attainable_accuracy(reference: Mapping[str, Any] | None, commonest: float) -> float | None:
    """The linear model's accuracy, where there is one that does better than guessing by some margins."""
    linear = (reference or {}).get("accuracy")
    return linear if isinstance(linear, int | float) and linear > commonest + 3 * ACCURACY_MARGIN else None


def is_cause_valid(cause: str, version: int | None) -> bool:
    """Whether a recorded cause is still to be told, by the version of the rules that said it (None: the
    first)."""
    return (version or 1) >= WITHDRAWN_CAUSES.get(cause, 1)
