"""Every job is checked, named and looked up before anything starts, without torch."""

import subprocess
import sys
import time

import pytest
import yaml

from trainlab.config import compose, identify
from trainlab.config.composer import users_composer
from trainlab.config.options import package_conf
from trainlab.errors import RequestError
from trainlab.runs import load_runs
from trainlab.runs.groups import read_group
from trainlab.runs.result import DONE_STATUSES, Result
from trainlab.runs.run_folder import RunFolder
from trainlab.settings import SweepSettings
from trainlab.sweeps.display import missing_artifact_lines
from trainlab.sweeps.plan import is_todo, make_plan, record_plan


@pytest.fixture
def planned(tmp_path, shared_cache):
    def plan(*lines: str, **sweep):
        paths = [f"paths.runs={tmp_path / 'runs'}", f"paths.cache={shared_cache}"]
        composer = users_composer()
        grid = composer.grid([*lines, *paths])
        return make_plan(grid.jobs(), composer.job, SweepSettings(**sweep), grid.swept)

    return plan


def record(plan, index: int, status: str) -> None:
    job = plan.jobs[index]
    folder = RunFolder(plan.runs / job.run_id).create()
    folder.write_settings(job.settings)
    folder.finish(Result(run_id=job.run_id, status=status, axes=job.settings.axes, metrics={"test/acc": 0.5}))


def test_runs_have_the_ids_that_they_have_alone(planned, tmp_path, shared_cache):
    plan = planned("activation=relu,tanh", "seed=3")
    alone = identify(compose(["activation=tanh", "seed=3", f"paths.cache={shared_cache}"]))
    assert plan.jobs[1].run_id == alone.run_id
    assert plan.jobs[1].label == "activation=tanh"


@pytest.mark.parametrize(
    "line",
    [
        "signals=on,off", "checkpoint=last,none", "trainer.threads=1,2", "logger=none,csv",
        "resume=true,false", "trainer=cpu,auto", "trainer.profiler=null,simple",
        "trainer.progress_bar=true,false",
    ],
)  # fmt: skip
def test_what_is_no_part_of_a_run_cannot_be_swept(planned, line):
    key = line.partition("=")[0]
    with pytest.raises(RequestError, match=rf"{key}[\w.]*=.*it cannot be swept; expected one value"):
        planned(line, "seed=1,2")


def test_a_plan_says_what_runs_that_are_done_have_not_kept(planned):
    plan = planned("seed=1,2,3", "signals=off", "checkpoint=none")
    for index in range(2):
        record(plan, index, "finished")
    assert missing_artifact_lines(planned("seed=1,2,3", "signals=off", "checkpoint=none")) == []
    again = planned("seed=1,2,3", "signals=on", "checkpoint=best")
    line = "2 done without signals, best.ckpt; sweep.rerun=true trains them again for that"
    assert missing_artifact_lines(again) == [line]
    assert missing_artifact_lines(planned("seed=1,2,3", "checkpoint=best", rerun=True)) == []


