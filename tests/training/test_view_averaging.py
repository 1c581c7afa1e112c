"""Logits averaged over mirrored and shifted views, against plain slices; and a run that reports them."""

import numpy as np
import pytest
import torch
from torch import nn

from trainlab.data.alternating_flip import BatchPlace, alternating_flip, is_mirrored
from trainlab.training import classifier as classifier_module
from trainlab.training.classifier import Classifier
from trainlab.training.view_averaging import TEST_VIEWS, averaged_logits, shift

RECIPE = (
    "augment=alternating_flip",
    "optimizer=muon",
    "scheduler=linear",
    "trainer.label_smoothing=0.2",
    "trainer.test_views=mirrored_shifted",
)


@pytest.mark.parametrize("views", TEST_VIEWS)
def test_the_views_are_those_of_the_definition(views):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 5 * 4, 7))
    x_NCHW = torch.randn(6, 3, 5, 4)
    padded = torch.from_numpy(np.pad(x_NCHW.numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)), mode="reflect"))

    def both(x):
        return (model(x) + model(x.flip(3))) / 2

    expected = {
        "one": model(x_NCHW),
        "mirrored": both(x_NCHW),
        "mirrored_shifted": both(x_NCHW) / 2
        + both(padded[:, :, :5, :4]) / 4
        + both(padded[:, :, 2:, 2:]) / 4,
    }
    assert torch.allclose(averaged_logits(model, x_NCHW, views), expected[views], atol=1e-6)


def test_pixels_can_be_shifted_whatever_their_type():
    x = torch.arange(12, dtype=torch.uint8).reshape(1, 1, 3, 4)
    assert shift(x, 1, 0)[0, 0].tolist() == [[4, 5, 6, 7], [0, 1, 2, 3], [4, 5, 6, 7]]
    assert shift(x, 0, -1)[0, 0, 0].tolist() == [1, 2, 3, 2]


def test_the_averaged_accuracy_stands_beside_the_plain_one(run, tmp_path):
    plain, _ = run(f"paths.runs={tmp_path / 'plain'}")
    viewed, _ = run("trainer.test_views=mirrored_shifted")
    assert 0 <= viewed.metrics["test/acc_tta"] <= 1
    assert {k: v for k, v in viewed.metrics.items() if k != "test/acc_tta"} == plain.metrics
    assert viewed.run_id != plain.run_id


def test_the_recorded_loss_is_that_of_the_labels_as_they_are(run, monkeypatch):
    """At the first step nothing has been trained: both runs see the same images and the same weights."""
    from trainlab import runs

    def first_loss(folder):
        table = runs.read_metrics(folder.path)
        return table.filter((table["name"] == "train/loss_step") & (table["step"] == 0))["value"].item()

    _, plain = run()
    _, smoothed = run("trainer.label_smoothing=0.5")
    assert first_loss(plain) == pytest.approx(first_loss(smoothed), rel=1e-6)
    signals = runs.read_signals(smoothed.path)
    loss = signals.filter((signals["quantity"] == "loss") & (signals["step"] == 0))["value"].item()
    assert loss == pytest.approx(first_loss(smoothed), rel=1e-6)


def test_each_image_of_a_run_is_seen_both_ways_and_resume_goes_on(run, monkeypatch):
    """What `place` says of a batch is what the batch holds, in an order that changes every epoch."""
    seen: dict[int, dict[int, bool]] = {}
    loss_of = Classifier.loss_and_logits

    def noting(x_NCHW, generator, padding=2, place=None):
        assert place is not None
        places.append(place)
        epoch = seen.setdefault(place.epoch, {})
        epoch |= dict(zip(place.positions_N.tolist(), is_mirrored(place).tolist(), strict=True))
        return alternating_flip(x_NCHW, generator, padding, place)

    def checking(self, x_NCHW, y_N):
        split = self.trainer.datamodule.images.train
        assert (split.labels_N[places[-1].positions_N] == y_N.numpy()).all()
        return loss_of(self, x_NCHW, y_N)

    places: list[BatchPlace] = []
    monkeypatch.setattr(classifier_module, "build_augmentation", lambda settings: noting)
    monkeypatch.setattr(Classifier, "loss_and_logits", checking)
    result, _ = run(*RECIPE, "init=dirac", "norm_layer=batchnorm_fixed_scale")
    assert result.status == "finished" and set(seen) == {0, 1}
    both = seen[0].keys() & seen[1].keys()
    assert len(both) > 100 and all(seen[0][i] != seen[1][i] for i in both)
