"""`claim.yaml`: a statement, the arms that test it, what is expected of them, and at what scale it is run.

Everything is checked here that can be checked without composing a run: types, ranges, names of arms.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import Field, PlainValidator, ValidationError, model_validator

from trainlab.claims.expectations import (
    ArmName,
    Exact,
    Expectation,
    NonEmptyStr,
    Overrides,
    PhaseBoundary,
    PositiveFloat,
    RunOverride,
    Tested,
    override_key,
)
from trainlab.claims.picture_catalogue import PICTURES, PICTURES_OF_RUNS
from trainlab.claims.sources import BaseSource, Source, StrictModel, needs_run, needs_weights, require_known
from trainlab.errors import RequestError
from trainlab.signals.catalogue import LAYER_QUANTITIES

COLLECTION_NAMES = ("course", "papers")
"""Claims that are read, and judged, together."""
PROFILE_NAMES = ("quick", "full", "gpu")
"""The budgets that a claim may have: two cores; real size and data; a GPU."""
MIN_SEEDS = 3
"""Fewer say nothing of their spread."""
MAX_SEEDS = 24
"""Up to so many the error under continuous looking is simulated."""
MIN_TUNING_SEEDS = 3
"""One seed on a small validation split chooses by chance."""
TESTABLE_SHARE = 0.1
"""Under this share of the source's steps what does not happen says nothing of the source."""

SeedCount = Annotated[int, Field(ge=MIN_SEEDS, le=MAX_SEEDS)]


class SeedCounts(StrictModel):
    """How many seeds are run first, and up to how many, one at a time, while it is undecided."""

    first: SeedCount = MIN_SEEDS
    most: SeedCount = 16

    @model_validator(mode="after")
    def _ordered(self) -> "SeedCounts":
        if self.most < self.first:
            raise ValueError(f"most={self.most}: expected at least first={self.first}")
        return self

    def looks(self) -> range:
        """After how many seeds it is judged: after each from `first` on, which e-values allow."""
        return range(self.first, self.most + 1)


class Profile(StrictModel):
    """A budget: overrides of every arm, and what scale that is, in words.

    `not_testable`: why nothing can be tested with it; then it needs neither, and nothing is run.
    """

    overrides: Overrides = Field(default_factory=list)
    scale: str = ""
    seeds: SeedCounts = SeedCounts()
    not_testable: NonEmptyStr | None = None

    @model_validator(mode="after")
    def _says_its_scale(self) -> "Profile":
        if self.not_testable is None and not self.scale:
            raise ValueError("scale is missing: what scale that is, in words (or `not_testable`, a reason)")
        return self


class FigureSpec(StrictModel):
    """Which picture answers the question, and of what."""

    kind: Literal["curves", "arms", "sources", "interaction", "heat_map", "depth", "layers", "phase_diagram"]
    title: NonEmptyStr
    arms: list[ArmName] | None = None
    of: Source | None = None
    rows: dict[NonEmptyStr, Source] = Field(default_factory=dict)
    """Of `sources`: what is measured of the first arm, by its label."""
    metric: str | Annotated[list[str], Field(min_length=2, max_length=2)] = "val/acc"
    """Of `curves`: one metric, a line an arm; or two (`[train/acc, val/acc]`), a panel an arm."""
    quantity: str = "preactivation_std"
    names: list[str] = Field(default_factory=lambda: ["", ""], min_length=2, max_length=2)
    """Of an interaction: what the lines are, and what is along the x axis."""

    @model_validator(mode="after")
    def _known(self) -> "FigureSpec":
        require_known("quantity", self.quantity, LAYER_QUANTITIES)
        if self.kind in ("arms", "interaction") and self.of is None:
            raise ValueError(f"figure: {self.kind} needs `of`, a source")
        if self.kind == "sources" and not self.rows:
            raise ValueError("figure: sources needs `rows`, a source for each label")
        return self

    def sources(self) -> list[BaseSource]:
        """What it shows, where that is sources."""
        return [*self.rows.values(), *([] if self.of is None else [self.of])]


def _parse_picture(value: object) -> str | FigureSpec:
    return (
        require_known("picture", value, PICTURES)
        if isinstance(value, str)
        else FigureSpec.model_validate(value)
    )


Picture = Annotated[str | FigureSpec, PlainValidator(_parse_picture)]
"""A named picture, or another figure of the claim's own runs."""


class PhaseGrid(StrictModel):
    """Every pair of a scale and a depth is an arm: a cell of a phase diagram."""

    scale: NonEmptyStr
    """The setting that is the x axis: `init.sigma_w2`."""
    scales: list[float] = Field(min_length=2)
    depths: list[int] = Field(min_length=2)

    def cells(self) -> dict[ArmName, Overrides]:
        """The arms, by depth, then scale."""
        return {
            cell_name(scale, depth): [f"{self.scale}={scale:g}", f"depth={depth}"]
            for depth in self.depths
            for scale in self.scales
        }


def cell_name(scale: float, depth: int) -> ArmName:
    """What a cell of a grid is called."""
    return f"{scale:g} × {depth}"


