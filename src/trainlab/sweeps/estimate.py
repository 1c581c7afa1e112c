"""What a plan will cost: a few of its runs are begun for some steps, and timed."""

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from trainlab.build.trust import digests
from trainlab.errors import RequestError
from trainlab.runs.record import RunFolder
from trainlab.signals.schedule import measured_steps
from trainlab.sweeps.display import duration
from trainlab.sweeps.memory import peak_bytes
from trainlab.sweeps.plan import Job, Plan
from trainlab.sweeps.server import WarmServer

PROBE = "trainlab.sweeps.estimate:probe"
PROBE_STEPS = 30
MOST_PROBES = 3
_KINDS = ("model", "data", "norm_layer", "depth", "width")


@dataclass(frozen=True)
class Probe:
    """One timed beginning. `overhead_seconds` is all that a run takes besides its training steps."""

    overhead_seconds: float
    step_seconds: float
    total_steps: int
    peak_bytes: int

    @property
    def run_seconds(self) -> float:
        """How long the whole run takes."""
        return self.overhead_seconds + self.total_steps * self.step_seconds


def show_estimate(plan: Plan, slots: int, server: WarmServer, console: Console) -> None:
    """Prints how long the runs that are to do will take, and how much memory."""
    if not plan.todo:
        return
    kinds: dict[str, list[Job]] = {}
    for job in plan.todo:
        kinds.setdefault(_kind(job.settings), []).append(job)
    chosen = _spread(list(kinds), MOST_PROBES)
    try:
        probes = {kind: server.ask(PROBE, kinds[kind][0].settings) for kind in chosen}
    except RequestError as error:
        console.print(f"no estimate: {error}", highlight=False, markup=False, soft_wrap=True)
        return
    known = [p for p in probes.values() if p]
    if not known:
        console.print("no estimate: the probe failed; a run will say why")
        return
    mean = sum(p.run_seconds for p in known) / len(known)
    each = {kind: p.run_seconds if (p := probes.get(kind)) else mean for kind in kinds}
    work = sum(len(jobs) * each[kind] for kind, jobs in kinds.items())
    at_once = min(slots, len(plan.todo))
    peak = max(p.peak_bytes for p in known)
    memory = f"{peak * at_once / 2**30:.1f} GiB of memory at most ({peak / 2**30:.1f} GiB a run)"
    console.print(
        f"estimate: {duration(work / at_once)} with {at_once} at a time "
        f"({duration(mean)} a run, from {len(known)} of {len(kinds)} kinds), "
        + (memory if peak else "memory not known"),
        highlight=False,
    )


def _kind(settings: Mapping[str, Any]) -> str:
    """Runs of one kind cost about the same."""
    parts = [settings[part] for part in _KINDS]
    return json.dumps([parts, settings["trainer"]["max_epochs"]], sort_keys=True)


def _spread(kinds: Sequence[str], most: int) -> list[str]:
    """At most `most` of them, evenly spread."""
    count = min(most, len(kinds))
    return [kinds[i * (len(kinds) - 1) // max(1, count - 1)] for i in range(count)]


def probe(settings: dict[str, Any]) -> Probe | None:
    """Times the beginning of a run in this process, which is warm and of its own; None where it fails."""
    with tempfile.TemporaryDirectory() as folder:
        return _timed(settings, Path(folder))


def _timed(settings: dict[str, Any], folder: Path) -> Probe | None:
    from trainlab.training.assemble import images, total_steps
    from trainlab.training.worker import work

    trainer = settings["trainer"]
    total = total_steps(settings, images(settings))
    begun = {**trainer, "max_epochs": None, "max_steps": PROBE_STEPS, "progress_bar": False, "devices": 1}
    begun |= {"threads": trainer["threads"] or 1, "strategy": "auto"}
    begun_settings = {
        **settings,
        "trainer": begun,
        "logger": {"_target_": None},
        "checkpoint": "none",
        "resume": False,
        "signals": _signals(settings["signals"], total),
        "paths": settings["paths"] | {"runs": str(folder)},
    }
    run = RunFolder(folder / settings["run_id"])
    run.write_settings(begun_settings)
    since = time.perf_counter()
    if work(run.path / "config.yaml", own=digests(begun_settings)) != 0:
        return None
    seconds = time.perf_counter() - since
    result = run.result()
    if result is None or not result.samples_per_second or not result.steps:
        return None
    batch_size = settings["data"]["batch_size"]
    step_seconds = batch_size / result.samples_per_second
    overhead = max(0.0, seconds - result.steps * step_seconds)
    return Probe(overhead, step_seconds, total, peak_bytes())


def _signals(signals: bool | int, total_steps: int) -> bool | int:
    """As large a share of the probe's steps is measured as of the run's: a short run's schedule is denser."""
    share = len(measured_steps(signals, total_steps)) / max(1, total_steps)
    return round(share * PROBE_STEPS) or False
