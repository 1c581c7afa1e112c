"""Ray: a laptop, a machine with several GPUs, or a cluster by its address.

Settings go to a Ray worker as text; where it does not see our folders, the record comes back as files.
"""

import json
import logging
import math
import os
import time
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import yaml
from pydantic import Field

from trainlab.errors import RequestError, error_message
from trainlab.instantiate.trust import PATH_VARIABLES, all_trusted_digests, restore_trust, worker_environment
from trainlab.process_limits import available_cores
from trainlab.runs.frozen_settings import SETTINGS_FILE
from trainlab.runs.result import DONE_STATUSES, RESULT_FILE, ResultStamp
from trainlab.runs.run_folder import EARLIER_FOLDER, RunFolder
from trainlab.runs.safe_files import atomic_replacement
from trainlab.settings import RunSettings, SweepSettings
from trainlab.sweeps.dispatcher import Dispatcher
from trainlab.sweeps.engine import ProcessExit, SweepObserver, require_package
from trainlab.sweeps.forkserver import ForkServer, kill_process_group
from trainlab.sweeps.multiprocessing_internals import use_short_ray_folder
from trainlab.sweeps.outcome import Outcome
from trainlab.sweeps.plan import Plan, Task
from trainlab.sweeps.process_exit import TIMED_OUT
from trainlab.sweeps.process_main import LOG_FILE, TRAINING, Work, Works, run_in_process, run_on_devices
from trainlab.sweeps.reservations import RunReservations
from trainlab.sweeps.slots import SlotSettings, validate_launcher_settings, visible_gpus

if TYPE_CHECKING:
    import ray


class RaySettings(SlotSettings):
    """`hydra.launcher.…` of ray."""

    address: str | None = None
    num_cpus: Annotated[float, Field(gt=0)] | None = None
    num_gpus: Annotated[float, Field(ge=0)] | None = None


class RayEngine:
    """Tasks as Ray's, each reserving its share of CPUs and GPUs: a stack as much as a run."""

    takes_stacks = True

    def __init__(self, settings: Mapping[str, object], works: Works = TRAINING):
        require_package("ray", "ray", extra="ray")
        self._settings = validate_launcher_settings(RaySettings, settings)
        self._works = works

    @property
    def tasks_per_gpu(self) -> int:
        """How many tasks share a GPU, by `num_gpus` or `runs_per_gpu`."""
        share = self._settings.num_gpus
        return int(1 / share) if share and share < 1 else self._settings.runs_per_gpu

    def slots(self, plan: Plan) -> int:
        """How many tasks go at the same time, as far as that is known before Ray has started."""
        return self._settings.slots or max(1, int(available_cores() / self._num_cpus))

    @property
    def _num_cpus(self) -> float:
        return self._settings.num_cpus or float(self._settings.threads or 1)

    def run(
        self, plan: Plan, sweep: SweepSettings, server: ForkServer, observer: SweepObserver
    ) -> list[Outcome]:
        """Does the runs that are left to do, and returns how each ended."""
        reservations = RunReservations.for_sweep(plan, sweep)
        backend = RayBackend(self._settings, self._num_cpus, self._num_gpus(plan), self._works)
        backend.timeout_seconds = sweep.run_timeout
        dispatcher = Dispatcher(backend, reservations, timeout_seconds=sweep.run_timeout, observer=observer)
        return dispatcher.run(plan.tasks)

    def _num_gpus(self, plan: Plan) -> float:
        if self._settings.num_gpus is not None:
            return self._settings.num_gpus
        wanted = {job.settings.trainer.accelerator for job in plan.todo}
        has_gpus = wanted == {"gpu"} or (bool(wanted & {"auto", "gpu"}) and bool(visible_gpus()))
        return 1 / self._settings.runs_per_gpu if has_gpus else 0.0


class RayBackend:
    """Ray's own API as a backend of the dispatcher."""

    def __init__(self, settings: RaySettings, num_cpus: float, num_gpus: float, works: Works):
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # Ray 2.60 would otherwise hide all GPUs from tasks that reserve none
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        use_short_ray_folder()
        import ray

        self._ray = ray
        self._share = (num_cpus, num_gpus)
        self._slots = settings.slots
        self._works = works
        self._tasks: dict[ray.ObjectRef, tuple[str, Sequence[Path]]] = {}
        self.threads = settings.threads or 1
        self.timeout_seconds: float | None = None
        address = settings.address
        # on a cluster these two are not ours to say
        local_options: dict[str, Any] = (
            {} if address else {"include_dashboard": False, "num_cpus": max(available_cores(), int(num_cpus))}
        )
        try:
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **local_options)
        except (ConnectionError, ValueError, RuntimeError) as error:
            reason = error_message(error)
            raise RequestError(f"hydra.launcher.address={address}: {reason}") from None
        self._remote = ray.remote(run_on_ray_worker)

    def has_room(self, task: Task) -> bool:
        """Whether Ray has resources for one more, or fewer tasks are out than `slots`."""
        return len(self._tasks) < (self._slots or self._capacity())

    def start(self, task: Task, configs: Sequence[Path]) -> None:
        """Hands the settings to Ray, as text: a worker elsewhere may not see our folders."""
        num_cpus, num_gpus = (task.devices * share for share in self._share)
        remote = self._remote.options(num_cpus=num_cpus, num_gpus=num_gpus, max_retries=0, name=task.label)
        work = None if task.devices > 1 else self._works.of(task)
        texts = {str(config): config.read_text(encoding="utf-8") for config in configs}
        own = all_trusted_digests(job.settings for job in task.jobs)
        self._tasks[remote.remote(texts, work, own, self.timeout_seconds)] = (task.id, configs)

    def wait(self, seconds: float) -> list[ProcessExit]:
        """The tasks that are over."""
        ready, _ = self._ray.wait(list(self._tasks), num_returns=1, timeout=seconds)
        return [self._collect_result(reference) for reference in ready]

    def stop(self, task_id: str) -> None:
        """An interrupt inside Ray's task, which asks the runs to end."""
        self._ray.cancel(self._reference(task_id), force=False)

    def kill(self, task_id: str) -> None:
        """Ray kills its worker, and the runs go with it."""
        self._ray.cancel(self._reference(task_id), force=True)

    def close(self) -> None:
        """Stops Ray where we have started it, and leaves a cluster alone."""
        self._ray.shutdown()

    def _reference(self, task_id: str) -> "ray.ObjectRef":
        return next(reference for reference, (name, _) in self._tasks.items() if name == task_id)

    def _capacity(self) -> int:
        resources = self._ray.cluster_resources()
        num_cpus, num_gpus = self._share
        by_cpu = resources.get("CPU", 0) / num_cpus
        by_gpu = resources.get("GPU", 0) / num_gpus if num_gpus else by_cpu
        return max(1, int(min(by_cpu, by_gpu)))

    def _collect_result(self, reference: "ray.ObjectRef") -> ProcessExit:
        task_id, configs = self._tasks.pop(reference)
        try:
            code, records = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            lines = str(error).strip().splitlines()
            return ProcessExit(task_id, None, ": ".join(["Ray", type(error).__name__, *lines[:1]]))
        for config, record in zip(configs, records, strict=True):
            write_record(config.parent, record)
        return ProcessExit(task_id, code)


