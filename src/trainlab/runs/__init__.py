"""A run's identity, its record on disk, many records as one table. No torch.

`identity` what a run is called; `record` its folder; `result` its outcome; `rows` its long tables;
`table` many runs as one table, by way of `index`; `groups` sweeps as lists of ids; `selection` what a
user means by RUNS; `housekeeping` sizes and removal; `provenance` which code made a run.
"""

from typing import TYPE_CHECKING

from trainlab.runs.identity import run_id

if TYPE_CHECKING:
    from trainlab.runs.record import RunBusy, RunFolder
    from trainlab.runs.result import BrokenRun, Result, Verdict
    from trainlab.runs.table import Runs, confusion, load_runs, metrics, read_runs, signals, statuses

__all__ = [
    "BrokenRun",
    "Result",
    "RunBusy",
    "RunFolder",
    "Runs",
    "Verdict",
    "confusion",
    "load_runs",
    "metrics",
    "read_runs",
    "run_id",
    "signals",
    "statuses",
]

_HOMES = {
    "RunBusy": "record",
    "RunFolder": "record",
    "BrokenRun": "result",
    "Result": "result",
    "Verdict": "result",
}


def __getattr__(name: str) -> object:
    """Import on first use: hashing settings needs no polars."""
    if name not in __all__:
        raise AttributeError(f"module 'trainlab.runs' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f"trainlab.runs.{_HOMES.get(name, 'table')}"), name)
