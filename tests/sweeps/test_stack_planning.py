"""Which runs become a stack: by their structure, cut by memory; what is shown of it; what is refused."""

import io
import sys
from pathlib import Path
from types import ModuleType
from typing import cast

import pytest
from hydra.plugins.launcher import Launcher
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from rich.console import Console

from trainlab.config.composer import users_composer
from trainlab.errors import RequestError
from trainlab.runs.result import Result
from trainlab.runs.run_folder import RunFolder
from trainlab.settings import RunSettings, SweepSettings
from trainlab.sweeps import estimate, stacks
from trainlab.sweeps.external_hydra_plugins import ExternalLauncherEngine
from trainlab.sweeps.forkserver import ForkServer
from trainlab.sweeps.local_engine import LocalEngine
from trainlab.sweeps.plan import Job, Plan, make_plan
from trainlab.sweeps.slots import SlotSettings
from trainlab.sweeps.stack_memory import MAX_STACK, StackMemory, probe_sizes, stack_memory
from trainlab.sweeps.stacks import equal_sizes, partition_jobs, plan_stacks, use_all_slots
from trainlab.sweeps.structure import structure_of, why_alone

FREE = {"seed", "init", "normalization", "augment", "optimizer", "scheduler", "early_stop"}


@pytest.fixture
def planned(tmp_path, shared_cache):
    def plan(*lines: str, **sweep) -> Plan:
        fixed = [f"paths.runs={tmp_path / 'runs'}", f"paths.cache={shared_cache}", "logger=none"]
        composer = users_composer()
        grid = composer.grid(["trainer=cpu", *lines, *fixed])
        return make_plan(grid.jobs(), composer.job, SweepSettings(**sweep), grid.swept)

    return plan


def sizes_of(plan: Plan, stack: int | str = 99) -> list[int]:
    parts, _ = partition_jobs(plan.todo, stack)
    return [len(part.jobs) for part in parts]


# What changes structure


@pytest.mark.parametrize(
    "line",
    [
        "seed=1,2", "init=kaiming,lsuv,delta_orthogonal,zeros", "normalization=standardize,per_image,raw",
        "optimizer.lr=0.1,0.2", "optimizer.weight_decay=0,0.1",
        "optimizer=adam,adamw",
        "optimizer=sgd,sgd_momentum,sgd_nesterov", "scheduler=constant,cosine,step,onecycle",
        "augment=none,flip_crop", "early_stop=null,3",
        "trainer.gradient_clip=null,1.0", "data.split_seed=0,1",
    ],
)  # fmt: skip
def test_values_differ_within_a_stack(planned, line):
    plan = planned(line)
    assert sizes_of(plan) == [len(plan.todo)] and len(plan.todo) > 1


@pytest.mark.parametrize(
    "line",
    [
        "model=lenet5,plain_cnn", "depth=2,3", "width=4,8", "activation=relu,tanh", "pool=max,avg",
        "norm_layer=none,batchnorm", "norm_layer=batchnorm,batchnorm_after_activation",
        "model.padding=zeros,circular", "model.bias=true,false", "model.head=mean,dense",
        "data.permute_pixels=null,0",
        "model=locally_connected model.shared=true,false",
        "data=digits,shapeset", "data.image_size=16,32", "data.batch_size=32,64", "data.train_size=100,200",
        "trainer.max_epochs=1,2", "trainer.precision=32-true,64-true", "optimizer=adam,sgd,rmsprop",
        "activation=leaky_relu activation.negative_slope=0.1,0.2", "trainer.val_every_epochs=1,2",
    ],
)  # fmt: skip
def test_structure_is_equal_within_a_stack(planned, line):
    plan = planned(*line.split())
    assert sizes_of(plan) == [1] * len(plan.todo) and len(plan.todo) > 1


