"""`trainlab sync`: runs that were tracked offline are uploaded to W&B, a line each."""

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from trainlab.cli.arguments import RunsFolder, Selection
from trainlab.cli.command_app import command_app
from trainlab.errors import RequestError, sanitize
from trainlab.runs import cleanup
from trainlab.training import wandb_connection
from trainlab.units import pluralize
from trainlab.wandb_sync.offline_runs import OfflineRun, find_offline_runs, upload

SYNCED, ALREADY, FAILED = "synced", "already", "failed"
BUSY, WAITING = "left: it is being trained", "would sync"


cli = command_app()


@cli.command()
def sync(
    runs: Selection = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be uploaded; upload nothing.")
    ] = False,
    folder: RunsFolder = Path("runs"),
) -> None:
    """Upload runs that were tracked offline to W&B."""
    found = find_offline_runs(cleanup.select_runs(folder, runs or []))
    if found:
        raise typer.Exit(_upload_waiting(found, dry_run))
    print(f"no offline runs in {folder}: nothing to upload")


def _upload_waiting(runs: Sequence[OfflineRun], dry_run: bool) -> int:
    """Uploads what waits, and prints a line for each run; 1 where one failed, or where it was interrupted."""
    states = {run: _state(run) for run in runs}
    waiting = [run for run, state in states.items() if state == WAITING]
    if waiting and not dry_run:
        if not wandb_connection.has_api_key():
            raise RequestError(wandb_connection.NO_KEY_MESSAGE)
        if why := wandb_connection.unreachable_reason():
            print(f"{why}; {pluralize(len(waiting), 'run')} kept as before")
            return 1
    outcomes = OutcomeLines(runs)
    for run, state in states.items():
        if dry_run or state != WAITING:
            outcomes.print(run, state)
    counts = outcomes.counts
    try:
        if not dry_run:
            with closing(upload(waiting)) as uploads:
                for run, error in uploads:
                    outcomes.print(run, SYNCED if error is None else FAILED, error)
    except KeyboardInterrupt:
        left = len(waiting) - counts[SYNCED] - counts[FAILED]
        print(f"interrupted: {counts[SYNCED]} synced, {left} left; the same command goes on")
        return 1
    print(", ".join(f"{count} {outcome}" for outcome, count in counts.items()))
    return 1 if counts[FAILED] else 0


def _state(run: OfflineRun) -> str:
    if not run.waiting:
        return ALREADY
    return BUSY if run.is_busy else WAITING


class OutcomeLines:
    """Prints the outcome of each run as a line, in columns, and counts the outcomes."""

    def __init__(self, runs: Sequence[OfflineRun]):
        self.counts: Counter[str] = Counter()
        self._names = {run: run.name for run in runs}
        self._width = max(map(len, self._names.values()))

    def print(self, run: OfflineRun, outcome: str, error: str | None = None) -> None:
        """Prints and counts the outcome of a run."""
        self.counts[outcome.partition(":")[0]] += 1
        reason = f": {error}" if error else ""
        line = f"{run.run_id}  {self._names[run]:<{self._width}}  {outcome}{reason}"
        print(sanitize(line), flush=True)
