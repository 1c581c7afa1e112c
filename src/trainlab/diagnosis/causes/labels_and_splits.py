"""Causes that lie in the images and labels, or in how the images enter the network."""

import math
import statistics
from collections.abc import Sequence

from trainlab.diagnosis.evidence import Evidence
from trainlab.diagnosis.known_causes import Finding
from trainlab.diagnosis.verdict import ACCURACY_MARGIN, has_learned

SCALES = (0.1, 10.0)
"""Root mean square of the input, and of the first z: initializers are made for 1; a factor of 10 is off."""

OFFSET = 10.0
"""An input whose mean is so many standard deviations from zero is an offset with a little image on it."""

SAME_IMAGE = 1e-10
"""1 − correlation below which inputs are one image: float32 rounds off at about 1e-14."""

SMOOTH, TORN = 0.5, 0.25
"""Neighbouring pixels of pictures correlate by 0.8 and more; in the wrong order of axes by much less."""

MORE = 0.1
"""Accuracy by which one is clearly above the other: validation above guessing, validation above test."""

SAME_SKILL, MOST_CLASSES = 0.85, 200
"""Share of the validation's accuracy that the test reaches with its classes renamed; classes it is tried
with."""

COPIES = 0.01
"""Share of the test images from which on copies in the training images are worth a word."""

RARE = 0.4
"""Times an even share of the training images, below which a class is rare."""

BY_HEART = 0.5
"""Share of the training accuracy that is lost on validation images, from which on it is learned by heart."""

SURE, UNSURE, PROBES_UNSURE, NARROW = 4.0, 2.5, 1.0, 0.05
"""Standard errors above chance from which on a reference learns, and below which it does not; fewer for
probes, which see a batch at a time. Two of them are at most so much accuracy, or there are too few images to
tell."""

PATIENCE_STEPS = 100
"""Steps before which probes say nothing against the labels: the run itself may only be slow."""

ENOUGH_A_CLASS, FEWEST_PROBED, FEWEST_A_BATCH = 20, 300, 32
"""Images that a reference must have had to be believed when it finds nothing."""

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


def image_axes_scrambled(evidence: Evidence) -> Finding | None:
    """A pixel is less like the one below it than it would be with the axes taken in another order."""
    as_is = evidence.signals.network("neighbours")
    reordered = evidence.signals.network("neighbours_reordered")
    shared = sorted(as_is.keys() & reordered.keys())
    if not shared:
        return None
    first, other = (statistics.median(series[step] for step in shared) for series in (as_is, reordered))
    if not (other > SMOOTH and other - first > TORN):
        return None
    says = f"a pixel and the one below it correlate by {first:.2f}, with the axes in another order by "
    says += f"{other:.2f}: the images are scrambled, by view or reshape in the place of permute"
    return Finding(
        "image_axes_scrambled", says, {"neighbours": first, "neighbours_reordered": other}, None, shared[0]
    )


def _best_order(confusion_KK: Sequence[Sequence[int]]) -> list[int]:
    """The predicted class of each true class, one to one, that most images agree with."""
    from scipy.optimize import linear_sum_assignment

    return [int(k) for k in linear_sum_assignment([[-count for count in row] for row in confusion_KK])[1]]


def test_classes_permuted(evidence: Evidence) -> Finding | None:
    """With the test's classes in another order the network is as right as on images of the training's
    kind."""
    confusion_KK, kept = evidence.confusion_KK, _validation_accuracy(evidence)
    if not confusion_KK or math.isnan(kept) or kept < evidence.commonest_class + MORE:
        return None
    if len(confusion_KK) < 2 or len(confusion_KK) > MOST_CLASSES or kept - evidence.test_accuracy < MORE:
        return None
    order = _best_order(confusion_KK)
    moved = [k for k, answer in enumerate(order) if k != answer and sum(confusion_KK[k])]
    reordered = sum(row[order[k]] for k, row in enumerate(confusion_KK)) / sum(map(sum, confusion_KK))
    if len(moved) < 2 or reordered < SAME_SKILL * kept:
        return None
    says = f"the test labels are in another order: accuracy is {evidence.test_accuracy:.1%} on the test and "
    says += (
        f"{kept:.1%} on validation images; with {len(moved)} classes renamed "
        f"({_renamed_classes(order, moved)}) "
    )
    says += f"it is {reordered:.1%}"
    numbers = {"test_acc": evidence.test_accuracy, "kept_acc": kept, "reordered_acc": reordered}
    return Finding("test_classes_permuted", says, numbers | {"classes_moved": float(len(moved))})


