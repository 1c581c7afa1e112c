"""What Hydra does not document and we rely on: a new version that changes it fails here, by name."""

import inspect

import pytest
from hydra import __version__
from hydra.core.default_element import ResultDefault
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from trainlab.config import hydra_internals
from trainlab.config.options import package_conf

CHANGED = f"Hydra {__version__} has changed what trainlab.config.hydra_internals relies on: "


@pytest.fixture(scope="module")
def loader():
    return hydra_internals.make_loader(package_conf())


def test_a_loader_needs_no_global_state(loader):
    running = GlobalHydra.instance().hydra
    config = hydra_internals.compose(loader, "train", ["activation=tanh", "seed=3"])
    assert GlobalHydra.instance().hydra is running, CHANGED + "composing sets Hydra's global state"
    assert (config.activation._target_, config.seed) == ("torch.nn.Tanh", 3), CHANGED + "load_configuration"


def test_the_choices_of_groups_stand_in_the_composed_configuration(loader):
    config = hydra_internals.compose(loader, "train", ["activation=tanh"])
    choices = hydra_internals.option_choices(config)
    assert choices["activation"] == "tanh" and "hydra/launcher" in choices, CHANGED + "hydra.runtime.choices"


def test_the_grid_of_a_preset_is_where_sweepers_keep_it(loader):
    config = hydra_internals.compose(loader, "train", ["experiment=phase_tanh"])
    assert "depth" in hydra_internals.sweeper_params(config), CHANGED + "hydra.sweeper.params"


def test_files_are_read_through_one_repository(loader):
    repository = hydra_internals.open_repository(loader, "train", [])
    assert repository.group_exists("activation") and not repository.group_exists("seed"), (
        CHANGED + "ConfigLoaderImpl._parse_overrides_and_create_caching_repo"
    )
    loaded = repository.load_config("activation/relu")
    assert loaded is not None and isinstance(loaded.config, DictConfig)
    assert loaded.config._target_ == "torch.nn.ReLU", CHANGED + "CachingConfigRepository.load_config"


def test_the_defaults_list_follows_from_the_choices(loader):
    repository = hydra_internals.open_repository(loader, "train", [])
    chosen = [hydra_internals.option_override("activation", "tanh")]
    entries, known = hydra_internals.defaults_list(repository, "train", chosen)
    paths = [entry.config_path for entry in entries]
    assert all(isinstance(entry, ResultDefault) for entry in entries), CHANGED + "ResultDefault"
    assert "activation/tanh" in paths and "activation/relu" not in paths, CHANGED + "create_defaults_list"
    assert not any((path or "").startswith("hydra/") for path in paths)
    assert known["activation"] == "tanh" and known["init"] == "kaiming", CHANGED + "known_choices"


def test_a_file_of_the_defaults_list_is_read_in_its_package(loader):
    repository = hydra_internals.open_repository(loader, "train", [])
    entries, _ = hydra_internals.defaults_list(repository, "train", [])
    (entry,) = [entry for entry in entries if entry.config_path == "activation/relu"]
    content = hydra_internals.load_entry(loader, repository, entry)
    assert content["activation"]["_target_"] == "torch.nn.ReLU", CHANGED + "_load_single_config"


def test_one_value_of_a_sweep_is_an_override_of_its_own(loader):
    (override,) = hydra_internals.parse_overrides(loader, ["seed=1,2"])
    single = hydra_internals.single_value(override, 2)
    assert single.value() == 2 and single.input_line == "seed=2", CHANGED + "Override._value"
    assert not single.is_sweep_override() and override.is_sweep_override(), CHANGED + "Override.value_type"
    assert "_value" in inspect.signature(Override).parameters, CHANGED + "Override is a dataclass of _value"


def test_a_range_says_its_bounds(loader):
    (override,) = hydra_internals.parse_overrides(loader, ["optimizer.lr=range(0.1,0.4,0.1)"])
    found = hydra_internals.range_sweep(override)
    assert found is not None and (found.start, found.stop, found.step) == (0.1, 0.4, 0.1), (
        CHANGED + "RangeSweep"
    )
    (plain,) = hydra_internals.parse_overrides(loader, ["seed=1"])
    assert hydra_internals.range_sweep(plain) is None
