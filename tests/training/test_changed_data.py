"""Data that changed since a run was trained on them are told of, wherever they are used again."""

import json

import numpy as np
import pytest
from PIL import Image

from trainlab.claims.shift_evaluation import evaluate_shifts, shift_key
from trainlab.errors import RequestError
from trainlab.serving import evaluate
from trainlab.serving.saved_model import load_run_model


@pytest.fixture
def folder_run(tmp_path, run):
    """A short run on class folders, and what adds an image to them."""
    data = tmp_path / "data"

    def add(name: str, label: str, split: str = "train") -> None:
        path = data / "images" / split / label / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(len(name) + 7 * ord(label[0])).integers(
            0, 255, (16, 16), dtype=np.uint8
        )
        Image.fromarray(pixels).save(path)

    for label in ("a", "b"):
        for i in range(12):
            add("x" * (i + 1), label)
        for i in range(4):
            add("y" * (i + 30), label, "test")
    overrides = (
        "data=image_folder", "data.folder=images", f"paths.data={data}", "data.image_size=16",
        "data.channels=1", "data.num_classes=null", "data.train_size=null", "data.val_size=4",
        "data.test_size=null", "data.batch_size=4", "trainer.max_steps=2",
    )  # fmt: skip
    _, folder = run(*overrides)
    return folder, add, data


def test_evaluate_says_that_the_data_changed(folder_run, call_command):
    folder, add, data = folder_run
    ask = ("evaluate", str(folder.path), "--runs", str(folder.path.parent), "--data", str(data), "--json")
    code, out, error = call_command(*ask)
    assert code == 0 and "warning" not in error and "warnings" not in json.loads(out)
    add("another", "a", "test")
    code, out, error = call_command(*ask)
    assert code == 0 and "fingerprint" in error and error.count("\n") == 1
    assert json.loads(out)["warnings"] and "test/acc" in json.loads(out)
    add("third", "c", "test")
    add("third", "c")
    code, _, error = call_command(*ask)
    assert code == 2 and "2 apart" in error


def test_what_is_asked_of_a_claims_run_is_refused_on_other_data(run, monkeypatch):
    _, folder = run("trainer.max_steps=2")
    requests = [{"brightness": 1.0}, {"probe": {"layer": "logits", "images": 50}}]
    measured = evaluate_shifts([folder.path], requests)
    assert list(measured) == [folder.path] and measured == evaluate_shifts([folder.path], requests)
    assert 0 < measured[folder.path][shift_key(requests[1])]["accuracy"] < 1
    monkeypatch.setattr("trainlab.build.data.describe_data_change", lambda *_: "other data")
    with pytest.raises(RequestError, match="other data"):
        evaluate_shifts([folder.path], [{"brightness": 0.5}])


def test_one_class_more_is_one_line(run):
    _, folder = run("trainer.max_steps=2", "data.num_classes=3")
    model, description = load_run_model(folder.path)
    settings = description["settings"].with_value("data.num_classes", 10)
    with pytest.raises(RequestError, match="3 apart"):
        evaluate.evaluate(model, settings)
