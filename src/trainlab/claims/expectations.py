"""What is expected of a claim's arms, and of which numbers: one class a kind, named in the file by `kind`."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from trainlab.claims.sources import (
    BaseSource,
    SignalSource,
    Source,
    StrictModel,
    TheorySource,
    needs_run,
)

NonEmptyStr = Annotated[str, Field(min_length=1)]
FiniteFloat = Annotated[float, Field(allow_inf_nan=False)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
ArmName = str


def override_key(override: str) -> str:
    """What an override sets: `optimizer.lr` of `+optimizer.lr=0.1`."""
    return override.lstrip("+~").partition("=")[0].strip()


def _check_run_override(override: str) -> str:
    """An override of a run's own settings: what this machine does with runs is not for a claim to decide."""
    key = override_key(override)
    group = key.partition(".")[0].partition("@")[0].partition("/")[0]
    if group in FORBIDDEN_GROUPS or key.startswith("logger."):
        raise ValueError(f"{key} is not for a claim to set: expected settings of the run itself")
    if "${" in override:
        raise ValueError(f"{key} is an interpolation: expected a plain value")
    return override


FORBIDDEN_GROUPS = ("paths", "hydra", "sweep")
RunOverride = Annotated[str, AfterValidator(_check_run_override)]
Overrides = list[RunOverride]


class ExpectedMean(StrictModel):
    """The effect that a design is made for: mean and standard deviation over seeds of what is tested.

    Of a paired contrast they are those of the differences; of `near`, of the number itself, or, for several
    layers, of its relative error.
    """

    mean: FiniteFloat
    sd: Annotated[FiniteFloat, Field(gt=0)]


Share = Annotated[float, Field(ge=0, le=1)]


class BaseExpectation(StrictModel):
    """What all expectations have. `description` (`says` in the file) is the expectation in words.

    `primary`: it makes the claim's headline; the others are tested after it and shown beside it.
    """

    description: NonEmptyStr = Field(alias="says")
    primary: bool = False

    def arms(self) -> list[ArmName]:
        """The arms that it looks at."""
        raise NotImplementedError

    def sources(self) -> list[BaseSource]:
        """What it measures of each arm."""
        return []


class MeanExpectation(BaseExpectation):
    """An expectation on the mean over seeds. `expects`: what the design is made for, from a pilot."""

    of: Source
    expects: ExpectedMean | None = None

    def sources(self) -> list[BaseSource]:
        return [self.of]


class GreaterBy(MeanExpectation):
    """`more` exceeds `than` by at least `by` (the minimum effect), seeds paired."""

    kind: Literal["more"]
    more: ArmName
    than: ArmName
    by: FiniteFloat = 0.0

    def arms(self) -> list[ArmName]:
        return [self.more, self.than]


class Ordered(MeanExpectation):
    """Each arm exceeds the next by at least `by`."""

    kind: Literal["order"]
    order: list[ArmName] = Field(min_length=2)
    by: FiniteFloat = 0.0

    def arms(self) -> list[ArmName]:
        return self.order


class Interaction(MeanExpectation):
    """(a − b) − (c − d) is at least `by`: what one factor does depends on the other."""

    kind: Literal["interaction"]
    pair: list[ArmName] = Field(min_length=2, max_length=2)
    against: list[ArmName] = Field(min_length=2, max_length=2)
    by: FiniteFloat = 0.0

    def arms(self) -> list[ArmName]:
        return [*self.pair, *self.against]


class Equivalent(MeanExpectation):
    """The two arms differ by less than `within` (two one-sided tests)."""

    kind: Literal["same"]
    same: list[ArmName] = Field(min_length=2, max_length=2)
    within: PositiveFloat

    def arms(self) -> list[ArmName]:
        return self.same


class OneSided(MeanExpectation):
    """What is at least, or at most, a number."""

    at_least: FiniteFloat | None = None
    at_most: FiniteFloat | None = None

    @model_validator(mode="after")
    def _has_one_bound(self) -> "OneSided":
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("expected one of at_least and at_most")
        return self

    @property
    def bound(self) -> float:
        """The number."""
        return (self.at_most if self.at_least is None else self.at_least) or 0.0


class Threshold(OneSided):
    """The mean over seeds of one arm is at least, or at most, a number."""

    kind: Literal["bound"]
    arm: ArmName

    def arms(self) -> list[ArmName]:
        return [self.arm]


class Slope(OneSided):
    """The slope of a straight line through the arms of each seed, by least squares.

    `slope`: {arm: x}, the number of each arm. With `less`, its slope is subtracted. At least, or at most, a
    number, in the source's unit a unit of x.
    """

    kind: Literal["slope"]
    slope: dict[ArmName, FiniteFloat] = Field(min_length=3)
    less: dict[ArmName, FiniteFloat] | None = Field(default=None, min_length=3)

    @model_validator(mode="after")
    def _is_a_slope(self) -> "Slope":
        if any(len(set(line.values())) < 2 for line in (self.slope, self.less) if line is not None):
            raise ValueError("slope: one number for all arms, expected two at least")
        return self

    def arms(self) -> list[ArmName]:
        return list(dict.fromkeys([*self.slope, *(self.less or {})]))


