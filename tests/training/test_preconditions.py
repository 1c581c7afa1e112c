"""What is wrong with a request is said in one line before there is a folder, in a run and in a sweep."""

import sys
import warnings
from pathlib import Path

import pytest
import torch

from trainlab.errors import RequestError
from trainlab.runs import RunFolder
from trainlab.sweeps.network_checks import inspect_networks
from trainlab.training import preconditions
from trainlab.training.run import train

WRONG = {
    ("resume=nosuch",): "resume=nosuch: no run",
    ("resume=/no/such/file.ckpt",): "no such checkpoint",
    ("trainer=cpu", "trainer.precision=16"): "precision=16-mixed: mixed precision in float16 needs a GPU",
    ("group='../../x'",): "group '../../x'",
    ("group='a/b'",): "group 'a/b'",
    ("logger=tensorboard",): r"logger=tensorboard: not installed; pip install 'trainlab[tensorboard]'",
    ("logger=wandb",): "logger=wandb: not installed",
    ("logger=wandb", "logger.mode=on"): "logger.mode=on: expected online",
    ("logger=csv", "logger._target_=nowhere.Nothing"): "nowhere",
    ("logger=csv", "logger._target_=broken_plugin.logger"): "broken_plugin",
    ("activation._target_=broken_plugin.Activation",): "broken_plugin",
    ("optimizer._target_=broken_plugin.Optimizer",): "broken_plugin",
    ("model._target_=raising_plugin.Model",): "raising_plugin",
}  # fmt: skip


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    """A module that does not parse, and one that raises when it is imported."""
    (tmp_path / "broken_plugin.py").write_text("def :\n")
    (tmp_path / "raising_plugin.py").write_text("raise OSError('no licence\\nfound')\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in ("broken_plugin", "raising_plugin"):
        sys.modules.pop(name, None)


@pytest.fixture
def no_trackers(monkeypatch, request):
    """Nothing is installed where that is the point."""
    if "not installed" in WRONG[request.getfixturevalue("overrides")]:
        monkeypatch.setattr("trainlab.training.tracking.find_spec", lambda name: None)


@pytest.fixture(params=WRONG, ids=" ".join)
def overrides(request):
    return request.param


def test_it_is_refused_before_there_is_a_folder(settings, overrides, plugins, no_trackers):
    frozen = settings(*overrides)
    with pytest.raises(RequestError) as refused:
        train(frozen)
    assert WRONG[overrides] in str(refused.value) and "\n" not in str(refused.value)
    assert not Path(frozen.paths.runs).exists()
    # a sweep asks the same before it starts anything
    assert inspect_networks([frozen], [], []).faults == [str(refused.value)]


@pytest.mark.parametrize("kind", ["gpu", "mps"])
def test_hardware_that_is_not_there(settings, monkeypatch, kind):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    frozen = settings(f"trainer={kind}")
    with pytest.raises(RequestError, match=f"accelerator={kind}: .*expected trainer=cpu, or auto"):
        train(frozen)
    assert not Path(frozen.paths.runs).exists()


def test_half_precision_where_the_fastest_there_is_is_a_cpu(settings, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    frozen = settings("trainer=auto", "trainer.precision=16-mixed")
    with pytest.raises(RequestError, match="on a CPU expected bf16-mixed"):
        train(frozen)
    assert not Path(frozen.paths.runs).exists()


@pytest.mark.parametrize(("kind", "gpus", "devices"), [("gpu", 1, 2), ("auto", 2, 4), ("mps", 0, 2)])
def test_more_devices_than_there_are(settings, monkeypatch, kind, gpus, devices):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: kind == "mps")
    trainer = settings().trainer
    wanted = trainer.replace(accelerator=kind, precision="16-mixed")
    with pytest.raises(RequestError, match=f"devices={devices}: expected at most {max(gpus, 1)}"):
        preconditions.check_hardware(wanted.replace(devices=devices))
    preconditions.check_hardware(wanted.replace(devices=1))
    preconditions.check_hardware(trainer.replace(accelerator="cpu", devices=devices, precision="32-true"))


def test_data_that_changed_since_the_run_was_named(settings, tmp_path):
    """A worker may start hours after the plan."""
    frozen = settings().replace(fingerprint="0" * 16)
    with pytest.raises(RequestError, match=r"0000 .*bfed28b07447b673"):
        train(frozen)
    assert not Path(frozen.paths.runs).exists()


SWEEP = ("-m", "seed=0,1")


@pytest.mark.parametrize(
    ("mode", "wrong", "line"),
    [
        ((), "resume=nosuch", "resume=nosuch"),
        ((), "trainer=mps", "accelerator=mps"),
        ((), "group='../x'", "group '../x'"),
        (SWEEP, "trainer=mps", "accelerator=mps"),
        # these two wait for torch in the server; what they say is tested above, in `faults`
        pytest.param(SWEEP, "resume=nosuch", "resume=nosuch", marks=pytest.mark.slow),
        pytest.param(SWEEP, "group='../x'", "group '../x'", marks=pytest.mark.slow),
    ],
)
def test_the_command_says_one_line_and_makes_nothing(
    call_command, tmp_path, shared_cache, one_warm_server, mode, wrong, line
):
    if sys.platform == "darwin" and "mps" in wrong:
        pytest.skip("it may have one")
    paths = (f"paths.runs={tmp_path / 'runs'}", f"paths.cache={shared_cache}", "logger=none", "model=mlp")
    code, out, error = call_command("train", *mode, *paths, wrong)
    assert code == 2 and out == ""
    assert line in error and error.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_refused_data_are_not_called_interrupted(call_command, tmp_path, shared_cache, monkeypatch):
    def corrupt(settings):
        raise RequestError("train-images: got 5 bytes, expected 16")

    monkeypatch.setattr("trainlab.training.run.load_data", corrupt)
    runs = tmp_path / "runs"
    paths = (f"paths.runs={runs}", f"paths.cache={shared_cache}", "logger=none", "model=mlp")
    code, out, error = call_command("train", *paths)
    assert code == 2 and "interrupted" not in out and "got 5 bytes" in error
    assert not runs.exists()


def test_what_is_refused_once_the_run_has_begun_is_a_failure_and_no_interruption(settings, monkeypatch):
    def late(*_):
        raise RequestError("the statistics do not fit")

    monkeypatch.setattr("trainlab.training.run.build_classifier", late)
    frozen = settings()
    with pytest.raises(RequestError):
        train(frozen)
    result = RunFolder(Path(frozen.paths.runs) / frozen.run_id).result()
    assert result is not None and result.error is not None
    assert result.status == "failed" and "do not fit" in result.error["message"]


def test_a_driver_that_is_too_old_is_named_in_the_one_line(settings, monkeypatch):
    """As torch warns of it (c10/cuda), which nobody reads in a sweep's log."""

    def is_available() -> bool:
        warnings.warn(
            "CUDA initialization: The NVIDIA driver on your system is too old (found version 11040). Please "
            "update your GPU driver by downloading and installing a new version",
            stacklevel=1,
        )
        return False

    monkeypatch.setattr(torch.cuda, "is_available", is_available)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(RequestError, match=r"driver on .* is too old \(found version 11040\)\); exp"):
        preconditions.check_hardware(settings("trainer=gpu").trainer)
    preconditions.check_hardware(settings("trainer=cpu").trainer)
