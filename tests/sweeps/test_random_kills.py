"""kill -9 of a run, of the sweep or of the fork server at random moments, until all runs are done."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import sweep_fakes as fakes

from trainlab.runs.run_folder import RunFolder

RUNS = 6

SWEEP = """
import json, os, sys
from pathlib import Path
sys.path.insert(0, {here!r})
import sweep_fakes as fakes
from trainlab.settings import SweepSettings
from trainlab.sweeps.dispatcher import Dispatcher
from trainlab.sweeps.reservations import RunReservations
from trainlab.sweeps.plan import is_todo
from trainlab.sweeps.local_engine import LocalBackend
from trainlab.sweeps.forkserver import ForkServer
from trainlab.sweeps.multiprocessing_internals import forkserver_pid
from trainlab.sweeps.slots import Slot
runs = Path({runs!r})
server = ForkServer(preload=fakes.PRELOAD)
server.preload()
(runs / "server.pid").write_text(str(forkserver_pid()))
sweep = SweepSettings(retry_failed=True)
jobs = [fakes.job(runs, f"r{{i}}", seconds=0.2) for i in range({count})]
todo = [j for j in jobs if is_todo(fakes.RunFolder(runs / j.run_id).status(), sweep)]
backend = LocalBackend([Slot(1), Slot(1)], server, fakes.WORKS)
outcomes = Dispatcher(backend, RunReservations(runs, "group")).run(fakes.alone(todo))
sys.exit(0 if all(o.status == "finished" for o in outcomes) else 1)
"""


def start_sweep(runs: Path) -> subprocess.Popen:
    script = SWEEP.format(here=str(Path(__file__).parent), runs=str(runs), count=RUNS)
    return subprocess.Popen([sys.executable, "-c", script])


def kill_something(runs: Path, sweep: subprocess.Popen, chance: random.Random) -> str:
    """SIGKILL to one of the three; which, and when, is left to chance."""
    time.sleep(chance.uniform(0.1, 1.5))
    started = [e["pid"] for e in fakes.events(runs, "started")]
    victim = chance.choice(["run", "sweep", "server"])
    pid = {
        "run": started[-1] if started else 0,
        "sweep": sweep.pid,
        "server": int((runs / "server.pid").read_text()) if (runs / "server.pid").exists() else 0,
    }[victim]
    if pid and _is_ours(pid):
        os.kill(pid, signal.SIGKILL)
    return victim


def _is_ours(pid: int) -> bool:
    """Whether the number still belongs to a Python process: the system gives numbers out again."""
    try:
        return b"python" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def survive(runs: Path, seed: int) -> None:
    runs.mkdir()
    chance = random.Random(seed)
    for _ in range(20):
        sweep = start_sweep(runs)
        if sweep.poll() is None and chance.random() < 0.7:
            kill_something(runs, sweep, chance)
        if sweep.wait(timeout=60) == 0:
            break
    status = {f"r{i}": RunFolder(runs / f"r{i}").status() for i in range(RUNS)}
    assert set(status.values()) == {"finished"}, status  # nothing lost, no half record in the way
    finished = [e["run_id"] for e in fakes.events(runs, "finished")]
    assert len(finished) == len(set(finished)), finished  # nothing finished is run again


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc to be sure whom it kills")
@pytest.mark.parametrize("seed", range(5))
def test_random_kills(tmp_path, seed):
    survive(tmp_path / "runs", seed)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc to be sure whom it kills")
@pytest.mark.parametrize("seed", range(5, 55))
def test_random_kills_fifty_times(tmp_path, seed):
    survive(tmp_path / "runs", seed)
