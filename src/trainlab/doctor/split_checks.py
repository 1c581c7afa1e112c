"""How training and test differ: the same images in both, another preparation, another order of classes.

Legend: N images of training, M of the test, C channels, D features, K classes.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from trainlab.diagnosis.causes import labels_and_splits
from trainlab.diagnosis.causes.labels_and_splits import LEAKED_SHARE
from trainlab.diagnosis.evidence import Evidence
from trainlab.diagnosis.known_causes import Finding
from trainlab.doctor.loader_epoch import LoaderEpoch
from trainlab.signals.label_probe import predict_labels, probe_labels

OFFSET, SPREAD = 0.5, 1.5
"""Standard deviations between the means, and ratio of the deviations, that are another preparation and not
another draw or augmentation of the same images."""

FEWEST_LEVELS, MOST_LEVELS = 32, 256
"""Different values of a channel, by which images of bytes are known that were shifted and scaled."""

MOST_TESTED = 600


def check_splits(train: LoaderEpoch, test: LoaderEpoch) -> list[Finding]:
    """What the test data have with the training data that they should not, or have not that they should."""
    found = [*_same_images(train, test), *_missing_classes(train, test)]
    other = list(_other_preparation(train.sample, test.sample))
    found += other
    if not other:
        found += _permuted_classes(train, test)
    return found


def _same_images(train: LoaderEpoch, test: LoaderEpoch) -> Iterator[Finding]:
    known = {digest for digest in train.digests if digest}
    tested = [digest for digest in test.digests if digest]
    copies = sum(digest in known for digest in tested)
    if tested and copies >= LEAKED_SHARE * len(tested):
        description = (
            f"{copies:,} of {len(tested):,} test images are among the {train.count:,} training images: the "
            "accuracy on the test is memory"
        )
        numbers = {"test_in_training": copies / len(tested), "images": float(copies)}
        yield Finding("test_images_in_training", description, numbers)


def _missing_classes(train: LoaderEpoch, test: LoaderEpoch) -> Iterator[Finding]:
    seen, tested = train.all_labels, test.labels
    if seen is None or tested is None:
        return
    missing = sorted(set(tested.tolist()) - set(seen.tolist()))
    if missing:
        named = ", ".join(map(str, missing[:10])) + (", …" if len(missing) > 10 else "")
        description = f"the test has images of class {named}, the training data have none"
        yield Finding("class_missing", description, {"missing": float(len(missing))})


def _other_preparation(train: Tensor, test: Tensor) -> Iterator[Finding]:
    if not len(train) or not len(test):
        return
    if train.dtype != test.dtype or train.shape[1:2] != test.shape[1:2]:
        description = f"training images are {_kind(train)}, test images {_kind(test)}"
        yield Finding("test_normalized_differently", description)
        return
    if not train.is_floating_point() or train.dim() < 3:
        return
    for channel in range(train.shape[1] if train.dim() > 3 else 1):
        a, b = ((x[:, channel] if x.dim() > 3 else x).double().flatten() for x in (train, test))
        if (what := _difference(a, b)) is not None:
            where = f"channel {channel}: " if train.dim() > 3 and train.shape[1] > 1 else ""
            description = (
                f"{where}training images have mean {float(a.mean()):.3g} and std {float(a.std()):.3g}, test "
                f"images {float(b.mean()):.3g} and {float(b.std()):.3g}; {what}"
            )
            numbers = {"train_mean": float(a.mean()), "train_std": float(a.std())}
            numbers |= {"test_mean": float(b.mean()), "test_std": float(b.std())}
            yield Finding("test_normalized_differently", description, numbers)
            return


def _kind(x: Tensor) -> str:
    return f"{str(x.dtype).removeprefix('torch.')} of shape (N, {', '.join(map(str, x.shape[1:]))})"


def _difference(a: Tensor, b: Tensor) -> str | None:
    """In what two samples of values were prepared in another way; None where they may be of one way."""
    if not bool(a.isfinite().all() & b.isfinite().all()):
        return None
    spread = float(a.std().clamp(min=1e-12)), float(b.std().clamp(min=1e-12))
    if (
        abs(float(a.mean() - b.mean())) > OFFSET * max(spread)
        or not 1 / SPREAD < spread[0] / spread[1] < SPREAD
    ):
        return "no other draw of the same images differs so much"
    return _other_levels(a, b)


def _other_levels(a: Tensor, b: Tensor) -> str | None:
    """Images of bytes lie on a grid, (k / 255 − mean) / std: another grid is another mean or std."""
    levels = [values.unique() for values in (a, b)]
    if not all(FEWEST_LEVELS <= len(values) <= MOST_LEVELS for values in levels):
        return None
    steps = [float(values.diff().min()) for values in levels]
    ratio = max(steps) / min(steps)
    if abs(ratio - round(ratio)) > 0.002 * ratio:
        return f"their values lie {steps[0]:.4g} and {steps[1]:.4g} apart: they were divided by another std"
    if round(ratio) != 1:  # one of them may lack a level beside another
        return None
    shift = float(levels[0][0] - levels[1][0]) / steps[0]
    if abs(shift - round(shift)) > 0.02:
        return "their values lie on grids that are shifted: another mean was subtracted"
    return None


def _permuted_classes(train: LoaderEpoch, test: LoaderEpoch) -> Iterator[Finding]:
    """A classifier that is good on training images left out is good on the test once classes are renamed."""
    if train.features is None or test.features is None:
        return
    (x_ND, y_N), (test_MD, test_y_M) = train.features, test.features
    if x_ND.shape[1] != test_MD.shape[1] or min(int(y_N.min()), int(test_y_M.min())) < 0:
        return
    x_ND, y_N = x_ND[-MOST_TESTED:], y_N[-MOST_TESTED:]
    test_MD, test_y_M = test_MD[:MOST_TESTED], test_y_M[:MOST_TESTED]
    mean, scale = x_ND.mean(0), x_ND.std(correction=0).clamp(min=1e-12)
    x_ND, test_MD = (x_ND - mean) / scale, (test_MD - mean) / scale
    if not bool(x_ND.isfinite().all() & test_MD.isfinite().all()):
        return
    classes = 1 + max(int(y_N.max()), int(test_y_M.max()))
    predicted_M = predict_labels(x_ND, y_N, test_MD, classes)
    counts_KK = torch.zeros(classes, classes, dtype=torch.int64)
    counts_KK.index_put_((test_y_M, predicted_M), torch.ones_like(test_y_M), accumulate=True)
    kept, _ = probe_labels(x_ND, y_N, classes)
    evidence = Evidence(confusion_KK=counts_KK.tolist(), metrics={"val/acc": float(kept)})
    if (finding := labels_and_splits.test_classes_permuted(evidence)) is not None:
        description = f"by a kernel model on pixels, {finding.description}"
        yield Finding(finding.cause, description, finding.numbers)
