"""On what a benchmark ran: machine, versions, commit."""

import os
import platform
from pathlib import Path

from benchmarks.workspace import REPOSITORY
from trainlab.process_limits import available_cores
from trainlab.runs.provenance import git_state, versions
from trainlab.sweeps.slots import visible_gpus


def provenance() -> dict[str, object]:
    """{machine, versions, git}; `load` is the machine's load average (1 minute) as the benchmark begins."""
    return {
        "machine": {
            "processor": _processor(),
            "cores": available_cores(),
            "memory_bytes": _memory_bytes(),
            "gpus": len(visible_gpus()),
            "system": f"{platform.system()} {platform.machine()}",
            "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        },
        "versions": versions(),
        "git": git_state(REPOSITORY),
    }


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for text in information.read_text().splitlines():
            if text.startswith("model name"):
                return text.partition(":")[2].strip()
    return platform.processor()


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
