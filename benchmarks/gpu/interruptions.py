"""A run that is asked to stop in mid-epoch, and goes on."""

import multiprocessing
import os
import signal
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

from benchmarks.gpu.lab import LENET, Lab, largest_difference, losses_of

WAIT_SECONDS = 60.0


def resume(lab: Lab) -> None:
    """SIGTERM once the first losses are recorded, then the same command again; against a run left alone.

    Each attempt is a process of its own, forked before this one has touched the device.
    """
    steps = lab.size(6000, 160)
    size = (*LENET, "data.val_size=1000", "data.test_size=1000", f"trainer.max_steps={steps}")
    whole, stopped = (lab.settings(*size, runs=runs) for runs in ("whole", "stopped"))
    folders = [lab.folder / runs / whole.run_id for runs in ("whole", "stopped")]
    alone = _start(lab, whole.to_json())
    first = _start(lab, stopped.to_json())
    at = _stop_when_training(first, folders[1])
    first.join()
    status = _status(folders[1])
    lab.check("it was interrupted", status == "interrupted", f"{status}, exit code {first.exitcode}, {at}")
    there = (folders[1] / "checkpoints" / "last.ckpt").exists()
    lab.check("it has left a checkpoint", there, "checkpoints/last.ckpt")
    again = _start(lab, stopped.to_json())
    again.join()
    alone.join()
    codes = (alone.exitcode, again.exitcode)
    lab.check("both come to their end", codes == (0, 0), f"exit codes {codes}")
    losses = [losses_of(folder) for folder in folders]
    difference = largest_difference(*losses)
    lab.check(
        "the resumed run has the losses of the other", difference == 0,
        f"{len(losses[0])} and {len(losses[1])} losses, largest difference {difference:.1e}",
    )  # fmt: skip
    lab.headline(
        f"stopped {at} of {steps}, resumed: all losses equal to the bit to those of a run left alone"
    )


def _start(lab: Lab, settings: str) -> BaseProcess:
    process = multiprocessing.get_context("fork").Process(target=_train, args=(settings, str(lab.folder)))
    process.start()
    return process


def _train(settings: str, folder: str) -> None:
    """The run of these settings, as a worker does it; the process ends with its exit code."""
    from trainlab.settings import settings_from_json
    from trainlab.training.worker import run_settings

    os.chdir(folder)
    frozen = settings_from_json(settings)
    sys.exit(run_settings(frozen))  # type: ignore[arg-type]


def _stop_when_training(process: BaseProcess, folder: Path) -> str:
    """SIGTERM as soon as a loss is recorded; returns where that was."""
    log, since = folder / "metrics.jsonl", time.monotonic()
    while process.is_alive() and time.monotonic() - since < WAIT_SECONDS:
        recorded = log.read_bytes().count(b"train/loss_step") if log.exists() else 0
        if recorded:
            os.kill(process.pid or 0, signal.SIGTERM)
            return f"after step {recorded}"
        time.sleep(0.002)
    return "never: no loss was recorded while it ran"


def _status(folder: Path) -> str:
    from trainlab.runs.run_folder import run_status

    return run_status(folder)
