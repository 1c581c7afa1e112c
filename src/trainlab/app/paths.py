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
        """The place as arguments of `pages/main.py`."""
        given = [] if self.experiments is None else [EXPERIMENTS_OPTION, str(self.experiments)]
        return [RUNS_OPTION, str(self.runs), *given]


def app_paths() -> AppPaths:
    """The place that the server was started with; `runs` and the usual claims where nothing was said."""
    given = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=False))
    experiments = given.get(EXPERIMENTS_OPTION)
    return AppPaths(Path(given.get(RUNS_OPTION, "runs")), Path(experiments) if experiments else None)