class ApproxEqual(MeanExpectation):
    """The mean over seeds of one arm is a number, to within a share of it, `within`; or, for each of these
    layers of the source, its own number (two one-sided tests each)."""

    kind: Literal["near"]
    arm: ArmName
    equals: FiniteFloat | dict[str, FiniteFloat]
    within: Annotated[float, Field(gt=0, lt=1)]

    @model_validator(mode="after")
    def _is_by_layer(self) -> "ApproxEqual":
        if 0 in self.targets.values():
            raise ValueError("equals: 0 has no shares; say it with two bounds")
        if isinstance(self.equals, dict) and not isinstance(self.of, SignalSource | TheorySource):
            raise ValueError("equals: numbers by layer need a source of layers: signal or theory")
        return self

    @property
    def targets(self) -> dict[str, float]:
        """The number of each layer; a single number is of the source's own layer, named ''."""
        return self.equals if isinstance(self.equals, dict) else {"": self.equals}

    def source_of_layer(self, layer: str) -> BaseSource:
        """The source for a layer of `targets`."""
        return self.of if layer == "" else self.of.model_copy(update={"layer": layer})

    def sources(self) -> list[BaseSource]:
        """One a layer."""
        return [self.source_of_layer(layer) for layer in self.targets]

    def arms(self) -> list[ArmName]:
        return [self.arm]


class ExpectedShares(StrictModel):
    """The shares of runs that learn which a design is made for, of `arm` and of the one beside it."""

    arm: Share
    unlike: Share | None = None
    than: Share | None = None


class Learns(BaseExpectation):
    """`arm` learns in more than half of its runs; with `unlike`: and that one in less than half."""

    kind: Literal["learns"]
    arm: ArmName
    unlike: ArmName | None = None
    expects: ExpectedShares | None = None

    @model_validator(mode="after")
    def _expects_its_arms(self) -> "Learns":
        _require_shares(self.expects, ["arm"] if self.unlike is None else ["arm", "unlike"])
        return self

    def arms(self) -> list[ArmName]:
        return [self.arm] if self.unlike is None else [self.arm, self.unlike]


class LearnsMoreOften(BaseExpectation):
    """`arm` learns more often than `than`; how often either learns is left open."""

    kind: Literal["more_often"]
    arm: ArmName
    than: ArmName
    expects: ExpectedShares | None = None

    @model_validator(mode="after")
    def _expects_its_arms(self) -> "LearnsMoreOften":
        _require_shares(self.expects, ["arm", "than"])
        return self

    def arms(self) -> list[ArmName]:
        return [self.arm, self.than]


def _require_shares(expects: ExpectedShares | None, names: Sequence[str]) -> None:
    if expects is None:
        return
    given = [name for name in ("arm", "unlike", "than") if getattr(expects, name) is not None]
    if given != list(names):
        raise ValueError(f"expects: got {', '.join(given)}, expected {', '.join(names)}")


class AtChance(BaseExpectation):
    """`arm` does not learn: it stays at chance. `expects.arm`: the share of runs that learn after all."""

    kind: Literal["chance"]
    arm: ArmName
    expects: ExpectedShares | None = None

    @model_validator(mode="after")
    def _expects_its_arm(self) -> "AtChance":
        _require_shares(self.expects, ["arm"])
        return self

    def arms(self) -> list[ArmName]:
        return [self.arm]


class Exact(BaseExpectation):
    """A fact: equal to a number (within `within`), a shape, or one of these for each named layer."""

    kind: Literal["exact"]
    of: Source
    arm: ArmName | None = None
    equals: object
    within: Annotated[FiniteFloat, Field(ge=0)] = 0.0

    @model_validator(mode="after")
    def _needs_no_run(self) -> "Exact":
        if self.primary:
            raise ValueError("exact: a fact is counted and cannot be primary; expected one that is tested")
        if needs_run(self.of):
            raise ValueError("exact: expected a source of anatomy, theory, fact; of runs, use same or bound")
        return self

    def arms(self) -> list[ArmName]:
        """None where the source needs no network."""
        return [] if self.arm is None else [self.arm]

    def sources(self) -> list[BaseSource]:
        return [self.of]


class PhaseBoundary(BaseExpectation):
    """Of a claim with a `grid`: theory's depth scale ξ says which of its cells learn.

    `agreement`: the mean of two shares, of the cells that learn those with depth ≤ `rule` · ξ, and of those
    that do not the others; guessing gives a half. `rank_correlation`: Spearman's, over the scales, of ξ with
    the deepest that learns. Both are a number for each seed; their mean must be `at_least` so much.
    `advantage`: by how much the rule is right more often than the best depth ≤ D, which knows no ξ; a number
    for each scale, since seeds share their scales: the seeds must be fixed (`first` = `most`).
    """

    kind: Literal["boundary"]
    measure: Literal["agreement", "rank_correlation", "advantage"]
    rule: PositiveFloat = 6.0
    at_least: FiniteFloat
    expects: ExpectedMean | None = None

    def arms(self) -> list[ArmName]:
        """None by name: all cells of the grid."""
        return []


Contrast = GreaterBy | Ordered | Interaction | Equivalent | Threshold | Slope
"""The expectations on one mean, or on differences of means, over paired seeds."""

Tested = Contrast | ApproxEqual | Learns | LearnsMoreOften | AtChance | PhaseBoundary
"""The expectations that are tested: all but facts."""

Expectation = Annotated[Tested | Exact, Field(discriminator="kind")]
