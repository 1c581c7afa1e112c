"""What a user does with runs: compare, evaluate, predict, export, lr-range, clean up."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainlab.serving.saved_model import load_run_model


@pytest.fixture
def trainlab(call_command):
    """A command in this process; (exit code, what it printed, its error line)."""
    return call_command


@pytest.fixture
def runs(run):
    """Two runs and the folder they lie in."""
    first, folder = run("activation=relu", "optimizer.lr=1e-2")
    second, _ = run("activation=sigmoid", "optimizer.lr=1e-2")
    return first, second, folder.path.parent


def test_compare_shows_axes_that_differ_sorted_by_the_metric(trainlab, runs):
    first, second, folder = runs
    code, out, _ = trainlab("compare", "--runs", str(folder), "--json")
    table = json.loads(out)
    assert code == 0 and table["by"] == ["activation"] and table["metric"] == "test/acc"
    assert [row["mean"] for row in table["rows"]] == sorted(
        (r.metrics["test/acc"] for r in (first, second)), reverse=True
    )
    code, out, _ = trainlab("compare", "--runs", str(folder), "--metric", "test/loss", "--csv")
    assert code == 0 and out.splitlines()[0].startswith("activation,")
    code, out, _ = trainlab("compare", "--runs", str(folder), "--effects")
    assert code == 0 and "activation" in out
    code, out, _ = trainlab("compare", "--runs", str(folder), "--by", "model", "--json")
    assert json.loads(out)["rows"][0]["n"] == 2


def test_a_broken_run_is_named_and_skipped(trainlab, runs):
    _, second, folder = runs
    (folder / second.run_id / "result.json").write_text('{"status": "finis')
    code, out, err = trainlab("compare", "--runs", str(folder), "--json")
    assert code == 0 and second.run_id in err and len(json.loads(out)["rows"]) == 1


def test_list_usage_and_removal(trainlab, runs):
    first, second, folder = runs
    code, out, _ = trainlab("runs", "list", "--runs", str(folder))
    assert code == 0 and first.run_id in out and second.run_id in out
    code, out, _ = trainlab("runs", "du", "--runs", str(folder), "--json")
    assert {row["run_id"] for row in json.loads(out)} == {first.run_id, second.run_id}
    code, _, err = trainlab("runs", "rm", "--runs", str(folder))
    assert code == 2 and "name runs" in err
    code, _, _ = trainlab("runs", "rm", first.run_id[:8], "--yes", "--runs", str(folder))
    assert code == 0 and not (folder / first.run_id).exists() and (folder / second.run_id).exists()
    code, _, err = trainlab("runs", "rm", "zzzz", "--yes", "--runs", str(folder))
    assert code == 2 and "zzzz" in err


def test_evaluate_gives_the_records_own_numbers(trainlab, runs):
    first, _, folder = runs
    code, out, _ = trainlab("evaluate", first.run_id[:6], "--runs", str(folder), "--json")
    measured = json.loads(out)
    assert code == 0
    for name in ("test/acc", "test/loss", "val/acc", "val/loss"):
        assert measured[name] == pytest.approx(first.metrics[name], rel=1e-4)
    code, _, err = trainlab("evaluate", first.run_id, "--checkpoint", "best", "--runs", str(folder))
    assert code == 2 and "available: last" in err


def test_predict_gives_probabilities_of_any_image(trainlab, runs, tmp_path):
    first, _, folder = runs
    colour, grey = np.full((40, 30, 3), 200, np.uint8), np.zeros((9, 9), np.uint8)
    colour[8:32, 13:17], grey[2:7, 4] = 20, 255  # a stroke each: a blank page is refused
    Image.fromarray(colour).save(tmp_path / "colour.png")
    Image.fromarray(grey).save(tmp_path / "grey.jpg")
    images = [str(tmp_path / "colour.png"), str(tmp_path / "grey.jpg")]
    code, out, err = trainlab("predict", first.run_id, *images, "--runs", str(folder), "--json")
    assert code == 0, err
    answer = json.loads(out)
    assert code == 0 and list(answer) == images
    for classes in answer.values():
        assert len(classes) == 10 and sum(classes.values()) == pytest.approx(1, abs=1e-4)
        assert list(classes.values()) == sorted(classes.values(), reverse=True)


@pytest.mark.parametrize("content", [None, b"", b"not an image", b"\x89PNG\r\n\x1a\n torn"])
def test_what_is_not_an_image_is_named(trainlab, runs, tmp_path, content):
    path = tmp_path / "picture.png"
    if content is not None:
        path.write_bytes(content)
    code, _, err = trainlab("predict", runs[0].run_id, str(path), "--runs", str(runs[2]))
    assert code == 2 and "picture.png" in err and err.count("\n") == 1


def test_images_that_cannot_be_read_are_named_and_the_others_answered(trainlab, runs, tmp_path):
    first, _, folder = runs
    digit = np.zeros((28, 28), np.uint8)
    digit[4:24, 12:16] = 255
    Image.fromarray(digit).save(tmp_path / "one.png")
    Image.fromarray(0 * digit).save(tmp_path / "blank.png")
    (tmp_path / "torn.png").write_bytes(b"not an image")
    blank, torn, one = (str(tmp_path / name) for name in ("blank.png", "torn.png", "one.png"))
    code, out, err = trainlab("predict", first.run_id, blank, torn, one, "--runs", str(folder), "--json")
    assert code == 1 and list(json.loads(out)) == [one]
    assert ["blank.png" in line for line in err.splitlines()] == [True, False] and "torn.png" in err
    code, out, err = trainlab("predict", first.run_id, blank, torn, "--runs", str(folder))
    assert code == 2 and not out and err.count("\n") == 2


def test_export_agrees_with_the_run(trainlab, runs, tmp_path):
    import onnxruntime
    import torch
    from safetensors.torch import load_file

    first, _, folder = runs
    code, _, _ = trainlab("export", first.run_id, "--runs", str(folder), "--to", str(tmp_path))
    assert code == 0
    model, _ = load_run_model(folder / first.run_id)
    weights = load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(weights[k], v) for k, v in model.state_dict().items())
    x_NCHW = torch.randint(0, 256, (5, 1, 16, 16), dtype=torch.uint8)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (logits,) = session.run(["logits"], {"pixels": x_NCHW.numpy()})
    assert torch.allclose(torch.from_numpy(logits), model(x_NCHW), atol=1e-4)


def test_lr_range_finds_a_rate(trainlab, shared_cache):
    arguments = [
        "depth=2",
        "width=8",
        "data.image_size=16",
        f"paths.cache={shared_cache}",
        "data.batch_size=32",
    ]
    code, out, _ = trainlab("lr-range", *arguments, "--steps", "60", "--json")
    found = json.loads(out)
    assert code == 0 and 1e-5 < found["suggestion"] < 1
    assert len(found["rates"]) == len(found["losses"]) <= 60
    code, _, err = trainlab("lr-range", *arguments, "--smallest", "1", "--largest", "0.1")
    assert code == 2 and "smallest" in err


def test_anatomy_has_the_papers_numbers(trainlab):
    code, out, _ = trainlab("anatomy", "model=lenet5", "data=mnist", "--json")
    table = json.loads(out)
    assert code == 0 and table["parameters"] == 61_706
    vgg = ["model=vgg", "depth=16", "data=image_folder", "data.image_size=224", "data.num_classes=1000"]
    code, out, _ = trainlab("anatomy", *vgg)
    assert code == 0 and "138,357,544" in out and "15.47 G" in out


def test_options_say_what_there_is(trainlab):
    code, out, _ = trainlab("options", "init")
    assert code == 0 and "delta_orthogonal" in out and "Xiao" in out
    code, out, _ = trainlab("options")
    assert code == 0 and "activation=" in out and "optimizer=" in out


def test_the_folder_may_be_named_by_its_environment_variable(trainlab, runs, monkeypatch):
    monkeypatch.setenv("TRAINLAB_RUNS", str(runs[2]))
    code, out, _ = trainlab("runs", "list")
    assert code == 0 and runs[0].run_id in out
    assert Path(runs[2]).is_dir()
