"""The type and the range of every plain value of a run, checked without torch.

Axis nodes (`activation`, `init`, …) may hold any keys, since a user's own class brings its own; what is
common to all of them is checked here. Everything else is listed, and a key that is not listed is refused.
"""

import math
from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from trainlab.config.synonyms import setting
from trainlab.errors import RequestError, closest


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("must be finite")
    return value


Positive = Annotated[float, Field(gt=0), AfterValidator(_finite)]
NotNegative = Annotated[float, Field(ge=0), AfterValidator(_finite)]
Count = Annotated[int, Field(ge=1)]
# torch.manual_seed and numpy both take 32 bits
Seed = Annotated[int, Field(ge=0, lt=2**32)]


def _as_text(value: object) -> object:
    """A name of digits, which YAML takes for a number; of other numbers the spelling is lost."""
    if isinstance(value, float):
        raise ValueError("must be text: put it in quotes")
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Text = Annotated[str, BeforeValidator(_as_text)]
"""A name, an id or a path: text, whatever it looks like."""


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class Node(BaseModel):
    """An option: `_target_` names what is built of the other keys; null means that nothing is built."""

    model_config = ConfigDict(strict=True, extra="allow")
    target_: str | None = Field(alias="_target_")


class NormLayer(_Strict):
    """A normalization layer and its place beside the activation."""

    position: Literal["before_activation", "after_activation"]
    layer: Node | None


class Data(BaseModel):
    """A data set and how it is cut; sizes in images. A source's own keys may stand beside these."""

    model_config = ConfigDict(strict=True, extra="allow")
    name: Text
    image_size: Annotated[int, Field(ge=4, le=1024)] | None
    channels: Literal[1, 3]
    num_classes: Annotated[int, Field(ge=2)] | None
    batch_size: Count
    train_size: Count | None
    val_size: Count | None
    test_size: Count | None
    split_seed: Seed
    default_epochs: Count


class Optimizer(Node):
    """Any class over `params`; the common hyperparameters are checked where they are given."""

    lr: Positive
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    weight_decay: NotNegative = 0.0


class Trainer(_Strict):
    """Hardware and budget of one run."""

    accelerator: Literal["auto", "cpu", "gpu", "mps"]
    devices: Count
    strategy: Literal["auto", "ddp", "ddp_spawn", "ddp_fork"]
    precision: Literal["32-true", "16-mixed", "bf16-mixed", "16-true", "bf16-true", "64-true"]
    gradient_clip: Positive | None
    max_epochs: Count | None
    max_steps: Count | None
    threads: Count | None
    profiler: Literal["simple", "advanced"] | None
    val_every_epochs: Count
    progress_bar: bool


class Paths(_Strict):
    """Where data are, where decoded images are kept, where runs are recorded."""

    data: Text
    cache: Text
    runs: Text


class Settings(_Strict):
    """One run, whole: what a worker needs besides the data."""

    activation: Node
    init: Node
    normalization: Node
    norm_layer: NormLayer
    pool: Node
    model: Node
    data: Data
    augment: Node
    optimizer: Optimizer
    scheduler: Node
    seed: Seed
    depth: Count | None
    width: Count | None
    group: Text | None
    checkpoint: Literal["last", "best", "both", "none"]
    signals: bool | Count
    resume: Annotated[bool | str, BeforeValidator(_as_text)]
    early_stop: Count | None
    trainer: Trainer
    logger: Node
    paths: Paths
    axes: dict[str, Any]


class SweepSettings(_Strict):
    """How a sweep goes about it; no part of any run."""

    plan_only: bool
    retry_failed: bool
    rerun: bool
    run_timeout: Positive | None
    prune: Literal["none", "preflight", "early"]
    audit: Annotated[float, Field(ge=0, le=1)]

    @field_validator("audit")
    @classmethod
    def _of_what_is_pruned(cls, share: float, others: ValidationInfo) -> float:
        if share and others.data.get("prune") == "none":
            raise ValueError("sweep.prune=preflight or early beside it: nothing is pruned")
        return share


def text_settings(model: type[BaseModel], prefix: str = "") -> list[str]:
    """The dotted names of all settings that are text, or text among other things, but for what is built."""
    found: list[str] = []
    for name, field in model.model_fields.items():
        kinds = list(_members(field.annotation))
        if str in kinds and not field.alias:
            found.append(f"{prefix}{name}")
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                found += text_settings(kind, f"{prefix}{name}.")
    return found


def _members(kind: Any) -> Iterator[Any]:
    """The plain types of an annotation: `Text | None` is str and None."""
    if get_origin(kind) in (Union, UnionType):
        for member in get_args(kind):
            yield from _members(member)
    elif get_origin(kind) is Annotated:
        yield from _members(get_args(kind)[0])
    else:
        yield kind


# Ways in which people write the same precision, and Lightning's own short forms
_PRECISIONS = {"32": "32-true", "16": "16-mixed", "bf16": "bf16-mixed", "64": "64-true"}
_SWITCHES = {"on": True, "off": False}


def validate(settings: dict[str, Any]) -> dict[str, Any]:
    """The same settings with every value checked and in its one canonical form.

    Raises:
        RequestError: all faults in one line, each with what was got and what was expected.
    """
    settings = {**settings, "trainer": {**settings["trainer"]}}
    precision = str(settings["trainer"]["precision"])
    settings["trainer"]["precision"] = _PRECISIONS.get(precision, precision)
    for switch in ("signals", "resume"):
        if isinstance(settings[switch], str):
            settings[switch] = _SWITCHES.get(settings[switch], settings[switch])
    return checked(Settings, settings)


def checked(model: type[BaseModel], values: dict[str, Any]) -> dict[str, Any]:
    """`values` validated by `model`, as a plain dict; RequestError with all faults in one line."""
    try:
        return model.model_validate(values).model_dump(mode="python", by_alias=True, exclude_unset=True)
    except ValidationError as error:
        faults = [_fault(dict(f), model) for f in error.errors()]
        # a union reports each of its members; people need each value once
        raise RequestError("; ".join(dict.fromkeys(faults))) from None


def checked_sweep(values: Any) -> dict[str, Any]:
    """What is said of a sweep (`SweepSettings`), validated. Raises RequestError, in names as typed."""
    try:
        return checked(SweepSettings, values)
    except RequestError as error:
        raise RequestError(f"sweep.{str(error).replace('; ', '; sweep.')}") from None


def _fault(fault: dict[str, Any], model: type[BaseModel]) -> str:
    path = [str(part) for part in fault["loc"]]
    if fault["type"] == "extra_forbidden":
        meant = setting(path[-1])
        near = meant.key if meant else closest(path[-1], model.model_fields)
        return f"unknown setting '{'.'.join(path)}'" + (f": did you mean '{near}'?" if near else "")
    # drop the names of a union's members ('bool', 'constrained-int') from the path
    name = ".".join(p for p in path if p.isidentifier() and p not in {"bool", "int", "str"})
    expected = fault["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    expected = expected.removeprefix("must be ").replace("a valid string", "text: put it in quotes")
    return f"{name}={fault['input']}: expected {expected}"
