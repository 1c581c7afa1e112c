"""Wrong verdicts on claims at the boundary stay rare, and the page says what was simulated."""

import json
from collections.abc import Iterator
from itertools import chain

import pytest
from experiments.statistics.boundary import Row, not_normal, wrong_verdicts
from experiments.statistics.mixtures import meaning_of_the_rule, wrong_verdicts_of_mixtures
from experiments.statistics.page import README, RESULTS, render_readme
from experiments.statistics.pages import false_discoveries
from experiments.statistics.simulate import Results, simulate_all

from trainlab.stats.e_processes import ALPHA


@pytest.fixture(scope="module")
def recorded() -> Results:
    return json.loads(RESULTS.read_text(encoding="utf-8"))


def most_wrong(rows: list[Row]) -> float:
    return max(chain.from_iterable((row["supported"], row["refuted"]) for row in rows))


def test_looking_after_every_seed_is_wrong_no_more_often_than_alpha():
    rows = wrong_verdicts(claims=2_000)
    assert {kind for row in rows for kind in row["kind"].replace("`", "").split(", ")} >= {
        "more", "bound", "interaction", "same", "order of three", "learns", "learns … unlike", "more_often",
    }  # fmt: skip
    assert 0.01 < most_wrong(rows) <= ALPHA
    assert most_wrong(not_normal(claims=2_000)) > ALPHA, "the page says where the t test is too sure"


def test_the_rule_of_one_outcome_is_wrong_no_more_often_than_alpha_where_tests_of_all_runs_are():
    rows = wrong_verdicts_of_mixtures(claims=2_000)
    assert max(row["rule"] for row in rows) <= ALPHA
    assert max(row["fixed_t"] or 0 for row in rows) > 0.5
    assert max(row["all_runs"] or 0 for row in rows) > 0.5
    assert all(row["wrong"] == 0 < row["decided"] for row in meaning_of_the_rule(claims=2_000))


def test_of_the_verdicts_of_a_page_few_are_wrong_however_claims_depend():
    rows = false_discoveries(pages=60)
    assert {row["correlation"] for row in rows} == {0.0, 0.5, 0.9}
    assert max(row["either_side"] for row in rows) <= ALPHA
    assert min(row["supported"] or 0 for row in rows if row["at_boundary"] == 7) > 0.9


def test_the_page_says_what_is_recorded(recorded):
    assert render_readme(recorded) == README.read_text(encoding="utf-8"), "python -m experiments.statistics"
    assert "<!--" not in README.read_text(encoding="utf-8")
    assert max(most_wrong(recorded["boundary"]), *(row["rule"] for row in recorded["mixtures"])) <= ALPHA
    assert max(row["either_side"] for row in recorded["page"]) <= ALPHA


@pytest.mark.slow
def test_the_record_is_what_the_simulation_says(recorded):
    again = json.loads(json.dumps(simulate_all()))
    assert again.keys() == recorded.keys() and recorded["claims"] >= 1_000
    for ours, theirs in zip(leaves(again), leaves(recorded), strict=True):
        if isinstance(theirs, float):
            assert ours == pytest.approx(theirs, rel=5e-3, abs=2e-3)
        else:
            assert ours == theirs


def leaves(content: object) -> Iterator[object]:
    """Numbers and texts of plain data, in order."""
    if isinstance(content, dict):
        content = list(content.values())
    if isinstance(content, list):
        for item in content:
            yield from leaves(item)
    else:
        yield content
