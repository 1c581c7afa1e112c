"""Expectations and claims judged: what is tested, what is withheld, how often a claim is judged wrongly."""

from typing import Any

import numpy as np
import pytest
from tiny import ACCURACY, claim

from trainlab.claims import judge
from trainlab.claims.expectations import Exact
from trainlab.claims.judge import (
    DOES_NOT_HOLD,
    HOLDS,
    NOT_TESTABLE,
    NOT_TESTED,
    OUTDATED,
    REFUTED,
    STOP_E,
    SUPPORTED,
    UNDECIDED,
    ClaimVerdict,
    after_primary,
    at_budget,
    claim_verdict,
    judge_exact,
    judge_learning,
    judge_mean,
    page_verdicts,
)
from trainlab.claims.registry import parse_claim
from trainlab.claims.untestable import NO_OUTCOMES, Outcomes
from trainlab.errors import RequestError
from trainlab.stats import e_processes

A = [0.91, 0.93, 0.92, 0.95, 0.94]
B = [0.90, 0.90, 0.91, 0.91, 0.90]


def expectation(**fields):
    content = {"says": "so", **fields}
    if fields["kind"] not in ("learns", "more_often", "chance"):
        content = {"of": ACCURACY, **content}
    figure = {"kind": "curves", "title": "t", "arms": ["A", "B"]}
    return parse_claim(claim(expectations=[content], figure=figure), "c").expectations[0]


def values_of(a, b):
    return {"A": dict(enumerate(a)), "B": dict(enumerate(b))}


def learned(a, b=""):
    """Outcomes of seeds in order, 1 for a run that learned."""
    return {arm: {i: c == "1" for i, c in enumerate(runs)} for arm, runs in (("A", a), ("B", b)) if runs}


MORE = {"kind": "more", "more": "A", "than": "B", "by": 0.0}


# What is tested


def test_seeds_are_paired_and_those_that_one_arm_lacks_are_left_out():
    more = expectation(**MORE)
    full = judge_mean(more, values_of(A, B))
    assert full.n == 5
    assert full.e_for == e_processes.mean_e_values(np.subtract(A, B), 0.0).e_for
    lacking = judge_mean(more, {"A": dict(enumerate(A)), "B": {s: v for s, v in enumerate(B) if s != 2}})
    assert lacking.n == 4


def test_one_seed_is_no_evidence():
    finding = judge_mean(expectation(**MORE), {"A": {0: 1.0}, "B": {0: 0.0}})
    assert finding.verdict == UNDECIDED and finding.e_for == 1.0


def test_an_order_is_as_sure_as_its_least_sure_step():
    order = expectation(kind="order", order=["A", "B"], by=0.0)
    assert judge_mean(order, values_of(A, B)).e_for == judge_mean(expectation(**MORE), values_of(A, B)).e_for


def test_a_bound_from_above_is_the_other_side():
    at_most = expectation(kind="bound", arm="A", at_most=0.99)
    finding = judge_mean(at_most, values_of(A, B))
    assert finding.verdict == SUPPORTED
    assert finding.e_for == e_processes.mean_e_values(A, 0.99).e_against
    assert judge_mean(expectation(kind="bound", arm="A", at_most=0.5), values_of(A, B)).verdict == REFUTED


def test_an_interaction_is_a_difference_of_differences():
    inner = expectation(kind="interaction", pair=["A", "B"], against=["B", "A"], by=0.0)
    finding = judge_mean(inner, values_of(A, B))
    assert finding.estimate == pytest.approx(2 * np.mean(np.subtract(A, B)))


def test_the_interval_belongs_to_the_test():
    """A bound just inside of it is not rejected, one just outside is."""
    values = [0.5, 0.6, 0.55, 0.58, 0.52, 0.57]
    found = judge_mean(expectation(kind="bound", arm="A", at_least=0.1), values_of(values, values))
    assert found.low is not None
    for bound, verdict in ((found.low - 1e-6, SUPPORTED), (found.low + 1e-6, UNDECIDED)):
        made = expectation(kind="bound", arm="A", at_least=bound)
        assert judge_mean(made, values_of(values, values)).verdict == verdict


