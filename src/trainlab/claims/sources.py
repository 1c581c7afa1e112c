"""What an expectation measures: one number of a run, a fact of a network, or a prediction.

A source is a mapping with one key that says what it is, and perhaps two that relate it to another source:

    {metric: train/acc, minus: {metric: test/acc}}                                     the gap
    {signal: weight_grad_norm, layer: first, step: 0, over: {signal: …, layer: last}}  a ratio
    {shift: {brightness: 40}, measure: accuracy}                                       an evaluation
    {probe: {layer: stages.1.conv1.activation}}                                        a linear classifier
    {steps_to: {metric: train/loss, below: 1.0}, log10: true}                          how soon
    {anatomy: parameters}     {theory: gradient, layer: first}     {theory: chi1, arguments: {…}}
    {batchnorm: lag}     {batchnorm: identity_error}                                   of BatchNorm layers
    {fact: running_statistics, arguments: {momentum: 0.1, steps: 10}}                  computed on the spot
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, ClassVar, Literal, NamedTuple, TypedDict, cast

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


class FactSpec(NamedTuple):
    """A fact that is computed on the spot: what its number is, its arguments, whether it is of a network."""

    meaning: str
    arguments: tuple[str, ...] = ()
    needs_arm: bool = False


FACTS = {
    "running_statistics": FactSpec(
        "share of the batch's mean that the running mean has reached after `steps` equal batches: "
        "1 − (1 − momentum)^steps",
        ("momentum", "steps"),
    ),
    "equivariance": FactSpec(
        "largest |f(Tx) − T f(x)| over the largest |f(x)|, f a layer of the arm's network at initialization "
        "(`logits`: its output, which has no positions), T a roll of the image by `shift` pixels",
        ("shift",),
        needs_arm=True,
    ),
    "contrast_invariance": FactSpec(
        "largest change of a logit of the arm's network at initialization when each pixel x becomes "
        "factor · x + offset, over the largest logit",
        ("factor", "offset"),
        needs_arm=True,
    ),
}
"""Facts by name; `trainlab.claims.measured_facts` computes them in float64 on random images."""


ShiftAmount = float | Mapping[str, float]
"""How much of a shift; of `statistics`, {mean, std}."""


class ShiftMeasures(TypedDict, total=False):
    """Accuracy and agreement with the unshifted predictions (shares), loss in nats; of a probe accuracy."""

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


class CheckpointSource(BaseSource):
    """What is measured of the run's last checkpoint once the run is over.

    `request` says what to do, and is its name in the cache; `measured` is the number that is taken of it.
    """

    @property
    def request(self) -> dict[str, object]:
        """One key: the name of a shift with its amount, or `probe` with its settings."""
        raise NotImplementedError

    @property
    def measured(self) -> Literal["accuracy", "loss", "agreement"]:
        """Which of the measures."""
        return "accuracy"


class ShiftSource(CheckpointSource):
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

    @property
    def request(self) -> dict[str, object]:
        return self.shift

    @property
    def measured(self) -> Literal["accuracy", "loss", "agreement"]:
        return self.measure

    def unit(self) -> str:
        """Accuracy and agreement are shares."""
        return self._share() if self.measure != "loss" else super().unit()


class ProbeRequest(StrictModel):
    """Which layer a probe reads, and to how many training images it is fitted at most.

    A layer is named as `trainlab anatomy` names it; `input` are the normalized pixels, `logits` the output.
    """

    layer: Annotated[str, Field(min_length=1)]
    images: Annotated[int, Field(ge=20)] = 2000


class ProbeSource(CheckpointSource):
    """The test accuracy of a linear classifier on what a layer of the last checkpoint makes of the images."""

    kind: ClassVar[str] = "probe"
    probe: ProbeRequest

    @property
    def request(self) -> dict[str, object]:
        return {"probe": self.probe.model_dump()}

    def unit(self) -> str:
        """A share of the test images."""
        return self._share()


class Goal(StrictModel):
    """A metric of the training curves and the value it has to pass, downwards or upwards.

    `window`: of train/loss, recorded at each step, the mean over so many steps is taken; others are recorded
    once an epoch, as they are. `not_reached`: how a run counts that never gets there; left out, an arm with
    such a run has no mean that could be tested.
    """

    metric: Literal["train/loss", "train/acc", "val/loss", "val/acc"]
    below: float | None = None
    above: float | None = None
    window: Annotated[int, Field(ge=1)] = 20
    not_reached: Literal["longest_run"] | None = None

    @model_validator(mode="after")
    def _has_one_side(self) -> "Goal":
        if (self.below is None) == (self.above is None):
            raise ValueError("steps_to: expected one of below and above")
        return self


class StepsSource(BaseSource):
    """After how many steps a run first gets there.

    One that never does, diverged or failed is shown with the steps of the longest run, the worst there is. It
    counts with them where the goal says `not_reached: longest_run`.
    """

    kind: ClassVar[str] = "steps_to"
    steps_to: Goal


class AnatomySource(BaseSource):
    """A fact of the arm's network: of one layer, or summed over all.

    `out_shape` and `receptive_field` (height and width in pixels of the image) need a layer.
    """

    kind: ClassVar[str] = "anatomy"
    anatomy: Literal["parameters", "multiply_adds", "out_shape", "receptive_field", "size_formula_failures"]
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


class FactSource(BaseSource):
    """A fact of `FACTS`, computed on the spot: of a layer by itself, or of the arm's network."""

    kind: ClassVar[str] = "fact"
    fact: str
    layer: LayerName | None = None
    arguments: dict[str, float | int] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _known(self) -> "FactSource":
        require_known("fact", self.fact, FACTS)
        for name in self.arguments:
            require_known(f"argument of fact {self.fact}", name, FACTS[self.fact].arguments)
        if (self.layer is None) == (self.fact == "equivariance"):
            expected = "a layer" if self.layer is None else "no layer"
            raise ValueError(f"fact {self.fact}: expected {expected}")
        return self


