"""The identity of data: exchanged or damaged files are noticed, notes are remembered."""

import json
import shutil

import pytest
from bright_images import load, mnist_files, write, write_pets

from trainlab.data import fingerprint, identify_dataset
from trainlab.data.files import file_kind
from trainlab.data.formats import class_folders
from trainlab.errors import RequestError


def test_the_fingerprint_of_well_formed_class_folders_is_what_it_always_was(root, cache):
    for split in ("train", "test"):
        for label in ("cat", "dog"):
            write(root / "pets" / split / label, {f"{i}.pgm": b"P5 1 1 255\n" + bytes([i]) for i in range(3)})
    source = {"_target_": "trainlab.data.image_folder.ImageFolder", "folder": "pets"}
    assert identify_dataset(source, root, cache)[:2] == ("309948ec107d066b", "class folders")


def test_content_that_is_exchanged_with_its_size_and_time_kept_is_noticed(root, cache):
    import os

    write(root / "MNIST" / "raw", mnist_files())
    first = identify_dataset("mnist", root, cache)
    path = root / "MNIST" / "raw" / "train-images-idx3-ubyte"
    state, content = path.stat(), bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert identify_dataset("mnist", root, cache)[0] != first[0]


def test_a_flipped_byte_in_the_cache_is_noticed_and_a_copied_cache_is_not(root, cache, tmp_path):
    write(root / "MNIST" / "raw", mnist_files())
    load("mnist", root, cache)
    shutil.copytree(cache, tmp_path / "copied", copy_function=shutil.copyfile)
    assert len(load("mnist", root, tmp_path / "copied").train) == 40
    (stored,) = cache.glob("*/train_x.npy")
    content = bytearray(stored.read_bytes())
    content[-1] ^= 1
    stored.write_bytes(content)
    with pytest.raises(
        RequestError, match=r"damaged cache .*train_x\.npy is not what was written; delete it"
    ):
        load("mnist", root, cache)


def test_remembered_notes_are_told_again(root, cache, monkeypatch):
    write(root / "MNIST" / "raw", mnist_files())
    first = load("mnist", root, cache).notes
    monkeypatch.setattr(fingerprint, "content_fingerprint", None)
    assert load("mnist", root, cache).notes == first != ()


@pytest.mark.parametrize("head", [b"", b"\0" * 40, b"PK\x03\x04", b"....ftypavif....", b"\n<!DOCTYPE html>"])
def test_files_are_known_by_how_they_begin(head):
    assert file_kind(head)
    assert file_kind(b"hello") is None


def test_all_usual_names_of_splits_are_known():
    names = [name for of_split in class_folders.SPLIT_FOLDER_NAMES.values() for name in of_split]
    assert len(names) == len(set(names)) and {"train", "test", "val", "valid", "validation"} <= set(names)


def test_what_is_odd_about_the_data_is_said_once_and_kept_in_the_record(root, tmp_path, call_command):
    folder = write_pets(root, images=8)
    shutil.copy(folder / "train" / "a" / "0.png", folder / "train" / "a" / "x.heic")
    asked = [
        "data=image_folder",
        "data.folder=pets",
        "data.image_size=8",
        "data.channels=1",
        "data.batch_size=8",
    ]
    asked += ["model=mlp", "trainer=cpu", "trainer.threads=1", "trainer.max_steps=1", "logger=none"]
    paths = {"data": root, "cache": tmp_path / "cache", "runs": tmp_path / "runs"}
    asked += [f"paths.{name}={path}" for name, path in paths.items()]
    code, printed, _ = call_command("train", *asked)
    assert code == 0 and printed.count("data: 1 files passed over: 1 .heic") == 1
    (result,) = (tmp_path / "runs").glob("*/result.json")
    assert json.loads(result.read_text())["data"]["notes"][0].startswith("1 files passed over: 1 .heic")
