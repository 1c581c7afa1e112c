"""A grid of cells, how theory's boundary is judged on it, and numbers that are expected layer by layer."""

import numpy as np
import pytest
from tiny import claim, put

from trainlab.analysis.phase_diagram import AT_CHANCE, LEARNED, PhasePoint
from trainlab.claims import judge, phase_agreement
from trainlab.claims import registry as claims
from trainlab.claims.claim_record import ClaimRecord
from trainlab.claims.claim_tables import grid_table, tuning_table
from trainlab.claims.expectations import PhaseBoundary
from trainlab.claims.registry import parse_claim
from trainlab.errors import RequestError

GRID = {"scale": "init.sigma_w2", "scales": [1.0, 1.5], "depths": [2, 4]}
BOUNDARY = {"kind": "boundary", "says": "so", "measure": "agreement", "at_least": 0.75}
DIAGRAM = {"kind": "phase_diagram", "title": "t"}
MEAN = {"value": None, "low": None, "high": None}
ARM = {
    "n": 5, "statuses": {}, "parameters": 10, "runs": {}, "causes": {},
    "test/acc": MEAN, "train/acc": MEAN, "test/loss": MEAN,
}  # fmt: skip
RECORD = {
    "name": "mine", "statement": "s", "question": "q", "source": "s", "profile": "quick", "scale": "tiny",
    "differs": "d", "try": "t", "verdict": "supported", "e_for": 30.0, "e_against": 0.1, "findings": [],
    "arms": [], "overrides": {}, "shared": [], "seeds": [0], "run_seconds": 1.0, "commits": [], "machine": "",
    "data": [],
}  # fmt: skip


def record(**changes) -> ClaimRecord:
    return ClaimRecord.model_validate({**RECORD, **changes})


def grid_claim(**changes):
    content = claim(**{"grid": GRID, "expectations": [BOUNDARY], "figure": DIAGRAM, **changes})
    del content["arms"]
    return content


def places(xi, learned_up_to, depths=(2, 4, 8, 16), seed=0):
    """Cells of one seed: of each scale its ξ, and the depth up to which it learned."""
    return [
        PhasePoint(scale, depth, seed, LEARNED if depth <= learned_up_to[scale] else AT_CHANCE, xi=xi[scale])
        for scale in xi
        for depth in depths
    ]


def test_every_pair_of_scale_and_depth_is_an_arm_that_is_trained():
    made = parse_claim(grid_claim(), "mine")
    assert made.arms["1.5 × 4"] == ["init.sigma_w2=1.5", "depth=4"]
    assert made.trained_arms == ["1 × 2", "1.5 × 2", "1 × 4", "1.5 × 4"]


def test_an_expectation_may_name_a_cell():
    learns = {"kind": "learns", "says": "s", "arm": "1.5 × 4", "unlike": "1 × 4"}
    assert parse_claim(grid_claim(expectations=[learns, BOUNDARY]), "mine").expectations[0].arms() == [
        "1.5 × 4",
        "1 × 4",
    ]
    with pytest.raises(
        RequestError, match=r"unknown arm in expectation 1 '1\.5 × 5': did you mean '1\.5 × 4'"
    ):
        parse_claim(grid_claim(expectations=[{**learns, "arm": "1.5 × 5"}, BOUNDARY]), "mine")


def test_a_boundary_needs_a_grid():
    with pytest.raises(RequestError, match="a boundary and a phase diagram are of a grid"):
        parse_claim(claim(expectations=[BOUNDARY]), "mine")


def test_a_fault_of_the_grid_is_reported_with_its_place():
    with pytest.raises(RequestError, match=r"grid\.depths"):
        parse_claim(grid_claim(grid={**GRID, "depths": [2]}), "mine")


def test_agreement_is_one_where_theory_is_right_and_a_half_where_it_guesses():
    xi = {1.0: 0.5, 1.5: 2.0}
    right = places(xi, {1.0: 2, 1.5: 8})  # 6ξ: 3 and 12
    assert phase_agreement.theory_balanced_accuracy(right, 6.0) == 1.0
    assert phase_agreement.theory_balanced_accuracy(right, 1e9) == 0.5  # all learn, it says
    assert phase_agreement.theory_balanced_accuracy(places(xi, {1.0: 16, 1.5: 16}), 6.0) == 0.5
    inverted = [PhasePoint(p.scale, p.depth, 0, AT_CHANCE if p.learned else LEARNED, xi=p.xi) for p in right]
    assert phase_agreement.theory_balanced_accuracy(inverted, 6.0) == 0.0


