"""Every kind of expectation is known wherever expectations are told apart: one example each."""

import inspect
from typing import Any, get_args

import pytest
from tiny import ACCURACY, claim

from trainlab.claims import expectations as kinds
from trainlab.claims.contrasts import build_contrasts
from trainlab.claims.design_check import compared_arms
from trainlab.claims.design_power import design_power
from trainlab.claims.expectations import BaseExpectation, Contrast, Exact, Expectation, Tested
from trainlab.claims.judge import REFUTED, SUPPORTED, UNDECIDED, ExpectationResult, at_budget, withheld
from trainlab.claims.registry import parse_claim
from trainlab.claims.spec import SeedCounts
from trainlab.claims.untestable import Untestable
from trainlab.errors import RequestError

GRID = {"scale": "init.sigma_w2", "scales": [1.0, 2.0], "depths": [1, 2]}
EXAMPLES: list[dict[str, Any]] = [
    {"kind": "more", "more": "A", "than": "B", "of": ACCURACY},
    {"kind": "order", "order": ["A", "B", "C"], "of": ACCURACY},
    {"kind": "interaction", "pair": ["A", "B"], "against": ["C", "D"], "of": ACCURACY},
    {"kind": "same", "same": ["A", "B"], "within": 0.1, "of": ACCURACY},
    {"kind": "bound", "arm": "A", "at_least": 0.1, "of": ACCURACY},
    {"kind": "slope", "slope": {"A": 1, "B": 2, "C": 3}, "at_most": 0.1, "of": ACCURACY},
    {
        "kind": "slope", "slope": {"A": 1, "B": 2, "C": 3}, "less": {"D": 1, "E": 2, "F": 3}, "at_least": 0.1,
        "of": ACCURACY,
    },
    {"kind": "near", "arm": "A", "equals": 0.5, "within": 0.1, "of": ACCURACY},
    {"kind": "learns", "arm": "A"},
    {"kind": "learns", "arm": "A", "unlike": "B"},
    {"kind": "more_often", "arm": "A", "than": "B"},
    {"kind": "chance", "arm": "A"},
    {"kind": "boundary", "measure": "agreement", "at_least": 0.6},
    {"kind": "exact", "arm": "A", "of": {"anatomy": "parameters"}, "equals": 1},
]  # fmt: skip


def members(union: Any) -> set[type]:
    """The classes of a union of unions and annotated types."""
    return {union} if inspect.isclass(union) else set().union(*map(members, get_args(union)))


def parsed(example: dict[str, Any]) -> Expectation:
    arms = {name: [f"depth={number}"] for number, name in enumerate("ABCDEF", start=1)}
    content = {"says": "so", **example}
    figure = {"kind": "curves", "title": "t"}
    return parse_claim(claim(arms=arms, grid=GRID, expectations=[content], figure=figure), "c").expectations[
        0
    ]


EXPECTATIONS = [parsed(example) for example in EXAMPLES]
each_kind = pytest.mark.parametrize("expectation", EXPECTATIONS, ids=lambda one: one.kind)
each_tested = pytest.mark.parametrize(
    "expectation", [one for one in EXPECTATIONS if not isinstance(one, Exact)], ids=lambda one: one.kind
)


def test_there_is_an_example_of_every_kind():
    in_module = {
        value for value in vars(kinds).values()
        if inspect.isclass(value) and issubclass(value, BaseExpectation) and "kind" in value.model_fields
    }  # fmt: skip
    known = {
        kind for kind in members(Expectation) if inspect.isclass(kind) and issubclass(kind, BaseExpectation)
    }
    assert known == in_module == {type(one) for one in EXPECTATIONS}


@each_kind
def test_arms_that_are_set_against_each_other_are_compared(expectation):
    """A slope was missing: what else its arms differ in was not said."""
    pairs = list(compared_arms(expectation))
    named = list(dict.fromkeys(expectation.arms()))
    assert list(dict.fromkeys(arm for pair in pairs for arm in pair)) == (named if len(named) > 1 else [])
    assert all(first != second for first, second in pairs)


@each_tested
def test_its_power_is_known(expectation):
    found = design_power(expectation, SeedCounts(first=3, most=16))
    assert found.best > 20 and found.power is None and not found.fault


@pytest.mark.parametrize("verdict", [SUPPORTED, REFUTED, UNDECIDED])
@each_kind
def test_at_a_budget_far_below_the_source_it_has_a_verdict(expectation, verdict):
    judged = ExpectationResult("so", expectation.kind, verdict, "")
    found = at_budget(judged, expectation, 10, 1_000)
    assert found == judged or (found.reason and verdict != UNDECIDED)


@each_kind
def test_it_can_be_withheld(expectation):
    found = withheld(expectation, Untestable("a reason", is_final=True))
    assert found.kind == expectation.kind and found.reason == "a reason" and found.is_final


@each_tested
def test_a_misspelled_key_is_answered_with_the_closest(expectation):
    own = [
        name for name in type(expectation).model_fields if name not in {*BaseExpectation.model_fields, "kind"}
    ]
    example = next(one for one in EXAMPLES if one["kind"] == expectation.kind)
    for name in (name for name in own if len(name) > 3 and name in example):
        wrong = {f"{key}x" if key == name else key: value for key, value in example.items()}
        with pytest.raises(RequestError, match=f"unknown key '.*{name}x': did you mean '{name}'"):
            parsed(wrong)


@pytest.mark.parametrize(
    "expectation", [one for one in EXPECTATIONS if isinstance(one, tuple(members(Contrast)))],
    ids=lambda one: one.kind,
)  # fmt: skip
def test_what_is_tested_of_a_mean_is_a_number_a_seed(expectation):
    values = {arm: {seed: 0.1 * seed + i for seed in range(4)} for i, arm in enumerate("ABCDEF")}
    contrasts, bound = build_contrasts(expectation, values)
    assert {len(contrast) for contrast in contrasts} == {4} and isinstance(bound, float)
    assert members(Contrast) < members(Tested)