RecordFiles = Mapping[str, bytes]
"""The files of a run's folder by their relative names."""


def run_on_ray_worker(
    texts: Mapping[str, str], work: Work | None, own: Collection[str], timeout_seconds: float | None
) -> tuple[int | None, Sequence[RecordFiles]]:
    """One task on the machine of the caller: its exit code, and its runs' records.

    The records are empty where our folders are seen. `texts` has the settings of each run by the path of
    their file on the sender's machine; `work` is None for a run over several devices; `own` has the digests
    of the user's own settings. Each Ray worker keeps a fork server between tasks. Where our folders are not
    seen, the sweep cannot see when the task began: one longer than `timeout_seconds` is ended here, with
    TIMED_OUT.
    """
    paths = [Path(config) for config in texts]
    shared = all(p.is_file() and p.read_text(encoding="utf-8") == texts[str(p)] for p in paths)
    settings = [restore_trust(RunSettings.from_record(yaml.safe_load(t)), own) for t in texts.values()]
    if not shared:
        settings = [_with_places_here(of_run) for of_run in settings]
        paths = [_materialize_config(of_run) for of_run in settings]
    before = {path: ResultStamp.of(path.parent) for path in paths}
    place = {k: v for k, v in os.environ.items() if k == "CUDA_VISIBLE_DEVICES"}
    place |= worker_environment(*settings)
    server = _worker_forkserver()
    if work is None:
        process, sentinel = server.start_process(run_on_devices, paths, place)
    else:
        process, sentinel = server.start_process(run_in_process, paths, work, place)
    ends = time.monotonic() + (timeout_seconds or math.inf) if not shared else math.inf
    try:
        # Ray's interrupt comes between two waits, not within one
        while not wait([sentinel], timeout=0.2) and time.monotonic() < ends:
            pass
    except KeyboardInterrupt:  # the sweep wants to stop: the run writes a checkpoint first
        process.terminate()
        wait([sentinel])
    if timed_out := not wait([sentinel], timeout=0):
        kill_process_group(process)
    process.join()
    records = [{} if shared else _collect_files(path.parent, before[path]) for path in paths]
    return TIMED_OUT if timed_out else process.exitcode, records


@cache
def _worker_forkserver() -> ForkServer:
    return ForkServer()


def _with_places_here(settings: RunSettings) -> RunSettings:
    """The settings with this machine's own places where the sender's do not exist here."""
    here = {
        place: os.environ[variable]
        for place, variable in PATH_VARIABLES.items()
        if variable in os.environ and not Path(getattr(settings.paths, place)).exists()
    }
    return settings.replace(paths=settings.paths.replace(**here))


def _materialize_config(settings: RunSettings) -> Path:
    """The settings in a folder of this machine."""
    folder = RunFolder(Path(settings.paths.runs) / settings.run_id)
    folder.write_settings(settings)
    return folder.path / "config.yaml"


def _collect_files(folder: Path, before: ResultStamp) -> RecordFiles:
    """The files of the run; without its result where that is of an earlier attempt on this machine."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    taken = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
    taken = {name: content for name, content in taken.items() if not name.startswith(f"{EARLIER_FOLDER}/")}
    if before.is_still_there(folder):
        taken.pop(RESULT_FILE, None)
    return taken


def write_record(folder: Path, record: RecordFiles) -> None:
    """Writes a record that came from elsewhere, the result last; settings stay as they were sent.

    Where the run is done here and what came is no result, only its log is written: the record stays.
    """
    names = sorted(set(record) - {SETTINGS_FILE}, key=lambda name: name == RESULT_FILE)
    if RunFolder(folder).status() in DONE_STATUSES and not _has_result(record):
        names = [name for name in names if name == LOG_FILE]
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_replacement(path) as beside:
            beside.write_bytes(record[name])


def _has_result(record: RecordFiles) -> bool:
    try:
        return json.loads(record[RESULT_FILE])["status"] in DONE_STATUSES
    except (KeyError, ValueError, TypeError):
        return False
