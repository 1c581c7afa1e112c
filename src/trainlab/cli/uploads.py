"""`trainlab sync`: offline runs go to W&B, a line each."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from trainlab.errors import RequestError, sanitize
from trainlab.runs import cleanup
from trainlab.training import wandb_connection
from trainlab.units import pluralize
from trainlab.wandb_sync.offline_runs import OfflineRun, find_offline_runs

SYNCED, ALREADY, FAILED = "synced", "already", "failed"
BUSY, WAITING = "left: it is being trained", "would sync"


def sync(folder: Path, runs: Sequence[str], dry_run: bool) -> int:
    """Uploads offline runs, a line each; 1 where one failed, or where it was interrupted.

    Raises:
        RequestError: no such runs, or no key.
    """
    found = find_offline_runs(cleanup.select_runs(folder, runs))
    if not found:
        print(f"no offline runs in {folder}: nothing to upload")
        return 0
    states = {run: _state(run) for run in found}
    waiting = [run for run, state in states.items() if state == WAITING]
    if waiting and not dry_run:
        if not wandb_connection.has_api_key():
            raise RequestError(wandb_connection.NO_KEY_MESSAGE)
        if why := wandb_connection.unreachable_reason():
            print(f"{why}; {pluralize(len(waiting), 'run')} kept as before")
            return 1
    counts: Counter[str] = Counter()
    tell = _teller(found, counts)
    for run, state in states.items():
        if dry_run or state != WAITING:
            tell(run, state)
    try:
        if not dry_run:
            _upload(waiting, tell)
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


def _upload(waiting: Sequence[OfflineRun], tell: Callable[..., None]) -> None:
    from trainlab.wandb_sync.offline_runs import upload

    with closing(upload(waiting)) as outcomes:
        for run, reason in outcomes:
            tell(run, SYNCED if reason is None else FAILED, reason)


def _teller(runs: Sequence[OfflineRun], counts: Counter[str]) -> Callable[..., None]:
    """Prints and counts what became of a run, in columns."""
    names = {run: run.name for run in runs}
    width = max(map(len, names.values()))

    def tell(run: OfflineRun, outcome: str, reason: str | None = None) -> None:
        counts[outcome.partition(":")[0]] += 1
        line = f"{run.run_id}  {names[run]:<{width}}  {outcome}{f': {reason}' if reason else ''}"
        print(sanitize(line), flush=True)

    return tell
