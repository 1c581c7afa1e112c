"""`trainlab claims run --plan-only`: what is planned is what is started; nothing is started by planning."""

import contextlib
import io
import json
from collections import Counter
from pathlib import Path

import pytest
from rates_file import write_rates
from tiny import QUICK, claim, put

from trainlab import cli
from trainlab.claims import arm_tuning, execution, runner
from trainlab.claims import registry as claims
from trainlab.claims.course_plan import CoursePlanner
from trainlab.claims.execution import ClaimOptions, ExecutionContext
from trainlab.claims.jobs import ClaimComposer
from trainlab.claims.plan_estimate import estimate_course
from trainlab.claims.plan_table import approximate_duration, course_json, markdown_table
from trainlab.runs import Result, RunFolder
from trainlab.sweeps import local_engine, stacks
from trainlab.sweeps.local_engine import LocalEngine
from trainlab.sweeps.outcome import Outcome
from trainlab.sweeps.stack_memory import StackMemory, probe_stacks
from trainlab.terminal import PlainConsole


def count_runs(tasks) -> int:
    return sum(len(task.jobs) for task in tasks)


GPU = [*QUICK, "trainer=gpu"]
EQUAL = {"test/acc": 0.5, "val/acc": 0.5}
CANDIDATES = [["optimizer.momentum=0.5"], ["optimizer.momentum=0.9"]]
TUNED = {"candidates": CANDIDATES, "arms": ["A", "B"], "seeds": 2}
A_FACT = {"kind": "exact", "says": "a number", "arm": "A", "of": {"anatomy": "parameters"}, "equals": 1}
FACTS = claim(order=2, arms={"A": []}, figure={"kind": "layers", "title": "layers"}, expectations=[A_FACT])


def on_gpu(**changes):
    """A claim whose arms are of two structures, A and C of one: 3 arms, 5 seeds, 8 at most."""
    content = claim(**changes)
    content["arms"] = {"A": ["optimizer.lr=1e-3"], "B": ["depth=2"], "C": ["optimizer.lr=2e-3"]}
    content["expectations"].append({**content["expectations"][0], "more": "C", "primary": False})
    content["profiles"]["gpu"] = {"overrides": GPU, "scale": "tiny", "seeds": {"first": 5, "most": 8}}
    return content


class InThisProcess:
    """A server that calls what it is asked to here; a card with room for so many runs in a stack."""

    def __init__(self, room: int) -> None:
        self._room = room

    def call(self, function, *arguments):
        if function is probe_stacks:
            return [StackMemory(0.0, 0.85, self._room) for _ in arguments[0]]
        return function(*arguments)


@pytest.fixture
def folder(tmp_path, shared_cache, monkeypatch):
    monkeypatch.setenv("TRAINLAB_CACHE", str(shared_cache))
    return tmp_path


@pytest.fixture
def started(monkeypatch):
    """The tasks that a claim starts, in their order; each run is recorded as finished, and all are equal."""
    seen = []

    def run(self, plan, *_):
        seen.extend(plan.tasks)
        for job in plan.todo:
            result = Result(run_id=job.run_id, status="finished", metrics=EQUAL, seconds=1.0)
            if (folder := RunFolder(plan.runs / job.run_id)).result() is None:
                folder.create().finish(result)
            if job.settings.checkpoint != "none":
                (folder.path / "checkpoints").mkdir(exist_ok=True)
                (folder.path / "checkpoints" / "last.ckpt").write_bytes(b"")
        return [Outcome(job.run_id, job.label, "finished") for job in plan.todo]

    monkeypatch.setattr(LocalEngine, "run", run)
    monkeypatch.setattr(execution, "check_architectures", lambda *_: None)
    return seen


@pytest.fixture
def one_gpu(monkeypatch):
    for module in (local_engine, stacks):
        monkeypatch.setattr(module, "visible_gpus", lambda: ["0"])


def context_of(folder: Path, profile: str = "gpu", room: int = 4) -> ExecutionContext:
    options = ClaimOptions(profile, folder / "runs")
    server = InThisProcess(room)
    return ExecutionContext(options, ClaimComposer(), server, PlainConsole(file=io.StringIO()))  # type: ignore[arg-type]


def run_all(entries, context):
    for entry in entries:
        runner.run_claim(entry, context.options, context.composer, context.server, context.console)


def shapes(tasks) -> list[tuple[list[str], bool]]:
    return sorted((sorted(job.run_id for job in task.jobs), task.stack is not None) for task in tasks)


def tuned_on_gpu():
    content = on_gpu(tune=TUNED)
    content["common"] = ["optimizer=sgd_momentum"]
    return content


# What is planned is what is started


