import itertools
import time
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from trainlab.analysis import compare, estimate_effects, mean_interval
from trainlab.errors import RequestError

ACTIVATIONS, INITS, DEPTHS = ("relu", "sigmoid", "tanh"), ("glorot", "kaiming"), (4, 8)


def rows_of(score, seeds=2, drop=()):
    settings = list(itertools.product(ACTIVATIONS, INITS, DEPTHS))
    return [
        {"activation": a, "init": i, "depth": d, "seed": seed, "test/acc": score(a, i, d, seed)}
        for number, (a, i, d) in enumerate(settings)
        for seed in range(seeds)
        if (number, seed) not in drop
    ]


def explained_by_lstsq(rows, *factors):
    """Sum of squares that indicators of the factors explain over the runs themselves: the slow twin."""
    y = np.array([row["test/acc"] for row in rows])
    columns = [np.ones(len(rows))]
    for factor in factors:
        keys = [tuple(row[name] for name in factor) for row in rows]
        columns += [np.array([key == level for key in keys], dtype=float) for level in set(keys)]
    x = np.stack(columns, axis=1)
    fitted = x @ np.linalg.lstsq(x, y, rcond=None)[0]
    return ((fitted - y.mean()) ** 2).sum(), np.linalg.matrix_rank(x)


def chance_by_lstsq(rows):
    """The mean square within settings, and the total that shares are of."""
    y = np.array([row["test/acc"] for row in rows])
    within, rank = explained_by_lstsq(rows, ("activation", "init", "depth"))
    total = ((y - y.mean()) ** 2).sum()
    mean_square = (total - within) / (len(rows) - rank)
    return mean_square, total + mean_square


@given(
    st.lists(st.floats(0, 1), min_size=24, max_size=24),
    st.sets(st.tuples(st.integers(0, 11), st.integers(0, 1)), max_size=8),
)
def test_shares_are_those_of_least_squares_over_the_runs(runs_of, scores, drop):
    given_scores = iter(scores)
    rows = rows_of(lambda *_: next(given_scores), drop=drop)
    assume(np.std([row["test/acc"] for row in rows]) > 1e-3)
    result = estimate_effects(runs_of(rows))
    axes = [("activation",), ("init",), ("depth",)]
    full, full_rank = explained_by_lstsq(rows, *axes)
    chance, total = chance_by_lstsq(rows)
    explained = (full - (full_rank - 1) * chance) / total
    assert result.unexplained == pytest.approx(1 - explained, abs=1e-9)
    for row in result.shares.to_dicts():
        others = [axis for axis in axes if axis != (row["axis"],)]
        without, rank = explained_by_lstsq(rows, *others)
        assert row["degrees_of_freedom"] == full_rank - rank
        share = (full - without - row["degrees_of_freedom"] * chance) / total
        assert row["share"] == pytest.approx(share if row["degrees_of_freedom"] else None, abs=1e-9)
    for row in result.interactions.to_dicts():
        both, rank = explained_by_lstsq(rows, *axes, (row["first"], row["second"]))
        assert row["degrees_of_freedom"] == rank - full_rank
        if row["share"] is not None:
            share = (both - full - row["degrees_of_freedom"] * chance) / total
            assert row["share"] == pytest.approx(share, abs=1e-9)


def test_on_a_balanced_grid_the_shares_are_omega_squared_and_add_up(runs_of):
    random = np.random.default_rng(0)
    rows = rows_of(lambda a, i, d, s: ACTIVATIONS.index(a) + 0.5 * INITS.index(i) + random.normal(0, 0.1))
    result = estimate_effects(runs_of(rows))
    assert result.balanced
    y = np.array([row["test/acc"] for row in rows])
    for row in result.shares.to_dicts():
        of_level = [
            np.mean([other["test/acc"] for other in rows if other[row["axis"]] == this[row["axis"]]])
            for this in rows
        ]
        chance, total = chance_by_lstsq(rows)
        squares = len(y) * np.var(of_level)
        assert row["share"] == pytest.approx((squares - row["degrees_of_freedom"] * chance) / total)
    assert result.shares["axis"].to_list() == ["activation", "init", "depth"]
    assert result.shares["share"].sum() + result.unexplained == pytest.approx(1)
    assert result.levels["adjusted"].to_list() == pytest.approx(result.levels["mean"].to_list())


def test_a_pure_interaction_shows_only_there(runs_of):
    rows = rows_of(lambda a, i, d, s: float((i == "kaiming") == (d == 8)))
    result = estimate_effects(runs_of(rows))
    assert result.shares["share"].to_list() == pytest.approx([0, 0, 0], abs=1e-12)
    best = result.interactions.row(0, named=True)
    assert {best["first"], best["second"]} == {"init", "depth"}
    assert best["share"] == pytest.approx(1)
    assert result.unexplained == pytest.approx(1)


