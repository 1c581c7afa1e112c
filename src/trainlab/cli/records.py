"""Many runs at once: compare, list, disk usage, removal. No torch."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl
import typer

from trainlab import analysis
from trainlab.analysis import Comparison, run_lists, tables
from trainlab.analysis.table_layout import FittedTable
from trainlab.cli.run_selection import RunFilter, select_runs
from trainlab.cli.seeds import more_seeds
from trainlab.config.command_line import trainlab_command_line
from trainlab.errors import RequestError
from trainlab.runs import cleanup, json_nonfinite
from trainlab.runs.groups import GENERATED_PREFIXES, read_groups
from trainlab.terminal import PlainConsole
from trainlab.units import format_bytes, pluralize

console = PlainConsole()


MOST_ROWS = 50
"""Runs and settings shown on a screen where nobody says how many; a pipe gets all."""


def compare(
    folder: Path,
    choice: RunFilter,
    by: Sequence[str] | None,
    metric: str,
    effects: bool,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Prints one row per setting, best first; names runs that cannot be read on the error stream.

    With `effects`, JSON has both, and CSV the shares alone: two tables are no CSV.
    """
    chosen = select_runs(folder, choice)
    comparison = analysis.compare(chosen.frame, by, metric)
    effect = analysis.estimate_effects(chosen.frame, by, metric) if effects else None
    if as_csv:
        print(tables.to_csv(tables.effects_frame(effect) if effect else comparison.table), end="")
    elif as_json:
        text = tables.comparison_json(comparison)
        if effect is None:
            print(text)
        else:
            print(f'{{"comparison": {text},\n"effects": {tables.effects_json(effect)}}}')
    else:
        show(tables.fit_comparison(comparison, console.width, most=_most(None)))
        for table in tables.effects_tables(effect) if effect else []:
            console.print(table)
        say(
            [
                *chosen.notes,
                *_older_rules(folder, chosen.frame),
                *_more_seeds(folder, chosen.frame, comparison),
            ]
        )


def _older_rules(folder: Path, runs: pl.DataFrame) -> list[str]:
    """That verdicts are shown as they were recorded, where today's rules may say something else."""
    from trainlab.diagnosis.verdict import RULES_VERSION

    old = runs.filter(pl.col("verdict_version") < RULES_VERSION)
    if old.is_empty():
        return []
    again = trainlab_command_line("explain", old["run_id"][0], runs=folder)
    says = f"{old.height} of these verdicts by older rules than today's (version {RULES_VERSION})"
    return [f"{says}: {again} judges anew"]


def _more_seeds(folder: Path, runs: pl.DataFrame, comparison: Comparison) -> list[str]:
    """How to have an interval, where every setting has one seed: the command that adds two more."""
    if not comparison.has_single_seeds:
        return []
    return [f"one seed each: no intervals; with three: {more_seeds(runs, folder)}"]


def list_runs(folder: Path, choice: RunFilter, as_json: bool, as_csv: bool) -> None:
    """Prints one row per run, the newest first."""
    chosen = select_runs(folder, replace(choice, last=_most(choice.last)))
    if as_json:
        print(json_nonfinite.dumps(chosen.frame.to_dicts(), indent=2))
    elif as_csv:
        print(tables.to_csv(chosen.frame), end="")
    else:
        show(run_lists.runs_list(chosen.frame, console.width))
        say(chosen.notes)


def list_sweeps(folder: Path, choice: RunFilter, as_json: bool, as_csv: bool) -> None:
    """Prints one row per sweep, the newest first, of the runs that were chosen."""
    chosen = select_runs(folder, choice)
    found: dict[str, pl.DataFrame] = {}
    for name, run_ids in read_groups(folder).items():
        if choice.everything or not name.startswith(GENERATED_PREFIXES):
            members = chosen.frame.filter(pl.col("run_id").is_in(run_ids))
            found |= {} if members.is_empty() else {name: members}
    if not found:
        raise RequestError(f"no sweeps in {folder}; `trainlab train -m activation=relu,tanh` makes one")
    if as_json or as_csv:
        frame = run_lists.sweeps_frame(found)
        print(tables.to_csv(frame) if as_csv else json_nonfinite.dumps(frame.to_dicts(), indent=2))
    else:
        show(run_lists.sweeps_list(found, console.width))
        say([f"its runs: {trainlab_command_line('runs', 'list', '--group', 'SWEEP', runs=folder)}"])


def show(listing: FittedTable) -> None:
    """Prints a table and what is said below it."""
    console.print(listing.table)
    say(listing.notes)


def say(notes: Sequence[str]) -> None:
    """Prints remarks, each on a line of its own however long it is: they have commands to paste in them."""
    for note in notes:
        console.print(note, style="dim", highlight=False, markup=False, soft_wrap=True)


def _most(asked: int | None) -> int | None:
    """How many rows: as many as were asked for (0 for all), a screenful or two where nobody said."""
    if asked is not None:
        return asked or None
    return None if console.is_piped else MOST_ROWS


def disk_usage(folder: Path, runs: Sequence[str], status: Sequence[str], as_json: bool) -> None:
    """Prints sizes, the largest run first."""
    usage = cleanup.disk_usage(cleanup.select_runs(folder, runs, status))
    if as_json:
        print(json_nonfinite.dumps(usage.to_dicts(), indent=2))
    else:
        console.print(tables.usage_table(usage))


def remove(folder: Path, runs: Sequence[str], status: Sequence[str], yes: bool) -> None:
    """Names what would go, asks, removes."""
    if not runs and not status:
        raise RequestError("runs rm: name runs or sweeps, or give --status; nothing was removed")
    selected = cleanup.select_runs(folder, runs, status)
    if not selected:
        console.print("no such runs: nothing to remove")
        return
    freed = format_bytes(sum(cleanup.disk_usage(selected)["bytes"]))
    console.print(f"{pluralize(len(selected), 'run')}, {freed}: "
f"{', '.join(path.name for path in selected[:8])}"
                  + (" …" if len(selected) > 8 else ""), highlight=False)  # fmt: skip
    if not yes:
        typer.confirm("remove them?", abort=True)
    cleanup.remove_runs(folder, selected)
    console.print(f"removed {pluralize(len(selected), 'run')}", highlight=False)
