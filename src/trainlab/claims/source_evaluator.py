"""A source becomes a number for each arm and seed, from the records of the claim's runs."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import ParamSpec, TypeVar, cast

from trainlab.analysis.compare import OTHER_METRICS
from trainlab.analysis.phase_diagram import PhaseDiagram
from trainlab.claims.batchnorm_facts import batchnorm_facts, batchnorm_lags
from trainlab.claims.measured_facts import measured_fact
from trainlab.claims.network_facts import (
    LayerFacts,
    LayerTheory,
    NetworkFacts,
    mean_field_value,
    network_facts,
    phase_diagram,
    size_formula_failures,
    theory_layers,
)
from trainlab.claims.shift_evaluation import Shift, evaluate_shifts, known_shifts, shift_key
from trainlab.claims.sources import (
    FACTS,
    AnatomySource,
    BaseSource,
    BatchNormSource,
    CheckpointSource,
    FactSource,
    MetricSource,
    ShiftMeasures,
    SignalSource,
    StepsSource,
    TheorySource,
    needs_run,
    needs_statistics,
)
from trainlab.claims.spec import PhaseGrid
from trainlab.claims.table_reader import TableReader
from trainlab.claims.untestable import SeedOutcomes
from trainlab.errors import RequestError
from trainlab.runs import Result, RunFolder
from trainlab.runs.worst_values import (
    COUNTED_STATUSES,
    WorstReason,
    counted_value,
    guessing_accuracy,
    log10_ratio,
    shared_guessing,
    worst_reason,
    worst_value,
)
from trainlab.settings import Settings
from trainlab.sweeps.forkserver import ForkServer

P = ParamSpec("P")
R = TypeVar("R")
Layer = TypeVar("Layer", LayerFacts, LayerTheory)

MAX_ARMS_NAMED = 4
"""Arms with a worst value up to which each is named."""

RunFolders = Mapping[str, Mapping[int, Path]]
"""The folder of each arm's run of each seed."""


