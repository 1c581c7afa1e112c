"""The decomposition of a grid: its slow twin, what it must not depend on, how often its intervals hold."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from trainlab.analysis import estimate_effects
from trainlab.analysis.effects import HIGHER_ORDER, SEEDS_SOURCE, SHARED_SOURCE

LEVELS = {"activation": ("relu", "tanh", "sigmoid"), "init": ("glorot", "kaiming"), "depth": (4, 8)}


def rows_of(score, seeds=2, levels=None):
    levels = levels or LEVELS
    return [
        dict(zip(levels, point, strict=True)) | {"seed": seed, "test/acc": score(*point, seed)}
        for point in itertools.product(*levels.values())
        for seed in range(seeds)
    ]


def by_averaging(rows):
    """ω² by definition: u of a set of axes is the mean over all else, minus all its subsets, less chance."""
    axes = list(LEVELS)
    values = np.array([row["test/acc"] for row in rows]).reshape(-1, 2)
    mean_square = values.var(axis=1, ddof=1).mean()
    total = values.size * np.var(values) + mean_square

    def mean(point, subset):
        same = [r["test/acc"] for r in rows if all(r[a] == point[a] for a in subset)]
        return np.mean(same)

    def pure(point, subset):
        smaller = itertools.chain.from_iterable(
            itertools.combinations(subset, size) for size in range(len(subset))
        )
        return mean(point, subset) - sum(pure(point, s) for s in smaller)

    subsets = [s for size in (1, 2, 3) for s in itertools.combinations(axes, size)]
    squares = {s: sum(pure(row, s) ** 2 for row in rows) for s in subsets}
    freedom = {s: np.prod([len(LEVELS[axis]) - 1 for axis in s]) for s in subsets}
    shares = {s: (squares[s] - freedom[s] * mean_square) / total for s in subsets}
    return shares | {(): values.size * mean_square / total}


@given(st.lists(st.floats(0, 1), min_size=24, max_size=24))
def test_shares_are_those_of_averaging_and_add_up_to_one(runs_of, scores):
    assume(np.std(scores) > 1e-3)
    given_scores = iter(scores)
    rows = rows_of(lambda *_: next(given_scores))
    found, slow = estimate_effects(runs_of(rows)), by_averaging(rows)
    assert found.balanced
    for row in found.shares.to_dicts():
        assert row["share"] == pytest.approx(slow[row["axis"],], abs=1e-9)
    for row in found.interactions.to_dicts():
        assert row["share"] == pytest.approx(slow[row["first"], row["second"]], abs=1e-9)
    others = dict(found.other_sources.select("source", "share").iter_rows())
    assert others[SEEDS_SOURCE] == pytest.approx(slow[()], abs=1e-9)
    assert others[HIGHER_ORDER] == pytest.approx(slow["activation", "init", "depth"], abs=1e-9)
    everything = [*found.shares["share"], *found.interactions["share"], *others.values()]
    assert sum(everything) == pytest.approx(1)
    for frame in (found.shares, found.interactions, found.other_sources):
        assert ((frame["low"] >= 0) & (frame["low"] <= frame["high"]) & (frame["high"] <= 1)).all()


@given(st.permutations(list(LEVELS)), st.randoms(use_true_random=False))
def test_names_and_order_of_axes_and_levels_do_not_matter(runs_of, order, dice):
    rows = rows_of(lambda a, i, d, s: len(a) * d + 3 * (i == "glorot") * (d == 8) + s)
    letters = dice.sample("abcdefgh", 3)
    names = dict(zip(LEVELS["activation"], letters, strict=True))
    other = [
        {axis: row[axis] for axis in order} | {k: row[k] for k in ("seed", "test/acc")}
        | {"activation": names[row["activation"]]} for row in rows
    ]  # fmt: skip
    dice.shuffle(other)
    first, second = estimate_effects(runs_of(rows)), estimate_effects(runs_of(other))
    assert dict(second.shares.select("axis", "share").iter_rows()) == pytest.approx(
        dict(first.shares.select("axis", "share").iter_rows())
    )
    pairs = [
        {frozenset(row[:2]): row[2] for row in e.interactions.select("first", "second", "share").iter_rows()}
        for e in (first, second)
    ]
    assert pairs[0] == pytest.approx(pairs[1])


def test_a_gap_in_the_grid_changes_little_and_is_named(runs_of):
    random = np.random.default_rng(0)
    rows = rows_of(lambda a, i, d, s: (a == "relu") + 0.5 * (d == 4) + random.normal(0, 0.05))
    whole = estimate_effects(runs_of(rows))
    gone = [
        {**row, "status": "interrupted", "test/acc": None} if n < 2 else row for n, row in enumerate(rows)
    ]
    gaps = estimate_effects(runs_of(gone))
    assert (gaps.measured_settings, gaps.possible_settings, gaps.balanced) == (11, 12, False)
    missing = gaps.missing.to_dicts()
    assert missing == [{"activation": "relu", "init": "glorot", "depth": 4, "status": "interrupted"}]
    assert estimate_effects(runs_of(rows[2:])).missing["status"].to_list() == [None]
    shares = dict(gaps.shares.select("axis", "share").iter_rows())
    for axis, share in whole.shares.select("axis", "share").iter_rows():
        assert shares[axis] == pytest.approx(share, abs=0.1)
    parts = [*gaps.shares["share"], *gaps.interactions["share"], *gaps.other_sources["share"]]
    assert SHARED_SOURCE in gaps.other_sources["source"].to_list() and sum(parts) == pytest.approx(1)


def test_what_is_nothing_but_chance_has_shares_about_zero(runs_of):
    random = np.random.default_rng(0)
    draws = [estimate_effects(runs_of(rows_of(lambda *_: random.normal(), seeds=3))) for _ in range(40)]
    shares = np.array([found.shares["share"].to_list() for found in draws])
    assert abs(shares.mean()) < 0.02 and (shares < 0).mean() > 0.4
    lows = np.array([found.shares["low"].to_list() for found in draws])
    assert (lows == 0).mean() > 0.9
    seeds = [row["share"] for found in draws for row in found.other_sources.to_dicts()[-1:]]
    assert np.mean(seeds) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("gone", [12, 10])
def test_without_replicates_there_is_no_share(runs_of, gone):
    """Two runs at chance gave "share 100 %": of one seed each, or two settings run twice, nothing is said."""
    random = np.random.default_rng(0)
    rows = rows_of(lambda *_: random.normal())
    rows = [row for row in rows if row["seed"] == 0] + [row for row in rows if row["seed"] == 1][gone:]
    found = estimate_effects(runs_of(rows))
    assert not found.has_seeds and found.unexplained is None and found.other_sources.is_empty()
    for frame in (found.shares, found.interactions):
        assert frame["share"].null_count() == frame["low"].null_count() == len(frame)
        assert all("add seeds" in note for note in frame["note"])
    assert found.largest_pair is not None


def test_whether_it_learned_is_a_metric_too(runs_of):
    rows = [
        {"activation": a, "depth": d, "seed": s, "learned": d == 4}
        for a in ("relu", "tanh") for d in (4, 8) for s in (0, 1)
    ]  # fmt: skip
    found = estimate_effects(runs_of(rows), metric="learned")
    assert found.shares.row(0, named=True)["axis"] == "depth"
    assert found.shares["share"][0] == pytest.approx(1)


def test_an_axis_of_hundreds_of_levels_in_a_grid_with_gaps_is_refused_by_name(runs_of):
    from trainlab.errors import RequestError

    random = np.random.default_rng(0)
    rows = [
        {"activation": ("relu", "tanh")[n % 2], "optimizer.lr": random.random(), "test/acc": random.random()}
        for n in range(4000)
    ]
    with pytest.raises(RequestError, match=r"optimizer.lr with \d+ levels.*--by"):
        estimate_effects(runs_of(rows))
    assert estimate_effects(runs_of(rows), axes=["activation"]).measured_settings == 2
