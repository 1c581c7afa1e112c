"""Whether a run's record is of this attempt: one that never ran must not pass for the one before it."""

from dataclasses import dataclass
from pathlib import Path

from trainlab.runs.result import RESULT_FILE


@dataclass(frozen=True)
class RecordMark:
    """The record in a folder at one moment, or that there was none.

    Records are written beside and renamed, so one that was written since is another file with another time.
    """

    file: tuple[int, ...] | None

    @classmethod
    def of(cls, folder: Path) -> "RecordMark":
        """The record as it is now."""
        try:
            stat = (folder / RESULT_FILE).stat()
        except OSError:
            return cls(None)
        return cls((stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size))

    def is_still_there(self, folder: Path) -> bool:
        """Whether the record is the one of that moment: nothing has been written or removed since."""
        return self == self.of(folder)
