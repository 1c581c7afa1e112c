"""A folder of very many recorded runs: `python -m benchmarks.many_runs FOLDER`."""

import math
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainlab.runs.result import Result, run_facts
    from trainlab.settings import RunSettings
    from trainlab.sweeps.plan import Job

GRID = {
    "activation": ("relu", "tanh", "sigmoid", "gelu", "elu"),
    "init": ("kaiming", "glorot", "orthogonal", "normal"),
    "norm_layer": ("none", "batchnorm", "layernorm", "groupnorm"),
    "depth": ("2", "4", "8", "12", "16"),
    "optimizer.lr": ("1e-4", "3e-4", "1e-3", "3e-3", "1e-2"),
}
"""2,000 settings; seeds make them as many runs as are wanted."""
SETTINGS = math.prod(map(len, GRID.values()))
RUNS, POINTS = 10_000, 200


def write(folder: Path, runs: int = RUNS, points: int = POINTS) -> int:
    """Writes the runs with the platform's own writers, each with a curve of `points`; returns how many."""
    from benchmarks.planning import plan
    from trainlab.runs.run_folder import RunFolder

    lines = [f"{axis}={','.join(values)}" for axis, values in GRID.items()]
    planned = plan([*lines, f"seed=range({max(1, runs // SETTINGS)})", f"paths.runs={folder}"])
    jobs = planned.jobs[:runs]
    for job in jobs:
        place = RunFolder(folder / job.run_id).create()
        place.write_settings(job.settings)
        reached = _reached(job.settings, random.Random(job.run_id))
        with place.metrics_log() as log:
            log.append(_curve(reached, points, random.Random(job.run_id)))
        place.finish(_result(job, reached, points))
    return len(jobs)


def _reached(settings: "RunSettings", chance: random.Random) -> float:
    """An accuracy that depends on the axes somehow, and on luck a little."""
    depth, axes = settings.depth or 1, settings.axes
    fades = 0.05 * depth if axes["activation"] in ("sigmoid", "tanh") else 0.01 * depth
    helped = 0.2 if axes["norm_layer"] == "batchnorm" else 0.0
    return min(0.99, max(0.1, 0.8 + helped - fades + chance.gauss(0, 0.03)))


def _curve(reached: float, points: int, chance: random.Random) -> list[tuple[int, int, str, float]]:
    rows = []
    for epoch in range(points):
        accuracy = reached * (1 - math.exp(-5 * (epoch + 1) / points)) + chance.gauss(0, 0.01)
        rows.append((10 * epoch + 9, epoch, "val/acc", accuracy))
    return rows


def _result(job: "Job", reached: float, points: int) -> "Result":
    from trainlab.runs.result import Result, Verdict

    learned = reached > 0.2
    return Result(
        **run_facts(job.settings),
        status="finished",
        verdict=Verdict(learned=learned, cause=None if learned else "vanishing_gradient"),
        metrics={"test/acc": reached, "val/acc": reached, "test/loss": 2.3 * (1 - reached)},
        parameters=10_000 * (job.settings.depth or 1),
        epochs=float(points),
        steps=10 * points,
        seconds=1.0,
    )


if __name__ == "__main__":
    print(f"{write(Path(sys.argv[1])):,} runs")
