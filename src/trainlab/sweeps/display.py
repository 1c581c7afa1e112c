"""What the user sees while a sweep goes, and is told of its data and of what finished runs have not kept.

One live display for the whole sweep on a terminal that can move its cursor; a line per run elsewhere.
"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from trainlab.data.dataset_sources import with_data_paths
from trainlab.data.fingerprint import identify_dataset
from trainlab.runs.result import DONE_STATUSES, CorruptRunError, read_result
from trainlab.runs.run_folder import RERUN_OVERRIDE, missing_artifacts
from trainlab.sweeps.outcome import Outcome
from trainlab.sweeps.plan import Job, Plan, Task
from trainlab.units import format_duration

MAX_SHOWN = 12
REDRAW_SECONDS = 0.25
_COLOURS = {"finished": "green", "diverged": "yellow", "failed": "red", "interrupted": "magenta"}


class SweepDisplay:
    """Shows what runs, what is done, what has failed and how long the rest will take."""

    def __init__(self, plan: Plan, console: Console):
        self._console = console
        self._total = len(plan.todo)
        self._group = plan.group
        self._running: dict[str, tuple[Task, float]] = {}
        self._counts: dict[str, int] = {}
        self._own_seconds: list[float] = []
        self._most_at_once = 1
        self._elsewhere = 0
        self._holders: set[str] = set()
        self._note = ""
        self._drawn = 0.0
        self._live = (
            Live(console=console, auto_refresh=False, transient=True)
            if console.is_terminal and not console.is_dumb_terminal
            else None
        )

    def __enter__(self) -> "SweepDisplay":
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def task_started(self, task: Task) -> None:
        self._running[task.id] = (task, time.monotonic())
        self._most_at_once = max(self._most_at_once, self._runs_under_way)
        self._draw()

    def task_ended(self, task: Task) -> None:
        """Its line goes; how its runs ended is told by theirs."""
        self._running.pop(task.id, None)
        self._draw()

    def stack_halved(self, task: Task, halves: Sequence[Task]) -> None:
        """The card, or this machine, has no room for so many at once."""
        sizes = [len(half.jobs) for half in halves]
        instead = f"two of {sizes[0]}" if len(set(sizes)) == 1 else " and ".join(map(str, sizes))
        line = f"{task.label} does not fit: {instead}"
        self._console.print(line, style="yellow", highlight=False, markup=False, soft_wrap=True)

    def run_ended(self, outcome: Outcome) -> None:
        """A run has ended: one line that stays, but for those that others have done."""
        self._counts[outcome.status] = self._counts.get(outcome.status, 0) + 1
        if not outcome.reused:
            self._own_seconds.append(outcome.seconds)
        if not self._live or not outcome.is_success:
            self._console.print(self._line(outcome), highlight=False, markup=False, soft_wrap=True)
        self._draw()

    def held_elsewhere(self, count: int, holder: str = "") -> None:
        """So many runs are locked by another process; each holder is named once."""
        self._elsewhere = count
        if holder and holder not in self._holders:
            self._holders.add(holder)
            self._console.print(
                f"waiting for a run that is locked by {holder}",
                highlight=False, markup=False, soft_wrap=True,
            )  # fmt: skip

    def stop_requested(self, requests: int) -> None:
        """Says what the user's Ctrl-C does; called from a signal handler, so it only leaves a note."""
        self._note = (
            "stopping: the runs write a checkpoint and end; Ctrl-C again stops them now"
            if requests == 1
            else "stopping now"
        )
        if not self._live:
            self._console.print(self._note)

    def tick(self) -> None:
        """Redraws, at most a few times a second."""
        if time.monotonic() - self._drawn > REDRAW_SECONDS:
            self._draw()

    @property
    def seconds_left(self) -> float | None:
        """How long the rest takes if it goes on like this; None before the first run has ended."""
        if not self._own_seconds:
            return None
        mean = sum(self._own_seconds) / len(self._own_seconds)
        rest = max(0, self._total - sum(self._counts.values()) - self._runs_under_way)
        begun = sum(
            len(task.jobs) * max(0.0, mean - (time.monotonic() - since))
            for task, since in self._running.values()
        )
        return (rest * mean + begun) / self._most_at_once

    @property
    def _runs_under_way(self) -> int:
        return sum(len(task.jobs) for task, _ in self._running.values())

    def _line(self, outcome: Outcome) -> str:
        number = sum(self._counts.values())
        how = "finished elsewhere" if outcome.reused else f"{outcome.status} in {outcome.seconds:.1f} s"
        cause = f": {outcome.cause}" if outcome.cause else ""
        return f"[{number}/{self._total}] {outcome.label}  {how}{cause}"

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        if self._live:
            self._live.update(self._picture(), refresh=True)

    def _picture(self) -> Group:
        done = sum(self._counts.values())
        head = Table.grid(padding=(0, 2))
        head.add_row(
            Text(self._group, style="bold"),
            ProgressBar(total=max(1, self._total), completed=done, width=30),
            Text(f"{done}/{self._total}"),
            Text.assemble(*(part for item in self._counts.items() for part in _status_count(*item))),
            Text(self._time_left()),
        )
        rows = Table.grid(padding=(0, 2))
        for task, since in list(self._running.values())[:MAX_SHOWN]:
            rows.add_row("  ▸", Text(task.label), f"{time.monotonic() - since:.0f} s")
        if (more := len(self._running) - MAX_SHOWN) > 0:
            rows.add_row("", f"and {more} more", "")
        notes = [f"{self._elsewhere} held by another process"] if self._elsewhere else []
        return Group(head, rows, *(Text(note, style="yellow") for note in [*notes, self._note] if note))

    def _time_left(self) -> str:
        if self.seconds_left is None:
            return "starting" if not self._running else ""
        return f"{format_duration(self.seconds_left)} left"


