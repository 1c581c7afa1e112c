"""Recorded runs → runs.csv: a row a run, what became of it, what its forecast says from its settings."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import cast

import polars as pl

from trainlab.forecast.run_forecast import RunForecast, forecast_runs
from trainlab.runs import Result, RunFolder, identity
from trainlab.runs.frozen_settings import read_settings
from trainlab.runs.groups import groups, read_group
from trainlab.runs.resolve_runs import run_folder_names

TABLE = Path(__file__).with_name("runs.csv")
AXES = (
    "model", "depth", "activation", "init", "normalization", "norm_layer", "data", "optimizer", "scheduler",
)  # fmt: skip
PLACES = {"data": "TRAINLAB_DATA", "cache": "TRAINLAB_CACHE"}
SEEDS = 2
"""Of each setting: more of them say little of a forecast that hardly depends on the seed."""
GRID_GROUPS = ("grid", "phase-tanh")
AT_ONCE = 64
"""Runs after which the table is written: what is measured is kept."""


def measure(
    roots: Iterable[Path], processes: int = 2, again: bool = False, table: Path = TABLE
) -> pl.DataFrame:
    """Adds the runs under `roots` that the table lacks (all of them, `again`), writes it, returns it.

    Nothing is trained. A run is left out that has no verdict, whose data are not here, or of whose settings
    two seeds before it are counted.
    """
    found = sample(_runs(roots))
    rows = {} if again else {row["run_id"]: row for row in load(table).iter_rows(named=True)}
    folders = {folder.name: folder for folder in found}
    todo = [folder for folder in found if folder.name not in rows]
    todo.sort(key=lambda folder: found[folder][1].seed or 0)  # cut short, it has seen every setting
    done = 0

    def keep(run_id: str, forecast: RunForecast | None) -> None:
        nonlocal done
        done += 1
        if forecast is not None:
            rows[run_id] = _row(folders[run_id], *found[folders[run_id]], forecast)
        if done % AT_ONCE == 0 or done == len(todo):
            _write(rows.values(), table)
            print(f"{done} of {len(todo)}", flush=True)

    forecast_runs(todo, processes, places_here(), keep)
    return load(table)


def places_here() -> dict[str, str]:
    """Where data and decoded images lie on this machine, whatever the runs' own settings say."""
    return {key: os.environ[name] for key, name in PLACES.items() if name in os.environ}


def load(table: Path = TABLE) -> pl.DataFrame:
    """The table; empty where there is none yet."""
    return pl.read_csv(table, infer_schema_length=None) if table.exists() else pl.DataFrame()


def sample(found: Mapping[Path, tuple[str, Result]], most: int = SEEDS) -> dict[Path, tuple[str, Result]]:
    """Of runs that differ in nothing but the seed, the first ones: of seed 0, 1, …"""
    taken: dict[str, int] = {}
    kept = {}
    for folder, (group, result) in sorted(found.items(), key=lambda item: item[1][1].seed or 0):
        name = setting(folder, result)
        taken[name] = taken.get(name, 0) + 1
        if taken[name] <= most:
            kept[folder] = (group, result)
    return {folder: kept[folder] for folder in found if folder in kept}


def setting(folder: Path, result: Result) -> str:
    """What all seeds of a run's settings have in common: the name of the run with seed 0."""
    return identity.run_id(read_settings(folder) | {"seed": 0}, cast(str, result.data["fingerprint"]))


def _runs(roots: Iterable[Path]) -> dict[Path, tuple[str, Result]]:
    """Every run of claims and grid that has a verdict, once, with the claim or sweep it was made for."""
    found: dict[str, tuple[Path, str, Result]] = {}
    for root in roots:
        group_of = {run_id: group for group in groups(root) for run_id in read_group(root, group)}
        for name in run_folder_names(root):
            result = RunFolder(root / name).result()
            if result is None or result.verdict.learned is None or name in found:
                continue
            group = group_of.get(name) or str(result.group)
            if group in GRID_GROUPS or group.startswith("claim-"):
                found[name] = (root / name, group, result)
    return {folder: (group, result) for folder, group, result in found.values()}


def _row(folder: Path, group: str, result: Result, forecast: RunForecast) -> dict[str, object]:
    settings = RunFolder(folder).settings()
    return {
        "run_id": folder.name,
        "setting": setting(folder, result),
        "group": group.removesuffix("-tuning"),
        **{axis: settings.axes[axis] for axis in AXES},
        "sigma_w2": settings.init.arguments.get("sigma_w2"),
        "width": settings.width,
        "lr": settings.optimizer.lr,
        "batch_size": settings.data.batch_size,
        "steps": result.steps,
        "seed": result.seed,
        "status": result.status,
        "learned": result.verdict.learned,
        "cause": result.verdict.cause,
        "test_acc": _rounded(result.metrics.get("test/acc")),
        "learns": _rounded(forecast.learns),
        "expected_cause": forecast.cause,
        "seconds": round(forecast.seconds, 2),
        "copy": result.data["copy"],
        "commit": cast(str, result.git.get("commit") or "")[:7],
    }


def _write(rows: Iterable[Mapping[str, object]], table: Path) -> None:
    ordered: Sequence[Mapping[str, object]] = sorted(
        rows, key=lambda row: (str(row["group"]), str(row["run_id"]))
    )
    pl.DataFrame(ordered, infer_schema_length=None).write_csv(table)


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
