"""Causes that lie in the batch: its size, and the statistics that BatchNorm takes from it."""

import math
import statistics

from trainlab.diagnosis.causes.labels_and_splits import has_learned_training_images
from trainlab.diagnosis.evidence import Evidence
from trainlab.diagnosis.known_causes import Finding
from trainlab.stats import confusion

FEW_IMAGES = 8
"""A batch of up to this size is small: BatchNorm's own paper on the matter puts the limit there
(Wu & He 2018, Group Normalization, figure 1: the error rises below 16, steeply below 8)."""

ONE_ANSWER = 0.5
"""Share of the test images from which on one predicted class is nearly the only answer."""

NOISY = 4.0
"""Times the batch that the gradient's noise scale is, from which on a step is mostly noise: 4 to 1."""


def batchnorm_statistics_lag(evidence: Evidence) -> Finding | None:
    """In training mode the network tells classes apart; in evaluation it gives nearly always one answer.

    The one answer tells it from images learned by heart, whose wrong answers are spread over the classes.
    """
    confusion_KK, accuracy = evidence.confusion_KK, evidence.metrics.get("train/acc")
    if not evidence.setup.has_batchnorm or not has_learned_training_images(evidence) or not confusion_KK:
        return None
    total, test_accuracy = confusion.total_count(confusion_KK), evidence.test_accuracy
    answer = max(sum(row[k] for row in confusion_KK) for k in range(len(confusion_KK))) / total
    if answer < ONE_ANSWER or answer < 2 * evidence.majority_share:
        return None
    description = (
        f"accuracy is {accuracy:.1%} in training mode and {test_accuracy:.1%} in evaluation, where "
        f"{answer:.0%} of the images get the same answer"
    )
    numbers = {"train_acc": accuracy or 0.0, "test_acc": test_accuracy, "one_answer": answer}
    if momentum := evidence.setup.norm_momentum:
        seen = 1 - (1 - momentum) ** evidence.steps
        description += (
            f"; with momentum {momentum:g} the running statistics hold {seen:.0%} of the data after "
        )
        description += f"{evidence.steps} steps"
        numbers["statistics_seen"] = seen
    return Finding("batchnorm_statistics_lag", description, numbers)


def batch_too_small(evidence: Evidence) -> Finding | None:
    """A batch of a few images whose gradient is mostly noise: tr Σ / |G|² is far above its size.

    For one image the noise cannot be measured, and is taken as such.
    """
    batch, noise = evidence.setup.batch_size, evidence.signals.network_series("noise_scale")
    if batch is None or batch > FEW_IMAGES or not evidence.signals.layers:
        return None
    known = [value for value in noise.values() if not math.isnan(value)]
    typical = statistics.median(known) if known else math.nan
    if known and typical < NOISY * batch:
        return None
    measured = (
        f"its gradient's noise is that of {typical:.3g} images" if known else "too few to tell noise from"
    )
    description = f"a batch has {batch} image{'s' if batch > 1 else ''}: {measured}"
    return Finding("batch_too_small", description, {"batch_size": float(batch), "noise_scale": typical})
