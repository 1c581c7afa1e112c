"""What a run costs beyond its training, against the number of runs of a sweep."""

import json
import subprocess
import sys
import time
from statistics import median

from benchmarks.measure import Measure
from benchmarks.rounds import line
from benchmarks.workspace import REPOSITORY, Workspace
from trainlab.process_limits import available_cores


def measure(workspace: Workspace) -> list[Measure]:
    """Sweeps of hardly any training: the wall time is plan, start, log and record."""
    counts, rounds = ((1, 2), 1) if workspace.quick else ((1, 4, 16), 2)
    slots = available_cores()
    beyond: dict[int, list[float]] = {count: [] for count in counts}
    for number in range(rounds):
        for count in counts:
            beyond[count].append(_seconds_beyond_training(workspace, count, number, slots))
    medians = {count: median(seconds) for count, seconds in beyond.items()}
    fixed, per_run = line(list(medians), list(medians.values()))
    return [
        Measure(
            name="cost per run beyond training",
            question=f"seconds that each further run of a sweep adds beyond its training, with {slots} slots "
            "(start, offline W&B, evaluation, record)",
            unit="s",
            value=per_run,
            rounds={f"{count} runs": seconds for count, seconds in beyond.items()},
            rounds_unit="s beyond training",
            medians={f"{count} runs": seconds for count, seconds in medians.items()},
            details={"fixed_seconds": fixed, "slots": slots},
        )
    ]


def _seconds_beyond_training(workspace: Workspace, count: int, number: int, slots: int) -> float:
    """Wall time of a sweep of `count` runs, less its training steps shared out over the slots."""
    runs = workspace.folder / f"overhead-{count}-{number}"
    command = [
        sys.executable, "train.py", "-m", f"seed=range({count})", "data=digits", "data.image_size=16",
        "data.batch_size=32", "width=4", "trainer=cpu", "trainer.max_steps=20", "signals=off",
        f"hydra.launcher.slots={slots}", *workspace.paths(runs.name),
    ]  # fmt: skip
    began = time.perf_counter()
    subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=True)
    seconds = time.perf_counter() - began
    results = [json.loads(path.read_text()) for path in runs.glob("*/result.json")]
    training = sum(result["steps"] * 32 / result["samples_per_second"] for result in results)
    return seconds - training / min(slots, count)
