"""What runs at the same time, on what; no GPU is needed to know."""

from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainlab.errors import RequestError
from trainlab.sweeps import local_engine, slots
from trainlab.sweeps.plan import Plan
from trainlab.sweeps.slots import (
    Slot,
    SlotSettings,
    allocate_slots,
    make_slots,
    max_concurrent_runs,
    slot_environment,
    validate_launcher_settings,
)


@pytest.mark.parametrize(
    ("given_settings", "accelerator", "gpus", "expected"),
    [
        ({}, "auto", [], [Slot(1)] * 8),
        ({"threads": 4}, "cpu", [], [Slot(4)] * 2),
        ({"slots": 2}, "cpu", [], [Slot(1)] * 2),
        ({"slots": 3, "threads": 5}, "cpu", [], [Slot(5)] * 3),
        ({"slots": 20}, "cpu", [], [Slot(1)] * 20),
        ({}, "auto", ["0", "1"], [Slot(4, "0"), Slot(4, "1")]),
        ({"runs_per_gpu": 2}, "gpu", ["0", "1"], [Slot(2, "0"), Slot(2, "1"), Slot(2, "0"), Slot(2, "1")]),
        # each GPU keeps its place: a run over both takes both, and one run goes at a time
        ({"slots": 1}, "gpu", ["3", "4"], [Slot(8, "3"), Slot(8, "4")]),
        ({"slots": 3}, "gpu", ["3", "4"], [Slot(2, "3"), Slot(2, "4"), Slot(2, "3")]),
        ({}, "cpu", ["0"], [Slot(1)] * 8),
        ({}, "mps", [], [Slot(8)]),
    ],
)
def test_slots_of_a_machine_with_eight_cores(given_settings, accelerator, gpus, expected):
    assert make_slots(SlotSettings(**given_settings), accelerator, gpus, cores=8) == expected


@pytest.mark.parametrize("name", ["slots", "threads", "runs_per_gpu"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "two", True])
def test_counts_below_one_are_refused_in_one_line(name, value):
    with pytest.raises(RequestError, match=f"^hydra.launcher.{name}={value}: expected [^\n]*$"):
        validate_launcher_settings(SlotSettings, {name: value})


def test_an_unknown_setting_names_the_closest():
    with pytest.raises(RequestError, match=r"'hydra\.launcher\.slot': did you mean 'slots'"):
        validate_launcher_settings(SlotSettings, {"slot": 2})


@given(st.lists(st.sampled_from("abc"), max_size=6), st.integers(1, 4))
def test_a_run_over_several_gpus_gets_each_once(gpus, devices):
    free = [Slot(1, gpu) for gpu in gpus]
    places = allocate_slots(free, devices, total=4)
    if len(set(gpus)) >= devices:
        assert places is not None and len({p.gpu for p in places}) == len(places) == devices
    else:
        assert places is None


def test_a_run_over_more_devices_than_cpu_slots_takes_them_all():
    assert allocate_slots([Slot(1)] * 2, devices=4, total=2) == [Slot(1)] * 2
    assert allocate_slots([Slot(1)], devices=4, total=2) is None


def plan_of(trainers: list[SimpleNamespace]) -> Plan:
    """Of a plan, only what its runs ask of the trainer."""
    todo = [SimpleNamespace(settings=SimpleNamespace(trainer=trainer)) for trainer in trainers]
    return cast(Plan, SimpleNamespace(todo=todo))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [([None, None], [Slot(1)] * 8), ([1, 4], [Slot(1)] * 2), ([4, None], [Slot(1)] * 2), ([16], [Slot(1)])],
)
def test_runs_that_ask_for_threads_do_not_share_cores(monkeypatch, asked, expected):
    """What says nothing keeps the one thread that it has alone."""
    trainers = [SimpleNamespace(accelerator="cpu", devices=1, threads=threads) for threads in asked]
    plan = plan_of(trainers)
    monkeypatch.setattr(local_engine, "available_cores", lambda: 8)
    assert local_engine.LocalEngine(SlotSettings())._make_slots(plan) == expected


@pytest.mark.parametrize("kind", ["gpu", "mps"])
def test_a_sweep_for_hardware_that_is_not_there_is_refused(monkeypatch, kind):
    trainer = SimpleNamespace(accelerator=kind, devices=1, threads=None)
    plan = plan_of([trainer])
    monkeypatch.setattr(local_engine, "visible_gpus", list)
    monkeypatch.setattr("sys.platform", "linux")
    with pytest.raises(RequestError, match=f"accelerator={kind}: this machine has none"):
        local_engine.LocalEngine(SlotSettings()).slots(plan)


def test_a_run_sees_only_its_gpus():
    assert slot_environment([Slot(1, "0"), Slot(1, "GPU-b")]) == {"CUDA_VISIBLE_DEVICES": "0,GPU-b"}
    assert slot_environment([Slot(1)]) == {}


@pytest.mark.parametrize(
    ("visible", "expected"),
    [("", []), ("-1", []), ("0", ["0"]), ("2, 3", ["2", "3"]), ("MIG-x", ["MIG-x"])],
)
def test_cuda_visible_devices_is_honoured(monkeypatch, visible, expected):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert slots.visible_gpus() == expected


@pytest.mark.parametrize(("slots", "most"), [(None, 2), (1, 1), (2, 2), (5, 5)])
def test_as_many_runs_go_as_was_said(slots, most):
    given_settings = SlotSettings(slots=slots)
    assert max_concurrent_runs(given_settings, make_slots(given_settings, "gpu", ["0", "1"], cores=8)) == most
