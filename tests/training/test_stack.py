"""Runs in a stack are what they are alone: record, signals, checkpoints, verdict, however each ends."""

import json
import math
import signal

import polars as pl
import pytest
import torch

from trainlab import runs
from trainlab.runs import Result, RunFolder
from trainlab.training.interruption import Interrupted
from trainlab.training.run import train
from trainlab.training.stack import train_stack
from trainlab.training.stacked_run import EarlyStop

DIFFER = (
    ("seed=0", "init=kaiming", "optimizer.lr=0.003", "normalization=standardize", "augment=flip_crop"),
    ("seed=1", "init=glorot", "optimizer.lr=0.001", "normalization=unit", "scheduler=cosine"),
    ("seed=2", "init=lsuv", "optimizer.lr=0.01", "normalization=per_image", "optimizer.weight_decay=0.01"),
)
"""What may differ within a stack, all at once."""

PRECISE = "trainer.precision=64-true"
"""In which a whole run agrees: in float32 rounding grows step by step, as it does between two machines."""

AT_AN_UNFINISHED_EPOCH = ("wait_count",)
"""Lightning counts the last validation once more where a budget of steps ends within an epoch."""

CLOCKS = ("seconds", "samples_per_second", "started", "finished", "machine", "stack")


@pytest.fixture
def pairs(settings, tmp_path):
    """Trains runs alone and in a stack: [(folder alone, folder in the stack), …] in the order given."""

    def train_both(
        *overrides: tuple[str, ...], shared: tuple[str, ...] = ()
    ) -> list[tuple[RunFolder, RunFolder]]:
        alone = [settings(*shared, *own, f"paths.runs={tmp_path / 'alone'}") for own in overrides]
        stacked = [settings(*shared, *own, f"paths.runs={tmp_path / 'stacked'}") for own in overrides]
        for own in alone:
            train(own)
        train_stack(stacked)
        return [(_folder(one), _folder(other)) for one, other in zip(alone, stacked, strict=True)]

    return train_both


def _folder(settings) -> RunFolder:
    return RunFolder(f"{settings.paths.runs}/{settings.run_id}")


def _result(folder: RunFolder) -> Result:
    result = folder.result()
    assert result is not None
    return result


def _rows(table: pl.DataFrame) -> dict[tuple, float]:
    *key, value = table.columns
    return {tuple(row[:-1]): row[-1] for row in table.select(*key, value).iter_rows()}


def assert_same_rows(alone: pl.DataFrame, stacked: pl.DataFrame, rel: float) -> None:
    expected, got = _rows(alone), _rows(stacked)
    assert list(got) == list(expected), "the same rows, in the same order"
    for key, value in expected.items():
        if math.isnan(value):
            assert math.isnan(got[key]), key
        else:
            assert got[key] == pytest.approx(value, rel=rel, abs=rel), key


def assert_same_record(alone: RunFolder, stacked: RunFolder, rel: float = 1e-5) -> None:
    first, second = (json.loads((f.path / "result.json").read_text()) for f in (alone, stacked))
    assert set(first) == set(second)
    for key in set(first) - {*CLOCKS, "metrics", "verdict"}:
        assert second[key] == first[key], key
    metrics = [
        {name: float(value) for name, value in record["metrics"].items()} for record in (first, second)
    ]
    assert metrics[1] == pytest.approx(metrics[0], rel=rel, nan_ok=True)
    assert second["verdict"]["learned"] == first["verdict"]["learned"]
    assert_same_rows(runs.read_metrics(alone.path), runs.read_metrics(stacked.path), rel)


def assert_same_structure(alone: object, stacked: object, where: str = "") -> None:
    """The same keys, types, shapes, counts; numbers close."""
    if isinstance(alone, dict):
        names = {str(key).replace("stacked", "alone"): key for key in stacked}
        assert list(names) == list(map(str, alone)), where
        for key in alone:
            if key not in ("Throughput", "Elapsed", "random_state", *AT_AN_UNFINISHED_EPOCH):
                assert_same_structure(alone[key], stacked[names[str(key)]], f"{where}/{key}")
    elif isinstance(alone, list | tuple):
        assert isinstance(stacked, type(alone)) and len(alone) == len(stacked), where
        for index, (one, other) in enumerate(zip(alone, stacked, strict=True)):
            assert_same_structure(one, other, f"{where}/{index}")
    elif isinstance(alone, torch.Tensor):
        assert isinstance(stacked, torch.Tensor), where
        assert (alone.shape, alone.dtype) == (stacked.shape, stacked.dtype), where
    elif isinstance(alone, float):
        assert stacked == pytest.approx(alone, rel=2e-3), where
    else:
        assert stacked == alone or str(stacked).replace("stacked", "alone") == str(alone), where


