"""Whatever a run dies of: it is recorded, the rest go on, nothing is run twice."""

import errno
import io
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
import sweep_fakes as fakes
from rich.console import Console

from trainlab.runs.result import Result
from trainlab.runs.run_folder import RunFolder
from trainlab.sweeps.dispatcher import Dispatcher, ShutdownRequests
from trainlab.sweeps.display import SweepDisplay
from trainlab.sweeps.engine import NullObserver
from trainlab.sweeps.forkserver import ForkServer
from trainlab.sweeps.local_engine import LocalBackend
from trainlab.sweeps.multiprocessing_internals import forkserver_pid
from trainlab.sweeps.outcome import Outcome
from trainlab.sweeps.plan import Task
from trainlab.sweeps.process_exit import classify_exit
from trainlab.sweeps.reservations import RunReservations
from trainlab.sweeps.slots import Slot, SlotSettings, make_slots, max_concurrent_runs


@pytest.fixture(scope="module")
def server() -> ForkServer:
    return ForkServer(preload=fakes.PRELOAD)


def dispatcher(runs: Path, server: ForkServer, slots=2, rerun=False, **options) -> Dispatcher:
    places = slots if isinstance(slots, list) else [Slot(threads=1)] * slots
    reservations = RunReservations(runs, "group", rerun)
    return Dispatcher(LocalBackend(places, server, fakes.WORKS), reservations, **options)


def by_id(outcomes: list[Outcome]) -> dict[str, Outcome]:
    assert len({o.run_id for o in outcomes}) == len(outcomes)
    return {o.run_id: o for o in outcomes}


def test_every_run_happens_once_and_is_recorded(tmp_path, server):
    jobs = [fakes.job(tmp_path, f"r{i}") for i in range(6)]
    outcomes = dispatcher(tmp_path, server).run(fakes.alone(jobs))
    assert {o.status for o in outcomes} == {"finished"}
    assert sorted(e["run_id"] for e in fakes.events(tmp_path, "started")) == [f"r{i}" for i in range(6)]
    assert {RunFolder(tmp_path / j.run_id).status() for j in jobs} == {"finished"}
    assert {e["threads"] for e in fakes.events(tmp_path, "started")} == {1}


def test_a_slot_is_refilled_while_a_long_run_goes_on(tmp_path, server):
    jobs = [fakes.job(tmp_path, "long", seconds=2), *(fakes.job(tmp_path, f"s{i}") for i in range(4))]
    dispatcher(tmp_path, server).run(fakes.alone(jobs))
    (end_of_long,) = (e["time"] for e in fakes.events(tmp_path, "finished") if e["run_id"] == "long")
    started = fakes.events(tmp_path, "started")
    assert all(e["time"] < end_of_long for e in started)
    assert len({e["pid"] for e in started}) == 5  # a process each


def test_failures_stay_small(tmp_path, server):
    jobs = [fakes.job(tmp_path, do, do=do) for do in ("raise", "kill", "exit")]
    found = by_id(dispatcher(tmp_path, server).run(fakes.alone([*jobs, fakes.job(tmp_path, "good")])))
    assert found["good"].status == "finished"
    assert found["raise"].cause == "ValueError: as it was told"
    assert "SIGKILL" in found["kill"].cause
    assert found["exit"].cause == "Died: the last words"
    for job in jobs:
        result = RunFolder(tmp_path / job.run_id).result()
        assert result is not None and result.status == "failed" and result.error is not None
        assert result.error["message"] in found[job.run_id].cause


def test_a_run_longer_than_the_timeout_is_recorded_as_failed(tmp_path, server):
    jobs = [fakes.job(tmp_path, "long", seconds=60), fakes.job(tmp_path, "short")]
    found = by_id(dispatcher(tmp_path, server, timeout_seconds=0.7).run(fakes.alone(jobs)))
    assert found["short"].status == "finished"
    assert (found["long"].status, found["long"].seconds < 10) == ("failed", True)
    result = RunFolder(tmp_path / "long").result()
    assert result is not None and result.error is not None and result.error["type"] == "Timeout"


def test_killing_the_warm_server_loses_nothing(tmp_path, server):
    jobs = [fakes.job(tmp_path, f"r{i}", seconds=0.3) for i in range(6)]
    kills = threading.Thread(target=_kill_server_soon, args=(0.4, 3))
    kills.start()
    outcomes = dispatcher(tmp_path, server).run(fakes.alone(jobs))
    kills.join()
    assert {(o.status, o.cause) for o in outcomes} == {("finished", None)}
    assert len(fakes.events(tmp_path, "finished")) == 6


