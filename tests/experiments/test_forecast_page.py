"""The forecast against the runs of claims and grid: the table, the score, and the page that says so."""

import json

import polars as pl
import pytest
from experiments.forecast import measure as measuring
from experiments.forecast.measure import SEEDS, TABLE, load, sample
from experiments.forecast.write import HERE, LARGE, README, RESULTS, prepared, readme, scored
from experiments.preflight.table import TABLE as ZOO

from trainlab.claims import registry as claims
from trainlab.config import compose
from trainlab.forecast.logistic_model import decision_threshold
from trainlab.forecast.run_forecast import RunForecast
from trainlab.runs import Result, RunFolder, Verdict
from trainlab.settings import RunSettings

NEWER = {
    f"claim-{name}"
    for name in (
        "adam-moves-biases-by-its-rate", "batchnorm-by-hand", "batchnorm-statistics-lag",
        "batchnorm-without-gamma-beta", "depth-degrades-shortcuts-help", "features-layer-by-layer",
        "locality-permuted-pixels", "one-setting-two-data-sets", "pooling-forgives-small-shifts",
        "receptive-field-and-relu",
    )
}  # fmt: skip
"""Claims that came after the table was made."""


@pytest.fixture(scope="module")
def runs() -> pl.DataFrame:
    return prepared(load())


@pytest.fixture(scope="module")
def results() -> dict:
    return json.loads(RESULTS.read_text(encoding="utf-8"))


def test_the_table_has_claims_of_both_collections_and_the_grid_each_run_once(runs):
    assert runs["run_id"].is_unique().all() and TABLE.stat().st_size < 500_000
    made_for = {"claims, course", "claims, papers", "the grid", "the phase diagram"}
    assert set(runs["made for"]) == made_for, "no run of an unknown claim"
    assert runs.group_by("setting").len()["len"].max() <= SEEDS
    assert runs["learns"].is_between(0, 1).all() and runs["learned"].null_count() == 0
    trained = {f"claim-{entry.name}" for entry in claims.load_claims(HERE.parent) if entry.claim.arms}
    assert trained >= NEWER and not NEWER & set(runs["group"])
    trained -= NEWER
    assert len(trained & set(runs["group"])) > 0.8 * len(trained)


def test_the_results_are_those_of_the_table(runs, results):
    again = scored(runs)
    assert again["runs"] == results["runs"] and again["learned"] == results["learned"]
    for name in ("right", "auroc", "recall", "false_alarms", "brier", "settings"):
        assert again["all"][name] == pytest.approx(results["all"][name], abs=1e-4)
    for axis, levels in results["by"].items():
        left_out = sum(
            n for n in runs[axis if axis != "depth" else "depth range"].value_counts()["count"] if n < LARGE
        )
        assert sum(of["runs"] for of in levels.values()) + left_out == results["runs"], axis


def test_right_is_counted_by_hand(runs, results):
    right = sum(
        (row["learns"] >= decision_threshold()) == row["learned"] for row in runs.iter_rows(named=True)
    )
    of = results["all"]
    assert of["right"] == pytest.approx(right / len(runs), abs=1e-4)
    assert of["missed"] + of["alarms"] == len(runs) - right


def test_no_run_is_one_that_the_forecast_was_fitted_on(runs, results):
    zoo = set(pl.read_csv(ZOO, columns=["run_id"])["run_id"])
    assert len(set(runs["run_id"]) - zoo) == results["runs"]


def test_the_page_is_what_the_results_say(results):
    assert README.read_text(encoding="utf-8") == readme(results)
    assert (HERE / "reliability.svg").exists() and "JPEG copy" in readme(results)


def planted(rows: list[tuple[str, int, float, bool]]) -> pl.DataFrame:
    """Runs of (setting, seed, probability, learned), judged at one half."""
    table = pl.DataFrame(rows, schema=("setting", "seed", "probability", "learned"), orient="row")
    same = {"steps": 100, "test_acc": 0.5, "seconds": 1.0, "depth range": "3–5", "made for": "the grid"}
    words = ("group", "model", "depth", "width", "activation", "init", "sigma_w2", "normalization",
             "norm_layer", "data", "optimizer", "lr", "copy", "commit")  # fmt: skip
    same |= dict.fromkeys(words, "x")
    return table.with_columns(threshold=pl.lit(0.5), **{name: pl.lit(value) for name, value in same.items()})


