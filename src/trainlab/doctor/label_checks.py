"""Whether the labels of an epoch are what a loss takes, come in a mixed order, and follow from the images.

Legend: N images, K classes, B images of a batch.
"""

import math
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from trainlab.diagnosis.causes.labels_and_splits import fitted_references
from trainlab.diagnosis.evidence import Evidence, ReferenceScores
from trainlab.diagnosis.known_causes import Finding
from trainlab.doctor.loader_epoch import LoaderEpoch, is_one_hot
from trainlab.doctor.output_checks import class_count
from trainlab.signals.label_probe import probe_labels

MIXED, UNLIKELY = 0.6, 8.0
"""Share of the classes that a shuffled batch would hold, below which data are sorted; and standard errors by
which labels beside each other are the same more often than by chance."""

RARE = 0.1
"""Share of the median class's images below which a class is rare."""

NARROW_TYPES = (torch.int8, torch.int16, torch.int32)
"""Whole numbers that a cross-entropy refuses."""

IMAGES_A_NUMBER = 20
"""Images for each number of a label, from which on one that never comes is missing and not rare."""

MOST_PROBED = 1000


def check_labels(epoch: LoaderEpoch, notes: list[str]) -> list[Finding]:
    """What is wrong with the labels of the training epoch. Of targets that are no classes nothing is said."""
    found = list(_wrong_type(epoch))
    if epoch.labels is None or _are_quantities(epoch):
        notes.append("the targets are no classes: labels were not looked at")
        return found
    for look in CHECKS:
        found += look(epoch)
    if not found or all(f.cause == "labels_wrong_type" for f in found):
        found += labels_at_chance(epoch)
    return found


def _are_quantities(epoch: LoaderEpoch) -> bool:
    """Floats that are whole numbers by chance, or by rounding, and no classes 0 … K − 1."""
    batch = epoch.first_batch
    if batch is None or batch.y is None or not batch.y.is_floating_point() or is_one_hot(batch.y):
        return False
    labels = epoch.labels
    return labels is None or (class_count(labels) is None and int(labels.max()) > 1)


def _wrong_type(epoch: LoaderEpoch) -> Iterator[Finding]:
    y = epoch.first_batch.y if epoch.first_batch else None
    if y is None or epoch.labels is None or _are_quantities(epoch):
        return
    kind, classes = str(y.dtype).removeprefix("torch."), len(epoch.labels.unique())
    got = f"the labels are {kind} of shape {tuple(y.shape)}"
    expected = "expected classes 0 … K − 1 as int64 of shape (N,)"
    if y.dim() == 2 and y.shape[1] > 1 and not y.is_floating_point():
        yield Finding("labels_wrong_type", f"{got}: one-hot; {expected}", code="y = y.argmax(1)")
    elif y.dim() == 2 and y.shape[1] == 1 and classes > 2:
        yield Finding("labels_wrong_type", f"{got}, {expected}", code="y = y.squeeze(1).long()")
    elif (y.dim() == 1 and y.is_floating_point() and classes > 2) or y.dtype in NARROW_TYPES:
        yield Finding("labels_wrong_type", f"{got}, {expected}", code="y = y.long()")


def _one_class(epoch: LoaderEpoch) -> Iterator[Finding]:
    labels = epoch.all_labels
    if labels is not None and len(labels) > 1 and bool((labels == labels[0]).all()):
        description = f"all {len(labels):,} training labels are {int(labels[0])}"
        yield Finding("one_class", description, {"classes": 1.0})


def _numbering(epoch: LoaderEpoch) -> Iterator[Finding]:
    labels = epoch.all_labels if epoch.all_labels is not None else epoch.labels
    assert labels is not None
    values = labels.unique()
    low, high = int(values[0]), int(values[-1])
    if len(values) < 2:
        return
    numbers = {"lowest": float(low), "highest": float(high), "classes": float(len(values))}
    if low < 0:
        wrong = int((labels < 0).sum())
        description = f"{wrong:,} of {len(labels):,} labels are negative, down to {low}"
        yield Finding("labels_out_of_range", description, numbers)
        return
    if len(labels) < IMAGES_A_NUMBER * (high + 1):
        return
    missing = sorted(set(range(low, high + 1)) - set(values.tolist()))
    if low == 1 and not missing:
        description = f"the labels are 1 … {high}, none is 0: they count from 1, and a loss counts from 0"
        yield Finding("labels_off_by_one", description, numbers)
    elif missing or low > 0:
        absent = [*range(low), *missing]
        named = ", ".join(map(str, absent[:10])) + (", …" if len(absent) > 10 else "")
        if len(absent) > (high + 1) / 2:
            description = f"{len(values)} classes are numbered {low} … {high}: expected 0 … {len(values) - 1}"
            yield Finding("labels_out_of_range", description, numbers)
        else:
            description = f"no training image is of class {named}, of classes 0 … {high}"
            yield Finding("class_missing", description, {"missing": float(len(absent))})


