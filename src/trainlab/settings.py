"""`Settings`: one run, whole, typed; the type and range of every value, checked without torch.

Component nodes (`activation`, `init`, …) may hold any keys, since a user's own class brings its own; what is
common to all of them is checked here. Everything else is listed, and a key that is not listed is refused.

Each section is trusted or untrusted (`trainlab.section`).
"""

import json
import math
from collections.abc import Collection, Mapping
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    create_model,
    field_validator,
)

from trainlab.axes import AXES
from trainlab.errors import RequestError
from trainlab.section import Component, Section, describe_errors, union_members

ADDED_LATER: dict[str, object] = {
    "trainer.val_every_epochs": 1,
    "trainer.cuda_graph": "auto",
    "trainer.tf32": True,
    "trainer.label_smoothing": 0.0,
    "trainer.test_views": "one",
    "data.label_noise": 0.0,
}
"""Settings that came after the first release, with the value that older runs had without knowing it.

Records that lack them are read with it, and at it they are not hashed, so that older runs keep their names.
Entries are never removed or changed.
"""


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


class NormLayerSettings(Section):
    """A normalization layer and its place beside the activation."""

    position: Literal["before_activation", "after_activation"]
    layer: Component | None


class DataSettings(Section):
    """A data set and its split; sizes in images. A source's own keys may stand beside these."""

    model_config = ConfigDict(extra="allow")
    name: Text
    image_size: Annotated[int, Field(ge=4, le=1024)] | None
    channels: Literal[1, 3]
    num_classes: Annotated[int, Field(ge=2)] | None
    batch_size: Count
    train_size: Count | None
    val_size: Count | None
    test_size: Count | None
    split_seed: Seed
    permute_pixels: Seed | None = None
    label_noise: Annotated[float, Field(ge=0, le=1)] = 0.0
    default_epochs: Count
    source: Component | str


class OptimizerSettings(Component):
    """Any class over `params`; the common hyperparameters are checked where they are given."""

    lr: Positive
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    weight_decay: NotNegative = 0.0


class TrainerSettings(Section):
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
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    test_views: Literal["one", "mirrored", "mirrored_shifted"] = "one"
    progress_bar: bool
    cuda_graph: Literal["auto", "on", "off"] = "auto"
    tf32: bool = True


class PathSettings(Section):
    """Where data are, where decoded images are kept, where runs are recorded."""

    data: Text
    cache: Text
    runs: Text


class _DeclaredSettings(Section):
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
    depth: Annotated[int, Field(ge=0)] | None
    width: Count | None
    group: Text | None
    checkpoint: Literal["last", "best", "both", "none"]
    signals: bool | Count
    resume: Annotated[bool | str, BeforeValidator(_as_text)]
    early_stop: Count | None
    trainer: TrainerSettings
    logger: Component
    paths: PathSettings
    axes: dict[str, bool | int | float | str | None]

    def component(self, axis: str) -> Component | None:
        """The component of an axis; None where its section has none."""
        section = getattr(self, axis)
        if isinstance(section, NormLayerSettings):
            return section.layer
        return section if isinstance(section, Component) else None

    @property
    def sections(self) -> dict[str, Section]:
        """The sections by their names."""
        return {name: value for name, value in self.__dict__.items() if isinstance(value, Section)}

    @property
    def trusted_sections(self) -> tuple[str, ...]:
        """The names of the trusted sections."""
        return tuple(name for name, section in self.sections.items() if section.is_trusted)

    def with_trusted(self, sections: Collection[str]) -> Self:
        """A copy in which these sections are trusted, and no others."""
        copy = self.untrusted()
        copy._mark_sections(sections)
        return copy

    def _mark_sections(self, sections: Collection[str]) -> None:
        for name, section in self.sections.items():
            if name in sections:
                section._mark(True)

    @classmethod
    def composed(cls, values: Mapping[str, object], trusted: Collection[str] = ()) -> Self:
        """Settings of plain values, with these sections trusted.

        Raises:
            pydantic.ValidationError: values of the wrong type, out of range, missing, or unknown.
        """
        settings = cls.model_validate(values)
        settings._mark_sections(trusted)
        return settings

    @classmethod
    def from_json(cls, text: str, trusted: Collection[str] = ()) -> Self:
        """What `to_json` gave in this program, with its trusted sections. Raises RequestError."""
        try:
            settings = cls.model_validate_json(text)
        except ValidationError as error:
            raise RequestError(describe_errors(error)) from None
        settings._mark_sections(trusted)
        return settings

    def with_value(self, name: str, value: object) -> Self:
        """A copy with the setting of a dotted name changed: `init.sigma_w2`. Raises as `replace` does."""
        section, _, key = name.partition(".")
        if not key:
            return self.replace(**{section: value})
        return self.replace(**{section: _with_value(getattr(self, section), key, value)})


def _with_value(section: Section, name: str, value: object) -> Section:
    key, _, rest = name.partition(".")
    inner = section._values().get(key) if rest else None
    if isinstance(inner, Section):
        return section.replace(**{key: _with_value(inner, rest, value)})
    if rest:
        raise KeyError(name)
    return section.replace(**{key: value})


NOT_IN_DEFAULTS = tuple(
    axis.name for axis in AXES if axis.is_component and axis.name not in _DeclaredSettings.model_fields
)
"""Axes that are declared in `trainlab.axes` alone, beside those that have been there from the beginning."""

if TYPE_CHECKING:

    class Settings(_DeclaredSettings):
        """One run, whole: what a worker needs besides the data."""

