"""A section of the settings: immutable values, trusted or untrusted; a component is a kind of section.

A section is untrusted until it is marked. The composer marks what the user's command line and `./conf`
compose to; `trainlab.instantiate.trust` marks the same sections again in a worker. What is read from a
file is untrusted.
"""

from collections.abc import Iterator
from functools import cache
from types import UnionType
from typing import Annotated, Any, Self, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError
from pydantic_core import ErrorDetails

from trainlab.errors import RequestError, describe_value


class Section(BaseModel):
    """A part of the settings: immutable values, trusted or untrusted."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, ser_json_inf_nan="constants")
    _is_trusted: bool = PrivateAttr(default=False)

    @property
    def is_trusted(self) -> bool:
        """Whether the user wrote it, on the command line or in `./conf`: then what it names is built."""
        return self._is_trusted

    def trusted(self) -> Self:
        """A copy that is marked as trusted, with all that lies below."""
        copy = self.model_copy(deep=True)
        copy._mark(True)
        return copy

    def untrusted(self) -> Self:
        """A copy that is marked as untrusted, with all that lies below."""
        copy = self.model_copy(deep=True)
        copy._mark(False)
        return copy

    def _mark(self, is_trusted: bool) -> None:
        self._is_trusted = is_trusted
        for value in self.__dict__.values():
            if isinstance(value, Section):
                value._mark(is_trusted)

    def replace(self, **changes: object) -> Self:
        """A copy with other values, which are validated; by the names of the fields, or as extra keys.

        It stays trusted if it was: the new values must come from this program or its user.

        Raises:
            RequestError: a value of the wrong type or out of range.
        """
        keys = {name: key for key, name in _field_names(type(self)).items()}
        changed = {keys.get(name, name): value for name, value in changes.items()}
        try:
            copy = type(self).model_validate({**self._values(), **changed})
        except ValidationError as error:
            raise RequestError(describe_errors(error)) from None
        copy._is_trusted = self._is_trusted
        return copy

    def to_plain(self) -> dict[str, Any]:
        """Plain mappings, lists and values, as they stand in config.yaml: what was given, no defaults."""
        return self.model_dump(mode="python", by_alias=True, exclude_unset=True)

    def to_json(self) -> str:
        """The same as JSON."""
        return self.model_dump_json(by_alias=True, exclude_unset=True)

    def _values(self) -> dict[str, object]:
        """What was given, by its keys in config.yaml; sections as they are."""
        given = self.model_fields_set
        known = {key: self.__dict__[name] for key, name in _field_names(type(self)).items() if name in given}
        return {**known, **(self.model_extra or {})}


@cache
def _field_names(model: type[BaseModel]) -> dict[str, str]:
    """The names of the fields by their keys in config.yaml."""
    return {field.alias or name: name for name, field in model.model_fields.items()}


class Component(Section):
    """What is built of a class or function: `_target_` names it, all other keys are its arguments.

    A target of null means that nothing is built.
    """

    model_config = ConfigDict(extra="allow")
    target: str | None = Field(alias="_target_")

    @property
    def arguments(self) -> dict[str, object]:
        """What is given to the target by name, without Hydra's own keys (`_partial_`, …)."""
        return {key: value for key, value in self.to_plain().items() if not key.startswith("_")}


NOTHING = Component.model_validate({"_target_": None})
"""The component of which nothing is built."""


def describe_errors(error: ValidationError) -> str:
    """The first faults of a record in one line: what was got and what was expected."""
    faults = [describe_fault(fault) for fault in error.errors()[:4]]
    return "; ".join(dict.fromkeys(faults))


def describe_fault(fault: ErrorDetails) -> str:
    """`trainer.devices=0: expected greater than or equal to 1`."""
    # drop the names of a union's members ('bool', 'constrained-int') from the path
    parts = [str(part) for part in fault["loc"]]
    name = ".".join(p for p in parts if p.isidentifier() and p not in {"bool", "int", "str", "Component"})
    if fault["type"] == "missing":
        return f"{name}: missing"
    expected = fault["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    expected = expected.removeprefix("must be ").replace("a valid string", "text: put it in quotes")
    return f"{name}={describe_value(fault['input'])}: expected {expected}"


def union_members(kind: object) -> Iterator[object]:
    """The plain types of an annotation: `Text | None` is str and None."""
    if get_origin(kind) in (Union, UnionType):
        for member in get_args(kind):
            yield from union_members(member)
    elif get_origin(kind) is Annotated:
        yield from union_members(get_args(kind)[0])
    else:
        yield kind
