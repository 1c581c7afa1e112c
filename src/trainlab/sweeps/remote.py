"""A run on another machine: settings go there as text, the record comes back as files."""

import json
import math
import os
import time
from collections.abc import Collection, Mapping
from functools import cache
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import yaml

from trainlab.build import trust
from trainlab.runs.atomic import replacing
from trainlab.runs.attempt import RecordMark
from trainlab.runs.record import EARLIER, RunFolder
from trainlab.runs.result import DONE, RESULT_FILE
from trainlab.runs.settings_file import SETTINGS_FILE
from trainlab.sweeps import entry
from trainlab.sweeps.outcome import TIMED_OUT
from trainlab.sweeps.server import WarmServer, kill

Record = Mapping[str, bytes]
"""The files of a run's folder by their relative names."""


def run_there(
    config: str, text: str, work: str | None, own: Collection[str], timeout_seconds: float | None
) -> tuple[int | None, Record]:
    """One run on the machine of the caller: its exit code, and its record where our folders are not seen.

    `work` is None for a run over several devices; `own` tells what in the settings the user said. Each worker
    keeps a warm server between runs. Where our folders are not seen, the sweep cannot see when the run began:
    one longer than `timeout_seconds` is ended here, with TIMED_OUT.
    """
    path = Path(config)
    shared = path.is_file() and path.read_text(encoding="utf-8") == text
    settings = trust.recognized(yaml.safe_load(text), own)
    if not shared:
        path = _settled_here(settings)
    before = RecordMark.of(path.parent)
    place = {k: v for k, v in os.environ.items() if k == "CUDA_VISIBLE_DEVICES"}
    place |= trust.worker_environment(settings)
    server = _server()
    if work is None:
        process, lifeline = server.start(entry.run_devices, path, place)
    else:
        process, lifeline = server.start(entry.run, path, work, place)
    ends = time.monotonic() + (timeout_seconds or math.inf) if not shared else math.inf
    try:
        # Ray's interrupt comes between two waits, not within one
        while not wait([lifeline], timeout=0.2) and time.monotonic() < ends:
            pass
    except KeyboardInterrupt:  # the sweep wants to stop: the run writes a checkpoint first
        process.terminate()
        wait([lifeline])
    if timed_out := not wait([lifeline], timeout=0):
        kill(process)
    process.join()
    return TIMED_OUT if timed_out else process.exitcode, {} if shared else _taken(path.parent, before)


@cache
def _server() -> WarmServer:
    return WarmServer()


def _settled_here(settings: dict[str, Any]) -> Path:
    """The settings in a folder of this machine, with its own places where the sender's do not exist here."""
    for place, variable in trust.PLACES.items():
        if variable in os.environ and not Path(settings["paths"][place]).exists():
            settings["paths"][place] = os.environ[variable]
    folder = RunFolder(Path(settings["paths"]["runs"]) / settings["run_id"])
    folder.write_settings(settings)
    return folder.path / "config.yaml"


def _taken(folder: Path, before: RecordMark) -> Record:
    """The files of the run; without its result where that is of an earlier attempt on this machine."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    taken = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
    taken = {name: content for name, content in taken.items() if not name.startswith(f"{EARLIER}/")}
    if before.is_still_there(folder):
        taken.pop(RESULT_FILE, None)
    return taken


def put_record(folder: Path, record: Record) -> None:
    """Writes a record that came from elsewhere, the result last; settings stay as they were sent.

    Where the run is done here and what came is no result, only its log is written: the record stays.
    """
    names = sorted(set(record) - {SETTINGS_FILE}, key=lambda name: name == RESULT_FILE)
    if RunFolder(folder).status() in DONE and not _is_done(record):
        names = [name for name in names if name == entry.LOG_FILE]
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as beside:
            beside.write_bytes(record[name])


def _is_done(record: Record) -> bool:
    try:
        return json.loads(record[RESULT_FILE])["status"] in DONE
    except (KeyError, ValueError, TypeError):
        return False