class Tuning(StrictModel):
    """Each arm gets the candidate that is best for it on validation, on seeds that no expectation sees.

    Either `candidates`, each some overrides, in no order; or a ladder: the `values` of a `setting`, which is
    widened by its own ratio while the best value of an arm is the first or the last, up to `most` values.
    """

    candidates: list[Overrides] | None = Field(default=None, min_length=2)
    setting: Annotated[RunOverride, Field(min_length=1)] | None = None
    values: list[PositiveFloat] | None = Field(default=None, min_length=3)
    most: Annotated[int, Field(ge=3)] = 9
    arms: list[ArmName] | None = None
    """Which are tuned; all when left out."""
    seeds: Annotated[int, Field(ge=1)] = 1
    """How many seeds each candidate is tried on."""

    @model_validator(mode="after")
    def _is_one_of_two(self) -> "Tuning":
        if (self.candidates is None) == (self.setting is None):
            raise ValueError("expected either `candidates`, or `setting` with its `values`")
        if (self.setting is None) != (self.values is None):
            raise ValueError("expected `setting` and `values` together")
        values = self.values or []
        if any(high <= low for low, high in itertools.pairwise(values)):
            raise ValueError(f"values={values}: expected a ladder, each value above the one before")
        if len(values) > self.most:
            raise ValueError(f"most={self.most}: expected at least as many as the {len(values)} values")
        return self

    def first_candidates(self) -> list[Overrides]:
        """What every arm is tried with at first."""
        return self.candidates if self.candidates is not None else self.rungs(self.values or [])

    def rungs(self, values: Sequence[float]) -> list[Overrides]:
        """The overrides of values of the ladder."""
        return [[f"{self.setting}={value:.6g}"] for value in values]


class Profiles(StrictModel):
    """The budgets: `quick` for two cores; perhaps `full`, real size and data, and `gpu`."""

    quick: Profile
    full: Profile | None = None
    gpu: Profile | None = None


class Lesson(StrictModel):
    """What a lesson teaches around its measurement: each a paragraph for a student."""

    explanation: NonEmptyStr
    prediction: NonEmptyStr
    answer: NonEmptyStr
    why: NonEmptyStr
    would_change: NonEmptyStr


SEED_SETTINGS = ("seed", "data.split_seed")
"""What pairs the runs of a seed over the arms."""


