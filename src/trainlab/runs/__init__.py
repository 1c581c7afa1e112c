"""A run's identity, its record on disk, many records as one table. No torch.

- `identity`: the run id; `frozen_settings`: config.yaml, read, written, compared
- `run_folder`: a run's folder, locked and written; `result`: result.json; `tables_on_disk`: metrics, signals
- `run_table`: many runs as one table, by way of `index`
- `worst_values`: what a run counts with that diverged or failed
- `groups`: sweeps as lists of run ids; `resolve_runs`: which runs a user means
- `cleanup`: sizes and removal; `provenance`: which code and machine made a run
- `locks`, `safe_files`, `json_nonfinite`: one process at a time, whole files, JSON with NaN

Hashing settings needs no polars: what does is imported on first use.
"""

from typing import TYPE_CHECKING

from trainlab.lazy_imports import lazy_attributes
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

if not TYPE_CHECKING:  # else every missing name would be an object to a type checker
    __getattr__, __dir__ = lazy_attributes(
        __name__,
        {
            "trainlab.runs.result": ["CorruptRunError", "Result", "Verdict"],
            "trainlab.runs.run_folder": ["RunFolder", "RunLockedError"],
            "trainlab.runs.run_table": [
                "LoadedRuns",
                "load_runs",
                "read_confusion",
                "read_metrics",
                "read_runs",
                "read_signals",
                "run_statuses",
            ],
        },
    )
