"""`trainlab claims check`: designs that cannot be decided, arms that differ in more than the claim names."""

import numpy as np
import pytest
from tiny import ACCURACY, claim, put

from trainlab.claims import design_check, registry
from trainlab.claims.design_power import design_power
from trainlab.claims.jobs import ClaimComposer
from trainlab.claims.judge import STOP_E, SUPPORTED, judge_mean
from trainlab.claims.registry import parse_claim
from trainlab.claims.spec import SeedCounts
from trainlab.errors import RequestError
from trainlab.stats.power import power_of_counts, power_of_mean

SEEDS = SeedCounts(first=3, most=16)
MORE = {"kind": "more", "more": "A", "than": "B", "of": ACCURACY, "by": 0.01}


def power(seeds=SEEDS, **fields):
    figure = {"kind": "curves", "title": "t", "arms": ["A", "B"]}
    content = claim(expectations=[{"says": "so", **fields}], figure=figure)
    primary = parse_claim(content, "c").primary
    assert primary is not None
    return design_power(primary, seeds)


class Here:
    """A server that calls what it is asked to in this process."""

    def call(self, function, *arguments):
        return function(*arguments)


# Power


def test_the_power_is_that_of_the_effect_beyond_the_bound():
    found = power(**MORE, expects={"mean": 0.05, "sd": 0.02})
    assert found.power == power_of_mean(2.0, 3, 16, 40.0, 20.0).supported > 0.99
    assert found.mean_seeds == power_of_mean(2.0, 3, 16, 40.0).mean_seeds
    assert "d = 2" in found.line() and not found.fault


def test_the_power_is_that_of_claims_as_the_runner_runs_them():
    """It was that of e ≥ 20 at any look, which the runner goes on from."""
    rng = np.random.default_rng(1)
    more = parse_claim(claim(expectations=[{"says": "so", **MORE, "by": 0.0}]), "c").primary
    seeds, verdicts = [], []
    for _ in range(300):
        values = {"A": dict(enumerate(rng.normal(0.9, 1.0, 12))), "B": dict.fromkeys(range(12), 0.0)}
        for n in range(3, 13):
            looked_at = {arm: dict(list(by_seed.items())[:n]) for arm, by_seed in values.items()}
            found = judge_mean(more, looked_at)  # type: ignore[arg-type]
            if max(found.e_for or 0.0, found.e_against or 0.0) >= STOP_E:
                break
        seeds.append(n)
        verdicts.append(found.verdict)
    expected = power(SeedCounts(first=3, most=12), **{**MORE, "by": 0.0}, expects={"mean": 0.9, "sd": 1.0})
    # three standard deviations of a share of 300
    assert verdicts.count(SUPPORTED) / 300 == pytest.approx(expected.power, abs=0.086)
    assert np.mean(seeds) == pytest.approx(expected.mean_seeds, abs=0.5)
    assert expected.power < power_of_mean(0.9, 3, 12, 20.0).supported


def test_an_effect_on_the_other_side_is_expected_to_be_refuted():
    found = power(**MORE, expects={"mean": -0.03, "sd": 0.02})
    assert found.power == power_of_mean(-2.0, 3, 16, 40.0, 20.0).refuted > 0.99


def test_a_bound_from_above_is_met_from_below():
    bound = {"kind": "bound", "arm": "A", "at_most": 0.3, "of": ACCURACY}
    assert (
        power(**bound, expects={"mean": 0.1, "sd": 0.1}).power == power_of_mean(2.0, 3, 16, 40, 20).supported
    )


def test_a_small_effect_is_refused_by_its_power():
    found = power(**MORE, expects={"mean": 0.02, "sd": 0.02})  # d = 0.5
    assert found.power is not None and found.power < 0.5
    assert "at the declared effect (0.02 ± 0.02, d = 0.5) with 16 seeds, expected 80% or more" in found.fault


def test_each_step_of_an_order_costs_power():
    order = {"kind": "order", "of": ACCURACY, "by": 0.0, "expects": {"mean": 0.02, "sd": 0.02}}
    one, two = power(**order, order=["A", "B"]), power(**order, order=["A", "B", "A"])
    assert one.power > two.power == pytest.approx(one.power**2, abs=0.05)  # independent of each other


def test_counts_have_the_power_of_their_shares():
    unlike = {"kind": "learns", "arm": "A", "unlike": "B"}
    found = power(**unlike, expects={"arm": 0.95, "unlike": 0.05})
    assert found.power == power_of_counts("contrast", 0.95, 3, 16, 40.0, 0.05, 20.0).supported
    at_chance = power(kind="chance", arm="A", expects={"arm": 0.05})
    assert at_chance.power == power_of_counts("majority", 0.95, 3, 16, 40.0, decided=20.0).supported
    more_often = power(kind="more_often", arm="A", than="B", expects={"arm": 0.6, "than": 0.0})
    assert more_often.power == power_of_counts("more_often", 0.6, 3, 16, 40.0, 0.0, 20.0).supported


