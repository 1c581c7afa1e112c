"""The batches of CIFAR-10: each form loads, or is refused in one line."""

import pickle

import numpy as np
import pytest
from bright_images import bright, is_as_bright_as_its_labels_say, load, write

from trainlab.errors import RequestError


def cifar_batches(folder, change=lambda batch: batch):
    folder.mkdir(parents=True)
    for number, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        y_N = np.arange(10)
        x_NHWC = bright(y_N, 32, 32, 3)
        x_NHWC[:, 0, 0, 0] = number * 10 + y_N
        batch = {b"data": x_NHWC.transpose(0, 3, 1, 2).reshape(10, -1), b"labels": y_N.tolist()}
        (folder / name).write_bytes(pickle.dumps(change(batch), protocol=2))


BATCHES = {
    "floats": (lambda b: {**b, b"data": b[b"data"] / 255}, "its data are float64, expected uint8"),
    "beyond 255": (lambda b: {**b, b"data": b[b"data"].astype(int) * 9}, r"expected 0\.\.255"),
    "below 0": (lambda b: {**b, b"data": b[b"data"].astype(int) - 100}, r"expected 0\.\.255"),
    "label fractions": (
        lambda b: {**b, b"labels": [y + 0.5 for y in b[b"labels"]]},
        "expected whole numbers",
    ),
    "no labels": (lambda b: {b"data": b[b"data"]}, "it holds data, expected data and labels"),
    "no dictionary": (lambda b: list(b), "it holds list, expected a dictionary"),
}


@pytest.mark.parametrize(("change", "message"), BATCHES.values(), ids=BATCHES)
def test_batches_of_something_else_are_one_line(change, message, root, cache):
    cifar_batches(root / "cifar-10-batches-py", change)
    with pytest.raises(RequestError, match=message):
        load("cifar10", root, cache)


@pytest.mark.parametrize("change", [
    lambda b: {key.decode(): value for key, value in b.items()},
    lambda b: {**b, b"data": b[b"data"].astype(np.int64)},
    lambda b: {**b, b"labels": np.array(b[b"labels"], np.float64)},
], ids=["text keys", "whole numbers", "whole floats as labels"])  # fmt: skip
def test_batches_that_hold_the_same_load(change, root, cache):
    cifar_batches(root / "cifar10" / "cifar-10-batches-py", change)  # one folder deeper, too
    data = load("cifar10", root, cache)
    assert is_as_bright_as_its_labels_say(data) and data.copy == "other files"


def test_the_binary_version_is_read(root, cache):
    rows = b"".join(
        bytes([y]) + image.transpose(2, 0, 1).tobytes()
        for y, image in zip(range(10), bright(np.arange(10), 32, 32, 3), strict=True)
    )
    names = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
    write(root / "cifar-10-batches-bin", dict.fromkeys(names, rows))
    data = load("cifar10", root, cache)
    assert is_as_bright_as_its_labels_say(data) and data.copy == "binary version"
    (root / "cifar-10-batches-bin" / names[2]).write_bytes(rows[:-5])
    with pytest.raises(
        RequestError, match=r"data_batch_3\.bin: got 30,725 bytes, expected a multiple of 3,073"
    ):
        load("cifar10", root, cache)
