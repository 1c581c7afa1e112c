"""What the pages read of the runs: cached for all browsers, bounded, read again after a change. No torch."""

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import polars as pl
import streamlit as st

from trainlab.app.paths import app_paths
from trainlab.app.run_choices import filter_choices, trained_run_label
from trainlab.diagnosis.run_diagnosis import RunTables
from trainlab.figures import learning_curves
from trainlab.runs import CorruptRunError, index, read_runs
from trainlab.runs.groups import groups, read_group
from trainlab.runs.tables_on_disk import CONFUSION, METRICS, SIGNALS, TableSpec, read_table

RECHECK_SECONDS = 10
"""How often the status of unfinished runs is checked: a run that dies changes nothing on disk."""
MAX_RECHECKED = 500
"""Up to this number of runs, finished ones are checked too: a rerun does not change the root folder."""
UNFINISHED_STATUSES = ("running", "interrupted")
MAX_TABLES = 24
MAX_TRAINED_RUNS = 100
DIGIT_DATA_SETS = ("mnist", "digits")
"""Data sets of handwritten digits, the larger first."""
TRAINED_RUNS_SECONDS = 5
"""How long the list of trained runs is kept: not every stroke of a drawing reads the folder of runs."""


@dataclass(frozen=True)
class RunTable:
    """All runs of a folder, one row each; the values to filter by; a line for each that cannot be read."""

    frame: pl.DataFrame
    choices: Mapping[str, list[str]]
    broken: Sequence[str]
    sweeps: Sequence[str]

    @property
    def has_running(self) -> bool:
        """Whether a run is training."""
        return "running" in self.frame["status"]


def load_run_table(root: Path | None = None) -> RunTable:
    """The runs as they are now, by default those of the app's folder; empty where there is no folder."""
    root = root or app_paths().runs
    stamp = index.change_stamp(root)
    table = _read_run_table(str(root), stamp, 0)
    if table.frame.height <= MAX_RECHECKED or table.frame["status"].is_in(UNFINISHED_STATUSES).any():
        return _read_run_table(str(root), stamp, recheck_tick())
    return table


def recheck_tick() -> int:
    """A number that changes every `RECHECK_SECONDS`."""
    return 1 + int(time.time() / RECHECK_SECONDS)


@st.cache_resource(max_entries=3, show_spinner=False)
def _read_run_table(root: str, stamp: tuple[int, ...], tick: int) -> RunTable:
    if not Path(root).is_dir():
        return RunTable(pl.DataFrame({"run_id": [], "status": []}), {}, (), ())
    runs = read_runs(root, settings=True)
    broken = [f"{problem.path.name}: {problem.reason}" for problem in runs.broken]
    return RunTable(runs.frame, filter_choices(runs.frame), broken, groups(root))


def runs_of_sweep(frame: pl.DataFrame, sweep: str | None) -> pl.DataFrame:
    """The runs of a sweep; all where none is chosen."""
    if sweep is None:
        return frame
    return frame.filter(pl.col("run_id").is_in(read_group(app_paths().runs, sweep)))


def read_tables(folder: Path) -> RunTables:
    """The recorded tables of a run. Raises CorruptRunError."""
    return RunTables(read_signals(folder), _read_cached(folder, METRICS), read_confusion(folder))


def read_signals(folder: Path) -> pl.DataFrame:
    """step, layer, quantity, value of a run. Raises CorruptRunError."""
    return _read_cached(folder, SIGNALS)


def read_confusion(folder: Path) -> pl.DataFrame:
    """true, predicted, count of a run. Raises CorruptRunError."""
    return _read_cached(folder, CONFUSION)


def _read_cached(folder: Path, table: TableSpec) -> pl.DataFrame:
    stamp: list[int] = []
    for path in (table.lines(folder), table.parquet(folder)):
        with suppress(FileNotFoundError):
            stat = path.stat()
            stamp += [stat.st_mtime_ns, stat.st_size]
    return _read_table(str(folder), table.name, tuple(stamp), table)


@st.cache_resource(max_entries=MAX_TABLES, show_spinner=False)
def _read_table(folder: str, name: str, stamp: tuple[int, ...], _table: TableSpec) -> pl.DataFrame:
    return read_table(Path(folder), _table)


def learning_curves_of(runs: Mapping[str, Sequence[str]], metric: str) -> tuple[pl.DataFrame, list[str]]:
    """Learning curves of run ids by setting, and a line for each run that cannot be read.

    Raises RequestError: none of the others has measured the metric.
    """
    root = app_paths().runs
    chosen = tuple((setting, tuple(ids)) for setting, ids in runs.items())
    stamp = written_sizes(run_id for _, ids in chosen for run_id in ids)
    return _read_curves(str(root), chosen, metric, stamp)


@st.cache_resource(max_entries=32, show_spinner=False)
def _read_curves(
    root: str, runs: tuple[tuple[str, tuple[str, ...]], ...], metric: str, stamp: tuple[int, ...]
) -> tuple[pl.DataFrame, list[str]]:
    folders = {setting: [Path(root) / run_id for run_id in ids] for setting, ids in runs}
    broken: list[CorruptRunError] = []
    table = learning_curves.curves_of_runs(folders, metric, broken)
    return table, [f"{problem.path.name}: {problem.reason}" for problem in broken]


def written_sizes(run_ids: Iterable[str]) -> tuple[int, ...]:
    """Sizes of files, which change as soon as one of these runs writes a measurement."""
    sizes = []
    for run_id in run_ids:
        for name in ("metrics.jsonl", "metrics.parquet", "result.json"):
            path = app_paths().runs / run_id / name
            sizes.append(path.stat().st_size if path.exists() else 0)
    return tuple(sizes)


@st.cache_data(ttl=TRAINED_RUNS_SECONDS, max_entries=8, show_spinner=False)
def trained_runs(root: str, wanted: str | None = None) -> dict[str, str]:
    """Labels of the runs that have a checkpoint, by id; those that read digits best first.

    At most `MAX_TRAINED_RUNS`, and the wanted one. Raises RequestError where the folder cannot be read.
    """
    if not Path(root).is_dir():
        return {}
    runs = read_runs(root).frame
    if runs.is_empty() or "data" not in runs.columns:
        return {}
    if "test/acc" not in runs.columns:
        runs = runs.with_columns(pl.lit(None, pl.Float64).alias("test/acc"))
    runs = runs.filter(pl.col("test/acc").is_not_null() | (pl.col("run_id") == (wanted or "")))
    ranks = {name: rank for rank, name in enumerate(DIGIT_DATA_SETS)}
    rank = pl.col("data").replace_strict(ranks, default=len(ranks))
    rows = runs.sort(rank, "test/acc", descending=[False, True], nulls_last=True).iter_rows(named=True)
    trained = (row for row in rows if any((Path(root) / row["run_id"] / "checkpoints").glob("*.ckpt")))
    best = list(islice(trained, MAX_TRAINED_RUNS))
    best += [row for row in trained if row["run_id"] == wanted]
    return {row["run_id"]: trained_run_label(row) for row in best}