def test_equal_values_are_bounded_by_the_sign_test():
    same = values_of([0.9] * 4, [0.1] * 4)
    assert judge_mean(expectation(**MORE), same).e_for == 16.0
    assert judge_mean(expectation(**MORE), same).verdict == UNDECIDED
    assert judge_mean(expectation(**MORE), values_of([0.9] * 5, [0.1] * 5)).verdict == SUPPORTED


def test_one_learns_and_the_other_does_not_is_more_than_more_often():
    unlike = expectation(kind="learns", arm="A", unlike="B")
    more_often = expectation(kind="more_often", arm="A", than="B")
    both = learned("1010101010101010", "0" * 16)
    assert judge_learning(more_often, both).verdict == SUPPORTED
    assert judge_learning(unlike, both).verdict == UNDECIDED
    assert judge_learning(unlike, learned("1" * 8, "0" * 8)).verdict == SUPPORTED


def test_chance_is_refuted_by_runs_that_learn():
    at_chance = expectation(kind="chance", arm="A")
    assert judge_learning(at_chance, learned("0" * 7)).verdict == SUPPORTED
    assert judge_learning(at_chance, learned("1" * 7)).verdict == REFUTED


# What has no test


def test_a_mean_over_runs_that_learned_and_runs_that_did_not_has_no_test():
    values = values_of([0.9, 0.9, 0.9, 0.1, 0.9, 0.9], [0.2] * 6)
    found = judge_mean(expectation(**MORE), values, Outcomes(learned("111011", "000000"), {}))
    assert found.verdict == UNDECIDED and found.e_for == found.e_against == 1.0
    assert found.reason == "A: 5 of 6 learned: a mean over both kinds says nothing of either"
    assert judge_mean(expectation(**MORE), values, Outcomes(learned("111111", "000000"), {})).reason == ""


def test_a_value_that_is_not_finite_has_no_mean():
    found = judge_mean(expectation(**MORE), values_of([np.inf, 1.0, 2.0], [0.0, 0.0, 0.0]))
    assert found.reason == "1 of 3 seeds have no finite value: there is no mean to test"


def test_runs_that_reached_a_goal_and_runs_that_did_not_have_no_test():
    """One that never got there counted with the steps of the longest run, in the same t test."""
    values = values_of([500.0] * 2 + [100.0, 110.0, 105.0, 95.0], [20.0] * 6)
    got_there = Outcomes(learned("111111", "111111"), learned("001111", "111111"))
    found = judge_mean(expectation(**MORE), values, got_there)
    assert found.verdict == UNDECIDED and found.e_for == found.e_against == 1.0 and found.is_final
    assert found.reason == "A: 4 of 6 reached the goal: of the others the steps are not known, nor a mean"
    everyone = Outcomes(learned("111111", "111111"), learned("111111", "111111"))
    assert judge_mean(expectation(**MORE), values, everyone).reason == ""


@pytest.mark.parametrize(
    ("values", "outcomes", "is_final"),
    [
        (([1.0], [0.0]), NO_OUTCOMES, False),
        (([np.inf, 1.0], [0.0, 0.0]), NO_OUTCOMES, True),
        (([1.0, 0.5], [0.0, 0.0]), Outcomes({"A": {0: True, 1: False}}, {}), True),
    ],
)
def test_more_seeds_make_a_mean_of_too_few_and_not_of_two_kinds(values, outcomes, is_final):
    found = judge_mean(expectation(**MORE, primary=True), values_of(*values), outcomes)
    assert found.is_final == is_final
    [early] = judge.stopped_early([found], 2, 16)
    said = "; stopped after 2 of 16 seeds, since no further one can change that"
    assert early.reason == found.reason + (said if is_final else "")
    assert judge.stopped_early([found], 16, 16) == [found]