_KINDS = ("metric", "signal", "shift", "probe", "steps_to", "anatomy", "theory", "batchnorm", "fact")


def _kind(value: object) -> str | None:
    if isinstance(value, BaseSource):
        return value.kind
    return next((name for name in _KINDS if isinstance(value, dict) and name in value), None)


Source = Annotated[
    Annotated[MetricSource, Tag("metric")]
    | Annotated[SignalSource, Tag("signal")]
    | Annotated[ShiftSource, Tag("shift")]
    | Annotated[ProbeSource, Tag("probe")]
    | Annotated[StepsSource, Tag("steps_to")]
    | Annotated[AnatomySource, Tag("anatomy")]
    | Annotated[TheorySource, Tag("theory")]
    | Annotated[BatchNormSource, Tag("batchnorm")]
    | Annotated[FactSource, Tag("fact")],
    Discriminator(
        _kind,
        custom_error_type="source",
        custom_error_message=f"expected a source: a mapping with one of {', '.join(_KINDS)}",
    ),
]
_MODELS = (
    BaseSource, CheckpointSource, MetricSource, SignalSource, ShiftSource, ProbeSource, StepsSource,
    AnatomySource, TheorySource, BatchNormSource, FactSource,
)  # fmt: skip
for _model in _MODELS:
    _model.model_rebuild()


def needs_run(source: BaseSource) -> bool:
    """Whether the arm has to be trained for it."""
    of_a_run = MetricSource | SignalSource | CheckpointSource | StepsSource
    return any(isinstance(part, of_a_run) or needs_statistics(part) for part in source.parts())


def needs_statistics(source: BaseSource) -> bool:
    """Whether it is measured of the BatchNorm layers of the run's checkpoint."""
    return isinstance(source, BatchNormSource) and source.batchnorm == "lag"


def needs_weights(source: BaseSource) -> bool:
    """Whether it is measured of the run's checkpoint."""
    return isinstance(source, CheckpointSource) or needs_statistics(source)
