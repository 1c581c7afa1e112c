"""What a plan will cost: the first steps of a few of its runs and stacks, timed."""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from trainlab.errors import RequestError
from trainlab.instantiate.trust import all_trusted_digests
from trainlab.runs.run_folder import RunFolder
from trainlab.section import NOTHING
from trainlab.settings import RunSettings, Settings
from trainlab.signals.measured_steps import measured_steps
from trainlab.sweeps.forkserver import ForkServer
from trainlab.sweeps.plan import Plan, Task
from trainlab.units import format_duration

TRIAL_STEPS = 30
MAX_TRIALS = 3
_COST_PARTS = ("model", "data", "norm_layer", "depth", "width")


@dataclass(frozen=True)
class TrialRun:
    """One timed beginning, of a run or of a stack.

    `overhead_seconds` is all but the training steps, `step_seconds` one step of all its runs.
    """

    overhead_seconds: float
    step_seconds: float
    total_steps: int
    peak_bytes: int

    @property
    def run_seconds(self) -> float:
        """How long the whole run takes."""
        return self.overhead_seconds + self.total_steps * self.step_seconds


@dataclass(frozen=True)
class TimedKinds:
    """How long the tasks of a plan take: of each kind one is timed, or of some kinds only.

    `kinds` counts all of them; `trials` has those that were timed, by kind. A kind without takes their mean.
    """

    kinds: int
    trials: Mapping[str, TrialRun]

    @property
    def mean_seconds(self) -> float:
        """Of a task of the kinds that were timed; there must be one."""
        return sum(trial.run_seconds for trial in self.trials.values()) / len(self.trials)

    def seconds(self, task: Task) -> float:
        """Of this task."""
        trial = self.trials.get(_cost_key(task))
        return self.mean_seconds if trial is None else trial.run_seconds


def time_kinds(tasks: Sequence[Task], server: ForkServer, most: int = MAX_TRIALS) -> TimedKinds:
    """Times the beginnings of these tasks, one of each kind, of at most so many kinds.

    Raises:
        RequestError: a trial cannot be done at all.
    """
    kinds: dict[str, Task] = {}
    for task in tasks:
        kinds.setdefault(_cost_key(task), task)
    chosen = _evenly_spaced(list(kinds), most)
    trials = {kind: _timed(kinds[kind], server) for kind in chosen}
    return TimedKinds(len(kinds), {kind: trial for kind, trial in trials.items() if trial is not None})


def print_estimate(plan: Plan, slots: int, server: ForkServer, console: Console) -> None:
    """Prints how long what is to do will take, and how much memory."""
    if not plan.todo:
        return
    try:
        timed = time_kinds(plan.tasks, server)
    except RequestError as error:
        console.print(f"no estimate: {error}", highlight=False, markup=False, soft_wrap=True)
        return
    if not timed.trials:
        console.print("no estimate: the trial failed; a run will say why")
        return
    work = sum(map(timed.seconds, plan.tasks))
    at_once = min(slots, len(plan.tasks))
    unit = "run" if plan.stacked is None else "task"
    peak = max(trial.peak_bytes for trial in timed.trials.values())
    memory = f"{peak * at_once / 2**30:.1f} GiB of memory at most ({peak / 2**30:.1f} GiB a {unit})"
    console.print(
        f"estimate: {format_duration(work / at_once)} with {at_once} at a time "
        f"({format_duration(timed.mean_seconds)} a {unit}, from {len(timed.trials)} of {timed.kinds} kinds), "
        + (memory if peak else "memory not known"),
        highlight=False,
    )


def _cost_key(task: Task) -> str:
    """Tasks of one kind cost about the same; stacks that differ by one run are of one."""
    settings: Settings = task.jobs[0].settings
    plain = settings.to_plain()
    parts = [plain[part] for part in _COST_PARTS]
    size = None if task.stack is None else (len(task.jobs) + 1) // 2
    return json.dumps([parts, settings.trainer.max_epochs, size], sort_keys=True)


def _timed(task: Task, server: ForkServer) -> TrialRun | None:
    if task.stack is None:
        return server.call(time_trial, task.jobs[0].settings)
    return server.call(time_stack_trial, [job.settings for job in task.jobs])


def _evenly_spaced(kinds: Sequence[str], most: int) -> list[str]:
    """At most `most` of them, evenly spread."""
    count = min(most, len(kinds))
    return [kinds[i * (len(kinds) - 1) // max(1, count - 1)] for i in range(count)]


def time_trial(settings: RunSettings) -> TrialRun | None:
    """Times the first steps of a run, in a forked process; None where the run fails."""
    from trainlab.training.worker import run_config_file

    def train(configs: Sequence[Path], own: Collection[str]) -> int:
        [config] = configs
        return run_config_file(config, own=own, is_checked=True)

    with tempfile.TemporaryDirectory() as folder:
        return _timed_trial([settings], Path(folder), train)


def time_stack_trial(settings: Sequence[RunSettings]) -> TrialRun | None:
    """The same of a stack."""
    from trainlab.training.worker import run_stack_files

    with tempfile.TemporaryDirectory() as folder:
        return _timed_trial(settings, Path(folder), run_stack_files)


def _timed_trial(
    runs: Sequence[RunSettings], folder: Path, train: Callable[[Sequence[Path], Collection[str]], int]
) -> TrialRun | None:
    from trainlab.build.data import load_data
    from trainlab.build.optimizer import total_steps

    total = total_steps(runs[0], load_data(runs[0]))
    begun = [_begun_settings(settings, folder, total) for settings in runs]
    folders = [RunFolder(folder / settings.run_id) for settings in begun]
    for run, settings in zip(folders, begun, strict=True):
        run.write_settings(settings)
    since = time.perf_counter()
    if train([run.path / "config.yaml" for run in folders], all_trusted_digests(begun)) != 0:
        return None
    seconds = time.perf_counter() - since
    result = folders[0].result()
    if result is None or not result.samples_per_second or not result.steps:
        return None
    step_seconds = runs[0].data.batch_size / result.samples_per_second
    overhead = max(0.0, seconds - result.steps * step_seconds)
    return TrialRun(overhead, step_seconds, total, peak_memory_bytes())


def _begun_settings(settings: RunSettings, folder: Path, total_steps: int) -> RunSettings:
    """The settings of a run that does the first steps alone."""
    trainer = settings.trainer.replace(
        max_epochs=None, max_steps=TRIAL_STEPS, progress_bar=False, devices=1, strategy="auto",
        threads=settings.trainer.threads or 1,
    )  # fmt: skip
    return settings.replace(
        trainer=trainer, logger=NOTHING, checkpoint="none", resume=False,
        signals=_trial_signals(settings.signals, total_steps), paths=settings.paths.replace(runs=str(folder)),
    )  # fmt: skip


def _trial_signals(signals: bool | int, total_steps: int) -> bool | int:
    """As large a share of the trial's steps is measured as of the run's: a short run's schedule is denser."""
    share = len(measured_steps(signals, total_steps)) / max(1, total_steps)
    return round(share * TRIAL_STEPS) or False


def peak_memory_bytes() -> int:
    """The most memory that this process has held, what it shares included; 0 where that is not known."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
