"""How a run of a sweep ended, as its record says; and the record of a run that could not write its own."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from trainlab.errors import RequestError
from trainlab.runs.attempt import RecordMark
from trainlab.runs.record import RunFolder
from trainlab.runs.result import DONE, BrokenRun, Result
from trainlab.sweeps.entry import LOG_FILE
from trainlab.sweeps.plan import Job
from trainlab.sweeps.server import died_of

SERVER_DIED = 255
"""The exit code that multiprocessing reports when the server died that would have known the real one."""
REFUSED = 2
"""The exit code of a worker that refused its settings, or found the run locked; nothing is recorded."""
TIMED_OUT = 124
"""The exit code of a run that was ended where it ran because it took too long, as `timeout` has it."""

SMALLEST_FREE_BYTES = 2**16
"""A disk with less room than this is full: no record fits."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run's end. `status` as in the design; `unstarted` for a run that a stopped sweep never began."""

    run_id: str
    label: str
    status: str
    cause: str | None = None
    seconds: float = 0.0
    reused: bool = False
    warnings: tuple[str, ...] = ()

    @property
    def is_good(self) -> bool:
        """Whether it is a result: a diverged or a pruned run is."""
        return self.status in (*DONE, "pruned")


def recorded(
    job: Job,
    folder: RunFolder,
    seconds: float = 0.0,
    reused: bool = False,
    since: RecordMark | None = None,
) -> Outcome | None:
    """What the run's own record says, None where there is no record that can be believed.

    With `since`, only what was written after that: a record of an earlier attempt says nothing of this one.
    """
    if since is not None and since.is_still_there(folder.path):
        return None
    try:
        result = folder.result()
    except BrokenRun:
        return None
    if result is None:
        return None
    cause = f"{result.error.get('type')}: {result.error.get('message')}" if result.error else None
    if result.status == "pruned" and result.pruning:
        cause = result.pruning.get("reason")
    return Outcome(job.run_id, job.label, result.status, cause, seconds, reused, tuple(result.warnings))


class Cause(NamedTuple):
    """Why a run failed that could not say so itself: what kind of end, and what is known of it."""

    kind: str
    message: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"


def record_failure(
    job: Job, folder: RunFolder, cause: Cause, seconds: float, before: RecordMark | None = None
) -> Outcome:
    """Records a run as failed for it, unless it has recorded an end itself (to be interrupted is none).

    `before` is the record as it was when the attempt started: a result of an earlier attempt stays as it is,
    and the failure is told. Where nothing can be written (disk full) it is told as well; the run then counts
    as unfinished.
    """
    try:
        with folder.lock(timeout_seconds=10):  # it may still be on its way out
            own = recorded(job, folder, seconds, since=before)
            if own is not None and own.status != "interrupted":
                return own
            earlier = recorded(job, folder)
            if earlier is not None and earlier.is_good:
                cause = Cause(cause.kind, f"{cause.message} (its earlier result stays: {earlier.status})")
            else:
                folder.finish(_failed(job.settings, cause, seconds))
    except (OSError, RequestError) as error:
        cause = Cause(cause.kind, f"{cause.message} (not recorded: {error})")
    return Outcome(job.run_id, job.label, "failed", str(cause), seconds)


def cause_of_death(exit_code: int | None, folder: Path, ran_out_of_memory: bool = False) -> Cause:
    """Why a process ended without a record, as far as its exit code and its last words tell."""
    if ran_out_of_memory:
        return Cause("OutOfMemory", "the system killed it for want of memory")
    if exit_code is not None and exit_code < 0:
        return Cause("Killed", died_of(exit_code).removeprefix("killed "))
    words = _last_words(folder / LOG_FILE)
    if words is None and _is_full(folder):
        return Cause("DiskFull", "no space left on device, not even for its log")
    kind = "Refused" if exit_code == REFUSED and words else "Died"
    return Cause(kind, words or f"exit code {exit_code} and no record")


def _is_full(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free < SMALLEST_FREE_BYTES
    except OSError:
        return False


def _last_words(log: Path) -> str | None:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    # submitit says goodbye after the run has had its last word
    own = (line for line in reversed(lines) if line.strip() and not line.startswith("submitit "))
    return next((line.removeprefix("trainlab: ").strip() for line in own), None)


def _failed(settings: Mapping[str, Any], cause: Cause, seconds: float) -> Result:
    ended = datetime.now(UTC)
    return Result.of(
        settings,
        status="failed",
        error={"type": cause.kind, "message": cause.message, "frames": []},
        seconds=seconds,
        started=(ended - timedelta(seconds=seconds)).isoformat(timespec="seconds"),
        finished=ended.isoformat(timespec="seconds"),
    )
