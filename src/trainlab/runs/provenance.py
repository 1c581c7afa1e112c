"""Which code made a run: versions and the state of git, found without importing any of it."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

PACKAGES = ("trainlab", "torch", "torchvision", "lightning", "torchmetrics", "hydra-core", "numpy", "polars")


def versions() -> dict[str, str]:
    """Versions of Python and of the installed packages that a result depends on; absent ones are left out."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def git_state(folder: Path | str = ".", timeout_seconds: float = 2.0) -> dict[str, str | bool | None]:
    """{commit, dirty} of the work tree at `folder`; both None without git, a commit, or an answer in time.

    Files that git does not track do not make a tree dirty: runs write them.
    """
    command = ["git", "status", "--porcelain=v2", "--branch", "--untracked-files=no"]
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}  # many runs ask at once; none may hold up another
    try:
        answer = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout_seconds
        )
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": None}
    lines = answer.stdout.splitlines()
    commit = next((line.split()[-1] for line in lines if line.startswith("# branch.oid")), "(initial)")
    if answer.returncode != 0 or commit == "(initial)":
        return {"commit": None, "dirty": None}
    return {"commit": commit, "dirty": any(not line.startswith("#") for line in lines)}