class Claim(StrictModel):
    """One claim. `order`: its place in its collection; `suggestion` (`try` in the file): what to try next."""

    collection: Literal["course", "papers"] = "course"

    statement: NonEmptyStr
    question: NonEmptyStr
    source: NonEmptyStr
    source_steps: Annotated[int, Field(ge=1)] | None = None
    """Training steps of the source."""
    order: int
    lesson: Lesson | None = None
    common: Overrides = Field(default_factory=list)
    arms: dict[ArmName, Overrides] = Field(min_length=1)
    grid: PhaseGrid | None = None
    """Further arms: its cells."""
    tune: Tuning | None = None
    profiles: Profiles
    expectations: list[Expectation] = Field(min_length=1)
    differs: NonEmptyStr
    also_differs: list[Literal["parameters", "steps"]] = Field(default_factory=list)
    """In what else its arms differ, which `differs` explains."""
    suggestion: NonEmptyStr = Field(alias="try")
    figure: FigureSpec
    pictures: list[Picture] = Field(default_factory=list)
    """Shown below the figure, in this order."""

    @model_validator(mode="before")
    @classmethod
    def _with_cells(cls, content: object) -> object:
        """The cells of a grid become arms where it can be read; its faults are reported with the others."""
        if not isinstance(content, dict):
            return content
        try:
            cells = PhaseGrid.model_validate(content["grid"]).cells()
            return {**content, "arms": {**content.get("arms", {}), **cells}}
        except (KeyError, TypeError, ValidationError):
            return content

    @model_validator(mode="after")
    def _consistent(self) -> "Claim":
        for place, names in self._named_arms():
            for name in names:
                require_known(f"arm in {place}", name, self.arms)
        unused = set(self.arms) - {name for _, names in self._named_arms() for name in names}
        if unused:
            raise ValueError(f"arm '{min(unused)}' is in no expectation and no figure")
        self._has_one_primary()
        self._compares_different_arms()
        needs_grid = [e for e in self.expectations if isinstance(e, PhaseBoundary)]
        if self.grid is None and (needs_grid or any(f.kind == "phase_diagram" for f in self.figures)):
            raise ValueError("a boundary and a phase diagram are of a grid: expected `grid`")
        if any(boundary.measure == "advantage" for boundary in needs_grid):
            self._has_fixed_seeds()
        return self

    def _compares_different_arms(self) -> None:
        """An arm equals itself for certain; the seed is not for an arm to set."""
        for place, lines in self._settings():
            for key in map(override_key, lines):
                if key in SEED_SETTINGS:
                    raise ValueError(f"{place}: {key} is paired over arms: not for a claim to set")
        for number, expectation in enumerate(self.expectations, start=1):
            arms = expectation.arms()
            if len(arms) == 2 and arms[0] == arms[1]:
                raise ValueError(f"expectation {number}: compares '{arms[0]}' with itself")

    def _settings(self) -> Iterator[tuple[str, Sequence[str]]]:
        """What it sets for its runs: for all, in a profile, of an arm, and what arms are tuned over."""
        yield "common", self.common
        for name in self.profile_names:
            yield f"profile {name}", self.profile(name).overrides
        for arm, lines in self.arms.items():
            yield f"arm '{arm}'", lines
        for candidate in self.tune.first_candidates() if self.tune is not None else []:
            yield "tune", candidate

    def _has_fixed_seeds(self) -> None:
        """More seeds would change the value of every scale, and not add one: no looks between."""
        for name in self.profile_names:
            profile = self.profile(name)
            if profile.not_testable is None and profile.seeds.first != profile.seeds.most:
                raise ValueError(f"{name}: an advantage is a number a scale: expected first = most of seeds")

    def _has_one_primary(self) -> None:
        tested = [expectation for expectation in self.expectations if not isinstance(expectation, Exact)]
        primary = sum(expectation.primary for expectation in tested)
        if tested and primary != 1:
            raise ValueError(f"expectations: {primary} have `primary: true`, expected exactly one")

    def profile(self, name: str) -> Profile:
        """The budget of this name. Raises RequestError where the claim has none."""
        found = getattr(self.profiles, name)
        if found is None:
            raise RequestError(f"no profile {name}; it has: {', '.join(self.profile_names)}")
        return found

    @property
    def profile_names(self) -> list[str]:
        """The budgets that it has."""
        return [name for name in PROFILE_NAMES if getattr(self.profiles, name) is not None]

    @property
    def primary(self) -> Tested | None:
        """The expectation that makes its headline; None of a claim of facts alone."""
        return next((e for e in self.expectations if e.primary and not isinstance(e, Exact)), None)

    def _named_arms(self) -> Iterator[tuple[str, list[ArmName]]]:
        for number, expectation in enumerate(self.expectations, start=1):
            yield f"expectation {number}", expectation.arms()
        yield "figure", self.shown_arms
        for number, picture in enumerate(self.pictures, start=1):
            if isinstance(picture, FigureSpec):
                yield f"picture {number}", self.arms_of(picture)
        yield "tune", (self.tune.arms if self.tune is not None else None) or []

    @property
    def shown_arms(self) -> list[ArmName]:
        """The arms in the picture: those that it names, or all."""
        return self.arms_of(self.figure)

    def arms_of(self, figure: FigureSpec) -> list[ArmName]:
        """The arms that a figure names, or all."""
        return figure.arms or list(self.arms)

    @property
    def figures(self) -> list[FigureSpec]:
        """Its figure, and those of its pictures that are drawn from its runs."""
        return [self.figure, *(picture for picture in self.pictures if isinstance(picture, FigureSpec))]

    def picture_files(self) -> dict[str, str]:
        """What the pictures below the figure show, by the names of their files, in their order."""
        return {
            f"figure-{number}.svg" if isinstance(picture, FigureSpec) else f"{picture}.svg":
            picture.title if isinstance(picture, FigureSpec) else PICTURES[picture]
            for number, picture in enumerate(self.pictures, start=2)
        }  # fmt: skip

    @property
    def cells(self) -> dict[ArmName, Overrides]:
        """The arms that are cells of the grid."""
        return {} if self.grid is None else self.grid.cells()

    @property
    def tuned_arms(self) -> list[ArmName]:
        """The trained arms that get their best candidate, in the file's order."""
        if self.tune is None:
            return []
        return [arm for arm in self.trained_arms if self.tune.arms is None or arm in self.tune.arms]

    @property
    def trained_arms(self) -> list[ArmName]:
        """The arms that are trained, in the file's order: all that an expectation on runs, or a picture of
        runs, looks at."""
        wanted: set[ArmName] = set()
        for expectation in self.expectations:
            sources = expectation.sources()
            if not sources or any(needs_run(source) for source in sources):
                wanted |= set(expectation.arms())
            if isinstance(expectation, PhaseBoundary):
                wanted |= set(self.cells)
        for figure in self.figures:
            if figure.kind != "layers":
                wanted |= set(self.arms_of(figure))
        if PICTURES_OF_RUNS & {picture for picture in self.pictures if isinstance(picture, str)}:
            wanted |= set(self.shown_arms[-1:])
        return [arm for arm in self.arms if arm in wanted]

    @property
    def all_sources(self) -> list[BaseSource]:
        """Every source of every expectation and figure, with those that they are related to."""
        sources = [source for expectation in self.expectations for source in expectation.sources()]
        sources += [source for figure in self.figures for source in figure.sources()]
        return [part for source in sources for part in source.parts()]

    @property
    def needs_weights(self) -> bool:
        """Whether something is measured of the checkpoints of its runs."""
        return any(map(needs_weights, self.all_sources))
