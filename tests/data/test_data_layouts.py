"""Every layout of every data set is found and read right; what is broken is named."""

import pickle
import shutil

import numpy as np
import pytest
from PIL import Image

from trainlab.data import load_images
from trainlab.data.torchvision_datasets import cifar10, mnist
from trainlab.errors import RequestError


def open_data(source, root, cache, **settings):
    return load_images(source, root, cache, **{"val_size": 0, **settings})


@pytest.mark.parametrize("packed", [False, True])
def test_mnist_reads_the_idx_files(packed, write_mnist, root, cache):
    _, train_x, train_y, test_x, test_y = write_mnist(packed=packed)
    data = open_data("mnist", root, cache)
    assert (data.train.x_NHWC[..., 0] == train_x).all()
    assert (data.test.x_NHWC[..., 0] == test_x).all()
    assert (data.train.y_N == train_y).all()
    assert (data.test.y_N == test_y).all()
    assert data.copy == "other files"  # small ones, not those of the known checksums
    assert data.in_shape_CHW == (1, 28, 28)
    assert data.classes == tuple("0123456789")


def test_a_packed_copy_has_the_fingerprint_of_the_plain_one(write_mnist, root, cache):
    raw, *_ = write_mnist()
    plain = open_data("mnist", root, cache).fingerprint
    shutil.rmtree(raw)
    write_mnist(packed=True)
    assert open_data("mnist", root, cache).fingerprint == plain


def test_fashion_mnist_is_looked_for_in_its_own_folder(write_mnist, root, cache):
    write_mnist(folder="FashionMNIST/raw")
    assert "trouser" in open_data("fashion_mnist", root, cache).classes


def test_cifar10_reads_the_python_version(write_cifar_python, root, cache):
    folder = write_cifar_python()
    batch = pickle.loads((folder / "data_batch_2").read_bytes(), encoding="bytes")
    data = open_data("cifar10", root, cache)
    assert len(data.train) == 50
    x_HWC = batch[b"data"][3].reshape(3, 32, 32).transpose(1, 2, 0)
    assert (data.train.x_NHWC[13] == x_HWC).all()
    assert data.train.y_N[13] == 3
    assert data.copy == "other files"  # small ones, not those of the known checksums


@pytest.mark.parametrize("column", ["img", "image"])
@pytest.mark.parametrize("parts", [1, 2])
def test_cifar10_reads_parquet(column, parts, write_parquet, root, cache):
    _, x_NHWC = write_parquet("PNG", column, parts)
    data = open_data("cifar10", root, cache)
    expected = np.concatenate([x_NHWC[part::parts] for part in range(parts)])
    assert (data.train.x_NHWC == expected).all()
    assert data.copy == "parquet copy"


def test_a_jpeg_copy_says_so(write_parquet, root, cache):
    write_parquet("JPEG")
    assert open_data("cifar10", root, cache).copy == "JPEG copy (parquet)"


@pytest.mark.parametrize("named", [True, False])
def test_cifar10_reads_class_folders(named, write_folders, root, cache):
    classes = cifar10().classes if named else tuple(map(str, range(10)))
    write_folders("cifar10", classes, images=1)
    data = open_data("cifar10", root, cache)
    assert data.classes == cifar10().classes
    assert data.train.x_NHWC[:, 0, 0, 0].tolist() == [20 * k for k in range(10)]  # the label, as written
    assert data.train.y_N.tolist() == list(range(10))
    assert data.copy == "class folders"


def test_other_classes_than_the_official_ones_are_refused(write_folders, root, cache):
    write_folders("cifar10", ("cat", "dog"))
    with pytest.raises(RequestError, match="got cat, dog, expected airplane"):
        open_data("cifar10", root, cache)


def test_truncated_idx_is_named(write_mnist, root, cache):
    raw, *_ = write_mnist()
    broken = raw / "train-images-idx3-ubyte"
    broken.write_bytes(broken.read_bytes()[:1000])
    with pytest.raises(RequestError, match=rf"{broken}: got 1,000 bytes, expected 31,376"):
        open_data("mnist", root, cache)


