"""`Settings`: one run, whole, typed; the type and range of every value, checked without torch.

Option nodes (`activation`, `init`, …) may hold any keys, since a user's own class brings its own; what is
common to all of them is checked here. Everything else is listed, and a key that is not listed is refused."""

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
    ValidationInfo,
    field_validator,
)


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


class _StrictSettings(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class Component(BaseModel):
    """An option: `_target_` names what is built of the other keys; null means that nothing is built."""

    model_config = ConfigDict(strict=True, extra="allow")
    target_: str | None = Field(alias="_target_")


class NormLayerSettings(_StrictSettings):
    """A normalization layer and its place beside the activation."""

    position: Literal["before_activation", "after_activation"]
    layer: Component | None


class DataSettings(BaseModel):
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


class OptimizerSettings(Component):
    """Any class over `params`; the common hyperparameters are checked where they are given."""

    lr: Positive
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    weight_decay: NotNegative = 0.0


class TrainerSettings(_StrictSettings):
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


class PathSettings(_StrictSettings):
    """Where data are, where decoded images are kept, where runs are recorded."""

    data: Text
    cache: Text
    runs: Text


class Settings(_StrictSettings):
    """One run, whole: what a worker needs besides the data."""

    activation: Component
    init: Component
    normalization: Component
    norm_layer: NormLayerSettings
    pool: Component
    model: Component
    data: DataSettings
    augment: Component
    optimizer: OptimizerSettings
    scheduler: Component
    seed: Seed
    depth: Count | None
    width: Count | None
    group: Text | None
    checkpoint: Literal["last", "best", "both", "none"]
    signals: bool | Count
    resume: Annotated[bool | str, BeforeValidator(_as_text)]
    early_stop: Count | None
    trainer: TrainerSettings
    logger: Component
    paths: PathSettings
    axes: dict[str, Any]


class SweepSettings(_StrictSettings):
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


def text_setting_names(model: type[BaseModel], prefix: str = "") -> list[str]:
    """The dotted names of all settings that are text, or text among other things, but for what is built."""
    found: list[str] = []
    for name, field in model.model_fields.items():
        kinds = list(_union_members(field.annotation))
        if str in kinds and not field.alias:
            found.append(f"{prefix}{name}")
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                found += text_setting_names(kind, f"{prefix}{name}.")
    return found


def _union_members(kind: Any) -> Iterator[Any]:
    """The plain types of an annotation: `Text | None` is str and None."""
    if get_origin(kind) in (Union, UnionType):
        for member in get_args(kind):
            yield from _union_members(member)
    elif get_origin(kind) is Annotated:
        yield from _union_members(get_args(kind)[0])
    else:
        yield kind
