"""What an expectation measures: one number of a run, a fact of a network, or a prediction.

A source is a mapping with one key that says what it is, and perhaps two that relate it to another source:

    {metric: train/acc, minus: {metric: test/acc}}                                     the gap
    {signal: weight_grad_norm, layer: first, step: 0, over: {signal: …, layer: last}}  a ratio
    {shift: {brightness: 40}, measure: accuracy}                                       an evaluation
    {anatomy: parameters}     {theory: gradient, layer: first}     {theory: chi1, arguments: {…}}
    {batchnorm: lag}     {batchnorm: identity_error}                                   of BatchNorm layers
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, ClassVar, Literal, TypedDict, cast

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from trainlab.analysis.compare import OTHER_METRICS, STANDARD_METRICS
from trainlab.errors import closest_name
from trainlab.signals.catalogue import LAYER_QUANTITIES, NETWORK, NETWORK_QUANTITIES

LayerName = str
"""`first`, `last` (of the layers that have the quantity), or a layer's own name."""

SHIFTS = {
    "brightness": "grey levels added to every pixel",
    "contrast": "factor on every pixel's distance from mid-grey",
    "clipped_brightness": "the same as a camera has it: in whole grey levels, and none below 0 or above 255",
    "clipped_contrast": "the same as a camera has it",
    "blur": "standard deviation of a Gaussian, in pixels",
    "inversion": "share of the way to the negative; 1: dark on white paper",
    "pixel_scale": "factor on every pixel; 0.00392: images of 0..1 where 0..255 are expected",
    "translation": "pixels moved, the mean over four directions, what comes in is black",
    "statistics": "{mean, std} in place of the training split's, unit scale",
    "batch_statistics": "BatchNorm uses the batch of so many images and not its running statistics",
    "recalibrated_statistics": "BatchNorm's running statistics anew from so many training images",
}
"""Named changes of what a trained network sees, with what their amount means."""

LAYER_PREDICTIONS = ("scale", "correlation", "gradient")
MEAN_FIELD_FUNCTIONS = ("chi1", "critical_sigma_w2", "fixed_point", "batchnorm_gradient_growth")


ShiftAmount = float | Mapping[str, float]
"""How much of a shift; of `statistics`, {mean, std}."""


class ShiftMeasures(TypedDict):
    """Accuracy and agreement with the unshifted predictions (shares), loss in nats."""

    accuracy: float
    loss: float
    agreement: float


def require_known(kind: str, got: str, available: Collection[str]) -> str:
    """`got`, if it is available; a ValueError with the closest name if not."""
    if got not in available:
        near = closest_name(got, available)
        hint = f"did you mean '{near}'? " if near else ""
        raise ValueError(f"unknown {kind} '{got}': {hint}available: {', '.join(available)}")
    return got


class StrictModel(BaseModel):
    """Types are as written, and a key that is not listed is refused."""

    model_config = ConfigDict(strict=True, extra="forbid", populate_by_name=True)


class BaseSource(StrictModel):
    """What all sources have: another one to subtract or divide by, and a logarithm (base 10) at the end.

    `kind`: the key that the source is recognized by in the file.
    """

    kind: ClassVar[str] = ""
    minus: "Source | None" = None
    over: "Source | None" = None
    log10: bool = False

    def parts(self) -> Iterator["BaseSource"]:
        """This source and those that it is related to."""
        yield self
        for other in (self.minus, self.over):
            if other is not None:
                yield from other.parts()

    def unit(self) -> str:
        """How its numbers are read: `share`, `points` (differences of shares), `decades`, or nothing."""
        return "decades" if self.log10 else ""

    def _share(self) -> str:
        """The unit of a share, as long as it is one: less another one it is points, over it a mere number."""
        if self.over is not None or self.log10:
            return BaseSource.unit(self)
        return "points" if self.minus is not None else "share"


class MetricSource(BaseSource):
    """A metric of the run's record. A diverged run predicts nothing: its accuracy is that of guessing."""

    kind: ClassVar[str] = "metric"
    metric: str

    @model_validator(mode="after")
    def _known(self) -> "MetricSource":
        require_known("metric", self.metric, (*STANDARD_METRICS, *OTHER_METRICS))
        return self

    def unit(self) -> str:
        """Accuracies are shares."""
        return self._share() if self.metric.endswith("/acc") else super().unit()