def test_idx_with_another_header_is_named(write_mnist, root, cache):
    raw, *_ = write_mnist()
    (raw / "t10k-labels-idx1-ubyte").write_bytes(b"<html>not found</html>")
    with pytest.raises(RequestError, match="t10k-labels-idx1-ubyte: got header 3c68746d"):
        open_data("mnist", root, cache)


def test_broken_gz_is_named(write_mnist, root, cache):
    raw, *_ = write_mnist(packed=True)
    broken = raw / "train-labels-idx1-ubyte.gz"
    broken.write_bytes(broken.read_bytes()[:20])
    with pytest.raises(RequestError, match=str(broken)):
        open_data("mnist", root, cache)


def test_labels_of_another_number_than_the_images_are_named(write_mnist, root, cache):
    raw, *_ = write_mnist()
    shutil.copy(raw / "t10k-labels-idx1-ubyte", raw / "train-labels-idx1-ubyte")
    with pytest.raises(RequestError, match="train-labels-idx1-ubyte"):
        open_data("mnist", root, cache)


def test_broken_cifar_batch_is_named(write_cifar_python, root, cache):
    broken = write_cifar_python() / "data_batch_4"
    broken.write_bytes(broken.read_bytes()[:500])
    with pytest.raises(RequestError, match=str(broken)):
        open_data("cifar10", root, cache)


class Malicious:
    def __reduce__(self):
        return print, ("this must never run",)


def test_a_pickle_that_runs_code_is_refused(write_cifar_python, root, cache, capsys):
    broken = write_cifar_python() / "test_batch"
    broken.write_bytes(pickle.dumps({b"data": Malicious(), b"labels": []}, protocol=2))
    with pytest.raises(RequestError, match="test_batch"):
        open_data("cifar10", root, cache)
    assert "must never run" not in capsys.readouterr().out


def test_broken_parquet_is_named(write_parquet, root, cache):
    folder, _ = write_parquet()
    broken = folder / "test-00000-of-00001.parquet"
    broken.write_bytes(broken.read_bytes()[:300])
    with pytest.raises(RequestError, match=str(broken)):
        open_data("cifar10", root, cache)


def test_parquet_without_labels_names_its_columns(write_parquet, root, cache):
    write_parquet(column="picture")
    with pytest.raises(RequestError, match=r"got columns \['picture', 'label'\]"):
        open_data("cifar10", root, cache)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG"])
def test_a_broken_image_in_parquet_is_named_by_file_and_row(image_format, write_parquet, root, cache):
    write_parquet(image_format, broken_image=7)
    with pytest.raises(RequestError, match=r"train-00000-of-00001\.parquet: image 7 is broken"):
        open_data("cifar10", root, cache)


def test_a_missing_part_of_parquet_is_noticed(write_parquet, root, cache):
    folder, _ = write_parquet(parts=2)
    (folder / "train-00001-of-00002.parquet").unlink()
    with pytest.raises(RequestError, match=r"got 1 train-\*.parquet, expected 2"):
        open_data("cifar10", root, cache)


def test_image_folder_takes_images_of_any_size(write_folders, root, cache):
    write_folders("pets")
    source = {"_target_": "trainlab.data.image_folder.ImageFolder", "folder": "pets"}
    data = open_data(source, root, cache, image_size=16, channels=3)
    assert data.in_shape_CHW == (3, 16, 16)
    assert data.classes == ("cat", "dog")
    assert (len(data.train), len(data.test)) == (10, 10)
    assert data.train.y_N[:4].tolist() == [0, 1, 0, 1]  # in turns, so that no prefix holds one class only
    assert data.train.x_NHWC[1, 0, 0].tolist() == [20, 20, 20]


def image_folder(folder):
    return {"_target_": "trainlab.data.image_folder.ImageFolder", "folder": folder}


def test_image_folder_without_test_cuts_one_and_says_so(write_folders, root, cache):
    write_folders("pets", splits=("train",), images=10)
    data = open_data(image_folder("pets"), root, cache, image_size=8, channels=1)
    assert (len(data.train), len(data.test)) == (16, 4)
    assert np.bincount(data.test.y_N).tolist() == [2, 2]
    assert "test split cut from train" in data.copy
    values = np.concatenate([data.train.x_NHWC[:, 0, 0, 0], data.test.x_NHWC[:, 0, 0, 0]])
    assert sorted(values) == sorted([*range(10), *range(20, 30)])  # every image is in one split, once


