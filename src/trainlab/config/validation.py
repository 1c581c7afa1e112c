"""Values that a request asks for, validated: all faults in one line, each with got and expected."""

from typing import Any

from pydantic import (
    BaseModel,
    ValidationError,
)

from trainlab.config.synonyms import setting_for_synonym
from trainlab.errors import RequestError, closest_name
from trainlab.settings import Settings, SweepSettings

# Ways in which people write the same precision, and Lightning's own short forms
_PRECISION_ALIASES = {"32": "32-true", "16": "16-mixed", "bf16": "bf16-mixed", "64": "64-true"}
_SWITCHES = {"on": True, "off": False}


def validate_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """The same settings with every value checked and in its one canonical form.

    Raises:
        RequestError: all faults in one line, each with what was got and what was expected.
    """
    settings = {**settings, "trainer": {**settings["trainer"]}}
    precision = str(settings["trainer"]["precision"])
    settings["trainer"]["precision"] = _PRECISION_ALIASES.get(precision, precision)
    for switch in ("signals", "resume"):
        if isinstance(settings[switch], str):
            settings[switch] = _SWITCHES.get(settings[switch], settings[switch])
    return validate_model(Settings, settings)


def validate_model(model: type[BaseModel], values: dict[str, Any]) -> dict[str, Any]:
    """`values` validated by `model`, as a plain dict; RequestError with all faults in one line."""
    try:
        return model.model_validate(values).model_dump(mode="python", by_alias=True, exclude_unset=True)
    except ValidationError as error:
        faults = [_describe_error(dict(f), model) for f in error.errors()]
        # a union reports each of its members; people need each value once
        raise RequestError("; ".join(dict.fromkeys(faults))) from None


def validate_sweep_settings(values: Any) -> dict[str, Any]:
    """What is said of a sweep (`SweepSettings`), validated. Raises RequestError, in names as typed."""
    try:
        return validate_model(SweepSettings, values)
    except RequestError as error:
        raise RequestError(f"sweep.{str(error).replace('; ', '; sweep.')}") from None


def _describe_error(fault: dict[str, Any], model: type[BaseModel]) -> str:
    path = [str(part) for part in fault["loc"]]
    if fault["type"] == "extra_forbidden":
        meant = setting_for_synonym(path[-1])
        near = meant.key if meant else closest_name(path[-1], model.model_fields)
        return f"unknown setting '{'.'.join(path)}'" + (f": did you mean '{near}'?" if near else "")
    # drop the names of a union's members ('bool', 'constrained-int') from the path
    name = ".".join(p for p in path if p.isidentifier() and p not in {"bool", "int", "str"})
    expected = fault["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    expected = expected.removeprefix("must be ").replace("a valid string", "text: put it in quotes")
    return f"{name}={fault['input']}: expected {expected}"
