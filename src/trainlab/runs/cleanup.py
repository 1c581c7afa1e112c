"""Keeping the runs folder in order: what it holds, how large it is, what can be removed."""

import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import polars as pl

from trainlab.errors import RequestError, unknown_name
from trainlab.runs import index
from trainlab.runs.frozen_settings import read_settings
from trainlab.runs.resolve_runs import is_run_folder, resolve_many, run_folder_names
from trainlab.runs.result import RESULT_FILE, STATUSES, CorruptRunError, read_result
from trainlab.runs.run_folder import RunFolder, RunLockedError, is_run_locked
from trainlab.runs.run_table import run_statuses

_SIZE_SCHEMA = {"run_id": pl.String, "bytes": pl.Int64, "checkpoint_bytes": pl.Int64, "wandb_bytes": pl.Int64}


def select_runs(root: Path | str, texts: Iterable[str] = (), status: Iterable[str] = ()) -> list[Path]:
    """The run folders named by `texts` (all, where there are none), of the given statuses (any).

    Broken records count as interrupted. Folders that hold no run are never among them.
    Raises RequestError for a name or a status that does not exist.
    """
    root, texts, wanted = Path(root), list(texts), set(status)
    for name in wanted - set(STATUSES):
        raise unknown_name("status", name, STATUSES)
    folders = resolve_many(root, texts) if texts else [root / name for name in run_folder_names(root)]
    folders = [folder for folder in folders if is_run_folder(folder)]
    if not wanted:
        return folders
    status_of: dict[Path, str] = {}
    for parent in dict.fromkeys(folder.parent for folder in folders):
        known = run_statuses(parent, [folder.name for folder in folders if folder.parent == parent])
        status_of |= {parent / run_id: value for run_id, value in known.items()}
    return [folder for folder in folders if status_of[folder] in wanted]


def disk_usage(folders: Iterable[Path]) -> pl.DataFrame:
    """run_id, bytes, and how many of them are checkpoints and W&B files; the largest run first."""
    sizes = [
        (folder.name, _size_bytes(folder), _size_bytes(folder / "checkpoints"), _size_bytes(folder / "wandb"))
        for folder in folders
    ]
    return pl.DataFrame(sizes, schema=_SIZE_SCHEMA, orient="row").sort("bytes", descending=True)


def remove_runs(root: Path | str, folders: Iterable[Path]) -> list[str]:
    """Remove runs of `root` with their lines of the index, and return their ids. Sweeps keep them listed.

    All or none: when a run is locked by another process, or a folder does not lie in `root` or does not prove
    to be a run, nothing is removed. A symbolic link is removed itself; what it points to stays.
    Raises RunLockedError, RequestError.
    """
    root, folders = Path(root), list(folders)
    for folder in folders:
        if folder.parent.resolve() != root.resolve():
            raise RequestError(f"{folder} does not lie in {root}: nothing was removed (--runs says where)")
        if folder.is_symlink():
            continue
        if not is_verified_run(folder):
            raise RequestError(
                f"{folder} holds no run: neither config.yaml nor result.json says run_id: {folder.name}; "
                "nothing was removed"
            )
        if is_run_locked(folder):
            raise RunLockedError(f"run {folder.name} is locked by another process: nothing was removed")
    for folder in folders:
        _remove_run(folder)
    _drop_from_index(root, {folder.name for folder in folders})
    return [folder.name for folder in folders]


def is_verified_run(folder: Path) -> bool:
    """Whether the folder's settings or its record can be read and say that it is the run of its name."""
    try:
        settings = read_settings(folder)
    except CorruptRunError:
        settings = {}
    if settings.get("run_id") == folder.name and isinstance(settings.get("axes"), dict):
        return True
    try:
        return read_result(folder).run_id == folder.name
    except (CorruptRunError, FileNotFoundError):
        return False


def _remove_run(folder: Path) -> None:
    """Remove one run, its record first: if killed halfway, what is left is an unfinished run."""
    try:
        if folder.is_symlink():
            folder.unlink()
            return
        with RunFolder(folder).lock():
            (folder / RESULT_FILE).unlink(missing_ok=True)
            for path in folder.iterdir():
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                elif path.name != ".lock":  # Windows cannot remove an open file
                    path.unlink()
        shutil.rmtree(folder)
    except OSError as error:
        raise RequestError(f"cannot remove {folder}: {error.strerror or error}") from error


def _drop_from_index(root: Path, run_ids: set[str]) -> None:
    entries, _ = index.read_index(root)
    with suppress(OSError):  # lines of removed runs are ignored anyway
        index.rewrite_index(root, [entry for run_id, entry in entries.items() if run_id not in run_ids])


def _size_bytes(folder: Path) -> int:
    """Bytes of all files below; files that disappear meanwhile are not counted."""
    total = 0
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                is_folder = entry.is_dir(follow_symlinks=False)
                total += _size_bytes(Path(entry)) if is_folder else entry.stat(follow_symlinks=False).st_size
    return total
