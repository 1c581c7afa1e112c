"""Overrides → Hydra's composition → one plain, checked dict: the frozen settings of a run."""

import os
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from trainlab.build import own
from trainlab.config.options import AXES, canonical, catalogue, package_conf, unreadable_option
from trainlab.config.overrides import as_hydra_reads
from trainlab.config.own_code import OwnCode
from trainlab.config.schema import validate
from trainlab.config.synonyms import unknown_option, unknown_setting
from trainlab.config.words import check_words, unreadable
from trainlab.data.located import with_places
from trainlab.data.sources import identify as identify_data
from trainlab.errors import RequestError, unknown
from trainlab.runs.identity import run_id

# The axes whose option names are recorded, for people; identity goes by content.
NAMED_AXES = (
    "activation", "init", "normalization", "norm_layer", "pool", "model", "data",
    "augment", "optimizer", "scheduler",
)  # fmt: skip
# Parts of a composition that are no settings of a run; presets and debugging act through the others.
NOT_OF_A_RUN = ("hydra", "sweep", "debug", "experiment")


COMPOSITION_FAULTS = (HydraException, OmegaConfBaseException, yaml.YAMLError, ValueError)
"""What Hydra raises for a request that is wrong: a ValueError also for a file that is no UTF-8 text."""


def compose(overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The frozen settings of one run of the user's own, by Hydra's own composition (about 0.2 s).

    Raises:
        RequestError: an override that does not parse, names nothing that exists, or is out of range.
    """
    check_words(overrides)
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(package_conf()), version_base="1.3"):
        try:
            config = hydra_compose("train", as_hydra_reads(overrides), return_hydra_config=True)
        except COMPOSITION_FAULTS as error:
            raise RequestError(one_line(error)) from None
        return own(freeze(config, config.hydra.runtime.choices))


def freeze(config: DictConfig, choices: Mapping[str, str]) -> dict[str, Any]:
    """A composed config as plain settings: resolved, checked, with canonical option names in `axes`.

    Nobody's own yet: whoever knows that the overrides are the user's marks them so (`trainlab.build.own`).

    Raises:
        RequestError: a value of the wrong type or out of range, or an interpolation that leads nowhere.
    """
    try:
        refuse_misplaced(config, choices)
        settings = OmegaConf.to_container(
            OmegaConf.masked_copy(config, [k for k in config if k not in NOT_OF_A_RUN]), resolve=True
        )
    except OmegaConfBaseException as error:
        raise RequestError(one_line(error)) from None
    assert isinstance(settings, dict)
    return finish({str(k): v for k, v in settings.items()}, choices)


def refuse_misplaced(config: Mapping[str, Any], choices: Mapping[str, str | None]) -> None:
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


def finish(settings: dict[str, Any], choices: Mapping[str, str]) -> dict[str, Any]:
    """Resolved settings, checked and completed: names of the options, budget, absolute paths."""
    settings["axes"] = {axis: canonical(axis, choices[axis]) for axis in NAMED_AXES}
    settings = validate(settings)
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
    fingerprint, copy = with_places(settings, partial(identify_data, settings["data"]))
    return named(settings, fingerprint, copy, OwnCode())


def named(settings: dict[str, Any], fingerprint: str, copy: str, own_code: OwnCode) -> dict[str, Any]:
    """The same where the data are known already, and perhaps the code."""
    settings = own_code.beside(settings)
    return {**settings, "fingerprint": fingerprint, "copy": copy, "run_id": run_id(settings, fingerprint)}


def is_of_composition(error: BaseException) -> bool:
    """Whether Hydra or OmegaConf raised it, and not what was called by them."""
    packages: list[str] = []
    trace = error.__traceback__
    while trace is not None:
        packages.append(str(trace.tb_frame.f_globals.get("__name__")).partition(".")[0])
        trace = trace.tb_next
    known = [package for package in packages if package in ("hydra", "omegaconf", "trainlab")]
    return bool(known) and known[-1] != "trainlab"


def one_line(error: Exception) -> str:
    """What Hydra or OmegaConf says over several lines, in one, with the closest valid name."""
    text = str(error)
    if isinstance(error, yaml.YAMLError | UnicodeDecodeError) and (broken := unreadable_option()):
        return broken
    if isinstance(error, OverrideParseException):
        return unreadable(error.override)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, option = str(error.missing_cfg_file).rpartition("/")
        group = group.removeprefix("/")
        if group in AXES:
            return str(unknown_option(group, option))
    if found := re.search(r"Ambiguous value for argument '(.+)'", text):
        return f"{found[1]}: several values; add -m to sweep over them, or put one that has a comma in quotes"
    if found := re.search(r"Could not override '([^']+)'", text):
        return _unknown_key(found[1], text)
    if found := re.search(r"In '[^']+': (.+)", text):
        text = found[1]
    cause = error.__cause__
    if cause is not None and str(cause) not in text:
        text = f"{text}: {cause}"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(("See https", "full_key:", "object_type="))]
    return " ".join(lines)


def _unknown_key(key: str, text: str) -> str:
    """`optimzer.lr` → the closest setting that does exist."""
    if "/" in key or key in AXES:
        return str(unknown("axis", key, AXES))
    if "No match in the defaults list" in text:
        return str(unknown("axis", key, AXES))
    known = setting_names()
    if key in known:
        return f"{key} cannot be set like this: {text.splitlines()[0]}"
    value = re.search(r"use \+[^=\s]+=(.*)", text)
    return str(unknown_setting(key, value[1].strip() if value else None, known))


def setting_names() -> list[str]:
    """Dotted names of all settings of the default composition, groups' own keys and axes included."""
    running = GlobalHydra.instance().hydra  # an error may come up while Hydra itself is at work
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(package_conf()), version_base="1.3"):
            config = OmegaConf.to_container(hydra_compose("train"), resolve=False)
    finally:
        GlobalHydra.instance().hydra = running
    names = list(AXES)

    def walk(node: Any, prefix: str) -> None:
        for key, value in node.items():
            name = f"{prefix}{key}"
            names.append(name)
            if isinstance(value, dict):
                walk(value, f"{name}.")

    walk(config, "")
    return [n for n in dict.fromkeys(names) if not n.rpartition(".")[2].startswith("_")]
