"""Runs that were tracked offline (`<run>/wandb/offline-run-*/run-<id>.wandb`), and their upload.

W&B's own `wandb sync` uploads them. It ends with 0 whatever happened, and marks a run as uploaded even when
it gave up on its data. So its output and its markers are read together, and such a run is unmarked again: the
next upload tries it once more.
"""

import os
import re
import subprocess
import sys
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from threading import Thread

from trainlab.runs.frozen_settings import read_settings
from trainlab.runs.identity import run_name
from trainlab.runs.result import CorruptRunError
from trainlab.runs.run_folder import is_run_locked

UPLOADED_SUFFIX = ".wandb.synced"
"""The suffix of W&B's marker beside a file that it has uploaded, in place of `.wandb`."""


@dataclass(frozen=True)
class OfflineRun:
    """A run with its offline files, the oldest first: one for each start of the run."""

    folder: Path
    files: tuple[Path, ...]

    @property
    def run_id(self) -> str:
        return self.folder.name

    @property
    def name(self) -> str:
        """Its name on W&B; empty where its settings cannot be read."""
        try:
            settings = read_settings(self.folder)
            return run_name(settings["axes"], settings["seed"])
        except (CorruptRunError, KeyError, TypeError):
            return ""

    @property
    def wandb_ids(self) -> tuple[str, ...]:
        """Its ids on W&B: the run's own, or one of W&B's where the server could not be reached."""
        return tuple(dict.fromkeys(file.stem.removeprefix("run-") for file in self.files))

    @property
    def waiting(self) -> tuple[Path, ...]:
        return tuple(file for file in self.files if not uploaded_marker(file).exists())

    @property
    def is_busy(self) -> bool:
        """Whether it is being trained now, so that its file is not complete."""
        return is_run_locked(self.folder)


def uploaded_marker(file: Path) -> Path:
    """The marker with which W&B records that it has uploaded this file."""
    return file.with_suffix(UPLOADED_SUFFIX)


def find_offline_runs(folders: Iterable[Path]) -> list[OfflineRun]:
    """The run folders that have offline files, in their order."""
    runs = [
        # sorted by start: it is the beginning of the names
        OfflineRun(folder, tuple(sorted(folder.glob("wandb/offline-run-*/run-*.wandb"))))
        for folder in folders
    ]
    return [run for run in runs if run.files]


BATCH_SIZE = 50
"""Runs per call of `wandb sync`, whose command line must not become too long."""

SIGNAL_POLL_SECONDS = 0.2

# Without a network W&B would retry for hours; its fourth retry comes after half a minute. Values that the
# user has set in the environment take precedence.
RETRIES = {f"WANDB__{what}_RETRY_MAX": "4" for what in ("GRAPHQL", "FILE_STREAM", "FILE_TRANSFER")}

_ERROR = re.compile(r"(?:wandb: ERROR|Error:) (.+)")
_FINISHED = re.compile(r"wandb: \[\S+/(\S+)\] Finished syncing")


def upload(runs: Sequence[OfflineRun]) -> Generator[tuple[OfflineRun, str | None]]:
    """Uploads the waiting files of these runs; yields each run when it is done, with the reason of a failure.

    Closing the generator, or Ctrl-C in it, ends `wandb sync`; what is not marked as uploaded by then is
    uploaded from the start the next time.
    """
    for first in range(0, len(runs), BATCH_SIZE):
        yield from _upload_batch(runs[first : first + BATCH_SIZE])


def _upload_batch(runs: Sequence[OfflineRun]) -> Iterator[tuple[OfflineRun, str | None]]:
    parser = SyncOutputParser({run: run.waiting for run in runs})
    with subprocess.Popen(
        [sys.executable, "-m", "wandb", "sync", *(str(file) for run in runs for file in run.waiting)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, encoding="utf-8", errors="replace", env=sync_environment(os.environ),
    ) as process:  # fmt: skip
        try:
            for line in _output_lines(process):
                if uploaded := parser.parse(line):
                    yield uploaded, None
            process.wait()
        finally:
            process.terminate()
            process.wait()
            parser.unmark_failed()
    for run in parser.unfinished:
        yield run, parser.failure(run) if run.waiting else None


def _output_lines(process: subprocess.Popen[str]) -> Iterator[str]:
    """The output of a process, line by line. A thread reads it: a signal that arrives just before a blocking
    read would be handled after the next line, which may take minutes."""
    lines: Queue[str | None] = Queue()

    def read() -> None:
        for line in process.stdout or ():
            lines.put(line)
        lines.put(None)

    Thread(target=read, daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=SIGNAL_POLL_SECONDS)
        except Empty:
            continue
        if line is None:
            return
        yield line


def sync_environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """The environment for `wandb sync`: it prints its progress, is online, gives up after some retries, and
    has a service process of its own, which ends with it."""
    left_out = ("WANDB_MODE", "WANDB_QUIET", "WANDB_SERVICE")
    kept = {name: value for name, value in inherited.items() if name not in left_out}
    return RETRIES | kept | {"WANDB_SILENT": "false", "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}


class SyncOutputParser:
    """Which runs are uploaded and which failed, from the output of `wandb sync`; `sent` are their files."""

    def __init__(self, sent: Mapping[OfflineRun, Sequence[Path]]):
        self._sent = sent
        self._unfinished = {wandb_id: run for run in sent for wandb_id in run.wandb_ids}
        self._failed: dict[OfflineRun, str] = {}
        self._general_error = ""
        self._last_line = ""

    @property
    def unfinished(self) -> list[OfflineRun]:
        """The runs that were not reported as finished, or that failed."""
        return list(dict.fromkeys(self._unfinished.values()))

    def parse(self, line: str) -> OfflineRun | None:
        """Takes the next line; returns the run whose upload it reports, if it does."""
        if finished := _FINISHED.match(line):
            return self._close(finished[1])
        if error := _ERROR.match(line):
            message = re.sub(r"^\[\S+\] ", "", error[1].strip()).partition(". ")[0]
            named = next((run for wandb_id, run in self._unfinished.items() if wandb_id in line), None)
            if named is None:
                self._general_error = self._general_error or message
            else:
                self._failed.setdefault(named, message)
        self._last_line = line.strip() or self._last_line
        return None

    def _close(self, wandb_id: str) -> OfflineRun | None:
        run = self._unfinished.get(wandb_id)
        if run is None or run in self._failed or run.waiting:
            return None
        for wandb_id in run.wandb_ids:
            del self._unfinished[wandb_id]
        return run

    def failure(self, run: OfflineRun) -> str:
        """Why a run was not uploaded."""
        return self._failed.get(run) or self._general_error or f"wandb sync ended early: {self._last_line}"

    def unmark_failed(self) -> None:
        """Removes W&B's markers of uploaded files from runs whose data did not arrive."""
        for run in self._failed:
            for file in self._sent[run]:
                uploaded_marker(file).unlink(missing_ok=True)