def test_where_some_runs_fail_few_claims_are_judged_wrongly():
    """Of runs that learn the difference is exactly the bound; one in ten does not learn."""
    rng = np.random.default_rng(0)
    made = expectation(**{**MORE, "by": 0.4})
    verdicts = []
    for _ in range(300):
        is_good = rng.random(16) < 0.9
        a = np.where(is_good, 0.9, 0.1) + rng.normal(0, 0.005, 16)
        b = 0.5 + rng.normal(0, 0.005, 16)
        for n in range(3, 17):
            outcomes = {"A": dict(enumerate(is_good[:n].tolist())), "B": dict.fromkeys(range(n), True)}
            found = judge_mean(made, values_of(a[:n], b[:n]), Outcomes(outcomes, {}))
            if found.verdict != UNDECIDED:
                break
        verdicts.append(found.verdict)
    # 5% on either side is 15; three standard deviations more is 26
    assert verdicts.count(SUPPORTED) <= 26 and verdicts.count(REFUTED) <= 26


# Claims


def result(verdict=SUPPORTED, **fields: Any):
    defaults: dict[str, Any] = {
        "description": "d",
        "kind": "more",
        "observed": "",
        "e_for": 50.0,
        "e_against": 0.1,
    }
    return judge.ExpectationResult(verdict=verdict, **{**defaults, **fields})


FACT: dict[str, Any] = {"kind": "exact", "e_for": None, "e_against": None}


def test_the_primary_expectation_makes_the_headline():
    results = [
        result(REFUTED, e_for=0.1, e_against=60.0),
        result(primary=True),
        result(DOES_NOT_HOLD, **FACT),
    ]
    assert claim_verdict(results) == ClaimVerdict(SUPPORTED, 50.0, 0.1)


def test_secondary_expectations_are_tested_where_the_primary_is_decided():
    secondary = result(REFUTED, e_for=0.1, e_against=60.0)
    fact = result(HOLDS, **FACT)
    decided = after_primary([result(primary=True), secondary, fact])
    assert [one.verdict for one in decided] == [SUPPORTED, REFUTED, HOLDS]
    undecided = after_primary([result(UNDECIDED, e_for=15.0, primary=True), secondary, fact])
    assert [one.verdict for one in undecided] == [UNDECIDED, NOT_TESTED, HOLDS]
    assert undecided[1].e_against == 60.0


def test_secondary_expectations_are_tested_together():
    """One at 20 : 1 is decided by itself; of one among four e-BH asks 80 : 1, or others that are clear."""
    primary, weak = result(primary=True), result(UNDECIDED, e_for=2.0)
    alone = [after_primary([primary, result(e_for=e), weak, weak, weak])[1].verdict for e in (79.0, 80.0)]
    assert alone == [UNDECIDED, SUPPORTED]
    together = after_primary([primary, *[result(e_for=20.0)] * 3, result(REFUTED, e_for=0.1, e_against=20.0)])
    assert [one.verdict for one in together] == [*[SUPPORTED] * 4, REFUTED]
    untuned = result(UNDECIDED, e_for=1e6, reason="A is not tuned")
    assert [one.verdict for one in after_primary([primary, untuned, result(e_for=39.0)])] == [
        SUPPORTED, UNDECIDED, UNDECIDED
    ]  # fmt: skip


def test_facts_hold_or_do_not_and_have_no_evidence():
    fact = parse_claim(
        claim(
            arms={"A": []}, figure={"kind": "layers", "title": "t"},
            expectations=[
                {"kind": "exact", "says": "s", "arm": "A", "of": {"anatomy": "parameters"}, "equals": 5}
            ],
        ),
        "c",
    ).expectations[0]  # fmt: skip
    assert isinstance(fact, Exact)
    right, wrong = judge_exact(fact, 5), judge_exact(fact, 6)
    assert (right.verdict, right.e_for) == (HOLDS, None)
    assert (wrong.verdict, wrong.observed) == (DOES_NOT_HOLD, "6, expected 5")
    assert claim_verdict([right]).verdict == HOLDS
    assert claim_verdict([right, wrong]) == ClaimVerdict(DOES_NOT_HOLD)


