"""The command that runs settings again with more seeds."""

from pathlib import Path

import polars as pl

from trainlab.analysis.varying_settings import varying_settings
from trainlab.config.command_line import command_line_for_run
from trainlab.errors import RequestError
from trainlab.runs import CorruptRunError, RunFolder
from trainlab.units import format_value

MOST_SETTINGS = 50
"""A table of more settings is the work of more than one command."""


def more_seeds(runs: pl.DataFrame, folder: Path) -> str:
    """The sweep of all these settings with three seeds; what to add to it, where they are no whole grid."""
    seed = runs["seed"].drop_nulls().min()
    first = int(seed) if isinstance(seed, int) else 0
    seeds = f"seed=range({first},{first + 3})" if first else "seed=range(3)"
    general = f"the same command with -m '{seeds}'"
    names = varying_settings(runs)
    levels = {name: runs[name].unique(maintain_order=True).to_list() for name in names}
    settings = runs.select(names).n_unique() if names else 1
    combinations = 1
    for values in levels.values():
        combinations *= len(values)
    if settings != combinations or settings > MOST_SETTINGS or "data_copy" in names:
        return general
    if any(value is None for values in levels.values() for value in values):
        return general
    swept = [f"{name}={','.join(map(format_value, values))}" for name, values in levels.items()]
    try:
        frozen = RunFolder(folder / runs["run_id"][0]).settings()
        return command_line_for_run(frozen, " ".join([*swept, seeds]), folder, sweep=True)
    except (CorruptRunError, RequestError, KeyError, TypeError, AttributeError):
        return general  # its settings cannot be read: the table stands all the same
