"""A sweep, or a claim, is a list of run ids under a name: `<runs>/sweeps/<group>.json`."""

import json
import logging
import re
from collections.abc import Iterable
from pathlib import Path

from trainlab.errors import RequestError, unknown_name
from trainlab.runs.locks import LockHeldError, hold_lock
from trainlab.runs.safe_files import read_bounded, write_atomically

log = logging.getLogger(__name__)

GROUPS_FOLDER = "sweeps"
GENERATED_PREFIXES = ("claim-", "prove-")
"""Beginnings of the groups that `trainlab claims run` and `trainlab explain --prove` make."""


def group_file(root: Path | str, group: str) -> Path:
    """Where a group's list lies. Raises RequestError for a name that cannot be a file's on every system."""
    if not re.fullmatch(r"\w[^/\\:*?\"<>|\x00-\x1f]{0,199}", group) or group[-1] in ". ":
        raise RequestError(
            f"group {group!r} cannot be a file name: expected up to 200 characters, first a letter or digit, "
            'none of / \\ : * ? " < > |'
        )
    return Path(root) / GROUPS_FOLDER / f"{group}.json"


def add_to_group(root: Path | str, group: str, run_ids: Iterable[str]) -> list[str]:
    """Add runs to a group, made where it is new, and return its whole list in order, each run once.

    Two sweeps may add at the same time. Raises RequestError where nothing can be written.
    """
    path = group_file(root, group)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with hold_lock(path.parent / ".lock", timeout_seconds=10):
            before = _read_run_ids(path) if path.exists() else []
            merged = list(dict.fromkeys([*before, *run_ids]))
            if merged != before:
                write_atomically(path, json.dumps(merged, indent=0) + "\n")
    except LockHeldError as holder:
        raise RequestError(f"cannot write the sweep {path}: it is locked by {holder}") from None
    except OSError as error:
        raise RequestError(
            f"cannot write the sweep {path}: {error.strerror or error}; "
            "choose a folder that can be written with paths.runs=FOLDER"
        ) from error
    return merged


def read_group(root: Path | str, group: str) -> list[str]:
    """The run ids of a group. Raises RequestError for one that does not exist or cannot be read."""
    path = group_file(root, group)
    if not path.is_file():
        raise unknown_name("sweep", group, groups(root))
    return _read_run_ids(path)


def groups(root: Path | str) -> list[str]:
    """The names of all groups, sorted."""
    lists = (Path(root) / GROUPS_FOLDER).glob("*.json")
    return sorted(path.stem for path in lists if path.stem[0] != "." and path.is_file())


def read_groups(root: Path | str) -> dict[str, list[str]]:
    """All groups with their run ids; one whose list cannot be read is named in the log and left out."""
    by_name: dict[str, list[str]] = {}
    for name in groups(root):
        try:
            by_name[name] = read_group(root, name)
        except RequestError as error:
            log.warning("skipped %s", error)
    return by_name


def _read_run_ids(path: Path) -> list[str]:
    try:
        run_ids = json.loads(read_bounded(path))
    except (OSError, ValueError, RecursionError) as error:
        raise RequestError(
            f"the sweep's list {path} cannot be read ({error}); remove it and start again"
        ) from error
    if not isinstance(run_ids, list) or not all(isinstance(item, str) for item in run_ids):
        raise RequestError(f"the sweep's list {path} is not a list of run ids; remove it and start again")
    return run_ids