def test_a_number_near_its_target_is_measured_in_shares_of_it():
    near = {"kind": "near", "arm": "A", "of": ACCURACY, "within": 0.1}
    number = power(**near, equals=2.0, expects={"mean": 2.02, "sd": 0.04})
    assert number.power is not None and number.power > 0.99
    assert power(**near, equals=2.0, expects={"mean": 2.2, "sd": 0.04}).power < 0.1  # on the bound


def test_six_seeds_cannot_decide_that_a_setting_learns():
    found = power(SeedCounts(first=3, most=6), kind="learns", arm="A")
    assert found.best == pytest.approx(18.14, abs=0.01)
    assert found.fault == "cannot be decided: evidence is at most 18 : 1 with 6 seeds, expected 20 : 1"
    assert not power(SeedCounts(first=3, most=7), kind="learns", arm="A").fault


# The check


def checked(folder, **changes):
    put(folder, "mine", claim(**changes))
    return design_check.check_designs(registry.load_claims(folder), Here())  # type: ignore[arg-type]


def test_a_design_that_cannot_be_decided_is_refused_in_one_line(tmp_path):
    expectation = {**MORE, "says": "so", "expects": {"mean": 0.02, "sd": 0.02}}
    with pytest.raises(RequestError, match=r"claim mine, profile quick: power \d+% at the declared"):
        checked(tmp_path, expectations=[expectation])


def test_a_budget_that_is_not_testable_needs_no_power(tmp_path):
    expectation = {**MORE, "says": "so", "expects": {"mean": 0.02, "sd": 0.02}}
    profiles = {"quick": {"not_testable": "too large"}}
    [mine] = checked(tmp_path, expectations=[expectation], profiles=profiles)
    assert mine.power == ["quick: not testable, too large"]


def test_facts_alone_are_not_tested(tmp_path):
    fact = {"kind": "exact", "says": "s", "arm": "A", "of": {"anatomy": "parameters"}, "equals": 1}
    figure = {"kind": "layers", "title": "t"}
    [mine] = checked(tmp_path, arms={"A": []}, expectations=[fact], figure=figure)
    assert mine.power == ["facts alone: nothing is tested"] and not mine.warnings


@pytest.mark.parametrize(
    ("second", "named", "warnings"),
    [
        (["depth=2"], [], ["A / B also differ in: parameters"]),
        (["depth=2"], ["parameters"], []),
        (["trainer.max_steps=2"], [], ["A / B also differ in: steps (3 / 2)"]),
        (["trainer.max_steps=2"], ["steps"], []),
        (["optimizer.lr=0.1"], [], []),
    ],
)
def test_what_else_arms_differ_in_is_said_unless_the_claim_does(tmp_path, second, named, warnings):
    put(tmp_path, "mine", claim(arms={"A": [], "B": second}, also_differs=named))
    [entry] = registry.load_claims(tmp_path)
    lines = design_check.confounds(entry, ClaimComposer(), Here())  # type: ignore[arg-type]
    assert len(lines) == len(warnings)
    assert all(line.startswith(start) for line, start in zip(lines, warnings, strict=True))


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"lesson": None}, "claim mine: lesson is missing: a claim of the course teaches"),
        (
            {"expectations": [{**MORE, "says": "so"}]},
            "claim mine: expects is missing: expected the effect",
        ),
        (
            {"tune": {"candidates": [["depth=1"], ["depth=2"]], "seeds": 2}},
            "tune.seeds=2: expected 3 or more",
        ),
    ],
)
def test_what_a_claim_lacks_is_said_in_one_line(tmp_path, changes, fault):
    with pytest.raises(RequestError) as told:
        checked(tmp_path, **changes)
    assert fault in str(told.value) and "\n" not in str(told.value)


def test_pairs_are_those_that_are_compared():
    inner = {"kind": "interaction", "says": "s", "of": ACCURACY, "pair": ["A", "B"], "against": ["B", "A"]}
    learns = {"kind": "learns", "says": "s", "arm": "A", "unlike": "B"}
    alone = {"kind": "learns", "says": "s", "arm": "A"}
    expectations = parse_claim(claim(expectations=[inner, learns, alone]), "c").expectations
    pairs = [list(design_check.compared_arms(expectation)) for expectation in expectations]
    assert pairs == [[("A", "B"), ("B", "A")], [("A", "B")], []]
