"""A run that was stopped goes on as if it had not been."""

import os
import signal
from pathlib import Path

import polars as pl
import pytest
import torch

from trainlab import runs
from trainlab.errors import RequestError
from trainlab.training.classifier import Classifier
from trainlab.training.interruption import Interrupted, Interruption
from trainlab.training.run import train

HARD = ("norm_layer=batchnorm", "augment=flip_crop", "scheduler=cosine", "trainer.max_epochs=3")


def history(folder) -> list[tuple]:
    return sorted(runs.read_metrics(folder.path).select("step", "name", "value").iter_rows())


@pytest.mark.parametrize("stop_after", [3, 8, 11])
def test_an_interrupted_run_goes_on_bit_for_bit(run, settings, monkeypatch, tmp_path, stop_after):
    """In mid-epoch (3, 11) and at an epoch's end (8 steps an epoch)."""
    whole, whole_folder = run(*HARD, f"paths.runs={tmp_path / 'whole'}")
    _interrupt_after(stop_after, monkeypatch)
    with pytest.raises(Interrupted):
        run(*HARD)
    frozen = settings(*HARD)
    folder = runs.RunFolder(Path(frozen.paths.runs) / frozen.run_id)
    assert folder.status() == "interrupted"
    monkeypatch.undo()
    resumed, _ = run(*HARD)
    assert resumed.steps == whole.steps and resumed.metrics == whole.metrics
    assert history(folder) == history(whole_folder)


def test_flips_that_alternate_go_on_bit_for_bit(run, monkeypatch, tmp_path):
    """With an optimizer of its own state, in mid-epoch."""
    recipe = (
        "augment=alternating_flip",
        "optimizer=muon",
        "scheduler=linear",
        "model=whitened_cnn",
        "depth=6",
    )
    recipe = (*recipe, "width=2", "trainer.max_epochs=3", "trainer.label_smoothing=0.2")
    whole, whole_folder = run(*recipe, f"paths.runs={tmp_path / 'whole'}")
    _interrupt_after(11, monkeypatch)
    with pytest.raises(Interrupted):
        run(*recipe)
    monkeypatch.undo()
    resumed, folder = run(*recipe)
    assert resumed.metrics == whole.metrics and history(folder) == history(whole_folder)


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
    assert runs.RunFolder(Path(frozen.paths.runs) / frozen.run_id).status() == "interrupted"
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
    steps = runs.read_metrics(Path(settings().paths.runs) / result.run_id)
    assert steps.filter(pl.col("name") == "train/loss_step").height == 16


def test_a_run_can_start_from_another(run):
    first, folder = run()
    longer, longer_folder = run(f"resume={folder.path}", "trainer.max_epochs=3")
    assert longer.run_id != first.run_id and longer.steps == 24
    steps = runs.read_metrics(longer_folder.path).filter(pl.col("name") == "train/loss_step")["step"]
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
    last = Path(frozen.paths.runs) / frozen.run_id / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:1000])
    result, _ = run()
    assert result.status == "finished" and result.steps == 16


def _rates(folder) -> list[float]:
    checkpoint = torch.load(folder.checkpoints / "last.ckpt", weights_only=True)
    return [group["lr"] for group in checkpoint["optimizer_states"][0]["param_groups"]]


CHANGED = {
    "the rate": ("optimizer.lr=0.02",),
    "the decay": ("optimizer.weight_decay=0.1", "optimizer.lr=0.02"),
    "the optimizer": ("optimizer=sgd_momentum", "optimizer.lr=0.02"),
    "the optimizer to one without memory": ("optimizer=sgd", "optimizer.lr=0.02"),
    "the batch": ("data.batch_size=64", "optimizer.lr=0.02"),
    "the normalization": ("normalization=unit", "optimizer.lr=0.02"),
    "the precision": ("trainer.precision=bf16-mixed", "optimizer.lr=0.02"),
    "what the optimizer keeps": ("+optimizer.amsgrad=true", "optimizer.lr=0.02"),
}


