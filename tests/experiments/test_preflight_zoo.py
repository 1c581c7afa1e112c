"""The zoo's table, the fit that was made of it, and the page that says so: one and the same."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from experiments.preflight import cross_validation, metrics, train_runs
from experiments.preflight.design import DEPTHS, INITIALIZERS, PARTS, SIZES, WIDE, points
from experiments.preflight.page import HERE, README, RESULTS, readme
from experiments.preflight.write import TARGETS, border_of, fitted_on, load
from sklearn.metrics import roc_auc_score

from trainlab.config import AXIS_DESCRIPTIONS, catalogue, compose
from trainlab.forecast.features import FEATURE_NAMES
from trainlab.forecast.logistic_model import coefficients, learning_probability

VGG_DEPTHS = SIZES["vgg"]["depth"]

ADDED_LATER = {"dirac"}
"""Initializers that came after the zoo was trained: the forecast has seen no run of them."""


@pytest.fixture(scope="module")
def runs() -> pl.DataFrame:
    return load()


@pytest.fixture(scope="module")
def results() -> dict:
    return json.loads(RESULTS.read_text(encoding="utf-8"))


def test_the_table_is_the_zoo_that_was_asked_for(runs):
    assert len(runs) >= 400 and runs["run_id"].is_unique().all()
    assert (HERE / "zoo.csv").stat().st_size < 1_000_000
    assert runs["activation"].n_unique() >= 7 and runs["depth"].max() == 24 and runs["depth"].min() == 1
    every_init = {name for name, option in catalogue("init").items() if not option.alias_of}
    assert set(runs["init"]) == set(INITIALIZERS) == every_init - ADDED_LATER
    assert set(runs["data"]) == {"digits", "mnist", "cifar10"} and set(runs["seed"]) >= {0, 1, 2}
    assert (
        runs.filter(pl.col("optimizer").is_in(["adam", "sgd"]))
        .group_by("optimizer")
        .agg(pl.col("lr").n_unique())["lr"]
        .min()
        >= 5
    )
    assert 0.35 <= runs["learned"].mean() <= 0.65


def test_the_shipped_coefficients_give_the_recorded_probabilities(runs):
    assert set(coefficients()["features"]) == set(FEATURE_NAMES)
    for row in runs.iter_rows(named=True):
        assert learning_probability(row) == pytest.approx(row["probability"], abs=1e-4)


def test_the_shipped_coefficients_are_the_fit_of_the_table(runs):
    fitted = cross_validation.fit(fitted_on(runs), cross_validation.COLUMNS).coefficients([0.0, 1.0])
    ours, theirs = coefficients()["features"], fitted["features"]
    assert coefficients()["threshold"] == pytest.approx(fitted["threshold"], abs=1e-3)
    for name in FEATURE_NAMES:
        assert ours[name]["weight"] == pytest.approx(theirs[name]["weight"], abs=5e-3)


def test_the_shipped_fit_has_never_seen_the_ordinary_part(runs, results):
    ordinary = runs.filter(pl.col("part") == "ordinary")
    assert len(ordinary) == 500 and set(ordinary["run_id"]).isdisjoint(fitted_on(runs)["run_id"])
    named = pl.col("probability") < coefficients()["threshold"]
    told = ordinary.select(
        "run_id", "learned", "probability", axis=pl.lit("all"), family=pl.lit("all"),
        score=pl.col("probability"), named=named,
    )  # fmt: skip
    found = metrics.score_predictions(told, runs, draws=10)
    recorded = next(of for name, of in results["parts"].items() if "shipped fit" in name)
    for name in ("auroc", "recall", "false_alarms"):
        assert found[name] == pytest.approx(recorded[name], abs=5e-3)


def test_a_family_left_out_is_judged_as_recorded(runs, results):
    predictions = cross_validation.left_out(runs, "data", cross_validation.COLUMNS)
    found = metrics.score_predictions(predictions, runs, draws=10)
    for name in ("auroc", "recall", "false_alarms", "brier"):
        assert found[name] == pytest.approx(results["axes"]["data"][name], abs=2e-3)
    assert found["runs"] == len(runs)


def test_a_run_counts_once_however_often_it_is_judged(runs, results):
    """Eight axes are eight judgements of one and the same 1,276 runs."""
    configurations = runs.select(cross_validation.CONFIGURATION).unique().height
    rows = [results["pooled"], *results["baselines"].values(), *results["ceiling"].values()]
    assert all((row["runs"], row["configurations"]) == (len(runs), configurations) for row in rows)
    for row in rows:
        for name in ("auroc", "recall", "false_alarms"):
            low, high = row[f"{name}_interval"]
            assert low <= row[name] <= high


def test_whoever_says_the_same_of_all_has_one_half(results):
    assert results["baselines"]["a constant"]["auroc"] == 0.5


def test_the_page_owns_that_fifty_steps_are_as_good(results):
    trained, page = results["baselines"][cross_validation.TRAINED], README.read_text(encoding="utf-8")
    assert f"Fifty real steps name {trained['recall']:.1%} at {trained['false_alarms']:.1%}" in page


def test_the_page_says_what_was_reached_and_what_was_missed(results):
    pooled = results["pooled"]
    reached = pooled["recall"] >= TARGETS["recall"] and pooled["false_alarms"] <= TARGETS["false_alarms"]
    page = README.read_text(encoding="utf-8")
    assert ("**Reached**" in page) is reached and ("**Missed**" in page) is not reached


def test_the_forecast_beats_every_baseline_that_does_not_train(results):
    pooled = results["pooled"]
    for name, baseline in results["baselines"].items():
        if name != cross_validation.TRAINED:
            assert pooled["auroc"] > baseline["auroc"] + 0.1 and pooled["brier"] < baseline["brier"]


def test_the_page_is_what_the_results_say(results):
    assert README.read_text(encoding="utf-8") == readme(results)
    assert (HERE / "reliability.svg").exists() and "JPEG copy" in README.read_text(encoding="utf-8")


def fake(count: int = 400) -> pl.DataFrame:
    """Runs whose learning follows from the feature `x`, but for family "odd", where it is turned around."""
    rng = np.random.default_rng(0)
    x, family = rng.normal(size=count), rng.integers(0, 4, size=count)
    learned = (x + 0.3 * rng.normal(size=count) > 0) ^ (family == 3)
    rows = {name: np.arange(count) for name in cross_validation.CONFIGURATION}
    return pl.DataFrame({**rows, "run_id": np.arange(count), "x": x, "learned": learned}).with_columns(
        activation=pl.Series([["a", "b", "c", "odd"][k] for k in family])
    )


def test_a_family_left_out_was_not_seen_by_its_fit():
    table = fake()
    predictions = cross_validation.left_out(table, "activation", ["x"])
    odd = predictions.filter(pl.col("family") == "odd")
    assert roc_auc_score(odd["learned"].to_numpy(), odd["probability"].to_numpy()) < 0.2
    own = cross_validation.fit(table.filter(pl.col("activation") != "odd"), ["x"])
    assert odd["probability"].to_numpy() == pytest.approx(
        own.probability(table.filter(pl.col("activation") == "odd"))
    )
    assert (odd["threshold"] == own.threshold).all()


def test_seeds_of_one_configuration_share_a_fold():
    table = fake(30).with_columns(
        pl.lit(1).alias(name) for name in cross_validation.CONFIGURATION if name != "lr"
    )
    table = table.with_columns(lr=pl.Series(np.arange(30) // 3))
    folds = cross_validation._folds(table).reshape(10, 3)
    assert (folds == folds[:, :1]).all() and len(np.unique(folds)) == cross_validation.FOLDS


def test_judgement_by_counting():
    predictions = pl.DataFrame(
        {
            "learned": [True, True, True, False, False],
            "probability": [0.9, 0.8, 0.2, 0.1, 0.7],
            "threshold": 0.5,
        }
    )
    found = cross_validation.judged(predictions)
    assert (found["caught"], found["missed"], found["alarms"], found["passed"]) == (1, 1, 1, 2)
    assert (
        found["recall"] == 0.5 and found["false_alarms"] == pytest.approx(1 / 3) and found["precision"] == 0.5
    )
    assert found["auroc"] == pytest.approx(5 / 6)
    assert found["brier"] == pytest.approx((0.01 + 0.04 + 0.64 + 0.01 + 0.49) / 5)


def test_the_threshold_makes_both_errors_equal():
    rng = np.random.default_rng(1)
    learned = rng.random(4000) < 0.3
    p = 1 / (1 + np.exp(-(rng.normal(size=4000) + 2 * learned)))
    threshold = cross_validation.equal_error_threshold(learned, p)
    assert (p[~learned] >= threshold).mean() == pytest.approx((p[learned] < threshold).mean(), abs=0.005)


def told(rows, axis: str = "a") -> pl.DataFrame:
    """Predictions of rows (run_id, family, learned, probability), named below one half."""
    table = pl.DataFrame(rows, schema=("run_id", "family", "learned", "probability"), orient="row")
    named = pl.col("probability") < 0.5
    return table.with_columns(axis=pl.lit(axis), score=pl.col("probability"), named=named)


def settings_of(ids, configurations) -> pl.DataFrame:
    same = dict.fromkeys(cross_validation.CONFIGURATION, 0)
    table = pl.DataFrame({"run_id": ids, **{name: [value] * len(ids) for name, value in same.items()}})
    return table.with_columns(lr=pl.Series(configurations))


def test_auroc_is_taken_within_families():
    """Two families, each ordered rightly, by fits whose levels differ: pooled they would look wrong."""
    rows = [(0, "x", True, 0.3), (1, "x", False, 0.2), (2, "y", True, 0.9), (3, "y", False, 0.8)]
    found = metrics.score_predictions(told(rows), settings_of(range(4), range(4)), draws=20)
    assert found["auroc"] == 1.0
    pooled = roc_auc_score([True, False, True, False], [0.3, 0.2, 0.9, 0.8])
    assert pooled == 0.75


def test_auroc_of_a_family_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    rows = [(i, "x", bool(rng.random() < 0.4), float(rng.integers(0, 9)) / 9) for i in range(60)]
    found = metrics.score_predictions(told(rows), settings_of(range(60), range(60)), draws=5)
    assert found["auroc"] == pytest.approx(roc_auc_score([r[2] for r in rows], [r[3] for r in rows]))


def test_seeds_of_a_configuration_share_the_weight_of_one():
    rows = [(i, "x", False, 0.1 if i < 3 else 0.9) for i in range(5)]
    found = metrics.score_predictions(told(rows), settings_of(range(5), [0, 0, 0, 1, 2]), draws=5)
    assert found["recall"] == pytest.approx(1 / 3) and found["configurations"] == 3


def test_several_judgements_of_a_run_are_averaged():
    rows = [(0, "x", False, 0.1), (1, "x", True, 0.9)]
    twice = pl.concat([told(rows, "a"), told([(0, "x", False, 0.9), (1, "x", True, 0.9)], "b")])
    found = metrics.score_predictions(twice, settings_of(range(2), range(2)), draws=5)
    assert found["runs"] == 2 and found["recall"] == 0.5 and found["auroc"] == 0.75


def test_an_interval_is_wider_where_seeds_agree_than_where_they_are_taken_for_new():
    rng = np.random.default_rng(0)
    ends = rng.random(40) < 0.5
    rows = [(i, "x", False, 0.1 if ends[i // 5] else 0.9) for i in range(200)]
    widths = []
    for configurations in (np.arange(200) // 5, np.arange(200)):
        low, high = metrics.score_predictions(told(rows), settings_of(range(200), configurations))[
            "recall_interval"
        ]
        widths.append(high - low)
    assert widths[0] > 1.7 * widths[1]


def test_a_raw_number_is_judged_at_its_best_whichever_way_it_points():
    table = fake().filter(pl.col("activation") != "odd")
    ways = [table.with_columns(x=way) for way in (pl.col("x"), -pl.col("x"), pl.col("x").exp())]
    aurocs = [
        metrics.score_predictions(cross_validation.left_out_raw(t, "activation", "x"), t, draws=5)
        for t in ways
    ]
    assert len({round(found["auroc"], 6) for found in aurocs}) == 1 and aurocs[0]["auroc"] > 0.9
    assert len({round(found["recall"], 6) for found in aurocs}) == 1 and aurocs[0]["recall"] > 0.8


def test_the_border_leaves_one_in_twenty_of_either_kind_on_the_wrong_side():
    rng = np.random.default_rng(0)
    learned = rng.random(4000) < 0.5
    p = 1 / (1 + np.exp(-(rng.normal(size=4000) + 2 * learned - 1)))
    low, high = border_of(pl.DataFrame({"learned": learned, "probability": p}))
    assert (p[learned] < low).mean() == pytest.approx(0.05, abs=0.002)
    assert (p[~learned] >= high).mean() == pytest.approx(0.05, abs=0.002) and low < high


def test_calibration_by_hand():
    learned, p = np.array([True, False, True, True]), np.array([0.05, 0.05, 0.95, 0.95])
    assert cross_validation.expected_calibration_error(learned, p) == pytest.approx(0.5 * 0.45 + 0.5 * 0.05)


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_the_design_does_not_change_as_it_grows(part):
    few, many = list(points(part, 20)), list(points(part, 40))
    assert many[: len(few)] == few
    assert {line for run in many for line in run if line.startswith("depth=")} <= {
        f"depth={d}" for d in (*DEPTHS, *VGG_DEPTHS, 9)
    }


def test_the_ordinary_part_holds_what_a_course_sweeps():
    lines = {line for run in points(PARTS["ordinary"]) for line in run}
    values = {line.partition("=")[0]: set() for line in lines}
    for line in lines:
        values[line.partition("=")[0]].add(line.partition("=")[2])
    assert values["model"] == {"plain_cnn"} and values["optimizer"] == {"adam", "sgd"}
    assert values["init"] == set(INITIALIZERS) and values["depth"] == {str(d) for d in DEPTHS}
    assert values["data"] == {"digits", "mnist", "cifar10"} and len(values["optimizer.lr"]) == 8


@pytest.mark.slow
def test_the_platform_trains_what_is_left_of_a_part(tmp_path, monkeypatch):
    small = ["data=digits", "depth=1", "width=2", "data.image_size=8", "trainer.max_steps=2", "trainer=cpu"]
    point = [*small, "logger=none", "checkpoint=none", f"paths.cache={tmp_path / 'cache'}"]
    monkeypatch.setattr(train_runs, "points", lambda part: [[*point, f"seed={len(part.name)}"]])
    monkeypatch.setattr(train_runs, "repeats", lambda: [[*point, "data.split_seed=1"]])
    done = train_runs.train(tmp_path / "runs", ["ordinary"])
    assert [outcome.status for outcome in done] == ["finished"]
    assert train_runs.train(tmp_path / "runs", ["ordinary"]) == []
    assert len(train_runs.train(tmp_path / "runs")) == 2


def test_a_point_is_a_request_that_the_platform_takes(tmp_path):
    run = next(iter(points(WIDE, 1)))
    settings = compose([*run, f"paths.runs={tmp_path}"])
    assert settings.trainer.max_steps and {line.partition("=")[0] for line in run} & set(AXIS_DESCRIPTIONS)


def test_nothing_is_named_in_the_page_but_files_of_the_project():
    page = README.read_text(encoding="utf-8")
    assert all(
        Path(HERE / name).exists() for name in ("design.py", "zoo.csv", "reliability.svg") if name in page
    )
