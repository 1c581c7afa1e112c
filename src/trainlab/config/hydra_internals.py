"""What leans on parts of Hydra that it does not document, each behind one function.

`tests/config/test_hydra_internals.py` holds each of them to what is relied on, and says which one has changed
when Hydra does. Nothing else of trainlab imports `hydra._internal` or reads a private attribute of Hydra's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository, IConfigRepository
from hydra._internal.defaults_list import create_defaults_list
from hydra._internal.utils import create_config_search_path
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_store import ConfigStore
from hydra.core.default_element import ResultDefault
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import (
    ElementType,
    Override,
    OverrideType,
    RangeSweep,
    Transformer,
    ValueType,
)
from hydra.core.utils import setup_globals
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

VERSION_BASE = "1.3"
"""The version of Hydra whose defaults are meant."""


OTHER_AXES = "other_axes"
"""The entry of `conf/train.yaml` that brings the axes which that file does not list."""


def register_axes(defaults: Mapping[str, str]) -> None:
    """Axes and their default options, which Hydra then knows beside those of the files."""
    node: dict[str, object] = {"defaults": [{axis: option} for axis, option in defaults.items()]}
    ConfigStore.instance().store(name=OTHER_AXES, node=node)


def make_loader(folder: Path) -> ConfigLoader:
    """What reads the configuration in a folder, with the search path that plugins make of it.

    Hydra's global state stays as it is: this can be called while an application of Hydra's is at work.
    """
    version.setbase(VERSION_BASE)
    setup_globals()
    return ConfigLoaderImpl(config_search_path=create_config_search_path(str(folder)))


def compose(loader: ConfigLoader, config_name: str, lines: Sequence[str]) -> DictConfig:
    """One configuration, whole, with Hydra's own part of it (about 0.2 s)."""
    return loader.load_configuration(config_name, list(lines), RunMode.RUN)


def option_choices(config: DictConfig) -> dict[str, str]:
    """The option of each group in a composed configuration."""
    choices = OmegaConf.to_container(config.hydra.runtime.choices)
    assert isinstance(choices, dict)
    return {str(group): str(option) for group, option in choices.items()}


def parse_overrides(loader: ConfigLoader, lines: Sequence[str]) -> list[Override]:
    """Overrides read by Hydra's grammar; `glob()` finds the options of the loader."""
    return OverridesParser.create(config_loader=loader).parse_overrides(list(lines))


def open_repository(loader: ConfigLoader, config_name: str, lines: Sequence[str]) -> CachingConfigRepository:
    """The files that a loader reads, each read once."""
    assert isinstance(loader, ConfigLoaderImpl)
    return loader._parse_overrides_and_create_caching_repo(config_name, list(lines))[1]


def defaults_list(
    repository: IConfigRepository, config_name: str, overrides: list[Override]
) -> tuple[tuple[ResultDefault, ...], dict[str, str | None]]:
    """The files of a composition in their order, without Hydra's own, and the option of each group."""
    found = create_defaults_list(repository, config_name, overrides, prepend_hydra=True, skip_missing=False)
    ours = tuple(e for e in found.defaults if not (e.config_path or "").startswith("hydra/"))
    return ours, dict(found.overrides.known_choices)


def load_entry(
    loader: ConfigLoader, repository: IConfigRepository, entry: ResultDefault
) -> dict[str, object]:
    """What a file of the defaults list says, in its package, interpolations as they stand."""
    assert isinstance(loader, ConfigLoaderImpl)
    content = OmegaConf.to_container(loader._load_single_config(entry, repository).config, resolve=False)
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def option_override(key: str, option: str | None) -> Override:
    """The override that chooses an option of a group, `model` or `optimizer@extra`."""
    group, _, package = key.partition("@")
    return Override(OverrideType.CHANGE, group, None, option, package or None, f"{key}={option}")


def single_value(override: Override, value: ElementType) -> Override:
    """The same override with one of the values that it sweeps over."""
    line = f"{override.get_key_element()}={Transformer.str(value)}"
    return replace(override, value_type=ValueType.ELEMENT, _value=value, input_line=line)


def range_sweep(override: Override) -> RangeSweep | None:
    """The `range()` that an override sweeps over; None where it is something else."""
    return override._value if isinstance(override._value, RangeSweep) else None


def sweeper_params(config: DictConfig) -> Mapping[str, object]:
    """The grid that a preset brings."""
    params = OmegaConf.select(config, "hydra.sweeper.params")
    grid = OmegaConf.to_container(params) if params is not None else {}
    assert isinstance(grid, dict)
    return {str(key): values for key, values in grid.items()}
