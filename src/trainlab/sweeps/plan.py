"""A grid becomes a plan: every job checked, named, looked up on disk; what is left to do."""

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hydra.core.override_parser.types import Override

from trainlab.config import identify
from trainlab.config.composition import with_identity
from trainlab.config.grid import job_label
from trainlab.config.user_code import UserCodeDigests
from trainlab.errors import RequestError
from trainlab.runs.groups import add_to_group
from trainlab.runs.identity import flatten
from trainlab.runs.result import DONE_STATUSES
from trainlab.runs.run_folder import RunStatuses
from trainlab.settings import RunSettings, Settings, SweepSettings

MAX_FAULTS = 50
"""So many faults are worth listing; a request with more has one cause."""


@dataclass(frozen=True, slots=True)
class Job:
    """One run of a plan. Its settings are kept as text: ten thousand of them take 40 MB, not 400.

    `label` is what is particular to it: `activation=relu init=glorot`.
    """

    run_id: str
    label: str
    overrides: tuple[str, ...]
    status: str
    settings_json: str
    trusted_sections: tuple[str, ...] = ()

    @property
    def settings(self) -> RunSettings:
        """The frozen settings; the trusted sections are the user's own."""
        return RunSettings.from_json(self.settings_json, self.trusted_sections)


@dataclass(frozen=True, slots=True)
class Task:
    """What one process does: a run, or a stack of runs that are trained together.

    `stack` says in words what the runs of a stack are; None for a run on its own.
    """

    jobs: tuple[Job, ...]
    stack: str | None = None

    @property
    def id(self) -> str:
        """Its first run's: no run is in two tasks at a time."""
        return self.jobs[0].run_id

    @property
    def label(self) -> str:
        """`activation=relu init=glorot`, or `stack of 32 (lenet5)`."""
        return self.jobs[0].label if self.stack is None else f"stack of {len(self.jobs)} ({self.stack})"

    @property
    def devices(self) -> int:
        """How many devices it is spread over."""
        return self.jobs[0].settings.trainer.devices if self.stack is None else 1

    def of(self, jobs: Sequence[Job]) -> "Task":
        """The same with these runs of it alone."""
        return Task(tuple(jobs), self.stack)

    def halves(self) -> tuple["Task", "Task"]:
        """Its runs as two tasks. There must be two at least."""
        half = (len(self.jobs) + 1) // 2
        return self.of(self.jobs[:half]), self.of(self.jobs[half:])


@dataclass(frozen=True)
class Plan:
    """The runs of a sweep, each once, and which of them are left to do.

    `requested` is the run id of every requested job, in their order; two jobs may come to the same run.
    `stacked` has the tasks of those that are to do where some are trained as stacks (`sweeps.stacks`).
    """

    group: str
    runs: Path
    swept: tuple[str, ...]
    jobs: Sequence[Job]
    requested: Sequence[str]
    todo: Sequence[Job] = field(default_factory=list)
    stacked: Sequence[Task] | None = None

    @property
    def tasks(self) -> Sequence[Task]:
        """What is left to do, as it is started; without stacks a run each."""
        return [Task((job,)) for job in self.todo] if self.stacked is None else self.stacked

    @property
    def run_ids(self) -> list[str]:
        """All runs of the sweep, done or not."""
        return [job.run_id for job in self.jobs]

    def describe(self) -> str:
        """`16 runs: 4 finished, 12 to do`, for people."""
        todo = {job.run_id for job in self.todo}
        kept = Counter(job.status for job in self.jobs if job.run_id not in todo)
        parts = [f"{count} {name}" for name, count in sorted(kept.items())] + [f"{len(todo)} to do"]
        duplicates = len(self.requested) - len(self.jobs)
        dropped = f" ({duplicates} duplicates dropped)" if duplicates else ""
        return f"{len(self.jobs)} run{'s' * (len(self.jobs) != 1)}{dropped}: {', '.join(parts)}"


def is_todo(status: str, sweep: SweepSettings) -> bool:
    """Whether a run of this status is run, by the table in the README."""
    if sweep.rerun:
        return True
    return status not in (*DONE_STATUSES, "failed") or (status == "failed" and sweep.retry_failed)


