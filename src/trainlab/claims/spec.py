"""`claim.yaml`: a statement, the arms that test it, what is expected of them, and at what scale it is run.

Everything is checked here that can be checked without composing a run: types, ranges, names of arms.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator

from trainlab.claims.sources import Source, Strict, is_of_run, known
from trainlab.errors import RequestError, closest
from trainlab.signals.catalogue import OF_LAYER

FEWEST_SEEDS = 5
"""Fewer say nothing: 3 against 0 of 3 is p = 0.10 (Fisher)."""
FEWEST_FOR_BOOTSTRAP = 10
"""The percentile bootstrap of fewer values is too narrow."""

Text = Annotated[str, Field(min_length=1)]
Arm = str
Overrides = list[str]


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


Expectation = Annotated[
    More | Order | Interaction | Same | Bound | Learns | Chance | Exact, Field(discriminator="kind")
]


class Seeds(Strict):
    """How many seeds are run first, and up to how many while it is undecided."""

    first: Annotated[int, Field(ge=FEWEST_SEEDS)] = FEWEST_SEEDS
    most: Annotated[int, Field(ge=FEWEST_SEEDS)] = FEWEST_SEEDS

    @model_validator(mode="after")
    def _ordered(self) -> "Seeds":
        if self.most < self.first:
            raise ValueError(f"most={self.most}: expected at least first={self.first}")
        return self

    def looks(self) -> list[int]:
        """After how many seeds it is judged: twice at most, since each look costs certainty."""
        return [self.first] if self.most == self.first else [self.first, self.most]


class Profile(Strict):
    """A budget: overrides of every arm, and what scale that is, in words."""

    overrides: Overrides
    scale: Text
    seeds: Seeds = Seeds()


class Figure(Strict):
    """Which picture answers the question, and of what."""

    kind: Literal["curves", "arms", "sources", "interaction", "heat_map", "depth", "layers"]
    title: Text
    arms: list[Arm] | None = None
    of: Source | None = None
    rows: dict[Text, Source] = Field(default_factory=dict)
    """Of `sources`: what is measured of the first arm, by its label."""
    metric: str = "val/acc"
    quantity: str = "preactivation_std"
    names: list[str] = Field(default_factory=lambda: ["", ""], min_length=2, max_length=2)
    """Of an interaction: what the lines are, and what is along the x axis."""

    @model_validator(mode="after")
    def _known(self) -> "Figure":
        known("quantity", self.quantity, OF_LAYER)
        if self.kind in ("arms", "interaction") and self.of is None:
            raise ValueError(f"figure: {self.kind} needs `of`, a source")
        if self.kind == "sources" and not self.rows:
            raise ValueError("figure: sources needs `rows`, a source for each label")
        return self

    def sources(self) -> list[Any]:
        """What it shows, where that is sources."""
        return [*self.rows.values(), *([self.of] if self.of is not None else [])]


class Profiles(Strict):
    """The budgets: for two cores, and as in the source."""

    cpu: Profile
    gpu: Profile


class Claim(Strict):
    """One claim. `order` is its place in the course; `attempt` (`try` in the file) what to try next."""

    statement: Text
    question: Text
    source: Text
    order: int
    common: Overrides = Field(default_factory=list)
    arms: dict[Arm, Overrides] = Field(min_length=1)
    profiles: Profiles
    expectations: list[Expectation] = Field(min_length=1)
    differs: Text
    attempt: Text = Field(alias="try")
    figure: Figure

    @model_validator(mode="after")
    def _consistent(self) -> "Claim":
        for place, names in self._named_arms():
            for name in names:
                known(f"arm in {place}", name, self.arms)
        unused = set(self.arms) - {name for _, names in self._named_arms() for name in names}
        if unused:
            raise ValueError(f"arm '{min(unused)}' is in no expectation and no figure")
        for profile in (self.profiles.cpu, self.profiles.gpu):
            few = profile.seeds.first < FEWEST_FOR_BOOTSTRAP
            if few and any(getattr(e, "interval", "t") == "bootstrap" for e in self.expectations):
                raise ValueError(
                    f"bootstrap of {profile.seeds.first} seeds: expected seeds.first ≥ {FEWEST_FOR_BOOTSTRAP}"
                )
        return self

    def _named_arms(self) -> Iterator[tuple[str, list[Arm]]]:
        for number, expectation in enumerate(self.expectations, start=1):
            yield f"expectation {number}", expectation.arms()
        yield "figure", self.shown_arms

    @property
    def shown_arms(self) -> list[Arm]:
        """The arms in the picture: those that it names, or all."""
        return self.figure.arms or list(self.arms)

    @property
    def trained_arms(self) -> list[Arm]:
        """The arms that are trained, in the file's order: all that an expectation on runs, or a picture of
        runs, looks at."""
        wanted: set[Arm] = set()
        for expectation in self.expectations:
            of_runs = [is_of_run(source) for source in expectation.sources()] or [True]
            if any(of_runs):
                wanted |= set(expectation.arms())
        if self.figure.kind != "layers":
            wanted |= set(self.shown_arms)
        return [arm for arm in self.arms if arm in wanted]

    @property
    def all_sources(self) -> list[Any]:
        """Every source of every expectation and of the figure, with what they are related to."""
        own = [source for expectation in self.expectations for source in expectation.sources()]
        own += self.figure.sources()
        return [part for source in own for part in source.parts()]


def read(content: Any, name: str) -> Claim:
    """The claim of a parsed file.

    Raises:
        RequestError: all faults in one line, each with where it is, what was got and what was expected.
    """
    if not isinstance(content, dict):
        raise RequestError(f"claim {name}: expected a mapping, got {type(content).__name__}")
    try:
        return Claim.model_validate(content)
    except ValidationError as error:
        faults = dict.fromkeys(_fault(dict(fault), content) for fault in error.errors())
        raise RequestError(f"claim {name}: {'; '.join(faults)}") from None


def _fault(fault: dict[str, Any], content: Any) -> str:
    place = _place(fault["loc"], content)
    if fault["type"] == "extra_forbidden":
        return f"unknown key '{place}'{_nearest(fault['loc'])}"
    if fault["type"] == "missing":
        return f"{place} is missing"
    message = fault["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if fault["type"] == "value_error":
        return f"{place}: {message}" if place else message
    if fault["type"] in ("source", "union_tag_not_found", "union_tag_invalid"):
        return f"{place}: {_tags(fault, message)}"
    return f"{place}={fault['input']!r}: expected {message}"


def _tags(fault: dict[str, Any], message: str) -> str:
    if fault["type"] != "union_tag_invalid":
        return message if fault["type"] == "source" else "kind is missing"
    available = fault["ctx"]["expected_tags"].replace("'", "").split(", ")
    near = closest(fault["ctx"]["tag"], available)
    hint = f"did you mean '{near}'? " if near else ""
    return f"unknown kind '{fault['ctx']['tag']}': {hint}available: {', '.join(available)}"


def _place(loc: tuple[str | int, ...], content: Any) -> str:
    """The path to a fault as it is written in the file: pydantic puts the names of union members between."""
    words, node = [], content
    before: str | int = ""
    for part in loc:
        of_expectation = isinstance(before, int) and isinstance(node, dict) and part == node.get("kind")
        if of_expectation or before in ("of", "minus", "over"):
            before = ""  # the member's name
            continue
        before = part
        if isinstance(node, dict):
            node = node.get(part)
        elif isinstance(node, list) and isinstance(part, int):
            node = node[part] if part < len(node) else None
            part += 1  # people count from one
        words.append(str(part))
    return ".".join(words)


def _nearest(loc: tuple[str | int, ...]) -> str:
    """The closest key that exists where the fault is."""
    fields = {field for model in _MODELS for field in _keys(model)}
    near = closest(str(loc[-1]), sorted(fields))
    return f": did you mean '{near}'?" if near else ""


def _keys(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


_MODELS = (Claim, Profiles, Profile, Seeds, Figure, More, Order, Interaction, Same, Bound, Learns, Exact)
