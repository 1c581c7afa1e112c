"""`trainlab runs …`: list, sweeps, du, rm."""

from pathlib import Path
from typing import Annotated

import typer

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

runs_app = typer.Typer(help="Keep the folder of runs in order.")


@runs_app.command("list")
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
    from trainlab.cli import records
    from trainlab.cli.run_selection import RunFilter

    statuses = [*(status or []), *(["failed"] if failed else [])]
    choice = RunFilter(runs or [], statuses, group, where or [], last, everything)
    records.list_runs(folder, choice, as_json, as_csv)


@runs_app.command("sweeps")
def runs_sweeps(
    where: Where = None,
    everything: Everything = False,
    folder: RunsFolder = Path("runs"),
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List sweeps, the newest first: what was swept, what learned."""
    from trainlab.cli import records
    from trainlab.cli.run_selection import RunFilter

    records.list_sweeps(folder, RunFilter(where=where or [], everything=everything), as_json, as_csv)


@runs_app.command("du")
def runs_du(
    runs: Selection = None, status: Status = None, folder: RunsFolder = Path("runs"), as_json: AsJson = False
) -> None:
    """Tell how much disk the runs take."""
    from trainlab.cli import records

    records.disk_usage(folder, runs or [], status or [], as_json)


@runs_app.command("rm")
def runs_rm(
    runs: Selection = None,
    status: Status = None,
    folder: RunsFolder = Path("runs"),
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove runs: names them and asks first."""
    from trainlab.cli import records

    records.remove(folder, runs or [], status or [], yes)
