"""Causes that lie in the images and labels, or in how the images enter the network."""

import math

from trainlab.diagnosis.evidence import Evidence
from trainlab.diagnosis.finding import Finding
from trainlab.diagnosis.verdict import MARGIN

SCALES = (0.1, 10.0)
"""Root mean square of the input, and of the first z: initializers are made for 1; a factor of 10 is off."""

OFFSET = 10.0
"""An input whose mean is so many standard deviations from zero is an offset with a little image on it."""

SAME_IMAGE = 1e-10
"""1 − correlation below which inputs are one image: float32 rounds off at about 1e-14."""

PATIENCE_STEPS = 100
"""A loss that stays at chance for fewer steps says nothing of the labels: it may only be slow."""

AT_CHANCE = 0.97
"""Share of the chance loss above which a training loss counts as not fallen."""

UNTESTED = 0.9
"""The same before a test, while the classes' shares are not known and chance is taken as ln K: unequal shares
alone make it lower (0.97 of it for shapeset's)."""


def one_class(evidence: Evidence) -> Finding | None:
    """The test images are all of one class: no accuracy can be better than guessing it."""
    counts = [sum(row) for row in evidence.confusion_KK or ()]
    if sum(count > 0 for count in counts) != 1:
        return None
    return Finding("one_class", f"all {sum(counts)} test images are of one class", {"classes": 1.0})


def constant_input(evidence: Evidence) -> Finding | None:
    """All images are the same where they enter the network (after the input normalization)."""
    std, correlation = (evidence.signals.network(f"input_{name}") for name in ("std", "correlation"))
    if not std or not all(math.isfinite(value) for value in std.values()):
        return None
    step = min(std)
    if std[step] > 0 and not 1 - correlation.get(step, 0.0) < SAME_IMAGE:
        return None
    numbers = {"input_std": std[step], "input_correlation": correlation.get(step, math.nan)}
    return Finding(
        "constant_input", "every image enters the network as the same numbers", numbers, None, step
    )


def input_out_of_scale(evidence: Evidence) -> Finding | None:
    """The input is far off zero mean and unit scale, and so is the first layer's z.

    A norm layer before the first activation repairs the scale: then z is sound, and this is no cause.
    """
    signals = evidence.signals
    mean, std = signals.network("input_mean"), signals.network("input_std")
    if not mean or not signals.layers:
        return None
    step, layer = min(mean), signals.layers[0]
    offset, spread = mean[step], std.get(step, math.nan)
    numbers = {"input_mean": offset, "input_std": spread}
    if not (math.isfinite(offset) and math.isfinite(spread)):
        return Finding(
            "input_out_of_scale", "the input holds numbers that are not finite", numbers, layer, step
        )
    z_rms = math.hypot(
        signals.series(layer, "preactivation_mean").get(step, math.nan),
        signals.series(layer, "preactivation_std").get(step, math.nan),
    )
    low, high = SCALES
    odd_input = not low <= math.hypot(offset, spread) <= high or abs(offset) > OFFSET * spread
    if not odd_input or not (z_rms < low or z_rms > high):
        return None
    says = f"the input has mean {offset:.3g} and std {spread:.3g}; the first layer's z has size {z_rms:.3g}"
    return Finding("input_out_of_scale", says, {**numbers, "preactivation_rms": z_rms}, layer, step)


def labels_unlearnable(evidence: Evidence) -> Finding | None:
    """The weights moved and yet the loss stayed at chance; or the training images were learned by heart.

    Says nothing while a run is short, and nothing without signals: then it is not known that they are sound.
    """
    late, chance, accuracy = evidence.late_loss(), evidence.chance_loss, evidence.metrics.get("train/acc")
    if not evidence.signals.layers or evidence.steps < PATIENCE_STEPS:
        return None
    numbers = {"train_loss": late, "chance_loss": chance}
    if train_learned(evidence):
        says = (
            f"the training images were learned ({accuracy:.1%}), others are at chance: by heart, not by rule"
        )
        return Finding("labels_unlearnable", says, {**numbers, "train_acc": accuracy or 0.0})
    if not late > AT_CHANCE * chance:
        return None
    says = f"after {evidence.steps} steps the training loss is {late:.3f}; guessing gives {chance:.3f}"
    return Finding("labels_unlearnable", says, numbers)


def train_learned(evidence: Evidence) -> bool:
    """Whether the training images (as they were trained on) are told apart better than by guessing.

    Ten margins above the commonest class, since the training accuracy comes without a number of images.
    """
    accuracy, confusion_KK = evidence.metrics.get("train/acc"), evidence.confusion_KK
    if accuracy is None or not confusion_KK or not sum(map(sum, confusion_KK)):
        return False
    commonest = max(map(sum, confusion_KK)) / sum(map(sum, confusion_KK))
    return accuracy > min(commonest + 10 * MARGIN, (1 + commonest) / 2)
