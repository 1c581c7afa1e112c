"""What the pages read of the runs: once for all browsers, bounded, and again when it changed."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import streamlit as st

from trainlab.analysis.choose import OTHERS, choices, text
from trainlab.analysis.compare import setting_columns, varying_settings
from trainlab.app.place import place
from trainlab.figures import learning_curves
from trainlab.runs import BrokenRun, index, read_runs
from trainlab.runs.groups import groups, read_group

PULSE_SECONDS = 10
"""So often the status of unfinished runs is looked at again: a run that died changes nothing on disk."""
FEW = 500
"""So few runs are looked at again as well: one that is run anew changes nothing in the folder of runs."""
UNFINISHED = ("running", "interrupted")
SPEAK_FOR_THEMSELVES = ("activation", "init", "model", "data", "optimizer")
"""Axes whose values are names that nothing else has."""
BUILT_BY = ("_target_", "_partial_")
"""How a configuration names the class that is built: the option's name says it to people."""


@dataclass(frozen=True)
class Table:
    """All runs of the place, a row each; the values by which to choose; what could not be read."""

    frame: pl.DataFrame
    choices: Mapping[str, list[str]]
    broken: Sequence[str]
    sweeps: Sequence[str]

    @property
    def is_going_on(self) -> bool:
        """Whether a run is being made."""
        return "running" in self.frame["status"]


def table(root: Path | None = None) -> Table:
    """The runs as they are now (by default those of the place); empty where there is no folder."""
    root = root or place().runs
    seen = index.stamp(root)
    found = _read(str(root), seen, 0)
    if found.frame.height <= FEW or found.frame["status"].is_in(UNFINISHED).any():
        return _read(str(root), seen, pulse())
    return found


def pulse() -> int:
    """Another number every so often."""
    return 1 + int(time.time() / PULSE_SECONDS)


@st.cache_resource(max_entries=3, show_spinner=False)
def _read(root: str, seen: tuple[int, ...], pulse: int) -> Table:
    if not Path(root).is_dir():
        return Table(pl.DataFrame({"run_id": [], "status": []}), {}, (), ())
    runs = read_runs(root, settings=True)
    broken = [f"{problem.path.name}: {problem.reason}" for problem in runs.broken]
    return Table(runs.frame, _choices(runs.frame), broken, groups(root))


def of_sweep(frame: pl.DataFrame, sweep: str | None) -> pl.DataFrame:
    """The runs of a sweep; all where none is chosen."""
    if sweep is None:
        return frame
    return frame.filter(pl.col("run_id").is_in(read_group(place().runs, sweep)))


def settings_offered(frame: pl.DataFrame) -> list[str]:
    """Settings by which people choose and group: not which class builds them, and none twice."""
    every = setting_columns(frame)
    return [name for name in every if not name.endswith(BUILT_BY) and not _is_said_by_an_axis(frame, name)]


def _is_said_by_an_axis(frame: pl.DataFrame, name: str) -> bool:
    axis = name.rpartition(".")[2]
    return axis != name and axis in frame.columns and frame[name].equals(frame[axis], null_equal=True)


def _choices(frame: pl.DataFrame) -> dict[str, list[str]]:
    """The values by which to filter, of settings that are not brought along by another."""
    kept = {*varying_settings(frame), "seed", *OTHERS} & {*settings_offered(frame), "seed", *OTHERS}
    return {name: values for name, values in choices(frame).items() if name in kept}


def said(axis: str, value: object) -> str:
    """A value as a part of a name: `relu`; `depth=6`, where the value alone does not say what it is."""
    by_itself = axis in SPEAK_FOR_THEMSELVES and isinstance(value, str) and value != "none"
    return text(value) if by_itself else f"{axis}={text(value)}"


def setting_name(values: Mapping[str, object]) -> str:
    """A setting as people tell it from others: `relu, depth=6`. What it does not have is left out."""
    return ", ".join(said(axis, value) for axis, value in values.items() if value is not None)


def names(frame: pl.DataFrame, by: Iterable[str] | None = None) -> dict[str, str]:
    """Runs by id, in their order, as people tell them apart: by the settings that differ, and the seed."""
    shown = [*(varying_settings(frame) if by is None else by), "seed"]
    columns = list(dict.fromkeys(name for name in shown if name in frame.columns))
    return {
        run_id: f"{run_id[:6]} · {setting_name(dict(zip(columns, row, strict=True)))}"
        for run_id, *row in frame.select("run_id", *columns).iter_rows()
    }


def curves(runs: Mapping[str, Sequence[str]], metric: str) -> tuple[pl.DataFrame, list[str]]:
    """Curves of run ids by setting, as `learning_curves.of_runs`, and a line for each that cannot be read.

    Raises RequestError: none of the rest has measured the metric.
    """
    root = place().runs
    chosen = tuple((setting, tuple(ids)) for setting, ids in runs.items())
    return _curves(str(root), chosen, metric, written(run_id for _, ids in chosen for run_id in ids))


@st.cache_resource(max_entries=32, show_spinner=False)
def _curves(
    root: str, runs: tuple[tuple[str, tuple[str, ...]], ...], metric: str, seen: tuple[int, ...]
) -> tuple[pl.DataFrame, list[str]]:
    folders = {setting: [Path(root) / run_id for run_id in ids] for setting, ids in runs}
    broken: list[BrokenRun] = []
    table = learning_curves.of_runs(folders, metric, broken)
    return table, [f"{problem.path.name}: {problem.reason}" for problem in broken]


def written(run_ids: Iterable[str]) -> tuple[int, ...]:
    """What changes when one of these runs writes a measurement."""
    sizes = []
    for run_id in run_ids:
        for name in ("metrics.jsonl", "metrics.parquet", "result.json"):
            path = place().runs / run_id / name
            sizes.append(path.stat().st_size if path.exists() else 0)
    return tuple(sizes)
