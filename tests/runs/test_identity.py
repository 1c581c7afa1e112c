import copy
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainlab.errors import RequestError
from trainlab.runs import identity
from trainlab.runs.identity import flatten, hashed_settings, run_id

FROZEN = json.loads((Path(__file__).parent / "frozen_example.json").read_text())
PRINT = FROZEN["fingerprint"]
BASE = run_id(FROZEN["settings"], PRINT)


def shuffled(node, draw):
    if not isinstance(node, dict):
        return node
    keys = draw(st.permutations(list(node)))
    return {key: shuffled(node[key], draw) for key in keys}


def test_the_id_of_the_frozen_example_never_changes():
    assert run_id(FROZEN["settings"], PRINT) == FROZEN["run_id"]


@given(st.data())
def test_the_order_of_keys_does_not_matter(data):
    assert run_id(shuffled(FROZEN["settings"], data.draw), PRINT) == BASE


NOT_DECISIVE = {
    "group": "another",
    "axes": {"activation": "relu"},
    "checkpoint": "both",
    "signals": False,
    "logger": {"_target_": "wandb"},
    "resume": False,
    "paths__runs": "/elsewhere",
    "paths__data": "/elsewhere",
    "trainer__accelerator": "gpu",
    "trainer__strategy": "ddp",
    "trainer__threads": 4,
    "trainer__devices": "auto",
    "trainer__profiler": "simple",
    "trainer__progress_bar": False,
    "data__root": "/elsewhere",
    "data__source": {"_target_": "mine.Images", "folder": "/elsewhere"},
    "data__default_epochs": 30,
    "sweep": {"rerun": True},
    "callbacks": {"progress": "rich"},
    "debug": {"profiler": "simple"},
    "optimizer__weight_decay": None,
    "data__permute_pixels": None,
    "data__label_noise": 0.0,
    "model__bias": None,
    "early_stop": {},
}


@given(st.lists(st.sampled_from(sorted(NOT_DECISIVE)), unique=True))
def test_what_does_not_decide_the_result_does_not_change_the_id(settings_of, names):
    assert run_id(settings_of(**{name: NOT_DECISIVE[name] for name in names}), PRINT) == BASE


DECISIVE = {
    "activation__negative_slope": 0.3,
    "init__gain": 1.0,
    "normalization": {"_target_": "trainlab.nn.normalization.Raw"},
    "norm_layer__layer": None,
    "norm_layer__position": "after_activation",
    "pool__kernel_size": 3,
    "model__depth": 5,
    "data__name": "mnist",
    "data__batch_size": 64,
    "data__train_size": 500,
    "data__split_seed": 1,
    "data__permute_pixels": 0,
    "data__label_noise": 0.2,
    "augment": {"_target_": "trainlab.data.FlipCrop"},
    "optimizer__lr": 0.01,
    "optimizer__betas": [0.9, 0.99],
    "scheduler__warmup_fraction": 0.1,
    "seed": 1,
    "width": 33,
    "depth": 5,
    "early_stop": 3,
    "trainer__max_epochs": 6,
    "trainer__max_steps": 100,
    "trainer__precision": "bf16-mixed",
    "trainer__gradient_clip": 1.0,
    "trainer__devices": 2,
    "trainer__val_every_epochs": 2,
    "trainer__label_smoothing": 0.1,
    "trainer__test_views": "mirrored",
    "debug": {"one_batch": True},
    "resume": "0123456789ab",
}


def test_every_decisive_setting_changes_the_id_in_its_own_way(settings_of):
    ids = {name: run_id(settings_of(**{name: value}), PRINT) for name, value in DECISIVE.items()}
    assert len({*ids.values(), BASE}) == len(ids) + 1
    assert run_id(FROZEN["settings"], "another fingerprint") not in {*ids.values(), BASE}


@given(st.integers(1, 50), st.integers(1, 50))
def test_two_seeds_are_one_run_only_when_equal(settings_of, first, second):
    same = run_id(settings_of(seed=first), PRINT) == run_id(settings_of(seed=second), PRINT)
    assert same == (first == second)


@pytest.mark.parametrize("number", [1, 3, 10**6])
def test_a_whole_number_is_the_same_as_integer_and_as_float(number, settings_of):
    first, second = settings_of(optimizer__lr=number), settings_of(optimizer__lr=float(number))
    assert run_id(first, PRINT) == run_id(second, PRINT)
    assert run_id(settings_of(optimizer__nesterov=True), PRINT) != run_id(
        settings_of(optimizer__nesterov=1), PRINT
    )


@pytest.mark.parametrize("devices", [2, 2.0, "2", [0, 1], "0,1", [3, 7]])
def test_devices_count_and_which_ones_does_not(devices, settings_of):
    assert run_id(settings_of(trainer__devices=devices), PRINT) == run_id(
        settings_of(trainer__devices=2), PRINT
    )


@pytest.mark.parametrize("devices", [0, -1, "many", True, 1.5, []])
def test_a_number_of_devices_that_is_none_is_refused(devices, settings_of):
    with pytest.raises(RequestError, match=r"trainer\.devices"):
        run_id(settings_of(trainer__devices=devices), PRINT)


def test_a_run_that_continues_itself_keeps_its_id(settings_of):
    for own in (True, None, False, BASE, f"runs/{BASE}/checkpoints/last.ckpt", f"/far/runs/{BASE}"):
        assert run_id(settings_of(resume=own), PRINT) == BASE


def test_another_runs_checkpoint_is_known_by_the_run_not_by_where_it_lies(settings_of):
    here = run_id(settings_of(resume="runs/0123456789ab/checkpoints/last.ckpt"), PRINT)
    there = run_id(settings_of(resume="/far/0123456789ab/checkpoints/last.ckpt"), PRINT)
    best = run_id(settings_of(resume="runs/0123456789ab/checkpoints/best.ckpt"), PRINT)
    assert here == there != BASE
    assert best not in (here, BASE)


def test_a_setting_added_later_is_not_hashed_at_its_default(monkeypatch, settings_of):
    monkeypatch.setitem(identity.ADDED_LATER, "optimizer.fused.kind", "auto")
    at_default = settings_of(optimizer__fused={"kind": "auto"})
    before = copy.deepcopy(at_default)
    assert run_id(at_default, PRINT) == BASE
    assert run_id(settings_of(optimizer__fused={"kind": "never"}), PRINT) != BASE
    assert at_default == before, "the caller's settings were changed"


def test_what_is_not_plain_is_refused_by_name(settings_of):
    with pytest.raises(RequestError, match="object"):
        run_id(settings_of(optimizer__lr=object()), PRINT)


def test_flat_names_every_leaf_once():
    assert flatten({"a": {"b": {"c": 1}, "d": [2]}, "e": None}) == {"a.b.c": 1, "a.d": [2], "e": None}
    assert flatten(hashed_settings(FROZEN["settings"]))["norm_layer.layer._target_"] == "torch.nn.BatchNorm2d"
