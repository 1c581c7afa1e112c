"""Image parquet: each form loads, or is refused in one line."""

import numpy as np
import polars as pl
import pytest
from bright_images import CIFAR_CLASSES, bright, is_as_bright_as_its_labels_say, load, png

from trainlab.errors import RequestError


def write_parquet(folder, labels=None, images=None, name="{split}-00000-of-00001.parquet"):
    folder.mkdir(parents=True, exist_ok=True)
    for split, shift in (("train", 0), ("test", 50)):
        y_N = np.arange(10)
        x_NHWC = bright(y_N, 32, 32, 3)
        x_NHWC[:, 0, 0, 0] = y_N + shift
        column = [images(x) if images else {"bytes": png(x), "path": None} for x in x_NHWC]
        path = folder / name.format(split=split)
        path.parent.mkdir(parents=True, exist_ok=True)
        pl.DataFrame({"img": column, "label": labels(y_N) if labels else y_N}).write_parquet(path)


PARQUET = {
    "label names": ({"labels": lambda y: [CIFAR_CLASSES[k] for k in y]}, ""),
    "names in capitals": ({"labels": lambda y: [CIFAR_CLASSES[k].title() for k in y]}, ""),
    "label digits": ({"labels": lambda y: [str(k) for k in y]}, ""),
    "whole floats": ({"labels": lambda y: y.astype(float)}, ""),
    "bytes alone": ({"images": png}, ""),
    "a hub's subfolder": ({}, "plain_text"),
    "a hub's converted branch": ({"name": "{split}/0000.parquet"}, "plain_text"),
}


@pytest.mark.parametrize(("how", "below"), PARQUET.values(), ids=PARQUET)
def test_parquet_of_other_kinds_is_read(how, below, root, cache):
    write_parquet(root / "cifar10" / below, **how)
    assert is_as_bright_as_its_labels_say(load("cifar10", root, cache))


ODD_PARQUET = {
    "fractions": ({"labels": lambda y: y + 0.7}, r"labels are fractions: got 0\.7"),
    "missing labels": ({"labels": lambda y: [None, *y[1:].tolist()]}, "some labels are missing: 1 of 1"),
    "other names": ({"labels": lambda y: ["gnu"] * 10}, "labels are text: got gnu, expected airplane"),
    "no images": ({"images": lambda x: "x"}, r"holds String, expected \{bytes, path\} or bytes"),
    "an empty image": ({"images": lambda x: {"bytes": None, "path": "x.png"}}, "missing|holds"),
}


@pytest.mark.parametrize(("how", "message"), ODD_PARQUET.values(), ids=ODD_PARQUET)
def test_parquet_of_something_else_is_one_line(how, message, root, cache):
    write_parquet(root / "cifar10", **how)
    with pytest.raises(RequestError, match=message):
        load("cifar10", root, cache)


def test_two_configurations_of_a_hub_are_not_mixed(root, cache):
    for name in ("plain_text", "default"):
        write_parquet(root / "cifar10" / name)
    with pytest.raises(RequestError, match=r"2 folders of .*default, plain_text"):
        load("cifar10", root, cache)


def test_images_of_another_size_are_told(root, cache):
    write_parquet(root / "cifar10", images=lambda x: png(np.kron(x, np.ones((2, 1, 1), np.uint8))))
    assert any("20 images are not 32 × 32: cropped" in note for note in load("cifar10", root, cache).notes)
