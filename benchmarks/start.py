"""How long a run takes from a free slot of a sweep to its first step."""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import Measure
from benchmarks.rounds import interleaved, medians
from benchmarks.workspace import REPOSITORY, Workspace

if TYPE_CHECKING:
    from trainlab.sweeps.forkserver import ForkServer

AT_MOST_SECONDS = {"none": 0.5, "wandb": 1.0}
"""Tracker → seconds."""
FIRST_STEP_FILE = "first_step"


def measure(workspace: Workspace) -> list[Measure]:
    """Seconds from the request for a process to the first training step, with and without a tracker."""
    from trainlab.sweeps.forkserver import ForkServer
    from trainlab.sweeps.sweep import TRACKER_MODULES

    count = 2 if workspace.quick else 9
    # before Python 3.12 a forkserver does not take over sys.path
    os.environ["PYTHONPATH"] = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    with ForkServer() as server:
        server.preload(*TRACKER_MODULES["wandb"])
        server.call(ready)
        starts = {name: _starter(workspace, server, name) for name in AT_MOST_SECONDS}
        rounds = interleaved(starts, count)
    return [
        Measure(
            name=f"start in a warm slot, logger={name}",
            question="seconds from the request for a process to the run's first training step",
            unit="s",
            value=medians(rounds)[name],
            at_most=at_most,
            rounds={name: rounds[name]},
            rounds_unit="s",
            medians={name: medians(rounds)[name]},
        )
        for name, at_most in AT_MOST_SECONDS.items()
    ]


def ready() -> bool:
    """The server has imported everything, and its first fork is behind it."""
    return True


def _starter(workspace: Workspace, server: "ForkServer", logger: str) -> Callable[[], float]:
    from trainlab.config import compose, identify
    from trainlab.runs.run_folder import RunFolder
    from trainlab.sweeps import process_main

    quick = ("data=digits", "data.image_size=16") if workspace.quick else ("model=lenet5", "data=mnist")
    if not workspace.quick:
        workspace.need("mnist")
    seeds = iter(range(10_000))

    def start() -> float:
        overrides = [
            *quick, "trainer=cpu", "trainer.threads=1", "trainer.max_steps=3", "data.val_size=100",
            "data.test_size=100", f"logger={logger}", "signals=off", f"seed={next(seeds)}",
            *workspace.paths(f"start-{logger}"),
        ]  # fmt: skip
        settings = identify(compose(overrides))
        folder = RunFolder(Path(settings.paths.runs) / settings.run_id).create()
        folder.write_settings(settings)
        config = folder.path / "config.yaml"
        began = time.monotonic()
        environment = {"OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"}
        process, sentinel = server.start_process(process_main.run_in_process, [config], work, environment)
        process.join()
        sentinel.close()
        if process.exitcode:
            raise RuntimeError((folder.path / process_main.LOG_FILE).read_text())
        return float((folder.path / FIRST_STEP_FILE).read_text()) - began

    return start


def work(configs: Sequence[Path]) -> int:
    """A slot's work, with a note of when the first step begins (a clock that all processes share)."""
    [config] = configs
    from torch import Tensor

    from trainlab.training.classifier import Classifier
    from trainlab.training.worker import run_config_file as do_run

    training_step = Classifier.training_step
    note = config.parent / FIRST_STEP_FILE

    def first_step(self: Classifier, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor | None:
        note.write_text(str(time.monotonic()))
        Classifier.training_step = training_step
        return training_step(self, batch, batch_idx)

    Classifier.training_step = first_step  # type: ignore
    return do_run(config)