else:
    Settings = create_model(
        "Settings",
        __base__=_DeclaredSettings,
        __doc__=_DeclaredSettings.__doc__,
        __module__=__name__,
        **dict.fromkeys(NOT_IN_DEFAULTS, (Component, ...)),
    )


SECTIONS = frozenset(
    name
    for name, field in Settings.model_fields.items()
    if any(isinstance(kind, type) and issubclass(kind, Section) for kind in union_members(field.annotation))
)
"""The names of all sections of the settings."""


class PruningRequest(Section):
    """How a sweep prunes its runs: by which check, and the share of pruned runs trained all the same."""

    by: Literal["preflight", "early", "none"]
    audit: Annotated[float, Field(ge=0, le=1)]


class RunSettings(Settings):
    """The frozen settings of one run, with the fingerprint of its data and the name that follows."""

    user_code: dict[str, str] | None = Field(default=None, alias="own_code")
    fingerprint: str
    data_copy: str = Field(alias="copy")
    run_id: str
    rerun: bool = False
    pruning: PruningRequest | None = None

    def unidentified(self) -> Settings:
        """The settings alone, without what a run adds to them."""
        values = {key: value for key, value in self._values().items() if key in Settings.model_fields}
        return Settings.model_validate(values)

    @classmethod
    def identified(
        cls, settings: Settings, run_id: str, fingerprint: str, copy: str, user_code: Mapping[str, str]
    ) -> Self:
        """Settings with their identity beside them; trusted sections stay trusted."""
        values = {key: v for key, v in settings._values().items() if key in Settings.model_fields}
        values |= {"own_code": dict(user_code)} if user_code else {}
        frozen = cls.model_validate({**values, "fingerprint": fingerprint, "copy": copy, "run_id": run_id})
        frozen._is_trusted = settings._is_trusted
        return frozen

    @classmethod
    def from_record(cls, record: Mapping[str, object], source: str = "settings") -> Self:
        """The settings of a record, of this or an older version; all sections are untrusted.

        What an older version did not have is filled in, what another version had besides is left out.

        Raises:
            RequestError: what is missing or odd, in one line that begins with `source`.
        """
        try:
            return cls.model_validate(_known(cls, _completed(record)))
        except ValidationError as error:
            raise RequestError(f"{source}: {describe_errors(error)}") from None


def settings_from_json(text: str, trusted: Collection[str] = ()) -> Settings:
    """Settings that `to_json` gave, of a run or of none. Raises RequestError."""
    kind = RunSettings if _is_of_a_run(text) else Settings
    return kind.from_json(text, trusted)


def _is_of_a_run(text: str) -> bool:
    """By a key of the settings themselves: a component may have one of the same name."""
    try:
        values = json.loads(text)
    except ValueError:
        return False  # `from_json` says what is wrong
    return isinstance(values, dict) and "run_id" in values


def _completed(record: Mapping[str, object]) -> dict[str, object]:
    """A record with the values of settings that came after it."""
    completed = {axis: {"_target_": None} for axis in NOT_IN_DEFAULTS} | dict(record)
    for name, value in ADDED_LATER.items():
        section, _, key = name.partition(".")
        if isinstance(inner := completed.get(section), Mapping):
            completed[section] = {key: value, **inner}
    return completed


def _known(model: type[BaseModel], values: Mapping[str, object]) -> dict[str, object]:
    """Without keys that strict sections do not have; what can be null, and is missing, is null."""
    is_open = model.model_config.get("extra") == "allow"
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    nullable = [key for key, field in fields.items() if NoneType in union_members(field.annotation)]
    kept: dict[str, object] = {key: None for key in nullable if fields[key].is_required()}
    for key, value in values.items():
        if key not in fields:
            if is_open:
                kept[key] = value
            continue
        kinds = [k for k in union_members(fields[key].annotation) if isinstance(k, type)]
        section = next((k for k in kinds if issubclass(k, Section)), None)
        kept[key] = _known(section, value) if section and isinstance(value, Mapping) else value
    return kept


def _stack_size(value: object) -> object:
    """Hydra takes `off` for a word, YAML for false."""
    if value is False:
        return "off"
    if value in ("auto", "off") or (type(value) is int and value >= 1):
        return value
    raise ValueError("must be auto, off, or the largest number of runs in a stack, 1 or more")


class SweepSettings(Section):
    """The settings of a sweep; not part of any run. The defaults are those of `conf/train.yaml`."""

    plan_only: bool = False
    retry_failed: bool = False
    rerun: bool = False
    run_timeout: Positive | None = None
    prune: Literal["none", "preflight", "early"] = "none"
    audit: Annotated[float, Field(ge=0, le=1)] = 0.0
    stack: Annotated[Literal["auto", "off"] | int, BeforeValidator(_stack_size)] = "auto"

    @field_validator("audit")
    @classmethod
    def _check_audit_needs_pruning(cls, share: float, others: ValidationInfo) -> float:
        if share and others.data.get("prune") == "none":
            raise ValueError("sweep.prune=preflight or early beside it: nothing is pruned")
        return share


def text_setting_names(model: type[BaseModel], prefix: str = "") -> list[str]:
    """The dotted names of all settings that are text, or text among other things, but for what is built."""
    found: list[str] = []
    for name, field in model.model_fields.items():
        kinds = list(union_members(field.annotation))
        if str in kinds and not field.alias and Component not in kinds:
            found.append(f"{prefix}{name}")
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                found += text_setting_names(kind, f"{prefix}{name}.")
    return found
