"""How a run of a sweep ended, as its record says; the record of a run that could not write its own."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from trainlab.errors import RequestError
from trainlab.runs.result import DONE_STATUSES, CorruptRunError, Result, ResultStamp, run_facts
from trainlab.runs.run_folder import RunFolder
from trainlab.settings import RunSettings
from trainlab.sweeps.plan import Job
from trainlab.sweeps.process_exit import ExitCause


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: a status of `runs.result`, or `unstarted` where a stopped sweep never began it.

    `reused`: it was not run by this sweep, but found finished.
    """

    run_id: str
    label: str
    status: str
    cause: str | None = None
    seconds: float = 0.0
    reused: bool = False
    warnings: tuple[str, ...] = ()

    @property
    def is_success(self) -> bool:
        """Whether it has a result: a diverged or a pruned run has."""
        return self.status in (*DONE_STATUSES, "pruned")


def read_outcome(
    job: Job,
    folder: RunFolder,
    seconds: float = 0.0,
    reused: bool = False,
    since: ResultStamp | None = None,
) -> Outcome | None:
    """What the run's own record says; None where there is none, or none that can be read.

    With `since`, only what was written after that: a record of an earlier attempt says nothing of this one.
    """
    if since is not None and since.is_still_there(folder.path):
        return None
    try:
        result = folder.result()
    except CorruptRunError:
        return None
    if result is None:
        return None
    cause = f"{result.error.get('type')}: {result.error.get('message')}" if result.error else None
    if result.status == "pruned" and result.pruning:
        cause = str(result.pruning.get("reason"))
    return Outcome(job.run_id, job.label, result.status, cause, seconds, reused, tuple(result.warnings))


def record_failure(
    job: Job, folder: RunFolder, cause: ExitCause, seconds: float, before: ResultStamp | None = None
) -> Outcome:
    """Records a run as failed for this cause, unless it has recorded its own end (`interrupted` is none).

    `before` is the record as it was when the attempt started: a result of an earlier attempt stays as it is,
    and only the outcome says that this attempt failed. The same where nothing can be written (disk full); the
    run then counts as unfinished.
    """
    try:
        with folder.lock(timeout_seconds=10):  # its process may be about to end
            own = read_outcome(job, folder, seconds, since=before)
            if own is not None and own.status != "interrupted":
                return own
            earlier = read_outcome(job, folder)
            if earlier is not None and earlier.is_success:
                cause = ExitCause(cause.kind, f"{cause.message} (its earlier result stays: {earlier.status})")
            else:
                folder.finish(_failed_result(job.settings, cause, seconds))
    except (OSError, RequestError) as error:
        cause = ExitCause(cause.kind, f"{cause.message} (not recorded: {error})")
    return Outcome(job.run_id, job.label, "failed", str(cause), seconds)


def _failed_result(settings: RunSettings, cause: ExitCause, seconds: float) -> Result:
    ended = datetime.now(UTC)
    return Result(
        **run_facts(settings),
        status="failed",
        error={"type": cause.kind, "message": cause.message, "frames": []},
        seconds=seconds,
        started=(ended - timedelta(seconds=seconds)).isoformat(timespec="seconds"),
        finished=ended.isoformat(timespec="seconds"),
    )


class SweepFailed(Exception):
    """Something failed or was interrupted; the summary, already printed, says which. Exit code 1."""
