"""Two processes on one run: the same global batches, nothing evaluated twice, one record."""

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from trainlab import runs
from trainlab.runs import RunFolder

# sizes that two processes cannot share out evenly
LONG = ("trainer=ddp", "optimizer=sgd", "optimizer.lr=0.05", "data.val_size=63", "data.test_size=97")


def in_processes(settings, *overrides: str):
    """A run started from its frozen settings alone, as a sweep starts it."""
    frozen = settings(*overrides)
    folder = RunFolder(Path(frozen.paths.runs) / frozen.run_id)
    folder.write_settings(frozen)
    command = [sys.executable, "-m", "trainlab.training", str(folder.path / "config.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    result = folder.result()
    assert result is not None
    return result, folder


@pytest.mark.parametrize("norm_layer", [pytest.param("none", marks=pytest.mark.slow), "batchnorm"])
def test_two_processes_do_what_one_does(run, settings, norm_layer):
    """The same global batch and synchronized BatchNorm: the same losses but for the order of additions."""
    two, two_folder = in_processes(settings, *LONG, f"norm_layer={norm_layer}")
    one, one_folder = run(*LONG, f"norm_layer={norm_layer}", "trainer=cpu")
    assert two.machine["devices"] == 2 and one.machine["devices"] == 1
    assert two.run_id != one.run_id, "the number of devices changes the arithmetic"
    assert two.steps == one.steps == 16
    for name, value in one.metrics.items():
        tolerance = 0.02 if name.endswith("acc") else 1e-3
        assert two.metrics[name] == pytest.approx(value, abs=tolerance), name
    assert runs.read_confusion(two_folder.path)["count"].sum() == 97, "every test image once"
    epochs = runs.read_metrics(two_folder.path).filter(pl.col("name") == "val/loss")
    assert epochs.height == 2, "one process writes"
    first = [
        runs.read_metrics(folder.path).filter(pl.col("name") == "train/loss")["value"][0]
        for folder in (one_folder, two_folder)
    ]
    assert first[0] == pytest.approx(first[1], abs=1e-4)


def test_a_loss_that_is_not_finite_in_one_process_stops_them_all_at_the_same_step(tmp_path):
    """Two gloo processes read their losses; NaN came to one of them alone."""
    script = tmp_path / "meter.py"
    script.write_text(METER)
    found = [json.loads(out) for out in _in_two(script, tmp_path / "store")]
    assert found[0] == found[1], "every process sees the same"
    assert found[0]["bad"] == 1
    assert found[0]["first"] == pytest.approx((2 * 1.0 + 1 * 4.0) / 3), "the mean of the global batch"
    assert found[0]["samples"] == 9


def _in_two(script: Path, store: Path) -> list[bytes]:
    """What each of two processes prints."""
    processes = [
        subprocess.Popen([sys.executable, str(script), str(rank), str(store)], stdout=subprocess.PIPE)
        for rank in (0, 1)
    ]
    printed = [process.communicate(timeout=100)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    return printed


METER = """
import json, sys
import torch, torch.distributed as dist
from trainlab.training.step_meter import StepMeter, first_not_finite

rank, store = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)

def over_processes(sums):
    dist.all_reduce(sums)
    return sums

meter = StepMeter()
losses = [[1.0, 2.0, 3.0], [4.0, float("nan"), 1.0]][rank]
labels = torch.zeros(2 - rank, dtype=torch.long)
for loss in losses:
    meter.add(torch.tensor(loss), torch.zeros(len(labels), 3), labels)
read = meter.read(over_processes)
print(json.dumps({"bad": first_not_finite(read), "first": read[0], "samples": meter.samples}))
dist.destroy_process_group()
"""


NAN_ON_ONE = """
import torch

def nan_in_the_second_process(x_NCHW, generator):
    import torch.distributed as dist
    x_NCHW = x_NCHW.float()
    return x_NCHW * float("nan") if dist.is_initialized() and dist.get_rank() == 1 else x_NCHW
"""


@pytest.mark.slow
def test_a_run_that_diverges_in_one_process_ends_as_diverged(settings, tmp_path, monkeypatch):
    (tmp_path / "planted.py").write_text(NAN_ON_ONE)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.syspath_prepend(tmp_path)
    planted = ("augment._target_=planted.nan_in_the_second_process",)
    monkeypatch.setenv("TRAINLAB_ALLOW", "planted.")
    result, _ = in_processes(settings, *LONG, *planted)
    assert result.status == "diverged" and result.stopped == {"step": 0, "quantity": "train/loss"}


@pytest.mark.slow
@pytest.mark.parametrize("which", [0, 1])
def test_a_signal_to_one_process_stops_them_all_with_a_checkpoint(settings, tmp_path, monkeypatch, which):
    (tmp_path / "planted.py").write_text(SIGNAL_IN_ONE.replace("WHICH", str(which)))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("TRAINLAB_ALLOW", "planted.")
    planted = ("augment._target_=planted.signal_in_one", "data.batch_size=2", "trainer.max_epochs=2")
    frozen = settings(*LONG, *planted)
    folder = RunFolder(Path(frozen.paths.runs) / frozen.run_id)
    folder.write_settings(frozen)
    command = [sys.executable, "-m", "trainlab.training", str(folder.path / "config.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 1 and folder.status() == "interrupted", done.stderr
    assert (folder.checkpoints / "last.ckpt").exists()


SIGNAL_IN_ONE = """
import os, signal
sent = []

def signal_in_one(x_NCHW, generator):
    import torch.distributed as dist
    if not sent and dist.is_initialized() and dist.get_rank() == WHICH:
        sent.append(os.kill(os.getpid(), signal.SIGTERM))
    return x_NCHW
"""


def test_synchronized_batchnorm_is_batchnorm_of_the_whole_batch(tmp_path):
    """Forward, backward and running statistics in two gloo processes against one process."""
    script = tmp_path / "twin.py"
    script.write_text(TWIN)
    command = [sys.executable, str(script)]
    processes = [
        subprocess.Popen([*command, str(rank), str(tmp_path / "store")], stdout=subprocess.PIPE)
        for rank in (0, 1)
    ]
    for process in processes:
        out, _ = process.communicate(timeout=100)
        assert process.returncode == 0
        errors = json.loads(out)
        assert max(errors.values()) < 1e-5, errors


TWIN = """
import json, sys
import torch, torch.distributed as dist
from torch import nn
from trainlab.nn.norm_layers import synchronize_batchnorm

rank, store = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
torch.manual_seed(0)
x = torch.randn(8, 3, 4, 4) * 2 + 1
g = torch.randn(8, 3, 4, 4)
whole, shared = nn.BatchNorm2d(3), nn.Sequential(nn.BatchNorm2d(3))
for layer in (whole, shared[0]):
    nn.init.uniform_(layer.weight, generator=torch.Generator().manual_seed(1))
    nn.init.uniform_(layer.bias, generator=torch.Generator().manual_seed(2))
synchronize_batchnorm(shared)
a = x.clone().requires_grad_()
(whole(a) * g).sum().backward()
b = x[rank::2].clone().requires_grad_()
y = shared(b)
(y * g[rank::2]).sum().backward()
grad = shared[0].weight.grad.clone()
dist.all_reduce(grad)
twin = whole.eval()
difference = lambda p, q: float((p - q).abs().max())
print(json.dumps({
    "forward": difference(y.detach(), nn.functional.batch_norm(
        x, None, None, whole.weight, whole.bias, True, 0.0, whole.eps).detach()[rank::2]),
    "input gradient": difference(b.grad, a.grad[rank::2]),
    "weight gradient": difference(grad, whole.weight.grad),
    "running mean": difference(shared[0].running_mean, whole.running_mean),
    "running variance": difference(shared[0].running_var, whole.running_var),
    "eval": difference(shared.eval()(x).detach(), twin(x).detach()),
}))
dist.destroy_process_group()
"""