@dataclass
class SourceEvaluator:
    """Evaluates sources on the runs of a claim and the networks of its arms.

    `settings` are those of each arm; of an arm that is trained, identified ones. What needs torch is
    called in a process of `server`, once.
    """

    runs: RunFolders
    settings: Mapping[str, Settings]
    server: ForkServer
    _answers: dict[str, object] = field(default_factory=dict)
    _tables: TableReader = field(default_factory=TableReader)
    _shift_measures: dict[tuple[Path, str], ShiftMeasures] = field(default_factory=dict)
    _lags: dict[Path, float] = field(default_factory=dict)

    @cached_property
    def results(self) -> dict[str, dict[int, Result]]:
        """The record of every run."""
        return {
            arm: {seed: _finished_result(path) for seed, path in folders.items()}
            for arm, folders in self.runs.items()
        }

    def learned(self, arms: Sequence[str]) -> dict[str, dict[int, bool]]:
        """Whether each run learned, by its own verdict."""
        return {
            arm: {seed: result.verdict.learned is True for seed, result in self.results[arm].items()}
            for arm in arms
        }

    def reached(self, sources: Sequence[BaseSource], arms: Sequence[str]) -> SeedOutcomes:
        """Whether each run gets to the goals of these sources; empty where they have none, or all say how a
        run counts that does not get there."""
        goals = [part for source in sources for part in source.parts() if isinstance(part, StepsSource)]
        open_ended = [goal for goal in goals if goal.steps_to.not_reached is None]
        if not open_ended:
            return {}
        return {
            arm: {
                seed: all(self._first_step(goal, arm, seed) is not None for goal in open_ended)
                for seed in self.runs[arm]
            }
            for arm in arms
        }

    def values(self, source: BaseSource, arms: Sequence[str]) -> dict[str, dict[int, float]]:
        """The source's value of every run: none is left out.

        A run that diverged or failed has the worst value (`runs.worst_values`): infinite for a loss, NaN for
        a quantity that has no worst one.

        Raises:
            RequestError: a quantity was not recorded, or cannot be evaluated.
        """
        return {arm: {seed: self._value(source, arm, seed) for seed in self.runs[arm]} for arm in arms}

    def worst_note(self, sources: Sequence[BaseSource], arms: Sequence[str]) -> str:
        """How many runs of each arm count with the worst value of one of these sources, and why; empty where
        none does. Of many arms, such as the cells of a grid, their sum."""
        by_arm = {arm: Counter(self._worst_reasons(sources, arm)) for arm in dict.fromkeys(arms)}
        numbers = {arm: len(self.runs[arm]) for arm in by_arm}
        if sum(map(bool, by_arm.values())) > MAX_ARMS_NAMED:
            by_arm, numbers = {"": sum(by_arm.values(), Counter())}, {"": sum(numbers.values())}
        parts = [
            f"{count} of {numbers[arm]} {arm or 'runs'}: {why}"
            for arm, counts in by_arm.items()
            for why, count in counts.items()
        ]
        return f"with the worst value: {', '.join(parts)}" if parts else ""

    def _worst_reasons(self, sources: Sequence[BaseSource], arm: str) -> Iterator[WorstReason]:
        """Of every run that has one, its first."""
        for seed in self.runs[arm]:
            reasons = (self._worst_reason(source, arm, seed) for source in sources)
            if reason := next(filter(None, reasons), None):
                yield reason

    def _worst_reason(self, source: BaseSource, arm: str, seed: int) -> WorstReason | None:
        """Why the value of a run is not one that was measured."""
        if not needs_run(source):
            return None
        status, value = self.results[arm][seed].status, self._value(source, arm, seed)
        if status in COUNTED_STATUSES and (any(map(_is_outcome, source.parts())) or math.isnan(value)):
            return worst_reason(status, None)
        if any(
            isinstance(part, StepsSource) and self._first_step(part, arm, seed) is None
            for part in source.parts()
        ):
            return "not reached"
        if source.log10 or source.over is not None:
            measured = self._value(source.model_copy(update={"over": None, "log10": False}), arm, seed)
            divisor = 1.0 if source.over is None else self._value(source.over, arm, seed)
            if divisor == 0 or (source.log10 and measured == 0):
                return "exact zero"
        return None if math.isfinite(value) else "not a number"

    def number(self, source: BaseSource, arm: str | None) -> float:
        """The value of a source that needs no run and is a single number."""
        value = self.fact(source, arm)
        if not isinstance(value, int | float):
            raise RequestError(f"{source.kind}: got {value}, expected a single number")
        return float(value)

    def fact(self, source: BaseSource, arm: str | None) -> float | list[int]:
        """The value of a source that needs no run: a number, or a shape."""
        if isinstance(source, AnatomySource):
            value = self._anatomy(source, _require_arm(arm, source))
            if isinstance(value, list):
                return value
        elif isinstance(source, TheorySource):
            value = self._theory(source, arm)
        elif isinstance(source, BatchNormSource):
            frozen = self.settings[_require_arm(arm, source)].to_json()
            value = self._call_once(batchnorm_facts, frozen)[source.batchnorm]
        elif isinstance(source, FactSource):
            value = self._measured_fact(source, arm)
        else:
            raise TypeError(f"{source.kind} is not a fact")
        return _relate(source, value, lambda other: self.number(other, arm))

    def facts_by_layer(
        self, source: BaseSource, arm: str | None, layers: Sequence[str]
    ) -> dict[str, float | list[int]]:
        """The value of a source that needs no run, of each of these layers in its place."""
        return {name: self.fact(source.model_copy(update={"layer": name}), arm) for name in layers}

    def _value(self, source: BaseSource, arm: str, seed: int) -> float:
        if not needs_run(source):
            return self.number(source, arm)
        if isinstance(source, MetricSource):
            value = self._metric(source, arm, seed)
        elif isinstance(source, SignalSource):
            value = self._tables.signal(source, self.results[arm][seed], self.runs[arm][seed], arm)
        elif isinstance(source, CheckpointSource):
            value = self._of_checkpoint(source, arm, seed)
        elif isinstance(source, StepsSource):
            value = self._steps(source, arm, seed)
        elif needs_statistics(source):
            value = self._lag(arm, seed)
        else:
            value = self.number(source.model_copy(update=_ALONE), arm)
        if self._lost_its_relation(source, arm, seed):
            return math.nan
        return _relate(source, value, lambda other: self._value(other, arm, seed))

    def _lost_its_relation(self, source: BaseSource, arm: str, seed: int) -> bool:
        """Whether two worst values would be related, of a run that diverged or failed: their difference would
        be 0, which is the best value of a loss of accuracy."""
        is_related = source.minus is not None or source.over is not None
        return is_related and _is_outcome(source) and self.results[arm][seed].status in COUNTED_STATUSES

    # Of a run

    def _metric(self, source: MetricSource, arm: str, seed: int) -> float | None:
        result = self.results[arm][seed]
        if source.metric == "learned":
            return float(result.verdict.learned is True)
        if not _is_outcome(source):
            return getattr(result, source.metric)
        value, _ = counted_value(result, source.metric, guessing=self._guessing(arm))
        if value is None and result.status == "finished":
            raise RequestError(f"arm '{arm}': no {source.metric} was recorded")
        return value

    def _guessing(self, arm: str) -> float | None:
        """The accuracy of guessing on the arm's data, by its records, else 1/K."""
        known = shared_guessing(self.results[arm].values())
        return known or guessing_accuracy({}, self.settings[arm].data.num_classes)

    def _steps(self, source: StepsSource, arm: str, seed: int) -> float:
        reached = self._first_step(source, arm, seed)
        return float(self._most_steps if reached is None else reached)

    def _first_step(self, source: StepsSource, arm: str, seed: int) -> int | None:
        return self._tables.first_step(source.steps_to, self.results[arm][seed], self.runs[arm][seed])

    @property
    def _most_steps(self) -> int:
        """The steps of the longest run."""
        return max(result.steps or 0 for by_seed in self.results.values() for result in by_seed.values())

    def _of_checkpoint(self, source: CheckpointSource, arm: str, seed: int) -> float | None:
        result = self.results[arm][seed]
        if result.status in COUNTED_STATUSES:
            return worst_value(source.measured, guessing_accuracy(result.data) or self._guessing(arm))
        key = self.runs[arm][seed], shift_key(source.request)
        if key not in self._shift_measures:
            self.evaluate_ahead({arm: [source]})
        return self._shift_measures[key][source.measured]

    def _lag(self, arm: str, seed: int) -> float | None:
        if self.results[arm][seed].status in COUNTED_STATUSES:
            return None
        if self.runs[arm][seed] not in self._lags:
            results = self.results[arm]
            folders = [p for s, p in self.runs[arm].items() if results[s].status not in COUNTED_STATUSES]
            missing = [path for path in folders if path not in self._lags]
            self._lags |= dict(zip(missing, self._call_once(batchnorm_lags, missing), strict=True))
        return self._lags[self.runs[arm][seed]]

    def evaluate_ahead(self, sources: Mapping[str, Sequence[CheckpointSource]]) -> None:
        """Evaluates the shifts and probes of each arm in one process an arm, so that images are read once.

        What was evaluated before is read where it lies, and starts no process.
        """
        for arm, shift_sources in sources.items():
            if not shift_sources:
                continue
            shifts: list[Shift] = [source.request for source in shift_sources]
            results = self.results[arm]
            found = {
                path: known_shifts(path, shifts)
                for seed, path in self.runs[arm].items()
                if results[seed].status not in COUNTED_STATUSES
            }
            missing = [path for path, known in found.items() if known is None]
            if missing:
                found |= self._call_once(evaluate_shifts, missing, shifts)
            for folder, by_shift in found.items():
                self._shift_measures |= {(folder, key): known for key, known in (by_shift or {}).items()}

    # Of a network

    def network_facts(self, arm: str) -> NetworkFacts:
        """The layers of an arm's network."""
        return self._call_once(network_facts, self.settings[arm].to_json())

    def theory_layers(self, arm: str) -> list[LayerTheory]:
        """What theory says of the layers of an arm."""
        return self._call_once(theory_layers, self.settings[arm].to_json())

    def phase_diagram(self, grid: PhaseGrid | None, cells: Sequence[str]) -> PhaseDiagram:
        """What became of each cell of a grid, seed by seed, and what theory says of it."""
        if grid is None:
            raise RequestError("a boundary is of a grid: expected `grid`")
        folders = [path for arm in cells for path in self.runs[arm].values()]
        return self._call_once(phase_diagram, folders, grid.scale)

    def _anatomy(self, source: AnatomySource, arm: str) -> float | list[int]:
        network = self.network_facts(arm)
        if source.anatomy == "size_formula_failures":
            return size_formula_failures(network)
        layers = network.layers if source.layer is None else [_find_layer(network.layers, source.layer, arm)]
        if source.anatomy == "out_shape":
            return list(layers[-1].out_shape)
        if source.anatomy == "receptive_field":
            if (field := layers[-1].receptive_field) is None:
                raise RequestError(f"arm '{arm}': the receptive field of {layers[-1].name} is not known")
            return list(field)
        if source.anatomy == "parameters":
            return sum(layer.parameters for layer in layers)
        return sum(layer.multiply_adds for layer in layers)

    def _theory(self, source: TheorySource, arm: str | None) -> float:
        if source.arguments is not None:
            return self._call_once(mean_field_value, source.theory, source.arguments)
        layers = self.theory_layers(_require_arm(arm, source))
        predicted = [layer for layer in layers if getattr(layer, source.theory) is not None]
        return getattr(_find_layer(predicted, str(source.layer), arm), source.theory)

    def _measured_fact(self, source: FactSource, arm: str | None) -> float:
        frozen = self.settings[_require_arm(arm, source)].to_json() if FACTS[source.fact].needs_arm else ""
        return self._call_once(measured_fact, source.fact, source.arguments, source.layer, frozen)

    def _call_once(self, function: Callable[P, R], *arguments: P.args, **keywords: P.kwargs) -> R:
        """What a function returns that is called in a process of its own, once. Raises RequestError."""
        key = f"{function.__qualname__} {arguments}"
        if key not in self._answers:
            self._answers[key] = self.server.call(function, *arguments, **keywords)
        return cast(R, self._answers[key])