def test_image_folder_takes_an_absolute_path(write_folders, root, cache, tmp_path):
    folder = write_folders("pets")
    data = open_data(image_folder(str(folder)), tmp_path / "elsewhere", cache, image_size=8, channels=3)
    assert len(data.train) == 10


@pytest.mark.parametrize(
    ("folder", "message"),
    [(None, "data.folder is not set.*pets"), ("pest", "no images in .*pest: expected train/<class>.*pets")],
)
def test_image_folder_that_is_not_there_lists_what_is(folder, message, write_folders, root, cache):
    write_folders("pets")
    with pytest.raises(RequestError, match=message):
        open_data(image_folder(folder), root, cache, image_size=8, channels=3)


def test_a_folder_that_lies_here_or_is_train_itself_is_told_how_to_be_named(
    write_folders, root, cache, tmp_path, monkeypatch
):
    folder = write_folders("pets")
    for named in ("pets/train", str(folder / "train")):
        with pytest.raises(RequestError, match=rf"holds train/: set data\.folder={folder}$"):
            open_data(image_folder(named), root, cache, image_size=8, channels=3)
    monkeypatch.chdir(folder.parent)
    with pytest.raises(RequestError, match=rf"looked for in paths\.data: set data\.folder={folder}$"):
        open_data(image_folder("pets"), tmp_path / "elsewhere", cache, image_size=8, channels=3)


def test_a_class_without_test_images_is_told_once(write_folders, root, cache):
    folder = write_folders("pets")
    shutil.rmtree(folder / "test" / "dog")
    data = open_data(image_folder("pets"), root, cache, image_size=8, channels=3)
    assert [note for note in data.notes if "without test images" in note] == [
        "classes without test images: dog"
    ]


def test_image_folder_needs_a_size(write_folders, root, cache):
    write_folders("pets")
    with pytest.raises(RequestError, match=r"data\.image_size and data\.channels: got null"):
        open_data(image_folder("pets"), root, cache)


def test_a_truncated_image_is_named(write_folders, root, cache):
    folder = write_folders("pets")
    broken = folder / "train" / "dog" / "3.png"
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(broken)
    broken.write_bytes(broken.read_bytes()[:2000])
    with pytest.raises(RequestError, match=str(broken)):
        open_data(image_folder("pets"), root, cache, image_size=8, channels=3)


def test_a_text_called_png_is_named(write_folders, root, cache):
    folder = write_folders("pets")
    (folder / "test" / "cat" / "notes.png").write_text("hello")
    with pytest.raises(RequestError, match=r"notes\.png"):
        open_data(image_folder("pets"), root, cache, image_size=8, channels=3)


def test_an_empty_class_and_a_class_of_test_alone_are_refused(write_folders, root, cache):
    folder = write_folders("pets")
    (folder / "test" / "bird").mkdir()
    with pytest.raises(RequestError, match="bird holds no images"):
        open_data(image_folder("pets"), root, cache, image_size=8, channels=3)
    shutil.copy(folder / "test" / "cat" / "0.png", folder / "test" / "bird" / "0.png")
    with pytest.raises(RequestError, match=r"test has.*bird"):
        open_data(image_folder("pets"), root, cache, image_size=8, channels=3)


def test_files_that_are_no_images_are_passed_over(write_folders, root, cache):
    folder = write_folders("pets")
    (folder / "train" / "cat" / "Thumbs.db").write_text("x")
    (folder / "train" / "cat" / "._0.png").write_text("x")
    (folder / "train" / ".cache").mkdir()
    assert len(open_data(image_folder("pets"), root, cache, image_size=8, channels=3).train) == 10


def test_three_of_four_idx_files_are_no_mnist(write_mnist, root, no_network):
    raw, *_ = write_mnist()
    (raw / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(RequestError, match=r"data set 'mnist' not found.*t10k-labels-idx1-ubyte is missing"):
        mnist().find(root)
