"""Sources: built-in ones by name, one's own by `_target_`, their identity without decoding, without torch."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainlab.data import DatasetHandle, Decoded, Examples, build_source, identify_dataset, load_images
from trainlab.data import fingerprint as fingerprint_module
from trainlab.data.dataset_sources import BUILT_IN, Source
from trainlab.errors import RequestError
from trainlab.section import Component


class Stripes:
    """A source of one's own, as its user would write it."""

    def __init__(self, classes=2, images=20):
        self.classes, self.images = classes, images

    def find(self, root):
        return DatasetHandle(
            "stripes", self.read, recipe=f"stripes {self.classes} {self.images}", shape_HWC=(6, 4, 1)
        )

    def read(self):
        y_N = np.arange(self.images) % self.classes
        x_NHW = np.broadcast_to(y_N[:, None, None], (self.images, 6, 4)).astype(np.uint8)
        return Decoded(Examples(x_NHW, y_N), Examples(iter(x_NHW), y_N), tuple("abc"[: self.classes]))


class Broken(Stripes):
    def __init__(self, fault):
        super().__init__()
        self.fault = fault

    def read(self):
        decoded = super().read()
        images: list[Any] = list(decoded.train.images)
        unreadable: Any = (Path(f"/no/{image.ndim}").read_bytes() for image in images)
        train = {
            "float": Examples([image / 255 for image in images], decoded.train.y_N),
            "few": Examples(images[:-1], decoded.train.y_N),
            "many": Examples([*images, images[0]], decoded.train.y_N),
            "label": Examples(images, decoded.train.y_N + 1),
            "none": Examples([], decoded.train.y_N[:0]),
            "missing": Examples(unreadable, decoded.train.y_N),
        }
        return Decoded(train[self.fault], decoded.test, decoded.classes)


OWN = Component.model_validate({"_target_": f"{__name__}.Stripes", "classes": 3, "images": 30}).trusted()


def test_a_source_of_ones_own_works_by_name_and_as_object(root, cache):
    named = load_images(OWN, root, cache, val_size=3)
    assert named.in_shape_CHW == (1, 6, 4)
    assert named.classes == ("a", "b", "c")
    assert (named.train.x_NHWC[:, 0, 0, 0] == named.train.y_N).all()
    assert named.copy == "stripes"
    assert load_images(Stripes(3, 30), root, cache).fingerprint == named.fingerprint
    assert identify_dataset(OWN, root, cache)[:2] == (named.fingerprint, "stripes")
    assert identify_dataset(OWN.replace(images=40), root, cache)[0] != named.fingerprint


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("float", r"got float64 of shape \(6, 4\), expected uint8"),
        ("few", "train split: got 19 images for 20 labels"),
        ("many", "train split: got 21 images for 20 labels"),
        ("label", r"train labels: got 1\.\.2, expected at least one, each of 0\.\.1"),
        ("none", "train labels: got none"),
        ("missing", "images cannot be read: .*/no/2"),
    ],
)
def test_what_a_source_gets_wrong_is_told(fault, message, root, cache):
    with pytest.raises(RequestError, match=message):
        load_images(Broken(fault), root, cache)
    assert not [path for path in cache.iterdir() if path.suffix == ".partial"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("mnits", "unknown data set 'mnits': did you mean 'mnist'"),
        ({"_target_": "no_such_module.Source"}, "data.source .*no_such_module"),
        ({"_target_": f"{__name__}.Stripes", "colour": 1}, "data.source .*colour"),
        ({"_target_": "pathlib.PurePath"}, "data.source: got a PurePosixPath, expected an object with find"),
        ({"_target_": "trainlab.data.shapeset.Shapeset", "train_images": 0}, "data.train_images: got 0"),
    ],
)
def test_what_is_no_source_is_refused_in_one_line(source, message, root, cache):
    with pytest.raises(RequestError, match=message) as told:
        node = source if isinstance(source, str) else Component.model_validate(source).trusted()
        load_images(node, root, cache)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_source_keeps_the_protocol(name):
    assert isinstance(build_source(name), Source)


