"""Hydra's other launchers, to which runs are passed, and other sweepers, from which they come."""

import time
from collections.abc import Sequence
from pathlib import Path

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from omegaconf import DictConfig

from trainlab.config.hydra_application import application_composer, sweep_settings
from trainlab.config.overrides import quote_text_values
from trainlab.runs.result import DONE_STATUSES, ResultStamp
from trainlab.runs.run_folder import RunFolder
from trainlab.settings import SweepSettings
from trainlab.sweeps.engine import Engine, NullObserver, SweepObserver
from trainlab.sweeps.forkserver import ForkServer
from trainlab.sweeps.outcome import Outcome, read_outcome
from trainlab.sweeps.plan import Job, Plan, Task, make_plan, record_plan
from trainlab.sweeps.stacks import plan_stacks


class ExternalLauncherEngine:
    """Another launcher of Hydra's (basic, joblib, …): it gets each run's overrides, we read the records."""

    takes_stacks = False
    tasks_per_gpu = 1

    def __init__(self, launcher: Launcher):
        self._launcher = launcher

    def slots(self, plan: Plan) -> int:
        """Not known; for the estimate, one at a time."""
        return 1

    def run(
        self, plan: Plan, sweep: SweepSettings, server: ForkServer, observer: SweepObserver
    ) -> list[Outcome]:
        """Launches all runs at once and reads what they have recorded."""
        added = [
            *quote_text_values([f"group={plan.group}"]),
            f"sweep.rerun={sweep.rerun}",
            f"sweep.prune={sweep.prune}",
            f"sweep.audit={sweep.audit}",
        ]
        for job in plan.todo:
            observer.task_started(Task((job,)))
        before = {job.run_id: ResultStamp.of(plan.runs / job.run_id) for job in plan.todo}
        since, cause = time.monotonic(), None
        try:
            self._launcher.launch([[*job.overrides, *added] for job in plan.todo], initial_job_idx=0)
        except KeyboardInterrupt:
            observer.stop_requested(1)
        except (Exception, SystemExit) as error:  # whatever the launcher made of a run that failed
            cause = f"{type(error).__name__}: {error}"
        seconds = time.monotonic() - since
        each = seconds / len(plan.todo)
        outcomes = [self._outcome(plan, job, before[job.run_id], cause, each) for job in plan.todo]
        for outcome in outcomes:
            observer.run_ended(outcome)
        for job in plan.todo:
            observer.task_ended(Task((job,)))
        return outcomes

    def _outcome(
        self, plan: Plan, job: Job, before: ResultStamp, cause: str | None, seconds: float
    ) -> Outcome:
        found = read_outcome(job, RunFolder(plan.runs / job.run_id), seconds, since=before)
        if found is not None:
            return found
        return Outcome(job.run_id, job.label, "failed" if cause else "unstarted", cause)


def launch_for_external_sweeper(
    engine: Engine, context: HydraContext, config: DictConfig, job_overrides: Sequence[Sequence[str]]
) -> list[JobReturn]:
    """Jobs of another sweeper (Optuna, basic), each run once on an engine; what each returns is its val/acc.

    Raises:
        RequestError: a job that cannot be composed.
    """
    composer = application_composer(context.config_loader, config)
    parsed = map(composer.parse, job_overrides)
    jobs = [[o for o in overrides if o.key_or_group.split(".")[0] != "sweep"] for overrides in parsed]
    sweep = sweep_settings(config)
    plan = make_plan(jobs, composer.job, sweep)
    record_plan(plan)
    failed: dict[str, Outcome] = {}
    if plan.todo:
        with ForkServer() as server:
            plan, _ = plan_stacks(plan, sweep, engine, server)
            ended = engine.run(plan, sweep, server, NullObserver())
        failed = {outcome.run_id: outcome for outcome in ended if not outcome.is_success}
    folders = [plan.runs / run_id for run_id in plan.requested]
    pairs = zip(folders, job_overrides, strict=True)
    return [_job_return(folder, overrides, failed.get(folder.name)) for folder, overrides in pairs]


def _job_return(folder: Path, overrides: Sequence[str], failed: Outcome | None) -> JobReturn:
    result = None if failed else RunFolder(folder).result()
    answer = JobReturn(overrides=list(overrides), working_dir=str(folder))
    if result is not None and result.status in DONE_STATUSES:
        answer.status = JobStatus.COMPLETED
        answer.return_value = result.metrics.get("val/acc")
    else:
        answer.status = JobStatus.FAILED
        reason = result.error if result is not None else failed.cause if failed else "no record"
        answer.return_value = RuntimeError(f"run {folder.name} is not done: {reason}")
    return answer
