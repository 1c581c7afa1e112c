"""`sweep.prune`: what will not learn is not paid for, and an audit says how often that was wrong."""

import json
import subprocess
from contextlib import nullcontext
from pathlib import Path

import pytest
import sweep_fakes as fakes
from hypothesis import given
from hypothesis import strategies as st

from trainlab.forecast.answer import Forecast
from trainlab.forecast.logistic_model import no_answer_interval
from trainlab.runs import load_runs
from trainlab.runs.result import Result, Verdict
from trainlab.runs.run_folder import RunFolder
from trainlab.sweeps.summary import pruning_savings
from trainlab.training.pruning import Pruned, Pruning

QUICK = (
    "data=digits", "data.image_size=16", "data.train_size=512", "data.val_size=64", "data.test_size=200",
    "data.batch_size=32", "model=plain_cnn", "depth=2", "width=8", "optimizer.lr=3e-3",
    "trainer.max_epochs=6", "logger=none",
)  # fmt: skip


@pytest.fixture
def train(typed, shared_cache):
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return typed(*QUICK, f"paths.cache={shared_cache}", *arguments)

    return run


def results(runs: Path) -> dict[str, dict]:
    return {
        told["axes"]["init"]: told
        for told in (json.loads(path.read_text()) for path in sorted(runs.glob("*/result.json")))
    }


@pytest.mark.slow
def test_what_will_not_learn_is_not_trained(train, tmp_path):
    done = train("-m", "init=zeros,kaiming", "sweep.prune=preflight")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "pruned 1 of 2 runs" in done.stdout and "1 finished, 1 pruned" in done.stdout
    found = results(tmp_path / "runs")
    spared, trained = found["zeros"], found["kaiming"]
    assert spared["status"] == "pruned" and spared["steps"] == 0 and spared["metrics"] == {}
    assert spared["verdict"]["cause"] and spared["verdict"]["learned"] is None
    assert spared["stopped"]["reason"] == spared["pruning"]["reason"]
    assert trained["status"] == "finished" and trained["verdict"]["learned"] is True
    assert trained["pruning"]["reason"] is None and trained["pruning"]["learns"] > 0.5
    # asked again, the pruned one is looked at again; without pruning it is run
    again = train("-m", "init=zeros,kaiming", "sweep.prune=preflight")
    assert again.returncode == 0 and "1 finished, 1 to do" in again.stdout
    whole = train("-m", "init=zeros,kaiming")
    assert whole.returncode == 0, whole.stdout
    assert results(tmp_path / "runs")["zeros"]["verdict"]["learned"] is False


@pytest.mark.slow
def test_an_audit_runs_the_condemned_and_tells_how_they_did(train, tmp_path):
    done = train("-m", "init=zeros,kaiming", "sweep.prune=preflight", "sweep.audit=1.0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "audit: 1 that would have been pruned were run; 0 of them learned" in done.stdout
    assert {run["status"] for run in results(tmp_path / "runs").values()} == {"finished"}
    assert results(tmp_path / "runs")["zeros"]["pruning"]["audited"] is True


@pytest.mark.slow
def test_asking_changes_no_bit_of_a_run_that_goes_on(train, tmp_path):
    asked = train("init=kaiming", "sweep.prune=preflight", "paths.runs=asked")
    plain = train("init=kaiming", "paths.runs=plain")
    assert asked.returncode == plain.returncode == 0, asked.stdout + asked.stderr
    metrics = [load_runs(tmp_path / place)["test/loss"].item() for place in ("asked", "plain")]
    assert metrics[0] == metrics[1]


@pytest.mark.slow
def test_early_pruning_ends_a_run_that_the_signals_condemn(train, tmp_path):
    done = train("-m", "init=zeros,kaiming", "sweep.prune=early", "trainer.max_epochs=20")
    assert done.returncode == 0, done.stdout + done.stderr
    found = results(tmp_path / "runs")
    assert found["zeros"]["status"] == "pruned" and found["kaiming"]["status"] == "finished"
    assert 0 < found["zeros"]["steps"] < found["kaiming"]["steps"]
    assert found["zeros"]["verdict"]["cause"] and "pruned 1 of 2 runs" in done.stdout


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["sweep.audit=0.1"], "sweep.prune=preflight or early"),
        (["sweep.prune=early", "signals=off"], "signals=on"),
        (["sweep.prune=preflght"], "sweep.prune=preflght"),
    ],
)
def test_what_makes_no_sense_is_refused(train, tmp_path, overrides, said):
    done = train("-m", "seed=1,2", *overrides)
    assert done.returncode == 2, done.stdout + done.stderr
    assert said in done.stderr and not list(tmp_path.glob("runs/*/config.yaml"))


def test_a_single_run_refuses_the_same(train, tmp_path):
    done = train("sweep.audit=0.1")
    assert done.returncode == 2 and "sweep.audit=0.1: expected sweep.prune=preflight or early" in done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("answer", ["will not learn", "cannot tell", "will learn"])
def test_only_what_will_not_learn_is_condemned(answer, monkeypatch):
    low, high = no_answer_interval()
    chances = {"will not learn": low / 2, "cannot tell": (low + high) / 2, "will learn": (high + 1) / 2}
    learns = chances[answer]
    forecast = Forecast(learns, cause="learning_rate_too_low")
    monkeypatch.setattr("trainlab.forecast.run_forecast.forecast_run", lambda settings: forecast)
    pruning = Pruning("preflight")
    with pytest.raises(Pruned) if answer == "will not learn" else nullcontext():
        pruning.check_forecast(None)  # pyrefly: ignore[bad-argument-type]  # the forecast is made up
    assert forecast.answer == answer and pruning.learns == learns
    assert (pruning.reason is None) == (answer != "will not learn")


ended = st.tuples(st.sampled_from(["pruned", "audited", "kept"]), st.booleans(), st.integers(1, 100))


@given(st.lists(ended, max_size=8))
def test_savings_are_counted_from_the_records(tmp_path_factory, runs):
    root = tmp_path_factory.mktemp("runs")
    jobs = [fakes.job(root, f"r{i}") for i in range(len(runs))]
    for job, (kind, learned, seconds) in zip(jobs, runs, strict=True):
        reason = None if kind == "kept" else "it will not"
        Result(
            run_id=job.run_id,
            status="pruned" if kind == "pruned" else "finished",
            verdict=Verdict(learned=None if kind == "pruned" else learned),
            seconds=float(seconds),
            pruning={"by": "preflight", "audited": kind == "audited", "reason": reason},
        ).write(RunFolder(root / job.run_id).create().path)
    told = pruning_savings(fakes.plan(root, jobs))
    of = {kind: [run for run in runs if run[0] == kind] for kind in ("pruned", "audited", "kept")}
    assert (told.pruned, told.judged, told.audited) == (len(of["pruned"]), len(runs), len(of["audited"]))
    assert told.audited_learned == sum(learned for _, learned, _ in of["audited"])
    whole = [*of["audited"], *of["kept"]]
    if of["pruned"] and whole:
        mean = sum(s for *_, s in whole) / len(whole)
        spent = sum(s for *_, s in of["pruned"])
        assert told.saved_seconds == pytest.approx(len(of["pruned"]) * mean - spent)
    else:
        assert told.saved_seconds is None
    assert bool(told.lines()) == bool(of["pruned"] or of["audited"])
