"""Hydra as the application behind `trainlab train`: its flags, its sweepers and launchers, and its errors."""

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import hydra
from hydra.conf import HydraConf
from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from trainlab.config import hydra_internals
from trainlab.config.composer import Composer
from trainlab.config.composition import freeze, validate_sweep_settings
from trainlab.config.hydra_messages import COMPOSITION_ERRORS, is_composition_error, one_line
from trainlab.config.options import package_conf
from trainlab.config.overrides import check_overrides, quote_text_values
from trainlab.config.presets import add_preset_launcher, refuse_sweep_settings
from trainlab.errors import RequestError
from trainlab.settings import SECTIONS, Settings, SweepSettings

RunOne = Callable[[Settings, SweepSettings], None]
"""What does one run of these settings; the sweep's own settings are those of its command line."""

_FLAGS = (
    "--hydra-help", "--resolve", "--run", "-r", "--multirun", "-m", "--shell-completion", "-sc",
    "--info", "-i",
)  # fmt: skip
_FLAGS_WITH_VALUE = (
    "--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd",
    "--experimental-rerun",
)  # fmt: skip


def run_application(arguments: Sequence[str], run_one: RunOne) -> None:
    """Composes the arguments, and hands one run to `run_one`, or a sweep to the sweeper.

    Raises:
        RequestError: the request is wrong.
    """
    check_overrides(without_hydra_flags(arguments))
    words = add_preset_launcher(quote_text_values(arguments))
    # Hydra's parser wants its flags before the overrides; people write them anywhere
    flags = [word for word in words if word in ("-m", "--multirun")]
    if flags and {"--cfg", "-c", "--info", "-i"} & set(words):
        raise RequestError("--cfg and --info are about one run: expected no -m beside them")
    sys.argv = ["train.py", *flags, *(word for word in words if word not in flags)]
    composed: list[tuple[DictConfig, HydraConf]] = []

    def take(configuration: DictConfig) -> None:
        """Hydra calls it with the composed configuration of one run."""
        hydra_config = HydraConfig.get()
        if hydra_config.mode == RunMode.RUN:
            # the run begins once Hydra is done: it would print a line of its own before each error
            composed.append((configuration, hydra_config))
        else:
            _hand_over(configuration, hydra_config, run_one)

    _call_hydra(take, words)
    for configuration, hydra_config in composed:
        refuse_sweep_settings(hydra_config, configuration.sweep.run_timeout, configuration.sweep.stack)
        _hand_over(configuration, hydra_config, run_one)


def _call_hydra(take: Callable[[DictConfig], None], words: Sequence[str]) -> None:
    # exceptions are raised here instead of being printed over twenty lines with exit code 1
    os.environ["HYDRA_FULL_ERROR"] = "1"
    base = hydra_internals.VERSION_BASE
    try:
        hydra.main(config_path=str(package_conf()), config_name="train", version_base=base)(take)()
    except (HydraException, OmegaConfBaseException) as error:
        if isinstance(error.__cause__, RequestError):
            raise error.__cause__ from None
        raise RequestError(one_line(error)) from None
    except COMPOSITION_ERRORS as error:
        if not is_composition_error(error):
            raise
        shown = f": {' '.join(words)}" if str(error).startswith("Config group override") else ""
        raise RequestError(f"{one_line(error)}{shown}") from None  # activation=3


def _hand_over(configuration: DictConfig, hydra_config: HydraConf, run_one: RunOne) -> None:
    sweep = sweep_settings(configuration)
    run_one(freeze(configuration, hydra_config.runtime.choices, SECTIONS), sweep)


def sweep_settings(configuration: DictConfig) -> SweepSettings:
    """What a composed configuration says of its sweep. Raises RequestError."""
    values: Any = OmegaConf.to_container(configuration.sweep, resolve=True)
    return validate_sweep_settings(values)


def application_composer(loader: ConfigLoader, configuration: DictConfig) -> Composer:
    """What composes the jobs of the application that Hydra is running: this command line is the user's."""
    overrides: Any = OmegaConf.to_container(configuration.hydra.overrides.hydra)
    return Composer(SECTIONS, loader, configuration.hydra.job.config_name, overrides)


def without_hydra_flags(arguments: Sequence[str]) -> list[str]:
    """The arguments that are no flags of Hydra's: settings, and whatever was meant as one."""
    words, rest = [], list(arguments)
    while rest:
        word = rest.pop(0)
        flag, equals, _ = word.partition("=")
        has_value = flag in _FLAGS_WITH_VALUE or (flag in ("--info", "-i") and "=" not in "".join(rest[:1]))
        if has_value and not equals:
            del rest[:1]
        elif not has_value and flag not in _FLAGS:
            words.append(word)
    return words
