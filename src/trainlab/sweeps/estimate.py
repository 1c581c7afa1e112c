"""What a plan will cost: the first steps of a few of its runs, timed."""

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from trainlab.errors import RequestError
from trainlab.instantiate.worker_trust import trusted_digests
from trainlab.runs.run_folder import RunFolder
from trainlab.section import NOTHING
from trainlab.settings import RunSettings, Settings
from trainlab.signals.measured_steps import measured_steps
from trainlab.sweeps.forkserver import ForkServer
from trainlab.sweeps.plan import Job, Plan
from trainlab.units import format_duration

TRIAL_STEPS = 30
MAX_TRIALS = 3
_COST_PARTS = ("model", "data", "norm_layer", "depth", "width")


@dataclass(frozen=True)
class TrialRun:
    """One timed beginning. `overhead_seconds` is all that a run takes besides its training steps."""

    overhead_seconds: float
    step_seconds: float
    total_steps: int
    peak_bytes: int

    @property
    def run_seconds(self) -> float:
        """How long the whole run takes."""
        return self.overhead_seconds + self.total_steps * self.step_seconds


def print_estimate(plan: Plan, slots: int, server: ForkServer, console: Console) -> None:
    """Prints how long the runs that are to do will take, and how much memory."""
    if not plan.todo:
        return
    kinds: dict[str, list[Job]] = {}
    for job in plan.todo:
        kinds.setdefault(_cost_key(job.settings), []).append(job)
    chosen = _evenly_spaced(list(kinds), MAX_TRIALS)
    try:
        trials = {kind: server.call(time_trial, kinds[kind][0].settings) for kind in chosen}
    except RequestError as error:
        console.print(f"no estimate: {error}", highlight=False, markup=False, soft_wrap=True)
        return
    known = [p for p in trials.values() if p]
    if not known:
        console.print("no estimate: the trial failed; a run will say why")
        return
    mean = sum(p.run_seconds for p in known) / len(known)
    each = {kind: p.run_seconds if (p := trials.get(kind)) else mean for kind in kinds}
    work = sum(len(jobs) * each[kind] for kind, jobs in kinds.items())
    at_once = min(slots, len(plan.todo))
    peak = max(p.peak_bytes for p in known)
    memory = f"{peak * at_once / 2**30:.1f} GiB of memory at most ({peak / 2**30:.1f} GiB a run)"
    console.print(
        f"estimate: {format_duration(work / at_once)} with {at_once} at a time "
        f"({format_duration(mean)} a run, from {len(known)} of {len(kinds)} kinds), "
        + (memory if peak else "memory not known"),
        highlight=False,
    )


def _cost_key(settings: Settings) -> str:
    """Runs of one kind cost about the same."""
    plain = settings.to_plain()
    parts = [plain[part] for part in _COST_PARTS]
    return json.dumps([parts, settings.trainer.max_epochs], sort_keys=True)


def _evenly_spaced(kinds: Sequence[str], most: int) -> list[str]:
    """At most `most` of them, evenly spread."""
    count = min(most, len(kinds))
    return [kinds[i * (len(kinds) - 1) // max(1, count - 1)] for i in range(count)]


def time_trial(settings: RunSettings) -> TrialRun | None:
    """Times the first steps of a run, in a forked process; None where the run fails."""
    with tempfile.TemporaryDirectory() as folder:
        return _timed_trial(settings, Path(folder))


def _timed_trial(settings: RunSettings, folder: Path) -> TrialRun | None:
    from trainlab.build.data import load_data
    from trainlab.build.optimizer import total_steps
    from trainlab.training.worker import run_config_file

    total = total_steps(settings, load_data(settings))
    trainer = settings.trainer.replace(
        max_epochs=None, max_steps=TRIAL_STEPS, progress_bar=False, devices=1, strategy="auto",
        threads=settings.trainer.threads or 1,
    )  # fmt: skip
    begun_settings = settings.replace(
        trainer=trainer, logger=NOTHING, checkpoint="none", resume=False,
        signals=_trial_signals(settings.signals, total), paths=settings.paths.replace(runs=str(folder)),
    )  # fmt: skip
    run = RunFolder(folder / settings.run_id)
    run.write_settings(begun_settings)
    since = time.perf_counter()
    if run_config_file(run.path / "config.yaml", own=trusted_digests(begun_settings), is_checked=True) != 0:
        return None
    seconds = time.perf_counter() - since
    result = run.result()
    if result is None or not result.samples_per_second or not result.steps:
        return None
    batch_size = settings.data.batch_size
    step_seconds = batch_size / result.samples_per_second
    overhead = max(0.0, seconds - result.steps * step_seconds)
    return TrialRun(overhead, step_seconds, total, peak_memory_bytes())


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
