"""The speed run: its test, its rows, its page, and a run of each part from end to end on small images."""

import math
from statistics import mean, stdev

import pytest
from experiments.speedrun_cifar10 import measure, write
from experiments.speedrun_cifar10.measure import ON_CPU, ON_GPU, PRESET, TARGET, p_above, run_seeds
from scipy.stats import t as student

from trainlab.config import compose


def test_p_is_that_of_students_t():
    values = [0.9401, 0.9412, 0.9395, 0.9420]
    statistic = (mean(values) - TARGET) / (stdev(values) / math.sqrt(4))
    assert p_above(values, TARGET) == pytest.approx(float(student.sf(statistic, 3)))
    assert p_above([0.93, 0.95], TARGET) == pytest.approx(0.5)
    assert p_above([0.95], TARGET) is None and p_above([0.95, 0.95], TARGET) is None


@pytest.mark.parametrize("lines", [ON_CPU, ON_GPU])
def test_what_is_run_is_the_preset_with_every_piece_of_the_recipe(lines):
    settings = compose([PRESET, *lines])
    named = {
        "model": "whitened_cnn",
        "init": "dirac",
        "augment": "alternating_flip",
        "optimizer": "muon",
        "norm_layer": "batchnorm_fixed_scale",
        "scheduler": "linear",
    }
    assert {axis: settings.axes[axis] for axis in named} == named
    assert settings.trainer.label_smoothing == 0.2 and settings.trainer.test_views == "mirrored_shifted"


SMALL = (
    "data=digits",
    "data.image_size=16",
    "width=2",
    "data.train_size=200",
    "data.val_size=20",
    "data.test_size=50",
    "data.batch_size=50",
    "trainer.max_epochs=1",
    "trainer.precision=32-true",
)


def test_seeds_are_run_once_and_reported(tmp_path, monkeypatch):
    report = run_seeds(tmp_path, 2, SMALL)
    assert report["n"] == 2 and report["copy"] == "embedded" and report["epochs"] == 1
    assert [row["is_first"] for row in report["rows"]] == [True, False]
    accuracies = [row["accuracy"] for row in report["rows"]]
    assert report["mean"] == pytest.approx(mean(accuracies))
    assert report["std"] == pytest.approx(stdev(accuracies))
    assert all(0 < row["training_seconds"] <= row["seconds"] for row in report["rows"])
    assert report["seconds_first"] == report["rows"][0]["seconds"]
    assert report["seconds_later"] == report["rows"][1]["seconds"]
    monkeypatch.setattr(measure, "_train", lambda settings: pytest.fail("it is done"))
    again = run_seeds(tmp_path, 2, SMALL)
    assert [row["run_id"] for row in again["rows"]] == [row["run_id"] for row in report["rows"]]
    page = write.readme({report["device"]: report})
    assert "n = 2" in page and "JPEG copy:" not in page
    jpeg = write.readme({"cpu": {**report, "copy": "JPEG copy (parquet)", "n": 1, "std": None}})
    assert "no result on CIFAR-10, and 94% is not claimed" in jpeg


def test_the_page_is_that_of_the_record():
    assert write.README.read_text(encoding="utf-8") == write.readme(write.read_reports())
