"""SLURM by way of submitit, a job per run or stack; and the same path on this machine, to try it out."""

import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from trainlab.errors import RequestError, error_message
from trainlab.instantiate.trust import worker_environment
from trainlab.process_limits import available_cores
from trainlab.settings import SweepSettings
from trainlab.sweeps.dispatcher import Dispatcher
from trainlab.sweeps.engine import ProcessExit, SweepObserver, require_package
from trainlab.sweeps.forkserver import ForkServer
from trainlab.sweeps.outcome import Outcome
from trainlab.sweeps.plan import Plan, Task
from trainlab.sweeps.process_main import PID_FILE, TRAINING, Works, run_submitted
from trainlab.sweeps.reservations import RunReservations
from trainlab.sweeps.slots import Count, SlotSettings, validate_launcher_settings

if TYPE_CHECKING:
    import submitit

MAX_QUEUED = 1000


class SubmititSettings(SlotSettings):
    """`hydra.launcher.…` of submitit_slurm and submitit_local."""

    folder: str
    timeout_min: Count = 1440
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    gpus_per_node: int | None = Field(default=None, ge=0)
    mem_gb: float | None = Field(default=None, gt=0)
    setup: list[str] | None = None
    additional_parameters: dict[str, object] = Field(default_factory=dict)


class SubmititEngine:
    """Runs as jobs of a cluster: `slurm`, or `local` processes of this machine."""

    takes_stacks = True
    tasks_per_gpu = 1

    def __init__(self, cluster: str, settings: Mapping[str, object], works: Works = TRAINING):
        launcher = "submitit_slurm" if cluster == "slurm" else "submitit_local"
        require_package("submitit", launcher, extra="slurm")
        self._cluster = cluster
        self._settings = validate_launcher_settings(SubmititSettings, settings)
        if self._settings.runs_per_gpu != 1:
            raise RequestError(
                f"hydra.launcher.runs_per_gpu={self._settings.runs_per_gpu}: a job has its GPUs to itself; "
                "expected 1"
            )
        self._works = works

    def slots(self, plan: Plan) -> int:
        """How many jobs are in the queue at the same time."""
        threads = self._settings.threads or 1
        most = MAX_QUEUED if self._cluster == "slurm" else max(1, available_cores() // threads)
        return self._settings.slots or most

    def run(
        self, plan: Plan, sweep: SweepSettings, server: ForkServer, observer: SweepObserver
    ) -> list[Outcome]:
        """Does the runs that are left to do, and returns how each ended."""
        reservations = RunReservations.for_sweep(plan, sweep)
        threads = self._settings.threads or 1
        backend = SubmititBackend(self._executor(), self._cluster, self.slots(plan), threads, self._works)
        dispatcher = Dispatcher(backend, reservations, timeout_seconds=sweep.run_timeout, observer=observer)
        return dispatcher.run(plan.tasks)

    def _executor(self) -> "submitit.AutoExecutor":
        import submitit

        settings = self._settings
        executor = submitit.AutoExecutor(folder=settings.folder, cluster=self._cluster)
        parameters: dict[str, object] = {
            "timeout_min": settings.timeout_min,
            "gpus_per_node": settings.gpus_per_node,
            "mem_gb": settings.mem_gb,
        }
        if self._cluster == "slurm":
            parameters |= {
                "cpus_per_task": settings.threads or 1,
                "slurm_partition": settings.partition,
                "slurm_account": settings.account,
                "slurm_qos": settings.qos,
                "slurm_setup": settings.setup,
                "slurm_additional_parameters": settings.additional_parameters or None,
            }
        executor.update_parameters(name="trainlab", **{k: v for k, v in parameters.items() if v is not None})
        return executor


class SubmititBackend:
    """A submitit executor as a backend of the dispatcher."""

    def __init__(
        self,
        executor: "submitit.AutoExecutor",
        cluster: str,
        most: int,
        threads: int,
        works: Works = TRAINING,
    ):
        self._executor = executor
        self._cluster = cluster
        self._most = most
        self._works = works
        self._jobs: dict[str, tuple[submitit.Job[int], Path]] = {}
        self.threads = threads

    def has_room(self, task: Task) -> bool:
        """Whether fewer jobs are queued than may be."""
        return len(self._jobs) < self._most

    def start(self, task: Task, configs: Sequence[Path]) -> None:
        """Submits a task. Raises OSError where the cluster does not take it."""
        work = None if task.devices > 1 else self._works.of(task)
        environment = worker_environment(*(job.settings for job in task.jobs))
        with _ignore_sigint():
            try:
                submitted = self._executor.submit(run_submitted, configs, work, environment)
            except Exception as error:  # whatever sbatch says, in a type of submitit's own
                reason = error_message(error)
                raise OSError(f"{self._cluster} did not take the run: {reason}") from error
        self._jobs[task.id] = (submitted, configs[0])

    def wait(self, seconds: float) -> list[ProcessExit]:
        """The jobs that are over."""
        time.sleep(seconds)
        over = [task_id for task_id, (job, _) in self._jobs.items() if job.done()]
        return [self._process_exit(task_id) for task_id in over]

    def stop(self, task_id: str) -> None:
        """SIGTERM, on SLURM by scancel."""
        job, config = self._jobs[task_id]
        if self._cluster == "slurm":
            job.cancel(check=False)
        else:
            _send_signal(config, signal.SIGTERM)

    def kill(self, task_id: str) -> None:
        """SIGKILL; SLURM sends it itself some seconds after scancel."""
        job, config = self._jobs[task_id]
        if self._cluster == "slurm":
            job.cancel(check=False)
        else:
            _send_signal(config, signal.SIGKILL)

    def close(self) -> None:
        """Jobs that were killed are gone by themselves."""
        self._jobs.clear()

    def _process_exit(self, task_id: str) -> ProcessExit:
        job, _ = self._jobs.pop(task_id)
        # submitit waits ten seconds for an answer that may still be on its way over a network's file system
        may_come = self._cluster == "slurm" or job.paths.result_pickle.exists()
        if may_come and job.exception() is None:
            return ProcessExit(task_id, job.result())
        name = f"{self._cluster} job {job.job_id}"
        return ProcessExit(
            task_id, None, f"{name} ended {job.state.lower()} with no record; see {job.paths.stderr}"
        )


def _send_signal(config: Path, number: signal.Signals) -> None:
    """Sends a signal to the process of a run and all that it has started, if it has begun."""
    with suppress(OSError, ValueError):
        pid = int((config.parent / PID_FILE).read_text(encoding="ascii"))
        os.killpg(pid, number) if number is signal.SIGKILL else os.kill(pid, number)


@contextmanager
def _ignore_sigint() -> Iterator[None]:
    """What is started inside never sees the terminal's Ctrl-C: the dispatcher decides what stops."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