@pytest.mark.parametrize(
    ("fields", "verdict", "expected"),
    [
        ({"kind": "learns", "arm": "A"}, REFUTED, NOT_TESTABLE),
        ({"kind": "learns", "arm": "A"}, SUPPORTED, SUPPORTED),
        ({"kind": "learns", "arm": "A", "unlike": "B"}, SUPPORTED, NOT_TESTABLE),  # B may have had no time to
        ({"kind": "chance", "arm": "A"}, SUPPORTED, NOT_TESTABLE),
        ({"kind": "chance", "arm": "A"}, REFUTED, REFUTED),  # what has learned has learned
        ({"kind": "same", "same": ["A", "B"], "within": 0.1}, REFUTED, REFUTED),
        (MORE, REFUTED, NOT_TESTABLE),
    ],
)
def test_what_did_not_happen_in_a_tenth_of_the_steps_decides_nothing(fields, verdict, expected):
    parsed = expectation(**fields, primary=True)
    judged = result(verdict, kind=parsed.kind, e_for=60.0, e_against=0.1, primary=True)
    withheld = at_budget(judged, parsed, 99_999, 1_000_000)
    assert (withheld.verdict, bool(withheld.reason)) == (expected, expected == NOT_TESTABLE)
    assert claim_verdict([withheld]).verdict == expected
    assert at_budget(judged, parsed, 100_000, 1_000_000) == at_budget(judged, parsed, 10, None) == judged


# Among others


def test_a_page_asks_more_of_each_claim_the_fewer_of_them_are_clear():
    clear = {f"clear {i}": ClaimVerdict(SUPPORTED, 41.0, 0.1) for i in range(5)}
    rest = {f"open {i}": ClaimVerdict(UNDECIDED, 1.0, 1.0) for i in range(5)}
    assert page_verdicts({**clear, **rest})["clear 0"] == (SUPPORTED, 41.0)
    rest |= {f"more {i}": ClaimVerdict(UNDECIDED, 1.0, 1.0) for i in range(2)}
    assert page_verdicts({**clear, **rest})["clear 0"] == (UNDECIDED, 41.0)


def test_facts_take_no_part_and_withheld_verdicts_are_no_evidence():
    claims = {
        "fact": ClaimVerdict(HOLDS),
        "clear": ClaimVerdict(REFUTED, 0.1, 39.0),
        "small": ClaimVerdict(NOT_TESTABLE, 0.1, 1e6, "100 steps, where the source has 1,000,000"),
        "untestable": ClaimVerdict(NOT_TESTABLE, reason="too large"),
        "old": ClaimVerdict(SUPPORTED),
    }
    verdicts = {name: verdict for name, (verdict, _) in page_verdicts(claims).items()}
    assert verdicts == {
        "fact": HOLDS, "clear": UNDECIDED, "small": NOT_TESTABLE, "untestable": NOT_TESTABLE, "old": OUTDATED
    }  # fmt: skip
    claims["clear"] = ClaimVerdict(REFUTED, 0.1, 40.0)
    assert page_verdicts(claims)["clear"].verdict == REFUTED


# Error and power, as the runner looks: after every seed


def simulated(effect: float, rng, most: int = 16) -> str:
    more = expectation_at_zero
    a, b = rng.normal(effect, 1, most), rng.normal(0, 1, most)
    for n in range(3, most + 1):
        found = judge_mean(more, values_of(a[:n], b[:n]))
        if max(found.e_for or 0.0, found.e_against or 0.0) >= STOP_E:
            break
    return found.verdict