def _renamed_classes(order: Sequence[int], moved: Sequence[int]) -> str:
    named = ", ".join(f"{k} is answered as {order[k]}" for k in moved[:3])
    return named + (", …" if len(moved) > 3 else "")


def _validation_accuracy(evidence: Evidence) -> float:
    """Accuracy on validation images, which are cut from the training images; without, on the training's
    own."""
    known = [evidence.metrics.get(name, math.nan) for name in ("val/acc", "train/acc")]
    return next((value for value in known if not math.isnan(value)), math.nan)


def test_images_in_training(evidence: Evidence) -> Finding | None:
    """Of the test images a share stands in the training images too, to the pixel."""
    share = (evidence.reference or {}).get("test_in_training")
    if not isinstance(share, float) or share < COPIES:
        return None
    kept = evidence.metrics.get("val/acc", math.nan)
    says = f"{share:.1%} of the test images are among the training images: accuracy is "
    says += f"{evidence.test_accuracy:.1%} on the test"
    numbers = {"test_in_training": share, "test_acc": evidence.test_accuracy}
    if not math.isnan(kept):
        says += f" and {kept:.1%} on validation images"
        numbers["val_acc"] = kept
    return Finding("test_images_in_training", says, numbers)


def rare_class(evidence: Evidence) -> Finding | None:
    """The rarest class of the training images is found in the test far less often than the others are."""
    known = evidence.reference or {}
    rarest, share, confusion_KK = known.get("rarest_class"), known.get("rarest_share"), evidence.confusion_KK
    if not isinstance(rarest, int) or not isinstance(share, float) or not confusion_KK:
        return None
    recall = {k: row[k] / sum(row) for k, row in enumerate(confusion_KK) if sum(row)}
    others = [value for k, value in recall.items() if k != rarest]
    if share > RARE / len(confusion_KK) or rarest not in recall or not others:
        return None
    typical = statistics.median(others)
    if not recall[rarest] < typical / 2 or typical < 2 / len(confusion_KK):
        return None
    name = known.get("rarest_name", rarest)
    says = f"{share:.1%} of the training images are of the class {name}, and {recall[rarest]:.0%} of its "
    says += f"test images are found; of the others {typical:.0%}"
    return Finding("rare_class", says, {"share": share, "recall": recall[rarest], "others_recall": typical})


def labels_unlearnable(evidence: Evidence) -> Finding | None:
    """Reference models find no more in the labels than chance, where the run itself finds nothing either.

    The references are those of the run's own images (`training.reference`), or the probes of the measured
    batches; both must have had images enough to tell. Without them nothing is said of the labels. Where the
    training images were learned by heart, validation images must be at chance too.
    """
    kept, told = evidence.metrics.get("val/acc", math.nan), references_at_chance(evidence)
    if told is None or kept > evidence.commonest_class + MORE:
        return None
    numbers, said = told
    late, chance = evidence.late_loss(), evidence.chance_loss
    numbers = {"train_loss": late, "chance_loss": chance, **numbers}
    says = (
        f"the labels do not follow from the images: {said}; the training loss is {late:.3f}, guessing gives "
    )
    says += f"{chance:.3f}"
    if has_learned_training_images(evidence):
        accuracy = evidence.metrics["train/acc"]
        says += f"; the training images were learned by heart ({accuracy:.1%})"
        numbers["train_acc"] = accuracy
    return Finding("labels_unlearnable", says, numbers)


def overfitting(evidence: Evidence) -> Finding | None:
    """The training images were learned, and validation and test images are hardly better than guessed.

    Without validation images nothing is said: what fails on the test alone may be the test's fault.
    """
    accuracy, kept = evidence.metrics.get("train/acc", math.nan), evidence.metrics.get("val/acc", math.nan)
    if not has_learned_training_images(evidence) or math.isnan(kept) or accuracy - kept < BY_HEART * accuracy:
        return None
    says = f"accuracy is {accuracy:.1%} on the training images, {kept:.1%} on validation images"
    return Finding("overfitting", says, {"train_acc": accuracy, "val_acc": kept})


