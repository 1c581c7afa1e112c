"""One run, start to end, through the whole platform on embedded digits."""

import json
import math

import polars as pl
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping

from trainlab import runs
from trainlab.errors import RequestError
from trainlab.training import run as run_module

SIX = {"test/acc", "test/loss", "val/acc", "val/loss", "train/acc", "train/loss"}


def losses(folder) -> list[float]:
    table = runs.read_metrics(folder.path).filter(pl.col("name") == "train/loss_step").sort("step")
    assert table["step"].to_list() == list(range(table.height)), "each step once"
    return table["value"].to_list()


def test_the_record_is_complete_without_a_tracker(run):
    result, folder = run()
    written = json.loads((folder.path / "result.json").read_text())
    assert written["status"] == "finished" and set(written["metrics"]) == SIX
    assert all(math.isfinite(v) for v in written["metrics"].values())
    assert written["steps"] == 16 and written["epochs"] == 2 and written["seed"] == 0
    assert written["axes"]["activation"] == "relu" and written["axes"]["depth"] == 2
    assert written["data"]["name"] == "digits" and written["data"]["copy"] == "embedded"
    assert (
        written["machine"]["device"] == "cpu"
        and written["versions"]["torch"] == torch.__version__.split("+")[0]
    )
    assert written["parameters"] == sum(v.numel() for v in _weights(folder).values())
    assert written["verdict"]["learned"] in (True, False)
    confusion = runs.read_confusion(folder.path)
    assert confusion["count"].sum() == 100
    right = confusion.filter(pl.col("true") == pl.col("predicted"))["count"].sum()
    assert right / 100 == pytest.approx(result.metrics["test/acc"])
    assert len(losses(folder)) == 16
    assert {p.name for p in folder.path.iterdir()} >= {"config.yaml", "metrics.parquet", "confusion.parquet"}
    assert not list(folder.path.glob("*.jsonl"))


def _weights(folder, name="last") -> dict:
    checkpoint = torch.load(folder.checkpoints / f"{name}.ckpt", weights_only=True)
    return {
        k: v for k, v in checkpoint["state_dict"].items()
        if not k.startswith("model.normalization") and "running" not in k and "num_batches" not in k
    }  # fmt: skip


def test_the_same_seed_gives_the_same_bits(run, tmp_path):
    first, folder = run("norm_layer=batchnorm", "augment=flip_crop")
    again, other = run(
        "norm_layer=batchnorm", "augment=flip_crop", f"paths.runs={tmp_path / 'again'}", "checkpoint=both"
    )
    assert first.metrics == again.metrics
    assert losses(folder) == losses(other)


def test_another_seed_is_another_run_and_seed_zero_is_a_seed(run):
    zero, zero_folder = run("seed=0")
    one, one_folder = run("seed=1")
    assert zero.run_id != one.run_id
    assert losses(zero_folder)[0] != losses(one_folder)[0]


def test_a_learning_rate_too_high_diverges_and_says_where(run):
    result, folder = run("optimizer=sgd", "optimizer.lr=1e30")
    assert result.status == "diverged"
    assert result.verdict.learned is False and result.verdict.cause == "diverged"
    assert result.stopped["quantity"] == "train/loss"
    table = runs.read_metrics(folder.path).filter(pl.col("name") == "train/loss_step")
    bad = table.filter(~pl.col("value").is_finite())["step"].min()
    assert result.stopped["step"] == bad


def test_early_stop_ends_a_run_that_no_longer_improves(run):
    result, _ = run("optimizer=sgd", "optimizer.lr=1e-8", "early_stop=1", "trainer.max_epochs=20")
    assert result.status == "finished" and result.epochs < 20


@pytest.mark.parametrize(("epochs", "every", "looks"), [(3, 1, 3), (4, 2, 2), (3, 2, 2), (1, 5, 1)])
def test_early_stop_counts_epochs_and_not_looks(settings, epochs, every, looks):
    frozen = settings(f"early_stop={epochs}", f"trainer.val_every_epochs={every}")
    (callback,) = run_module._early_stopping(frozen)
    assert isinstance(callback, EarlyStopping) and callback.patience == looks


