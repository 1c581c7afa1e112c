"""`trainlab explain` on real runs: what a user does, from the folder alone."""

import json
import subprocess
import sys

import pytest
import yaml

from trainlab.config import compose, identify
from trainlab.config.command_line import command_line_for_run
from trainlab.runs import Result, RunFolder
from trainlab.runs.result import run_facts

DEEP_SIGMOID = ("activation=sigmoid", "init=glorot", "depth=12", "model=mlp", "width=16", "pool=none")
LEARNS = ("optimizer.lr=1e-2", "trainer.max_epochs=12", "model=mlp", "pool=none", "width=16")


@pytest.fixture
def trainlab(call_command):
    """A command in this process; (exit code, what it printed in one line, its error line)."""

    def call(*arguments: str) -> tuple[int, str, str]:
        code, out, err = call_command(*arguments)
        return code, " ".join(out.split()), err

    return call


@pytest.fixture
def explain(trainlab):
    def call(folder: RunFolder, *flags: str):
        return trainlab("explain", folder.run_id, "--runs", str(folder.path.parent), *flags)

    return call


def test_a_run_that_did_not_learn(run, explain):
    result, folder = run(*DEEP_SIGMOID)
    assert result.verdict.cause == "collapsed_correlation" and result.verdict.layer.startswith("hidden.")
    assert result.verdict.remedy == "norm_layer=batchnorm" and result.verdict.evidence["since_step"] == 0
    code, out, _ = explain(folder)
    assert code == 0 and "did not learn" in out and "collapsed correlation at hidden." in out
    assert "different images look the same" in out and "norm_layer=batchnorm" in out
    assert f"trainlab explain {folder.run_id} --prove" in out
    assert all(f"hidden.{i}.linear" in out for i in range(1, 13)), "a row for each layer"
    code, out, _ = explain(folder, "--json")
    told = json.loads(out)
    first = told["causes"][0]
    assert code == 0 and told["learned"] is False and told["status"] == "finished"
    assert (first["cause"], first["layer"], first["remedy"]) == (
        result.verdict.cause, result.verdict.layer, result.verdict.remedy,
    )  # fmt: skip
    assert [row["layer"] for row in told["layers"]][-1] == "output"


def test_its_commands_are_lines_on_any_screen(run, call_command, tmp_path, monkeypatch):
    """They are pasted: wrapped within its quotes a path is another one."""
    monkeypatch.setenv("COLUMNS", "40")
    folder = run("model=mlp", "pool=none", "width=16", "trainer.max_steps=2")[1].path
    elsewhere = tmp_path / "some where else"
    elsewhere.mkdir()
    folder.rename(elsewhere / folder.name)
    code, out, _ = call_command("explain", folder.name, "--runs", str(elsewhere))
    told = [line for line in out.splitlines() if "trainlab " in line or "train.py" in line]
    assert code == 0 and len(told) == 2 and all("some where else'" in line for line in told), out


def test_a_run_that_learned(run, explain):
    result, folder = run(*LEARNS)
    assert result.verdict.learned and result.verdict.cause is None
    code, out, _ = explain(folder)
    assert code == 0 and "learned: accuracy" in out and f"{result.metrics['test/acc']:.1%}" in out
    assert "cause" not in out and "commonest class gives 10" in out
    code, _, err = explain(folder, "--prove")
    assert code == 2 and err.count("\n") == 1 and "nothing to prove" in err


