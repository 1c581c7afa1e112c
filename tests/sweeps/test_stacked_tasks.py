"""A stack is one process and many runs: each is reserved, ends and is recorded for itself."""

import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import sweep_fakes as fakes
from rich.console import Console

from trainlab.runs.result import Result
from trainlab.runs.run_folder import RunFolder
from trainlab.settings import SweepSettings
from trainlab.sweeps.dispatcher import Dispatcher
from trainlab.sweeps.display import SweepDisplay
from trainlab.sweeps.engine import NullObserver
from trainlab.sweeps.forkserver import ForkServer
from trainlab.sweeps.local_engine import LocalBackend
from trainlab.sweeps.outcome import Outcome
from trainlab.sweeps.plan import Job, Task
from trainlab.sweeps.process_exit import is_out_of_memory_exit
from trainlab.sweeps.reservations import RunReservations
from trainlab.sweeps.slots import Slot
from trainlab.training.out_of_memory import OUT_OF_MEMORY_STACK, is_out_of_memory


@pytest.fixture(scope="module")
def server() -> ForkServer:
    return ForkServer(preload=fakes.PRELOAD)


def run(runs: Path, server: ForkServer, *tasks: Task, slots: int = 2, **options) -> dict[str, Outcome]:
    backend = LocalBackend([Slot(threads=1)] * slots, server, fakes.WORKS)
    outcomes = Dispatcher(backend, RunReservations(runs, "group"), **options).run(tasks)
    assert len({o.run_id for o in outcomes}) == len(outcomes)
    return {o.run_id: o for o in outcomes}


def stack(jobs: list[Job]) -> Task:
    return Task(tuple(jobs), "fake")


def jobs_of(runs: Path, count: int, **options) -> list[Job]:
    return [fakes.job(runs, f"r{i}", **options) for i in range(count)]


def stacks_started(runs: Path) -> list[list[str]]:
    return [event["run_ids"] for event in fakes.events(runs, "stack")]


def test_the_runs_of_a_stack_are_one_process_and_a_record_each(tmp_path, server):
    jobs = jobs_of(tmp_path, 5)
    jobs[3] = fakes.job(tmp_path, "r3", do="diverge")
    found = run(tmp_path, server, stack(jobs), Task((fakes.job(tmp_path, "alone"),)))
    assert {name: outcome.status for name, outcome in found.items()} == {
        "alone": "finished", "r0": "finished", "r1": "finished", "r2": "finished", "r3": "diverged",
        "r4": "finished",
    }  # fmt: skip
    assert stacks_started(tmp_path) == [[f"r{i}" for i in range(5)]]
    started = fakes.events(tmp_path, "started")
    assert len({event["pid"] for event in started}) == 2 and {event["threads"] for event in started} == {1}
    logs = [(tmp_path / f"r{i}" / "log.txt").read_text() for i in range(5)]
    assert logs == ["", *["in a stack of 5: its output is in ../r0/log.txt\n"] * 4]


class Halves(NullObserver):
    def __init__(self) -> None:
        self.sizes: list[tuple[int, list[int]]] = []

    def stack_halved(self, task, halves):
        self.sizes.append((len(task.jobs), [len(half.jobs) for half in halves]))


def test_a_stack_that_does_not_fit_halves_itself(tmp_path, server):
    observer = Halves()
    found = run(tmp_path, server, stack(jobs_of(tmp_path, 7, most=3)), slots=1, observer=observer)
    assert {outcome.status for outcome in found.values()} == {"finished"} and len(found) == 7
    assert observer.sizes == [(7, [4, 3]), (4, [2, 2])]
    assert [len(ids) for ids in stacks_started(tmp_path)] == [7, 4, 2, 2, 3]
    assert {RunFolder(tmp_path / f"r{i}").status() for i in range(7)} == {"finished"}


def test_a_stack_of_one_that_does_not_fit_is_a_failed_run(tmp_path, server):
    found = run(tmp_path, server, stack(jobs_of(tmp_path, 2, most=0)))
    assert {(outcome.status, outcome.cause) for outcome in found.values()} == {
        ("failed", "OutOfMemoryError: 1 runs")
    }
    assert sorted(map(len, stacks_started(tmp_path))) == [1, 1, 2]


def test_the_system_that_kills_for_memory_halves_a_stack_too(tmp_path, server, monkeypatch):
    """The count of such kills rises only once here, and the run that was killed does so only once."""
    counts = iter([0, 1])
    monkeypatch.setattr("trainlab.sweeps.process_exit._oom_kill_count", lambda: next(counts, 1))
    observer = Halves()
    jobs = [fakes.job(tmp_path, "r0"), fakes.job(tmp_path, "r1"), fakes.job(tmp_path, "killed", do="kill")]
    found = run(tmp_path, server, stack(jobs), slots=1, observer=observer)
    # the first two had ended: the third has the room to itself, and is killed for a reason of its own
    assert observer.sizes == [] and [len(ids) for ids in stacks_started(tmp_path)] == [3, 1]
    assert (found["r0"].status, found["r1"].status) == ("finished", "finished")
    assert found["killed"].status == "failed" and "SIGKILL" in (found["killed"].cause or "")


