"""Which runs a user means by RUNS: a sweep's name, the beginning of a run id, or a folder."""

import os
from collections.abc import Iterable
from pathlib import Path

from trainlab.errors import RequestError, closest_name
from trainlab.runs.frozen_settings import SETTINGS_FILE
from trainlab.runs.groups import GROUPS_FOLDER, groups, read_group
from trainlab.runs.result import RESULT_FILE
from trainlab.runs.run_folder import LOCK_FILE
from trainlab.units import pluralize

_RUN_FILES = (RESULT_FILE, SETTINGS_FILE, LOCK_FILE)
_MAX_LISTED = 8


def is_run_folder(folder: Path) -> bool:
    """Whether a folder holds a run: one of the files that only a run has."""
    return any((folder / name).exists() for name in _RUN_FILES)


def run_folder_names(root: Path) -> list[str]:
    """The names of all folders that may be runs, sorted. Raises RequestError where `root` cannot be read."""
    try:
        with os.scandir(root) as entries:
            return sorted(
                entry.name
                for entry in entries
                if entry.name[0] != "." and entry.name != GROUPS_FOLDER and _is_folder(entry)
            )
    except OSError as error:
        raise RequestError(
            f"no runs in {root}: {error.strerror}; another folder: --runs FOLDER, or TRAINLAB_RUNS"
        ) from error


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def resolve_runs(root: Path | str, text: str) -> list[Path]:
    """The run folders that `text` names.

    An exact id, a sweep, the beginning of an id, a run folder, a folder of runs, in this order. Runs of a
    sweep that have no folder (yet) are left out.

    Raises RequestError when nothing fits (with the closest name), or when several ids begin so (listed).
    """
    root = Path(root)
    names = run_folder_names(root) if root.is_dir() else []
    if text in names:
        return [root / text]
    if text in groups(root):
        present = set(names)
        return [root / run_id for run_id in read_group(root, text) if run_id in present]
    fitting = [name for name in names if text and name.startswith(text)]
    if len(fitting) == 1:
        return [root / fitting[0]]
    if fitting:
        shown = ", ".join(fitting[:_MAX_LISTED]) + (", …" if len(fitting) > _MAX_LISTED else "")
        raise RequestError(f"run '{text}' is ambiguous, {len(fitting)} runs begin so: {shown}")
    return _resolve_path(root, text, names)


def resolve_many(root: Path | str, texts: Iterable[str]) -> list[Path]:
    """The folders of several, each once, in order. Raises RequestError as `resolve` does."""
    known = set(run_folder_names(Path(root))) if Path(root).is_dir() else set()
    folders: dict[Path, None] = {}
    for text in texts:
        folders |= dict.fromkeys([Path(root) / text] if text in known else resolve_runs(root, text))
    return list(folders)


def _is_existing_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name that is too long
        return False


def _resolve_path(root: Path, text: str, names: list[str]) -> list[Path]:
    path = Path(text)
    if text and _is_existing_folder(path):
        if is_run_folder(path):
            return [path.resolve()]
        inside = [path.resolve() / name for name in run_folder_names(path) if is_run_folder(path / name)]
        if inside:
            return inside
        raise RequestError(f"no runs in the folder '{text}'")
    near = closest_name(text, [*groups(root), *names])
    hint = f"did you mean '{near}'? " if near else ""
    raise RequestError(
        f"no run, sweep or folder '{text}' in {root}: {hint}"
        f"it holds {pluralize(len(names), 'run')}, sweeps: {', '.join(groups(root)) or 'none'}"
    )