def _rare_class(epoch: LoaderEpoch) -> Iterator[Finding]:
    labels = epoch.all_labels
    if labels is None or int(labels.min()) < 0:
        return
    counts = torch.bincount(labels)
    present = counts[counts > 0]
    if len(present) < 2:
        return
    typical, rarest = float(present.double().quantile(0.5)), int(present.min())
    if rarest < RARE * typical or (len(present) == 2 and rarest < RARE * int(present.max())):
        which = int((counts == rarest).nonzero()[0])
        share = rarest / len(labels)
        description = (
            f"{rarest:,} of {len(labels):,} training images ({share:.1%}) are of class {which}; the "
            f"commonest has {int(present.max()):,}"
        )
        yield Finding("rare_class", description, {"share": share, "images": float(rarest)})


def _order(epoch: LoaderEpoch) -> Iterator[Finding]:
    """Batches of few classes, as of data that are sorted; of a loader only, which has an order."""
    labels = epoch.labels
    assert labels is not None
    if not epoch.reader.has_order or len(epoch.sizes) < 2 or len(labels) < 64:
        return
    whole = epoch.all_labels if epoch.all_labels is not None else labels
    if bool((labels == labels[0]).all()) and (epoch.all_labels is None or len(whole.unique()) > 1):
        more = "" if epoch.is_whole else ", as far as they were read"
        description = f"the first {len(labels):,} labels of the epoch are all {int(labels[0])}{more}"
        yield Finding("data_not_shuffled", description, {"classes": 1.0})
        return
    shares = torch.bincount(whole - whole.min()).double() / len(whole)
    expected = sum(float((1 - (1 - shares).pow(size)).sum()) for size in epoch.sizes) / len(epoch.sizes)
    parts = labels.split(epoch.sizes)
    distinct = sum(len(part.unique()) for part in parts) / len(parts)
    chance = float(shares.square().sum())
    same = float((labels[1:] == labels[:-1]).double().mean())
    error = math.sqrt(max(chance * (1 - chance), 1e-12) / (len(labels) - 1))
    if distinct < MIXED * expected and same - chance > UNLIKELY * error:
        description = (
            f"a batch holds {distinct:.1f} of {int((shares > 0).sum())} classes on average, of mixed data it "
            f"would hold {expected:.1f}; {same:.0%} of the labels are that of the image before"
        )
        numbers = {"classes_of_a_batch": distinct, "expected": expected, "same_as_before": same}
        yield Finding("data_not_shuffled", description, numbers)


def _conflicts(epoch: LoaderEpoch) -> Iterator[Finding]:
    labels = epoch.labels
    assert labels is not None
    known: dict[bytes, int] = {}
    pairs = [(digest, label) for digest, label in zip(epoch.digests, labels.tolist(), strict=True) if digest]
    conflicting = {digest for digest, label in pairs if known.setdefault(digest, label) != label}
    if len(conflicting) > 0.01 * len(pairs):
        description = f"{len(conflicting):,} images stand in the training data with two labels or more"
        yield Finding("conflicting_labels", description, {"images": float(len(conflicting))})


CHECKS: tuple[Callable[[LoaderEpoch], Iterable[Finding]], ...] = (
    _one_class,
    _numbering,
    _order,
    _conflicts,
    _rare_class,
)


@torch.no_grad()
def labels_at_chance(epoch: LoaderEpoch) -> list[Finding]:
    """Whether a linear and a kernel classifier find more in the labels than in permuted ones."""
    if epoch.features is None:
        return []
    x_ND, y_N = spread_sample(*_each_once(*epoch.features))
    if not bool(x_ND.isfinite().all()) or int(y_N.min()) < 0:
        return []
    reference = label_scores(x_ND, y_N)
    answer = fitted_references(Evidence(reference=reference))
    if answer.is_learnable is not False:
        return []
    description = f"the labels do not follow from the images: {answer.description}"
    return [Finding("labels_unlearnable", description, answer.numbers)]


def _each_once(x_ND: Tensor, y_N: Tensor) -> tuple[Tensor, Tensor]:
    """Of images that are there several times the first."""
    _, which_N = torch.unique(x_ND, dim=0, return_inverse=True)
    first = torch.full((int(which_N.max()) + 1,), len(which_N)).scatter_reduce(
        0, which_N, torch.arange(len(which_N)), "amin"
    )
    rows = first.sort().values
    return x_ND[rows], y_N[rows]


def spread_sample(x_ND: Tensor, y_N: Tensor, most: int = MOST_PROBED) -> tuple[Tensor, Tensor]:
    """At most so many of the images, evenly spaced, standardized by one number."""
    rows = torch.linspace(0, len(x_ND) - 1, min(most, len(x_ND))).round().long()
    x_ND = x_ND[rows]
    return (x_ND - x_ND.mean(0)) / x_ND.std(correction=0).clamp(min=1e-12), y_N[rows]


def label_scores(x_ND: Tensor, y_N: Tensor) -> ReferenceScores:
    """How well each image's label is predicted from the others, by the better of two probes."""
    classes = int(y_N.max()) + 1
    answers = [probe_labels(x_ND, y_N, classes, is_linear=is_linear) for is_linear in (False, True)]
    right, permuted = max(answers, key=lambda answer: float(answer[0]))
    return ReferenceScores(
        best_accuracy=float(right),
        permuted_accuracy=float(permuted),
        images=len(y_N) - 1,
        held_images=len(y_N),
        classes=len(y_N.unique()),
    )