@pytest.mark.parametrize(("do", "cause"), [("kill", "SIGKILL"), ("exit", "the last words")])
def test_a_stack_that_dies_fails_the_runs_without_a_record(tmp_path, server, do, cause):
    jobs = [fakes.job(tmp_path, "early"), fakes.job(tmp_path, "bad", do=do), fakes.job(tmp_path, "late")]
    found = run(tmp_path, server, stack(jobs), Task((fakes.job(tmp_path, "other"),)))
    assert {name: outcome.status for name, outcome in found.items()} == {
        "early": "finished", "bad": "failed", "late": "failed", "other": "finished",
    }  # fmt: skip
    for name in ("bad", "late"):
        result = RunFolder(tmp_path / name).result()
        assert cause in (found[name].cause or "") and result is not None and result.status == "failed"


def test_a_run_that_its_stack_refuses_is_run_alone_and_the_others_in_stacks(tmp_path, server):
    jobs = jobs_of(tmp_path, 8)
    jobs[5] = fakes.job(tmp_path, "r5", do="refuse_stack")
    found = run(tmp_path, server, stack(jobs), slots=1)
    assert {outcome.status for outcome in found.values()} == {"finished"} and len(found) == 8
    assert [len(ids) for ids in stacks_started(tmp_path)] == [8, 4, 4, 2, 1, 1, 2]


def test_a_run_that_is_refused_alone_too_fails_for_the_reason_it_gives(tmp_path, server):
    jobs = [fakes.job(tmp_path, "good"), fakes.job(tmp_path, "bad", do="refuse")]
    found = run(tmp_path, server, stack(jobs), slots=1)
    assert (found["good"].status, found["bad"].status) == ("finished", "failed")
    assert found["bad"].cause == "Refused: as it was told"


def test_the_timeout_is_of_the_stack_as_a_whole(tmp_path, server):
    jobs = [fakes.job(tmp_path, "quick"), fakes.job(tmp_path, "long", seconds=60)]
    found = run(tmp_path, server, stack(jobs), timeout_seconds=1.0)
    assert found["quick"].status == "finished" and found["long"].status == "failed"
    assert (found["long"].cause or "").startswith("Timeout") and not RunFolder(tmp_path / "long").is_locked()


def test_runs_that_are_done_or_held_elsewhere_are_left_out(tmp_path, server):
    jobs = jobs_of(tmp_path, 4)
    RunFolder(tmp_path / "r1").create().finish(Result(run_id="r1", status="finished"))
    held = RunFolder(tmp_path / "r2").lock()
    held.__enter__()
    release = threading.Timer(1.0, lambda: held.__exit__(None, None, None))
    release.start()
    found = run(tmp_path, server, stack(jobs))
    release.join()
    assert {outcome.status for outcome in found.values()} == {"finished"}
    assert found["r1"].reused and not found["r2"].reused
    assert stacks_started(tmp_path) == [["r0", "r3"], ["r2"]]


def test_two_sweeps_share_their_stacks(tmp_path, server):
    jobs = jobs_of(tmp_path, 6, seconds=0.3)
    found: list[dict[str, Outcome]] = []
    orders = (stack(jobs[:4]), stack(jobs[4:])), (stack(jobs[2:]), stack(jobs[:2]))
    sweeps = [threading.Thread(target=lambda t=tasks: found.append(run(tmp_path, server, *t, slots=1)))
              for tasks in orders]  # fmt: skip
    for sweep in sweeps:
        sweep.start()
    for sweep in sweeps:
        sweep.join()
    assert [len(outcomes) for outcomes in found] == [6, 6]
    assert {outcome.status for outcomes in found for outcome in outcomes.values()} == {"finished"}
    assert len(fakes.events(tmp_path, "finished")) == 6


class Press(NullObserver):
    """Presses Ctrl-C once the runs of the stack are under way."""

    def __init__(self, runs: Path, count: int, times: int = 1):
        self.runs, self.count, self.times = runs, count, times

    def tick(self) -> None:
        if self.times and len(fakes.events(self.runs, "started")) == self.count:
            self.times -= 1
            os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_interrupts_the_runs_and_the_same_stack_goes_on(tmp_path, server):
    running, waiting = jobs_of(tmp_path, 3, seconds=30), [fakes.job(tmp_path, f"w{i}") for i in range(2)]
    tasks = stack(running), stack(waiting)
    found = run(tmp_path, server, *tasks, slots=1, observer=Press(tmp_path, 3))
    assert [found[f"r{i}"].status for i in range(3)] == ["interrupted"] * 3
    assert [found[f"w{i}"].status for i in range(2)] == ["unstarted"] * 2
    assert {RunFolder(tmp_path / f"r{i}").status() for i in range(3)} == {"interrupted"}
    again = run(tmp_path, server, stack(jobs_of(tmp_path, 3)), stack(waiting))
    assert {outcome.status for outcome in again.values()} == {"finished"} and len(again) == 5


