"""One process at a time, also where flock lets everybody in."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from filelock import SoftFileLease

from trainlab.runs import RunFolder, RunLockedError, locks
from trainlab.runs.groups import add_to_group, read_group
from trainlab.runs.locks import LockHeldError, is_lock_held

HOLDER = """
import sys, time
from pathlib import Path
from trainlab.runs.locks import hold_lock
with hold_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read(1)
"""


@pytest.fixture(params=["flock holds", "flock lets everybody in"])
def lock(request, tmp_path, monkeypatch) -> Path:
    if request.param != "flock holds":
        fcntl = pytest.importorskip("fcntl")
        monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    return tmp_path / ".lock"


@pytest.fixture
def other_process(tmp_path):
    """Holds the lock in another process, which never locked anything in this one's sight."""
    started: list[subprocess.Popen] = []

    def hold(path: Path) -> subprocess.Popen:
        command = [sys.executable, "-c", HOLDER, str(path)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        return process

    yield hold
    for process in started:
        process.kill()
        process.communicate()


def test_another_process_is_kept_out_and_named(lock, other_process):
    process = other_process(lock)
    with pytest.raises(LockHeldError, match=f"^process {process.pid} on "), locks.hold_lock(lock, 0.1):
        pass
    assert is_lock_held(lock)
    process.communicate("\n")
    with locks.hold_lock(lock):
        pass
    assert not is_lock_held(lock)


def test_one_that_was_killed_holds_nothing(lock, other_process):
    process = other_process(lock)
    process.kill()
    process.wait()
    assert not is_lock_held(lock)
    with locks.hold_lock(lock):
        assert is_lock_held(lock)


def test_threads_of_one_process_are_kept_apart_too(lock):
    inside, most = [0], [0]

    def work() -> None:
        with locks.hold_lock(lock, timeout_seconds=20):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            time.sleep(0.02)
            inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]


def test_a_run_says_who_works_on_it(lock, other_process):
    folder = RunFolder(lock.parent)
    process = other_process(lock)
    with (
        pytest.raises(RunLockedError, match=f"locked by process {process.pid} on "),
        folder.lock(0.1),
    ):
        pass
    assert folder.status() == "running"


def test_two_sweeps_add_to_one_group(lock):
    adding = [
        threading.Thread(target=add_to_group, args=(lock.parent, "g", [f"{i}"])) for i in range(6)
    ]  # fmt: skip
    for thread in adding:
        thread.start()
    for thread in adding:
        thread.join()
    assert sorted(read_group(lock.parent, "g")) == [f"{i}" for i in range(6)]


# Another machine, whose processes cannot be seen


@pytest.fixture
def of_another_machine(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(locks, "LEASE_SECONDS", 0.4)
    path = tmp_path / ".lock"
    lease = SoftFileLease(f"{path}.owner", lease_duration=0.4)
    lease.acquire()
    text = Path(f"{path}.owner").read_text()
    lease.release()
    lines = ["host=elsewhere" if line.startswith("host=") else line for line in text.splitlines()]
    Path(f"{path}.owner").write_text("\n".join(lines) + "\n")
    return path


def test_a_sign_of_life_from_another_machine_counts_while_it_is_kept_fresh(of_another_machine):
    for _ in range(4):
        with pytest.raises(LockHeldError, match=r"on elsewhere, by .*owner, which counts until"):
            locks.hold_lock(of_another_machine).__enter__()
        time.sleep(0.2)
        os.utime(f"{of_another_machine}.owner")


def test_one_that_is_left_over_is_taken_when_it_was_watched_long_enough(of_another_machine):
    with pytest.raises(LockHeldError):
        locks.hold_lock(of_another_machine).__enter__()
    time.sleep(0.5)
    with locks.hold_lock(of_another_machine):
        pass


def test_who_waits_outlasts_one_that_is_left_over(of_another_machine):
    with locks.hold_lock(of_another_machine, timeout_seconds=0.1):
        pass


def test_a_look_goes_by_the_date(of_another_machine):
    of_another_machine.touch()
    assert is_lock_held(of_another_machine)
    long_ago = time.time() - locks.STALE_SECONDS - 1
    os.utime(f"{of_another_machine}.owner", (long_ago, long_ago))
    assert not is_lock_held(of_another_machine)
