"""Figures of a factorial: two axes together, and which of all combinations learn."""

import itertools

import polars as pl
import pytest

from trainlab.cli import main
from trainlab.config import compose
from trainlab.errors import RequestError
from trainlab.figures import grid_heatmaps
from trainlab.runs import Result, RunFolder, Verdict
from trainlab.runs.result import run_facts
from trainlab.settings import RunSettings

LEVELS = {"activation": ("relu", "tanh"), "init": ("glorot", "kaiming"), "depth": (4, 12)}


def runs(score, levels=None) -> pl.DataFrame:
    """Two seeds of every combination; `score` (point, seed) → accuracy, None for a diverged run."""
    levels = levels or LEVELS
    rows = []
    for point in itertools.product(*levels.values()):
        for seed in (0, 1):
            accuracy = score(point, seed)
            row = dict(zip(levels, point, strict=True)) | {"seed": seed, "test/acc": accuracy}
            status = "diverged" if accuracy is None else "finished"
            row |= {"status": status, "guessing": 0.1}
            rows.append(row | {"learned": accuracy is not None and accuracy > 0.2})
    return pl.DataFrame(rows, infer_schema_length=None)


def of(table: pl.DataFrame, first, second) -> dict:
    return table.filter((pl.col("first") == first) & (pl.col("second") == second)).row(0, named=True)


def test_what_a_pair_has_beyond_both_is_what_was_planted():
    surplus = {("relu", "kaiming"): 0.1, ("tanh", "glorot"): 0.1}
    base = {"relu": 0.3, "tanh": 0.2, "glorot": 0.1, "kaiming": 0.0}
    table = runs(lambda p, _: base[p[0]] + base[p[1]] + surplus.get(p[:2], 0.0) + p[2] / 1000)
    cells = grid_heatmaps.interaction_cells(table, ["activation", "init"], "test/acc")
    assert of(cells, "relu", "kaiming")["mean"] == pytest.approx(0.4 + 0.008)
    for row in cells.to_dicts():
        right = (row["first"], row["second"]) in surplus
        assert row["beyond"] == pytest.approx(0.05 if right else -0.05)


WITH_NONE = {"activation": ("relu", "tanh"), "init": ("glorot", "kaiming"), "depth": (None, 4, 12)}


def drawn(chart) -> list[dict]:
    """All rows that a chart has, wherever Altair puts them."""
    if isinstance(chart, list):
        return [row for inner in chart for row in drawn(inner)]
    if not isinstance(chart, dict):
        return []
    own = [*chart.get("datasets", {}).values(), chart.get("values", [])]
    rows = [row for values in own for row in values if isinstance(row, dict)]
    return rows + [row for name, inner in chart.items() if name != "datasets" for row in drawn(inner)]


@pytest.mark.parametrize("axes", [["depth", "activation"], ["activation", "depth"]])
def test_a_level_that_is_none_is_a_level_of_a_pair(axes):
    """LeNet-5 has no depth: its cells stay, and so do the others' surplus."""
    surplus = {("relu", None): 0.3}
    table = runs(lambda p, _: 0.2 + 0.1 * (p[0] == "relu") + surplus.get((p[0], p[2]), 0.0), WITH_NONE)
    cells = grid_heatmaps.interaction_cells(table, axes, "test/acc")
    assert cells.height == 6
    place = dict(zip(axes, ("first", "second"), strict=True))
    for row in cells.to_dicts():
        of_relu, of_none = row[place["activation"]] == "relu", row[place["depth"]] is None
        # a surplus of 0.3 in one of 2 × 3 cells: less the means of its row and column, and that of all
        expected = 0.3 * ((of_relu and of_none) - of_relu / 3 - of_none / 2 + 1 / 6)
        assert row["beyond"] == pytest.approx(expected)
    chart = grid_heatmaps.interaction_heatmap(cells, axes, "test/acc", "Two axes").to_dict()
    for half in chart["hconcat"]:
        encoded = half["layer"][0]["encoding"]
        for channel, name in (("y", "first"), ("x", "second")):
            assert set(encoded[channel]["sort"]) == {row[name] for row in drawn(chart)}


def test_a_level_that_is_none_is_a_level_of_a_table_of_combinations():
    table = runs(lambda p, _: 0.5, {"depth": (None, 4), "init": (None, "kaiming"), "model": ("mlp", None)})
    table = table.with_columns(pool=pl.lit("max"))
    for axes in (["depth", "init"], ["depth", "init", "model"], ["model", "init", "depth", "pool"]):
        cells = grid_heatmaps.combination_cells(table, axes)
        chart = grid_heatmaps.combination_heatmap(cells, "Which learn?").to_dict()
        rows = drawn(chart)
        assert len(rows) == cells.height
        assert all(value is not None for row in rows for value in row.values())
        for channel in ("row", "column"):
            if channel in chart.get("facet", {}):
                assert set(chart["facet"][channel]["sort"]) == {row[channel] for row in rows}


