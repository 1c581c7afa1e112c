"""A grid of 16 runs, from the command to the table, against the same runs one after the other."""

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median, stdev

from benchmarks.contender import THREAD_VARIABLES
from benchmarks.measure import Measure
from benchmarks.rounds import median_ratio, medians
from benchmarks.workspace import REPOSITORY, Workspace

ACTIVATIONS, INITS = ("relu", "tanh"), ("kaiming", "glorot")
LAST_ROUND_AFTER_SECONDS = 480.0
"""No further round begins after so long: a slow machine has to be content with fewer."""
STANDARD_ERRORS = 3.0
"""So many standard errors of their difference may the mean accuracies be apart and count as equal."""


@dataclass(frozen=True)
class Size:
    """How large the grid is. `samples` of training, in whole batches."""

    seeds: int
    samples: int
    test_samples: int
    rounds: int

    @property
    def runs(self) -> int:
        """All combinations."""
        return len(ACTIVATIONS) * len(INITS) * self.seeds


@dataclass(frozen=True)
class Done:
    """One round of one contender."""

    seconds: float
    accuracies: list[float]
    profile: dict[str, float]


def measure(workspace: Workspace) -> list[Measure]:
    """Wall time of the grid, of both; and their accuracies."""
    workspace.need("mnist")
    size = Size(1, 1280, 1000, 1) if workspace.quick else Size(4, 54912, 10000, 3)
    platform: list[Done] = []
    usual: list[Done] = []
    began = time.monotonic()
    for number in range(size.rounds):
        if time.monotonic() - began > LAST_ROUND_AFTER_SECONDS:
            break
        platform.append(_platform(workspace, size, number))
        usual.append(_usual(workspace, size))
    rounds = {
        "platform": [done.seconds for done in platform],
        "one after the other": [done.seconds for done in usual],
    }
    profile = {key: median(done.profile[key] for done in platform) for key in platform[0].profile}
    wall = Measure(
        name=f"grid of {size.runs} runs",
        question="seconds of the runs one after the other in one process (DataLoader, Lightning, default "
        "threads) over seconds of the sweep, from the command to the table",
        unit="×",
        value=median_ratio(rounds["one after the other"], rounds["platform"]),
        at_least=3.3,
        rounds=rounds,
        rounds_unit="s",
        medians=medians(rounds),
        details={"profile_seconds": profile},
    )
    return [wall, _accuracies(platform, usual)]


def _accuracies(platform: list[Done], usual: list[Done]) -> Measure:
    """The difference of the mean test accuracies in its standard errors."""
    ours = [a for done in platform for a in done.accuracies]
    theirs = [a for done in usual for a in done.accuracies]
    error = (stdev(ours) ** 2 / len(ours) + stdev(theirs) ** 2 / len(theirs)) ** 0.5
    return Measure(
        name="grid: accuracies equal",
        question="difference of the mean test accuracies, in standard errors of that difference",
        unit="standard errors",
        value=abs(mean(ours) - mean(theirs)) / error if error else 0.0,
        at_most=STANDARD_ERRORS,
        medians={"platform": mean(ours), "one after the other": mean(theirs)},
        rounds_unit="mean test accuracy",
    )


# The platform


def _platform(workspace: Workspace, size: Size, number: int) -> Done:
    """The sweep by its command line; a new folder of runs each round, the decoded cache kept."""
    runs = workspace.folder / f"grid-{number}"
    command = [
        sys.executable, "train.py", "-m", "model=lenet5", "data=mnist", f"activation={','.join(ACTIVATIONS)}",
        f"init={','.join(INITS)}", f"seed=range({size.seeds})", "trainer=cpu", "trainer.max_epochs=1",
        f"data.train_size={size.samples}", f"data.test_size={size.test_samples}", "signals=off",
        *workspace.paths(runs.name),
    ]  # fmt: skip
    if number == 0:
        _fill_cache(workspace)
    began = time.time()
    _run(command, workspace.log)
    seconds = time.time() - began
    results = [json.loads(path.read_text()) for path in sorted(runs.glob("*/result.json"))]
    accuracies = [result["metrics"]["test/acc"] for result in results]
    if len(accuracies) != size.runs:
        raise RuntimeError(f"{len(accuracies)} of {size.runs} runs have a result: see {workspace.log}")
    return Done(seconds, accuracies, _profile(runs, began, began + seconds))


def _fill_cache(workspace: Workspace) -> None:
    """Decoding happens once in the life of a data set."""
    from trainlab.build.data import load_data
    from trainlab.config import compose

    load_data(compose(["data=mnist", *workspace.paths()]))


def _profile(runs: Path, began: float, ended: float) -> dict[str, float]:
    """Where the time went, by the times at which files of the runs were written (medians over the runs)."""
    folders = [path.parent for path in runs.glob("*/result.json")]
    born = {folder: (folder / ".pid").stat().st_mtime for folder in folders}
    recorded = {folder: (folder / "result.json").stat().st_mtime for folder in folders}
    results = {folder: json.loads((folder / "result.json").read_text()) for folder in folders}
    batch_size = 128
    training = {f: r["steps"] * batch_size / r["samples_per_second"] for f, r in results.items()}
    return {
        "from the command to the first run's process": min(born.values()) - began,
        "from the last record to the table's end": ended - max(recorded.values()),
        "a run: process to record": median(recorded[f] - born[f] for f in folders),
        "a run: before its parts are built": median(
            recorded[f] - born[f] - results[f]["seconds"] for f in folders
        ),
        "a run: training steps": median(training.values()),
        "a run: tracker, trainer, evaluation, checkpoint, record": median(
            results[f]["seconds"] - training[f] for f in folders
        ),
    }


# One after the other


def _usual(workspace: Workspace, size: Size) -> Done:
    """All runs in one new process, with as many threads as torch likes."""
    request = {
        "data": str(workspace.data), "folder": str(workspace.folder / "usual"), "seeds": size.seeds,
        "samples": size.samples, "test_samples": size.test_samples,
    }  # fmt: skip
    answer = workspace.folder / "usual.json"
    began = time.time()
    _run([sys.executable, "-m", "benchmarks.grid", json.dumps(request), str(answer)], workspace.log)
    return Done(time.time() - began, json.loads(answer.read_text()), {})


def _one_after_the_other(
    data: str, folder: str, seeds: int, samples: int, test_samples: int
) -> list[float | None]:
    """Test accuracies of all runs of the grid."""
    from benchmarks.usual_pipeline import Pipeline

    pipeline = Pipeline(data, folder, samples, test_samples)
    return [
        pipeline.run(seed, activation=activation, init=init)[1]
        for activation in ACTIVATIONS
        for init in INITS
        for seed in range(seeds)
    ]


def _run(command: list[str], log: Path) -> None:
    """A command as a user gives it, with no thread variables set. Raises RuntimeError where it fails."""
    environment = {k: v for k, v in os.environ.items() if k not in THREAD_VARIABLES}
    with ExitStack() as files:
        output = files.enter_context(log.open("ab"))
        done = subprocess.run(
            command, cwd=REPOSITORY, env=environment, stdout=output, stderr=output, check=False
        )
    if done.returncode:
        raise RuntimeError(
            f"{' '.join(command)}: exit code {done.returncode}\n{log.read_text(errors='replace')[-2000:]}"
        )


if __name__ == "__main__":
    request, answer = sys.argv[1:]
    Path(answer).write_text(json.dumps(_one_after_the_other(**json.loads(request))))