def test_the_second_ctrl_c_kills_the_stack(tmp_path, server):
    since = time.monotonic()
    stubborn = stack(jobs_of(tmp_path, 2, seconds=60))
    found = run(tmp_path, server, stubborn, observer=Press(tmp_path, 2, times=2))
    assert {outcome.status for outcome in found.values()} == {"interrupted"}
    assert time.monotonic() - since < 10


def test_settings_that_cannot_be_written_fail_that_run_of_a_stack(tmp_path, server):
    (tmp_path / "blocked").write_text("a file where a folder should be")
    found = run(tmp_path, server, stack([fakes.job(tmp_path, "blocked"), *jobs_of(tmp_path, 2)]))
    assert [found[name].status for name in ("blocked", "r0", "r1")] == ["failed", "finished", "finished"]


@pytest.mark.slow
def test_a_stack_on_submitit_is_one_job(tmp_path):
    pytest.importorskip("submitit")
    from trainlab.sweeps.submitit_engine import SubmititEngine

    engine = SubmititEngine("local", {"folder": str(tmp_path / "submitit"), "slots": 2}, works=fakes.WORKS)
    check_engine(engine, tmp_path)


@pytest.mark.slow
def test_a_stack_on_ray_is_one_task(tmp_path):
    pytest.importorskip("ray")
    from trainlab.sweeps.ray_engine import RayEngine

    check_engine(RayEngine({"slots": 2, "num_cpus": 0.25}, works=fakes.WORKS), tmp_path)


def check_engine(engine, runs: Path) -> None:
    from dataclasses import replace

    jobs = jobs_of(runs, 4, most=3)
    plan = replace(fakes.plan(runs, jobs), stacked=[stack(jobs)])
    outcomes = engine.run(plan, SweepSettings(), ForkServer(fakes.PRELOAD), NullObserver())
    assert [outcome.status for outcome in outcomes] == ["finished"] * 4
    assert sorted(map(len, stacks_started(runs))) == [2, 2, 4]


def test_a_stack_elsewhere_brings_back_the_records_of_all_its_runs(tmp_path, monkeypatch):
    import yaml

    from trainlab.runs.frozen_settings import plain_copy
    from trainlab.sweeps.ray_engine import run_on_ray_worker, write_record

    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    theirs.mkdir()
    monkeypatch.setenv("TRAINLAB_RUNS", str(theirs))
    monkeypatch.setattr("trainlab.sweeps.ray_engine._worker_forkserver", lambda: ForkServer(fakes.PRELOAD))
    jobs = jobs_of(ours, 3)
    texts = {str(ours / job.run_id / "config.yaml"): yaml.safe_dump(plain_copy(job.settings)) for job in jobs}
    code, records = run_on_ray_worker(texts, fakes.WORKS.stack, (), None)
    assert code == 0 and len(records) == 3 and not ours.exists()
    for job, record in zip(jobs, records, strict=True):
        (ours / job.run_id).mkdir(parents=True)
        write_record(ours / job.run_id, record)
    assert {RunFolder(ours / job.run_id).status() for job in jobs} == {"finished"}


def test_the_display_counts_runs_and_shows_stacks(tmp_path):
    written = io.StringIO()
    jobs = jobs_of(tmp_path, 4)
    whole = Task(tuple(jobs), "lenet5 relu")
    console = Console(file=written, width=100)
    with SweepDisplay(fakes.plan(tmp_path, jobs), console) as display:
        display.task_started(whole)
        display.stack_halved(whole, whole.halves())
        display.stack_halved(whole.of(jobs[:3]), whole.of(jobs[:3]).halves())
        with console.capture() as captured:
            console.print(display._picture())
        for job in jobs:
            display.run_ended(Outcome(job.run_id, job.label, "finished", seconds=2.0))
        display.task_ended(whole)
        assert display.seconds_left == 0
    assert "stack of 4 (lenet5 relu)" in captured.get() and "0/4" in captured.get()
    lines = written.getvalue().splitlines()
    assert lines[:2] == [
        "stack of 4 (lenet5 relu) does not fit: two of 2",
        "stack of 3 (lenet5 relu) does not fit: 2 and 1",
    ]
    assert lines[2:] == [f"[{i + 1}/4] run r{i}  finished in 2.0 s" for i in range(4)]


def test_what_counts_as_too_little_memory():
    import torch

    errors = MemoryError(), torch.OutOfMemoryError("x"), RuntimeError("[enforce fail] can't allocate memory")
    assert all(map(is_out_of_memory, errors))
    later = ValueError("what came of it")
    later.__cause__ = errors[1]
    assert is_out_of_memory(later) and not is_out_of_memory(ValueError("out of memory"))
    assert is_out_of_memory_exit(OUT_OF_MEMORY_STACK, False) and is_out_of_memory_exit(-9, True)
    assert is_out_of_memory_exit(-signal.SIGABRT, False)
    assert not is_out_of_memory_exit(-9, False) and not is_out_of_memory_exit(1, True)


def test_the_exit_code_is_told_without_torch():
    script = "import sys; from trainlab.sweeps import process_exit, stacks; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)
