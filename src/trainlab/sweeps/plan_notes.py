"""What is worth knowing about a plan: oddities of its data, and what finished runs have not kept."""

from collections import Counter
from collections.abc import Iterator
from functools import partial

from rich.console import Console

from trainlab.data.dataset_sources import with_data_paths
from trainlab.data.fingerprint import identify_dataset
from trainlab.runs.result import DONE_STATUSES, CorruptRunError, read_result
from trainlab.runs.run_folder import RERUN_OVERRIDE, missing_artifacts
from trainlab.sweeps.plan import Job, Plan


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
