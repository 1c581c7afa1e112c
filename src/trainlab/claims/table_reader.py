"""What a claim reads of the tables of its runs: a layer's signal, the steps to a goal. Each is read once."""

from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from trainlab.claims.sources import Goal, SignalSource
from trainlab.claims.steps_to_goal import first_step
from trainlab.errors import RequestError
from trainlab.runs import Result, read_metrics, read_signals
from trainlab.runs.worst_values import COUNTED_STATUSES
from trainlab.signals.catalogue import NETWORK


@dataclass
class TableReader:
    """The tables of run folders, kept once they were read."""

    _signals: dict[Path, pl.DataFrame] = field(default_factory=dict)
    _metrics: dict[Path, pl.DataFrame] = field(default_factory=dict)

    def signal(self, source: SignalSource, result: Result, folder: Path, arm: str) -> float | None:
        """The value of a layer at the measured step that is nearest; −1: at the last.

        None for a run that diverged or failed before that step: its last measured one is of another time than
        that of the runs that went on, and has no last state to speak of. Raises RequestError for what was not
        recorded.
        """
        if folder not in self._signals:
            self._signals[folder] = read_signals(folder)
        is_cut_short = result.status in COUNTED_STATUSES
        rows = self._signals[folder].filter(pl.col("quantity") == source.signal)
        if rows.is_empty():
            if result.status == "failed":
                return None
            raise RequestError(f"arm '{arm}': no {source.signal} was recorded")
        steps = rows["step"].unique().sort().to_list()
        if is_cut_short and not 0 <= source.step <= steps[-1]:
            return None
        step = steps[-1] if source.step < 0 else min(steps, key=lambda s: abs(s - source.step))
        rows = rows.filter(pl.col("step") == step)
        layers = rows["layer"].to_list()
        named = {"first": layers[0], "last": layers[-1], NETWORK: NETWORK}
        layer = named.get(source.layer, source.layer)
        if layer not in layers:
            raise RequestError(f"arm '{arm}': no layer '{layer}'; its layers: {', '.join(layers)}")
        return rows["value"][layers.index(layer)]

    def first_step(self, goal: Goal, result: Result, folder: Path) -> int | None:
        """None for a run that does not get there, and for one that diverged or failed on its way or later."""
        if result.status in COUNTED_STATUSES:
            return None
        if folder not in self._metrics:
            self._metrics[folder] = read_metrics(folder)
        return first_step(self._metrics[folder], goal)
