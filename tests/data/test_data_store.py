"""The decoded cache: built once by whoever comes first, whole or not there, shared, resized once."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from trainlab.data import load_images
from trainlab.data.decoded_cache import channel_statistics
from trainlab.data.image_conversion import to_pixels
from trainlab.errors import RequestError

SLOW_SOURCE = """
import os, time
from pathlib import Path
import numpy as np
from trainlab.data import DatasetHandle, Decoded, Examples

class Slow:
    def find(self, root):
        self.root = Path(root)
        return DatasetHandle("slow", self.read, recipe="slow", shape_HWC=(4, 4, 1))

    def read(self):
        (self.root / f"read by {os.getpid()}").write_text("")
        time.sleep(0.5)
        x, y = np.zeros((8, 4, 4), np.uint8), np.arange(8) % 2
        return Decoded(Examples(x, y), Examples(x, y), ("a", "b"))
"""


def test_processes_that_come_at_once_decode_once(root, cache, tmp_path):
    (tmp_path / "slow_source.py").write_text(SLOW_SOURCE)
    node = {"_target_": "slow_source.Slow"}
    load = f"load_images({node}, {str(root)!r}, {str(cache)!r})"
    code = f"from trainlab.data import load_images; print(len({load}.test))"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "TRAINLAB_ALLOW": "slow_source."}
    command = [sys.executable, "-c", code]
    runs = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [run.communicate(timeout=60)[0].strip() for run in runs] == ["8"] * 3
    assert len(list(root.glob("read by *"))) == 1


def test_the_arrays_are_mapped_read_only_and_not_decoded_again(write_mnist, root, cache):
    raw, *_ = write_mnist()
    data = load_images("mnist", root, cache)
    assert isinstance(data.train.x_NHWC.base, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        data.train.x_NHWC[0] = 0
    (stored,) = (
        folder for folder in cache.iterdir() if folder.name.startswith(data.fingerprint) and folder.is_dir()
    )
    modified = (stored / "train_x.npy").stat().st_mtime_ns
    load_images("mnist", root, cache)
    assert (stored / "train_x.npy").stat().st_mtime_ns == modified
    assert raw.is_dir()


def test_what_a_killed_process_left_is_cleared(write_mnist, root, cache):
    write_mnist()
    fingerprint = load_images("mnist", root, cache).fingerprint
    whole = cache / f"{fingerprint}-28x28x1-v2"
    partial = whole.with_suffix(".partial")
    whole.rename(partial)
    (partial / "train_x.npy").write_bytes(b"half")
    assert len(load_images("mnist", root, cache, val_size=0).train) == 40
    assert not partial.exists()


def test_a_damaged_cache_is_named(write_mnist, root, cache):
    write_mnist()
    fingerprint = load_images("mnist", root, cache).fingerprint
    stored = cache / f"{fingerprint}-28x28x1-v2"
    (stored / "train_x.npy").write_bytes((stored / "train_x.npy").read_bytes()[:500])
    with pytest.raises(RequestError, match=f"damaged cache {stored}.*delete it"):
        load_images("mnist", root, cache)


@pytest.mark.parametrize("name", ["shapeset", "mnist"])
def test_a_cache_that_cannot_be_written_is_told(name, write_mnist, root, tmp_path):
    write_mnist()
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match=r"paths\.cache .*file/cache cannot be written: Not a directory"):
        load_images(name, root, tmp_path / "file" / "cache")


def test_a_read_only_root_works(write_mnist, root, cache):
    write_mnist()
    before = sorted(root.rglob("*"))
    for folder in (root, root / "MNIST", root / "MNIST" / "raw"):
        folder.chmod(0o555)
    try:
        assert len(load_images("mnist", root, cache, val_size=0).train) == 40
    finally:
        for folder in (root, root / "MNIST", root / "MNIST" / "raw"):
            folder.chmod(0o755)
    assert sorted(root.rglob("*")) == before


def test_statistics_are_those_of_the_official_training_split(write_parquet, root, cache):
    _, x_NHWC = write_parquet()
    data = load_images("cifar10", root, cache, val_size=5, train_size=3, num_classes=4)
    unit = x_NHWC.astype(np.float64) / 255
    assert np.allclose(data.mean_C, unit.mean(axis=(0, 1, 2)), rtol=1e-12)
    assert np.allclose(data.std_C, unit.std(axis=(0, 1, 2)), rtol=1e-12)


@given(st.lists(st.integers(0, 255), min_size=1, max_size=50))
def test_channel_statistics_equal_their_definition(values):
    mean_C, std_C = channel_statistics(np.bincount(values, minlength=256)[None])
    assert np.isclose(mean_C[0], np.mean(values) / 255, atol=1e-12)
    assert np.isclose(std_C[0], np.std(values) / 255, atol=1e-12)


@pytest.mark.parametrize(("image_size", "channels"), [(28, 3), (14, 1), (32, 1), (56, 3)])
def test_size_and_channels_are_changed_once_at_decoding(image_size, channels, write_mnist, root, cache):
    _, train_x, *_ = write_mnist()
    data = load_images("mnist", root, cache, image_size=image_size, channels=channels, val_size=0)
    assert data.in_shape_CHW == (channels, image_size, image_size)
    resized = Image.fromarray(train_x[3]).resize((image_size, image_size), Image.Resampling.BILINEAR)
    expected = np.asarray(resized)[:, :, None].repeat(channels, axis=2)
    assert (data.train.x_NHWC[3] == expected).all()
    assert len(data.mean_C) == channels
    native = load_images("mnist", root, cache)
    assert native.in_shape_CHW == (1, 28, 28)
    assert native.fingerprint == data.fingerprint


def test_shrinking_is_antialiased():
    checkerboard = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    small = to_pixels(checkerboard, (16, 16, 1))
    assert abs(small[2:-2, 2:-2].astype(int) - 127).max() <= 2


def test_another_shape_is_cropped_about_its_centre():
    wide = np.zeros((10, 30, 3), dtype=np.uint8)
    wide[:, 10:20] = 200
    assert (to_pixels(wide, (10, 10, 3)) == 200).all()


def test_colour_becomes_grey_by_its_luma():
    red = np.full((4, 4, 3), (255, 0, 0), dtype=np.uint8)
    assert to_pixels(red, (4, 4, 1)).flatten().tolist() == [76] * 16  # 0.299 · 255


def test_sixteen_bit_grey_is_scaled_not_clipped():
    deep = Image.fromarray(np.full((4, 4), 0x8000, dtype=np.uint16))
    assert (to_pixels(deep, (4, 4, 1)) == 128).all()


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "CMYK"])
def test_every_usual_mode_is_read(mode):
    image = Image.new("RGB", (6, 5), (255, 255, 255)).convert(mode)
    assert (to_pixels(image, (5, 6, 3)) == 255).all()


def test_what_is_stored_names_its_classes(write_mnist, root, cache):
    write_mnist()
    fingerprint = load_images("mnist", root, cache).fingerprint
    meta = json.loads((cache / f"{fingerprint}-28x28x1-v2" / "meta.json").read_text())
    assert meta["classes"] == list("0123456789")