@pytest.mark.parametrize("content", [on_gpu(), tuned_on_gpu()], ids=["plain", "tuned"])
def test_what_is_planned_is_what_is_started(folder, started, one_gpu, monkeypatch, content):
    monkeypatch.setattr("trainlab.claims.course_plan.visible_gpus", lambda: ["0"])
    put(folder, "mine", content)
    entries = claims.load_claims(folder)
    context = context_of(folder)
    [measured] = CoursePlanner(context).plan(entries)
    [assumed] = CoursePlanner(context, stack=4).plan(entries)
    run_all(entries, context)
    assert shapes(measured.most) == shapes(started) == shapes(assumed.most)
    assert {job.run_id for task in measured.first for job in task.jobs} <= {
        job.run_id for task in started for job in task.jobs
    }


def test_runs_are_arms_times_seeds_and_stacks_are_of_one_structure(folder):
    put(folder, "mine", on_gpu())
    [plan] = CoursePlanner(context_of(folder), stack=4).plan(claims.load_claims(folder))
    assert (plan.arms, list(plan.seeds), plan.tuning_runs) == (3, [5, 6, 7, 8], 0)
    assert count_runs(plan.first) == 15 and count_runs(plan.most) == 24
    # A and C: 10 runs, then 2 with each of three seeds; B: 5, then one of each
    assert Counter(len(task.jobs) for task in plan.first) == {4: 1, 3: 3, 2: 1}
    assert Counter(len(task.jobs) for task in plan.most) == {4: 1, 3: 3, 2: 4, 1: 3}


def test_tuning_has_runs_of_its_own(folder):
    put(folder, "mine", tuned_on_gpu())
    [plan] = CoursePlanner(context_of(folder), stack=128).plan(claims.load_claims(folder))
    assert plan.tuning_runs == 2 * 2 * 2 and not plan.is_tuned
    assert count_runs(plan.first) == 8 + 15
    assert sorted(len(task.jobs) for task in plan.first) == [4, 4, 5, 10]


@pytest.mark.parametrize("tune", [TUNED, {"setting": "optimizer.lr", "values": [0.01, 0.03, 0.1]}])
def test_a_run_of_tuning_is_named_by_what_is_tried(folder, tune):
    """Its label was that of the arm: all candidates had the same."""
    put(folder, "mine", on_gpu(tune=tune, common=["optimizer=sgd_momentum"]))
    [entry] = claims.load_claims(folder)
    context = context_of(folder)
    jobs = arm_tuning.tuning_jobs(entry, context, arm_tuning.first_ladders(entry))
    labels = [job.label for job in execution.plan_jobs(entry, jobs, context).plan.jobs]
    assert len(set(labels)) == len(labels) > 2
    assert all((tune.get("setting") or "momentum=") in label and "seed=100" in label for label in labels)


def test_what_is_done_is_not_planned_again(folder, started):
    content = tuned_on_gpu()
    content["profiles"]["quick"]["seeds"] = {"first": 5, "most": 8}
    put(folder, "mine", content)
    entries = claims.load_claims(folder)
    context = context_of(folder, "quick")
    run_all(entries, context)
    assert len(started) == 8 + 24
    [plan] = CoursePlanner(context).plan(entries)
    assert plan.is_tuned and not plan.first and not plan.most
    assert plan.requested_runs(-1) == 32


@pytest.mark.parametrize("needs_weights", [False, True])
def test_a_run_of_two_claims_is_planned_once_but_where_more_of_it_is_needed(folder, started, needs_weights):
    first, second = claim(order=1), claim(order=2)
    if needs_weights:
        shifted = {"shift": {"brightness": 40}, "measure": "agreement"}
        second["expectations"] = [{**second["expectations"][0], "of": shifted}]
    put(folder, "first", first)
    put(folder, "second", second)
    entries = claims.load_claims(folder)
    context = context_of(folder, "quick")
    plans = CoursePlanner(context).plan(entries)
    assert [count_runs(plan.most) for plan in plans] == [10, 10 if needs_weights else 0]
    for entry in entries:
        jobs = context.composer.jobs(entry, "quick", range(5), *context.options.overrides())
        execution.run_jobs(entry, jobs, context)
    assert len(started) == count_runs([task for plan in plans for task in plan.most])


# What it costs