def test_a_pair_without_interaction_is_flat_and_can_be_drawn():
    table = runs(lambda p, _: 0.1 + 0.2 * (p[0] == "relu") + 0.1 * (p[2] == 4))
    cells = grid_heatmaps.interaction_cells(table, ["depth", "activation"], "test/acc")
    assert cells["beyond"].abs().max() < 1e-12 and cells["first"].to_list() == [4, 4, 12, 12]
    chart = grid_heatmaps.interaction_heatmap(
        cells, ["depth", "activation"], "test/acc", "Two axes"
    ).to_dict()
    assert len(chart["hconcat"]) == 2


def test_a_run_that_diverged_counts_as_guessing_in_a_pair_and_one_that_is_not_over_does_not_count():
    table = runs(lambda p, seed: None if seed else 0.5)
    assert set(grid_heatmaps.interaction_cells(table, ["activation", "init"], "test/acc")["mean"]) == {0.3}
    going = table.with_columns(status=pl.col("status").replace("diverged", "running"))
    assert set(grid_heatmaps.interaction_cells(going, ["activation", "init"], "test/acc")["mean"]) == {0.5}
    with pytest.raises(RequestError, match="pooling"):
        grid_heatmaps.interaction_cells(table, ["activation", "pooling"], "test/acc")


def test_a_combination_has_the_share_that_learned_and_says_where_all_diverged():
    def score(point, seed):
        if point == ("relu", "glorot", 12) or (point == ("relu", "kaiming", 12) and seed):
            return None
        return 0.5 if point[0] == "relu" or seed == 0 else 0.1

    cells = grid_heatmaps.combination_cells(runs(score), list(LEVELS))
    assert len(cells) == 8
    told = {tuple(row[a] for a in LEVELS): (row["learned"], row["text"]) for row in cells.to_dicts()}
    assert told["relu", "glorot", 12] == (0.0, "div.") and told["relu", "kaiming", 12] == (0.5, "30*")
    assert told["relu", "glorot", 4] == (1.0, "50") and told["tanh", "kaiming", 4] == (0.5, "30")


@pytest.mark.parametrize("count", [2, 3, 5])
def test_every_combination_is_in_the_picture_once(count):
    more = LEVELS | {"normalization": ("raw", "unit"), "norm_layer": ("none", "batchnorm")}
    levels = dict(list(more.items())[:count])
    cells = grid_heatmaps.combination_cells(runs(lambda p, _: 0.3, levels), list(levels))
    chart = grid_heatmaps.combination_heatmap(cells, "Which learn").to_dict()
    drawn = chart.get("data", {}).get("values") or chart["spec"]["data"]["values"]
    assert len({(row["x"], row["y"], row["row"], row["column"]) for row in drawn}) == 2**count


def test_one_axis_is_no_table_of_combinations():
    with pytest.raises(RequestError, match="two axes"):
        grid_heatmaps.combination_cells(runs(lambda *_: 0.5, {"activation": ("relu", "tanh")}))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four recorded runs, none of them trained."""
    root = tmp_path_factory.mktemp("runs")
    for number, (phi, init) in enumerate(itertools.product(("relu", "tanh"), ("glorot", "kaiming"))):
        settings = compose([f"activation={phi}", f"init={init}", "data=digits", "model=mlp"])
        settings = RunSettings.identified(settings, f"run{number}", "f", "embedded", {})
        result = Result(
            **run_facts(settings),
            status="finished",
            verdict=Verdict(learned=number > 0),
            metrics={"test/acc": number / 4},
        )
        with RunFolder(root / f"run{number}").lock() as run:
            run.begin()
            run.write_settings(settings)
            run.finish(result)
    return root


@pytest.mark.parametrize("command", [["pair", "--by", "activation,init"], ["combinations"]])
def test_the_commands_write_a_picture(folder, tmp_path, command):
    to = tmp_path / "picture.svg"
    runs_of_it = [f"run{number}" for number in range(4)]
    with pytest.raises(SystemExit) as end:
        main(["plot", command[0], *runs_of_it, *command[1:], "--runs", str(folder), "--to", str(to)])
    assert end.value.code == 0
    assert "kaiming" in to.read_text(encoding="utf-8")


def test_a_pair_of_three_axes_is_refused(folder, tmp_path, capsys):
    wrong = ["plot", "pair", "run0", "--by", "activation,init,depth", "--runs", str(folder)]
    with pytest.raises(SystemExit) as end:
        main([*wrong, "--to", str(tmp_path / "p.svg")])
    assert end.value.code == 2
    assert "expected two axes" in capsys.readouterr().err
