"""Every YAML of conf/data and conf/augment builds what it describes, and agrees with the data."""

from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from trainlab.data import build_source, load_images
from trainlab.data.augment import augment_generator
from trainlab.data.dataset_sources import BUILT_IN
from trainlab.instantiate.allowlist import current_name

CONF = Path(__file__).parents[2] / "conf"
DATA = sorted((CONF / "data").glob("*.yaml"))
AUGMENT = sorted((CONF / "augment").glob("*.yaml"))
COMMON = {
    "name", "source", "image_size", "channels", "num_classes", "batch_size", "train_size", "val_size",
    "test_size", "split_seed", "default_epochs",
}  # fmt: skip


def settings_of(path):
    return OmegaConf.to_container(OmegaConf.create({"data": OmegaConf.load(path)}), resolve=True)["data"]


def test_every_built_in_source_has_its_option():
    assert {path.stem for path in DATA} == set(BUILT_IN)


@pytest.mark.parametrize("path", [*DATA, *AUGMENT], ids=lambda path: path.stem)
def test_an_option_begins_with_one_line_on_what_it_is(path):
    first, second, *_ = path.read_text().splitlines()
    assert first.startswith("# ")
    assert not second.startswith("#") or second.startswith("# Paper: ")


@pytest.mark.parametrize("path", DATA, ids=lambda path: path.stem)
def test_a_data_option_builds_its_source(path):
    settings = settings_of(path)
    assert set(settings) >= COMMON
    assert settings["name"] == path.stem
    assert settings["batch_size"] == 128
    assert current_name(settings["source"]["_target_"]) == BUILT_IN[path.stem]
    build_source(settings["source"])


def load(name, root, cache):
    settings = settings_of(CONF / "data" / f"{name}.yaml")
    used = ("image_size", "channels", "num_classes", "val_size", "train_size", "test_size", "split_seed")
    data = load_images(settings["source"], root, cache, **{key: settings[key] for key in used})
    assert data.in_shape_CHW == (settings["channels"], settings["image_size"], settings["image_size"])
    assert data.num_classes == settings["num_classes"]
    assert len(data.val) == settings["val_size"]


@pytest.mark.parametrize("name", ["digits", "shapeset"])
def test_a_data_option_agrees_with_its_data(name, root, cache):
    load(name, root, cache)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_a_data_option_agrees_with_its_real_data(name, real_root, real_cache):
    load(name, real_root, real_cache)


@pytest.mark.parametrize("path", AUGMENT, ids=lambda path: path.stem)
def test_an_augment_option_keeps_shape_and_type(path):
    option = instantiate(OmegaConf.load(path))
    x_NCHW = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    out_NCHW = option(x_NCHW, augment_generator(0, 0))
    assert (out_NCHW.shape, out_NCHW.dtype) == (x_NCHW.shape, torch.uint8)
