"""Pages in this process, with no browser: what they say of runs in every state, and what a link holds."""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from browsing import REPOSITORY
from streamlit.testing.v1 import AppTest

from trainlab import analysis
from trainlab.app import compare_curves, compare_views, run_cache, run_choices, run_layers
from trainlab.app.compare_curves import _describe_replicates, _format_interval
from trainlab.app.paths import AppPaths
from trainlab.runs import RunFolder, load_runs, tables_on_disk
from trainlab.stats.intervals import Interval

PAGES = REPOSITORY / "src" / "trainlab" / "app" / "pages"
ANY_SECONDS = 60


@pytest.fixture
def runs(runs_folder, tmp_path):
    """A copy of the runs that a test may change, without checkpoints: no page here needs torch."""
    return Path(shutil.copytree(runs_folder, tmp_path / "runs", ignore=shutil.ignore_patterns("checkpoints")))


@pytest.fixture
def show(runs, monkeypatch):
    """Draws a page of the app on these runs: `show("run", run=ID)`."""
    monkeypatch.setattr(sys, "argv", ["main.py", *AppPaths(runs).arguments()])
    monkeypatch.setattr(run_layers, "_show_theory", lambda *_: None)  # it imports torch

    def draw(page: str, **asked) -> AppTest:
        test = AppTest.from_file(str(PAGES / f"{page}.py"), default_timeout=ANY_SECONDS)
        for name, value in asked.items():
            test.query_params[name.replace("__", ".")] = value
        return test.run()

    return draw


def said(page: AppTest) -> str:
    """All text of a page."""
    kinds = ("markdown", "caption", "warning", "error", "info", "header", "title", "code")
    assert not page.exception, page.exception
    return "\n".join(str(element.value) for kind in kinds for element in getattr(page, kind))


def one(runs, **values) -> str:
    return load_runs(runs).filter(**values)["run_id"][0]


# A run that goes on


def unfinished(folder: RunFolder, steps: int) -> None:
    """The run as it was after so many steps, and no further."""
    (folder.path / "result.json").unlink()
    (folder.path / "confusion.parquet").unlink()
    for name in ("metrics", "signals"):
        path = folder.path / f"{name}.parquet"
        table = pl.read_parquet(path)
        table.filter(pl.col("step") < steps).write_parquet(path)


@pytest.mark.parametrize("steps", [1, 20])
@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
def test_a_run_that_goes_on_is_not_told_that_it_ended(show, runs, activation, steps):
    run = RunFolder(runs / one(runs, activation=activation, init="kaiming", seed=0))
    unfinished(run, steps)
    with run.lock():
        text = said(show("run", run=run.run_id))
        assert "is training" in text and "still running" in text
        for only_its_end_tells in (
            "ended",
            "oo few steps",
            "Try next",
            "did not learn",
            "known to have learned",
        ):
            assert only_its_end_tells not in text, only_its_end_tells
    assert "interrupted" in said(show("run", run=run.run_id))


def test_a_run_that_begins_while_its_address_is_open_appears(show, runs, tmp_path):
    name = one(runs, activation="relu", init="kaiming", seed=0)
    shutil.move(runs / name, tmp_path / name)
    page = show("run", run=name)
    assert "is not there" in said(page) and page.query_params["run"] == name
    shutil.move(tmp_path / name, runs / name)
    text = said(page.run())
    assert "is not there" not in text and page.selectbox(key="run.choice").value == name


def test_the_page_of_an_empty_folder_looks_again(show, runs, tmp_path):
    shutil.move(runs, tmp_path / "away")
    for name in ("run", "compare", "draw"):
        page = show(name)
        assert f"paths.runs={runs}" in said(page), "the command writes where this app looks"
    shutil.move(tmp_path / "away", runs)
    assert "learned" in said(show("run"))