def test_runs_that_differ_in_values_are_what_they_are_alone(pairs):
    # which of two equal values max pooling takes is a matter of rounding
    shared = ("norm_layer=batchnorm", "model=plain_cnn", "pool=avg", PRECISE)
    for alone, stacked in pairs(*DIFFER, shared=shared):
        assert_same_record(alone, stacked)
        assert_same_rows(runs.read_signals(alone.path), runs.read_signals(stacked.path), rel=1e-5)
        confusion = runs.read_confusion(stacked.path)
        assert confusion["count"].sum() == runs.read_confusion(alone.path)["count"].sum() == 100
    record = json.loads((stacked.path / "result.json").read_text())
    assert record["machine"]["stack"] == 3 and record["machine"]["device"] == "cpu"


def test_in_float32_the_first_losses_agree_to_rounding(pairs):
    for alone, stacked in pairs(*DIFFER):
        first, second = (
            runs.read_metrics(f.path).filter((pl.col("name") == "train/loss_step") & (pl.col("step") < 3))
            for f in (alone, stacked)
        )
        assert second["value"].to_list() == pytest.approx(first["value"].to_list(), rel=1e-5)


@pytest.mark.parametrize(
    "budget", [("trainer.max_epochs=2",), ("trainer.max_epochs=null", "trainer.max_steps=11")]
)
def test_checkpoints_are_those_of_the_run_alone(pairs, budget):
    shared = ("scheduler=cosine", "early_stop=5", "checkpoint=both", PRECISE, *budget)
    for alone, stacked in pairs(("seed=0",), ("seed=1",), shared=shared):
        for name in ("last", "best"):
            first, second = (
                torch.load(f.checkpoints / f"{name}.ckpt", weights_only=True) for f in (alone, stacked)
            )
            assert_same_structure(first, second)


def test_epochs_without_validation_and_no_checkpoint(pairs):
    shared = (
        "trainer.val_every_epochs=2",
        "trainer.max_epochs=3",
        "checkpoint=none",
        "signals=false",
        PRECISE,
    )
    for alone, stacked in pairs(("seed=0",), ("seed=1",), shared=shared):
        assert_same_record(alone, stacked)
        assert not stacked.checkpoints.exists() and runs.read_signals(stacked.path).is_empty()


def test_a_run_that_diverges_leaves_the_others_as_they_are(pairs):
    shared = ("optimizer=sgd", "trainer.max_epochs=3", "signals=3", "checkpoint=none", PRECISE)
    both = pairs(
        ("seed=0", "optimizer.lr=0.1"), ("seed=1", "optimizer.lr=1e150"), ("seed=2", "optimizer.lr=0.1"),
        shared=shared,
    )  # fmt: skip
    for alone, stacked in both:
        assert_same_record(alone, stacked)
    assert [_result(stacked).status for _, stacked in both] == ["finished", "diverged", "finished"]


def test_a_run_that_stops_early_leaves_and_the_rest_is_repacked(pairs):
    shared = ("early_stop=1", "trainer.max_epochs=8", "signals=4", PRECISE)
    both = pairs(("seed=0", "optimizer.lr=0.3"), ("seed=1", "optimizer.lr=1e-4"), shared=shared)
    for alone, stacked in both:
        assert_same_record(alone, stacked)
    steps = [_result(stacked).steps for _, stacked in both]
    assert steps[0] != steps[1]