def test_levels_are_means_over_settings_with_seeds_averaged(runs_of):
    random = np.random.default_rng(0)
    rows = rows_of(lambda *_: random.random(), seeds=3)
    result = estimate_effects(runs_of(rows)).levels
    relu = result.row(by_predicate=pl.col("level") == "relu", named=True)
    settings = [
        np.mean(
            [
                row["test/acc"]
                for row in rows
                if (row["activation"], row["init"], row["depth"]) == ("relu", i, d)
            ]
        )
        for i, d in itertools.product(INITS, DEPTHS)
    ]
    assert (relu["settings"], relu["mean"]) == (4, pytest.approx(np.mean(settings)))
    means = {
        (a, i, d): np.mean(
            [r["test/acc"] for r in rows if (r["activation"], r["init"], r["depth"]) == (a, i, d)]
        )
        for a, i, d in itertools.product(ACTIVATIONS, INITS, DEPTHS)
    }
    blocks = list(itertools.product(INITS, DEPTHS))
    beyond = [means["relu", *b] - np.mean([means[a, *b] for a in ACTIVATIONS]) for b in blocks]
    of_blocks = mean_interval(np.sqrt(3 / 2) * np.array(beyond))
    assert of_blocks.low is not None and of_blocks.high is not None and of_blocks.value is not None
    half = (of_blocks.high - of_blocks.low) / 2
    assert relu["low"] == pytest.approx(max(0, relu["mean"] - half))
    assert relu["high"] == pytest.approx(min(1, relu["mean"] + half))


def test_what_the_other_axes_do_does_not_widen_the_interval_of_a_level(runs_of):
    """The depth decides nearly all, the activation a point: in every setting of the others the same point."""
    rows = rows_of(lambda a, i, d, s: 0.5 * (d == 4) + 0.01 * (a == "relu"))
    levels = estimate_effects(runs_of(rows)).levels.filter(pl.col("axis") == "activation")
    assert (levels["high"] - levels["low"]).max() < 1e-9


def test_levels_of_fewer_than_four_blocks_have_no_interval(runs_of):
    rows = [row for row in rows_of(lambda *_: np.random.default_rng(0).random()) if row["init"] == "glorot"]
    levels = estimate_effects(runs_of(rows)).levels
    assert levels.filter(pl.col("axis") == "activation")["low"].null_count() == 3


def test_with_one_axis_the_interval_is_over_seeds(runs_of):
    rows = [
        {"activation": a, "seed": s, "test/acc": v + s / 100}
        for a, v in (("relu", 0.9), ("tanh", 0.5))
        for s in (0, 1, 2, 3)
    ]
    result = estimate_effects(runs_of(rows))
    relu = result.levels.row(0, named=True)
    expected = mean_interval([0.90, 0.91, 0.92, 0.93])
    assert (relu["settings"], relu["low"]) == (1, pytest.approx(expected.low))
    assert result.interactions.is_empty()


def test_an_interval_ends_where_the_metric_does(runs_of):
    rows = rows_of(lambda a, i, d, s: float((i == "kaiming") == (d == 8)))
    levels = estimate_effects(runs_of(rows)).levels
    assert levels["low"].min() == 0 and levels["high"].max() == 1
    rows = [{**row, "test/loss": 10 * row["test/acc"]} for row in rows]
    levels = estimate_effects(runs_of(rows), metric="test/loss").levels
    assert levels["low"].min() == 0 and levels["high"].max() > 10


def test_adjusted_means_undo_an_unbalanced_grid(runs_of):
    """Sigmoid was run mostly deep: its raw mean suffers from depth, its adjusted mean does not."""
    score = {("relu", 4): 0.9, ("relu", 8): 0.5, ("sigmoid", 4): 0.9, ("sigmoid", 8): 0.5}
    cells = [("relu", 4), ("relu", 4), ("relu", 8), ("sigmoid", 4), ("sigmoid", 8), ("sigmoid", 8)]
    rows = [
        {"activation": a, "depth": d, "init": f"i{n}", "test/acc": score[a, d]}
        for n, (a, d) in enumerate(2 * cells)
    ]
    result = estimate_effects(runs_of(rows), axes=["activation", "depth"])
    assert not result.balanced
    levels = {row["level"]: row for row in result.levels.to_dicts()}
    assert levels["relu"]["adjusted"] == pytest.approx(levels["sigmoid"]["adjusted"])
    assert levels["4"]["adjusted"] - levels["8"]["adjusted"] == pytest.approx(0.4)
    shares = {row["axis"]: row["share"] for row in result.shares.to_dicts()}
    assert shares["activation"] == pytest.approx(0, abs=1e-12)


