"""Causes that lie in the labels, in how images were split, or in what carries over from training images."""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from trainlab.diagnosis.evidence import Evidence, ReferenceScores
from trainlab.diagnosis.known_causes import Finding
from trainlab.diagnosis.verdict import ACCURACY_MARGIN, has_learned
from trainlab.stats import confusion
from trainlab.stats.confusion import ConfusionMatrix

CLEAR_MARGIN = 0.1
"""Accuracy by which one is clearly above the other: validation above guessing, validation above test."""

SAME_SKILL, MOST_CLASSES = 0.85, 200
"""Share of the validation's accuracy that the test reaches with its classes renamed; classes it is tried
with."""

LEAKED_SHARE = 0.01
"""Share of the test images from which on copies in the training images are worth a word."""

RARE_CLASS_SHARE = 0.4
"""Times an even share of the training images, below which a class is rare."""

MEMORIZED = 0.5
"""Share of the training accuracy that is lost on validation images, from which on images were memorized."""

ABOVE_CHANCE, AT_CHANCE, PROBES_AT_CHANCE = 4.0, 2.5, 1.0
"""Standard errors above chance from which on a reference learns, and below which it does not; fewer for
probes, which see a batch at a time."""

WIDEST_TWO_ERRORS = 0.05
"""Accuracy that two standard errors may be at most, or there are too few images to tell."""

FEWEST_STEPS_PROBED = 100
"""Steps before which probes say nothing against the labels: the run itself may only be slow."""

FEWEST_IMAGES_A_CLASS, FEWEST_IMAGES_PROBED, FEWEST_IMAGES_A_BATCH = 20, 300, 32
"""Images that a reference must have had to be believed when it finds nothing."""

UNTESTED_LOSS_SHARE = 0.9
"""Share of the chance loss below which a run that was not tested yet is learning: chance is taken as ln K
then, and unequal shares of the classes alone make the loss lower (0.97 of it for shapeset's)."""


def one_class(evidence: Evidence) -> Finding | None:
    """The test images are all of one class: no accuracy can be better than guessing it."""
    counts = [sum(row) for row in evidence.confusion_KK or ()]
    if sum(count > 0 for count in counts) != 1:
        return None
    return Finding("one_class", f"all {sum(counts)} test images are of one class", {"classes": 1.0})


def test_classes_permuted(evidence: Evidence) -> Finding | None:
    """With the test's classes in another order the network is as good as on images of the training's kind."""
    confusion_KK, kept = evidence.confusion_KK, _validation_accuracy(evidence)
    if not confusion_KK or math.isnan(kept) or kept < evidence.majority_share + CLEAR_MARGIN:
        return None
    if not 2 <= len(confusion_KK) <= MOST_CLASSES or kept - evidence.test_accuracy < CLEAR_MARGIN:
        return None
    order = _best_order(confusion_KK)
    moved = [k for k, answer in enumerate(order) if k != answer and sum(confusion_KK[k])]
    correct = sum(row[order[k]] for k, row in enumerate(confusion_KK))
    reordered = correct / confusion.total_count(confusion_KK)
    if len(moved) < 2 or reordered < SAME_SKILL * kept:
        return None
    description = (
        f"the test labels are in another order: accuracy is {evidence.test_accuracy:.1%} on the test and "
        f"{kept:.1%} on validation images; with {len(moved)} classes renamed "
        f"({_renamed_classes(order, moved)}) it is {reordered:.1%}"
    )
    numbers = {"test_acc": evidence.test_accuracy, "kept_acc": kept, "reordered_acc": reordered}
    return Finding("test_classes_permuted", description, numbers | {"classes_moved": float(len(moved))})


def _best_order(confusion_KK: ConfusionMatrix) -> list[int]:
    """The predicted class of each true class, one to one, that most images agree with."""
    from scipy.optimize import linear_sum_assignment

    return [int(k) for k in linear_sum_assignment([[-count for count in row] for row in confusion_KK])[1]]


def _renamed_classes(order: Sequence[int], moved: Sequence[int]) -> str:
    named = ", ".join(f"{k} is answered as {order[k]}" for k in moved[:3])
    return named + (", …" if len(moved) > 3 else "")


