"""Shares out of a confusion matrix: images by true class (row) and predicted class (column).

Legend: K classes.
"""

import math
from collections.abc import Sequence
from typing import TypeAlias

ConfusionMatrix: TypeAlias = Sequence[Sequence[int]]
"""counts_KK: the row is the true class, the column the predicted one."""


def total_count(confusion_KK: ConfusionMatrix) -> int:
    return sum(map(sum, confusion_KK))


def correct_count(confusion_KK: ConfusionMatrix) -> int:
    """The images on the diagonal."""
    return sum(row[k] for k, row in enumerate(confusion_KK))


def accuracy(confusion_KK: ConfusionMatrix) -> float:
    """Share of the images that were classified correctly; NaN for none."""
    total = total_count(confusion_KK)
    return correct_count(confusion_KK) / total if total else math.nan


def majority_share(confusion_KK: ConfusionMatrix) -> float:
    """Share of the images that are of the most common class, the accuracy of guessing it; NaN for none."""
    total = total_count(confusion_KK)
    return max(map(sum, confusion_KK)) / total if total else math.nan


def class_entropy(confusion_KK: ConfusionMatrix) -> float:
    """H = −Σ p_k ln p_k of the true classes, nats: the loss of guessing their shares; NaN for none."""
    total = total_count(confusion_KK)
    shares = [sum(row) / total for row in confusion_KK] if total else []
    return -sum(p * math.log(p) for p in shares if p) if shares else math.nan