def test_axes_that_change_only_together_are_not_estimable(runs_of):
    rows = [
        {"activation": a, "init": i, "depth": d, "seed": s, "test/acc": v}
        for (a, i), (d, v), s in itertools.product(
            [("relu", "kaiming"), ("tanh", "glorot")], [(4, 0.9), (8, 0.7)], range(2)
        )
    ]
    result = estimate_effects(runs_of(rows))
    shares = {row["axis"]: row for row in result.shares.to_dicts()}
    assert shares["activation"]["share"] is None
    assert "changes only together with" in shares["activation"]["note"]
    assert shares["depth"]["share"] == pytest.approx(1)
    assert shares["depth"]["note"] is None
    pair = next(
        row
        for row in result.interactions.to_dicts()
        if {row["first"], row["second"]} == {"activation", "init"}
    )
    assert pair["share"] is None and "not estimable" in pair["note"]
    adjusted = {row["level"]: row["adjusted"] for row in result.levels.to_dicts()}
    assert adjusted["relu"] is None and adjusted["4"] is not None


def test_what_cannot_be_told_from_chance_says_so(runs_of):
    rows = [
        {"activation": a, "depth": d, "test/acc": v}
        for (a, d), v in zip(itertools.product(("relu", "tanh"), (4, 8)), (0.1, 0.2, 0.5, 0.9), strict=True)
    ]
    assert "add seeds" in estimate_effects(runs_of(rows)).interactions["note"][0]
    missing = estimate_effects(runs_of(rows[:3]))
    assert missing.interactions["share"][0] is None
    assert "too few combinations" in missing.interactions["note"][0]


def test_a_metric_that_never_changes_has_no_shares(runs_of):
    result = estimate_effects(runs_of(rows_of(lambda *_: 0.1)))
    assert result.shares["share"].null_count() == 3
    assert set(result.shares["note"]) == {"the metric is the same in all runs"}
    assert result.unexplained is None


def test_runs_that_came_to_nothing_are_in_the_shares_and_others_without_the_metric_are_not(runs_of):
    rows = rows_of(lambda a, i, d, s: float(len(a)) / 10)
    absent = [{**rows[0], "test/acc": None, "status": "interrupted"}]
    assert estimate_effects(runs_of(rows + absent)).shares.equals(estimate_effects(runs_of(rows)).shares)
    end = {"test/acc": None, "status": "diverged", "guessing": 0.1}
    diverged = [row | (end if row["init"] == "glorot" else {"guessing": 0.1}) for row in rows]
    guessed = [row | ({"test/acc": 0.1} if row["init"] == "glorot" else {}) for row in rows]
    assert estimate_effects(runs_of(diverged)).shares.equals(estimate_effects(runs_of(guessed)).shares)


def test_an_infinite_loss_has_no_variance_to_share_out(runs_of):
    rows = [row | {"test/loss": 1.0 + row["depth"]} for row in rows_of(lambda *_: 0.1)]
    rows[0] |= {"test/loss": None, "status": "diverged"}
    with pytest.raises(RequestError, match="test/loss of 1 run that diverged or failed is infinite"):
        estimate_effects(runs_of(rows), metric="test/loss")


def test_what_has_no_effect_to_tell_is_refused_in_one_line(runs_of):
    rows = rows_of(lambda *_: 0.5)
    requests: list[tuple[list, dict[str, Any], str]] = [
        ([{"activation": "relu"}, {"activation": "tanh"}], {}, "no run has a test/acc"),
        (rows[:2], {}, "do not differ"),
        (rows, {"axes": ["actvation"]}, "did you mean 'activation'"),
        (rows, {"metric": "test/ac"}, "did you mean 'test/acc'"),
        ([], {}, "no runs"),
    ]
    for table, arguments, says in requests:
        with pytest.raises(RequestError, match=says):
            estimate_effects(runs_of(table), **arguments)


@pytest.mark.parametrize("axes", [101, 1100, 3000])  # 2 ** 1100 is no float
def test_more_axes_than_anybody_compares_are_refused_in_one_line(runs_of, axes):
    rows = [{f"axis{j}": i * (j % 7) for j in range(axes)} | {"test/acc": i / 9} for i in range(9)]
    varying = axes - len(range(0, axes, 7))
    for ask in (estimate_effects, compare):
        said = f"differ in {varying:,} settings" if varying > 100 else "are too many to tell apart"
        if varying > 100 or ask is estimate_effects:
            with pytest.raises(RequestError, match=said):
                ask(runs_of(rows))
    assert estimate_effects(runs_of(rows), ["axis1"]).possible_settings == 9


def test_a_large_grid_takes_seconds_at_most(runs_of):
    random = np.random.default_rng(0)
    settings = itertools.product(range(13), range(12), range(6), range(10))
    rows = [{"a": a, "b": b, "c": c, "d": d, "test/acc": random.random()} for a, b, c, d in settings]
    start = time.perf_counter()
    estimate_effects(runs_of(rows))
    assert time.perf_counter() - start < 5
