"""A source becomes a number for each arm and seed, from the records of the claim's runs."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import polars as pl

from trainlab.analysis.phase_diagram import PhaseDiagram
from trainlab.claims.network_facts import (
    mean_field_value,
    network_layers,
    phase_diagram,
    shift_evaluations,
    theory_layers,
)
from trainlab.claims.sources import Anatomy, Metric, Shift, Signal, Theory, needs_run
from trainlab.claims.spec import PhaseGrid
from trainlab.errors import RequestError
from trainlab.runs import Result, RunFolder, read_signals
from trainlab.signals.catalogue import NETWORK
from trainlab.sweeps.forkserver import ForkServer

P = ParamSpec("P")
R = TypeVar("R")

RunFolders = Mapping[str, Mapping[int, Path]]
"""The folder of each arm's run of each seed."""


@dataclass
class SourceEvaluator:
    """What the runs of a claim, and the networks of its arms, have to say.

    `settings` are those of each arm; of an arm that is trained, identified ones.
    """

    runs: RunFolders
    settings: Mapping[str, Mapping[str, Any]]
    server: ForkServer
    _answers: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def results(self) -> dict[str, dict[int, Result]]:
        """The record of every run."""
        return {
            arm: {seed: _finished_result(path) for seed, path in of.items()} for arm, of in self.runs.items()
        }

    def learned(self, arms: Sequence[str]) -> dict[str, dict[int, bool]]:
        """Whether each run learned, as its own verdict has it."""
        return {
            arm: {seed: result.verdict.learned is True for seed, result in self.results[arm].items()}
            for arm in arms
        }

    def values(self, source: Any, arms: Sequence[str]) -> dict[str, dict[int, float]]:
        """The source's finite values; a run that has none is left out.

        Raises:
            RequestError: what is asked for was not recorded, or cannot be evaluated.
        """
        return {
            arm: {seed: value for seed in self.runs[arm] if (value := self._value(source, arm, seed))
                  is not None and math.isfinite(value)}
            for arm in arms
        }  # fmt: skip

    def fact(self, source: Any, arm: str | None, names: Sequence[str] | None = None) -> Any:
        """The value of a source that needs no run; with `names`, of each of these layers."""
        if names is not None:
            return {name: self.fact(source.model_copy(update={"layer": name}), arm) for name in names}
        if isinstance(source, Anatomy):
            value = self._anatomy(source, self._arm(arm, source))
        else:
            value = self._theory(source, arm)
        return self._related(source, value, lambda other: self.fact(other, arm))

    def _value(self, source: Any, arm: str, seed: int) -> float | None:
        if not needs_run(source):
            return float(self.fact(source, arm))
        if isinstance(source, Metric):
            value = self._metric(source, arm, seed)
        elif isinstance(source, Signal):
            value = self._signal(source, arm, seed)
        elif isinstance(source, Shift):
            value = self._shifted(source, arm, seed)
        else:
            value = float(self.fact(source.model_copy(update={"minus": None, "over": None}), arm))
        return self._related(source, value, lambda other: self._value(other, arm, seed))

    def _related(self, source: Any, value: Any, other: Any) -> Any:
        """The value less, or over, that of another source; its logarithm where that is asked for."""
        if value is None:
            return None
        if source.minus is not None:
            subtracted = other(source.minus)
            value = None if subtracted is None else value - subtracted
        if source.over is not None and value is not None:
            divisor = other(source.over)
            value = None if not divisor else value / divisor
        if source.log10 and value is not None:
            value = math.log10(value) if value > 0 else -math.inf
        return value

    # Of a run

    def _metric(self, source: Metric, arm: str, seed: int) -> float | None:
        result = self.results[arm][seed]
        value = result.metrics.get(source.metric)
        if value is None and source.metric in ("seconds", "parameters", "epochs", "steps"):
            return getattr(result, source.metric)
        if value is None and result.status == "diverged" and source.metric.endswith("/acc"):
            return 1 / self.settings[arm]["data"]["num_classes"]
        return value

    def _signal(self, source: Signal, arm: str, seed: int) -> float | None:
        rows = self._signals(self.runs[arm][seed]).filter(pl.col("quantity") == source.signal)
        if rows.is_empty():
            raise RequestError(f"arm '{arm}': no {source.signal} was recorded")
        steps = rows["step"].unique().sort().to_list()
        step = steps[-1] if source.step < 0 else min(steps, key=lambda s: abs(s - source.step))
        rows = rows.filter(pl.col("step") == step)
        layers = rows["layer"].to_list()
        named = {"first": layers[0], "last": layers[-1], NETWORK: NETWORK}
        layer = named.get(source.layer, source.layer)
        if layer not in layers:
            raise RequestError(f"arm '{arm}': no layer '{layer}'; its layers: {', '.join(layers)}")
        return rows["value"][layers.index(layer)]

    def _signals(self, folder: Path) -> pl.DataFrame:
        key = f"signals {folder}"
        if key not in self._answers:
            self._answers[key] = read_signals(folder)
        return self._answers[key]

    def _shifted(self, source: Shift, arm: str, seed: int) -> float | None:
        if self.results[arm][seed].status == "diverged":
            return 1 / self.settings[arm]["data"]["num_classes"] if source.measure == "accuracy" else None
        folder = str(self.runs[arm][seed])
        key = json.dumps(source.shift, sort_keys=True)
        if f"{folder} {key}" not in self._answers:
            self._evaluate([source.shift], arm)
        return self._answers[f"{folder} {key}"][source.measure]

    def evaluate_ahead(self, wanted: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        """Evaluates the shifts of each arm in one process an arm, so that images are read once."""
        for arm, shifts in wanted.items():
            if shifts:
                self._evaluate(shifts, arm)

    def _evaluate(self, shifts: Sequence[Mapping[str, Any]], arm: str) -> None:
        done = [str(path) for seed, path in self.runs[arm].items()
                if self.results[arm][seed].status != "diverged"]  # fmt: skip
        for folder, answers in self._call_once(shift_evaluations, done, list(shifts)).items():
            self._answers |= {f"{folder} {key}": measured for key, measured in answers.items()}

    # Of a network

    def _anatomy(self, source: Anatomy, arm: str) -> Any:
        table = self._call_once(network_layers, json.dumps(self.settings[arm]))
        rows = table["rows"]
        if source.anatomy == "size_formula_failures":
            return size_formula_failures(table["in_shape"], rows)
        if source.layer is None:
            if source.anatomy == "out_shape":
                return list(rows[-1]["out_shape"])
            return sum(row[source.anatomy] for row in rows)
        found = _layer_row(rows, source.layer, arm)[source.anatomy]
        return list(found) if source.anatomy == "out_shape" else found

    def layer_rows(self, arm: str) -> list[dict[str, Any]]:
        """The layer table of an arm."""
        return self._call_once(network_layers, json.dumps(self.settings[arm]))["rows"]

    def theory_rows(self, arm: str) -> list[dict[str, Any]]:
        """What theory says of the layers of an arm: name, scale, correlation, gradient."""
        return self._call_once(theory_layers, json.dumps(self.settings[arm]))

    def diagram(self, grid: PhaseGrid | None, cells: Sequence[str]) -> PhaseDiagram:
        """What became of each cell of a grid, seed by seed, and what theory says of it."""
        if grid is None:
            raise RequestError("a boundary is of a grid: expected `grid`")
        folders = [str(path) for arm in cells for path in self.runs[arm].values()]
        return self._call_once(phase_diagram, folders, grid.scale)

    def _theory(self, source: Theory, arm: str | None) -> Any:
        if source.arguments is not None:
            return self._call_once(mean_field_value, source.theory, source.arguments)
        rows = self.theory_rows(self._arm(arm, source))
        return _layer_row([row for row in rows if row[source.theory] is not None], str(source.layer), arm)[
            source.theory
        ]

    def _arm(self, arm: str | None, source: Any) -> str:
        if arm is None:
            raise RequestError(f"{type(source).__name__.lower()}: expected an arm, whose network is meant")
        return arm

    def _call_once(self, function: Callable[P, R], *arguments: P.args, **keywords: P.kwargs) -> R:
        """What a function returns that is called in a process of its own, once. Raises RequestError."""
        key = f"{function.__qualname__} {arguments}"
        if key not in self._answers:
            self._answers[key] = self.server.call(function, *arguments, **keywords)
        return self._answers[key]


def size_formula_failures(in_shape: Sequence[int], rows: Sequence[Mapping[str, Any]]) -> int:
    """How many windowed layers have another output size than ⌊(n + 2p − k)/s⌋ + 1 in each direction."""
    failures, before = 0, tuple(in_shape)
    for row in rows:
        if row["kernel"] is not None and len(before) == 3:
            sizes = zip(before[1:], row["kernel"], row["stride"], row["padding"], strict=True)
            failures += tuple((n + 2 * p - k) // s + 1 for n, k, s, p in sizes) != row["out_shape"][1:]
        before = row["out_shape"]
    return failures


def _layer_row(rows: Sequence[Mapping[str, Any]], layer: str, arm: str | None) -> Mapping[str, Any]:
    named = {row["name"]: row for row in rows}
    if rows and layer in ("first", "last"):
        return rows[0 if layer == "first" else -1]
    if layer not in named:
        raise RequestError(f"arm '{arm}': no layer '{layer}'; its layers: {', '.join(named)}")
    return named[layer]


def _finished_result(path: Path) -> Result:
    result = RunFolder(path).result()
    if result is None:
        raise RequestError(f"run {path.name} is not finished")
    return result
