"""A run's identity, its record on disk, many records as one table. No torch.

- `identity`: the run id; `frozen_settings`: config.yaml, read, written, compared
- `run_folder`: a run's folder, locked and written; `result`: result.json; `tables_on_disk`: metrics, signals
- `run_table`: many runs as one table, by way of `index`
- `groups`: sweeps as lists of run ids; `resolve_runs`: which runs a user means
- `cleanup`: sizes and removal; `provenance`: which code and machine made a run
- `locks`, `safe_files`, `json_nonfinite`: one process at a time, whole files, JSON with NaN"""

from typing import TYPE_CHECKING

from trainlab.runs.identity import run_id

if TYPE_CHECKING:
    from trainlab.runs.result import CorruptRunError, Result, Verdict
    from trainlab.runs.run_folder import RunFolder, RunLockedError
    from trainlab.runs.run_table import (
        LoadedRuns,
        load_runs,
        read_confusion,
        read_metrics,
        read_runs,
        read_signals,
        run_statuses,
    )

__all__ = [
    "CorruptRunError",
    "LoadedRuns",
    "Result",
    "RunFolder",
    "RunLockedError",
    "Verdict",
    "load_runs",
    "read_confusion",
    "read_metrics",
    "read_runs",
    "read_signals",
    "run_id",
    "run_statuses",
]

_HOMES = {
    "RunLockedError": "run_folder",
    "RunFolder": "run_folder",
    "CorruptRunError": "result",
    "Result": "result",
    "Verdict": "result",
}


def __getattr__(name: str) -> object:
    """Import on first use: hashing settings needs no polars."""
    if name not in __all__:
        raise AttributeError(f"module 'trainlab.runs' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f"trainlab.runs.{_HOMES.get(name, 'run_table')}"), name)
