"""The process of a stack: settings files in, an exit code out; what it trains is made up here."""

import resource
import sys
from types import ModuleType

import pytest
import torch

from trainlab.errors import RequestError
from trainlab.instantiate.trust import all_trusted_digests
from trainlab.process_limits import allow_open_files
from trainlab.runs.run_folder import RunFolder
from trainlab.training.interruption import Interrupted
from trainlab.training.out_of_memory import OUT_OF_MEMORY_STACK
from trainlab.training.worker import run_stack_files


@pytest.fixture
def configs(settings, tmp_path):
    frozen = [settings(f"seed={seed}", "init=glorot") for seed in range(3)]
    for each in frozen:
        RunFolder(tmp_path / "runs" / each.run_id).write_settings(each)
    return frozen, [tmp_path / "runs" / each.run_id / "config.yaml" for each in frozen]


@pytest.fixture
def train_stack(monkeypatch):
    """Puts a function in the place of what trains a stack."""

    def put(function) -> None:
        module = ModuleType("trainlab.training.stack")
        vars(module)["train_stack"] = function
        monkeypatch.setitem(sys.modules, "trainlab.training.stack", module)

    return put


def test_all_runs_come_to_one_training_with_their_trust(configs, train_stack):
    frozen, paths = configs
    seen = []
    train_stack(lambda settings: seen.extend(settings))
    assert run_stack_files(paths, all_trusted_digests(frozen)) == 0
    assert [each.run_id for each in seen] == [each.run_id for each in frozen]
    assert all(each.init.is_trusted and each.paths.is_trusted for each in seen)
    seen.clear()
    assert run_stack_files(paths, ()) == 0 and not any(each.init.is_trusted for each in seen)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (RequestError("a stack of unlike nets"), 2, "trainlab: a stack of unlike nets"),
        (Interrupted(), 1, ""),
        (KeyboardInterrupt(), 1, ""),
        (ValueError("boom"), 1, "ValueError: boom"),
        (MemoryError("none left"), OUT_OF_MEMORY_STACK, "MemoryError: none left"),
        (torch.OutOfMemoryError("CUDA out of memory"), OUT_OF_MEMORY_STACK, "CUDA out of memory"),
        (OSError(28, "No space left on device"), 1, "trainlab: No space left on device"),
    ],
)
def test_how_a_stack_ends_is_its_exit_code(configs, train_stack, capsys, error, code, said):
    def fail(settings) -> None:
        raise error

    train_stack(fail)
    assert run_stack_files(configs[1]) == code
    assert said in capsys.readouterr().err


def test_settings_that_cannot_be_read_are_refused(configs, train_stack, capsys):
    train_stack(lambda settings: pytest.fail("nothing is trained"))
    configs[1][1].write_text("seed: [")
    assert run_stack_files(configs[1]) == 2 and capsys.readouterr().err.startswith("trainlab: ")


def test_the_files_of_many_runs_may_be_open():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        hard = before[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        allow_open_files(10)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (1104 if hard < 0 else min(1104, hard), hard)
        allow_open_files(1)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == (1104 if hard < 0 else min(1104, hard))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