def test_steps_and_time_are_those_of_all_runs(folder, tmp_path):
    put(folder, "mine", on_gpu())
    entries = claims.load_claims(folder)
    options = ClaimOptions("gpu", folder / "runs")
    rates = write_rates(tmp_path / "card.json")
    course = estimate_course(entries, options, InThisProcess(4), rates, stack=4)  # type: ignore[arg-type]
    [mine] = course.claims
    assert mine.steps_of_a_run == (3, 3) and mine.most.steps == 3 * 24
    assert (mine.most.runs, sorted(mine.most.stacks), mine.most.alone) == (24, [2, 2, 2, 2, 3, 3, 3, 4], 3)
    # nearly all of it is the start of runs: between 2 s alone and 0.1 s in a stack of 32
    assert mine.first.seconds is not None and mine.most.seconds is not None
    assert 15 * 0.1 < mine.first.seconds < 15 * 2.0 < 2 * mine.most.seconds
    assert mine.first.least_seconds is not None and 0 < mine.first.least_seconds < 1e-6
    assert course.card == "A Card 80GB" and "card.json" in course.source
    plain = course_json(course)
    assert plain["total"]["most"]["seconds"] == float(f"{mine.most.seconds:.2g}")  # type: ignore[index,call-overload]
    assert "| **15 to 24** |" in markdown_table(course)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"), (0.3, "under 1 s"), (4.23, "4.2 s"), (42.4, "42 s"), (59.9, "1.0 min"), (100, "1.7 min"),
        (3590, "1.0 h"), (13.4 * 3600, "13 h"), (47 * 3600, "47 h"), (75 * 3600, "3.1 days"),
        (123 * 86400, "120 days"),
    ],
)  # fmt: skip
def test_an_estimate_has_two_digits(seconds, text):
    assert approximate_duration(seconds) == text


# The command


def call(*arguments: object) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main(["claims", "run", *map(str, arguments)])
        except SystemExit as end:
            return int(end.code or 0), out.getvalue(), err.getvalue()
    raise AssertionError("a command ends with its exit code")


@pytest.fixture
def command(folder, monkeypatch, one_warm_server):
    """The command with a claim and no GPU, whatever this machine has."""
    from trainlab.cli import claims as module

    class Followed:
        def __getattr__(self, name):
            return getattr(PlainConsole(width=200), name)

    monkeypatch.setattr(module, "console", Followed())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    put(folder, "mine", on_gpu())
    put(folder, "facts", FACTS)
    options = ("--experiments", folder, "--runs", folder / "runs")
    return lambda *more: call("--plan-only", *options, *more)


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def test_planning_starts_and_writes_nothing(command, folder, tmp_path):
    rates = write_rates(tmp_path / "card.json")
    before = files(folder)
    code, out, err = command("--profile", "gpu", "--rates", rates, "--stack", 4)
    assert code == 0, err
    assert files(folder) == before and not (folder / "runs").exists()
    line = next(line for line in out.splitlines() if line.startswith("mine"))
    assert line.split()[:7] == ["mine", "3", "×", "5", "to", "8", "–"]
    assert "15 to 24" in line and "1 × 4, 3 × 3, 4 × 2, 3 alone" in line and " s" in line
    assert "facts" in out and "nothing is trained" in out
    assert "rates of A Card 80GB" in out and "stacks of at most 4: assumed" in out


def test_without_a_gpu_and_without_rates_there_is_no_time(command):
    code, out, err = command("mine", "--profile", "gpu", "--json")
    assert code == 0, err
    plain = json.loads(out)
    assert plain["total"]["first"]["seconds"] is None and plain["card"] is None
    assert plain["claims"][0]["most"]["stacks"] == [10, 5, 2, 2, 2]
    assert any("no GPU here" in note for note in plain["notes"])
    assert any("at most 128: assumed" in note for note in plain["notes"])


def test_on_a_cpu_the_first_steps_are_timed_here(command, folder):
    code, out, err = command("mine", "--json")
    assert code == 0, err
    plain = json.loads(out)
    [mine] = plain["claims"]
    assert mine["most"]["runs"] == mine["most"]["alone"] == 15 and mine["most"]["seconds"] > 0
    assert any("timed on this machine" in note for note in plain["notes"])
    assert not (folder / "runs").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--profile", "gpu", "--rates", "nowhere.json"), "rates nowhere.json: No such file or directory"),
        (("--profile", "gpu", "--rates", "."), "Is a directory"),
        (("--rates", "CARD"), "expected profile gpu, got quick"),
        (("--profile", "gpu", "--stack", "0"), "'--stack': Input should be greater than or equal to 1"),
        (("--profile", "gpu", "--rates", "DRY"), "a dry run"),
    ],
)
def test_a_wrong_request_is_one_line_and_exit_code_2(command, tmp_path, options, message):
    files = {
        "CARD": write_rates(tmp_path / "card.json"),
        "DRY": write_rates(tmp_path / "dry.json", device="cpu"),
    }
    code, _, err = command(*(files.get(word, word) for word in options))
    assert code == 2
    assert message in err and err.count("\n") == 1


@pytest.mark.parametrize("option", [("--rates", "x.json"), ("--stack", "3"), ("--json",)])
def test_options_of_the_plan_alone_are_refused(folder, option):
    put(folder, "mine", claim())
    code, _, err = call("--experiments", folder, "--runs", folder / "runs", *option)
    assert code == 2 and f"{option[0]} is of the plan" in err and err.count("\n") == 1
    assert not (folder / "runs").exists()