def test_the_fingerprint_is_one_of_content(write_mnist, root, cache, tmp_path):
    write_mnist()
    mnist = {"_target_": BUILT_IN["mnist"]}
    first = identify_dataset(mnist, root, cache)
    assert identify_dataset(mnist, root, cache) == first
    assert identify_dataset(mnist, root, tmp_path / "another cache") == first
    moved = tmp_path / "moved"
    (root / "MNIST").rename(moved)
    (tmp_path / "elsewhere").mkdir()
    moved.rename(tmp_path / "elsewhere" / "MNIST")
    assert identify_dataset(mnist, tmp_path / "elsewhere", cache) == first
    changed = tmp_path / "elsewhere" / "MNIST" / "raw" / "train-images-idx3-ubyte"
    content = bytearray(changed.read_bytes())
    content[-1] ^= 1
    changed.write_bytes(content)
    os.utime(changed, ns=(0, 12345))
    assert identify_dataset(mnist, tmp_path / "elsewhere", cache)[0] != first[0]


def test_the_second_look_reads_no_content(write_mnist, root, cache, monkeypatch):
    write_mnist()
    mnist = {"_target_": BUILT_IN["mnist"]}
    first = identify_dataset(mnist, root, cache)
    monkeypatch.setattr(fingerprint_module, "content_fingerprint", None)
    assert identify_dataset(mnist, root, cache) == first


def test_a_damaged_memory_of_the_fingerprint_is_looked_up_again(write_mnist, root, cache):
    write_mnist()
    mnist = {"_target_": BUILT_IN["mnist"]}
    first = identify_dataset(mnist, root, cache)
    for remembered in (cache / "fingerprints").iterdir():
        remembered.write_text("{")
    assert identify_dataset(mnist, root, cache) == first


def test_class_folders_are_known_by_names_and_content(write_folders, root, cache):
    folder = write_folders("pets")
    pets = {"_target_": BUILT_IN["image_folder"], "folder": "pets"}
    first = identify_dataset(pets, root, cache)
    (folder / "train" / "cat" / "0.png").rename(folder / "train" / "cat" / "zero.png")
    assert identify_dataset(pets, root, cache)[0] != first[0]


def test_generated_sets_are_known_by_their_parameters(root, cache):
    shapeset = {"_target_": BUILT_IN["shapeset"], "train_images": 10, "test_images": 10}
    prints = {identify_dataset({**shapeset, "seed": seed}, root, cache)[0] for seed in (0, 1)}
    assert len(prints) == 2


def test_planning_needs_no_torch(root, cache):
    code = (
        "import sys\n"
        "from trainlab.data import identify_dataset, load_images\n"
        f"identify_dataset({{'_target_': {BUILT_IN['digits']!r}}}, {str(root)!r}, {str(cache)!r})\n"
        f"load_images('shapeset', {str(root)!r}, {str(cache)!r})\n"
        "assert 'torch' not in sys.modules\n"
        "assert 'sklearn' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize(
    ("name", "copy", "mean_C", "std_C"),
    [
        ("mnist", "official files", [0.1307], [0.3081]),
        ("fashion_mnist", "official files", [0.2860], [0.3530]),
        ("cifar10", "JPEG copy (parquet)", [0.4913, 0.4821, 0.4465], [0.2452, 0.2428, 0.2606]),
    ],
)
def test_the_real_copies(name, copy, mean_C, std_C, real_root, real_cache):
    data = load_images(name, real_root, real_cache, val_size=5000)
    official = {"cifar10": 50_000}.get(name, 60_000)
    assert (len(data.train), len(data.val), len(data.test)) == (official - 5000, 5000, 10_000)
    if data.copy == copy:  # TRAINLAB_DATA may hold another one
        assert np.allclose(data.mean_C, mean_C, atol=6e-5)
        assert np.allclose(data.std_C, std_C, atol=6e-5)
    whole = data.train.x_NHWC[:2000].astype(np.float64)
    assert np.allclose(whole.mean(axis=(0, 1, 2)) / 255, data.mean_C, atol=0.02)
    begin = time.perf_counter()
    identify_dataset({"_target_": BUILT_IN[name]}, real_root, real_cache)
    assert time.perf_counter() - begin < 0.1


def test_a_source_may_import_the_handle_by_its_released_name(tmp_path):
    from trainlab.data import Found

    class Released(Stripes):
        def find(self, root):
            return Found("stripes", self.read, recipe="as released", shape_HWC=(6, 4, 1))

    assert len(load_images(Released(), tmp_path, tmp_path / "cache").test) == 20
