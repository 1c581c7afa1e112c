"""Each fault that batches alone show: named in the broken data, and nothing found in the same data mended."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from faults import FaultTable
from sklearn.datasets import load_digits
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, RandomSampler, Subset, TensorDataset

import trainlab
from trainlab.errors import RequestError


class Data(NamedTuple):
    train: object
    test: object = None


Pair = Callable[[bool], Data]

FAULTS: FaultTable[Data] = FaultTable()
fault = FAULTS.of


def digits() -> tuple[Tensor, Tensor]:
    """1,797 digits in a mixed order, 1 × 8 × 8, zero mean and unit scale."""
    pixels, classes = load_digits(return_X_y=True)
    order = np.random.RandomState(0).permutation(len(classes))
    x = torch.from_numpy(pixels[order]).float().reshape(-1, 1, 8, 8)
    return (x - 4.88) / 6.02, torch.from_numpy(classes[order]).long()


def coloured() -> tuple[Tensor, Tensor]:
    """Smooth pictures of three channels with a smooth pattern of their class."""
    generator = torch.Generator().manual_seed(0)
    y = torch.randperm(800, generator=generator) % 4
    noise = F.avg_pool2d(torch.randn(804, 3, 20, 20, generator=generator), 5, stride=1)
    x = noise[4:] + noise[y]
    return (x - x.mean()) / x.std(), y


def batches(x: Tensor, y: Tensor, size: int = 64) -> list[tuple[Tensor, Tensor]]:
    return [(x[k : k + size], y[k : k + size]) for k in range(0, len(x), size)]


def split(x: Tensor, y: Tensor, train: int = 700) -> Data:
    return Data(batches(x[:train], y[:train]), batches(x[train:1000], y[train:1000]))


# labels


def labelled(change: Callable[[Tensor], Tensor]) -> Pair:
    def make(broken: bool) -> Data:
        x, y = digits()
        return split(x, change(y) if broken else y)

    return make


LABELS = {
    "labels of other images": (
        "labels_unlearnable",
        lambda y: y[torch.randperm(len(y), generator=torch.Generator().manual_seed(0))],
    ),
    "labels from one": ("labels_off_by_one", lambda y: y + 1),
    "negative labels": ("labels_out_of_range", lambda y: y - 5),
    "labels with gaps": ("labels_out_of_range", lambda y: 3 * y),
    "labels in a column": ("labels_wrong_type", lambda y: y[:, None]),
    "labels as floats": ("labels_wrong_type", lambda y: y.float()),
    "labels of 32 bits": ("labels_wrong_type", lambda y: y.int()),
    "one-hot whole numbers": ("labels_wrong_type", lambda y: F.one_hot(y, 10)),
    "one class only": ("one_class", torch.ones_like),
}
"""Mended, all of these are the digits of `healthy_data`."""
FAULTS |= {name: (cause, labelled(change)) for name, (cause, change) in LABELS.items()}


def kept(x: Tensor, y: Tensor, which: Tensor) -> tuple[Tensor, Tensor]:
    return x[which], y[which]


@fault("class_missing")
def no_training_image_of_a_class(broken):
    x, y = digits()
    train = kept(x[:700], y[:700], y[:700] != (3 if broken else -1))
    return Data(batches(*train), batches(x[700:1000], y[700:1000]))


@fault("class_missing")
def a_class_of_the_test_alone(broken):
    x, y = digits()
    train = kept(x[:700], y[:700], y[:700] != (9 if broken else -1))
    return Data(batches(*train), batches(x[700:1000], y[700:1000]))


@fault("rare_class")
def a_rare_class(broken):
    x, y = digits()
    x, y = x[:700], y[:700]
    drop = (y == 3) & (torch.arange(700) > 40)
    return Data(batches(*kept(x, y, ~drop if broken else drop | ~drop)))


@fault("conflicting_labels")
def images_with_two_labels(broken):
    x, y = digits()
    x, y = x[:700].clone(), y[:700].clone()
    if broken:
        x[600:], y[600:] = x[:100], (y[:100] + 1) % 10
    return Data(batches(x, y))


# order and batches


@fault("data_not_shuffled")
def sorted_by_class(broken):
    x, y = digits()
    order = y[:700].argsort(stable=True) if broken else torch.arange(700)
    return Data(batches(x[order], y[order]))


@fault("data_not_shuffled")
def a_sorted_data_set_and_a_loader_that_does_not_shuffle(broken):
    x, y = digits()
    order = y[:700].argsort(stable=True)
    return Data(DataLoader(TensorDataset(x[order], y[order]), batch_size=32, shuffle=not broken))


@fault("data_not_shuffled")
def sorted_and_too_long_to_be_read(broken):
    """Read up to a limit, all are of one class; the data set knows the others."""
    x, y = digits()
    order = y.argsort(stable=True).repeat_interleave(8)
    x = x[order] + 0.1 * torch.randn(len(order), 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return Data(DataLoader(TensorDataset(x, y[order]), batch_size=64, shuffle=not broken))


@fault("batches_identical")
def one_batch_for_ever(broken):
    x, y = digits()
    parts = batches(x[:640], y[:640])
    return Data([parts[0]] * 10 if broken else parts)


@fault("batch_repeated")
def an_epoch_that_repeats_a_batch(broken):
    x, y = digits()
    parts = batches(x[:640], y[:640])
    return Data([*parts, (parts[2][0].flip(0), parts[2][1].flip(0))] if broken else parts)


# images


def pictured(change: Callable[[Tensor], Tensor]) -> Pair:
    def make(broken: bool) -> Data:
        x, y = coloured()
        return Data(batches(change(x.clone()) if broken else x, y))

    return make


def one_nan(x: Tensor) -> Tensor:
    x[70, 1, 2, 3] = float("nan")
    return x


def some_blank(x: Tensor) -> Tensor:
    x[40:60] = 0.0
    return x


for name, (cause, change) in {
    "a pixel is NaN": ("input_not_finite", one_nan),
    "blank images": ("blank_images", some_blank),
    "all one image": ("constant_input", lambda x: x[:1].expand(len(x), -1, -1, -1)),
    "0 to 255": ("input_out_of_scale", lambda x: (x * 50 + 120).clamp(0, 255).round()),
    "channels last": ("channels_last", lambda x: x.permute(0, 2, 3, 1)),
    "view for permute": (
        "image_axes_scrambled",
        lambda x: x.permute(0, 2, 3, 1).contiguous().view(x.shape),
    ),
}.items():
    FAULTS[name] = (cause, pictured(change))


# splits


@fault("test_images_in_training")
def copies_in_both_splits(broken):
    x, y = digits()
    test = slice(0, 300) if broken else slice(700, 1000)
    return Data(batches(x[:700], y[:700]), batches(x[test], y[test]))


@fault("test_images_in_training")
def copies_in_both_splits_at_another_scale(broken):
    x, y = digits()
    test = slice(0, 300) if broken else slice(700, 1000)
    scale = 1.0 + 1e-4 * broken  # as good as the same: no other finding
    return Data(batches(x[:700], y[:700]), batches(x[test] * scale, y[test]))


@fault("test_classes_permuted")
def classes_in_another_order(broken):
    x, y = digits()
    order = torch.tensor([4, 0, 3, 1, 2, 9, 5, 8, 6, 7])
    test_y = order[y[700:1000]] if broken else y[700:1000]
    return Data(batches(x[:700], y[:700]), batches(x[700:1000], test_y))


def bytes_of(x: Tensor) -> Tensor:
    return ((x - x.min()) / (x.max() - x.min()) * 255).round() / 255


@fault("test_normalized_differently")
def the_test_is_not_normalized(broken):
    x, y = coloured()
    x = bytes_of(x)
    normal = (x - 0.47) / 0.1
    return Data(batches(normal[:600], y[:600]), batches(x[600:] if broken else normal[600:], y[600:]))


@fault("test_normalized_differently")
def statistics_of_another_data_set(broken):
    """ImageNet's mean and deviation in the test, CIFAR's in the training: a few per cent apart."""
    x, y = coloured()
    x = bytes_of(x)
    of = lambda mean, std, part: (part - mean) / std  # noqa: E731
    test = of(0.485, 0.229, x[600:]) if broken else of(0.4914, 0.247, x[600:])
    return Data(batches(of(0.4914, 0.247, x[:600]), y[:600]), batches(test, y[600:]))


@fault("test_normalized_differently")
def bytes_in_the_test(broken):
    x, y = digits()
    test = (x[700:1000] * 10).byte() if broken else x[700:1000]
    return Data(batches(x[:700], y[:700]), batches(test, y[700:1000]))


@pytest.mark.parametrize("name", FAULTS)
def test_the_fault_is_named_and_nothing_else(name):
    cause, make = FAULTS[name]
    torch.manual_seed(0)
    report = trainlab.check_data(*make(True), limit=1200)
    assert report.causes == (cause,), str(report)
    assert all("\n" not in finding.description for finding in report)


@pytest.mark.parametrize("name", [name for name in FAULTS if name not in LABELS])
def test_nothing_is_found_in_the_mended_data(name):
    torch.manual_seed(0)
    mended = trainlab.check_data(*FAULTS[name][1](False), limit=1200)
    assert not mended, str(mended)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a pixel is NaN", "1 of 800 training images hold NaN or infinity, first image 70"),
        ("blank images", "20 of 800 training images are one value throughout, first image 40"),
        (
            "copies_in_both_splits",
            "300 of 300 test images are among the 700 training images",
        ),
        ("labels from one", "the labels are 1 … 10, none is 0"),
        ("no_training_image_of_a_class", "no training image is of class 3"),
        ("an_epoch_that_repeats_a_batch", "1 of 11 batches hold the same images"),
        ("one_batch_for_ever", "all 10 batches hold the same images"),
        ("a_rare_class", r"\d of \d+ training images \(\d\.\d%\) are of class 3"),
        ("statistics_of_another_data_set", "divided by another std"),
        ("labels of other images", "with permuted labels on"),
    ],
)
def test_the_description_has_the_numbers(name, words):
    cause, make = FAULTS[name]
    report = trainlab.check_data(*make(True))
    (finding,) = [f for f in report if f.cause == cause]
    assert re.search(words, finding.description), finding.description


class Augmented(Dataset):
    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        shift = int(torch.randint(-1, 2, ()))
        return self.x[index].roll(shift, -1), int(self.y[index])


def healthy_data() -> dict[str, Data]:
    x, y = digits()
    cx, cy = coloured()
    data, test_order = TensorDataset(x, y), y[700:1000].argsort()
    imbalanced = kept(x, y, (y != 4) | (torch.arange(len(y)) % 4 == 0))
    return {
        "digits": split(x, y),
        "loaders": Data(DataLoader(TensorDataset(x[:700], y[:700]), 64, shuffle=True),
                        DataLoader(TensorDataset(x[700:1000], y[700:1000]), 64)),
        "augmented": Data(DataLoader(Augmented(x[:700], y[:700]), 64, shuffle=True),
                          DataLoader(TensorDataset(x[700:1000], y[700:1000]), 64)),
        "data sets": Data(TensorDataset(x[:700], y[:700]), TensorDataset(x[700:1000], y[700:1000])),
        "subsets": Data(Subset(data, range(700)), Subset(data, range(700, 1000))),
        "arrays": Data((x[:700].numpy(), y[:700].numpy()), (x[700:1000].numpy(), y[700:1000].numpy())),
        "a sorted data set": Data(TensorDataset(x[y.argsort()], y.sort().values)),
        "a sorted test": Data(
            batches(x[:700], y[:700]), batches(x[700:1000][test_order], y[700:1000][test_order])
        ),
        "imbalanced": split(*imbalanced),
        "coloured": split(cx, cy, 500),
        "two classes": split(x, (y > 4).long()),
        "two classes as floats": split(x, (y > 4).float()),
        "one-hot floats": split(x, F.one_hot(y, 10).float()),
        "regression": split(x, x.mean((1, 2, 3)) * 3 + 0.5),
        "segmentation": Data(batches(cx, (cx[:, 0] > 0).long())),
        "several labels": Data(batches(x, torch.stack([y > 4, y % 2 == 0, y == 7], 1).float())),
        "dictionaries": Data([{"image": a, "label": b} for a, b in batches(x[:700], y[:700])]),
        "a generator": Data(batch for batch in batches(x[:640], y[:640])),
        "few images": Data(batches(x[:40], y[:40], 8)),
        "words": Data(batches(torch.randint(50, (256, 12)), torch.arange(256) % 3)),
        "drawn with replacement": Data(DataLoader(data, 64, sampler=RandomSampler(data, replacement=True))),
    }  # fmt: skip


@pytest.mark.parametrize("name", healthy_data())
def test_nothing_is_found_in_data_as_they_should_be(name):
    torch.manual_seed(0)
    report = trainlab.check_data(*healthy_data()[name])
    assert not report, str(report)


def test_random_states_and_the_loader_stay_as_they_were():
    x, y = digits()
    generator = torch.Generator().manual_seed(3)
    loader = DataLoader(Augmented(x, y), 64, shuffle=True, generator=generator)
    before = torch.get_rng_state(), generator.get_state(), x.clone(), y.clone()
    trainlab.check_data(loader, loader)
    after = torch.get_rng_state(), generator.get_state(), x, y
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_a_generator_is_read_from_its_first_batch_on():
    x, y = digits()
    report = trainlab.check_data(batch for batch in [(torch.full_like(x[:64], torch.nan), y[:64])])
    assert report.causes[0] == "input_not_finite"


def test_what_was_not_read_or_looked_at_is_told():
    x, y = digits()
    report = trainlab.check_data(batches(x, y), limit=640)
    assert any("first 640 training images were read" in note for note in report.notes)
    report = trainlab.check_data(DataLoader(Augmented(x, y), 64, shuffle=True), batches(x, y))
    assert any("augmented at random" in note for note in report.notes)
    report = trainlab.check_data(batches(x, x.mean((1, 2, 3))))
    assert any("no classes" in note for note in report.notes)
    assert str(report).startswith("the data: nothing wrong found")


REQUESTS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "the loader is empty": (([],), {}),
    "got an int for the batches": ((3,), {}),
    "got a dict as a batch|unpack=": (([{"a": torch.zeros(2), "b": torch.zeros(2)}],), {}),
    "limit=0, expected a number of images": (([(torch.zeros(2, 3), torch.zeros(2))],), {"limit": 0}),
    "cannot be read: ZeroDivisionError": (((1 / 0 for _ in range(2)),), {}),
}


@pytest.mark.parametrize("words", REQUESTS)
def test_a_wrong_request_is_one_line(words):
    arguments, options = REQUESTS[words]
    with pytest.raises(RequestError, match=words) as caught:
        trainlab.check_data(*arguments, **options)
    assert str(caught.value).startswith("check_data: ") and "\n" not in str(caught.value)


def test_unpack_takes_batches_of_any_kind():
    x, y = digits()
    triples = [(a, b, torch.arange(len(a))) for a, b in batches(x, y)]
    with pytest.raises(RequestError, match=r"unpack=lambda b: \(b\[0\], b\[1\]\)"):
        trainlab.check_data(triples)
    assert not trainlab.check_data(triples, unpack=lambda b: (b[0], b[1]))
