"""What is odd about the data of a sweep is told once, not once a run."""

import io
from pathlib import Path

from PIL import Image
from rich.console import Console

from trainlab.runs import Result
from trainlab.runs.result import run_facts
from trainlab.sweeps.display import DataNotes
from trainlab.sweeps.plan import Job, Plan


def test_each_note_is_told_once(settings, tmp_path):
    for split in ("train", "test"):
        for level, label in ((20, "a"), (200, "b")):
            folder = tmp_path / "data" / "pets" / split / label
            folder.mkdir(parents=True)
            for i in range(3):
                Image.new("L", (8, 8), level + i).save(folder / f"{i}.png")
    (tmp_path / "data" / "pets" / "train" / "a" / "x.heic").write_bytes(b"x")
    chosen = ("data=image_folder", "data.folder=pets", f"paths.data={tmp_path / 'data'}")
    sizes = ("data.train_size=null", "data.val_size=1", "data.test_size=null", "data.channels=1")
    jobs = []
    for seed in range(3):
        frozen = settings(*chosen, *sizes, f"seed={seed}")
        jobs.append(Job(frozen.run_id, "", (), "absent", frozen.to_json()))
    runs = Path(jobs[0].settings.paths.runs)
    written, notes = io.StringIO(), ["1 files passed over", "6 of 6 test images are training images too"]
    notes_of_plan = DataNotes(
        Plan("g", runs, (), jobs, [job.run_id for job in jobs], jobs), Console(file=written, width=200)
    )
    notes_of_plan.print_file_notes()
    notes_of_plan.print_image_notes()  # no run has a record yet
    for job in jobs:
        (runs / job.run_id).mkdir(parents=True)
        Result(**run_facts(job.settings, notes), status="finished").write(runs / job.run_id)
    notes_of_plan.print_image_notes()
    lines = written.getvalue().splitlines()
    assert lines[0].startswith("data: 1 files passed over: 1 .heic")
    assert lines[1:] == [f"data: {note}" for note in notes]