def test_the_runs_of_a_sweep_have_one_group(planned, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in "ab":
        preset = tmp_path / "conf" / "experiment" / f"{name}.yaml"
        preset.parent.mkdir(parents=True, exist_ok=True)
        preset.write_text(f"# @package _global_\ngroup: {name}\nseed: {ord(name)}\n")
    with pytest.raises(RequestError, match=r"^group=a,b: one for all runs of a sweep"):
        planned("experiment=a,b")


def test_aliases_and_repetitions_are_one_run(planned):
    plan = planned("init=glorot,glorot_uniform,kaiming", "seed=1,1")
    assert len(plan.jobs) == 2
    assert len(plan.requested) == 6
    assert "4 duplicates dropped" in plan.describe()


@pytest.mark.parametrize("status", ["finished", "diverged", "failed", "interrupted", "pruned"])
def test_the_status_table(planned, status):
    plan = planned("activation=relu,tanh")
    record(plan, 0, status)
    skips = {"finished", "diverged", "failed"}
    todo = {
        name: len(planned("activation=relu,tanh", **{name: True}).todo) for name in ("retry_failed", "rerun")
    }
    assert len(planned("activation=relu,tanh").todo) == (1 if status in skips else 2)
    assert todo["retry_failed"] == (1 if status in DONE_STATUSES else 2)
    assert todo["rerun"] == 2


def test_a_sweeps_defaults_are_those_of_the_configuration():
    written = yaml.safe_load((package_conf() / "train.yaml").read_text())["sweep"]
    assert SweepSettings(**written).model_dump() == SweepSettings().model_dump()


def test_a_run_in_progress_is_still_to_do():
    assert is_todo("running", SweepSettings())  # it is waited for when its turn comes


def test_a_half_written_record_is_no_record(planned):
    plan = planned("activation=relu,tanh")
    record(plan, 0, "finished")
    path = plan.runs / plan.jobs[0].run_id / "result.json"
    path.write_text(path.read_text()[:50])
    assert len(planned("activation=relu,tanh").todo) == 2


def test_all_faults_of_all_jobs_are_listed_together(planned):
    with pytest.raises(RequestError) as error:
        planned("activation=relu,rleu", "optimizer.lr=0.1,-1", "model=lenet5,mlp", "depth=2")
    text = str(error.value)
    for part in ("did you mean 'relu'", "optimizer.lr=-1: expected greater than 0", "lenet5 has no depth"):
        assert text.count(part) == 1
    assert "nothing was started" in text


def test_missing_data_is_a_fault_of_the_request(planned, tmp_path):
    with pytest.raises(RequestError, match="mine"):
        planned("data=image_folder", f"paths.data={tmp_path / 'mine'}", "seed=1,2")


def test_the_group_is_named_after_what_is_swept_and_does_not_mix_sweeps(planned):
    first, second = planned("activation=relu,tanh", "seed=1,2"), planned("activation=relu,elu", "seed=1,2")
    assert first.group.startswith("activation-seed-")
    assert first.group != second.group
    assert planned("seed=1,2", "activation=tanh,relu").group.endswith(first.group[-6:])
    assert planned("activation=relu,tanh", "group=mine").group == "mine"


def test_the_sweep_file_lists_the_runs(planned):
    plan = planned("activation=relu,tanh")
    assert not (plan.runs / "sweeps").exists()  # planning writes nothing
    record_plan(plan)
    assert read_group(plan.runs, plan.group) == plan.run_ids


def test_a_runs_folder_that_cannot_be_written_is_said_before_anything_starts(planned, tmp_path):
    (tmp_path / "runs").write_text("a file")
    plan = planned("activation=relu,tanh")
    with pytest.raises(RequestError, match=r"cannot write .*paths\.runs="):
        record_plan(plan)


def test_planning_needs_no_torch(tmp_path, shared_cache):
    script = f"""
import sys
from trainlab.config import Composer
from trainlab.settings import SweepSettings
from trainlab.sweeps.plan import make_plan
import hydra_plugins.trainlab.sweeper, hydra_plugins.trainlab.launchers
import trainlab.sweeps.sweep, trainlab.sweeps.local_engine
lines = ["activation=glob(*)", "paths.runs={tmp_path}", "paths.cache={shared_cache}"]
composer = Composer()
grid = composer.grid(lines)
plan = make_plan(grid.jobs(), composer.job, SweepSettings(), grid.swept)
assert len(plan.todo) > 10
assert "torch" not in sys.modules and "lightning" not in sys.modules, "torch was imported"
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_thousand_finished_settings_are_planned_and_tabled_in_five_seconds(planned, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda descriptor: None)  # a thousand records, made quickly
    lines = ("seed=range(250)", "activation=relu,tanh", "init=kaiming,glorot", "trainer.max_epochs=1")
    for job in planned(*lines).jobs:
        folder = RunFolder(planned_runs := job.settings.paths.runs).path / job.run_id
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(job.settings_json)  # JSON is YAML
        Result(run_id=job.run_id, status="finished", axes=job.settings.axes, metrics={"test/acc": 0.5}).write(
            folder
        )
    load_runs(planned_runs)  # builds the index, as finishing runs do
    since = time.perf_counter()
    plan = planned(*lines)
    record_plan(plan)
    table = load_runs(plan.runs, plan.run_ids, settings=True)
    assert (len(plan.jobs), len(plan.todo), table.height) == (1000, 0, 1000)
    assert time.perf_counter() - since < 5


@pytest.mark.slow
def test_ten_thousand_settings_are_planned_in_thirty_seconds_and_a_gigabyte(planned):
    import resource

    seconds = {}
    for seeds in (40, 80):
        since = time.perf_counter()
        plan = planned(f"seed=range({seeds})", "activation=glob(*)", "init=kaiming,glorot,normal,zeros,lecun",
                       "norm_layer=none,batchnorm")  # fmt: skip
        seconds[len(plan.jobs)] = time.perf_counter() - since
    (few, quick), (many, long) = seconds.items()
    assert many >= 10_000
    assert long < 30
    assert long / quick < 1.3 * many / few  # linear
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 1e6  # KiB
