"""The folders that the app reads: passed to the server once, read by every page."""

import sys
from dataclasses import dataclass
from pathlib import Path

RUNS_OPTION, EXPERIMENTS_OPTION = "--runs", "--experiments"


@dataclass(frozen=True)
class AppPaths:
    """The folder of runs, and the folder of claims (None: where `trainlab claims` looks)."""

    runs: Path
    experiments: Path | None = None

    def arguments(self) -> list[str]:
        """The arguments with which `pages/main.py` is started."""
        experiments = [] if self.experiments is None else [EXPERIMENTS_OPTION, str(self.experiments)]
        return [RUNS_OPTION, str(self.runs), *experiments]


def app_paths() -> AppPaths:
    """The folders that the server was started with; the defaults where there are no arguments."""
    options = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=False))
    experiments = options.get(EXPERIMENTS_OPTION)
    return AppPaths(Path(options.get(RUNS_OPTION, "runs")), Path(experiments) if experiments else None)
