"""Did it learn, better than guessing by more than chance? How well, against a linear model?"""

from trainlab.stats import confusion
from trainlab.stats.confusion import ConfusionMatrix
from trainlab.stats.intervals import wilson_lower_bound

RULES_VERSION = 2
"""Of the rules and thresholds that make a verdict; a record says by which it was judged (none: version 1).

1: `labels_unlearnable` was given for any run that stayed at chance for 100 steps without another cause.
2: a cause only where its own evidence is there; `not_known`; how well, against a linear model.
"""

WITHDRAWN_CAUSES = {"labels_unlearnable": 2}
"""Causes that were once given without evidence, and the version from which on they have it: of an older
verdict they are not repeated."""

ACCURACY_MARGIN = 0.02
"""Two points of accuracy above the most common class: less is not what people call learning."""

LEVELS = ("not", "barely", "poorly", "well")
"""How well a run learned. `learned` is True of all but the first."""

BARELY, WELL = 0.5, 0.9
"""Shares of the way from guessing to the linear model's accuracy: below the first a run has barely learned,
from the second on it has learned well. The linear model sees a part of the training images only, so that a
network that has learned stands above it."""

BARELY_WITHOUT_REFERENCE = 0.25
"""Where no linear model was fitted: the share of the way from guessing to no error at all, below which a run
has barely learned. A higher level is not given then, since nobody knows what can be reached."""


def has_learned(confusion_KK: ConfusionMatrix, margin: float = ACCURACY_MARGIN) -> bool:
    """Whether accuracy's lower bound exceeds the share of the most common class by `margin`.

    `confusion_KK` counts images by true class (row) and predicted class (column). The bound is the lower end
    of the Wilson score interval (Wilson 1927, eq. 6): (p + z²/2n − z √(p(1−p)/n + z²/4n²)) / (1 + z²/n).
    The absolute accuracy plays no part: 12% is learning on 50 classes, and is not on MNIST, where one class
    alone makes up 11.4%.
    """
    total = confusion.total_count(confusion_KK)
    if not total:
        return False
    lower_bound = wilson_lower_bound(confusion.correct_count(confusion_KK), total)
    return lower_bound > confusion.majority_share(confusion_KK) + margin


def learning_level(confusion_KK: ConfusionMatrix, linear_accuracy: float | None = None) -> str | None:
    """How well: "not", "barely", "poorly" or "well"; None for a run that learned, of which it is not known.

    Measured against `linear_accuracy`, a linear model's on the same images. Without one, or where that is
    itself no better than guessing, against no error at all: "barely", or None.
    """
    if not has_learned(confusion_KK):
        return "not"
    accuracy, guessing = confusion.accuracy(confusion_KK), confusion.majority_share(confusion_KK)
    linear = attainable_accuracy(linear_accuracy, guessing)
    if linear is None:
        return "barely" if accuracy - guessing < BARELY_WITHOUT_REFERENCE * (1 - guessing) else None
    share = (accuracy - guessing) / (linear - guessing)
    return "barely" if share < BARELY else "poorly" if share < WELL else "well"


def attainable_accuracy(linear_accuracy: float | None, majority_share: float) -> float | None:
    """The linear model's accuracy, where there is one that does better than guessing by some margins."""
    if linear_accuracy is None or not linear_accuracy > majority_share + 3 * ACCURACY_MARGIN:
        return None
    return linear_accuracy


def is_cause_valid(cause: str, version: int | None) -> bool:
    """Whether a cause that was recorded by this version of the rules (None: the first) may be repeated."""
    return (version or 1) >= WITHDRAWN_CAUSES.get(cause, 1)
