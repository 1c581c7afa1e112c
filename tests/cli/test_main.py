"""`trainlab` and `python train.py`: help at once, one line and exit code 2 for what is wrong."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from trainlab import cli

ROOT = Path(__file__).parents[2]
ENTRY_POINTS = {
    "train.py": [sys.executable, str(ROOT / "train.py")],
    "trainlab": [sys.executable, "-m", "trainlab", "train"],
}


def call(*command: str, cwd: Path = ROOT, **kwargs) -> subprocess.CompletedProcess:
    return subprocess.run([*command], capture_output=True, text=True, cwd=cwd, **kwargs)


def trainlab(*arguments: str, **kwargs) -> subprocess.CompletedProcess:
    return call(sys.executable, "-m", "trainlab", *arguments, **kwargs)


COMMANDS = [
    "train", "options", "anatomy", "compare", "lr-range", "evaluate", "predict", "export", "runs", "sync",
    "workspace",
]  # fmt: skip


@pytest.mark.parametrize(
    "command", [[], *([c] for c in COMMANDS), ["runs", "list"], ["runs", "du"], ["runs", "rm"]]
)
def test_help_answers(command):
    answer = trainlab(*command, "--help")
    assert answer.returncode == 0 and answer.stderr == ""
    assert "Usage" in answer.stdout or "Train one run" in answer.stdout


def test_help_lists_every_command():
    answer = trainlab()
    assert answer.returncode == 0
    for command in COMMANDS:
        assert command in answer.stdout


@pytest.mark.parametrize("entry_point", ENTRY_POINTS)
def test_help_is_quick_and_without_torch(entry_point):
    """0.7 s at most: of CPU time here, since other tests run beside; `make bench` has the clock."""
    code = (
        "import sys; sys.argv = ['x', '--help']\n"
        "from trainlab.cli import main\n"
        "try: main(['train', '--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'hydra', 'lightning', 'polars'} & set(sys.modules), sorted(sys.modules)\n"
    )
    assert call(sys.executable, "-c", code).returncode == 0
    before = os.times()
    assert call(*ENTRY_POINTS[entry_point], "--help").returncode == 0
    after = os.times()
    assert after.children_user + after.children_system - before.children_user - before.children_system < 0.7


WRONG = {
    "activation=rleu": "did you mean 'relu'",
    "optimizer.lr=-1": "greater than 0",
    "model=vgg depth=12": "11, 13, 16, 19",
    "model=lenet5 depth=4": "lenet5 has no depth",
    "norm_layer=batchnorm data.batch_size=1": "batch of one",
    "init.gain=-1": "gain",
    "activation=3": "activation=3",
    "seed=1 -m activation=rleu,tanh": "did you mean 'relu'",
    "data=image_folder data.folder=nowhere": "nowhere",
    "--no-such-flag": "--no-such-flag",
}


@pytest.fixture
def run_command(capsys):
    """`trainlab …` in this process; returns (exit code, its error lines)."""

    def go(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main(list(arguments))
        assert isinstance(end.value.code, int)
        return end.value.code, capsys.readouterr().err

    return go


@pytest.mark.parametrize("overrides", WRONG)
def test_a_wrong_request_is_one_line_and_exit_code_2(run_command, overrides, tmp_path):
    places = (f"paths.runs={tmp_path / 'runs'}", f"paths.cache={tmp_path}")
    code, error = run_command("train", *overrides.split(), *places)
    assert code == 2 and WRONG[overrides] in error
    if not overrides.startswith("--"):  # Hydra's own parser prints its usage
        assert error.count("\n") == 1
    assert not list(tmp_path.glob("runs/*/")), "nothing was begun"


@pytest.mark.parametrize(
    "entry_point,overrides",
    [(entry_point, "activation=rleu") for entry_point in ENTRY_POINTS]
    + [pytest.param("train.py", "init.gain=-1", marks=pytest.mark.slow), ("trainlab", "--no-such-flag")],
)
def test_both_entry_points_refuse_as_processes_too(entry_point, overrides, tmp_path):
    answer = call(
        *ENTRY_POINTS[entry_point], overrides, f"paths.runs={tmp_path / 'runs'}", f"paths.cache={tmp_path}"
    )
    assert answer.returncode == 2
    assert WRONG[overrides] in answer.stderr and "Traceback" not in answer.stderr
    if not overrides.startswith("--"):
        assert answer.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments,expected",
    [
        (["trian"], "train"), (["compare", "--foo"], "--foo"), (["options", "activaton"], "activation"),
        (["evaluate", "nothing", "--runs", "."], "nothing"),
        (["compare", "--runs", "no/such/folder"], "no/such/folder"),
        (["anatomy", "data=image_folder"], "data.num_classes"),
        (["lr-range", "optimzer.lr=1"], "optimizer.lr"),
    ],
)  # fmt: skip
def test_other_commands_refuse_alike(run_command, arguments, expected):
    code, error = run_command(*arguments)
    assert code == 2 and expected in error and error.count("\n") == 1


def test_both_entry_points_train_alike_and_a_done_run_is_not_trained_again(tmp_path):
    quick = [
        "trainer.max_steps=2", "depth=2", "width=4", "data.image_size=16", "logger=none", "seed=5",
        f"paths.runs={tmp_path / 'runs'}", f"paths.cache={tmp_path / 'cache'}",
    ]  # fmt: skip
    first = call(*ENTRY_POINTS["train.py"], *quick)
    assert first.returncode == 0, first.stderr
    assert "test/acc" in first.stdout and "learned" in first.stdout
    again = call(*ENTRY_POINTS["trainlab"], *quick)
    assert again.returncode == 0 and "done already" in again.stdout
    assert len([p for p in (tmp_path / "runs").iterdir() if p.is_dir()]) == 1


def test_hydras_own_flags_work():
    answer = call(*ENTRY_POINTS["train.py"], "--cfg", "job", "activation=tanh")
    assert answer.returncode == 0 and "torch.nn.Tanh" in answer.stdout


def test_a_worker_needs_only_a_frozen_settings_file(settings, tmp_path):
    from trainlab.runs import RunFolder

    frozen = settings("trainer.max_steps=2")
    folder = RunFolder(Path(frozen.paths.runs) / frozen.run_id)
    folder.write_settings(frozen)
    answer = call(sys.executable, "-m", "trainlab.training", str(folder.path / "config.yaml"), cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert folder.status() == "finished"