expectation_at_zero = expectation(**MORE)


def test_a_null_claim_is_seldom_decided_however_often_it_is_looked_at():
    rng = np.random.default_rng(0)
    seen = [simulated(0.0, rng) for _ in range(200)]
    # 5% of 200 is 10; three standard deviations more is 19
    assert seen.count(SUPPORTED) <= 19 and seen.count(REFUTED) <= 19


def test_a_planted_effect_is_found_and_its_contrary_refuted():
    rng = np.random.default_rng(0)
    assert [simulated(3.0, rng) for _ in range(60)].count(SUPPORTED) >= 57
    assert [simulated(-3.0, rng) for _ in range(60)].count(REFUTED) >= 57


def test_a_page_of_null_claims_seldom_has_any_verdict():
    rng = np.random.default_rng(0)
    false = 0
    for _ in range(60):
        sides = [e_processes.mean_e_values(rng.normal(0, 1, 5), 1e-9) for _ in range(20)]
        page = page_verdicts({str(i): ClaimVerdict(UNDECIDED, *both) for i, both in enumerate(sides)})
        false += any(verdict == SUPPORTED for verdict, _ in page.values())
    assert false <= 0.134 * 60  # 5%, and three standard deviations


# Slopes


def ladder(**fields):
    arms = {name: [f"depth={depth}"] for name, depth in (("A", 1), ("B", 2), ("C", 3))}
    content = {"kind": "slope", "says": "so", "of": ACCURACY, **fields}
    figure = {"kind": "curves", "title": "t", "arms": ["A", "B"]}
    return parse_claim(claim(arms=arms, expectations=[content], figure=figure), "c").expectations[0]


def test_a_slope_is_that_of_least_squares_seed_by_seed():
    generator = np.random.default_rng(0)
    values = {arm: dict(enumerate(generator.normal(size=6))) for arm in "ABC"}
    depths = {"A": 4.0, "B": 6.0, "C": 14.0}
    contrasts, bound = judge.build_contrasts(ladder(slope=depths, at_least=0.1), values)
    expected = [
        np.polyfit([*depths.values()], [values[arm][seed] for arm in depths], 1)[0] for seed in range(6)
    ]
    assert contrasts[0] == pytest.approx(expected) and bound == 0.1
    other = {"C": 1.0, "B": 2.0, "A": 9.0}
    less, _ = judge.build_contrasts(ladder(slope=depths, less=other, at_most=0.0), values)
    of_other = [np.polyfit([*other.values()], [values[arm][s] for arm in other], 1)[0] for s in range(6)]
    assert less[0] == pytest.approx(np.subtract(expected, of_other))


def test_a_law_over_depth_is_decided_on_either_side():
    noise = np.random.default_rng(1).normal(scale=0.02, size=(3, 8))
    depths = {"A": 4.0, "B": 6.0, "C": 8.0}
    values = {arm: dict(enumerate(0.1 * x + noise[i])) for i, (arm, x) in enumerate(depths.items())}
    verdicts = {
        name: judge_mean(ladder(slope=depths, **{name: bound}), values).verdict
        for name, bound in (("at_least", 0.05), ("at_most", 0.05))
    }
    assert verdicts == {"at_least": SUPPORTED, "at_most": REFUTED}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"slope": {"A": 1, "B": 2, "C": 3}}, "expected one of at_least and at_most"),
        ({"slope": {"A": 1, "B": 1, "C": 1}, "at_least": 0}, "one number for all arms"),
        ({"slope": {"A": 1, "B": 2}, "at_least": 0}, "slope"),
        ({"slope": {"A": 1, "B": 2, "D": 3}, "at_least": 0}, "D"),
    ],
)
def test_a_slope_needs_arms_that_differ(fields, message):
    with pytest.raises(RequestError, match=message):
        ladder(**fields)