def test_best_and_last_checkpoints(run):
    _, both = run("checkpoint=both")
    assert {p.name for p in both.checkpoints.iterdir()} == {"best.ckpt", "last.ckpt"}
    _, best = run("checkpoint=best", "seed=1")
    assert {p.name for p in best.checkpoints.iterdir()} == {"best.ckpt"}
    _, none = run("checkpoint=none", "seed=2")
    assert not none.checkpoints.exists()


def test_steps_can_be_the_budget_and_validation_is_still_measured(run):
    result, folder = run("trainer.max_steps=5")
    assert result.steps == 5 and set(result.metrics) == SIX
    assert len(losses(folder)) == 5


@pytest.mark.parametrize(
    "override",
    [
        "trainer.gradient_clip=0.1", "trainer.precision=bf16-mixed", "trainer.precision=64-true",
        "trainer.precision=bf16-true", "augment=flip_crop", "debug=fast", "debug=one_batch",
        "scheduler=cosine", "scheduler=onecycle", "scheduler=step", "data.num_classes=3",
        "data.image_size=20", "init=lsuv",
        "init=mean_field", "pool=stride", "pool=avg", "normalization=per_image", "data.batch_size=300",
        "optimizer=rmsprop", "optimizer=sgd_nesterov", "trainer.val_every_epochs=2", "debug=profile",
    ],
)  # fmt: skip
def test_every_kind_of_setting_trains(run, override):
    steps = [] if override.startswith("debug") else ["trainer.max_steps=8"]
    if override == "debug=one_batch":
        steps = ["trainer.max_steps=40"]
    result, _ = run(override, *steps)
    assert result.status == "finished" and math.isfinite(result.metrics["test/loss"])


def test_one_batch_is_overfitted(run):
    result, _ = run(
        "debug=one_batch",
        "width=16",
        "optimizer.lr=5e-3",
        "data.train_size=32",
        "trainer.max_epochs=null",
    )
    assert result.metrics["train/acc"] == 1.0


def test_clipping_bounds_what_a_step_changes(run):
    free, _ = run("optimizer=sgd", "optimizer.lr=1.0", "trainer.max_steps=1")
    clipped, folder = run(
        "optimizer=sgd", "optimizer.lr=1.0", "trainer.max_steps=1", "trainer.gradient_clip=1e-6"
    )
    _, still = run("optimizer=sgd", "optimizer.lr=1e-9", "trainer.max_steps=1")
    moved = max(
        float((a - b).abs().max())
        for a, b in zip(_weights(folder).values(), _weights(still).values(), strict=True)
    )
    assert moved <= 1.1e-6
    assert free.metrics != clipped.metrics


BUILD = {
    ("model=vgg", "depth=12"): "11, 13, 16, 19",
    ("model=plain_cnn", "model.stages=6", "depth=8", "data.image_size=28"): "5 poolings on 28",
    ("norm_layer=batchnorm", "data.batch_size=1"): "batch of one",
    ("model=mlp", "norm_layer=instancenorm"): "instance",
    ("model=resnet", "depth=4"): "3",
    ("data.train_size=100000",): "train_size",
    ("data.batch_size=3", "trainer.devices=4"): "batch_size",
}


@pytest.mark.parametrize("overrides", BUILD)
def test_what_cannot_be_built_is_refused_before_anything_is_written(run, settings, overrides):
    with pytest.raises(RequestError) as error:
        run(*overrides)
    assert BUILD[overrides].lower() in str(error.value).lower() and "\n" not in str(error.value)
    from pathlib import Path

    assert not (Path(settings().paths.runs) / settings(*overrides).run_id).exists()


def test_a_run_that_raises_is_recorded_as_failed(run, settings, monkeypatch):
    def broken(self, batch, batch_idx):
        raise MemoryError("no room")

    monkeypatch.setattr("trainlab.training.classifier.Classifier.training_step", broken)
    with pytest.raises(MemoryError):
        run()
    from pathlib import Path

    frozen = settings()
    result = runs.RunFolder(Path(frozen.paths.runs) / frozen.run_id).result()
    assert result is not None and result.error is not None
    assert result.status == "failed"
    assert result.error["type"] == "MemoryError" and result.error["message"] == "no room"
    assert any("broken" in frame for frame in result.error["frames"])