AXES = {
    "seed": ["0", "1"], "init": ["kaiming", "lsuv"], "optimizer": ["adam", "adamw", "sgd"],
    "depth": ["2", "3"], "activation": ["relu", "tanh"], "optimizer.lr": ["0.1", "0.2"],
    "data.batch_size": ["32", "64"], "norm_layer": ["none", "batchnorm"], "early_stop": ["null", "2"],
    "trainer.precision": ["32-true", "16-mixed"],
}  # fmt: skip
some = {key: st.lists(st.sampled_from(values), min_size=1, unique=True) for key, values in AXES.items()}


@hypothesis_settings(max_examples=25)
@given(st.fixed_dictionaries(some), st.integers(1, 9))
def test_every_run_is_in_one_stack_of_runs_with_one_structure(tmp_path_factory, grid, most):
    runs = tmp_path_factory.mktemp("runs")
    swept = [f"{key}={','.join(values)}" for key, values in grid.items()]
    composer = users_composer()
    lines = composer.grid(["trainer=cpu", *swept, f"paths.runs={runs}", "logger=none"])
    plan = make_plan(list(lines.jobs())[:24], composer.job, SweepSettings(), lines.swept)
    stacked, _ = plan_stacks(plan, SweepSettings(stack=most), LocalEngine(SlotSettings()), ForkServer())
    ids = [job.run_id for task in stacked.tasks for job in task.jobs]
    assert sorted(ids) == sorted(job.run_id for job in plan.todo)
    for task in stacked.tasks:
        settings = [job.settings for job in task.jobs]
        if task.stack is None:
            assert len(settings) == 1 and why_alone(settings[0])
            continue
        assert len(settings) <= most and not any(map(why_alone, settings))
        assert all(structure_of(each) == structure_of(settings[0]) for each in settings)
        for name in set(type(settings[0]).model_fields) - FREE - {"run_id", "axes", "data", "trainer"}:
            assert len({str(getattr(each, name)) for each in settings}) == 1, name


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("trainer.devices=2", "trainer.devices=2 is for one network at a time"),
        ("trainer.precision=16-mixed", "trainer.precision=16-mixed has one gradient scale for all"),
        ("trainer.precision=16-true", "trainer.precision=16-true has one gradient scale for all"),
        ("trainer.profiler=simple", "trainer.profiler=simple is of a single run"),
        ("resume=abc", "resume=RUN starts from another run"),
        ("optimizer._target_=torch.optim.Adagrad", "optimizer torch.optim.Adagrad has no stacked form"),
        ("optimizer.maximize=true", "optimizer.maximize has no stacked form"),
        ("optimizer._target_=trainlab.nn.muon.Muon", "optimizer trainlab.nn.muon.Muon has no stacked form"),
        ("data.label_noise=0.1", "data.label_noise has no stacked form"),
        ("trainer.label_smoothing=0.1", "trainer.label_smoothing has no stacked form"),
        ("trainer.test_views=mirrored", "trainer.test_views=mirrored has no stacked form"),
        (
            "augment._target_=trainlab.data.alternating_flip.alternating_flip",
            "augment trainlab.data.alternating_flip.alternating_flip has no stacked form",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_stacked_runs_alone_with_the_reason(settings, line, reason):
    key, _, value = line.partition("=")
    frozen = settings().with_value(key, {"2": 2, "0.1": 0.1, "true": True}.get(value, value))
    assert why_alone(frozen) == reason
    parts, alone = partition_jobs([Job("r", "", (), "absent", frozen.to_json())], 4)
    assert parts == [] and [job.run_id for job in alone[reason]] == ["r"]
    assert why_alone(settings()) is None


@pytest.mark.parametrize("name", ["group", "axes", "paths", "progress_bar"])
def test_an_argument_of_ones_own_class_is_structure_whatever_its_name(settings, name):
    own = [settings("seed=0").with_value(f"model.{name}", value) for value in (1, 2)]
    assert structure_of(own[0]) != structure_of(own[1])


def test_a_model_of_ones_own_is_stacked_where_that_is_asked_for(settings):
    jobs = []
    for seed in range(2):
        own = settings(f"seed={seed}").with_value("model._target_", "mine.Net")
        own = own.with_value("trainer.accelerator", "gpu")
        jobs.append(Job(str(seed), "", (), "absent", own.to_json()))
    parts, alone = partition_jobs(jobs, 8)
    assert len(parts) == 1 and not alone
    parts, alone = partition_jobs(jobs, "auto")
    assert not parts and "a model of your own" in next(iter(alone))


@pytest.mark.parametrize(("axis", "ours"), [("normalization", "symmetric"), ("augment", "flip_crop")])
def test_what_a_user_has_written_for_the_images_is_with_its_like_alone(settings, axis, ours):
    runs = [settings(f"seed={seed}") for seed in range(2)] + [settings(f"{axis}={ours}")]
    own = [
        settings(f"seed={seed}").with_value(f"{axis}._target_", f"mine.{kind}")
        for seed in (0, 1)
        for kind in "ab"
    ]
    jobs = [Job(str(i), "", (), "absent", each.to_json()) for i, each in enumerate([*runs, *own])]
    parts, alone = partition_jobs(jobs, 8)
    assert [[job.run_id for job in part.jobs] for part in parts] == [["0", "1", "2"], ["3", "5"], ["4", "6"]]
    assert not alone
    assert f"{axis}=" in " ".join(parts[1].words)


# Sizes


@given(st.integers(1, 500), st.integers(1, 200))
def test_stacks_are_few_and_equal(runs, most):
    sizes = equal_sizes(runs, most)
    assert sum(sizes) == runs and max(sizes) <= most and max(sizes) - min(sizes) <= 1
    assert len(sizes) == 1 or (len(sizes) - 1) * most < runs


NO_SETTINGS = cast("list[RunSettings]", [None])
"""What is measured is made up."""


def fake_memory(fixed: int, per_run: int, limit: int):
    """A device on which a stack of B takes fixed + B · per_run, and no more than `limit`."""
    asked: list[int] = []

    def measure(settings) -> int:
        asked.append(len(settings))
        if (taken := fixed + len(settings) * per_run) > limit:
            raise MemoryError
        return taken

    return measure, asked


@given(st.integers(0, 10**9), st.integers(1, 10**8), st.integers(2, 100))
def test_the_line_through_two_sizes_gives_the_largest_stack(fixed, per_run, runs):
    free = fixed * 2 + per_run * 300
    measure, _ = fake_memory(fixed, per_run, free)
    memory = stack_memory(NO_SETTINGS * min(runs, 8), probe_sizes(runs), measure, free)
    largest = memory.largest_stack()
    assert largest <= MAX_STACK
    assert fixed + largest * per_run <= 0.85 * free
    assert largest == MAX_STACK or fixed + (largest + 1) * per_run > 0.85 * free
    assert memory.largest_stack(4) <= largest


def test_a_probe_without_room_is_tried_with_half():
    measure, asked = fake_memory(0, 100, limit=450)
    memory = stack_memory(NO_SETTINGS * 8, (2, 8), measure, 450)
    assert asked == [8, 4, 2] and memory == StackMemory(0.0, 100.0, 450) and memory.largest_stack() == 3
    with pytest.raises(MemoryError):
        stack_memory(NO_SETTINGS * 8, (2, 8), fake_memory(0, 100, limit=150)[0], 150)
    assert StackMemory(500.0, 100.0, 450).largest_stack() == 0


@pytest.mark.parametrize(("runs", "expected"), [(2, (1, 2)), (3, (1, 3)), (8, (2, 8)), (500, (2, 8))])
def test_two_sizes_are_measured(runs, expected):
    assert probe_sizes(runs) == expected


class Gpus(ForkServer):
    """A server whose answers to the memory probe are made up."""

    def __init__(self, *memories: StackMemory | str):
        self.memories = list(memories)

    def call(self, function, partitions, environment):  # pyrefly: ignore[bad-override]
        assert environment == {"CUDA_VISIBLE_DEVICES": "3"}
        assert all(len(settings) <= 8 for settings in partitions)
        assert len(partitions) == len(self.memories)
        return self.memories


@pytest.fixture
def two_gpus(monkeypatch):
    for module in ("stacks", "local_engine"):
        monkeypatch.setattr(f"trainlab.sweeps.{module}.visible_gpus", lambda: ["3", "4"])


def test_auto_stacks_on_a_gpu_as_the_memory_allows(planned, two_gpus):
    plan = planned("seed=range(90)", "activation=relu,tanh,sigmoid", "trainer=gpu")
    memories = [StackMemory(0, 1, 40), StackMemory(10, 1, 100), "its memory cannot be measured: so be it"]
    stacked, lines = plan_stacks(
        plan, SweepSettings(plan_only=True), LocalEngine(SlotSettings()), Gpus(*memories)
    )
    sizes = [len(task.jobs) for task in stacked.tasks if task.stack]
    assert sizes == [30, 30, 30, 45, 45]
    assert lines[0].startswith(
        "stack of 30 × 3: model=plain_cnn depth=4 activation=relu data=digits; differs in: seed"
    )
    assert lines[-1] == "90 runs alone: its memory cannot be measured: so be it"
    two_at_once = LocalEngine(SlotSettings(runs_per_gpu=2))
    stacked, lines = plan_stacks(plan, SweepSettings(), two_at_once, Gpus(*memories))
    assert lines == ["180 runs in 9 stacks of 15 to 30, 90 runs alone"]


def test_no_gpu_stands_idle(planned, two_gpus):
    plan = planned("seed=range(8)", "trainer=gpu")
    stacked, _ = plan_stacks(
        plan, SweepSettings(), LocalEngine(SlotSettings()), Gpus(StackMemory(0, 1, 1000))
    )
    assert [len(task.jobs) for task in stacked.tasks] == [4, 4]
    part = stacks.Partition(plan.todo, (), (), (8,))
    assert [use_all_slots([part], n)[0].sizes for n in (1, 3, 8, 20)] == [(8,), [3, 3, 2], [1] * 8, [1] * 8]


def test_auto_leaves_a_cpu_alone_and_off_leaves_all(planned, two_gpus, monkeypatch):
    engine, server = LocalEngine(SlotSettings()), ForkServer()
    on_gpu = planned("seed=range(4)", "trainer=gpu")
    assert plan_stacks(on_gpu, SweepSettings(stack="off"), engine, server) == (on_gpu, [])
    on_cpu = planned("seed=range(4)", "trainer=cpu")
    assert plan_stacks(on_cpu, SweepSettings(), engine, server) == (on_cpu, [])
    monkeypatch.setattr("trainlab.sweeps.stacks.visible_gpus", list)
    assert plan_stacks(on_cpu, SweepSettings(), engine, server) == (on_cpu, [])
    assert [task.stack for task in on_cpu.tasks] == [None] * 4


def test_what_is_asked_for_and_cannot_be_is_one_line(planned, two_gpus):
    plan, server = planned("seed=range(4)"), ForkServer()
    external = ExternalLauncherEngine(cast(Launcher, None))
    kept, [line] = plan_stacks(plan, SweepSettings(stack=4), external, server)
    assert kept is plan and line.startswith("no stacks: this launcher takes single runs")
    assert plan_stacks(plan, SweepSettings(), external, server) == (plan, [])
    kept, [line] = plan_stacks(
        plan, SweepSettings(stack=4, prune="early"), LocalEngine(SlotSettings()), server
    )
    assert kept is plan and line.startswith("no stacks: sweep.prune=early judges single runs")


def test_stacks_of_one_are_stacks(planned):
    stacked, lines = plan_stacks(
        planned("seed=range(3)"), SweepSettings(stack=1), LocalEngine(SlotSettings()), ForkServer()
    )
    assert [(len(task.jobs), task.stack is None) for task in stacked.tasks] == [(1, False)] * 3
    assert lines == ["3 runs in 3 stacks of 1"]


# What is shown


def test_the_plan_shows_a_line_for_each_kind_of_stack(planned):
    plan = planned("seed=range(5)", "init=kaiming,glorot", "depth=2,3", "optimizer=adam,sgd",
                   "trainer.precision=32-true,16-mixed")  # fmt: skip
    engine = LocalEngine(SlotSettings())
    stacked, lines = plan_stacks(plan, SweepSettings(stack=4, plan_only=True), engine, ForkServer())
    assert lines == [
        "stack of 4, 3 × 2: model=plain_cnn depth=2 activation=relu data=digits optimizer=Adam; "
        "differs in: seed, init",
        "stack of 4, 3 × 2: model=plain_cnn depth=2 activation=relu data=digits optimizer=SGD; "
        "differs in: seed, init",
        "stack of 4, 3 × 2: model=plain_cnn depth=3 activation=relu data=digits optimizer=Adam; "
        "differs in: seed, init",
        "stack of 4, 3 × 2: model=plain_cnn depth=3 activation=relu data=digits optimizer=SGD; "
        "differs in: seed, init",
        "40 runs alone: trainer.precision=16-mixed has one gradient scale for all",
    ]
    assert (
        stacked.tasks[0].label == "stack of 4 (plain_cnn depth=2 activation=relu data=digits optimizer=Adam)"
    )


def test_a_probe_that_dies_stops_no_sweep(planned, two_gpus):
    class Dead(Gpus):
        def call(self, function, partitions, environment):  # pyrefly: ignore[bad-override]
            raise RequestError("a helper process could not answer: killed by SIGSEGV")

    plan = planned("seed=range(4)", "trainer=gpu")
    kept, lines = plan_stacks(plan, SweepSettings(plan_only=True), LocalEngine(SlotSettings()), Dead())
    assert kept is plan
    assert lines == [
        "4 runs alone: its memory cannot be measured: a helper process could not answer: killed by SIGSEGV"
    ]


def test_a_stack_is_estimated_by_a_stack(planned, monkeypatch, tmp_path):
    """Trains nothing; each step of the trial's stack took a tenth of a second."""
    seen: list[list[RunSettings]] = []

    def train_stack(settings) -> None:
        seen.append(settings)
        for each in settings:
            rate = each.data.batch_size / 0.1
            result = Result(run_id=each.run_id, status="finished", samples_per_second=rate, steps=30)
            RunFolder(Path(each.paths.runs) / each.run_id).create().finish(result)

    module = ModuleType("trainlab.training.stack")
    vars(module)["train_stack"] = train_stack
    monkeypatch.setitem(sys.modules, "trainlab.training.stack", module)
    monkeypatch.setattr("trainlab.training.worker.configure_process", lambda: None)
    plan = planned("seed=range(4)", "init=kaiming,glorot", "trainer.max_steps=600")
    engine = LocalEngine(SlotSettings(slots=2))
    stacked, _ = plan_stacks(plan, SweepSettings(stack=2, plan_only=True), engine, ForkServer())
    console = Console(width=200, file=io.StringIO())
    with console.capture() as captured:
        estimate.print_estimate(stacked, 2, InThisProcess(), console)
    assert [len(settings) for settings in seen] == [2]
    assert {settings.trainer.max_steps for settings in seen[0]} == {estimate.TRIAL_STEPS}
    assert not str(seen[0][0].paths.runs).startswith(str(tmp_path / "runs"))
    # four stacks of 600 steps, two at a time: 2 · 60 s, and what else a stack takes
    assert captured.get().startswith("estimate: 2 min") and "with 2 at a time (1 min" in captured.get()
    assert "a task, from 1 of 1 kinds)" in captured.get()


class InThisProcess(ForkServer):
    """Calls here, where the test has put its own training."""

    def __init__(self) -> None: ...

    def call(self, function, *arguments):  # pyrefly: ignore[bad-override]
        return function(*arguments)
