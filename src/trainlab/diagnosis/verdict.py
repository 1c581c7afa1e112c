"""Did it learn? Better than always guessing the commonest class, by more than chance and a margin."""

import math
from collections.abc import Sequence

# Two points of accuracy above the commonest class: less is not what people call learning.
MARGIN = 0.02
# Two-sided 99%: among the runs of a large sweep, few are called learners by luck.
Z_99 = 2.5758


def learned(confusion_KK: Sequence[Sequence[int]], margin: float = MARGIN) -> bool:
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
    return wilson_lower(correct, total) > commonest + margin


def wilson_lower(successes: int, trials: int, z: float = Z_99) -> float:
    """Lower end of the Wilson score interval of a share (0..1)."""
    p = successes / trials
    centre = p + z * z / (2 * trials)
    spread = z * math.sqrt(p * (1 - p) / trials + z * z / (4 * trials * trials))
    return (centre - spread) / (1 + z * z / trials)
