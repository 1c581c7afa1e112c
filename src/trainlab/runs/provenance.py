"""Which code made a run, where, and how it failed: versions and the state of git are found without importing
any of it."""

import importlib.metadata
import json
import os
import platform
import subprocess
import traceback
from functools import cache
from pathlib import Path

from trainlab.json_types import JsonObject
from trainlab.process_limits import available_cores

PACKAGES = ("trainlab", "torch", "torchvision", "lightning", "torchmetrics", "hydra-core", "numpy", "polars")


def versions() -> dict[str, str]:
    """Versions of Python and of the installed packages that a result depends on; absent ones are left out."""
    return dict(_versions())


@cache
def _versions() -> dict[str, str]:
    installed = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            installed[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed


def code_state() -> dict[str, str | bool | None]:
    """{commit, dirty} of the code of this package, as `git_state` of its work tree.

    An installed package is no part of the project that its environment lies in: its commit is the one that it
    was installed from, where the installer has noted it, and else unknown; its version is in `versions`.
    """
    own = git_state(Path(__file__).parents[1], must_track="__init__.py")
    return own if own["commit"] else {"commit": _installed_commit(), "dirty": None}


def git_state(
    folder: Path | str = ".", timeout_seconds: float = 2.0, must_track: str | None = None
) -> dict[str, str | bool | None]:
    """{commit, dirty} of what lies in `folder`; both None without git, a commit, or an answer in time.

    Dirty is what differs in `folder` itself: claims write their pages elsewhere in the same tree. Files that
    git does not track do not make it dirty: runs write them. With `must_track`, both are None where git does
    not track that file of the folder.
    """
    if must_track and not _git(folder, timeout_seconds, "ls-files", "--error-unmatch", "--", must_track):
        return {"commit": None, "dirty": None}
    command = ("status", "--porcelain=v2", "--branch", "--untracked-files=no", "--", ".")
    lines = _git(folder, timeout_seconds, *command).splitlines()
    commit = next((line.split()[-1] for line in lines if line.startswith("# branch.oid")), "(initial)")
    if commit == "(initial)":
        return {"commit": None, "dirty": None}
    return {"commit": commit, "dirty": any(not line.startswith("#") for line in lines)}


def processor_name() -> str:
    """The processor's name, as the system gives it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def describe_machine(device: str, devices: int = 1, index: int | None = None) -> JsonObject:
    """Where a run computes, as it is recorded; `device` is cpu or cuda, `index` which of several cards."""
    import torch

    return {
        "device": device,
        "name": torch.cuda.get_device_name(index) if device == "cuda" else platform.machine(),
        "processor": processor_name(),
        "cores": available_cores(),
        "threads": torch.get_num_threads(),
        "devices": devices,
    }


def describe_error(error: BaseException) -> JsonObject:
    """Type, message and last frames of an exception that ended a run, as it is recorded."""
    import torch

    frames = traceback.extract_tb(error.__traceback__)[-5:]
    # by the name that it has where the system ends a process for want of memory
    kind = "OutOfMemory" if isinstance(error, torch.OutOfMemoryError) else type(error).__name__
    return {
        "type": kind,
        "message": str(error),
        "frames": [f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in frames],
    }


def describe_host(machine: JsonObject) -> str:
    """Processor and cores of the machine that a run's record names; older records do not."""
    if machine.get("processor") is None:
        return f"{machine.get('name') or 'machine'}, processor not recorded"
    return f"{machine['processor']}, {machine.get('cores')} cores"


def describe_commit(git: JsonObject) -> str:
    """The commit of a run's record, in seven digits, and whether the code was changed."""
    commit = git.get("commit")
    return f"{str(commit)[:7]}{' (with changes)' if git.get('dirty') else ''}" if commit else "no commit"


def describe_device(machine: JsonObject) -> str:
    """Device and threads of the run of a record."""
    return f"{machine['device']}, {machine['threads']} thread(s) a run"


def describe_data(data: JsonObject) -> str:
    """The data set of a run's record, and which copy of it."""
    return f"{data['name']}: {data['copy']}"


def _git(folder: Path | str, timeout_seconds: float, *command: str) -> str:
    """The output of a git command in `folder`; empty where it fails, is missing, or takes too long."""
    # many runs call it at once; none may block another
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}
    try:
        answer = subprocess.run(
            ["git", *command], cwd=folder, env=environment, capture_output=True, text=True,
            timeout=timeout_seconds,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout if answer.returncode == 0 else ""


def _installed_commit() -> str | None:
    """The commit of `pip install git+…`, from what the installer leaves beside the package."""
    try:
        noted = importlib.metadata.distribution("trainlab").read_text("direct_url.json")
        return json.loads(noted or "{}").get("vcs_info", {}).get("commit_id")
    except (importlib.metadata.PackageNotFoundError, ValueError, AttributeError):
        return None
