"""`trainlab plot RUN…`: curves in the terminal and as a figure; the other figures keep their commands."""

import pytest

from trainlab.cli.terminal_plot import interpolate_columns, upper_limit


@pytest.fixture
def folder(recorded, tmp_path):
    for activation in ("relu", "tanh"):
        for seed in (0, 1):
            recorded(1, "pair", axes={"activation": activation}, seed=seed, accuracy=0.9 - 0.1 * seed)
    return str(tmp_path / "runs")


def test_a_sweep_is_drawn_with_a_curve_a_setting(folder, call_command):
    code, out, err = call_command("plot", "pair", "--runs", folder)
    assert code == 2 and "Missing" in err, "`pair` is the command of that name; its sweep: plot curves pair"
    code, out, err = call_command("plot", "curves", "pair", "--runs", folder)
    assert code == 0, err
    assert "validation accuracy" in out and "● activation=relu  80.0%" in out and "○ activation=tanh" in out
    assert "epoch 1" in out and out.count("●") > 20, "two epochs are a line, not two dots"


def test_a_run_is_drawn_by_the_beginning_of_its_id(recorded, call_command, tmp_path):
    run, at = recorded(), ("--runs", str(tmp_path / "runs"))
    code, out, _ = call_command("plot", run.run_id[:6], "--metric", "train/loss", *at)
    assert code == 0 and run.run_id in out and "train/loss" in out


@pytest.mark.parametrize("ending", ["svg", "png", "html"])
def test_curves_are_written(folder, call_command, tmp_path, ending):
    path = tmp_path / "figures" / f"curves.{ending}"
    code, out, err = call_command("plot", "--runs", folder, "--where", "activation=relu", "--out", str(path))
    assert code == 0 and str(path) in out, err
    content = path.read_bytes()
    assert content.startswith({"svg": b"<svg", "png": b"\x89PNG", "html": b"<!DOCTYPE html>"}[ending])
    if ending == "html":
        assert b"https://cdn" not in content, "a page that can be opened without a network"


@pytest.mark.parametrize(
    "arguments,expected",
    [
        ("nosuch", "nosuch"),
        ("--out curves.gif", ".svg, .png, .html"),
        ("--metric val/acccc", "did you mean 'val/acc'"),
        ("--by activaton", "did you mean 'activation'"),
        ("--where seed=7", "there are: 0, 1"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(folder, call_command, arguments, expected):
    code, _, err = call_command("plot", *arguments.split(), "--runs", folder)
    assert code == 2 and expected in err and err.count("\n") == 1


def test_points_are_joined_and_many_points_stay():
    assert interpolate_columns({0: 0.0, 1: 1.0}, 0, 1, 5) == {0: 0.0, 1: 0.25, 2: 0.5, 3: 0.75, 4: 1.0}
    many = {step: float(step) for step in range(3, 10)}
    assert interpolate_columns(many, 3, 9, 4) == {step: step + 3.0 for step in range(7)}
    assert interpolate_columns({4: 0.5}, 4, 4, 30) == {0: 0.5}


def test_a_wild_loss_does_not_flatten_the_others():
    curves = {"wild": {0: 2.3, 1: 1e30, 2: float("inf")}, "sound": {0: 2.3, 1: 1.0}}
    assert upper_limit("train/loss_step", curves) == pytest.approx(1.5 * 2.3)
    assert upper_limit("val/acc", curves) == 1.0
