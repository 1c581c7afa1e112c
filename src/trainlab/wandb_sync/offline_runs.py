"""Runs that were tracked offline (`<run>/wandb/offline-run-*/run-<id>.wandb`), and their upload.

W&B's own `wandb sync` uploads them. It ends with 0 whatever happened, and marks a run as uploaded even when
it
gave up on its data: its output and its markers are read together, and such a run is unmarked again, so that
the
next upload takes it up."""

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
"""What W&B puts beside a file, in the place of `.wandb`, once it has uploaded it."""


@dataclass(frozen=True)
class OfflineRun:
    """A run with its offline files, the oldest first: one for each time that it was started."""

    folder: Path
    files: tuple[Path, ...]

    @property
    def run_id(self) -> str:
        """The run's id, which is its folder's name."""
        return self.folder.name

    @property
    def name(self) -> str:
        """What W&B calls it; empty where its settings cannot be read."""
        try:
            return run_name(read_settings(self.folder))
        except (CorruptRunError, KeyError, TypeError):
            return ""

    @property
    def wandb_ids(self) -> tuple[str, ...]:
        """The ids that W&B knows it by: its own, or one of W&B's where the server could not be reached."""
        return tuple(dict.fromkeys(file.stem.removeprefix("run-") for file in self.files))

    @property
    def waiting(self) -> tuple[Path, ...]:
        """The files that have not been uploaded."""
        return tuple(file for file in self.files if not uploaded_marker(file).exists())

    @property
    def is_busy(self) -> bool:
        """Whether it is being trained now, its file not yet whole."""
        return is_run_locked(self.folder)


def uploaded_marker(file: Path) -> Path:
    """Where W&B says that it has uploaded this file."""
    return file.with_suffix(UPLOADED_SUFFIX)


def find_offline_runs(folders: Iterable[Path]) -> list[OfflineRun]:
    """Those of the run folders that have offline files, in their order."""
    found = [
        # names begin with the time of the start
        OfflineRun(folder, tuple(sorted(folder.glob("wandb/offline-run-*/run-*.wandb"))))
        for folder in folders
    ]
    return [run for run in found if run.files]


BATCH_SIZE = 50
"""Runs a call of `wandb sync`: a command line has its limits."""

SIGNAL_POLL_SECONDS = 0.2

# W&B's own settings: it would go on trying for hours while the network is away. Its fourth retry comes after
# half a minute; what the user has set in the environment stands.
RETRIES = {f"WANDB__{what}_RETRY_MAX": "4" for what in ("GRAPHQL", "FILE_STREAM", "FILE_TRANSFER")}

_ERROR = re.compile(r"(?:wandb: ERROR|Error:) (.+)")
_FINISHED = re.compile(r"wandb: \[\S+/(\S+)\] Finished syncing")


def upload(runs: Sequence[OfflineRun]) -> Generator[tuple[OfflineRun, str | None]]:
    """Uploads what is waiting of these runs, and yields each when it is done: the reason where it failed.

    Closing the generator, or Ctrl-C in it, ends `wandb sync`; what is not marked as uploaded by then is
    uploaded whole the next time.
    """
    for first in range(0, len(runs), BATCH_SIZE):
        yield from _upload_batch(runs[first : first + BATCH_SIZE])


def _upload_batch(runs: Sequence[OfflineRun]) -> Iterator[tuple[OfflineRun, str | None]]:
    heard = SyncOutputParser({run: run.waiting for run in runs})
    with subprocess.Popen(
        [sys.executable, "-m", "wandb", "sync", *(str(file) for run in runs for file in run.waiting)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, encoding="utf-8", errors="replace", env=sync_environment(os.environ),
    ) as process:  # fmt: skip
        try:
            for line in _output_lines(process):
                if done := heard.listen(line):
                    yield done, None
            process.wait()
        finally:
            process.terminate()
            process.wait()
            heard.unmark_failed()
    for run in heard.left:
        yield run, heard.reason(run) if run.waiting else None


def _output_lines(process: subprocess.Popen[str]) -> Iterator[str]:
    """What a process says, line by line, read by a thread: a signal that comes just before a read that blocks
    would be heard with the next line, which may be minutes away."""
    said: Queue[str | None] = Queue()

    def read() -> None:
        for line in process.stdout or ():
            said.put(line)
        said.put(None)

    Thread(target=read, daemon=True).start()
    while True:
        try:
            line = said.get(timeout=SIGNAL_POLL_SECONDS)
        except Empty:
            continue
        if line is None:
            return
        yield line


def sync_environment(own: Mapping[str, str]) -> dict[str, str]:
    """The environment for `wandb sync`: it speaks, is online, gives up after some retries, and has a service
    process of its own, which ends with it."""
    left_out = ("WANDB_MODE", "WANDB_QUIET", "WANDB_SERVICE")
    kept = {name: value for name, value in own.items() if name not in left_out}
    return RETRIES | kept | {"WANDB_SILENT": "false", "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}


class SyncOutputParser:
    """What `wandb sync` has said so far of each run, and the files that it was given of it."""

    def __init__(self, sent: Mapping[OfflineRun, Sequence[Path]]):
        self._sent = sent
        self._open = {wandb_id: run for run in sent for wandb_id in run.wandb_ids}
        self._failed: dict[OfflineRun, str] = {}
        self._error = ""  # of no run in particular
        self._last = ""

    @property
    def left(self) -> list[OfflineRun]:
        """The runs that were not heard of as finished, or that failed."""
        return list(dict.fromkeys(self._open.values()))

    def listen(self, line: str) -> OfflineRun | None:
        """Takes in a line; returns the run that it says is uploaded, where that is so."""
        if finished := _FINISHED.match(line):
            return self._close(finished[1])
        if error := _ERROR.match(line):
            says = re.sub(r"^\[\S+\] ", "", error[1].strip()).partition(". ")[0]
            named = next((run for wandb_id, run in self._open.items() if wandb_id in line), None)
            if named is None:
                self._error = self._error or says
            else:
                self._failed.setdefault(named, says)
        self._last = line.strip() or self._last
        return None

    def _close(self, wandb_id: str) -> OfflineRun | None:
        run = self._open.get(wandb_id)
        if run is None or run in self._failed or run.waiting:
            return None
        for wandb_id in run.wandb_ids:
            del self._open[wandb_id]
        return run

    def reason(self, run: OfflineRun) -> str:
        """Why a run was not uploaded."""
        return self._failed.get(run) or self._error or f"wandb sync ended early: {self._last}"

    def unmark_failed(self) -> None:
        """Runs whose data did not arrive are not uploaded, whatever W&B's marker says."""
        for run in self._failed:
            for file in self._sent[run]:
                uploaded_marker(file).unlink(missing_ok=True)
