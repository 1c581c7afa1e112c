"""Values that a request asks for, validated: all faults in one line, each with got and expected."""

from collections.abc import Collection, Mapping
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from trainlab.config.synonyms import setting_for_synonym
from trainlab.errors import RequestError, UnknownSettingError, closest_name
from trainlab.section import describe_fault
from trainlab.settings import Settings, SweepSettings

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
