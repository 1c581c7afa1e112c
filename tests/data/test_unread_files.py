"""Files of a data set in a form that is not read are named before anything is downloaded."""

import pytest
from bright_images import load, mnist_files, packed, write

from trainlab.errors import RequestError

NOT_READ = {
    "an archive": ("cifar10", "cifar-10-python.tar.gz", r"unpack it \(tar -xzf"),
    "a hub's arrow files": (
        "cifar10",
        "cifar10/plain_text/0.0.0/abc/cifar10-train.arrow",
        "write it as parquet",
    ),
    "a hub's cache": ("cifar10", "datasets--cifar10/x", "copy its parquet files"),
    "parquet of another name": ("cifar10", "cifar10/part-0.parquet", r"cifar10/train-\*\.parquet"),
    "csv": ("mnist", "mnist_train.csv", "belongs into .*MNIST/raw"),
    "csv in the folder": ("mnist", "MNIST/train.csv", "belongs into .*MNIST/raw"),
    "an old torchvision file": ("mnist", "MNIST/processed/training.pt", "belongs into"),
    "an archive of clothes": ("fashion_mnist", "fashion-mnist.zip", "unpack it"),
}


@pytest.mark.parametrize(("name", "path", "message"), NOT_READ.values(), ids=NOT_READ)
def test_what_lies_there_and_is_not_read_is_named_before_anything_is_downloaded(
    name, path, message, root, cache, monkeypatch
):
    write(root, {path: b"x"})
    monkeypatch.setattr(
        "trainlab.data.torchvision_datasets.TorchvisionDataset._download", lambda *_: pytest.fail("downloads")
    )
    with pytest.raises(RequestError, match=message) as told:
        load(name, root, cache)
    assert path.partition("/")[0] in str(told.value)


def test_idx_files_in_the_folder_itself_are_named(root, cache, monkeypatch):
    write(root, packed(mnist_files()))
    monkeypatch.setattr(
        "trainlab.data.torchvision_datasets.TorchvisionDataset._download", lambda *_: pytest.fail("downloads")
    )
    with pytest.raises(RequestError, match=r"train-images-idx3-ubyte\.gz: move it and its like into"):
        load("mnist", root, cache)
