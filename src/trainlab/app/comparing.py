"""The views of the page Compare: curves and table, effects, parallel coordinates, two runs side by side."""

from collections import Counter
from typing import Any

import polars as pl
import streamlit as st

from trainlab import analysis
from trainlab.analysis import Comparison, tables
from trainlab.analysis.choose import text
from trainlab.app import records
from trainlab.app.place import place
from trainlab.app.shell import chart, one_of, plain
from trainlab.errors import RequestError
from trainlab.figures import effect_bars, learning_curves, parallel
from trainlab.runs import RunFolder
from trainlab.runs.difference import difference

MOST_LINES, FIRST_LINES = 8, 5
MOST_SEEDS = 20
"""Of a setting with more seeds, so many are read for its curve."""
MOST_OFFERED = 300
"""Settings offered as curves: the best; a filter brings others up."""
MOST_PARALLEL = 400
CURVES = ("val/acc", "val/loss", "train/acc", "train/loss")


def counts(runs: pl.DataFrame) -> None:
    """How many runs, and what became of them."""
    fates = Counter(runs["status"].to_list())
    learned = runs["learned"].sum()
    said = [f"**{runs.height:,}** runs", f"**{learned:,}** learned"]
    said += [f"**{count:,}** {status}" for status, count in fates.most_common() if status != "finished"]
    st.markdown(" · ".join(said))


def overview(runs: pl.DataFrame, comparison: Comparison) -> list[str]:
    """Curves with a band over seeds, and the table of settings; returns the runs whose curves are shown."""
    settings = _settings(runs, comparison)
    names = settings["setting"].to_list()[:MOST_OFFERED]
    left, right = st.columns([4, 1.2], vertical_alignment="bottom")
    lines = left.multiselect(
        "Curves",
        names,
        key="lines",
        bind="query-params",
        max_selections=MOST_LINES,
        placeholder=f"the {min(FIRST_LINES, len(names))} best; choose up to {MOST_LINES}",
    )
    metric = right.selectbox("Curve of", CURVES, key="curve", bind="query-params") or CURVES[0]
    chosen = settings.filter(pl.col("setting").is_in(lines or names[:FIRST_LINES]))
    ids = {row["setting"]: row["ids"][:MOST_SEEDS] for row in chosen.iter_rows(named=True)}
    _curves(ids, metric, _chance(runs, metric))
    _table(settings, comparison)
    return [run_id for of in ids.values() for run_id in of]


def _curves(ids: dict[str, list[str]], metric: str, chance: float | None) -> None:
    try:
        table = records.curves(ids, metric)
    except RequestError:
        st.info(f"None of these runs has measured {metric} yet.")
        return
    seeds = max(map(len, ids.values()))
    band = (
        f"mean of up to {seeds} seeds, band from the least to the largest" if seeds > 1 else "one seed each"
    )
    figure = learning_curves.figure(table, metric, f"{metric} by epoch", band, chance, legend=True)
    chart(figure, f"{metric} by epoch of {', '.join(ids)}")


def _chance(runs: pl.DataFrame, metric: str) -> float | None:
    """The accuracy of guessing, where all runs are of one data set."""
    if not metric.endswith("acc") or runs["data"].n_unique() != 1:
        return None
    classes = RunFolder(place().runs / runs["run_id"][0]).settings().get("data", {}).get("num_classes")
    return 1 / classes if classes else None


def _settings(runs: pl.DataFrame, comparison: Comparison) -> pl.DataFrame:
    """The comparison's table with a name for each setting and the ids of its runs."""
    by = list(comparison.by)
    if not by:
        ids = pl.DataFrame({"ids": [runs["run_id"].to_list()]})
        return comparison.table.with_columns(ids["ids"], pl.lit("all runs").alias("setting"))
    ids = runs.group_by(by, maintain_order=True).agg(pl.col("run_id").alias("ids"))
    table = comparison.table.join(ids, on=by, how="left", nulls_equal=True, maintain_order="left")
    names = [", ".join(text(value) for value in row) for row in table.select(by).iter_rows()]
    return table.with_columns(pl.Series("setting", names))


