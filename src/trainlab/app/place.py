"""Which folders the app looks at: given on the command line once, asked for by every page."""

import sys
from dataclasses import dataclass
from pathlib import Path

RUNS, EXPERIMENTS = "--runs", "--experiments"


@dataclass(frozen=True)
class Place:
    """The folder of runs, and the folder of claims (None: where `trainlab claims` looks)."""

    runs: Path
    experiments: Path | None = None

    def arguments(self) -> list[str]:
        """The place as arguments of `pages/main.py`."""
        given = [] if self.experiments is None else [EXPERIMENTS, str(self.experiments)]
        return [RUNS, str(self.runs), *given]


def place() -> Place:
    """The place that the server was started with; `runs` and the usual claims where nothing was said."""
    given = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=False))
    experiments = given.get(EXPERIMENTS)
    return Place(Path(given.get(RUNS, "runs")), Path(experiments) if experiments else None)