class SignalSource(BaseSource):
    """A quantity of `signals.parquet`, of a layer, at the measured step that is nearest (−1: the last)."""

    kind: ClassVar[str] = "signal"
    signal: str
    layer: LayerName = NETWORK
    step: int = 0

    @model_validator(mode="after")
    def _known(self) -> "SignalSource":
        quantities = NETWORK_QUANTITIES if self.layer == NETWORK else LAYER_QUANTITIES
        require_known("signal", self.signal, quantities)
        return self


class ShiftSource(BaseSource):
    """The run's last checkpoint, tested on images under a named shift."""

    kind: ClassVar[str] = "shift"
    shift: dict[str, object] = Field(min_length=1, max_length=1)
    measure: Literal["accuracy", "loss", "agreement"] = "accuracy"

    @model_validator(mode="after")
    def _known(self) -> "ShiftSource":
        name, amount = next(iter(self.shift.items()))
        require_known("shift", name, SHIFTS)
        if name == "statistics":
            if not isinstance(amount, dict) or set(amount) != {"mean", "std"}:
                raise ValueError(f"statistics: expected {{mean: …, std: …}}, got {amount}")
        elif isinstance(amount, bool) or not isinstance(amount, int | float):
            raise ValueError(f"{name}: expected a number ({SHIFTS[name]}), got {amount}")
        return self

    @property
    def name_and_amount(self) -> tuple[str, ShiftAmount]:
        """What is changed, and by how much."""
        name, amount = next(iter(self.shift.items()))
        return name, cast(ShiftAmount, amount)

    def unit(self) -> str:
        """Accuracy and agreement are shares."""
        return self._share() if self.measure != "loss" else super().unit()


class AnatomySource(BaseSource):
    """A fact of the arm's network: of one layer, or summed over all (`out_shape` needs a layer)."""

    kind: ClassVar[str] = "anatomy"
    anatomy: Literal["parameters", "multiply_adds", "out_shape", "size_formula_failures"]
    layer: LayerName | None = None


class TheorySource(BaseSource):
    """A prediction for a layer of the arm's network, or a function of `trainlab.theory.mean_field`."""

    kind: ClassVar[str] = "theory"
    theory: str
    layer: LayerName | None = None
    arguments: dict[str, str | float | int | None] | None = None

    @model_validator(mode="after")
    def _known(self) -> "TheorySource":
        predictions = LAYER_PREDICTIONS if self.arguments is None else MEAN_FIELD_FUNCTIONS
        require_known("prediction of theory", self.theory, predictions)
        if self.arguments is None and self.layer is None:
            raise ValueError(f"theory {self.theory}: expected a layer")
        return self


class BatchNormSource(BaseSource):
    """Of a run, `lag`: the share of their way that BatchNorm's running means still have to go. Else a fact.

    The facts are of the arm's first BatchNorm layer (`trainlab.claims.batchnorm_facts`).
    """

    kind: ClassVar[str] = "batchnorm"
    batchnorm: Literal["lag", "means", "formula_error", "one_image_error", "identity_error"]

    def unit(self) -> str:
        """A lag is a share."""
        return self._share() if self.batchnorm == "lag" else super().unit()


_KINDS = ("metric", "signal", "shift", "anatomy", "theory", "batchnorm")


def _kind(value: object) -> str | None:
    if isinstance(value, BaseSource):
        return value.kind
    return next((name for name in _KINDS if isinstance(value, dict) and name in value), None)


Source = Annotated[
    Annotated[MetricSource, Tag("metric")]
    | Annotated[SignalSource, Tag("signal")]
    | Annotated[ShiftSource, Tag("shift")]
    | Annotated[AnatomySource, Tag("anatomy")]
    | Annotated[TheorySource, Tag("theory")]
    | Annotated[BatchNormSource, Tag("batchnorm")],
    Discriminator(
        _kind,
        custom_error_type="source",
        custom_error_message=f"expected a source: a mapping with one of {', '.join(_KINDS)}",
    ),
]
for _model in (
    BaseSource, MetricSource, SignalSource, ShiftSource, AnatomySource, TheorySource, BatchNormSource
):  # fmt: skip
    _model.model_rebuild()


def needs_run(source: BaseSource) -> bool:
    """Whether the arm has to be trained for it."""
    return any(
        isinstance(part, MetricSource | SignalSource | ShiftSource) or needs_statistics(part)
        for part in source.parts()
    )


def needs_statistics(source: BaseSource) -> bool:
    """Whether it is measured of the BatchNorm layers of the run's checkpoint."""
    return isinstance(source, BatchNormSource) and source.batchnorm == "lag"


def needs_weights(source: BaseSource) -> bool:
    """Whether it is measured of the run's checkpoint."""
    return isinstance(source, ShiftSource) or needs_statistics(source)