def _validation_accuracy(evidence: Evidence) -> float:
    """On validation images, which are cut from the training images; without any, on the training's own."""
    known = [evidence.metrics.get(name, math.nan) for name in ("val/acc", "train/acc")]
    return next((value for value in known if not math.isnan(value)), math.nan)


def test_images_in_training(evidence: Evidence) -> Finding | None:
    """A share of the test images stands in the training images too, to the pixel."""
    share = evidence.reference.test_in_training if evidence.reference else None
    if share is None or share < LEAKED_SHARE:
        return None
    kept = evidence.metrics.get("val/acc", math.nan)
    description = (
        f"{share:.1%} of the test images are among the training images: accuracy is "
        f"{evidence.test_accuracy:.1%} on the test"
    )
    numbers = {"test_in_training": share, "test_acc": evidence.test_accuracy}
    if not math.isnan(kept):
        description += f" and {kept:.1%} on validation images"
        numbers["val_acc"] = kept
    return Finding("test_images_in_training", description, numbers)


def rare_class(evidence: Evidence) -> Finding | None:
    """The rarest class of the training images is recognized in the test far less often than the others."""
    known, confusion_KK = evidence.reference or ReferenceScores(), evidence.confusion_KK
    rarest, share = known.rarest_class, known.rarest_share
    if rarest is None or share is None or not confusion_KK:
        return None
    recall = {k: row[k] / sum(row) for k, row in enumerate(confusion_KK) if sum(row)}
    others = [value for k, value in recall.items() if k != rarest]
    if share > RARE_CLASS_SHARE / len(confusion_KK) or rarest not in recall or not others:
        return None
    typical = statistics.median(others)
    if not recall[rarest] < typical / 2 or typical < 2 / len(confusion_KK):
        return None
    name = rarest if known.rarest_name is None else known.rarest_name
    description = (
        f"{share:.1%} of the training images are of the class {name}, and {recall[rarest]:.0%} of its "
        f"test images are found; of the others {typical:.0%}"
    )
    numbers = {"share": share, "recall": recall[rarest], "others_recall": typical}
    return Finding("rare_class", description, numbers)


def labels_unlearnable(evidence: Evidence) -> Finding | None:
    """Reference models find no more in the labels than chance, where the run itself finds nothing either.

    The references are those of the run's own images (`training.reference_model`), or the probes of the
    measured batches; both must have had images enough to tell. Without them the labels are not judged.
    Where the training images were memorized, validation images must be at chance too.
    """
    kept, at_chance = evidence.metrics.get("val/acc", math.nan), references_at_chance(evidence)
    if at_chance is None or kept > evidence.majority_share + CLEAR_MARGIN:
        return None
    loss, chance_loss = evidence.final_loss(), evidence.chance_loss
    numbers = {"train_loss": loss, "chance_loss": chance_loss, **at_chance.numbers}
    description = (
        f"the labels do not follow from the images: {at_chance.description}; the training loss is "
        f"{loss:.3f}, guessing gives {chance_loss:.3f}"
    )
    if has_learned_training_images(evidence):
        accuracy = evidence.metrics["train/acc"]
        description += f"; the training images were learned by heart ({accuracy:.1%})"
        numbers["train_acc"] = accuracy
    return Finding("labels_unlearnable", description, numbers)


def overfitting(evidence: Evidence) -> Finding | None:
    """The training images were learned, and validation and test images are hardly better than guessed.

    Without validation images there is no finding: what fails on the test alone may be the test's fault.
    """
    accuracy, kept = (evidence.metrics.get(f"{split}/acc", math.nan) for split in ("train", "val"))
    is_memorized = has_learned_training_images(evidence) and not accuracy - kept < MEMORIZED * accuracy
    if not is_memorized or math.isnan(kept):
        return None
    description = f"accuracy is {accuracy:.1%} on the training images, {kept:.1%} on validation images"
    return Finding("overfitting", description, {"train_acc": accuracy, "val_acc": kept})