def test_a_run_that_is_deleted_leaves_the_list(show, runs):
    name = one(runs, activation="relu", init="kaiming", seed=0)
    page = show("run", run=name)
    shutil.rmtree(runs / name)
    page.run()
    assert "is not there" in said(page)
    box = page.selectbox(key="run.choice")
    assert box.value is None and not any(name[:6] in option for option in box.options)
    other = one(runs, activation="sigmoid", init="kaiming", seed=0)
    page = box.select(other).run()
    assert page.selectbox(key="run.choice").value == other and "is not there" not in said(page)


def test_a_run_that_cannot_be_read_is_said_to_be_so(show, runs):
    name = one(runs, activation="relu", init="kaiming", seed=0)
    (runs / name / "result.json").write_text('{"schema": 1, "run')
    assert "cannot be read" in said(show("run", run=name))


@pytest.mark.parametrize("table", ["metrics", "signals", "confusion"])
def test_one_broken_table_hides_that_run_and_no_more(show, runs, table):
    name, other = load_runs(runs).filter(activation="relu")["run_id"][:2]
    path = runs / name / f"{table}.parquet"
    path.write_bytes(path.read_bytes()[:60])
    compare = show("compare")
    assert "8" in said(compare) and len(compare.dataframe) == 1, "the table of settings is there"
    if table == "metrics":
        assert f"left out {name}" in said(compare).replace("\\", "")
    beside = said(show("run", run=name, beside=other)).replace("\\", "")
    assert f"{table}.parquet cannot be read" in beside and "learn" in beside


# Links


def test_a_chosen_curve_is_still_chosen_when_another_axis_begins_to_differ(show, runs):
    name = one(runs, activation="relu", init="kaiming", seed=1)
    page = show("compare", lines=[name])
    assert page.multiselect(key="lines.choice").value == [name]
    before = next(option for option in page.multiselect(key="lines.choice").options)
    new = RunFolder(runs / "0123456789ab")
    shutil.copytree(runs / name, new.path)
    result, settings = RunFolder(runs / name).result(), RunFolder(runs / name).settings()
    assert result is not None
    settings = settings.replace(run_id=new.run_id, depth=7, axes=settings.axes | {"depth": 7})
    new.write_settings(settings)
    replace(result, run_id=new.run_id, axes=result.axes | {"depth": 7}).write(new.path)
    page = page.run()
    box = page.multiselect(key="lines.choice")
    assert box.value == [name] and before not in box.options, (
        "its name is another now, and it is still chosen"
    )
    assert page.query_params["lines"] in (name, [name])
    assert show("compare", lines=[name]).multiselect(key="lines.choice").value == [name]


def test_a_curve_whose_run_is_gone_is_said_and_the_others_stay(show, runs):
    name = one(runs, activation="relu", init="kaiming", seed=1)
    page = show("compare", lines=["ffffffffffff", name])
    assert "ffffffffffff is not there" in said(page)
    assert page.multiselect(key="lines.choice").value == [name]


def test_an_address_that_asks_for_too_many_curves_gets_the_first_of_them(show, runs, monkeypatch):
    monkeypatch.setattr(compare_curves, "MAX_LINES", 2)
    first = load_runs(runs).filter(seed=0)["run_id"].to_list()
    page = show("compare", lines=first)
    said(page)
    assert page.multiselect(key="lines.choice").value == first[:2]


def test_a_filter_stands_on_the_page_and_one_in_vain_is_said(show):
    assert "Only runs where activation is relu" in said(show("compare", only__activation="relu"))
    assert "activation is swish" in said(show("compare", only__activation="swish"))
    assert "depth is 3" in said(show("compare", only__depth="3")), "no choice: all have it"


def test_the_filter_offers_no_class_and_nothing_twice(show):
    offered = [box.key for box in show("compare").multiselect if box.key.startswith("only.")]
    assert "only.activation.choice" in offered
    assert not any("_target_" in key or "_partial_" in key or "model.depth" in key for key in offered)


# Numbers and names


def test_what_a_row_averages_over_is_named(runs):
    frame = load_runs(runs, settings=True)
    assert _describe_replicates(frame, ["activation", "init"]) == "seeds"
    assert _describe_replicates(frame, ["activation"]) == "runs that differ in init, seed"
    assert _describe_replicates(frame, ["activation", "init", "seed"]) == "runs"


