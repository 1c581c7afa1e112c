"""What one run of a stack does or meets is its own: the others, and the record, are as alone."""

import json
import signal
from pathlib import Path

import pytest
import torch

from trainlab import runs
from trainlab.errors import RequestError
from trainlab.runs import RunFolder
from trainlab.runs.locks import hold_lock
from trainlab.runs.run_folder import LOCK_FILE, RunLockedError
from trainlab.training.interruption import Interrupted
from trainlab.training.run import train
from trainlab.training.stack import train_stack
from trainlab.training.stack_trainer import StackTrainer

PRECISE = "trainer.precision=64-true"


def _folder(settings) -> RunFolder:
    return RunFolder(Path(settings.paths.runs) / settings.run_id)


@pytest.fixture
def train_both(settings, tmp_path):
    """Trains runs alone and in a stack: [(folder alone, folder in the stack), …] in the order given."""

    def both(*overrides: tuple[str, ...]) -> list[tuple[RunFolder, RunFolder]]:
        alone, stacked = (
            [settings(*own, f"paths.runs={tmp_path / place}") for own in overrides]
            for place in ("alone", "stacked")
        )
        for own in alone:
            train(own)
        train_stack(stacked)
        return [(_folder(one), _folder(other)) for one, other in zip(alone, stacked, strict=True)]

    return both


def _rows(folder: RunFolder) -> dict[tuple[int, int, str], float]:
    return {tuple(row[:3]): row[3] for row in runs.read_metrics(folder.path).iter_rows()}


def _assert_same_metrics(alone: RunFolder, stacked: RunFolder) -> None:
    assert _rows(stacked) == pytest.approx(_rows(alone), rel=1e-6, nan_ok=True)


def test_of_data_smaller_than_a_batch_each_image_counts_once(train_both):
    shared = ("data.train_size=50", "data.batch_size=64", "trainer.max_epochs=3", "signals=false", PRECISE)
    for alone, stacked in train_both((*shared, "seed=0"), (*shared, "seed=1")):
        _assert_same_metrics(alone, stacked)


def test_a_run_that_stops_early_leaves_its_last_checkpoint(train_both):
    shared = ("early_stop=1", "trainer.max_epochs=8", "signals=false", PRECISE)
    both = train_both((*shared, "optimizer.lr=0.3"), (*shared, "optimizer.lr=1e-4"))
    for alone, stacked in both:
        first, second = (torch.load(f.checkpoints / "last.ckpt", weights_only=True) for f in (alone, stacked))
        assert second["global_step"] == first["global_step"]


def test_a_run_that_diverges_at_an_epochs_end_leaves_its_last_checkpoint(train_both):
    shared = ("optimizer=sgd", "trainer.max_epochs=3", "signals=false", PRECISE)
    both = train_both((*shared, "optimizer.lr=1e150"), (*shared, "optimizer.lr=0.1"))
    for alone, stacked in both:
        _assert_same_metrics(alone, stacked)
        first, second = (torch.load(f.checkpoints / "last.ckpt", weights_only=True) for f in (alone, stacked))
        assert second["global_step"] == first["global_step"]


@pytest.mark.parametrize("every", [1, 2])
def test_a_run_that_diverges_within_an_epoch_is_recorded_as_alone(train_both, every):
    """Its speed too: it has taken steps."""
    shared = (
        "optimizer=sgd", "data.batch_size=4", "trainer.max_epochs=2", "signals=false", PRECISE,
        f"trainer.val_every_epochs={every}",
    )  # fmt: skip
    both = train_both((*shared, "optimizer.lr=1e150"), (*shared, "optimizer.lr=0.01"))
    for alone, stacked in both:
        _assert_same_metrics(alone, stacked)
        first, second = (json.loads((f.path / "result.json").read_text()) for f in (alone, stacked))
        assert (second["status"], second["steps"]) == (first["status"], first["steps"])
        assert second["samples_per_second"] > 0


def test_where_one_run_is_locked_the_others_are_as_they_were(settings, tmp_path):
    first, second = settings("seed=0"), settings("seed=1")
    train(first)
    before = (_folder(first).path / "result.json").read_text()
    with hold_lock(_folder(second).create().path / LOCK_FILE), pytest.raises(RunLockedError):
        train_stack([first, second])
    assert (_folder(first).path / "result.json").read_text() == before
    assert _folder(second).result() is None


def test_the_largest_norm_is_as_exact_as_the_run(train_both):
    shared = ("trainer.gradient_clip=0.1", "trainer.max_epochs=1", "signals=false", "optimizer=sgd", PRECISE)
    for alone, stacked in train_both((*shared, "seed=0"), (*shared, "seed=1")):
        losses = [
            [v for (_, _, name), v in _rows(f).items() if name == "train/loss_step"] for f in (alone, stacked)
        ]
        assert losses[1] == pytest.approx(losses[0], rel=1e-12)


def test_a_run_whose_result_cannot_be_made_fails_alone(settings, tmp_path, monkeypatch):
    from trainlab.training import result_writer

    diagnose = result_writer.diagnose_at_end

    def fail_for_one(folder, own, *rest):
        if own.seed == 0:
            raise ZeroDivisionError("no diagnosis")
        return diagnose(folder, own, *rest)

    monkeypatch.setattr(result_writer, "diagnose_at_end", fail_for_one)
    chosen = [settings("trainer.max_epochs=1", f"seed={seed}") for seed in range(2)]
    train_stack(chosen)
    statuses = [_folder(own).status() for own in chosen]
    assert statuses == ["failed", "finished"]


def test_a_stack_that_is_refused_leaves_no_record(settings):
    """What one run has no stacked form for; a sweep trains it alone, and the others together."""
    chosen = [settings("trainer.max_epochs=1", f"seed={seed}") for seed in range(2)]
    chosen[1] = chosen[1].with_value("augment._target_", "trainlab.data.alternating_flip.alternating_flip")
    with pytest.raises(RequestError, match="has no stacked form"):
        train_stack(chosen)
    assert [_folder(own).result() for own in chosen] == [None, None]
    assert not any(_folder(own).is_locked() for own in chosen)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd_momentum", "rmsprop"])
def test_a_run_that_its_stack_left_goes_on_alone_as_if_it_had_been_alone(
    settings, tmp_path, optimizer, monkeypatch
):
    """Its optimizer's state lies in memory as its weights do."""
    shared = (
        "trainer.max_epochs=1",
        "signals=false",
        "norm_layer=batchnorm",
        f"optimizer={optimizer}",
        PRECISE,
    )
    whole = settings(*shared, f"paths.runs={tmp_path / 'whole'}")
    train(whole)
    parts = [settings(*shared, f"seed={seed}") for seed in range(2)]
    take_step = StackTrainer._take_step

    def stop_after_three(self, *batch):
        take_step(self, *batch)
        if self.steps == 2:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(StackTrainer, "_take_step", stop_after_three)
    with pytest.raises(Interrupted):
        train_stack(parts)
    train(parts[0])
    _assert_same_metrics(_folder(whole), _folder(parts[0]))


def test_a_stack_is_refused_on_a_device_that_it_has_no_form_for(settings, monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    chosen = [settings("trainer.accelerator=auto", f"seed={seed}") for seed in range(2)]
    with pytest.raises(RequestError, match="not on mps"):
        train_stack(chosen, is_checked=True)
    assert not any(_folder(own).path.exists() for own in chosen)