def has_learned_training_images(evidence: Evidence) -> bool:
    """Whether the training images (as they were trained on) are told apart better than by guessing.

    Ten margins above the most common class, since the training accuracy comes without a number of images.
    """
    accuracy, guessing = evidence.metrics.get("train/acc"), evidence.majority_share
    if accuracy is None or math.isnan(guessing):
        return False
    return accuracy > min(guessing + 10 * ACCURACY_MARGIN, (1 + guessing) / 2)


class LabelEvidence(NamedTuple):
    """What references say of the labels. is_learnable: None where they had too few images to tell."""

    is_learnable: bool | None
    numbers: dict[str, float]
    description: str


def references_at_chance(evidence: Evidence) -> LabelEvidence | None:
    """What the references came to, where none does better than chance; else None."""
    answers = (fitted_references(evidence), batch_probes(evidence))
    if any(answer.is_learnable for answer in answers):
        return None
    return next((answer for answer in answers if answer.is_learnable is False), None)


def evidence_that_labels_follow(evidence: Evidence) -> str | None:
    """What shows that the labels follow from the images, in words; None where nothing does."""
    answers = (fitted_references(evidence), batch_probes(evidence))
    return next((answer.description for answer in answers if answer.is_learnable), None)


def fitted_references(evidence: Evidence) -> LabelEvidence:
    """What the models say that were fitted to the run's own training images."""
    known = evidence.reference or ReferenceScores()
    best, chance, held_images = known.best_accuracy, known.permuted_accuracy, known.held_images
    if best is None or chance is None or not held_images:
        return LabelEvidence(None, {}, "")
    fitted_images = known.images or 0
    numbers = {
        "reference_acc": best, "reference_permuted": chance, "reference_images": float(held_images),
    }  # fmt: skip
    description = (
        f"the best of a linear and a kernel model fitted to {fitted_images:,} training images is "
        f"right on {best:.1%} of {held_images:,} others, with permuted labels on {chance:.1%}"
    )
    is_enough = fitted_images / max(1, known.classes or 1) >= FEWEST_IMAGES_A_CLASS
    is_learnable = _is_learnable(best, chance, held_images, is_enough, AT_CHANCE)
    return LabelEvidence(is_learnable, numbers, description)


def batch_probes(evidence: Evidence) -> LabelEvidence:
    """What the probes of the measured batches say, all steps together."""
    names = ("images", "accuracy", "permuted")
    images, right, permuted = (evidence.signals.network_series(f"probe_{name}") for name in names)
    steps = [
        step
        for step in images
        if math.isfinite(right.get(step, math.nan)) and math.isfinite(permuted.get(step, math.nan))
    ]
    total = sum(images[step] for step in steps)
    if not total:
        return LabelEvidence(None, {}, "")
    best, chance = (sum(images[s] * series[s] for s in steps) / total for series in (right, permuted))
    numbers = {"probe_acc": best, "probe_permuted": chance, "probe_images": total}
    description = (
        f"within the {len(steps)} measured batches a kernel model is right on {best:.1%} of {total:.0f} "
        f"images left out, with permuted labels on {chance:.1%}"
    )
    is_enough = total >= FEWEST_IMAGES_PROBED and total / len(steps) >= FEWEST_IMAGES_A_BATCH
    # where the test shows that the labels follow, a batch's probe is only weaker than the network
    is_enough = is_enough and evidence.steps >= FEWEST_STEPS_PROBED
    is_enough = is_enough and not has_learned(evidence.confusion_KK or ())
    return LabelEvidence(
        _is_learnable(best, chance, total, is_enough, PROBES_AT_CHANCE), numbers, description
    )


def _is_learnable(
    best: float, chance: float, images: float, is_enough: bool, errors_at_chance: float
) -> bool | None:
    """True: better than chance beyond noise; False: no better, by images enough to see it; None: neither."""
    # chance is measured too, on four permutations
    error = math.sqrt(1.25 * max(chance * (1 - chance), 1e-4) / images)
    if best > chance + ABOVE_CHANCE * error:
        return True
    is_at_chance = is_enough and best < chance + errors_at_chance * error
    return False if is_at_chance and 2 * error < WIDEST_TWO_ERRORS else None
