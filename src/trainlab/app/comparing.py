"""The views of the page Compare: curves and table, effects, parallel coordinates, two runs side by side."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import streamlit as st

from trainlab import analysis
from trainlab.analysis import Comparison
from trainlab.analysis.choose import text
from trainlab.analysis.compare import is_share, possible, varying_settings
from trainlab.analysis.intervals import Interval
from trainlab.app import colours, records
from trainlab.app.place import place
from trainlab.app.shell import chart, control, links_to_runs, one_of, plain, some_of
from trainlab.errors import RequestError
from trainlab.figures import effect_bars, learning_curves, parallel
from trainlab.figures.style import COLOURS
from trainlab.runs import RunFolder
from trainlab.runs.difference import difference

MOST_LINES, FIRST_LINES = 8, 5
MOST_SEEDS = 20
"""Of a setting with more seeds, so many are read for its curve."""
MOST_LINKED = 20
"""Of a setting with more runs, so many have a link."""
MOST_OFFERED = 300
"""Settings offered as curves: the best; a filter brings others up."""
MOST_PARALLEL = 400
INTERVAL = "95% interval"
CURVES = ("val/acc", "val/loss", "train/acc", "train/loss")


def counts(runs: pl.DataFrame) -> None:
    """How many runs, and what became of them."""
    fates = Counter(runs["status"].to_list())
    learned = runs["learned"].sum()
    said = [f"**{runs.height:,}** runs", f"**{learned:,}** learned"]
    said += [f"**{count:,}** {status}" for status, count in fates.most_common() if status != "finished"]
    st.markdown(" · ".join(said))


def overview(runs: pl.DataFrame, comparison: Comparison) -> list[str]:
    """Curves with a band over runs, and the table of settings; returns the runs whose curves are shown."""
    settings = _settings(runs, comparison)
    groups = dict(settings.select("stands for", "ids").iter_rows())
    names = dict(settings.select("stands for", "setting").iter_rows())
    offered = dict(list(names.items())[:MOST_OFFERED])
    left, right = st.columns([4, 1.2], vertical_alignment="bottom")
    with left:
        lines = some_of(
            "Curves",
            offered,
            "lines",
            same_as={run_id: name for name, ids in groups.items() for run_id in ids},
            most=MOST_LINES,
            placeholder=f"the {min(FIRST_LINES, len(names))} best; choose up to {MOST_LINES}",
        )
    metric = control(right.selectbox, "Curve of", CURVES, key="curve") or CURVES[0]
    ids = {name: groups[name][:MOST_SEEDS] for name in lines or list(names)[:FIRST_LINES]}
    _curves(ids, names, metric, _chance(runs, metric), _of_what(runs, comparison.by))
    row = _table(settings, comparison, _of_what(runs, comparison.by))
    _look_inside(runs, settings.row(row, named=True), _differ_within(runs, comparison.by))
    _say_what_is_same(comparison)
    return [run_id for of in ids.values() for run_id in of]


def _of_what(runs: pl.DataFrame, by: Sequence[str]) -> str:
    """What the runs of one row are to one another: `seeds`, or `runs that differ in depth, seed`."""
    if runs.is_empty() or all(name in by for name in (*varying_settings(runs), "seed")):
        return "runs"
    differing = _differ_within(runs, by)
    if differing in ([], ["seed"]):
        return "seeds"
    return f"runs that differ in {', '.join(differing)}"


def _differ_within(runs: pl.DataFrame, by: Sequence[str]) -> list[str]:
    """The settings in which the runs of one row differ."""
    others = [name for name in (*varying_settings(runs), "seed") if name not in by]
    keys = list(by) or [pl.lit(0).alias("all")]
    apart = runs.group_by(keys).agg(pl.col(name).n_unique() for name in others)
    return [name for name in others if (apart[name] > 1).any()]


def _curves(
    ids: dict[str, list[str]], names: dict[str, str], metric: str, chance: float | None, of_what: str
) -> None:
    try:
        table, broken = records.curves({names[name]: of for name, of in ids.items()}, metric)
    except RequestError:
        st.info(f"None of these runs has a readable {metric} yet.")
        return
    for line in broken:
        st.warning(f"left out {plain(line)}")
    most = max(map(len, ids.values()))
    said = f"mean of up to {most} {of_what}, band from the least to the largest"
    if most == 1:
        said = "one run each"
    shown = set(table["setting"])
    drawn = {names[name]: colour for name, colour in _colours(ids).items() if names[name] in shown}
    figure = learning_curves.figure(
        table, metric, f"{metric} by epoch", said, chance, legend=True, colours=drawn
    )
    chart(figure, f"{metric} by epoch of {', '.join(drawn)}")


def _colours(ids: dict[str, list[str]]) -> dict[str, str]:
    """The colour of each setting; it keeps the one that it had before in this window."""
    held = st.session_state.setdefault("colours", {})
    found = colours.slots(ids, held)
    held.update({run_id: found[name] for name, of in ids.items() for run_id in of})
    return {name: COLOURS[slot] for name, slot in found.items()}


def _chance(runs: pl.DataFrame, metric: str) -> float | None:
    """The accuracy of guessing, where all runs are of one data set."""
    if not metric.endswith("acc") or runs["data"].n_unique() != 1:
        return None
    classes = RunFolder(place().runs / runs["run_id"][0]).settings().get("data", {}).get("num_classes")
    return 1 / classes if classes else None


def _settings(runs: pl.DataFrame, comparison: Comparison) -> pl.DataFrame:
    """The comparison's table with each setting's name, the ids of its runs, and the one that stands for it.

    That is a run's id and not the name: which settings differ, and with it every name, changes as runs come.
    It is the one that began first; of those that the address asks for, that one.
    """
    by = list(comparison.by)
    runs = runs.sort("started", "run_id", nulls_last=True)
    if not by:
        table = comparison.table.with_columns(pl.Series("ids", [runs["run_id"].to_list()]))
    else:
        ids = runs.group_by(by, maintain_order=True).agg(pl.col("run_id").alias("ids"))
        table = comparison.table.join(ids, on=by, how="left", nulls_equal=True, maintain_order="left")
    asked = set(st.query_params.get_all("lines"))
    stands_for = [next((run for run in of if run in asked), of[0]) for of in table["ids"].to_list()]
    names = [records.setting_name(row) or "all runs" for row in table.select(by).iter_rows(named=True)]
    if not by:
        names = ["all runs"] * table.height
    twice = {name for name, count in Counter(names).items() if count > 1}
    names = [
        f"{name} · {run_id[:6]}" if name in twice else name
        for name, run_id in zip(names, stands_for, strict=True)
    ]
    return table.with_columns(pl.Series("setting", names), pl.Series("stands for", stands_for))


def _table(settings: pl.DataFrame, comparison: Comparison, of_what: str) -> int:
    """A row a setting: axes that differ, metric and interval, what became of the runs.

    Returns the number of the row that was clicked, the first one where none was.
    """
    metric = comparison.metric
    reach = pl.Series(INTERVAL, [_interval(metric, row) for row in settings.iter_rows(named=True)], pl.String)
    fates = [name for name in ("diverged", "failed", "unfinished", "pruned") if settings[name].sum()]
    caused = "cause" in settings.columns and settings["cause"].drop_nulls().len()
    cause = [pl.col("cause").str.replace_all("_", " ")] if caused else []
    known = [reach] if reach.drop_nulls().len() else []
    shown = settings.select(*comparison.by, pl.col("mean").alias(metric), *known, "n", *fates, *cause)
    chosen = st.dataframe(
        shown,
        hide_index=True,
        column_config=_columns(metric, of_what),
        placeholder="–",
        alt="A row for each setting, best first",
        key="settings",
        on_select="rerun",
        selection_mode="single-cell",
    )
    row = next((row for row, _ in chosen.selection.cells), 0)
    return row if row < settings.height else 0


def _look_inside(runs: pl.DataFrame, row: Mapping[str, Any], differ: Sequence[str]) -> None:
    """A link to each run of a row, by what it differs in from the others of the row."""
    ids = row["ids"][:MOST_LINKED]
    links_to_runs(
        records.names(runs.filter(pl.col("run_id").is_in(ids)), differ), f"Look inside {row['setting']}:"
    )
    more = f" The first {MOST_LINKED} of {len(row['ids']):,}." if len(row["ids"]) > MOST_LINKED else ""
    st.caption(f"A click on a row of the table shows its runs here.{more}")


def _say_what_is_same(comparison: Comparison) -> None:
    same = {name: value for name, value in comparison.constant.items() if "." not in name}
    if same:
        st.caption(plain("all: " + ", ".join(f"{name}={text(value)}" for name, value in same.items())))


def _interval(metric: str, row: Mapping[str, Any]) -> str | None:
    """`58.1% … 63.0%`; None where the values are too few to tell anything: one, or all that can be."""
    if row["low"] is None or row["high"] is None:
        return None
    cut = possible(metric, Interval(row["mean"], row["low"], row["high"], row["n"]))
    if cut.low is None or cut.high is None or (is_share(metric) and cut.low <= 0 and cut.high >= 1):
        return None
    if is_share(metric):
        return f"{cut.low:.1%} … {cut.high:.1%}"
    return f"{cut.low:.3g} … {cut.high:.3g}"


def _columns(metric: str, of_what: str) -> dict[str, Any]:
    share = metric.endswith("acc")
    number: Any = st.column_config.NumberColumn(format="percent" if share else None)
    bar: Any = (
        st.column_config.ProgressColumn(format="percent", min_value=0.0, max_value=1.0) if share else number
    )
    return {
        metric: bar,
        INTERVAL: st.column_config.TextColumn(
            INTERVAL, help=f"of the mean, over the {of_what} of a row; empty where they are too few to tell"
        ),
        "n": st.column_config.NumberColumn(
            "n", help=f"how many {of_what} of the row have the metric", width="small"
        ),
    }


def effects(runs: pl.DataFrame, comparison: Comparison) -> list[str]:
    """How much each axis matters, alone and with another, and how its levels compare."""
    effect = analysis.effects(runs, metric=comparison.metric)
    said = "" if effect.balanced else "not every combination was run equally often"
    rest = "" if effect.rest is None else f"single axes leave {effect.rest:.1%} to two together and to seeds"
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
    if not notes.is_empty():
        with st.expander(f"What cannot be told, or only in part: {notes.height}"):
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
    with st.container(key="parallel"):  # wider than a telephone: there it is moved sideways
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
    _outcomes(runs, [first, second])
    if first == second:
        st.info("This is one run, twice: choose another.")
        return []
    rows = _differing(*(RunFolder(place().runs / run_id).settings() for run_id in (first, second)))
    if not rows:
        st.info("The two runs have the same settings.")
    else:
        st.dataframe(rows, hide_index=True, alt="Settings in which the two runs differ")
    return []


def _differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Where two runs' settings differ: options by their names, then what is set within them.

    Left out is which class an option builds, and what one of them lacks and the other leaves empty.
    """
    options = [
        (axis, one, other, True)
        for axis in dict.fromkeys([*first.get("axes", {}), *second.get("axes", {})])
        if (one := first.get("axes", {}).get(axis)) != (other := second.get("axes", {}).get(axis))
    ]
    named = {axis for axis, *_ in options}
    rows = [
        *options,
        *(row for row in difference(first, second) if not row.setting.endswith(records.BUILT_BY)),
    ]
    return [
        {"setting": name, "first": text(one), "second": text(other), "decides the result": decides}
        for i, (name, one, other, decides) in enumerate(rows)
        if text(one) != text(other) and (i < len(options) or name not in named)
    ]


def _outcomes(runs: pl.DataFrame, ids: list[str]) -> None:
    rows = {row["run_id"]: row for row in runs.filter(pl.col("run_id").is_in(ids)).iter_rows(named=True)}
    for column, run_id in zip(st.columns(2), ids, strict=True):
        row = rows[run_id]
        accuracy = row.get("test/acc")
        column.metric("test accuracy", "–" if accuracy is None else f"{accuracy:.2%}", border=True)
        with column:
            links_to_runs({run_id: "look inside"})
