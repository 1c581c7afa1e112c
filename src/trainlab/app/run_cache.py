"""Runs as the pages read them: cached for all browsers, within bounds, read again after a change. No
torch.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl
import streamlit as st

from trainlab.analysis.varying_settings import setting_columns, varying_settings
from trainlab.app.paths import app_paths
from trainlab.figures import learning_curves
from trainlab.runs import CorruptRunError, index, read_runs
from trainlab.runs.groups import groups, read_group
from trainlab.units import format_value

RECHECK_SECONDS = 10
"""So often the status of unfinished runs is looked at again: a run that died changes nothing on disk."""
MAX_RECHECKED = 500
"""So few runs are looked at again as well: one that is run anew changes nothing in the folder of runs."""
UNFINISHED_STATUSES = ("running", "interrupted")
SELF_EXPLANATORY_AXES = ("activation", "init", "model", "data", "optimizer")
"""Axes whose values are names that nothing else has."""
BUILD_KEYS = ("_target_", "_partial_")
"""How a configuration names the class that is built: the option's name says it to people."""


@dataclass(frozen=True)
class RunTable:
    """All runs of the place, a row each; the values by which to choose; what could not be read."""

    frame: pl.DataFrame
    choices: Mapping[str, list[str]]
    broken: Sequence[str]
    sweeps: Sequence[str]

    @property
    def is_going_on(self) -> bool:
        """Whether a run is being made."""
        return "running" in self.frame["status"]


def load_run_table(root: Path | None = None) -> RunTable:
    """The runs as they are now (by default those of the place); empty where there is no folder."""
    root = root or app_paths().runs
    seen = index.change_stamp(root)
    found = _read_run_table(str(root), seen, 0)
    if found.frame.height <= MAX_RECHECKED or found.frame["status"].is_in(UNFINISHED_STATUSES).any():
        return _read_run_table(str(root), seen, recheck_tick())
    return found


def recheck_tick() -> int:
    """Another number every so often."""
    return 1 + int(time.time() / RECHECK_SECONDS)


@st.cache_resource(max_entries=3, show_spinner=False)
def _read_run_table(root: str, seen: tuple[int, ...], pulse: int) -> RunTable:
    if not Path(root).is_dir():
        return RunTable(pl.DataFrame({"run_id": [], "status": []}), {}, (), ())
    runs = read_runs(root, settings=True)
    broken = [f"{problem.path.name}: {problem.reason}" for problem in runs.broken]
    return RunTable(runs.frame, _filter_choices(runs.frame), broken, groups(root))


def runs_of_sweep(frame: pl.DataFrame, sweep: str | None) -> pl.DataFrame:
    """The runs of a sweep; all where none is chosen."""
    if sweep is None:
        return frame
    return frame.filter(pl.col("run_id").is_in(read_group(app_paths().runs, sweep)))


def selectable_settings(frame: pl.DataFrame) -> list[str]:
    """Settings by which people choose and group: not which class builds them, and none twice."""
    every = setting_columns(frame)
    return [name for name in every if not name.endswith(BUILD_KEYS) and not _repeats_an_axis(frame, name)]


def _repeats_an_axis(frame: pl.DataFrame, name: str) -> bool:
    axis = name.rpartition(".")[2]
    return axis != name and axis in frame.columns and frame[name].equals(frame[axis], null_equal=True)


def _filter_choices(frame: pl.DataFrame) -> dict[str, list[str]]:
    """The values by which to filter, of settings that are not brought along by another."""
    kept = {*varying_settings(frame), "seed", *OUTCOME_FILTERS} & {
        *selectable_settings(frame),
        "seed",
        *OUTCOME_FILTERS,
    }
    return {name: values for name, values in values_by_setting(frame).items() if name in kept}


def format_setting(axis: str, value: object) -> str:
    """A value as a part of a name: `relu`; `depth=6`, where the value alone does not say what it is."""
    by_itself = axis in SELF_EXPLANATORY_AXES and isinstance(value, str) and value != "none"
    return format_value(value) if by_itself else f"{axis}={format_value(value)}"


def setting_name(values: Mapping[str, object]) -> str:
    """A setting as people tell it from others: `relu, depth=6`. What it does not have is left out."""
    return ", ".join(format_setting(axis, value) for axis, value in values.items() if value is not None)


def run_labels(frame: pl.DataFrame, by: Iterable[str] | None = None) -> dict[str, str]:
    """Runs by id, in their order, as people tell them apart: by the settings that differ, and the seed."""
    shown = [*(varying_settings(frame) if by is None else by), "seed"]
    columns = list(dict.fromkeys(name for name in shown if name in frame.columns))
    return {
        run_id: f"{run_id[:6]} · {setting_name(dict(zip(columns, row, strict=True)))}"
        for run_id, *row in frame.select("run_id", *columns).iter_rows()
    }


