"""What the pages read of the runs: once for all browsers, bounded, and again when it changed."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import streamlit as st

from trainlab.analysis.choose import choices, text
from trainlab.analysis.compare import varying_settings
from trainlab.app.place import place
from trainlab.figures import learning_curves
from trainlab.runs import index, read_runs
from trainlab.runs.groups import groups, read_group

PULSE_SECONDS = 10
"""So often the status of unfinished runs is looked at again: a run that died changes nothing on disk."""
FEW = 500
"""So few runs are looked at again as well: one that is run anew changes nothing in the folder of runs."""
UNFINISHED = ("running", "interrupted")


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
    return Table(runs.frame, choices(runs.frame), broken, groups(root))


def of_sweep(frame: pl.DataFrame, sweep: str | None) -> pl.DataFrame:
    """The runs of a sweep; all where none is chosen."""
    if sweep is None:
        return frame
    return frame.filter(pl.col("run_id").is_in(read_group(place().runs, sweep)))


def names(frame: pl.DataFrame, by: Iterable[str] | None = None) -> dict[str, str]:
    """Runs by id, in their order, as people tell them apart: by the settings that differ, and the seed."""
    shown = [*(varying_settings(frame) if by is None else by), "seed"]
    columns = list(dict.fromkeys(name for name in shown if name in frame.columns))
    return {
        run_id: f"{run_id[:6]} · {', '.join(text(value) for value in row)}"
        for run_id, *row in frame.select("run_id", *columns).iter_rows()
    }


def curves(runs: Mapping[str, Sequence[str]], metric: str) -> pl.DataFrame:
    """Curves of run ids by setting, as `learning_curves.of_runs`. Raises RequestError, BrokenRun."""
    root = place().runs
    chosen = tuple((setting, tuple(ids)) for setting, ids in runs.items())
    return _curves(str(root), chosen, metric, written(run_id for _, ids in chosen for run_id in ids))


@st.cache_resource(max_entries=32, show_spinner=False)
def _curves(
    root: str, runs: tuple[tuple[str, tuple[str, ...]], ...], metric: str, seen: tuple[int, ...]
) -> pl.DataFrame:
    folders = {setting: [Path(root) / run_id for run_id in ids] for setting, ids in runs}
    return learning_curves.of_runs(folders, metric)


def written(run_ids: Iterable[str]) -> tuple[int, ...]:
    """What changes when one of these runs writes a measurement."""
    sizes = []
    for run_id in run_ids:
        for name in ("metrics.jsonl", "metrics.parquet", "result.json"):
            path = place().runs / run_id / name
            sizes.append(path.stat().st_size if path.exists() else 0)
    return tuple(sizes)
