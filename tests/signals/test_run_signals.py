"""Signals of whole runs, through the platform on embedded digits."""

import math
from pathlib import Path

import polars as pl
import pytest
import torch
from lightning.pytorch.loggers import WandbLogger

from trainlab import runs
from trainlab.runs import RunFolder
from trainlab.signals.catalogue import LAYER_QUANTITIES, LOOP_QUANTITIES, NETWORK_QUANTITIES
from trainlab.training.classifier import Classifier
from trainlab.training.interruption import Interrupted, Interruption

EVERY_STEP = "signals=1000"


def weights(folder: RunFolder) -> dict[str, torch.Tensor]:
    return torch.load(folder.checkpoints / "last.ckpt", weights_only=True)["state_dict"]


def losses(folder: RunFolder) -> list[tuple]:
    return sorted(runs.read_metrics(folder.path).select("step", "name", "value").iter_rows())


BIT_IDENTICAL = {
    "batchnorm and augmentation": ("norm_layer=batchnorm", "augment=flip_crop"),
    "dropout": ("model=vgg", "depth=11", "width=2", "data.image_size=72", "data.train_size=64"),
    "residual": ("model=resnet", "depth=3", "norm_layer=batchnorm"),
    "mixed precision": ("trainer.precision=bf16-mixed", "activation=tanh"),
    "clipping, momentum, lsuv": ("trainer.gradient_clip=0.1", "optimizer=sgd_momentum", "init=lsuv"),
    "locally connected": ("model=locally_connected", "norm_layer=batchnorm_after_activation"),
}


@pytest.mark.parametrize("case", BIT_IDENTICAL)
def test_the_loss_curve_is_the_same_to_the_bit(run, tmp_path, case):
    overrides = (*BIT_IDENTICAL[case], "trainer.max_steps=10")
    off, without = run(*overrides, "signals=off", f"paths.runs={tmp_path / 'off'}")
    on, measured = run(*overrides, EVERY_STEP, f"paths.runs={tmp_path / 'on'}")
    assert on.run_id == off.run_id, "signals decide nothing"
    assert losses(measured) == losses(without) and on.metrics == off.metrics
    state, plain = weights(measured), weights(without)
    assert all(state[key].equal(plain[key]) for key in plain)
    assert runs.read_signals(without.path).is_empty()
    assert runs.read_signals(measured.path)["step"].n_unique() == on.steps


def test_the_record_of_a_default_run(run):
    result, folder = run()
    assert (folder.path / "signals.parquet").exists() and not (folder.path / "signals.jsonl").exists()
    table = runs.read_signals(folder.path)
    assert table["step"].min() == 0 and table["step"].max() == result.steps - 1
    assert not table.select("step", "layer", "quantity").is_duplicated().any()
    of_loop = {
        "learning_rate",
        "gradient_left_over",
        *(name for name in LOOP_QUANTITIES if name.startswith("probe_")),
    }
    assert set(table["quantity"]) == set(LAYER_QUANTITIES) | set(NETWORK_QUANTITIES) | of_loop
    assert table.filter(pl.col("quantity") != "noise_scale")["value"].is_finite().all()
    recorded = dict(table.filter(pl.col("quantity") == "loss").select("step", "value").iter_rows())
    curve = runs.read_metrics(folder.path).filter(pl.col("name") == "train/loss_step")
    curve = dict(curve.select("step", "value").iter_rows())
    assert all(curve[step] == loss for step, loss in recorded.items()), "a step is the same step in both"


def test_a_resumed_run_has_the_signals_of_one_that_was_not_stopped(run, settings, monkeypatch, tmp_path):
    overrides = ("norm_layer=batchnorm", "signals=8", "trainer.max_epochs=3")
    _, whole = run(*overrides, f"paths.runs={tmp_path / 'whole'}")
    step = Classifier.training_step

    def stopped(self, batch, batch_idx):
        if self.global_step == 5:  # a measured step, in mid-epoch
            next(c for c in self.trainer.callbacks if isinstance(c, Interruption)).requested = True
        return step(self, batch, batch_idx)

    monkeypatch.setattr(Classifier, "training_step", stopped)
    with pytest.raises(Interrupted):
        run(*overrides)
    frozen = settings(*overrides)
    folder = Path(frozen.paths.runs) / frozen.run_id
    assert 5 in runs.read_signals(folder)["step"]
    monkeypatch.undo()
    _, resumed = run(*overrides)
    assert runs.read_signals(resumed.path).equals(runs.read_signals(whole.path))


def test_a_diverging_run_is_measured_to_its_end(run):
    result, folder = run("optimizer=sgd", "optimizer.lr=1e30", EVERY_STEP)
    assert result.status == "diverged"
    table = runs.read_signals(folder.path).filter(pl.col("quantity") == "preactivation_std")
    assert not table.filter(pl.col("step") > 2)["value"].is_finite().any()
    assert table.filter(pl.col("step") == 0)["value"].is_finite().all()


def test_a_saturated_run_shows_it(run):
    _, folder = run("activation=tanh", "init.gain=20", "trainer.max_steps=4")
    first = runs.read_signals(folder.path).filter(pl.col("step") == 0)
    saturated = first.filter(pl.col("quantity") == "saturated")["value"]
    assert len(saturated) == 2 and saturated.min() > 0.5


def test_wandb_gets_charts_and_histograms(run, monkeypatch):
    pytest.importorskip("wandb")
    sent, log_metrics = {}, WandbLogger.log_metrics

    def kept(self, metrics, step=None):
        if any(key.startswith("signals/") for key in metrics):
            sent[step] = metrics
        log_metrics(self, metrics, step)

    monkeypatch.setattr(WandbLogger, "log_metrics", kept)
    result, folder = run("logger=wandb", "signals=3")
    table = runs.read_signals(folder.path)
    assert sorted(sent) == sorted(set(table["step"])) and len(sent) == 3
    for step, layer, quantity, value in table.iter_rows():
        assert sent[step][f"signals/{layer}/{quantity}"] == value or math.isnan(value)
    layers = set(table["layer"]) - {"network"}
    for layer in layers:
        histogram = sent[result.steps - 1][f"signals/{layer}/preactivations"]
        assert sum(histogram.histogram) > 0 and len(histogram.bins) == len(histogram.histogram) + 1


@pytest.mark.slow
def test_with_several_processes_one_measures(run):
    several = ("trainer=ddp", "trainer.strategy=ddp_fork", "trainer.accelerator=cpu")
    result, folder = run(*several, "signals=4", "trainer.max_steps=8")
    assert result.status == "finished"
    table = runs.read_signals(folder.path)
    assert sorted(set(table["step"])) == [0, 1, 3, 7]
    assert not table.select("step", "layer", "quantity").is_duplicated().any()
