"""Runs that need no torch: what each does is in its settings, what has happened is in a log beside."""

import json
import os
import signal
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import yaml

from trainlab.runs.result import Result
from trainlab.runs.run_folder import RunFolder, RunLockedError
from trainlab.runs.safe_files import append_atomically
from trainlab.settings import RunSettings, Settings
from trainlab.sweeps.plan import Job, Plan, Task
from trainlab.sweeps.process_main import Works
from trainlab.training.out_of_memory import OUT_OF_MEMORY_STACK

PRELOAD = ("sweep_fakes",)


@cache
def _composed() -> dict:
    from trainlab.config import compose

    return compose(["data=digits", "trainer=cpu", "logger=none"]).to_plain()


def job(
    runs: Path, run_id: str, do: str = "finish", seconds: float = 0.05, devices: int = 1, **model: object
) -> Job:
    """A run that does as its model says, which is none."""
    values = _composed() | {
        "model": {"_target_": None, "do": do, "seconds": seconds, **model},
        "trainer": _composed()["trainer"] | {"devices": devices, "threads": None, "progress_bar": True},
        "paths": {"data": str(runs.parent), "cache": str(runs.parent), "runs": str(runs)},
    }
    settings = RunSettings.identified(Settings.composed(values), run_id, "f", "fake", {})
    return Job(run_id, f"run {run_id}", (), "absent", settings.to_json())


def plan(runs: Path, jobs: list[Job]) -> Plan:
    return Plan("group", runs, ("seed",), jobs, [j.run_id for j in jobs], jobs)


def alone(jobs: Iterable[Job]) -> list[Task]:
    """Each a task of its own."""
    return [Task((each,)) for each in jobs]


def work(configs: Sequence[Path]) -> int:
    [config] = configs
    settings = yaml.safe_load(config.read_text())
    do, seconds = settings["model"]["do"], settings["model"]["seconds"]
    folder = RunFolder(config.parent)
    runs = Path(settings["paths"]["runs"])
    stop: list[int] = []
    if do == "refuse":
        print("trainlab: as it was told")
        return 2
    if do == "leave":
        return 0  # a class of the user's that calls sys.exit()
    signal.signal(signal.SIGTERM, lambda number, _: stop.append(number))
    try:
        with folder.lock():
            folder.begin()
            note(runs, "started", settings)
            if do == "raise":
                raise ValueError("as it was told")
            if do == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if do == "exit":
                print("the last words")
                return 1
            until = time.monotonic() + seconds
            while time.monotonic() < until and not stop:
                time.sleep(0.01)
            status = "interrupted" if stop else "finished"
            folder.finish(Result(run_id=folder.run_id, status=status, metrics={"test/acc": 0.5}))
            note(runs, status, settings)
            return 1 if stop else 0
    except RunLockedError:
        return 2
    except ValueError as error:
        with folder.lock():
            error_of = {"type": "ValueError", "message": str(error), "frames": []}
            folder.finish(Result(run_id=folder.run_id, status="failed", error=error_of))
        return 1


def work_stack(configs: Sequence[Path]) -> int:
    """The runs of a stack, which end one after the other; what one of them does to the process, it does."""
    runs = [yaml.safe_load(config.read_text()) for config in configs]
    folders = [RunFolder(config.parent) for config in configs]
    root, stop = Path(runs[0]["paths"]["runs"]), []
    signal.signal(signal.SIGTERM, lambda number, _: stop.append(number))
    with ExitStack() as locks:
        try:
            for folder in folders:
                locks.enter_context(folder.lock())
        except RunLockedError:
            return 2
        note_stack(root, runs)
        if any(settings["model"]["do"].startswith("refuse") for settings in runs):
            print("trainlab: no stack of these")
            return 2
        for folder, settings in zip(folders, runs, strict=True):
            folder.begin()
            note(root, "started", settings)
        if len(runs) > min(int(settings["model"].get("most", len(runs))) for settings in runs):
            for folder in folders:  # as a run writes it that raises
                error_of = {"type": "OutOfMemoryError", "message": f"{len(runs)} runs", "frames": []}
                folder.finish(Result(run_id=folder.run_id, status="failed", error=error_of))
            print(f"OutOfMemoryError: no room for {len(runs)}")
            return OUT_OF_MEMORY_STACK
        since = time.monotonic()
        for folder, settings in zip(folders, runs, strict=True):
            do, seconds = settings["model"]["do"], settings["model"]["seconds"]
            while time.monotonic() < since + seconds and not stop:
                time.sleep(0.01)
            if do == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if do == "exit":
                print("the last words")
                return 1
            status = "interrupted" if stop else "diverged" if do == "diverge" else "finished"
            folder.finish(Result(run_id=folder.run_id, status=status, metrics={"test/acc": 0.5}))
            note(root, status, settings)
        return 1 if stop else 0


WORKS = Works(work, work_stack)


def answer(how: str) -> int:
    if how == "memory":
        raise ImportError("numpy is in pieces") from MemoryError("nothing left")
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    return 42


def note_stack(runs: Path, settings: Sequence[dict]) -> None:
    ids = [of_run["run_id"] for of_run in settings]
    append_atomically(runs / "events.log", json.dumps({"what": "stack", "run_ids": ids}) + "\n")


def note(runs: Path, what: str, settings: dict) -> None:
    seen = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    line = {"what": what, "run_id": settings["run_id"], "time": time.time(), "pid": os.getpid(), "gpu": seen}
    append_atomically(
        runs / "events.log", json.dumps({**line, "threads": settings["trainer"]["threads"]}) + "\n"
    )


def events(runs: Path, what: str) -> list[dict]:
    log = runs / "events.log"
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return [line for line in lines if line["what"] == what]
