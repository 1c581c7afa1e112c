"""A composed configuration becomes the checked, frozen settings of a run."""

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from trainlab.config.hydra_messages import COMPOSITION_ERRORS, one_line
from trainlab.config.options import canonical_option, catalogue, package_conf
from trainlab.config.overrides import check_overrides, quote_text_values
from trainlab.config.user_code import UserCodeDigests
from trainlab.config.validation import validate_settings
from trainlab.data.dataset_sources import with_data_paths
from trainlab.data.fingerprint import identify_dataset
from trainlab.errors import RequestError
from trainlab.instantiate import mark_trusted
from trainlab.runs.identity import run_id

# The axes whose option names are recorded, for people; identity goes by content.
NAMED_AXES = (
    "activation", "init", "normalization", "norm_layer", "pool", "model", "data",
    "augment", "optimizer", "scheduler",
)  # fmt: skip
# Parts of a composition that are no settings of a run; presets and debugging act through the others.
NOT_RUN_SETTINGS = ("hydra", "sweep", "debug", "experiment")


def compose(overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The frozen settings of one run of the user's own, by Hydra's own composition (about 0.2 s).

    Raises:
        RequestError: an override that does not parse, names nothing that exists, or is out of range.
    """
    check_overrides(overrides)
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(package_conf()), version_base="1.3"):
        try:
            config = hydra_compose("train", quote_text_values(overrides), return_hydra_config=True)
        except COMPOSITION_ERRORS as error:
            raise RequestError(one_line(error)) from None
        return mark_trusted(freeze(config, config.hydra.runtime.choices))


def freeze(config: DictConfig, choices: Mapping[str, str]) -> dict[str, Any]:
    """A composed config as plain settings: resolved, checked, with canonical option names in `axes`.

    Nobody's own yet: whoever knows that the overrides are the user's marks them so
    (`trainlab.instantiate.mark_trusted`).

    Raises:
        RequestError: a value of the wrong type or out of range, or an interpolation that leads nowhere.
    """
    try:
        check_global_package(config, choices)
        settings = OmegaConf.to_container(
            OmegaConf.masked_copy(config, [k for k in config if k not in NOT_RUN_SETTINGS]), resolve=True
        )
    except OmegaConfBaseException as error:
        raise RequestError(one_line(error)) from None
    assert isinstance(settings, dict)
    return complete({str(k): v for k, v in settings.items()}, choices)


def check_global_package(config: Mapping[str, Any], choices: Mapping[str, str | None]) -> None:
    """A preset acts on all settings only where its file says so; else it would be dropped without a word.

    Raises:
        RequestError: with the line to add, and where.
    """
    for axis in ("experiment", "debug"):
        if config.get(axis):
            name = choices.get(axis)
            path = next((o.path for n, o in catalogue(axis).items() if n == name), f"{axis}/{name}.yaml")
            raise RequestError(
                f"{axis}={name}: its settings would go nowhere; expected '# @package _global_' as the first "
                f"line of {path}"
            )


def complete(settings: dict[str, Any], choices: Mapping[str, str]) -> dict[str, Any]:
    """Resolved settings, checked and completed: names of the options, budget, absolute paths."""
    settings["axes"] = {axis: canonical_option(axis, choices[axis]) for axis in NAMED_AXES}
    settings = validate_settings(settings)
    settings["axes"]["depth"] = settings["depth"]
    _check_size_axes(settings)
    trainer = settings["trainer"]
    if trainer["max_epochs"] is None and trainer["max_steps"] is None:
        trainer["max_epochs"] = settings["data"]["default_epochs"]
    settings["paths"] = {
        k: os.path.abspath(Path(v).expanduser())  # noqa: PTH100 - symbolic links stay as the user named them
        for k, v in settings["paths"].items()
    }
    return settings


def _check_size_axes(settings: dict[str, Any]) -> None:
    """`depth` and `width` are for models that have them: never silently nothing."""
    for axis in ("depth", "width"):
        has_it = axis in settings["model"]
        if settings[axis] is not None and not has_it:
            having = [
                name for name, o in catalogue("model").items() if f"{axis}: ${{{axis}}}" in o.path.read_text()
            ]
            raise RequestError(
                f"{axis}={settings[axis]}: {settings['axes']['model']} has no {axis}; "
                f"models that have one: {', '.join(having)}"
            )
        if has_it and settings[axis] is None:
            raise RequestError(f"{axis}=null: {settings['axes']['model']} needs a {axis}, an integer from 1")


def identify(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings with `fingerprint`, `copy` (of the data), `own_code` and `run_id` beside them.

    Raises:
        RequestError: the data are missing, with what was looked for and where.
    """
    data = with_data_paths(settings, partial(identify_dataset, settings["data"]["source"]))
    return with_identity(settings, data.fingerprint, data.copy, UserCodeDigests())


def with_identity(
    settings: dict[str, Any], fingerprint: str, copy: str, own_code: UserCodeDigests
) -> dict[str, Any]:
    """The same where the data are known already, and perhaps the code."""
    settings = own_code.beside(settings)
    return {**settings, "fingerprint": fingerprint, "copy": copy, "run_id": run_id(settings, fingerprint)}