def _kill_server_soon(seconds: float, times: int) -> None:
    for _ in range(times):
        time.sleep(seconds)
        pid = forkserver_pid()
        if pid:
            os.kill(pid, signal.SIGKILL)


def test_a_run_in_other_hands_is_waited_for_and_not_repeated(tmp_path, server):
    folder = RunFolder(tmp_path / "shared")
    ready = threading.Event()

    def other_process() -> None:
        with folder.lock():
            ready.set()
            time.sleep(1.5)
            folder.finish(Result(run_id="shared", status="finished"))

    other = threading.Thread(target=other_process)
    other.start()
    ready.wait()
    found = by_id(
        dispatcher(tmp_path, server).run(
            fakes.alone([fakes.job(tmp_path, "shared"), fakes.job(tmp_path, "own")])
        )
    )
    other.join()
    assert found["shared"].reused and found["shared"].status == "finished"
    assert [e["run_id"] for e in fakes.events(tmp_path, "started")] == ["own"]


def test_a_run_that_another_sweep_left_unfinished_is_done_here(tmp_path, server):
    held = RunFolder(tmp_path / "shared").lock()
    held.__enter__()
    release = threading.Timer(1.0, lambda: held.__exit__(None, None, None))
    release.start()
    outcomes = dispatcher(tmp_path, server).run(fakes.alone([fakes.job(tmp_path, "shared")]))
    release.join()
    assert [(o.status, o.reused) for o in outcomes] == [("finished", False)]


def test_two_sweeps_at_once_share_the_work(tmp_path, server):
    jobs = [fakes.job(tmp_path, f"r{i}", seconds=0.15) for i in range(8)]
    found: list[list[Outcome]] = []
    sweeps = [
        threading.Thread(
            target=lambda: found.append(dispatcher(tmp_path, server, slots=1).run(fakes.alone(jobs)))
        )
        for _ in "ab"
    ]
    for sweep in sweeps:
        sweep.start()
    for sweep in sweeps:
        sweep.join()
    assert [len(outcomes) for outcomes in found] == [8, 8]
    assert {o.status for outcomes in found for o in outcomes} == {"finished"}
    assert len(fakes.events(tmp_path, "started")) == 8