_ALONE = {"minus": None, "over": None, "log10": False}
"""A source without what it is related to."""


def _is_outcome(source: BaseSource) -> bool:
    """Whether it is of the trained network: what a run that diverged or failed does not have."""
    if isinstance(source, MetricSource):
        return source.metric == "learned" or source.metric not in OTHER_METRICS
    return isinstance(source, CheckpointSource | StepsSource)


def _relate(source: BaseSource, value: float | None, evaluate: Callable[[BaseSource], float]) -> float:
    """The value less, or over, that of another source; its logarithm (log10: true). NaN for what has none."""
    if value is None:
        return math.nan
    if source.minus is not None:
        value -= evaluate(source.minus)
    divisor = 1.0 if source.over is None else evaluate(source.over)
    if source.log10:
        return log10_ratio(value, divisor)
    if divisor == 0:
        return math.copysign(math.inf, value) if value else math.nan
    return value / divisor


def _require_arm(arm: str | None, source: BaseSource) -> str:
    if arm is None:
        raise RequestError(f"{source.kind}: expected an arm, whose network is meant")
    return arm


def _find_layer(layers: Sequence[Layer], name: str, arm: str | None) -> Layer:
    if layers and name in ("first", "last"):
        return layers[0 if name == "first" else -1]
    named = {layer.name: layer for layer in layers}
    if name not in named:
        raise RequestError(f"arm '{arm}': no layer '{name}'; its layers: {', '.join(named)}")
    return named[name]


def _finished_result(path: Path) -> Result:
    result = RunFolder(path).result()
    if result is None:
        raise RequestError(f"run {path.name} is not finished")
    return result
