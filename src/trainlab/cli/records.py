"""Many runs at once: compare, list, disk usage, removal. No torch."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl
import typer

from trainlab import analysis
from trainlab.analysis import Comparison, run_lists, tables
from trainlab.analysis.listing import Listing
from trainlab.cli.chosen import Choice, choose
from trainlab.cli.seeds import more_seeds
from trainlab.config.command import trainlab
from trainlab.errors import RequestError, counted
from trainlab.runs import housekeeping, plain_json
from trainlab.runs.groups import OWN_GROUPS, read_groups
from trainlab.terminal import WideWhenPiped

console = WideWhenPiped()


MOST_ROWS = 50
"""Runs and settings shown on a screen where nobody says how many; a pipe gets all."""


def compare(
    folder: Path,
    choice: Choice,
    by: Sequence[str] | None,
    metric: str,
    effects: bool,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Prints one row per setting, best first; names runs that cannot be read on the error stream.

    With `effects`, JSON has both, and CSV the shares alone: two tables are no CSV.
    """
    chosen = choose(folder, choice)
    comparison = analysis.compare(chosen.frame, by, metric)
    effect = analysis.effects(chosen.frame, by, metric) if effects else None
    if as_csv:
        print(tables.csv(tables.effects_frame(effect) if effect else comparison.table), end="")
    elif as_json:
        text = tables.comparison_json(comparison)
        if effect is None:
            print(text)
        else:
            print(f'{{"comparison": {text},\n"effects": {tables.effects_json(effect)}}}')
    else:
        show(tables.comparison_listing(comparison, console.width, most=_most(None)))
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
    from trainlab.diagnosis.verdict import VERSION

    old = runs.filter(pl.col("verdict_version") < VERSION)
    if old.is_empty():
        return []
    again = trainlab("explain", old["run_id"][0], runs=folder)
    says = f"{old.height} of these verdicts by older rules than today's (version {VERSION})"
    return [f"{says}: {again} judges anew"]


def _more_seeds(folder: Path, runs: pl.DataFrame, comparison: Comparison) -> list[str]:
    """How to have an interval, where every setting has one seed: the command that adds two more."""
    if not comparison.has_single_seeds:
        return []
    return [f"one seed each: no intervals; with three: {more_seeds(runs, folder)}"]


def list_runs(folder: Path, choice: Choice, as_json: bool, as_csv: bool) -> None:
    """Prints one row per run, the newest first."""
    chosen = choose(folder, replace(choice, last=_most(choice.last)))
    if as_json:
        print(plain_json.dumps(chosen.frame.to_dicts(), indent=2))
    elif as_csv:
        print(tables.csv(chosen.frame), end="")
    else:
        show(run_lists.runs_list(chosen.frame, console.width))
        say(chosen.notes)


def list_sweeps(folder: Path, choice: Choice, as_json: bool, as_csv: bool) -> None:
    """Prints one row per sweep, the newest first, of the runs that were chosen."""
    chosen = choose(folder, choice)
    found: dict[str, pl.DataFrame] = {}
    for name, run_ids in read_groups(folder).items():
        if choice.everything or not name.startswith(OWN_GROUPS):
            members = chosen.frame.filter(pl.col("run_id").is_in(run_ids))
            found |= {} if members.is_empty() else {name: members}
    if not found:
        raise RequestError(f"no sweeps in {folder}; `trainlab train -m activation=relu,tanh` makes one")
    if as_json or as_csv:
        frame = run_lists.sweeps_frame(found)
        print(tables.csv(frame) if as_csv else plain_json.dumps(frame.to_dicts(), indent=2))
    else:
        show(run_lists.sweeps_list(found, console.width))
        say([f"its runs: {trainlab('runs', 'list', '--group', 'SWEEP', runs=folder)}"])


def show(listing: Listing) -> None:
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
    usage = housekeeping.disk_usage(housekeeping.select(folder, runs, status))
    if as_json:
        print(plain_json.dumps(usage.to_dicts(), indent=2))
    else:
        console.print(tables.usage_table(usage))


def remove(folder: Path, runs: Sequence[str], status: Sequence[str], yes: bool) -> None:
    """Names what would go, asks, removes."""
    if not runs and not status:
        raise RequestError("runs rm: name runs or sweeps, or give --status; nothing was removed")
    selected = housekeeping.select(folder, runs, status)
    if not selected:
        console.print("no such runs: nothing to remove")
        return
    freed = tables.human_bytes(sum(housekeeping.disk_usage(selected)["bytes"]))
    console.print(f"{counted(len(selected), 'run')}, {freed}: {', '.join(path.name for path in selected[:8])}"
                  + (" …" if len(selected) > 8 else ""), highlight=False)  # fmt: skip
    if not yes:
        typer.confirm("remove them?", abort=True)
    housekeeping.remove(folder, selected)
    console.print(f"removed {counted(len(selected), 'run')}", highlight=False)