def test_a_run_that_cannot_be_initialized_fails_alone(settings, tmp_path):
    """LSUV finds no variance behind a layer whose one unit is off for every image."""
    shared = ("init=lsuv", "model=mlp", "pool=none", "depth=5", "width=1", "trainer.max_epochs=1")
    chosen = [settings(*shared, f"seed={seed}") for seed in range(8)]
    train_stack(chosen)
    statuses = [_result(_folder(own)).status for own in chosen]
    assert set(statuses) == {"finished", "failed"}
    failed = _result(_folder(chosen[statuses.index("failed")]))
    assert failed.error is not None and "has variance 0" in str(failed.error["message"])


def test_a_stack_that_was_stopped_goes_on_bit_for_bit(settings, tmp_path, monkeypatch):
    """Alone, and in a stack again: from the checkpoints of a stop in mid-epoch."""
    from trainlab.training import stack_trainer

    overrides = [("seed=0", "scheduler=cosine"), ("seed=1", "optimizer.lr=0.01")]
    # VGG's head for large images has dropout
    network = (
        "model=vgg",
        "depth=11",
        "width=1",
        "data.image_size=66",
        "data.train_size=64",
        "data.batch_size=8",
    )

    def of(folder: str):
        return [settings(*own, *network, f"paths.runs={tmp_path / folder}", "signals=5") for own in overrides]

    train_stack(whole := of("whole"))
    take_step, taken = stack_trainer.StackTrainer._take_step, []

    def stop_after_eleven(self, *batch):
        take_step(self, *batch)
        taken.append(1)
        if len(taken) == 11:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(stack_trainer.StackTrainer, "_take_step", stop_after_eleven)
    with pytest.raises(Interrupted):
        train_stack(stopped := of("stopped"))
    assert {_result(_folder(own)).status for own in stopped} == {"interrupted"}
    monkeypatch.setattr(stack_trainer.StackTrainer, "_take_step", take_step)
    train_stack(stopped)
    for one, other in zip(whole, stopped, strict=True):
        metrics = [runs.read_metrics(_folder(own).path).sort("step", "name") for own in (one, other)]
        assert_same_rows(*metrics, rel=1e-12)
        assert_same_rows(
            runs.read_signals(_folder(one).path), runs.read_signals(_folder(other).path), rel=1e-9
        )


def test_runs_at_different_steps_are_trained_one_group_after_the_other(settings, tmp_path):
    first, second = settings("seed=0"), settings("seed=1")
    train(first.replace(trainer=first.trainer.replace(max_epochs=1)))
    (_folder(first).path / "result.json").unlink()
    results = train_stack([first, second])
    assert [result.steps for result in results] == [16, 16]


@pytest.mark.parametrize(
    ("losses", "ends"), [([3, 2, 2.5, 2.4], 3), ([1, math.nan, math.nan], 2), ([3, 2, 1], None)]
)
def test_early_stop_counts_validations_that_were_no_better(losses, ends):
    stop = EarlyStop(2)
    over = [stop.is_over(loss) for loss in losses]
    assert (over.index(True) if True in over else None) == ends


@pytest.mark.slow
def test_over_twenty_seeds_stacked_runs_learn_as_well_as_runs_alone(settings, tmp_path):
    """Equivalent within one point of accuracy (two one-sided t tests, paired), and as many learn."""
    from scipy import stats

    shared = ("data.train_size=1000", "data.test_size=null", "trainer.max_epochs=6", "signals=false")
    seeds = [f"seed={seed}" for seed in range(20)]
    alone = [train(settings(*shared, seed, f"paths.runs={tmp_path / 'alone'}")) for seed in seeds]
    stacked = train_stack([settings(*shared, seed, f"paths.runs={tmp_path / 'stacked'}") for seed in seeds])
    accuracies = [[float(result.metrics["test/acc"] or 0) for result in some] for some in (alone, stacked)]
    differences = [one - other for one, other in zip(*accuracies, strict=True)]
    below = stats.ttest_1samp(differences, -0.01, alternative="greater").pvalue
    above = stats.ttest_1samp(differences, 0.01, alternative="less").pvalue
    assert max(below, above) < 0.05
    learned = [sum(bool(result.verdict.learned) for result in some) for some in (alone, stacked)]
    assert stats.fisher_exact([[n, 20 - n] for n in learned]).pvalue > 0.05
