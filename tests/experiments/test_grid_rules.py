"""Rules of thumb as contrasts over a grid: what they compare, and what they make of planted effects."""

import itertools
import random

import polars as pl
import pytest
import yaml
from experiments.grid.rules import (
    AXES,
    RULES,
    Rule,
    effect_reduction,
    evaluate_rules,
    level_difference,
    level_gain,
    level_spread,
    rule_rows,
)

from trainlab.claims.judge import REFUTED, SUPPORTED, UNDECIDED
from trainlab.config import catalogue

SWEPT = yaml.safe_load(catalogue("experiment")["grid"].path.read_text())["hydra"]["sweeper"]["params"]
LEVELS = {axis: yaml.safe_load(f"[{SWEPT[axis]}]") for axis in AXES}
"""Of the preset: YAML reads 4 as a number and relu as a word."""


def grid(score) -> pl.DataFrame:
    """Every setting of the preset, scored by `score(row)`."""
    rows = [dict(zip(LEVELS, point, strict=True)) for point in itertools.product(*LEVELS.values())]
    return pl.DataFrame([row | {"score": float(score(row))} for row in rows])


def wobble(row: dict) -> float:
    """Something small that differs between settings, the same every time."""
    return random.Random(str(row)).gauss(0, 0.003)


def test_the_preset_is_the_five_axes_of_the_rules_and_large_enough():
    assert len(grid(wobble)) >= 128 and set(SWEPT) == {*AXES, "seed"}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.statement)
def test_every_rule_compares_settings_that_the_grid_has(rule):
    assert len(rule.contrast(grid(wobble))) >= 4


def test_a_difference_is_one_for_each_setting_of_all_other_axes():
    values = level_difference("init", "kaiming", "glorot", activation="relu", norm_layer="none")(
        grid(lambda r: 0.3 * (r["init"] == "kaiming") + 0.1 * (r["depth"] == 4))
    )
    assert values.to_list() == pytest.approx([0.3] * 4), "two normalizations, two depths"


def test_a_difference_of_differences_by_hand():
    def score(row):
        of_raw = 0.05 if row["norm_layer"] == "batchnorm" else 0.2
        return 0.5 - of_raw * (row["normalization"] == "raw")

    contrast = effect_reduction(
        "norm_layer", "batchnorm", "none", level_gain("normalization", "standardize", "raw")
    )
    assert contrast(grid(score)).to_list() == pytest.approx([0.15] * (4 * 4 * 2))


def test_the_spread_over_initializers_by_hand():
    sizes = dict(zip(LEVELS["init"], (0.0, 0.2, 0.0, 0.2), strict=True))
    contrast = effect_reduction("norm_layer", "batchnorm", "none", level_spread("init"))
    values = contrast(grid(lambda r: sizes[r["init"]] * (r["norm_layer"] == "none")))
    assert values.to_list() == pytest.approx([0.1] * (4 * 2 * 2))


def ruled(score, *rules: Rule) -> list[str]:
    return [ruling.verdict for ruling in evaluate_rules(grid(score), rules)]


KAIMING = Rule("Kaiming", "", "", level_difference("init", "kaiming", "glorot"))


@pytest.mark.parametrize(
    ("size", "verdict"), [(0.05, SUPPORTED), (0.0, REFUTED), (-0.05, REFUTED), (0.01, UNDECIDED)]
)
def test_a_rule_comes_out_as_planted(size, verdict):
    assert ruled(lambda r: 0.3 + size * (r["init"] == "kaiming") + wobble(r), KAIMING) == [verdict]


def test_of_many_rules_each_has_to_be_clearer():
    def score(row):
        even = row["depth"] == 4
        return (0.016 if even else 0.012) * (row["init"] == "kaiming") + wobble(row)

    alone = evaluate_rules(grid(score), [KAIMING])[0]
    among = evaluate_rules(grid(score), [KAIMING] * 20)[0]
    assert among.adjusted == pytest.approx(min(1.0, 20 * alone.p)) and among.estimate == alone.estimate


def test_the_order_of_settings_does_not_matter():
    settings = grid(lambda r: wobble(r) + 0.1 * (r["activation"] == "relu"))
    again = settings.sample(fraction=1, shuffle=True, seed=3)
    for one, other in zip(rule_rows(evaluate_rules(settings)), rule_rows(evaluate_rules(again)), strict=True):
        assert {**one, "p": None, "adjusted": None} == pytest.approx({**other, "p": None, "adjusted": None})


def test_how_often_a_rule_holds_is_counted():
    ruling = evaluate_rules(grid(lambda r: 0.1 * (r["init"] == "kaiming" and r["depth"] == 12)), [KAIMING])[0]
    assert (ruling.held, ruling.n) == (16, 32) and ruling.estimate == pytest.approx(0.05)
