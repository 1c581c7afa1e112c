"""Ray: a laptop, a box with several GPUs, or a cluster by its address."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from trainlab.build.trust import digests
from trainlab.cores import cores
from trainlab.errors import RequestError, message
from trainlab.sweeps.dispatch import Dispatcher, Ended
from trainlab.sweeps.handover import Handover
from trainlab.sweeps.installed import require
from trainlab.sweeps.outcome import Outcome
from trainlab.sweeps.plan import Job, Plan
from trainlab.sweeps.pool import WORK
from trainlab.sweeps.remote import put_record, run_there
from trainlab.sweeps.server import WarmServer
from trainlab.sweeps.slots import SlotSettings, check_settings, visible_gpus
from trainlab.sweeps.sockets import make_room_for_sockets_of_ray
from trainlab.sweeps.watch import Watcher


class RaySettings(SlotSettings):
    """`hydra.launcher.…` of ray."""

    address: str | None = None
    num_cpus: Annotated[float, Field(gt=0)] | None = None
    num_gpus: Annotated[float, Field(ge=0)] | None = None


class RayEngine:
    """Runs as Ray tasks, each reserving its share of CPUs and GPUs."""

    def __init__(self, settings: Mapping[str, Any], work: str = WORK):
        require("ray", "ray", extra="ray")
        self._settings = check_settings(RaySettings, settings)
        self._work = work

    def slots(self, plan: Plan) -> int:
        """How many runs go at the same time, as far as that is known before Ray has started."""
        return self._settings.slots or max(1, int(cores() / self._num_cpus))

    @property
    def _num_cpus(self) -> float:
        return self._settings.num_cpus or float(self._settings.threads or 1)

    def run(self, plan: Plan, sweep: dict[str, Any], server: WarmServer, watcher: Watcher) -> list[Outcome]:
        """Does what is to do and returns how each run ended."""
        handover = Handover.of(plan, sweep)
        backend = RayBackend(self._settings, self._num_cpus, self._num_gpus(plan), self._work)
        backend.timeout_seconds = sweep["run_timeout"]
        dispatcher = Dispatcher(backend, handover, timeout_seconds=sweep["run_timeout"], watcher=watcher)
        return dispatcher.run(plan.todo)

    def _num_gpus(self, plan: Plan) -> float:
        if self._settings.num_gpus is not None:
            return self._settings.num_gpus
        wanted = {job.settings["trainer"]["accelerator"] for job in plan.todo}
        has_gpus = wanted == {"gpu"} or (bool(wanted & {"auto", "gpu"}) and bool(visible_gpus()))
        return 1 / self._settings.runs_per_gpu if has_gpus else 0.0


class RayBackend:
    """Ray's own API as a backend of the dispatcher."""

    def __init__(self, settings: RaySettings, num_cpus: float, num_gpus: float, work: str):
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # Ray 2.60 would otherwise hide all GPUs from tasks that reserve none
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        make_room_for_sockets_of_ray()
        import ray

        self._ray = ray
        self._share = (num_cpus, num_gpus)
        self._slots = settings.slots
        self._work = work
        self._jobs: dict[Any, Job] = {}
        self._configs: dict[str, Path] = {}
        self.threads = settings.threads or 1
        self.timeout_seconds: float | None = None
        address = settings.address
        # on a cluster these two are not ours to say
        here: Any = {} if address else {"include_dashboard": False, "num_cpus": max(cores(), int(num_cpus))}
        try:
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **here)
        except (ConnectionError, ValueError, RuntimeError) as error:
            reason = message(error)
            raise RequestError(f"hydra.launcher.address={address}: {reason}") from None
        self._task = ray.remote(run_there)

    def has_room(self, job: Job) -> bool:
        """Whether Ray has resources for one more, or fewer runs are out than `slots`."""
        return len(self._jobs) < (self._slots or self._capacity())

    def start(self, job: Job, config: Path) -> None:
        """Hands the settings to Ray, as text: a worker elsewhere may not see our folders."""
        settings = job.settings
        devices = settings["trainer"]["devices"]
        num_cpus, num_gpus = (devices * share for share in self._share)
        task = self._task.options(num_cpus=num_cpus, num_gpus=num_gpus, max_retries=0, name=job.label)
        work = None if devices > 1 else self._work
        text, own = config.read_text(encoding="utf-8"), digests(settings)
        sent = task.remote(str(config), text, work, own, self.timeout_seconds)
        self._jobs[sent] = job
        self._configs[job.run_id] = config

    def wait(self, seconds: float) -> list[Ended]:
        """The tasks that are over."""
        ready, _ = self._ray.wait(list(self._jobs), num_returns=1, timeout=seconds)
        return [self._ended(reference) for reference in ready]

    def stop(self, run_id: str) -> None:
        """An interrupt inside the task, which asks the run to end."""
        self._ray.cancel(self._reference(run_id), force=False)

    def kill(self, run_id: str) -> None:
        """Ray kills its worker, and the run goes with it."""
        self._ray.cancel(self._reference(run_id), force=True)

    def close(self) -> None:
        """Stops Ray where we have started it, and leaves a cluster alone."""
        self._ray.shutdown()

    def _reference(self, run_id: str) -> Any:
        return next(reference for reference, job in self._jobs.items() if job.run_id == run_id)

    def _capacity(self) -> int:
        resources = self._ray.cluster_resources()
        num_cpus, num_gpus = self._share
        by_cpu = resources.get("CPU", 0) / num_cpus
        by_gpu = resources.get("GPU", 0) / num_gpus if num_gpus else by_cpu
        return max(1, int(min(by_cpu, by_gpu)))

    def _ended(self, reference: Any) -> Ended:
        run_id = self._jobs.pop(reference).run_id
        config = self._configs.pop(run_id)
        try:
            code, record = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            lines = str(error).strip().splitlines()
            return Ended(run_id, None, ": ".join(["Ray", type(error).__name__, *lines[:1]]))
        put_record(config.parent, record)
        return Ended(run_id, code)
