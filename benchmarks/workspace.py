"""Where a benchmark works: a temporary folder for runs and caches, and the data that it reads."""

import os
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Skipped

REPOSITORY = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Workspace:
    """`quick` is for trying the harness out: its figures mean nothing."""

    folder: Path
    quick: bool

    @property
    def data(self) -> Path:
        """The folder of the real data: TRAINLAB_DATA, or ../shared/data beside the checkout."""
        return Path(os.environ.get("TRAINLAB_DATA") or REPOSITORY.parent / "shared" / "data").resolve()

    @property
    def log(self) -> Path:
        """What all processes of the benchmark print."""
        return self.folder / "log.txt"

    def need(self, name: str) -> None:
        """Raises Skipped where a data set (`mnist`, `cifar10`) is not there."""
        from trainlab.config import compose, identify
        from trainlab.errors import RequestError

        if not self.data.is_dir():
            raise Skipped(f"no data at {self.data}: set TRAINLAB_DATA")
        try:
            identify(compose([f"data={name}", *self.paths()]))
        except RequestError as error:
            raise Skipped(f"data={name}: {error}") from None

    def paths(self, runs: str = "runs") -> list[str]:
        """Overrides: the real data, and all that is written in the temporary folder."""
        return [
            f"paths.data={self.data}",
            f"paths.cache={self.folder / 'cache'}",
            f"paths.runs={self.folder / runs}",
        ]
