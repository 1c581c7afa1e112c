"""The zoo's table, the fit that was made of it, and the page that says so: one and the same."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from experiments.preflight import score, zoo
from experiments.preflight.design import DEPTHS, INITIALIZERS, PARTS, SIZES, WIDE, points
from experiments.preflight.write import HERE, MUST, README, RESULTS, fitted_on, load, readme
from sklearn.metrics import roc_auc_score

from trainlab.config import AXES, catalogue, compose
from trainlab.diagnosis.forecast.calibration import coefficients, probability
from trainlab.diagnosis.forecast.features import NAMES

VGG_DEPTHS = SIZES["vgg"]["depth"]


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
    assert set(runs["init"]) == every_init == set(INITIALIZERS)
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
    assert set(coefficients()["features"]) == set(NAMES)
    for row in runs.iter_rows(named=True):
        assert probability(row) == pytest.approx(row["probability"], abs=1e-4)


def test_the_shipped_coefficients_are_the_fit_of_the_table(runs):
    fitted = score.fit(fitted_on(runs), score.COLUMNS).coefficients()
    ours, theirs = coefficients()["features"], fitted["features"]
    assert coefficients()["threshold"] == pytest.approx(fitted["threshold"], abs=1e-3)
    for name in NAMES:
        assert ours[name]["weight"] == pytest.approx(theirs[name]["weight"], abs=5e-3)


def test_the_shipped_fit_has_never_seen_the_ordinary_part(runs, results):
    ordinary = runs.filter(pl.col("part") == "ordinary").with_columns(
        threshold=pl.lit(coefficients()["threshold"])
    )
    assert len(ordinary) == 500 and set(ordinary["run_id"]).isdisjoint(fitted_on(runs)["run_id"])
    found = score.judged(ordinary)
    recorded = next(of for name, of in results["parts"].items() if "shipped fit" in name)
    for name in ("auroc", "recall", "false_alarms"):
        assert found[name] == pytest.approx(recorded[name], abs=5e-3)


def test_a_family_left_out_is_judged_as_recorded(runs, results):
    predictions = score.left_out(runs, "data", score.COLUMNS)
    found = score.judged(predictions)
    for name in ("auroc", "recall", "false_alarms", "brier"):
        assert found[name] == pytest.approx(results["axes"]["data"][name], abs=2e-3)
    assert found["runs"] == len(runs)


def test_the_page_says_what_was_reached_and_what_was_missed(results):
    pooled = results["pooled"]
    reached = pooled["recall"] >= MUST["recall"] and pooled["false_alarms"] <= MUST["false_alarms"]
    page = README.read_text(encoding="utf-8")
    assert ("**Reached**" in page) is reached and ("**Missed**" in page) is not reached


def test_the_forecast_beats_every_baseline_that_does_not_train(results):
    pooled = results["pooled"]
    for name, baseline in results["baselines"].items():
        if name != "train 50 steps":
            assert pooled["auroc"] > baseline["auroc"] + 0.1 and pooled["brier"] < baseline["brier"]


def test_the_page_is_what_the_results_say(results):
    assert README.read_text(encoding="utf-8") == readme(results)
    assert (HERE / "reliability.svg").exists() and "JPEG copy" in README.read_text(encoding="utf-8")


def fake(count: int = 400) -> pl.DataFrame:
    """Runs whose learning follows from the feature `x`, but for family "odd", where it is turned around."""
    rng = np.random.default_rng(0)
    x, family = rng.normal(size=count), rng.integers(0, 4, size=count)
    learned = (x + 0.3 * rng.normal(size=count) > 0) ^ (family == 3)
    rows = {name: np.arange(count) for name in score.CONFIGURATION}
    return pl.DataFrame({**rows, "run_id": np.arange(count), "x": x, "learned": learned}).with_columns(
        activation=pl.Series([["a", "b", "c", "odd"][k] for k in family])
    )


def test_a_family_left_out_was_not_seen_by_its_fit():
    table = fake()
    predictions = score.left_out(table, "activation", ["x"])
    odd = predictions.filter(pl.col("family") == "odd")
    assert roc_auc_score(odd["learned"].to_numpy(), odd["probability"].to_numpy()) < 0.2
    own = score.fit(table.filter(pl.col("activation") != "odd"), ["x"])
    assert odd["probability"].to_numpy() == pytest.approx(
        own.probability(table.filter(pl.col("activation") == "odd"))
    )
    assert (odd["threshold"] == own.threshold).all()


def test_seeds_of_one_configuration_share_a_fold():
    table = fake(30).with_columns(pl.lit(1).alias(name) for name in score.CONFIGURATION if name != "lr")
    table = table.with_columns(lr=pl.Series(np.arange(30) // 3))
    folds = score._folds(table).reshape(10, 3)
    assert (folds == folds[:, :1]).all() and len(np.unique(folds)) == score.FOLDS


def test_judgement_by_counting():
    predictions = pl.DataFrame(
        {
            "learned": [True, True, True, False, False],
            "probability": [0.9, 0.8, 0.2, 0.1, 0.7],
            "threshold": 0.5,
        }
    )
    found = score.judged(predictions)
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
    threshold = score.equal_error_threshold(learned, p)
    assert (p[~learned] >= threshold).mean() == pytest.approx((p[learned] < threshold).mean(), abs=0.005)


def test_calibration_by_hand():
    learned, p = np.array([True, False, True, True]), np.array([0.05, 0.05, 0.95, 0.95])
    assert score.expected_calibration_error(learned, p) == pytest.approx(0.5 * 0.45 + 0.5 * 0.05)


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


def test_the_platform_trains_what_is_left_of_a_part(tmp_path, monkeypatch):
    small = ["data=digits", "depth=1", "width=2", "data.image_size=8", "trainer.max_steps=2", "trainer=cpu"]
    point = [*small, "logger=none", "checkpoint=none", f"paths.cache={tmp_path / 'cache'}"]
    monkeypatch.setattr(zoo, "points", lambda part: [[*point, f"seed={len(part.name)}"]])
    monkeypatch.setattr(zoo, "repeats", lambda: [[*point, "data.split_seed=1"]])
    done = zoo.train(tmp_path / "runs", ["ordinary"])
    assert [outcome.status for outcome in done] == ["finished"]
    assert zoo.train(tmp_path / "runs", ["ordinary"]) == []
    assert len(zoo.train(tmp_path / "runs")) == 2


def test_a_point_is_a_request_that_the_platform_takes(tmp_path):
    run = next(iter(points(WIDE, 1)))
    settings = compose([*run, f"paths.runs={tmp_path}"])
    assert settings["trainer"]["max_steps"] and {line.partition("=")[0] for line in run} & set(AXES)


def test_nothing_is_named_in_the_page_but_files_of_the_project():
    page = README.read_text(encoding="utf-8")
    assert all(
        Path(HERE / name).exists() for name in ("design.py", "zoo.csv", "reliability.svg") if name in page
    )
