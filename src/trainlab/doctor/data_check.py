"""What loaders give: is there something to be learned in it, and does the test measure it?"""

import warnings

from trainlab.diagnosis.consequences import without_consequences
from trainlab.diagnosis.known_causes import Finding
from trainlab.doctor.batch_reader import BatchReader, Unpack
from trainlab.doctor.image_checks import BLANK_SHARE, check_images, out_of_scale
from trainlab.doctor.label_checks import check_labels
from trainlab.doctor.loader_epoch import LoaderEpoch, is_random
from trainlab.doctor.report import CheckReport
from trainlab.doctor.split_checks import check_splits
from trainlab.errors import RequestError
from trainlab.forecast.isolation import preserve_global_state

FEWEST_OF_A_BATCH = 4
"""Images of a batch, from which on it is no chance that two batches are one."""

REPEATED = 0.05
"""Share of the training images that stand there more than once, from which on it is worth a note."""


def check_data(
    train: object, test: object = None, *, unpack: Unpack | None = None, limit: int = 10_000
) -> CheckReport:
    """What is wrong with the data of a training loader, and of a test loader beside it.

        assert not trainlab.check_data(train_loader, test_loader)

    train, test: DataLoaders, Datasets, lists of (x, y), or arrays (X, y); dictionaries are taken by their
    usual names, others by `unpack`. At most `limit` images of each are read, once, in their order; of data
    that are longer the notes say so. Whether data are shuffled is asked of loaders and lists of batches only.

    Looked at: type, numbering and order of the labels; whether they follow from the images (or a linear and a
    kernel classifier are no better than with permuted labels); rare and missing classes; batches that are
    one; NaN, blank images, scale, layout and scrambled axes; images that are in both, another preparation of
    the test, classes in another order. Random states are put back.

    Raises RequestError, in one line, for what holds no batches.
    """
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise RequestError(f"check_data: limit={limit!r}, expected a number of images, at least 1")
    notes: list[str] = []
    with preserve_global_state(train, test), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first = LoaderEpoch.read("training", BatchReader(train, unpack, "check_data"), limit)
        findings = [*_epoch_findings(first, notes), *check_labels(first, notes)]
        if test is not None:
            second = LoaderEpoch.read("test", BatchReader(test, unpack, "check_data"), limit)
            findings += [
                f for f in _epoch_findings(second, notes) if f.cause not in {g.cause for g in findings}
            ]
            findings += check_splits(first, second)
            if is_random(train):
                notes.append(
                    "the training images are augmented at random: test images among them are only found in "
                    "the data set without it"
                )
    return CheckReport(without_consequences(findings), tuple(notes), "the data")


def _epoch_findings(epoch: LoaderEpoch, notes: list[str]) -> list[Finding]:
    """What the images and batches of one epoch show."""
    if not epoch.is_whole:
        notes.append(f"the first {epoch.count:,} {epoch.name} images were read; limit=… reads more")
    found = [*_whole_epoch_findings(epoch)]
    sample = epoch.sample
    if not epoch.not_finite:
        found += [f for f in check_images(sample) if f.cause != "blank_images"]
        if len(sample) and sample.is_floating_point() and (scale := out_of_scale(sample)) is not None:
            found.append(scale)
    if len(sample) and not sample.is_floating_point() and sample.dim() > 2:
        notes.append(
            f"the {epoch.name} images are {str(sample.dtype).removeprefix('torch.')}: x.float() / 255"
        )
    if epoch.name == "training":
        found += _repeated_batches(epoch, notes)
    return found


def _whole_epoch_findings(epoch: LoaderEpoch) -> list[Finding]:
    found = []
    if epoch.not_finite:
        description = (
            f"{epoch.not_finite:,} of {epoch.count:,} {epoch.name} images hold NaN or infinity, first image "
            f"{epoch.first_not_finite}"
        )
        numbers = {"images": float(epoch.not_finite), "first_image": float(epoch.first_not_finite or 0)}
        found.append(Finding("input_not_finite", description, numbers))
    if epoch.blank > BLANK_SHARE * epoch.count:
        description = (
            f"{epoch.blank:,} of {epoch.count:,} {epoch.name} images are one value throughout, first image "
            f"{epoch.first_blank}"
        )
        numbers = {"images": float(epoch.blank), "first_image": float(epoch.first_blank or 0)}
        found.append(Finding("blank_images", description, numbers))
    return found


def _repeated_batches(epoch: LoaderEpoch, notes: list[str]) -> list[Finding]:
    """Batches that hold the same images, in any order; and how many images stand there twice."""
    batches, start = [], 0
    for size in epoch.sizes:
        digests = [digest for digest in epoch.digests[start : start + size] if digest]
        start += size
        if len(digests) >= FEWEST_OF_A_BATCH:
            batches.append(b"".join(sorted(digests)))
    repeats = len(batches) - len(set(batches))
    numbers = {"batches": float(len(batches)), "repeats": float(repeats)}
    if len(batches) > 1 and len(set(batches)) == 1:
        return [Finding("batches_identical", f"all {len(batches)} batches hold the same images", numbers)]
    if repeats:
        description = f"{repeats} of {len(batches)} batches hold the same images as another of the epoch"
        return [Finding("batch_repeated", description, numbers)]
    images = [digest for digest in epoch.digests if digest]
    copies = len(images) - len(set(images))
    if copies > REPEATED * len(images):
        notes.append(f"{copies:,} of {len(images):,} training images stand in the epoch more than once")
    return []
