import csv as standard_csv
import io
import json
import math

import polars as pl
import pytest
from rich.console import Console

from trainlab.analysis import compare, estimate_effects, tables
from trainlab.units import format_bytes


@pytest.fixture
def runs(runs_of):
    accuracy = {"relu": [0.90, 0.94], "sigmoid": [0.10, 0.12]}
    rows = [
        {
            "activation": activation,
            "init": "kaiming",
            "depth": depth,
            "seed": seed,
            "test/acc": value - depth / 100,
            "learned": activation == "relu",
        }
        for depth in (4, 8)
        for activation, of_seeds in accuracy.items()
        for seed, value in enumerate(of_seeds)
    ]
    return runs_of([*rows, {"activation": "tanh", "init": "kaiming", "depth": 4, "status": "failed"}])


def text_of(*shown) -> str:
    written = io.StringIO()
    console = Console(width=200, file=written)
    for table in shown:
        console.print(table)
    return written.getvalue()


def test_the_comparison_says_what_matters_and_nothing_else(runs):
    assert tables.constant_settings_note(compare(runs)) == "all: init=kaiming"
    text = text_of(tables.comparison_table(compare(runs), "night"))
    for part in (
        "night",
        "activation",
        "depth",
        "test/acc",
        "failed",
        "88.00 % (90, 86)",  # two values are no interval
        "2 of 2",
        "0 of 2",
    ):
        assert part in text
    for part in ("diverged", "pruned", "cause", "nan", "None"):
        assert part not in text
    assert text.index("relu") < text.index("sigmoid") < text.index("tanh")


def test_json_and_csv_hold_the_same_rows(runs):
    comparison = compare(runs)
    content = json.loads(tables.comparison_json(comparison))
    assert content["metric"] == "test/acc" and content["constant"] == {"init": "kaiming"}
    rows = list(standard_csv.DictReader(io.StringIO(tables.to_csv(comparison.table))))
    assert [row["activation"] for row in rows] == [row["activation"] for row in content["rows"]]
    assert float(rows[0]["mean"]) == pytest.approx(content["rows"][0]["mean"])
    assert rows[-1]["mean"] == "" and content["rows"][-1]["mean"] is None


def test_effects_are_shown_with_their_notes(runs):
    told = estimate_effects(runs)
    text = text_of(*tables.effects_tables(told))
    for part in ("activation", "activation × depth", "left to interactions and seeds", "relu"):
        assert part in text
    content = json.loads(tables.effects_json(told))
    assert content["shares"][0]["axis"] == "activation"
    assert len(content["levels"]) == 4


def test_one_seed_has_no_interval_and_no_shares(runs_of):
    """Two settings, one run each: two accuracies, and nothing that chance could have done."""
    pair = [
        {"activation": a, "test/acc": v, "learned": a == "relu"} for a, v in (("relu", 0.9), ("tanh", 0.1))
    ]
    comparison = compare(runs_of(pair))
    assert comparison.has_single_seeds
    text = text_of(tables.fit_comparison(comparison, 200).table)
    assert "yes" in text and "no" in text and "90.00 %" in text and "±" not in text and " n " not in text
    (levels,) = tables.effects_tables(estimate_effects(runs_of(pair)))
    text = text_of(levels)
    assert "share" not in text and "…" not in text and "seed=range(3)" in text


def test_an_interval_that_is_everything_is_none():
    assert tables._format_level_interval("test/acc", -0.2, 1.2) == "–"
    assert tables._format_level_interval("test/acc", 0.2, 0.4) == "20.00 % … 40.00 %"
    assert tables._format_level_interval("test/loss", 0.0, 2.0) == "0 … 2"


def test_disk_usage_has_a_sum():
    usage = pl.DataFrame({"run_id": ["a", "b"], "bytes": [1536, 10 * 2**20], "checkpoint_bytes": [0, 2**20]})
    text = text_of(tables.usage_table(usage))
    for part in ("1.5 KiB", "10.0 MiB", "2 runs", "checkpoint"):
        assert part in text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5 * 2**40, "5.0 TiB"), (2**52, "4096.0 TiB")],
)
def test_sizes_have_binary_prefixes(count, text):
    assert format_bytes(count) == text


@pytest.mark.parametrize(
    ("metric", "interval", "text"),
    [
        ("test/acc", (0.988, 0.987, 0.989), "98.80 ± 0.10 %"),
        ("test/loss", (0.0412, 0.04, 0.0424), "0.0412 ± 0.0012"),
        ("test/acc", (0.988, None, None), "98.80 %"),
        ("test/acc", (None, None, None), "–"),
        ("test/loss", (math.inf, None, None), "∞"),
        ("test/acc", (0.5, -0.3, 1.3), "50.00 %"),
        ("test/acc", (0.9, 0.7, 1.1), "90.00 % (70.0 … 100.0)"),
    ],
)
def test_an_estimate_is_a_mean_with_half_its_interval(metric, interval, text):
    assert tables.format_estimate(metric, *interval) == text
