"""A composed configuration becomes the checked, frozen settings of a run.

Values are validated in plain words: all faults in one line, each with got and expected.
"""

import os
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from trainlab.axes import AXES
from trainlab.config.hydra_messages import composition_error
from trainlab.config.options import canonical_options, catalogue
from trainlab.config.synonyms import setting_for_synonym
from trainlab.config.user_code import UserCodeDigests
from trainlab.data.dataset_sources import with_data_paths
from trainlab.data.fingerprint import identify_dataset
from trainlab.errors import RequestError, UnknownSettingError, closest_name
from trainlab.runs.identity import USER_CODE, run_id
from trainlab.section import describe_fault
from trainlab.settings import NOT_IN_DEFAULTS, RunSettings, Settings, SweepSettings

# Parts of a composition that are no settings of a run; presets and debugging act through the others.
NOT_RUN_SETTINGS = ("hydra", "sweep", "debug", "experiment")


def freeze(config: DictConfig, choices: Mapping[str, str], trusted: Collection[str] = ()) -> Settings:
    """A composed config as settings: resolved, checked, with canonical option names in `axes`.

    `trusted`: the sections to mark as trusted.

    Raises:
        RequestError: a value of the wrong type or out of range, or an interpolation that leads nowhere.
    """
    try:
        check_global_package(config, choices)
        settings = OmegaConf.to_container(
            OmegaConf.masked_copy(config, [k for k in config if k not in NOT_RUN_SETTINGS]), resolve=True
        )
    except OmegaConfBaseException as error:
        raise composition_error(error) from None
    assert isinstance(settings, dict)
    return complete({str(k): v for k, v in settings.items()}, choices, trusted)


def check_global_package(config: Mapping[str, object], choices: Mapping[str, str | None]) -> None:
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


def complete(
    values: dict[str, object], choices: Mapping[str, str], trusted: Collection[str] = ()
) -> Settings:
    """Resolved values, completed and checked: names of the options, budget, absolute paths."""
    for axis in NOT_IN_DEFAULTS:
        values.setdefault(axis, {"_target_": None})
    named = canonical_options(
        {axis.name: choices.get(axis.name, axis.default) for axis in AXES if axis.is_named}
    )
    values["axes"] = {**named, "depth": values.get("depth")}
    trainer, data, paths = (values.get(name) for name in ("trainer", "data", "paths"))
    if isinstance(trainer, dict) and isinstance(data, dict):
        has_budget = trainer.get("max_epochs") is not None or trainer.get("max_steps") is not None
        values["trainer"] = trainer if has_budget else {**trainer, "max_epochs": data.get("default_epochs")}
    if isinstance(paths, dict):
        values["paths"] = {key: _absolute(path) for key, path in paths.items()}
    settings = validate_settings(values, trusted)
    _check_size_axes(settings)
    return settings


def _absolute(path: object) -> object:
    """A path as the user named it, symbolic links as they are; numbers are names too."""
    text = str(path) if isinstance(path, int) and not isinstance(path, bool) else path
    return os.path.abspath(Path(text).expanduser()) if isinstance(text, str) else path  # noqa: PTH100


def _check_size_axes(settings: Settings) -> None:
    """`depth` and `width` are for models that have them: never silently nothing."""
    model = settings.axes["model"]
    for axis, value in (("depth", settings.depth), ("width", settings.width)):
        has_it = axis in (settings.model.model_extra or {})
        if value is not None and not has_it:
            having = [
                name for name, o in catalogue("model").items() if f"{axis}: ${{{axis}}}" in o.path.read_text()
            ]
            raise RequestError(
                f"{axis}={value}: {model} has no {axis}; models that have one: {', '.join(having)}"
            )
        if has_it and value is None:
            raise RequestError(f"{axis}=null: {model} needs a {axis}, an integer from 1")


def identify(settings: Settings) -> RunSettings:
    """The settings with the fingerprint of their data, the digests of the user's code, and their `run_id`.

    Raises:
        RequestError: the data are missing, with what was looked for and where.
    """
    data = with_data_paths(settings, partial(identify_dataset, settings.data.source))
    return with_identity(settings, data.fingerprint, data.copy, UserCodeDigests())


def with_identity(settings: Settings, fingerprint: str, copy: str, user_code: UserCodeDigests) -> RunSettings:
    """The same where the data are known already, and perhaps the code."""
    plain = settings.to_plain()
    plain.pop(USER_CODE, None)
    digests = user_code.digests(plain)
    if digests:
        plain[USER_CODE] = digests
    return RunSettings.identified(settings, run_id(plain, fingerprint), fingerprint, copy, digests)


# Ways in which people write the same precision, and Lightning's own short forms
_PRECISION_ALIASES = {"32": "32-true", "16": "16-mixed", "bf16": "bf16-mixed", "64": "64-true"}
_SWITCHES = {"on": True, "off": False}


Model = TypeVar("Model", bound=BaseModel)


def validate_settings(values: Mapping[str, object], trusted: Collection[str] = ()) -> Settings:
    """Settings of plain values, each in its one canonical form; `trusted` as `Settings.composed` has it.

    Raises:
        RequestError: all faults in one line, each with what was got and what was expected.
    """
    values = dict(values)
    if isinstance(trainer := values.get("trainer"), Mapping):
        precision = str(trainer.get("precision"))
        values["trainer"] = {**trainer, "precision": _PRECISION_ALIASES.get(precision, precision)}
    for switch in ("signals", "resume"):
        if isinstance(given := values.get(switch), str):
            values[switch] = _SWITCHES.get(given, given)
    try:
        return Settings.composed(values, trusted)
    except ValidationError as error:
        raise _all_faults(error, Settings) from None


def validate_model(model: type[Model], values: Mapping[str, object]) -> Model:
    """`values` validated by `model`; RequestError with all faults in one line."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise _all_faults(error, model) from None


def validate_sweep_settings(values: Mapping[str, object]) -> SweepSettings:
    """What is said of a sweep, validated. Raises RequestError, in names as typed."""
    try:
        return validate_model(SweepSettings, values)
    except RequestError as error:
        raise RequestError(f"sweep.{str(error).replace('; ', '; sweep.')}") from None


def _all_faults(error: ValidationError, model: type[BaseModel]) -> RequestError:
    faults = [_describe_fault(fault, model) for fault in error.errors()]
    is_unknown = any(fault["type"] == "extra_forbidden" for fault in error.errors())
    kind = UnknownSettingError if is_unknown else RequestError
    # a union reports each of its members; people need each value once
    return kind("; ".join(dict.fromkeys(faults)))


def _describe_fault(fault: ErrorDetails, model: type[BaseModel]) -> str:
    if fault["type"] != "extra_forbidden":
        return describe_fault(fault)
    path = [str(part) for part in fault["loc"]]
    meant = setting_for_synonym(path[-1])
    near = meant.key if meant else closest_name(path[-1], model.model_fields)
    return f"unknown setting '{'.'.join(path)}'" + (f": did you mean '{near}'?" if near else "")