def references_at_chance(evidence: Evidence) -> tuple[dict[str, float], str] | None:
    """What the references came to, in numbers and words, where none does better than chance; else None."""
    fitted, probed = _fitted_answer(evidence), probe_answer(evidence)
    if any(learnable for learnable, _, _ in (fitted, probed) if learnable is not None):
        return None
    told = [(numbers, said) for learnable, numbers, said in (fitted, probed) if learnable is False]
    return told[0] if told else None


def evidence_that_labels_follow(evidence: Evidence) -> str | None:
    """What shows that the labels follow from the images, in words; None where nothing does."""
    return next(
        (said for learnable, _, said in (_fitted_answer(evidence), probe_answer(evidence)) if learnable), None
    )


Answer = tuple[bool | None, dict[str, float], str]
"""Whether the labels can be learned (None: too few images to tell), numbers, words."""


def _fitted_answer(evidence: Evidence) -> Answer:
    """By the models that were fitted to the run's own training images."""
    known = evidence.reference or {}
    best, chance, images = (known.get(name) for name in ("best_accuracy", "permuted_accuracy", "held_images"))
    if best is None or chance is None or not images:
        return None, {}, ""
    numbers = {"reference_acc": best, "reference_permuted": chance, "reference_images": float(images)}
    said = f"the best of a linear and a kernel model fitted to {known.get('images', 0):,} training images is "
    said += f"right on {best:.1%} of {images:,} others, with permuted labels on {chance:.1%}"
    per_class = known.get("images", 0) / max(1, known.get("classes", 1))
    return _is_learnable(best, chance, images, per_class >= ENOUGH_A_CLASS, UNSURE), numbers, said


def probe_answer(evidence: Evidence) -> Answer:
    """By the probes of the measured batches, all steps together."""
    names = ("images", "accuracy", "permuted")
    images, right, permuted = (evidence.signals.network(f"probe_{name}") for name in names)
    steps = [
        s
        for s in images
        if math.isfinite(right.get(s, math.nan)) and math.isfinite(permuted.get(s, math.nan))
    ]
    total = sum(images[step] for step in steps)
    if not total:
        return None, {}, ""
    best, chance = (sum(images[s] * series[s] for s in steps) / total for series in (right, permuted))
    numbers = {"probe_acc": best, "probe_permuted": chance, "probe_images": total}
    said = f"within the {len(steps)} measured batches a kernel model is right on {best:.1%} of {total:.0f} "
    said += f"images left out, with permuted labels on {chance:.1%}"
    enough = total >= FEWEST_PROBED and total / len(steps) >= FEWEST_A_BATCH
    enough = enough and evidence.steps >= PATIENCE_STEPS and not _fits_better_than_chance(evidence)
    return _is_learnable(best, chance, total, enough, PROBES_UNSURE), numbers, said


def _fits_better_than_chance(evidence: Evidence) -> bool:
    """Whether the test itself shows that the labels follow: a batch's probe is weaker than a network."""
    return bool(evidence.confusion_KK) and has_learned(evidence.confusion_KK or ())


def _is_learnable(best: float, chance: float, images: float, enough: bool, unsure: float) -> bool | None:
    """True: better than chance beyond noise; False: no better, by images enough to see it; None: neither."""
    # chance is measured too, on four permutations
    error = math.sqrt(1.25 * max(chance * (1 - chance), 1e-4) / images)
    if best > chance + SURE * error:
        return True
    return False if enough and best < chance + unsure * error and 2 * error < NARROW else None


def has_learned_training_images(evidence: Evidence) -> bool:
    """Whether the training images (as they were trained on) are told apart better than by guessing.

    Ten margins above the commonest class, since the training accuracy comes without a number of images.
    """
    accuracy, confusion_KK = evidence.metrics.get("train/acc"), evidence.confusion_KK
    if accuracy is None or not confusion_KK or not sum(map(sum, confusion_KK)):
        return False
    commonest = max(map(sum, confusion_KK)) / sum(map(sum, confusion_KK))
    return accuracy > min(commonest + 10 * ACCURACY_MARGIN, (1 + commonest) / 2)
