"""Ray and submitit under the same faults as the local pool, with runs that need no torch."""

import os
import signal
import time
from pathlib import Path

import pytest
import sweep_fakes as fakes
import yaml

from trainlab.errors import RequestError
from trainlab.runs.frozen_settings import plain_copy
from trainlab.runs.result import Result
from trainlab.runs.run_folder import RunFolder
from trainlab.settings import SweepSettings
from trainlab.sweeps.engine import NullObserver
from trainlab.sweeps.forkserver import ForkServer
from trainlab.sweeps.process_exit import TIMED_OUT
from trainlab.sweeps.ray_engine import run_on_ray_worker, write_record


def submitit(runs: Path):
    pytest.importorskip("submitit")
    from trainlab.sweeps.submitit_engine import SubmititEngine

    return SubmititEngine("local", {"folder": str(runs / "submitit"), "slots": 4}, works=fakes.WORKS)


def ray(runs: Path):
    pytest.importorskip("ray")
    from trainlab.sweeps.ray_engine import RayEngine

    return RayEngine({"slots": 4, "num_cpus": 0.25}, works=fakes.WORKS)


@pytest.fixture(params=[submitit, pytest.param(ray, marks=pytest.mark.slow)])
def engine(request, tmp_path):
    return request.param(tmp_path)


def run(engine, runs: Path, jobs, observer=None, **sweep):
    outcomes = engine.run(
        fakes.plan(runs, jobs), SweepSettings(**sweep), ForkServer(fakes.PRELOAD), observer or NullObserver()
    )
    assert len(outcomes) == len(jobs)
    return {o.run_id: o for o in outcomes}


@pytest.mark.slow
def test_failures_stay_small(engine, tmp_path):
    jobs = [fakes.job(tmp_path, do, do=do) for do in ("finish", "raise", "kill", "exit")]
    found = run(engine, tmp_path, [*jobs, fakes.job(tmp_path, "long", seconds=60)], run_timeout=10.0)
    assert {name: o.status for name, o in found.items()} == {
        "finish": "finished",
        "raise": "failed",
        "kill": "failed",
        "exit": "failed",
        "long": "failed",
    }
    assert found["raise"].cause == "ValueError: as it was told"
    assert found["long"].cause.startswith("Timeout")
    assert all(RunFolder(tmp_path / name).status() == o.status for name, o in found.items())
    assert not RunFolder(tmp_path / "long").is_locked()
    assert {e["threads"] for e in fakes.events(tmp_path, "started")} == {1}


def test_submitit_does_not_overlook_runs_that_should_share_a_gpu(tmp_path):
    pytest.importorskip("submitit")
    from trainlab.sweeps.submitit_engine import SubmititEngine

    with pytest.raises(RequestError, match=r"^hydra.launcher.runs_per_gpu=2: .*expected 1$"):
        SubmititEngine("local", {"folder": str(tmp_path), "runs_per_gpu": 2})


def test_a_rerun_that_never_ran_is_no_success(engine, tmp_path):
    before = Result(run_id="r", status="finished")
    RunFolder(tmp_path / "r").create().finish(before)
    found = run(engine, tmp_path, [fakes.job(tmp_path, "r", do="refuse")], rerun=True)
    assert found["r"].status == "failed"
    assert RunFolder(tmp_path / "r").result() == before


def test_a_record_left_on_another_machine_does_not_come_back_as_new(tmp_path, monkeypatch):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    RunFolder(theirs / "r").create().finish(Result(run_id="r", status="finished"))
    monkeypatch.setenv("TRAINLAB_RUNS", str(theirs))
    monkeypatch.setattr("trainlab.sweeps.ray_engine._worker_forkserver", lambda: ForkServer(fakes.PRELOAD))
    settings = yaml.safe_dump(plain_copy(fakes.job(ours, "r", do="refuse").settings))
    config = str(ours / "r" / "config.yaml")
    code, [record] = run_on_ray_worker({config: settings}, fakes.work, (), None)
    assert code == 2 and "result.json" not in record and "log.txt" in record


class _Press(NullObserver):
    """Presses Ctrl-C once all runs are under way."""

    def __init__(self, runs: Path, count: int):
        self._runs, self._count, self._pressed = runs, count, False

    def tick(self) -> None:
        if not self._pressed and len(fakes.events(self._runs, "started")) == self._count:
            self._pressed = True
            os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_lets_runs_write_their_state(engine, tmp_path):
    jobs = [fakes.job(tmp_path, f"r{i}", seconds=60) for i in range(2)]
    since = time.monotonic()
    found = run(engine, tmp_path, jobs, observer=_Press(tmp_path, 2))
    assert {o.status for o in found.values()} == {"interrupted"}
    assert len(fakes.events(tmp_path, "interrupted")) == 2
    assert time.monotonic() - since < 50


def test_a_run_on_a_machine_that_does_not_see_our_folders(tmp_path, monkeypatch):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    theirs.mkdir()
    monkeypatch.setenv("TRAINLAB_RUNS", str(theirs))
    job = fakes.job(ours, "r")
    monkeypatch.setattr("trainlab.sweeps.ray_engine._worker_forkserver", lambda: ForkServer(fakes.PRELOAD))
    frozen = yaml.safe_dump(plain_copy(job.settings))
    config = str(ours / "r" / "config.yaml")
    code, [record] = run_on_ray_worker({config: frozen}, fakes.work, (), None)
    assert code == 0 and not ours.exists()
    (ours / "r").mkdir(parents=True)
    write_record(ours / "r", record)
    assert RunFolder(ours / "r").result() == RunFolder(theirs / "r").result()
    assert RunFolder(ours / "r").status() == "finished"


def test_a_run_that_takes_too_long_is_ended_where_the_sweep_cannot_see_it(tmp_path, monkeypatch):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    theirs.mkdir()
    monkeypatch.setenv("TRAINLAB_RUNS", str(theirs))
    monkeypatch.setattr("trainlab.sweeps.ray_engine._worker_forkserver", lambda: ForkServer(fakes.PRELOAD))
    frozen = yaml.safe_dump(plain_copy(fakes.job(ours, "r", seconds=60).settings))
    since = time.monotonic()
    config = str(ours / "r" / "config.yaml")
    code, [record] = run_on_ray_worker({config: frozen}, fakes.work, (), timeout_seconds=1.0)
    assert code == TIMED_OUT and "result.json" not in record and time.monotonic() - since < 30


@pytest.mark.parametrize("status", ["failed", "interrupted", "pruned", None])
def test_what_comes_back_without_a_result_leaves_the_one_that_is_there(tmp_path, status):
    here, there = RunFolder(tmp_path / "here" / "r").create(), RunFolder(tmp_path / "there" / "r").create()
    here.finish(Result(run_id="r", status="finished", metrics={"test/acc": 0.5}))
    before = (here.path / "result.json").read_bytes()
    if status:
        there.finish(Result(run_id="r", status=status))
    record = {path.name: path.read_bytes() for path in there.path.iterdir() if path.name[0] != "."}
    write_record(here.path, record | {"metrics.jsonl": b"", "log.txt": b"boom"})
    assert (here.path / "result.json").read_bytes() == before
    assert not (here.path / "metrics.jsonl").exists() and (here.path / "log.txt").read_text() == "boom"