@pytest.mark.parametrize(
    ("metric", "values", "said"),
    [
        ("test/acc", [0.1, 0.4], None),  # t of two values: from below 0 to above 1
        ("test/acc", [0.90, 0.97], None),  # fewer than four are shown as they are
        ("test/acc", [0.5], None),
        ("test/acc", [0.90, 0.97, 0.99, 0.80], "77.8% … 100.0%"),
        ("test/loss", [0.5, 0.6, 0.7, 0.6], "0.47 … 0.73"),
    ],
)
def test_an_interval_holds_what_can_be_and_says_nothing_where_it_knows_nothing(metric, values, said):
    frame = pl.DataFrame(
        {
            "run_id": [f"run{i}" for i in range(len(values))], "status": "finished", "group": None,
            "seed": list(range(len(values))), "cause": None, "learned": True, metric: values,
        }
    )  # fmt: skip
    table = analysis.compare(frame, [], metric).table
    interval = Interval(*table.select("mean", "low", "high", "n").row(0))
    assert _format_interval(metric, interval) == said


def test_a_number_in_a_name_has_its_axis():
    values = {
        "activation": "relu",
        "depth": 6,
        "width": 8,
        "norm_layer": "none",
        "pool": None,
        "init": "none",
    }
    assert run_choices.setting_name(values) == "relu, depth=6, width=8, norm_layer=none, init=none"


def test_two_runs_differ_in_options_and_not_in_the_classes_that_they_build():
    first = {"axes": {"activation": "relu"}, "activation": {"_target_": "torch.nn.ReLU"}, "depth": None}
    second = {"axes": {"activation": "tanh"}, "activation": {"_target_": "torch.nn.Tanh"}, "depth": 3}
    rows = compare_views._differing_settings(first, second)
    assert [(row["setting"], row["first"], row["second"]) for row in rows] == [
        ("activation", "relu", "tanh"), ("depth", "–", "3")
    ]  # fmt: skip


# From row to run, and back


def test_every_run_of_a_row_has_a_link_in_this_tab(show, runs):
    frame = load_runs(runs).filter(activation="relu", init="kaiming")
    page = show("compare", only__activation="relu", only__init="kaiming", by="activation")
    links = [element.proto.body for element in page.get("html")]
    assert len(frame) > 1
    for run_id in frame["run_id"].to_list():
        assert any(f'<a href="run?run={run_id}">' in line for line in links), links
    assert not any("target" in line for line in links)
    assert "A click on a row" in said(page)


def test_going_back_in_the_browser_takes_a_choice_back(show, runs):
    first, second = load_runs(runs)["run_id"].to_list()[:2]
    page = show("run", run=first)
    page = page.selectbox(key="run.choice").select(second).run()
    assert page.query_params["run"] == second
    page.query_params["run"] = first  # what "back" does
    page = page.run()
    assert page.selectbox(key="run.choice").value == first and page.query_params["run"] == first


# What a view reads


def test_metrics_and_signals_of_a_run_are_read_once_for_all_parts_of_a_view(show, runs, monkeypatch):
    reads, read = [], tables_on_disk.read_table

    def counted(folder, table):
        reads.append((folder.name, table.name))
        return read(folder, table)

    monkeypatch.setattr(tables_on_disk, "read_table", counted)
    monkeypatch.setattr(run_cache, "read_table", counted)
    name = one(runs, activation="relu", init="kaiming", seed=0)
    page = show("run", run=name)
    said(page)
    assert sorted(reads) == [(name, table) for table in ("confusion", "metrics", "signals")]
    page.run()
    assert len(reads) == 3, "nothing has changed since"
    path = runs / name / "signals.parquet"
    pl.read_parquet(path).filter(pl.col("step") < 20).write_parquet(path)
    page.run()
    assert reads[3:] == [(name, "signals")], "it was written"
