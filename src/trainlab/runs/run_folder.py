"""One run's folder: the lock, the frozen settings, the tables, the checkpoints, and the result, written
last."""

import dataclasses
import shutil
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import polars as pl
import yaml

from trainlab.errors import RequestError
from trainlab.runs import index, tables_on_disk
from trainlab.runs.frozen_settings import SETTINGS_FILE, read_settings, settings_yaml
from trainlab.runs.locks import LockHeldError, hold_lock, is_lock_held
from trainlab.runs.result import DONE_STATUSES, RESULT_FILE, CorruptRunError, Result, read_result
from trainlab.runs.safe_files import write_atomically
from trainlab.settings import RunSettings, Settings

LOCK_FILE = ".lock"
_TABLES = (tables_on_disk.METRICS, tables_on_disk.SIGNALS, tables_on_disk.CONFUSION)
OWN_LOOP = "own_loop"
"""The key in the settings that is true of a loop that `trainlab.watch` has recorded."""

EARLIER_FOLDER = "earlier"
"""Where the record of a run that is done lies while the run is done anew."""


class RunLockedError(RequestError):
    """Another process holds the lock of this run."""


class RunFolder:
    """`<runs>/<run_id>/`. Nothing is written before a method that says so is called.

    A process that works on the run does so inside `with folder.lock():`, calls `begin`, appends to the logs,
    and ends with `finish`.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._written: Mapping | None = None

    @property
    def run_id(self) -> str:
        """The run's name, which is the folder's."""
        return self.path.name

    @property
    def checkpoints(self) -> Path:
        """Where last.ckpt and best.ckpt lie."""
        return self.path / "checkpoints"

    def create(self) -> "RunFolder":
        """Make the folder. Raises RequestError where nothing can be written."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._cannot_write(error) from error
        return self

    @contextmanager
    def lock(self, timeout_seconds: float = 0.5) -> Generator["RunFolder"]:
        """Lock the run for this process. The lock is released when the process ends, however it ends.

        Raises RunLockedError when another process still holds it after `timeout_seconds` (reading the status
        locks it for a moment, so a short wait is right), RequestError where nothing can be written.
        """
        self.create()
        with ExitStack() as held:
            try:
                held.enter_context(hold_lock(self.path / LOCK_FILE, timeout_seconds))
            except LockHeldError as holder:
                raise RunLockedError(f"run {self.run_id} is locked by {holder} ({self.path})") from None
            except OSError as error:
                raise self._cannot_write(error) from error
            yield self

    def begin(self, resumed_step: int | None = None) -> None:
        """Prepare the folder for a new attempt: the run is unfinished from here on.

        With `resumed_step`, what was recorded up to that step stays; without, the run starts from nothing.
        Checkpoints of an earlier attempt are deleted, so that no later resume mixes the two. The record of
        a run that was finished is kept in `earlier/` until there is a new result (`finish`).
        """
        before = self._readable_result()
        if before is not None and before.status in DONE_STATUSES and resumed_step is None:
            self._set_aside_record()
        (self.path / RESULT_FILE).unlink(missing_ok=True)
        tables_on_disk.delete_table(self.path, tables_on_disk.CONFUSION)
        for table in (tables_on_disk.METRICS, tables_on_disk.SIGNALS):
            if resumed_step is None:
                tables_on_disk.delete_table(self.path, table)
            else:
                tables_on_disk.truncate_after(self.path, table, resumed_step)
        if resumed_step is None:
            _remove_folder(self.checkpoints)

    def write_settings(self, settings: RunSettings | Mapping) -> None:
        """Freeze the settings into config.yaml. Raises RequestError where nothing can be written."""
        try:
            write_atomically(self.create().path / SETTINGS_FILE, settings_yaml(settings))
        except yaml.YAMLError as error:
            raise RequestError(f"settings must be plain values: {error}") from error
        except OSError as error:
            raise self._cannot_write(error) from error
        self._written = settings.to_plain() if isinstance(settings, RunSettings) else settings

    def settings(self) -> RunSettings:
        """The frozen settings, untrusted. Raises CorruptRunError where they are incomplete, or of a loop that
        `trainlab.watch` has recorded, which no settings describe."""
        record = read_settings(self.path)
        if record.get(OWN_LOOP) is True:
            raise CorruptRunError(
                self.path, "a loop of one's own, watched: it has no settings to build it from"
            )
        try:
            return RunSettings.from_record(record, SETTINGS_FILE)
        except RequestError as error:
            raise CorruptRunError(self.path, str(error)) from None

    def metrics_log(self) -> tables_on_disk.RowLog:
        """The log of (step, epoch, name, value) rows."""
        return tables_on_disk.RowLog(self.path, tables_on_disk.METRICS)

    def signals_log(self) -> tables_on_disk.RowLog:
        """The log of (step, layer, quantity, value) rows."""
        return tables_on_disk.RowLog(self.path, tables_on_disk.SIGNALS)

    def write_confusion(self, counts_KK: Sequence[Sequence[int]]) -> None:
        """Write the confusion matrix: rows are true classes, columns predicted ones."""
        cells = [
            (true, predicted, count)
            for true, row in enumerate(counts_KK)
            for predicted, count in enumerate(row)
        ]
        table = pl.DataFrame(cells, schema=tables_on_disk.CONFUSION.columns, orient="row")
        tables_on_disk.write_table(self.path, tables_on_disk.CONFUSION, table)

    def finish(self, result: Result) -> None:
        """Turn the logs (closed before) into parquet and write `result.json`, last.

        An existing result is never overwritten: only `begin`, which starts the run anew, sets it aside. Where
        the new attempt fails or is pruned, the record that was set aside is restored.

        Raises OSError (disk full, …; the run is then unfinished), ValueError for the result of another run,
        and for a run that is finished or diverged already.
        """
        if result.run_id != self.run_id:
            raise ValueError(f"result of run {result.run_id} in the folder of run {self.run_id}")
        before = self._readable_result()
        if before is not None and before.status in DONE_STATUSES:
            raise ValueError(f"run {self.run_id} is {before.status} already: its result is not overwritten")
        if result.status not in (*DONE_STATUSES, "interrupted") and self.has_earlier():
            self._restore_earlier()
            return
        tables_on_disk.lines_to_parquet(self.path, tables_on_disk.METRICS)
        tables_on_disk.lines_to_parquet(self.path, tables_on_disk.SIGNALS)
        result.write(self.path)
        index.append_result(self.path, result, self._written)
        if result.status in DONE_STATUSES:
            with suppress(OSError):  # it only takes space
                _remove_folder(self.path / EARLIER_FOLDER)

    def add_warnings(self, warnings: Sequence[str]) -> None:
        """Add warnings to the recorded result. Raises OSError, CorruptRunError."""
        result = read_result(self.path)
        lines = tuple(dict.fromkeys([*result.warnings, *warnings]))
        result = dataclasses.replace(result, warnings=lines)
        result.write(self.path)
        index.append_result(self.path, result, self._written)

    def result(self) -> Result | None:
        """The recorded result, None for an unfinished run. Raises CorruptRunError."""
        try:
            return read_result(self.path)
        except FileNotFoundError:
            return None

    def _set_aside_record(self) -> None:
        aside = self.path / EARLIER_FOLDER
        _remove_folder(aside)
        aside.mkdir()
        for part in reversed(
            self._record_files()
        ):  # the result first: cut short, the run counts as unfinished
            part.rename(aside / part.name)

    def _restore_earlier(self) -> None:
        aside = self.path / EARLIER_FOLDER
        for table in _TABLES:
            tables_on_disk.delete_table(self.path, table)
        _remove_folder(self.checkpoints)
        for part in RunFolder(aside)._record_files():
            part.rename(self.path / part.name)
        with suppress(OSError):
            _remove_folder(aside)

    def has_earlier(self) -> bool:
        """Whether an earlier record of this very run was set aside, not behind a symbolic link."""
        aside = self.path / EARLIER_FOLDER
        if aside.is_symlink() or (aside / RESULT_FILE).is_symlink():
            return False
        try:
            return read_result(aside, of=self.run_id).status in DONE_STATUSES
        except (FileNotFoundError, CorruptRunError):
            return False

    def _record_files(self) -> list[Path]:
        """The parts of a finished run's record that exist: tables, checkpoints, and its result last."""
        tables = [file(self.path) for table in _TABLES for file in (table.lines, table.parquet)]
        return [part for part in (*tables, self.checkpoints, self.path / RESULT_FILE) if part.exists()]

    def _readable_result(self) -> Result | None:
        try:
            return self.result()
        except CorruptRunError:
            return None

    def is_locked(self) -> bool:
        """Whether a process holds the run's lock now."""
        return is_run_locked(self.path)

    def status(self) -> str:
        """The status: see the function `status`."""
        return run_status(self.path)

    def _cannot_write(self, error: OSError) -> RequestError:
        return RequestError(
            f"cannot write the run {self.path}: {error.strerror or error}; "
            "choose a folder that can be written with paths.runs=FOLDER"
        )


