"""Large sweeps: one that is all done, and one that is only planned."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.contender import Contender
from benchmarks.measure import Measure
from benchmarks.rounds import growth_exponent, interleaved, medians
from benchmarks.workspace import REPOSITORY, Workspace
from trainlab.settings import SweepSettings

if TYPE_CHECKING:
    from trainlab.sweeps.plan import Plan

GRID = ("activation=relu,tanh", "init=glorot,kaiming", "depth=2,4,6,8,10")
"""Twenty settings; seeds make them as many as are wanted."""
SETTINGS_PER_SEED = 20


def measure(workspace: Workspace) -> list[Measure]:
    """A finished sweep looked at again; the plan of 10,000 runs: seconds, memory, growth."""
    return [_finished(workspace), *_planned(workspace)]


def _finished(workspace: Workspace) -> Measure:
    number, count = (100, 1) if workspace.quick else (1000, 5)
    lines = [*GRID, f"seed=range({number // SETTINGS_PER_SEED})", *workspace.paths("finished")]
    with Contender(finisher, lines, log=workspace.log) as finish:
        finish.round()
    command = [sys.executable, "train.py", "-m", *lines]

    def again() -> float:
        began = time.perf_counter()
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - began
        if done.returncode or f"{number} finished" not in done.stdout:
            raise RuntimeError(f"the sweep is not taken for finished:\n{done.stdout}\n{done.stderr}")
        return seconds

    rounds = interleaved({"sweep": again}, count)
    return Measure(
        name=f"a sweep of {number:,} settings, all finished",
        question="seconds of the command: plan, check, table",
        unit="s",
        value=medians(rounds)["sweep"],
        at_most=5.0,
        rounds=rounds,
        rounds_unit="s",
        medians=medians(rounds),
    )


def _planned(workspace: Workspace) -> list[Measure]:
    sizes = (100, 400) if workspace.quick else (2500, 5000, 10000)
    seconds, peaks = [], []
    for number in sizes:
        lines = [*GRID, f"seed=range({number // SETTINGS_PER_SEED})", *workspace.paths("planned")]
        with Contender(planner, lines, log=workspace.log) as plan:  # a new process: its peak is its own
            took, peak = plan.round()
        seconds.append(took)
        peaks.append(peak / 2**30)
    of = f"planning {sizes[-1]:,} settings"
    by_size = dict(zip(map(str, sizes), seconds, strict=True))
    return [
        Measure(
            name=f"{of}: seconds",
            question="seconds to expand, compose, check and name all settings, and to look each up on disk",
            unit="s",
            value=seconds[-1],
            at_most=30.0,
            details={"seconds_by_settings": by_size},
        ),
        Measure(
            name=f"{of}: memory",
            question="largest resident memory of the planning process",
            unit="GiB",
            value=peaks[-1],
            at_most=1e9 / 2**30,
        ),
        Measure(
            name="planning: growth",
            question=f"exponent e of seconds ~ settings^e between {sizes[0]:,} and {sizes[-1]:,} settings",
            unit="",
            value=growth_exponent(sizes, seconds),
            at_most=1.15,
            details={"seconds_by_settings": by_size},
        ),
    ]


def planner(lines: list[str]) -> Callable[[], tuple[float, int]]:
    """Plans the sweep of these overrides; returns seconds and the process's peak of memory in bytes."""

    def do_round() -> tuple[float, int]:
        from resource import RUSAGE_SELF, getrusage

        began = time.perf_counter()
        plan(lines)
        return time.perf_counter() - began, getrusage(RUSAGE_SELF).ru_maxrss * 1024

    return do_round


def finisher(lines: list[str]) -> Callable[[], int]:
    """Records every run of the sweep as finished; returns how many there are."""

    def do_round() -> int:
        from trainlab.runs.result import Result
        from trainlab.runs.run_folder import RunFolder

        planned = plan(lines)
        for number, job in enumerate(planned.jobs):
            settings = job.settings
            folder = RunFolder(Path(planned.runs) / job.run_id).create()
            folder.write_settings(settings)
            folder.finish(
                Result(
                    run_id=job.run_id,
                    status="finished",
                    axes=settings.axes,
                    seed=settings.seed,
                    metrics={"test/acc": 0.5 + number % 97 / 1000, "val/acc": 0.5},
                    steps=100,
                    seconds=1.0,
                )
            )
        return len(planned.jobs)

    return do_round


def plan(lines: list[str]) -> "Plan":
    """What `-m` plans for these overrides."""
    from trainlab.config import Composer
    from trainlab.sweeps.plan import make_plan

    composer = Composer()
    grid = composer.grid(lines)
    return make_plan(grid.jobs(), composer.job, SweepSettings(), grid.swept)
