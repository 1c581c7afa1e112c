"""The run folder of a watched loop is read beside runs of the platform; how a loop ends is recorded."""

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import torch
from loops import batches, cnn
from torch.nn import functional as F

import trainlab
from trainlab.doctor.training_watch import TrainingWatch
from trainlab.errors import RequestError
from trainlab.runs import Result, RunFolder, read_metrics, read_signals
from trainlab.runs.result import read_result

LOOP = """
import sys, torch, trainlab
sys.path.insert(0, {tests!r})
from loops import batches, cnn
network = cnn()
optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
doctor = trainlab.watch(network, optimizer, runs={runs!r})
for x, y in batches(5):
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(network(x), y).backward()
    optimizer.step()
{end}
"""


def train(runs, *, steps=5, zero_grad=True, **options):
    torch.manual_seed(0)
    network = cnn()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
    with trainlab.watch(network, optimizer, runs=runs, budget=100, **options) as doctor:
        for x, y in batches(steps):
            if zero_grad:
                optimizer.zero_grad()
            F.cross_entropy(network(x), y).backward()
            optimizer.step()
    return doctor


def result_of(doctor: TrainingWatch) -> Result:
    result = RunFolder(folder_of(doctor)).result()
    assert result is not None
    return result


def folder_of(doctor: TrainingWatch) -> Path:
    assert doctor.folder is not None
    return doctor.folder


def test_what_was_found_is_recorded_and_explained_again(tmp_path, call_command):
    doctor = train(tmp_path, zero_grad=False)
    result = result_of(doctor)
    assert result.status == "finished" and result.steps == 5 and result.parameters == 2573
    assert result.verdict.cause == "gradients_add_up" and result.verdict.version is not None
    assert "zero_grad" in result.verdict.remedy
    assert [f.cause for f in trainlab.explain(folder_of(doctor)).findings] == ["gradients_add_up"]
    code, printed, _ = call_command("explain", str(doctor.folder))
    assert code == 0 and "optimizer.zero_grad()" in printed and "trainlab train" not in printed
    code, _, error = call_command("explain", str(doctor.folder), "--prove")
    assert code == 2 and "loop of your own" in error


def test_the_tables_hold_losses_and_signals(tmp_path):
    doctor = train(tmp_path)
    losses = read_metrics(folder_of(doctor)).filter(pl.col("name") == "train/loss_step")
    assert losses["step"].to_list() == [0, 1, 2, 3, 4]
    assert losses["value"].to_list() == list(doctor.losses.values())
    signals = read_signals(folder_of(doctor))
    assert {"0", "6", "8", "network"} == set(signals["layer"])
    assert signals.filter(pl.col("quantity") == "learning_rate")["value"].unique().to_list() == [0.05]


def test_it_stands_in_the_tables_beside_other_runs(tmp_path, call_command, run):
    _, other = run("trainer.max_steps=2")
    doctor = train(other.path.parent, name="mine")
    frame = trainlab.load_runs(other.path.parent)
    row = frame.filter(pl.col("run_id") == folder_of(doctor).name).row(0, named=True)
    assert row["model"] == "Sequential" and row["group"] == "mine" and row["optimizer"] == "sgd"
    for command in (("runs", "list"), ("compare",)):
        code, printed, _ = call_command(*command, "--runs", str(other.path.parent))
        assert code == 0 and "Sequential" in printed


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("", "finished"),
        ("doctor.stop()", "finished"),
        ("raise ValueError('mine')", "failed"),
        ("raise KeyboardInterrupt", "interrupted"),
        ("import os; os._exit(3)", "interrupted"),
    ],
)
def test_how_the_script_ends_is_recorded(tmp_path, end, status):
    code = LOOP.format(tests=str(Path(__file__).parent), runs=str(tmp_path), end=end)
    subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    folder = RunFolder(folder)
    assert folder.status() == status
    if status == "failed":
        error = read_result(folder.path).error
        assert error is not None and (error["type"], error["message"]) == ("ValueError", "mine")
    assert len(read_metrics(folder.path)) >= 1


def test_the_folder_is_told_before_the_first_step_too(tmp_path):
    network = cnn()
    with trainlab.watch(network, torch.optim.SGD(network.parameters(), lr=0.05), runs=tmp_path) as doctor:
        report = doctor.explain()
    assert "no step seen yet" in str(report).splitlines()[0]
    assert f"recorded: trainlab explain {folder_of(doctor)}" in report.notes


def test_the_folder_stays_where_it_was_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    network = cnn()
    doctor = trainlab.watch(network, torch.optim.SGD(network.parameters(), lr=0.05))
    assert f"recorded: trainlab explain {Path('runs') / folder_of(doctor).name}" in doctor.explain().notes
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    doctor.stop()
    assert [path.parent.parent for path in tmp_path.rglob("result.json")] == [tmp_path / "runs"]


def test_an_error_in_the_block_is_recorded_and_goes_on_to_the_caller(tmp_path):
    network = cnn()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
    with pytest.raises(ZeroDivisionError), trainlab.watch(network, optimizer, runs=tmp_path) as doctor:
        _ = 1 / 0
    assert (result_of(doctor).error or {})["type"] == "ZeroDivisionError"


def test_a_loop_whose_loss_is_not_finite_has_diverged(tmp_path):
    network = cnn()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e30)
    with trainlab.watch(network, optimizer, runs=tmp_path, on_finding=lambda finding: None) as doctor:
        for x, y in batches(6):
            optimizer.zero_grad()
            F.cross_entropy(network(x), y).backward()
            optimizer.step()
    result = result_of(doctor)
    assert result.status == "diverged" and result.verdict.learned is False


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "runs").write_text("no folder")
    network = cnn()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
    with pytest.raises(RequestError, match="cannot write"):
        trainlab.watch(network, optimizer, runs=tmp_path / "runs")
    trainlab.watch(network, optimizer, runs=None).stop()
