"""A run that was stopped goes on as if it had not been."""

import os
import signal
from pathlib import Path

import polars as pl
import pytest

from trainlab import runs
from trainlab.errors import RequestError
from trainlab.training.classifier import Classifier
from trainlab.training.interruption import Interrupted, Interruption
from trainlab.training.run import train

HARD = ("norm_layer=batchnorm", "augment=flip_crop", "scheduler=cosine", "trainer.max_epochs=3")


def history(folder) -> list[tuple]:
    return sorted(runs.metrics(folder.path).select("step", "name", "value").iter_rows())


@pytest.mark.parametrize("stop_after", [3, 8, 11])
def test_an_interrupted_run_goes_on_bit_for_bit(run, settings, monkeypatch, tmp_path, stop_after):
    """In mid-epoch (3, 11) and at an epoch's end (8 steps an epoch)."""
    whole, whole_folder = run(*HARD, f"paths.runs={tmp_path / 'whole'}")
    _interrupt_after(stop_after, monkeypatch)
    with pytest.raises(Interrupted):
        run(*HARD)
    frozen = settings(*HARD)
    folder = runs.RunFolder(Path(frozen["paths"]["runs"]) / frozen["run_id"])
    assert folder.status() == "interrupted"
    monkeypatch.undo()
    resumed, _ = run(*HARD)
    assert resumed.steps == whole.steps and resumed.metrics == whole.metrics
    assert history(folder) == history(whole_folder)


@pytest.mark.parametrize("hook", ["on_train_epoch_start", "training_step", "on_validation_start"])
def test_a_real_sigterm_leaves_a_run_to_go_on_with_wherever_it_comes(
    run, settings, monkeypatch, tmp_path, hook
):
    """Lightning's own handler would end a run in its validation with nothing recorded but a failure."""
    whole, _ = run(*HARD, f"paths.runs={tmp_path / 'whole'}")
    called = getattr(Classifier, hook)
    sent = []

    def terminated(self, *arguments):
        if not sent and self.global_step:
            sent.append(os.kill(os.getpid(), signal.SIGTERM))
        return called(self, *arguments)

    monkeypatch.setattr(Classifier, hook, terminated)
    with pytest.raises(Interrupted):
        run(*HARD)
    frozen = settings(*HARD)
    assert runs.RunFolder(Path(frozen["paths"]["runs"]) / frozen["run_id"]).status() == "interrupted"
    monkeypatch.undo()
    resumed, _ = run(*HARD)
    assert resumed.steps == whole.steps and resumed.metrics == whole.metrics


def test_dropout_goes_on_bit_for_bit(run, monkeypatch, tmp_path):
    """VGG's form for large images has dropout."""
    vgg = ("model=vgg", "depth=11", "width=2", "data.image_size=72", "data.train_size=96")
    whole, _ = run(*vgg, f"paths.runs={tmp_path / 'whole'}")
    _interrupt_after(2, monkeypatch)
    with pytest.raises(Interrupted):
        run(*vgg)
    monkeypatch.undo()
    assert run(*vgg)[0].metrics == whole.metrics


def _interrupt_after(steps: int, monkeypatch) -> None:
    """A signal that comes during that step."""
    step = Classifier.training_step

    def counting(self, batch, batch_idx):
        if self.global_step + 1 == steps:
            next(c for c in self.trainer.callbacks if isinstance(c, Interruption)).requested = True
        return step(self, batch, batch_idx)

    monkeypatch.setattr(Classifier, "training_step", counting)


def test_resume_false_starts_over(run, settings, monkeypatch):
    _interrupt_after(3, monkeypatch)
    with pytest.raises(Interrupted):
        run()
    monkeypatch.undo()
    result = train(settings("resume=false"))
    steps = runs.metrics(Path(settings()["paths"]["runs"]) / result.run_id)
    assert steps.filter(pl.col("name") == "train/loss_step").height == 16


def test_a_run_can_start_from_another(run):
    first, folder = run()
    longer, longer_folder = run(f"resume={folder.path}", "trainer.max_epochs=3")
    assert longer.run_id != first.run_id and longer.steps == 24
    steps = runs.metrics(longer_folder.path).filter(pl.col("name") == "train/loss_step")["step"]
    assert steps.min() == 16, "the first run's steps are its own"


def test_a_start_that_leaves_nothing_to_do_is_refused(run):
    _, folder = run()
    with pytest.raises(RequestError, match="max_epochs=2"):
        run(f"resume={folder.path}", "optimizer.lr=1e-4")


def test_a_start_that_is_not_there_is_refused(run):
    with pytest.raises(RequestError, match="nowhere"):
        run("resume=nowhere")


def test_a_torn_checkpoint_is_not_believed(run, settings, monkeypatch):
    _interrupt_after(3, monkeypatch)
    with pytest.raises(Interrupted):
        run()
    monkeypatch.undo()
    frozen = settings()
    last = Path(frozen["paths"]["runs"]) / frozen["run_id"] / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:1000])
    result, _ = run()
    assert result.status == "finished" and result.steps == 16