def test_agreement_weighs_both_sides_the_same():
    xi = {1.0: 0.5, 1.5: 2.0}
    cells = places(xi, {1.0: 2, 1.5: 4})  # one cell of five that do not learn is called wrong
    assert phase_agreement.theory_balanced_accuracy(cells, 6.0) == pytest.approx((1 + 4 / 5) / 2)


def test_an_advantage_is_over_the_best_depth_and_a_number_for_each_scale():
    xi = {1.0: 0.5, 1.5: 2.0}  # 6ξ: 3 and 12
    cells = places(xi, {1.0: 2, 1.5: 8})
    advantage = phase_agreement.advantage_by_scale(cells, 6.0)
    assert len(advantage) == 2 and sum(advantage) > 0  # all right, which no one depth is
    same = places(xi, {1.0: 4, 1.5: 4})
    assert sum(phase_agreement.advantage_by_scale(same, 6.0)) < 0  # depth ≤ 4 is right everywhere
    assert phase_agreement.advantage_by_scale(cells * 3, 6.0) == pytest.approx(advantage)


def test_an_advantage_needs_its_seeds_fixed():
    made = grid_claim(expectations=[{**BOUNDARY, "measure": "advantage"}])
    parse_claim({**made, "profiles": {"quick": {"scale": "s", "seeds": {"first": 3, "most": 3}}}}, "mine")
    with pytest.raises(RequestError, match=r"quick: an advantage .* first = most"):
        parse_claim({**made, "profiles": {"quick": {"scale": "s", "seeds": {"first": 3, "most": 4}}}}, "mine")


def test_the_deepest_that_learns_is_ranked_as_xi_is():
    xi = {1.0: 3.0, 1.5: 20.0, 1.76: 100.0, 3.0: 9.0}
    follows = {1.0: 2, 1.5: 8, 1.76: 16, 3.0: 4}
    assert phase_agreement.depth_rank_correlation(places(xi, follows)) == pytest.approx(1.0)
    assert phase_agreement.depth_rank_correlation(
        places(xi, {1.0: 16, 1.5: 4, 1.76: 2, 3.0: 8})
    ) == pytest.approx(-1.0)
    assert phase_agreement.depth_rank_correlation(places(xi, dict.fromkeys(xi, 4))) == 0.0
    never = {**follows, 1.0: 0}
    assert phase_agreement.depth_rank_correlation(places(xi, never)) == pytest.approx(1.0)


def test_a_boundary_is_judged_over_seeds():
    made = parse_claim(grid_claim(), "mine").expectations[0]
    assert isinstance(made, PhaseBoundary)
    xi = {1.0: 0.5, 1.5: 2.0}
    cells = [cell for seed in range(5) for cell in places(xi, {1.0: 2, 1.5: 8}, seed=seed)]
    values = phase_agreement.phase_boundary_by_seed(made, cells)
    assert values == [1.0] * 5
    assert judge.judge_phase_boundary(made, values).verdict == judge.SUPPORTED
    assert judge.judge_phase_boundary(made, [0.5, 0.6, 0.4, 0.5, 0.55]).verdict == judge.REFUTED
    assert judge.judge_phase_boundary(made, [0.6, 0.9, 0.7, 0.8, 0.75]).verdict == judge.UNDECIDED


def near(**changes):
    of = {"signal": "activation_std", "layer": "first"}
    content = {"kind": "near", "says": "so", "arm": "A", "of": of, "equals": {"a": 0.5, "b": 0.05},
               "within": 0.1, **changes}  # fmt: skip
    figure = {"kind": "curves", "title": "t", "arms": ["A", "B"]}
    return parse_claim(claim(expectations=[content], figure=figure), "mine").expectations[0]


def around(centre, spread=0.01):
    return list(centre * (1 + spread * np.array([-1.0, -0.5, 0.0, 0.5, 1.0])))