CAUSES = {
    "symmetric_weights": ("init=zeros",),
    "learning_rate_too_low": ("optimizer=sgd", "optimizer.lr=1e-7"),
    "learning_rate_too_high": ("optimizer.lr=3",),
    "input_out_of_scale": ("normalization=raw", "optimizer=sgd", "optimizer.lr=0.01", "activation=tanh"),
    "saturation": ("activation=tanh", "init.gain=40", "trainer.max_epochs=1"),
    "vanishing_gradient": ("init=normal", "depth=8", "optimizer=sgd"),
    "too_few_steps": ("trainer.max_steps=2",),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_causes_that_a_command_line_can_plant(run, explain, cause):
    result, folder = run(*CAUSES[cause])
    assert result.verdict.cause == cause, result.verdict
    _, out, _ = explain(folder, "--json")
    assert json.loads(out)["causes"][0]["cause"] == cause


def test_a_run_that_diverged(run, explain):
    result, folder = run("optimizer=sgd", "optimizer.lr=1e30")
    assert result.verdict.cause == "diverged"
    assert result.verdict.evidence["step"] == result.stopped["step"]
    code, out, _ = explain(folder)
    assert code == 0 and f"at step {result.stopped['step']}" in out


def test_a_run_without_signals(run, explain):
    result, folder = run("signals=off", "init=zeros")
    assert result.verdict.learned is False and result.verdict.cause is None
    code, out, _ = explain(folder)
    assert code == 0 and "signals=on" in out
    assert explain(folder, "--prove")[0] == 2


def unfinished(run, status: str, **known) -> RunFolder:
    """A run like one that was stopped in mid-way, or that raised."""
    _, folder = run("init=zeros")
    for name in ("result.json", "confusion.parquet"):
        (folder.path / name).unlink()
    if status in ("failed", "pruned"):
        settings = folder.settings()
        folder.finish(Result(**run_facts(settings), status=status, **known))
    return folder


def test_a_run_that_was_interrupted_shows_what_there_is(run, explain):
    folder = unfinished(run, "interrupted")
    code, out, _ = explain(folder)
    assert code == 0 and "not known to have learned" in out and "interrupted" in out
    assert "symmetric weights" in out


def test_a_run_that_is_going(run, explain):
    folder = unfinished(run, "running")
    with folder.lock():
        code, out, _ = explain(folder)
    assert code == 0 and "still running" in out and "symmetric weights" in out


def test_a_run_that_failed_and_one_that_was_pruned(run, explain):
    error = {"type": "OutOfMemoryError", "message": "no room", "frames": []}
    code, out, _ = explain(unfinished(run, "failed", error=error))
    assert code == 0 and "OutOfMemoryError no room" in out
    folder = unfinished(run, "pruned", stopped={"reason": "its correlation collapses"})
    for table in ("signals.parquet", "metrics.parquet"):
        (folder.path / table).unlink()
    code, out, _ = explain(folder)
    assert code == 0 and "its correlation collapses" in out and "no step is recorded" in out


def test_what_cannot_be_read_is_told_in_one_line(run, trainlab, explain, tmp_path):
    _, folder = run("init=zeros")
    (folder.path / "signals.parquet").write_bytes(b"torn")
    code, _, err = explain(folder)
    assert code == 2 and err.count("\n") == 1 and "signals.parquet" in err
    (folder.path / "config.yaml").unlink()
    code, _, err = explain(folder)
    assert code == 2 and err.count("\n") == 1
    code, _, err = trainlab("explain", "nosuchrun", "--runs", str(folder.path.parent))
    assert code == 2 and err.count("\n") == 1 and "nosuchrun" in err


def test_the_command_makes_the_same_run_with_the_remedy(run, settings):
    overrides = (
        "init=kaiming",
        "init.gain=9",
        "depth=6",
        "activation=tanh",
        "optimizer=sgd_momentum",
        "optimizer.lr=0.3",
    )
    _, folder = run(*overrides)
    said = command_line_for_run(folder.settings(), "norm_layer=batchnorm optimizer.lr=0.03").split()
    assert said[:2] == ["python", "train.py"] and said[-2:] == ["norm_layer=batchnorm", "optimizer.lr=0.03"]
    places = [f"paths.{name}={path}" for name, path in folder.settings().paths.to_plain().items()]
    again = identify(compose([*said[2:], *places]))
    assert again.run_id == settings(*overrides, "norm_layer=batchnorm", "optimizer.lr=0.03").run_id
    assert "init=kaiming" not in said and "init.gain=9" in said, "what is the default is not said"
    _, folder = run("model=mlp", "init=zeros", "trainer.max_epochs=null", "trainer.max_steps=4")
    said = command_line_for_run(folder.settings(), "init=kaiming")
    assert "pool" not in said and "max_epochs" not in said and "init=zeros" not in said


def test_the_command_of_a_run_with_options_of_its_own(run):
    _, folder = run("init=zeros")
    settings = folder.settings()
    settings = settings.replace(axes={**settings.axes, "activation": "mine"})
    assert command_line_for_run(settings, "init=kaiming") == "python train.py … init=kaiming"


def test_it_needs_no_torch(run):
    _, folder = run("init=zeros")
    code = (
        "import sys; from trainlab import cli\n"
        f"try: cli.main(['explain', {str(folder.path)!r}])\n"
        "except SystemExit as end: code = end.code\n"
        "sys.exit(code or int('torch' in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


@pytest.mark.slow
def test_the_remedy_is_proved(run, explain):
    """Weights of zero do not learn, the same network from Kaiming's does, at the same number of steps."""
    result, folder = run("init=zeros", *LEARNS)
    code, out, err = explain(folder, "--prove", "--json")
    assert code == 0, err
    told = json.loads(out)["proof"]
    before, after = told["arms"]
    assert (before["learned"], after["learned"]) == (False, True)
    assert len(before["losses"]) == len(after["losses"]) == result.steps
    assert after["name"] == "init=kaiming" and (folder.path / "proof.svg").read_text().startswith("<svg")
    runs = folder.path.parent
    settings = [yaml.safe_load((runs / arm["run_id"] / "config.yaml").read_text()) for arm in told["arms"]]
    assert [s["axes"]["init"] for s in settings] == ["zeros", "kaiming"]
    assert json.loads((runs / "sweeps" / f"prove-{folder.run_id}.json").read_text()) == [
        arm["run_id"] for arm in told["arms"]
    ]
    written = {arm["run_id"]: (runs / arm["run_id"] / "result.json").stat().st_mtime for arm in told["arms"]}
    code, out, _ = explain(folder, "--prove")
    assert code == 0 and "● as it was" in out and "○ init=kaiming" in out, "both curves"
    assert "did not learn" in out and ": learned" in out
    again = {run_id: (runs / run_id / "result.json").stat().st_mtime for run_id in written}
    assert again == written, "what is done already is not run again"
