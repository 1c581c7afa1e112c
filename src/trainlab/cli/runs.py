"""`trainlab runs …`: list, sweeps, du, rm. No torch."""

from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from trainlab.analysis import run_lists, tables
from trainlab.cli.arguments import (
    AsCsv,
    AsJson,
    Everything,
    Last,
    OfSweep,
    RunsFolder,
    Selection,
    Status,
    Where,
)
from trainlab.cli.command_app import command_app
from trainlab.cli.run_filter import RunFilter, filter_runs, row_limit
from trainlab.config.command_line import trainlab_command_line
from trainlab.errors import RequestError
from trainlab.runs import cleanup, json_nonfinite
from trainlab.runs.groups import GENERATED_PREFIXES, read_groups
from trainlab.terminal import PlainConsole
from trainlab.units import format_bytes, pluralize

cli = command_app("Keep the folder of runs in order.")


@cli.command("list")
def runs_list(
    runs: Selection = None,
    status: Status = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only those that failed.")] = False,
    group: OfSweep = None,
    where: Where = None,
    last: Last = None,
    everything: Everything = False,
    folder: RunsFolder = Path("runs"),
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List runs, the newest first: what differs, learned, accuracy."""
    console = PlainConsole()
    statuses = [*(status or []), *(["failed"] if failed else [])]
    newest = row_limit(console, last)
    chosen = filter_runs(folder, RunFilter(runs or [], statuses, group, where or [], newest, everything))
    if as_json:
        print(json_nonfinite.dumps(chosen.frame.to_dicts(), indent=2))
    elif as_csv:
        print(tables.to_csv(chosen.frame), end="")
    else:
        listing = run_lists.runs_list(chosen.frame, console.width)
        console.print(listing.table)
        console.print_notes([*listing.notes, *chosen.notes])


@cli.command("sweeps")
def runs_sweeps(
    where: Where = None,
    everything: Everything = False,
    folder: RunsFolder = Path("runs"),
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List sweeps, the newest first: what was swept, what learned."""
    chosen = filter_runs(folder, RunFilter(where=where or [], everything=everything))
    sweeps: dict[str, pl.DataFrame] = {}
    for name, run_ids in read_groups(folder).items():
        members = chosen.frame.filter(pl.col("run_id").is_in(run_ids))
        if not members.is_empty() and (everything or not name.startswith(GENERATED_PREFIXES)):
            sweeps[name] = members
    if not sweeps:
        raise RequestError(f"no sweeps in {folder}; `trainlab train -m activation=relu,tanh` makes one")
    if as_json or as_csv:
        frame = run_lists.sweeps_frame(sweeps)
        print(tables.to_csv(frame) if as_csv else json_nonfinite.dumps(frame.to_dicts(), indent=2))
        return
    console = PlainConsole()
    listing = run_lists.sweeps_list(sweeps, console.width)
    console.print(listing.table)
    hint = trainlab_command_line("runs", "list", "--group", "SWEEP", runs=folder)
    console.print_notes([*listing.notes, f"its runs: {hint}"])


@cli.command("du")
def runs_du(
    runs: Selection = None, status: Status = None, folder: RunsFolder = Path("runs"), as_json: AsJson = False
) -> None:
    """Tell how much disk the runs take."""
    usage = cleanup.disk_usage(cleanup.select_runs(folder, runs or [], status or []))
    if as_json:
        print(json_nonfinite.dumps(usage.to_dicts(), indent=2))
    else:
        PlainConsole().print(tables.usage_table(usage))


@cli.command("rm")
def runs_rm(
    runs: Selection = None,
    status: Status = None,
    folder: RunsFolder = Path("runs"),
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove runs: names them and asks first."""
    if not runs and not status:
        raise RequestError("runs rm: name runs or sweeps, or give --status; nothing was removed")
    console = PlainConsole()
    selected = cleanup.select_runs(folder, runs or [], status or [])
    if not selected:
        console.print("no such runs: nothing to remove")
        return
    size = format_bytes(sum(cleanup.disk_usage(selected)["bytes"]))
    names = ", ".join(path.name for path in selected[:8]) + (" …" if len(selected) > 8 else "")
    console.print(f"{pluralize(len(selected), 'run')}, {size}: {names}")
    if not yes:
        typer.confirm("remove them?", abort=True)
    cleanup.remove_runs(folder, selected)
    console.print(f"removed {pluralize(len(selected), 'run')}")