def _table(settings: pl.DataFrame, comparison: Comparison) -> None:
    """A row a setting: axes that differ, metric and interval, what became of the runs, a way inside."""
    metric = comparison.metric
    link = "/run?run=" + pl.col("ids").list.first()
    half = ((pl.col("high") - pl.col("low")) / 2).alias("±")
    fates = [name for name in ("diverged", "failed", "unfinished", "pruned") if settings[name].sum()]
    caused = "cause" in settings.columns and settings["cause"].drop_nulls().len()
    cause = [pl.col("cause").str.replace_all("_", " ")] if caused else []
    shown = settings.select(
        link.alias("look inside"), *comparison.by, pl.col("mean").alias(metric), half, "n", *fates, *cause
    )
    st.dataframe(
        shown,
        hide_index=True,
        column_config=_columns(metric),
        placeholder="–",
        alt="A row for each setting, best first",
    )
    if same := tables.what_all_share(comparison):
        st.caption(plain(same))


def _columns(metric: str) -> dict[str, Any]:
    share = metric.endswith("acc")
    number: Any = st.column_config.NumberColumn(format="percent" if share else None)
    bar: Any = (
        st.column_config.ProgressColumn(format="percent", min_value=0.0, max_value=1.0) if share else number
    )
    return {
        "look inside": st.column_config.LinkColumn("run", display_text="look inside", width="small"),
        metric: bar,
        "±": st.column_config.NumberColumn(
            "±", format="percent" if share else "%.3g", help="half the 95% interval over seeds", width="small"
        ),
        "n": st.column_config.NumberColumn("n", help="runs that have the metric", width="small"),
    }


def effects(runs: pl.DataFrame, comparison: Comparison) -> list[str]:
    """How much each axis matters, alone and with another, and how its levels compare."""
    effect = analysis.effects(runs, metric=comparison.metric)
    said = "" if effect.balanced else "not every combination was run equally often"
    rest = "" if effect.rest is None else f"{effect.rest:.1%} is left to interactions and seeds"
    left, right = st.columns(2)
    with left:
        figure = effect_bars.shares(
            effect, "How much does each axis matter?", "; ".join(filter(None, [rest, said]))
        )
        chart(figure, f"Share of the variance of {effect.metric} by axis")
    with right:
        said = "mean and 95% interval over the other settings"
        figure = effect_bars.levels(effect, "Which level is better?", said)
        chart(figure, f"Mean {effect.metric} of each level")
    notes = effect.shares.filter(pl.col("note").is_not_null())
    for row in notes.iter_rows(named=True):
        st.caption(plain(f"{row['axis']}: {row['note']}"))
    return []


def parallel_coordinates(runs: pl.DataFrame, comparison: Comparison) -> list[str]:
    """A line a setting through the axes that differ, coloured by the metric."""
    table = comparison.table.filter(pl.col("mean").is_finite())
    if table.is_empty() or not comparison.by:
        st.info(f"Lines need settings that differ, and a finite {plain(comparison.metric)}.")
        return []
    said = "each line is a setting; colour is the metric"
    if table.height > MOST_PARALLEL:
        said += f"; {MOST_PARALLEL} of {table.height:,}, evenly from the best to the worst"
        table = table.gather_every(table.height // MOST_PARALLEL + 1)
    title = "What do the best settings have in common?"
    chart(parallel.figure(table, comparison.by, comparison.metric, title, said), title)
    return []


def two_runs(runs: pl.DataFrame, comparison: Comparison) -> list[str]:
    """In which settings two runs differ, and what came of each."""
    names = records.names(runs, comparison.by)
    left, right = st.columns(2)
    with left:
        first = one_of("First run", names, "first")
    with right:
        second = one_of("Second run", names, "second", min(1, len(names) - 1))
    if first is None or second is None:
        return []
    folders = [RunFolder(place().runs / run_id) for run_id in (first, second)]
    rows = difference(*(folder.settings() for folder in folders))
    if not rows:
        st.info("The two runs have the same settings.")
    else:
        st.dataframe(
            [{"setting": row.setting, "first": text(row.first), "second": text(row.second),
              "decides the result": row.decides} for row in rows],
            hide_index=True, alt="Settings in which the two runs differ",
        )  # fmt: skip
    _outcomes(runs, [first, second])
    return []


def _outcomes(runs: pl.DataFrame, ids: list[str]) -> None:
    rows = {row["run_id"]: row for row in runs.filter(pl.col("run_id").is_in(ids)).iter_rows(named=True)}
    for column, run_id in zip(st.columns(2), ids, strict=True):
        row = rows[run_id]
        accuracy = row.get("test/acc")
        column.metric("test accuracy", "–" if accuracy is None else f"{accuracy:.2%}", border=True)
        column.markdown(f"[look inside](/run?run={run_id})")