def learning_curves_of(runs: Mapping[str, Sequence[str]], metric: str) -> tuple[pl.DataFrame, list[str]]:
    """Curves of run ids by setting, as `learning_curves.of_runs`, and a line for each that cannot be read.

    Raises RequestError: none of the rest has measured the metric.
    """
    root = app_paths().runs
    chosen = tuple((setting, tuple(ids)) for setting, ids in runs.items())
    return _read_curves(
        str(root), chosen, metric, written_sizes(run_id for _, ids in chosen for run_id in ids)
    )


@st.cache_resource(max_entries=32, show_spinner=False)
def _read_curves(
    root: str, runs: tuple[tuple[str, tuple[str, ...]], ...], metric: str, seen: tuple[int, ...]
) -> tuple[pl.DataFrame, list[str]]:
    folders = {setting: [Path(root) / run_id for run_id in ids] for setting, ids in runs}
    broken: list[CorruptRunError] = []
    table = learning_curves.curves_of_runs(folders, metric, broken)
    return table, [f"{problem.path.name}: {problem.reason}" for problem in broken]


def written_sizes(run_ids: Iterable[str]) -> tuple[int, ...]:
    """What changes when one of these runs writes a measurement."""
    sizes = []
    for run_id in run_ids:
        for name in ("metrics.jsonl", "metrics.parquet", "result.json"):
            path = app_paths().runs / run_id / name
            sizes.append(path.stat().st_size if path.exists() else 0)
    return tuple(sizes)


MAX_FILTER_VALUES = 60
"""A setting with more values than this is not offered as a filter."""
OUTCOME_FILTERS = ("status", "cause")
"""What a filter offers besides settings."""


def values_by_setting(runs: pl.DataFrame) -> dict[str, list[str]]:
    """For each column in which runs differ, its values in order, as text; `–` where there is none."""
    offered = {}
    for name in [*setting_columns(runs), "seed", *OUTCOME_FILTERS]:
        values = runs[name].unique().to_list()
        if 1 < len(values) <= MAX_FILTER_VALUES:
            offered[name] = [format_value(value) for value in sorted(values, key=_sort_key)]
    return offered


def filter_runs(runs: pl.DataFrame, wanted: Mapping[str, Sequence[str]]) -> pl.DataFrame:
    """The runs whose value of every column in `wanted` is among those given; an empty list asks nothing."""
    for name, texts in wanted.items():
        if texts and name in runs.columns:
            runs = runs.filter(
                pl.Series([format_value(value) in texts for value in runs[name]], dtype=pl.Boolean)
            )
    return runs


def _sort_key(value: object) -> tuple[bool, bool, object]:
    return value is None, isinstance(value, str), value


MAX_TRAINED_RUNS = 100
DIGIT_DATA_SETS = ("mnist", "digits")
"""Data sets of drawn digits, the larger first."""
TRAINED_RUNS_SECONDS = 5
"""How long the list is kept, so that not every stroke reads the folder of runs."""


@st.cache_data(ttl=TRAINED_RUNS_SECONDS, max_entries=8, show_spinner=False)
def trained_runs(root: str, wanted: str | None = None) -> dict[str, str]:
    """Run ids with what is said of each, at most `MOST`, and the wanted one; empty where there is none.

    Raises RequestError where the folder cannot be read.
    """
    if not Path(root).is_dir():
        return {}
    runs = read_runs(root).frame
    if runs.is_empty() or "data" not in runs.columns:
        return {}
    place = pl.col("data").replace_strict(
        {name: i for i, name in enumerate(DIGIT_DATA_SETS)}, default=len(DIGIT_DATA_SETS)
    )
    accuracy = (
        pl.col("test/acc") if "test/acc" in runs.columns else pl.lit(None, pl.Float64).alias("test/acc")
    )
    runs = runs.with_columns(accuracy).filter(
        pl.col("test/acc").is_not_null() | (pl.col("run_id") == (wanted or ""))
    )
    rows = runs.sort(place, "test/acc", descending=[False, True], nulls_last=True).iter_rows(named=True)
    trained = (row for row in rows if any((Path(root) / row["run_id"] / "checkpoints").glob("*.ckpt")))
    best = list(islice(trained, MAX_TRAINED_RUNS))
    best += [row for row in trained if row["run_id"] == wanted]
    return {row["run_id"]: _trained_run_label(row) for row in best}


def _trained_run_label(row: Mapping[str, Any]) -> str:
    """`plain_cnn 12 · relu · kaiming · digits · 95.3% · bcd646980814`."""
    depth = f" {row['depth']}" if row.get("depth") is not None else ""
    norm = row.get("norm_layer")
    said = [
        f"{row.get('model')}{depth}",
        row.get("activation"),
        row.get("init"),
        None if norm == "none" else norm,
    ]
    accuracy = row.get("test/acc")
    said += [row.get("data"), "not tested" if accuracy is None else f"{accuracy:.1%}", row["run_id"]]
    return " · ".join(str(part) for part in said if part is not None)