def make_plan(
    jobs: Iterable[Sequence[Override]],
    compose: Callable[[Sequence[Override]], Settings],
    sweep: SweepSettings,
    swept: Sequence[str] = (),
    on_first_todo: Callable[[RunSettings], None] | None = None,
    refuse_conflicts: bool = True,
) -> Plan:
    """Resolves, checks and names every job before anything starts, without torch.

    `on_first_todo` gets the settings of the first run that will have to run, as soon as they are known. Two
    jobs that are the same run and yet ask for different things of it are refused (`refuse_conflicts`).

    Raises:
        RequestError: all faults of all jobs, a line each.
    """
    identifier, statuses = _RunIdentifier(), RunStatuses()
    faults: Counter[str] = Counter()
    planned: dict[str, Job] = {}
    requested: list[str] = []
    folders_and_groups: set[tuple[str, str | None]] = set()
    for overrides in jobs:
        try:
            settings = identifier.identify(compose(overrides))
        except RequestError as error:
            faults[str(error)] += 1
            if len(faults) >= MAX_FAULTS:
                break
            continue
        run_id, runs = settings.run_id, settings.paths.runs
        requested.append(run_id)
        folders_and_groups.add((runs, settings.group))
        if run_id in planned:
            if refuse_conflicts and (conflict := _conflict(planned[run_id].settings, settings)):
                faults[conflict] += 1
            continue
        job = _make_job(overrides, swept, settings, statuses.get(Path(runs) / run_id))
        planned[run_id] = job
        if on_first_todo and not faults and is_todo(job.status, sweep):
            on_first_todo(settings)
            on_first_todo = None
    if faults:
        raise RequestError(_format_counted_faults(faults))
    if not planned:
        raise RequestError("there is nothing to run")
    _check_one_folder_and_group(folders_and_groups)
    return _grouped_plan(list(planned.values()), swept, requested, sweep)


def _make_job(overrides: Sequence[Override], swept: Sequence[str], settings: RunSettings, status: str) -> Job:
    lines = tuple(override.input_line or "" for override in overrides)
    label = job_label(overrides, swept)
    return Job(settings.run_id, label, lines, status, settings.to_json(), settings.trusted_sections)


def _conflict(first: Settings, second: Settings) -> str | None:
    """What two jobs that are one run ask for differently; None where they are the same in all."""
    before, after = flatten(first.to_plain()), flatten(second.to_plain())
    unequal = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    if not unequal:
        return None
    shown = "; ".join(f"{key}={before.get(key)}, {after.get(key)}" for key in unequal)
    return f"{shown}: no part of what decides a run's result, it cannot be swept; expected one value"


def _check_one_folder_and_group(used: Collection[tuple[str, str | None]]) -> None:
    """Refuses runs of one sweep in several folders or groups, as a preset or an option may name them."""
    for name, values in zip(("paths.runs", "group"), zip(*used, strict=True), strict=True):
        several = sorted(map(str, set(values)))
        if len(several) > 1:
            raise RequestError(f"{name}={','.join(several)}: one for all runs of a sweep, expected one value")


class _RunIdentifier:
    """Run ids of many settings: each data set is looked at once, and each file of the user's code."""

    def __init__(self) -> None:
        self._data: dict[str, tuple[str, str] | RequestError] = {}
        self._user_code = UserCodeDigests()

    def identify(self, settings: Settings) -> RunSettings:
        key = settings.data.to_json() + settings.paths.to_json()
        if key not in self._data:
            try:
                identified = identify(settings)
                self._data[key] = identified.fingerprint, identified.data_copy
            except RequestError as error:
                self._data[key] = error
        fingerprint_and_copy = self._data[key]
        if isinstance(fingerprint_and_copy, RequestError):
            raise fingerprint_and_copy
        return with_identity(settings, *fingerprint_and_copy, self._user_code)


def _grouped_plan(
    jobs: list[Job], swept: Sequence[str], requested: Sequence[str], sweep: SweepSettings
) -> Plan:
    first = jobs[0].settings
    group = first.group or default_group(swept, [job.run_id for job in jobs])
    todo = [job for job in jobs if is_todo(job.status, sweep)]
    return Plan(group, Path(first.paths.runs), tuple(swept), jobs, requested, todo)


def default_group(swept: Sequence[str], run_ids: Sequence[str]) -> str:
    """A name made of what is swept and of which runs come of it: the same sweep has the same name."""
    words = [key.split("@")[0].rsplit(".", 1)[-1].rsplit("/", 1)[-1] for key in swept] or ["runs"]
    shown = words[:4] + (["etc"] if len(words) > 4 else [])
    digest = hashlib.sha256(" ".join(sorted(run_ids)).encode()).hexdigest()[:6]
    return "-".join([*shown, digest])


def record_plan(plan: Plan) -> None:
    """Writes `<runs>/sweeps/<group>.json`. Raises RequestError where nothing can be written."""
    add_to_group(plan.runs, plan.group, plan.run_ids)


def _format_counted_faults(faults: Counter[str]) -> str:
    lines = [f"{fault} ({count} runs)" if count > 1 else fault for fault, count in faults.items()]
    if len(faults) >= MAX_FAULTS:
        lines.append(f"and perhaps more: these are the first {MAX_FAULTS}")
    return format_faults(lines)


def format_faults(faults: Sequence[str]) -> str:
    """Several faults as one message, each with its number, a line each."""
    if len(faults) == 1:
        return faults[0]
    numbered = [f"({number}) {fault}" for number, fault in enumerate(faults, start=1)]
    return "\n".join([f"{len(faults)} faults, nothing was started:", *numbered])