@pytest.mark.parametrize("change", CHANGED)
def test_a_start_from_another_run_trains_with_what_its_record_says(run, change):
    _, first = run("signals=off")
    result, folder = run(f"resume={first.path}", "trainer.max_epochs=3", "signals=off", *CHANGED[change])
    assert result.status == "finished"
    assert _rates(folder) == [0.02]
    checkpoint = torch.load(folder.checkpoints / "last.ckpt", weights_only=True)
    group = checkpoint["optimizer_states"][0]["param_groups"][0]
    for key, value in checkpoint["trainlab"]["settings"]["optimizer"].items():
        if key in group and key != "betas":
            assert group[key] == value, key
    begins_anew = {"the optimizer", "the optimizer to one without memory", "what the optimizer keeps"}
    assert bool(result.warnings) == (change in begins_anew)


def test_a_start_from_another_run_follows_its_own_schedule(run):
    """Cosine over three epochs, entered after two of them: the rate of a run that was there all the time."""
    _, first = run("signals=off")
    _, whole = run("scheduler=cosine", "trainer.max_epochs=3", "signals=off")
    _, folder = run(f"resume={first.path}", "scheduler=cosine", "trainer.max_epochs=3", "signals=off")
    assert _rates(folder) == pytest.approx(_rates(whole), rel=1e-6)


def test_a_start_from_another_run_keeps_the_optimizers_averages_and_takes_the_same_steps(run, tmp_path):
    """Nothing changed but the budget: the same bits as one run of that length."""
    _, first = run("signals=off")
    whole, _ = run("trainer.max_epochs=3", "signals=off", f"paths.runs={tmp_path / 'whole'}")
    result, _ = run(f"resume={first.path}", "trainer.max_epochs=3", "signals=off")
    assert result.metrics == whole.metrics and not result.warnings


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("width=8", "is 4×1×3×3 there, 8×1×3×3 here"),
        ("depth=4", "missing there"),
        ("norm_layer=batchnorm", "missing"),
        ("model=mlp", "missing"),
        ("data.num_classes=3", "10"),
    ],
)
def test_a_start_of_another_network_is_refused_before_there_is_a_folder(run, settings, change, says):
    _, first = run("signals=off")
    overrides = (f"resume={first.path}", "trainer.max_epochs=3", change)
    with pytest.raises(RequestError, match="its network is another one") as refused:
        run(*overrides)
    assert says in str(refused.value) and "\n" not in str(refused.value)
    assert not (first.path.parent / settings(*overrides).run_id).exists()


def test_a_start_in_mid_epoch_among_other_batches_is_refused(run, settings, monkeypatch):
    _interrupt_after(3, monkeypatch)
    with pytest.raises(Interrupted):
        run()
    monkeypatch.undo()
    first = Path(settings().paths.runs) / settings().run_id
    with pytest.raises(RequestError, match="middle of an epoch"):
        run(f"resume={first}", "trainer.max_epochs=3", "data.batch_size=64")
    result, _ = run(f"resume={first}", "trainer.max_epochs=3", "optimizer.lr=0.02")
    assert result.status == "finished"


def test_a_start_from_another_run_has_its_own_patience_and_time(run):
    _, first = run(
        "optimizer=sgd", "optimizer.lr=1e-8", "early_stop=1", "trainer.max_epochs=20", "signals=off"
    )
    stopped = first.result()
    longer = round(stopped.epochs) + 2
    again, _ = run(
        f"resume={first.path}", "optimizer=sgd", "optimizer.lr=1e-2", f"trainer.max_epochs={longer}",
        "early_stop=5", "signals=off",
    )  # fmt: skip
    assert again.epochs == longer


def test_a_rerun_of_a_run_that_starts_from_another_starts_from_it_again(run, settings):
    _, first = run("signals=off")
    overrides = (f"resume={first.path}", "trainer.max_epochs=3", "signals=off")
    once, _ = run(*overrides)
    twice = train(settings(*overrides).replace(rerun=True))
    assert twice.metrics == once.metrics and twice.steps == 24
    table = runs.read_metrics(first.path.parent / once.run_id)
    assert table.filter(pl.col("name") == "train/loss_step")["step"].min() == 16


def test_the_command_of_a_run_that_starts_from_another_says_so(run):
    from trainlab.config.command_line import command_line_for_run

    _, first = run("signals=off")
    _, folder = run(f"resume={first.path.name}", "trainer.max_epochs=3", "signals=off")
    assert f"resume={first.path.name}" in command_line_for_run(folder.settings())
    assert "resume" not in command_line_for_run(first.settings())
