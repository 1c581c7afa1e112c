"""`claim.yaml`: a statement, the arms that test it, what is expected of them, and at what scale it is run.

Everything is checked here that can be checked without composing a run: types, ranges, names of arms.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator

from trainlab.claims import expectations as kinds
from trainlab.claims.expectations import Arm, Boundary, Expectation, Overrides, Text
from trainlab.claims.sources import Source, Strict, is_of_run, known
from trainlab.errors import RequestError, closest
from trainlab.signals.catalogue import OF_LAYER

COLLECTIONS = ("course", "papers")
"""Claims that are read, and judged, together."""
FEWEST_SEEDS = 5
"""Fewer say nothing: 3 against 0 of 3 is p = 0.10 (Fisher)."""
FEWEST_FOR_BOOTSTRAP = 10
"""The percentile bootstrap of fewer values is too narrow."""


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

    kind: Literal["curves", "arms", "sources", "interaction", "heat_map", "depth", "layers", "phase_diagram"]
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


class Grid(Strict):
    """Every pair of a scale and a depth is an arm: a cell of a phase diagram."""

    scale: Text
    """The setting that is the x axis: `init.sigma_w2`."""
    scales: list[float] = Field(min_length=2)
    depths: list[int] = Field(min_length=2)

    def cells(self) -> dict[Arm, Overrides]:
        """The arms, by depth, then scale."""
        return {
            self.name(scale, depth): [f"{self.scale}={scale:g}", f"depth={depth}"]
            for depth in self.depths
            for scale in self.scales
        }

    @staticmethod
    def name(scale: float, depth: int) -> Arm:
        """What a cell is called."""
        return f"{scale:g} × {depth}"


class Tuning(Strict):
    """Each arm gets the candidate that is best for it on validation, on seeds that no expectation sees."""

    candidates: list[Overrides] = Field(min_length=2)
    arms: list[Arm] | None = None
    """Which are tuned; all when left out."""
    seeds: Annotated[int, Field(ge=1)] = 1
    """How many seeds each candidate is tried on."""


class Profiles(Strict):
    """The budgets: for two cores, and as in the source."""

    cpu: Profile
    gpu: Profile


class Claim(Strict):
    """One claim. `order` is its place in its collection; `attempt` (`try` in the file) what to try next."""

    collection: Literal["course", "papers"] = "course"

    statement: Text
    question: Text
    source: Text
    order: int
    common: Overrides = Field(default_factory=list)
    arms: dict[Arm, Overrides] = Field(min_length=1)
    grid: Grid | None = None
    """Further arms: its cells."""
    tune: Tuning | None = None
    profiles: Profiles
    expectations: list[Expectation] = Field(min_length=1)
    differs: Text
    attempt: Text = Field(alias="try")
    figure: Figure

    @model_validator(mode="before")
    @classmethod
    def _with_cells(cls, content: Any) -> Any:
        """The cells of a grid become arms where it can be read; its faults are told with the others."""
        try:
            cells = Grid.model_validate(content["grid"]).cells()
        except (KeyError, TypeError, ValidationError):
            return content
        return {**content, "arms": {**content.get("arms", {}), **cells}}

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
        needs_grid = [e for e in self.expectations if isinstance(e, Boundary)]
        if self.grid is None and (needs_grid or self.figure.kind == "phase_diagram"):
            raise ValueError("a boundary and a phase diagram are of a grid: expected `grid`")
        return self

    def _named_arms(self) -> Iterator[tuple[str, list[Arm]]]:
        for number, expectation in enumerate(self.expectations, start=1):
            yield f"expectation {number}", expectation.arms()
        yield "figure", self.shown_arms
        yield "tune", (self.tune.arms if self.tune is not None else None) or []

    @property
    def shown_arms(self) -> list[Arm]:
        """The arms in the picture: those that it names, or all."""
        return self.figure.arms or list(self.arms)

    @property
    def cells(self) -> dict[Arm, Overrides]:
        """The arms that are cells of the grid."""
        return {} if self.grid is None else self.grid.cells()

    @property
    def tuned_arms(self) -> list[Arm]:
        """The trained arms that get their best candidate, in the file's order."""
        if self.tune is None:
            return []
        return [arm for arm in self.trained_arms if self.tune.arms is None or arm in self.tune.arms]

    @property
    def trained_arms(self) -> list[Arm]:
        """The arms that are trained, in the file's order: all that an expectation on runs, or a picture of
        runs, looks at."""
        wanted: set[Arm] = set()
        for expectation in self.expectations:
            of_runs = [is_of_run(source) for source in expectation.sources()] or [True]
            if any(of_runs):
                wanted |= set(expectation.arms())
            if isinstance(expectation, Boundary):
                wanted |= set(self.cells)
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


_MODELS = (
    Claim, Profiles, Profile, Seeds, Figure, Grid, Tuning, kinds.More, kinds.Order, kinds.Interaction,
    kinds.Same, kinds.Bound, kinds.Near, kinds.Learns, kinds.Exact, kinds.Boundary,
)  # fmt: skip
