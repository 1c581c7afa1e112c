"""Runs that were tracked without a network: `<run>/wandb/offline-run-*/run-<id>.wandb`."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from trainlab.runs.identity import run_name
from trainlab.runs.record import is_locked
from trainlab.runs.result import BrokenRun
from trainlab.runs.settings_file import read_settings

UPLOADED = ".wandb.synced"
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
        except (BrokenRun, KeyError, TypeError):
            return ""

    @property
    def wandb_ids(self) -> tuple[str, ...]:
        """The ids that W&B knows it by: its own, or one of W&B's where the server could not be reached."""
        return tuple(dict.fromkeys(file.stem.removeprefix("run-") for file in self.files))

    @property
    def waiting(self) -> tuple[Path, ...]:
        """The files that have not been uploaded."""
        return tuple(file for file in self.files if not marker(file).exists())

    @property
    def is_busy(self) -> bool:
        """Whether it is being trained now, its file not yet whole."""
        return is_locked(self.folder)


def marker(file: Path) -> Path:
    """Where W&B says that it has uploaded this file."""
    return file.with_suffix(UPLOADED)


def offline_runs(folders: Iterable[Path]) -> list[OfflineRun]:
    """Those of the run folders that have offline files, in their order."""
    found = [
        # names begin with the time of the start
        OfflineRun(folder, tuple(sorted(folder.glob("wandb/offline-run-*/run-*.wandb"))))
        for folder in folders
    ]
    return [run for run in found if run.files]