def test_a_score_counts_settings_once_in_its_interval():
    table = planted([("a", 0, 0.9, True), ("a", 1, 0.9, True), ("b", 0, 0.8, False), ("b", 1, 0.8, False)])
    found = scored(table)["all"]
    assert (found["runs"], found["settings"], found["right"]) == (4, 2, 0.5)
    assert found["low"] < 0.1 and found["high"] > 0.9, "two settings say next to nothing"
    assert found["recall"] == 0 and found["false_alarms"] == 0


def test_the_worst_errors_come_first_and_those_that_were_right_not_at_all():
    rows = [
        ("fine", 0, 0.9, True),
        ("bad", 0, 0.95, False),
        ("split", 0, 0.6, True),
        ("split", 1, 0.6, False),
    ]
    found = scored(planted(rows))["worst"]
    assert [(row["setting"], row["wrong"], row["learned"], row["runs"]) for row in found] == [
        ("bad", 1, 0, 1), ("split", 1, 1, 2)
    ]  # fmt: skip


def test_a_level_of_few_runs_is_no_line():
    few = [(f"s{n}", 0, 0.9, True) for n in range(LARGE - 1)]
    assert scored(planted(few))["by"]["activation"] == {}
    assert set(scored(planted([*few, ("last", 0, 0.9, True)]))["by"]["activation"]) == {"x"}


def test_depth_falls_into_ranges_and_a_network_without_one_by_itself():
    some = pl.DataFrame({"learns": [0.5], "learned": [True], "group": ["grid"]})
    depths = [None, 1, 3, 9, 15, 16, 24, 48, 100]
    table = pl.concat([some.with_columns(depth=pl.lit(depth, pl.Int64)) for depth in depths])
    assert prepared(table)["depth range"].to_list() == [
        "lenet5", "1–2", "3–5", "6–9", "10–15", "16–24", "16–24", "25–48", "49 and more"
    ]  # fmt: skip


def record(folder, seed: int, learned: bool | None = True, group: str = "claim-some") -> Result:
    """A recorded run, as a sweep leaves it."""
    settings = compose([f"seed={seed}", "data=digits", f"paths.runs={folder.parent}"])
    identity = {"fingerprint": "f", "copy": "embedded", "run_id": folder.name}
    frozen = RunSettings.from_record({**settings.to_plain(), **identity})
    result = Result(
        run_id=folder.name, status="finished", verdict=Verdict(learned=learned), seed=seed, steps=10,
        metrics={"test/acc": 0.9}, group=group,
        data={"name": "digits", "fingerprint": "f", "copy": "embedded"},
    )  # fmt: skip
    with RunFolder(folder).lock() as run:
        run.begin()
        run.write_settings(frozen)
        run.finish(result)
    return result


def test_two_seeds_of_a_setting_are_measured_and_kept_when_measured_again(tmp_path, monkeypatch):
    for seed in (3, 0, 1):
        record(tmp_path / f"run{seed}", seed)
    record(tmp_path / "undecided", 2, learned=None)
    record(tmp_path / "a-users-own", 5, group="demo")
    asked = []

    def fake(folders, processes, paths, each):
        for folder in folders:
            asked.append(folder.name)
            each(folder.name, RunForecast(0.25, "dead_units", 1.0))

    monkeypatch.setattr(measuring, "forecast_runs", fake)
    table = tmp_path / "runs.csv"
    found = measuring.measure([tmp_path], table=table)
    assert sorted(found["run_id"]) == ["run0", "run1"] == sorted(asked)
    assert found["setting"].n_unique() == 1
    assert set(found["learns"]) == {0.25} and set(found["group"]) == {"claim-some"}
    assert measuring.measure([tmp_path], table=table).equals(found) and len(asked) == 2
    measuring.measure([tmp_path], again=True, table=table)
    assert len(asked) == 4


def test_a_sample_takes_the_first_seeds_whatever_the_order(tmp_path):
    found = {
        tmp_path / f"run{seed}": ("claim-some", record(tmp_path / f"run{seed}", seed)) for seed in (2, 0, 1)
    }
    assert [folder.name for folder in sample(found, 1)] == ["run0"]
    assert {folder.name for folder in sample(dict(reversed(found.items())), 2)} == {"run0", "run1"}