def _remove_folder(path: Path) -> None:
    """Removes a folder; a symbolic link or a file in its place is unlinked. Raises OSError."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


def is_run_locked(path: Path) -> bool:
    """Whether a process holds the lock of the run folder at `path`."""
    return is_lock_held(path / LOCK_FILE)


def run_status(path: Path) -> str:
    """The status that a sweep acts on: finished, diverged, failed, interrupted, pruned, running or absent.

    Never raises. A corrupt record counts as none: such a run is interrupted.
    """
    status = _recorded_status(path) or unfinished_status(path)
    if (
        status == "interrupted"
    ):  # or it ended between the two reads: the record is written before the lock is released
        return _recorded_status(path) or status
    return status


class RunStatuses:
    """The statuses of many runs, each as `run_status` has it: from the index where its line is current."""

    def __init__(self) -> None:
        self._indexes: dict[Path, index.IndexLookup] = {}

    def get(self, path: Path) -> str:
        """The status of the run folder at `path`; never raises."""
        root = path.parent
        if root not in self._indexes:
            self._indexes[root] = index.IndexLookup(root)
        with suppress(OSError):
            stat = (path / RESULT_FILE).stat()
            entry = self._indexes[root].get(path.name)
            if entry is not None and index.is_current(entry, stat):
                return str(entry["row"]["status"])
        return run_status(path)


def _recorded_status(path: Path) -> str | None:
    try:
        return read_result(path).status
    except (FileNotFoundError, CorruptRunError):
        return None


def unfinished_status(path: Path) -> str:
    """The status of a folder without a record: running, interrupted or absent."""
    if not path.is_dir():
        return "absent"
    if is_run_locked(path):
        return "running"
    written = any((path / name).exists() for name in (SETTINGS_FILE, RESULT_FILE, LOCK_FILE))
    return "interrupted" if written else "absent"


def checkpoint_path(folder: Path, which: str) -> Path:
    """`last.ckpt` or `best.ckpt` of a run.

    Raises:
        RequestError: the run has no such checkpoint; names those that it has.
    """
    path = folder / "checkpoints" / f"{which}.ckpt"
    if not path.exists():
        there = sorted(p.stem for p in path.parent.glob("*.ckpt")) or ["none"]
        raise RequestError(f"run {folder.name} has no checkpoint '{which}'; available: {', '.join(there)}")
    return path


RERUN_OVERRIDE = "sweep.rerun=true"
_WANTED_CHECKPOINTS = {"last": ("last",), "best": ("best",), "both": ("last", "best"), "none": ()}


def missing_artifacts(settings: Settings, folder: Path) -> list[str]:
    """What a run of these settings keeps, and its folder does not hold: signals, last.ckpt, best.ckpt."""
    missing: list[str] = []
    tables = (tables_on_disk.SIGNALS.parquet(folder), tables_on_disk.SIGNALS.lines(folder))
    if settings.signals is not False and not any(path.exists() for path in tables):
        missing.append("signals")
    for name in _WANTED_CHECKPOINTS[settings.checkpoint]:
        if not (folder / "checkpoints" / f"{name}.ckpt").exists():
            missing.append(f"{name}.ckpt")
    return missing


def rerun_hint(missing: Iterable[str]) -> str:
    """`without signals, which sweep.rerun=true trains it again for`; or how to anyway."""
    named = ", ".join(missing)
    return (
        f"without {named}, which {RERUN_OVERRIDE} trains it again for"
        if named
        else f"{RERUN_OVERRIDE} trains it again"
    )
