"""What is expected of a claim's arms, and of which numbers: one class a kind, named in the file by `kind`."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from trainlab.claims.sources import Signal, Source, Strict, Theory, is_of_run

Text = Annotated[str, Field(min_length=1)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Arm = str


def _of_a_claim(override: str) -> str:
    """A setting of a run. What this machine does with runs is not a claim's to say, whoever wrote it."""
    key = override.lstrip("+~").partition("=")[0].strip()
    if key.partition(".")[0].partition("@")[0].partition("/")[0] in NOT_A_CLAIMS or key.startswith("logger."):
        raise ValueError(f"{key} is not for a claim to set: expected settings of the run itself")
    if "${" in override:
        raise ValueError(f"{key} is an interpolation: expected a plain value")
    return override


NOT_A_CLAIMS = ("paths", "hydra", "sweep")
Overrides = list[Annotated[str, AfterValidator(_of_a_claim)]]


class _Expectation(Strict):
    says: Text
    """The expectation in words, for people."""

    def arms(self) -> list[Arm]:
        """The arms that it looks at."""
        raise NotImplementedError

    def sources(self) -> list[Any]:
        """What it measures of each."""
        return [self.of] if hasattr(self, "of") else []


class _Statistical(_Expectation):
    """An expectation on the mean over seeds; `bootstrap` for values that are far from normal."""

    of: Source
    interval: Literal["t", "bootstrap"] = "t"


class More(_Statistical):
    """`more` exceeds `than` by at least `by` (the minimum effect), seeds paired."""

    kind: Literal["more"]
    more: Arm
    than: Arm
    by: float = 0.0

    def arms(self) -> list[Arm]:
        """The two."""
        return [self.more, self.than]


class Order(_Statistical):
    """Each arm exceeds the next by at least `by`."""

    kind: Literal["order"]
    order: list[Arm] = Field(min_length=2)
    by: float = 0.0

    def arms(self) -> list[Arm]:
        """The highest first."""
        return self.order


class Interaction(_Statistical):
    """(a − b) − (c − d) is at least `by`: what one factor does depends on the other."""

    kind: Literal["interaction"]
    pair: list[Arm] = Field(min_length=2, max_length=2)
    against: list[Arm] = Field(min_length=2, max_length=2)
    by: float = 0.0

    def arms(self) -> list[Arm]:
        """a, b, c, d."""
        return [*self.pair, *self.against]


class Same(_Statistical):
    """The two arms differ by less than `within` (two one-sided tests)."""

    kind: Literal["same"]
    same: list[Arm] = Field(min_length=2, max_length=2)
    within: Annotated[float, Field(gt=0)]

    def arms(self) -> list[Arm]:
        """The two."""
        return self.same


class Bound(_Statistical):
    """The mean over seeds of one arm is at least, or at most, a number."""

    kind: Literal["bound"]
    arm: Arm
    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _one(self) -> "Bound":
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("expected one of at_least and at_most")
        return self

    def arms(self) -> list[Arm]:
        """The one."""
        return [self.arm]


class Near(_Statistical):
    """The mean over seeds of one arm is a number, give or take a share of it, `within`; or, for each of these
    layers of the source, its own number (two one-sided tests each)."""

    kind: Literal["near"]
    arm: Arm
    equals: Number | dict[str, Number]
    within: Annotated[float, Field(gt=0, lt=1)]

    @model_validator(mode="after")
    def _of_layers(self) -> "Near":
        if 0 in self.wanted.values():
            raise ValueError("equals: 0 has no shares; say it with two bounds")
        if isinstance(self.equals, dict) and not isinstance(self.of, Signal | Theory):
            raise ValueError("equals: numbers by layer need a source of layers: signal or theory")
        return self

    @property
    def wanted(self) -> dict[str, float]:
        """The number of each layer; of a single number, of the source's own (named '')."""
        return self.equals if isinstance(self.equals, dict) else {"": self.equals}

    def source(self, layer: str) -> Any:
        """The source for a layer of `wanted`."""
        return self.of if layer == "" else self.of.model_copy(update={"layer": layer})

    def arms(self) -> list[Arm]:
        """The one."""
        return [self.arm]


class Learns(_Expectation):
    """`arm` learns; with `unlike`, more often than that one, which does not (Fisher's exact test)."""

    kind: Literal["learns"]
    arm: Arm
    unlike: Arm | None = None

    def arms(self) -> list[Arm]:
        """One or two."""
        return [self.arm] if self.unlike is None else [self.arm, self.unlike]


class Chance(_Expectation):
    """`arm` does not learn: it stays at chance."""

    kind: Literal["chance"]
    arm: Arm

    def arms(self) -> list[Arm]:
        """The one."""
        return [self.arm]


class Exact(_Expectation):
    """A fact: equal to a number (within `within`), a shape, or one of these for each named layer."""

    kind: Literal["exact"]
    of: Source
    arm: Arm | None = None
    equals: Any
    within: Annotated[float, Field(ge=0)] = 0.0

    @model_validator(mode="after")
    def _fixed(self) -> "Exact":
        if is_of_run(self.of):
            raise ValueError("exact: expected a source of anatomy or theory; of runs, use same or bound")
        return self

    def arms(self) -> list[Arm]:
        """The one, or none where the source needs no network."""
        return [] if self.arm is None else [self.arm]


class Boundary(_Expectation):
    """Of a claim with a `grid`: theory's depth scale ξ says which of its cells learn.

    `agreement`: the mean of two shares, of the cells that learn those with depth ≤ `rule` · ξ, and of those
    that do not the others; guessing gives a half. `rank_correlation`: Spearman's, over the scales, of ξ with
    the deepest that learns. Both are a number for each seed; their mean must be `at_least` so much.
    """

    kind: Literal["boundary"]
    measure: Literal["agreement", "rank_correlation"]
    rule: Annotated[float, Field(gt=0)] = 6.0
    at_least: float
    interval: Literal["t", "bootstrap"] = "t"

    def arms(self) -> list[Arm]:
        """None by name: all cells of the grid."""
        return []


Expectation = Annotated[
    More | Order | Interaction | Same | Bound | Near | Learns | Chance | Exact | Boundary,
    Field(discriminator="kind"),
]
