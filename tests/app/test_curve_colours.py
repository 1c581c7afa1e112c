"""A curve keeps its colour, whatever comes, goes or changes places."""

import random

from trainlab.app.compare_curves import assign_colours


def test_a_setting_keeps_its_colour_when_others_come_first_and_when_it_comes_back():
    held = {}
    groups = {"run1": ["run1", "run2"], "run3": ["run3"]}
    first = assign_colours(groups, held, 8)
    held |= {run: first[name] for name, runs in groups.items() for run in runs}
    more = {f"new{i}": [f"new{i}"] for i in range(6)} | groups
    again = assign_colours(more, held, 8)
    assert {name: again[name] for name in groups} == first
    assert len(set(again.values())) == 8, "no two alike"
    assert assign_colours({"run1": ["run1"]}, held, 8) == {"run1": first["run1"]}


def test_another_run_may_stand_for_the_setting():
    held = {"old": 5, "older": 5}
    assert assign_colours({"newer": ["newer", "old", "older"]}, held, 8) == {"newer": 5}


def test_two_people_see_the_same_colours():
    names = [f"{n:012x}" for n in (7, 99, 123456, 4, 81)]
    one = assign_colours({name: [name] for name in names}, {})
    random.Random(0).shuffle(names)
    assert assign_colours({name: [name] for name in names}, {}) == one


def test_a_live_sweep_changes_no_colour():
    """The best five of a table that grows: whoever stays among them stays as it was."""
    rng, held, before = random.Random(3), {}, {}
    scores = {}
    for step in range(60):
        scores[f"run{step}"] = rng.random()
        best = sorted(scores, key=scores.__getitem__, reverse=True)[:5]
        now = assign_colours({name: [name] for name in best}, held)
        held |= now
        assert len(set(now.values())) == len(now)
        assert all(now[name] == before[name] for name in now if name in before)
        before = now