def test_two_sweeps_where_locks_do_not_lock_share_the_work_too(tmp_path, server, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    test_two_sweeps_at_once_share_the_work(tmp_path, server)


def test_rerun_runs_what_is_finished(tmp_path, server):
    jobs = [fakes.job(tmp_path, "r")]
    dispatcher(tmp_path, server).run(fakes.alone(jobs))
    dispatcher(tmp_path, server).run(fakes.alone(jobs))
    assert len(fakes.events(tmp_path, "finished")) == 1
    dispatcher(tmp_path, server, rerun=True).run(fakes.alone(jobs))
    assert len(fakes.events(tmp_path, "finished")) == 2


@pytest.mark.parametrize(("do", "said"), [("refuse", "as it was told"), ("leave", "exit code 0")])
@pytest.mark.parametrize("earlier", ["finished", "failed"])
def test_a_rerun_that_never_ran_is_no_success(tmp_path, server, do, said, earlier):
    before = Result(run_id="r", status=earlier, metrics={"test/acc": 0.5})
    RunFolder(tmp_path / "r").create().finish(before)
    found = by_id(
        dispatcher(tmp_path, server, rerun=True).run(fakes.alone([fakes.job(tmp_path, "r", do=do)]))
    )
    assert found["r"].status == "failed" and said in found["r"].cause
    kept = RunFolder(tmp_path / "r").result()
    assert kept is not None and kept.status == earlier and (kept == before) == (earlier == "finished")


def test_a_rerun_that_is_killed_is_no_success(tmp_path, server):
    before = Result(run_id="r", status="finished", metrics={"test/acc": 0.5})
    RunFolder(tmp_path / "r").create().finish(before)
    found = by_id(
        dispatcher(tmp_path, server, rerun=True).run(fakes.alone([fakes.job(tmp_path, "r", do="kill")]))
    )
    assert found["r"].status == "failed" and "SIGKILL" in found["r"].cause
    assert RunFolder(tmp_path / "r").result() == before  # the sweep tells of the failure


class _ClockAhead(NullObserver):
    """What the file says that marks a run's beginning is two hours old, as when the clock has jumped."""

    def __init__(self, runs: Path):
        self._runs = runs

    def tick(self) -> None:
        for pid_file in self._runs.glob("*/.pid"):
            os.utime(pid_file, (time.time() - 7200,) * 2)


def test_a_clock_that_jumps_ends_no_run(tmp_path, server):
    jobs = [fakes.job(tmp_path, "r", seconds=0.5)]
    sweep = dispatcher(tmp_path, server, timeout_seconds=60, observer=_ClockAhead(tmp_path))
    assert [o.status for o in sweep.run(fakes.alone(jobs))] == ["finished"]


class _Press(NullObserver):
    """Presses Ctrl-C when so many runs have started."""

    def __init__(self, times: int):
        self.times, self.started_runs = times, 0

    def task_started(self, task: object) -> None:
        self.started_runs += 1
        if self.started_runs == 2:
            os.kill(os.getpid(), signal.SIGINT)

    def stop_requested(self, requests: int) -> None:
        if requests < self.times:
            os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_once_lets_the_running_ones_write_their_state(tmp_path, server):
    jobs = [fakes.job(tmp_path, f"r{i}", seconds=30) for i in range(4)]
    before = signal.getsignal(signal.SIGINT)
    observer = _PressLater(after_seconds=2.0)  # the runs are well under way
    found = by_id(dispatcher(tmp_path, server, observer=observer).run(fakes.alone(jobs)))
    assert [found[f"r{i}"].status for i in range(4)] == [
        "interrupted",
        "interrupted",
        "unstarted",
        "unstarted",
    ]
    assert RunFolder(tmp_path / "r0").status() == "interrupted"
    assert RunFolder(tmp_path / "r0").result() is not None
    assert signal.getsignal(signal.SIGINT) is before


class _PressLater(NullObserver):
    def __init__(self, after_seconds: float, times: int = 1):
        self._left = [after_seconds + 0.3 * i for i in range(times)]
        self._since = time.monotonic()

    def tick(self) -> None:
        if self._left and time.monotonic() - self._since > self._left[0]:
            self._left.pop(0)
            os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_twice_stops_at_once(tmp_path, server):
    jobs = [fakes.job(tmp_path, f"r{i}", seconds=60) for i in range(3)]
    since = time.monotonic()
    outcomes = dispatcher(tmp_path, server, observer=_Press(times=2)).run(fakes.alone(jobs))
    assert time.monotonic() - since < 10
    assert {o.status for o in outcomes} == {"interrupted", "unstarted"}
    assert not RunFolder(tmp_path / "r0").is_locked()


def test_after_an_interruption_the_same_jobs_go_on(tmp_path, server):
    jobs = [fakes.job(tmp_path, f"r{i}", seconds=0.4) for i in range(4)]
    dispatcher(tmp_path, server, observer=_Press(times=1)).run(fakes.alone(jobs))
    outcomes = dispatcher(tmp_path, server).run(fakes.alone(jobs))
    assert {o.status for o in outcomes} == {"finished"}
    assert len(fakes.events(tmp_path, "finished")) == 4


def test_a_full_disk_fails_the_run_and_not_the_sweep(tmp_path, server, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    jobs = [fakes.job(tmp_path, "kill", do="kill"), fakes.job(tmp_path, "good")]
    monkeypatch.setattr(
        "trainlab.runs.result.write_atomically", full
    )  # in this process: the sweep's own records
    found = by_id(dispatcher(tmp_path, server).run(fakes.alone(jobs)))
    assert found["good"].status == "finished"
    assert found["kill"].status == "failed"
    assert "No space left on device" in found["kill"].cause
    assert RunFolder(tmp_path / "kill").status() == "interrupted"  # unfinished: the next sweep runs it


def test_settings_that_cannot_be_written_fail_that_run(tmp_path, server):
    (tmp_path / "blocked").write_text("a file where a folder should be")
    found = by_id(
        dispatcher(tmp_path, server).run(
            fakes.alone([fakes.job(tmp_path, "blocked"), fakes.job(tmp_path, "good")])
        )
    )
    assert found["good"].status == "finished"
    assert found["blocked"].status == "failed"
    assert "cannot write" in found["blocked"].cause


def test_each_run_sees_its_own_gpu_only(tmp_path, server):
    slots = [Slot(1, "0"), Slot(1, "GPU-b")]
    jobs = [fakes.job(tmp_path, f"r{i}", seconds=0.3) for i in range(4)]
    dispatcher(tmp_path, server, slots=slots).run(fakes.alone(jobs))
    started = fakes.events(tmp_path, "started")
    assert {e["gpu"] for e in started} == {"0", "GPU-b"}
    ended = {e["run_id"]: e["time"] for e in fakes.events(tmp_path, "finished")}
    for gpu in ("0", "GPU-b"):
        own = sorted((e["time"], e["run_id"]) for e in started if e["gpu"] == gpu)
        assert all(ended[a] <= since for (_, a), (since, _) in pairwise(own))


def test_one_slot_gives_a_run_over_two_gpus_both(tmp_path, server):
    settings = SlotSettings(slots=1)
    places = make_slots(settings, "gpu", ["0", "1"], cores=2)
    pool = LocalBackend(places, server, fakes.WORKS, max_concurrent_runs(settings, places))
    jobs = [fakes.job(tmp_path, "one", seconds=0.3), fakes.job(tmp_path, "both", devices=2)]
    assert pool.has_room(Task((jobs[1],)))
    assert [place.gpu for place in pool._slots_for(Task((jobs[1],)))] == ["0", "1"]
    config = RunReservations(tmp_path, "group").write_worker_settings(jobs[0], 1)
    pool.start(Task((jobs[0],)), [config])
    assert not pool.has_room(Task((jobs[1],)))  # one run at a time, though a GPU is free
    pool.close()


def test_a_run_dies_with_the_sweep_that_started_it(tmp_path):
    script = _sweep_script(tmp_path, seconds=60)
    with _started(script) as sweep:
        _wait_for(lambda: fakes.events(tmp_path, "started"))
        time.sleep(0.2)
        os.kill(sweep.pid, signal.SIGKILL)
        sweep.wait()
        _wait_for(lambda: not RunFolder(tmp_path / "r0").is_locked())
    assert RunFolder(tmp_path / "r0").status() == "interrupted"


def _sweep_script(runs: Path, seconds: float) -> str:
    return f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
import sweep_fakes as fakes
from trainlab.sweeps.dispatcher import Dispatcher
from trainlab.sweeps.reservations import RunReservations
from trainlab.sweeps.local_engine import LocalBackend
from trainlab.sweeps.forkserver import ForkServer
from trainlab.sweeps.slots import Slot, SlotSettings, make_slots, max_concurrent_runs
runs = Path({str(runs)!r})
server = ForkServer(preload=fakes.PRELOAD)
pool = LocalBackend([Slot(1), Slot(1)], server, fakes.WORKS)
jobs = [fakes.job(runs, f"r{{i}}", seconds={seconds}) for i in range(4)]
print([o.status for o in Dispatcher(pool, RunReservations(runs, "group")).run(fakes.alone(jobs))])
"""


@contextmanager
def _started(script: str):
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _wait_for(condition, seconds: float = 15) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


def test_the_last_words_are_the_runs_own_and_not_its_launchers(tmp_path):
    (tmp_path / "log.txt").write_text("trainlab: no such folder\nsubmitit INFO (now) - Exiting\n\n")
    assert classify_exit(2, tmp_path) == ("Refused", "no such folder")


def test_a_run_that_could_not_even_log_is_told_of_a_full_disk(tmp_path, monkeypatch):
    assert classify_exit(1, tmp_path).message == "exit code 1 and no record"
    monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 0))
    assert classify_exit(1, tmp_path).kind == "DiskFull"


@pytest.mark.parametrize("name", ["SIGHUP", "SIGUSR1", "SIGTERM", "SIGINT"])
def test_whatever_asks_to_stop_is_a_request(name):
    number, asked = getattr(signal, name), []
    before = signal.getsignal(number)
    with ShutdownRequests(asked.append) as stop:
        os.kill(os.getpid(), number)
        time.sleep(0)
    assert (stop.stop_signals, asked) == (1, [1]) and signal.getsignal(number) is before


def test_what_was_started_with_nohup_goes_on(monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ShutdownRequests(lambda _: None) as stop:
            os.kill(os.getpid(), signal.SIGHUP)
        assert stop.stop_signals == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_terminal_that_cannot_move_its_cursor_gets_a_line_per_run(tmp_path, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    written = io.StringIO()
    console = Console(force_terminal=True, file=written, width=100)
    plan = fakes.plan(tmp_path, [fakes.job(tmp_path, "r")])
    with SweepDisplay(plan, console) as display:
        display.task_started(plan.tasks[0])
        display.run_ended(Outcome("r", "run r", "finished", seconds=2.0))
    assert written.getvalue() == "[1/1] run r  finished in 2.0 s\n"