@pytest.mark.parametrize(
    ("a", "b", "verdict"),
    [
        (around(0.5), around(0.05), judge.SUPPORTED),
        (around(0.53), around(0.047), judge.SUPPORTED),
        (around(0.5), around(0.06), judge.REFUTED),  # a layer off by a fifth, small as it is
        (around(0.5), around(0.05, 0.3), judge.UNDECIDED),
    ],
)
def test_every_layer_must_be_near_its_own_number(a, b, verdict):
    assert judge.judge_approx_equal(near(), {"a": a, "b": b}).verdict == verdict


def test_what_was_seen_names_each_layer_with_what_was_expected():
    finding = judge.judge_approx_equal(near(), {"a": around(0.5), "b": around(0.054)})
    assert "a 0.5, expected 0.5; b 0.054, expected 0.05; the worst is off by 8.0 %" in finding.observed
    assert finding.estimate == pytest.approx(8.0) and finding.unit == "%"


def test_a_single_number_is_of_the_sources_own_layer():
    made = near(equals=2.0)
    assert made.source_of_layer("").layer == "first" and made.targets == {"": 2.0}
    assert near().source_of_layer("b").layer == "b"
    assert judge.judge_approx_equal(made, {"": around(2.05)}).verdict == judge.SUPPORTED
    assert judge.judge_approx_equal(made, {"": [2.0]}).verdict == judge.UNDECIDED


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"equals": {"a": 0.0}}, "0 has no shares"),
        ({"of": {"metric": "test/acc"}}, "numbers by layer need a source of layers"),
        ({"within": 1.5}, "within=1.5"),
    ],
)
def test_what_cannot_be_near_is_refused(changes, message):
    with pytest.raises(RequestError, match=message):
        near(**changes)


def test_a_page_shows_a_grid_as_a_grid():
    cells = [
        {**ARM, "arm": f"{scale:g} × {depth}", "learned": depth} for scale in (1.0, 1.5) for depth in (2, 4)
    ]
    table = grid_table(record(grid=GRID, arms=cells))
    assert "| depth | 1 | 1.5 |" in table
    assert table.index("| 4 | 4 of 5 | 4 of 5 |") < table.index("| 2 | 2 of 5 | 2 of 5 |")


def test_a_page_shows_what_was_tried_and_says_where_the_best_is_at_the_edge():
    tried = [{"overrides": [f"lr={lr}"], "val/acc": acc} for lr, acc in ((1, 0.5), (2, 0.9), (3, None))]
    inside = tuning_table(record(tuned={"A": {"tried": tried, "chosen": ["lr=2"]}}))
    assert "| A | 50.00 % | **90.00 %** | diverged |" in inside and "not tuned" not in inside
    mixed = [
        {"overrides": ["lr=1"], "val/acc": 0.5, "learned": n, "worst": w} for n, w in ((1, 2), (0, 0), (3, 0))
    ]
    told = tuning_table(record(tuned={"A": {"tried": mixed, "chosen": ["lr=2"], "seeds": 3}}))
    assert "| A | 50.00 % (2 diverged or failed, 1 of 3 learned) | 50.00 % | 50.00 % |" in told
    edge = tuning_table(record(tuned={"A": {"tried": tried[:2], "chosen": ["lr=2"], "edge": "high"}}))
    assert "A: not tuned, its best is the largest value tried." in edge


def test_collections_are_loaded_and_judged_apart(tmp_path):
    put(tmp_path, "paper", claim(collection="papers", order=1))
    put(tmp_path, "lesson", claim(order=2))
    assert [entry.name for entry in claims.load_claims(tmp_path)] == ["lesson", "paper"]
    assert [entry.name for entry in claims.load_claims(tmp_path, collection="papers")] == ["paper"]
    with pytest.raises(RequestError, match="unknown collection 'paper': did you mean 'papers'"):
        claims.load_claims(tmp_path, collection="paper")
    with pytest.raises(RequestError, match="none of these claims is of the collection papers"):
        claims.load_claims(tmp_path, ["lesson"], "papers")


def test_a_verdict_is_among_the_claims_of_its_collection_and_no_others():
    from trainlab.claims.collection_pages import verdicts_by_claim

    lessons = {"lesson 0": record(), "lesson 1": record(e_for=2.0), "lesson 2": record(e_for=1.0)}
    records = lessons | {"paper": record(collection="papers")}
    judged = verdicts_by_claim(records)
    assert judged["paper"] == (judge.SUPPORTED, 30.0)
    assert judged["lesson 0"] == (judge.UNDECIDED, 30.0)  # one of three: e-BH asks 60 of it
