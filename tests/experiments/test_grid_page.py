"""The grid's page says what its tables hold, and its pictures are there."""

import json
import re

import polars as pl
import pytest
from experiments.grid.measure import GUESSING, HERE, load_phase_diagram, load_table
from experiments.grid.rules import AXES
from experiments.grid.write import MAX_MINUTES, README, RESULT, build_result, render_readme, settings_of

from trainlab.analysis import estimate_effects
from trainlab.analysis.compare import counted_runs


@pytest.fixture(scope="module")
def runs() -> pl.DataFrame:
    return load_table()


@pytest.fixture(scope="module")
def shares(runs):
    return estimate_effects(runs, AXES, "test/acc"), estimate_effects(runs, AXES, "learned")


def test_the_grid_is_whole_and_took_no_longer_than_it_may(runs):
    combinations = runs.select(AXES).unique().height
    assert (
        combinations >= 128 and combinations == pl.Series([runs[axis].n_unique() for axis in AXES]).product()
    )
    assert runs["run_id"].is_unique().all() and len(runs) == combinations * runs["seed"].n_unique()
    result = json.loads(RESULT.read_text(encoding="utf-8"))
    assert result["wall_seconds"] <= 60 * MAX_MINUTES


def test_what_diverged_counts_as_guessing(runs):
    """The page and `trainlab compare grid --effects` count them by one rule."""
    counted = counted_runs(runs, "test/acc")
    assert len(counted) == len(runs)
    assert (counted.filter(pl.col("status") == "diverged")["test/acc"] == GUESSING).all()


def test_page_and_result_are_what_the_tables_say(runs, shares):
    accuracy, learning = shares
    again = build_result(runs, accuracy, learning, *load_phase_diagram())
    recorded = json.loads(RESULT.read_text(encoding="utf-8"))
    assert json.loads(json.dumps(again)) == recorded, "python -m experiments.grid writes it"
    assert render_readme(again, accuracy, learning) == README.read_text(encoding="utf-8")


def test_a_share_of_the_page_is_that_of_averaging(runs, shares):
    """One number of the table, by hand."""
    settings = settings_of(runs)
    of_level = settings.group_by("norm_layer").agg(pl.col("score").mean())["score"]
    counted = counted_runs(runs, "test/acc")
    chance = counted.group_by(AXES).agg(pl.col("test/acc").var())["test/acc"].mean()
    total = len(counted) * counted["test/acc"].var(ddof=0) + chance
    by_hand = (len(counted) * of_level.var(ddof=0) - chance) / total
    found = shares[0].shares.filter(pl.col("axis") == "norm_layer")["share"].item()
    assert found == pytest.approx(by_hand)


def test_its_pictures_and_links_are_there():
    text = README.read_text(encoding="utf-8")
    assert "<!--" not in text
    for target in re.findall(r"\]\(([^)h#][^)]*)\)", text):
        assert (HERE / target).exists(), target