def _status_count(status: str, count: int) -> tuple[tuple[str, str], str]:
    return (f"{count} {status}", _COLOURS.get(status, "")), "  "


class DataNotes:
    """Prints each note on the data of a plan once: on files before the runs, on images after them."""

    def __init__(self, plan: Plan, console: Console) -> None:
        self._plan, self._console = plan, console
        self._printed: set[str] = set()

    def print_file_notes(self) -> None:
        """What the files show: some are ignored, a checksum is unknown."""
        for job in self._job_of_each_data_set():
            identify = partial(identify_dataset, job.settings.data.source)
            self._print_once(with_data_paths(job.settings, identify).notes)

    def print_image_notes(self) -> None:
        """What the records of the runs say: images in two splits, classes that a subset left empty."""
        for job in self._job_of_each_data_set():
            try:
                self._print_once(read_result(self._plan.runs / job.run_id).data.get("notes", ()))
            except (OSError, CorruptRunError):
                continue

    def _job_of_each_data_set(self) -> Iterator[Job]:
        """A job of each data set, of those that are to do if there are any."""
        seen: set[str] = set()
        for job in self._plan.todo or self._plan.jobs:
            settings = job.settings
            key = settings.data.to_json() + settings.paths.data
            if key not in seen:
                seen.add(key)
                yield job

    def _print_once(self, notes: object) -> None:
        for note in notes if isinstance(notes, list | tuple) else ():
            if note not in self._printed:
                self._printed.add(note)
                self._console.print(f"data: {note}", markup=False, highlight=False, soft_wrap=True)


def missing_artifact_lines(plan: Plan) -> list[str]:
    """What the sweep asks for and finished runs have not kept, a line each, with how to get it."""
    todo = {job.run_id for job in plan.todo}
    done = (job for job in plan.jobs if job.status in DONE_STATUSES and job.run_id not in todo)
    counts = Counter(", ".join(missing_artifacts(job.settings, plan.runs / job.run_id)) for job in done)
    return [
        f"{count} done without {missing}; {RERUN_OVERRIDE} trains {'them' if count > 1 else 'it'} again "
        f"for that"
        for missing, count in counts.items()
        if missing
    ]
