"""Checkpoints of the runs of a stack: one file a run, as the run alone would write it.

A run that was trained in a stack goes on alone, and one that was trained alone goes on in a stack.
"""

from pathlib import Path

import lightning as L
import torch

from trainlab.runs.safe_files import atomic_replacement
from trainlab.stacked.assembly import RunTensors
from trainlab.training.checkpoint import BEST_CHECKPOINT_KEY, LAST_CHECKPOINT_KEY, describe_model
from trainlab.training.lightning_internals import CheckpointDict, LoopPosition, loops_state
from trainlab.training.stacked_run import StackedRun


def run_checkpoint(run: StackedRun, position: LoopPosition, tensors: RunTensors) -> CheckpointDict:
    """The checkpoint of one run at this position."""
    callbacks: dict[str, object] = {
        "Throughput": run.clock_state(),
        "Elapsed": run.writer.elapsed.state_dict(),
    }
    if run.early_stop.patience is not None:
        callbacks["EarlyStopping{'monitor': 'val/loss', 'mode': 'min'}"] = run.early_stop_state()
    folder = run.folder.checkpoints
    callbacks[LAST_CHECKPOINT_KEY] = _checkpoint_callback_state(folder / "last.ckpt", None)
    if run.settings.checkpoint in ("best", "both"):
        callbacks[BEST_CHECKPOINT_KEY] = _checkpoint_callback_state(folder / "best.ckpt", run.best_accuracy)
    return {
        "epoch": position.epoch,
        "global_step": position.steps,
        "pytorch-lightning_version": L.__version__,
        "state_dict": dict(tensors.model),
        "loops": loops_state(position),
        "callbacks": callbacks,
        "optimizer_states": [tensors.optimizer],
        "lr_schedulers": [] if tensors.schedule is None else [tensors.schedule],
        "trainlab": describe_model(run.settings, run.images),
        "meter": run.meter.state_dict(),
        "random_state": torch.get_rng_state(),
        **tensors.random_states,
    }


def save_checkpoint(path: Path, checkpoint: CheckpointDict) -> None:
    """Written whole or not at all. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_replacement(path) as beside:
        torch.save(checkpoint, beside)


def _checkpoint_callback_state(path: Path, best: float | None) -> dict[str, object]:
    """What Lightning's ModelCheckpoint keeps; `best`: of one that follows val/acc, else None."""
    score = None if best is None else torch.tensor(best)
    return {
        "monitor": None if best is None else "val/acc",
        "best_model_score": score,
        "best_model_path": str(path),
        "current_score": score,
        "dirpath": str(path.parent),
        "best_k_models": {} if score is None else {str(path): score},
        "kth_best_model_path": "" if best is None else str(path),
        "kth_value": torch.tensor(torch.inf) if score is None else score,
        "last_model_path": "",
    }
