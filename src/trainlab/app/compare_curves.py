"""The first view of the page Compare: learning curves and the table of settings."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import streamlit as st

from trainlab.analysis import Comparison
from trainlab.analysis.compare import clip_to_range, is_fraction
from trainlab.analysis.varying_settings import varying_settings
from trainlab.app import run_cache
from trainlab.app.paths import app_paths
from trainlab.app.widgets import (
    escape_markdown,
    multiselect_from_url,
    show_chart,
    show_run_links,
    url_control,
)
from trainlab.errors import RequestError
from trainlab.figures import learning_curves
from trainlab.figures.style import COLOURS
from trainlab.runs import RunFolder
from trainlab.stats.intervals import Interval
from trainlab.units import format_value


def assign_colours(
    groups: Mapping[str, Sequence[str]], held: Mapping[str, int], count: int = len(COLOURS)
) -> dict[str, int]:
    """A number from 0 to `count` - 1 for each group of runs, no two alike up to `count` groups.

    groups: run ids by the name of their group. held: the number that a run's group had last. A group keeps
    it; a new one has the number that its name makes, so that two people see the same, or the next free one.
    """
    found: dict[str, int] = {}
    for name, run_ids in groups.items():
        before = next((held[run_id] for run_id in run_ids if run_id in held), None)
        if before is not None and before not in found.values():
            found[name] = before
    for name in sorted(groups):
        if name not in found:
            found[name] = _next_free_colour(_preferred_colour(name, count), set(found.values()), count)
    return {name: found[name] for name in groups}


def _preferred_colour(name: str, count: int) -> int:
    return sum(name.encode()) % count


def _next_free_colour(wanted: int, taken: set[int], count: int) -> int:
    return next(((wanted + i) % count for i in range(count) if (wanted + i) % count not in taken), wanted)


MAX_LINES, DEFAULT_LINES = 8, 5
MAX_SEEDS = 20
"""Of a setting with more seeds, so many are read for its curve."""
MAX_LINKED = 20
"""Of a setting with more runs, so many have a link."""
MAX_OFFERED = 300
"""Settings offered as curves: the best; a filter brings others up."""
INTERVAL_COLUMN = "95% interval"
CURVE_METRICS = ("val/acc", "val/loss", "train/acc", "train/loss")


def curves_view(runs: pl.DataFrame, comparison: Comparison) -> list[str]:
    """Curves with a band over runs, and the table of settings; returns the runs whose curves are shown."""
    settings = _named_settings(runs, comparison)
    groups = dict(settings.select("stands for", "ids").iter_rows())
    names = dict(settings.select("stands for", "setting").iter_rows())
    offered = dict(list(names.items())[:MAX_OFFERED])
    left, right = st.columns([4, 1.2], vertical_alignment="bottom")
    with left:
        lines = multiselect_from_url(
            "Curves",
            offered,
            "lines",
            same_as={run_id: name for name, ids in groups.items() for run_id in ids},
            most=MAX_LINES,
            placeholder=f"the {min(DEFAULT_LINES, len(names))} best; choose up to {MAX_LINES}",
        )
    metric = url_control(right.selectbox, "Curve of", CURVE_METRICS, key="curve") or CURVE_METRICS[0]
    ids = {name: groups[name][:MAX_SEEDS] for name in lines or list(names)[:DEFAULT_LINES]}
    _show_curves(
        ids, names, metric, _chance_accuracy(runs, metric), _describe_replicates(runs, comparison.by)
    )
    row = _settings_table(settings, comparison, _describe_replicates(runs, comparison.by))
    _show_links_of_row(runs, settings.row(row, named=True), _settings_that_differ_within(runs, comparison.by))
    _show_constant_settings(comparison)
    return [run_id for of in ids.values() for run_id in of]


def _describe_replicates(runs: pl.DataFrame, by: Sequence[str]) -> str:
    """What the runs of one row are to one another: `seeds`, or `runs that differ in depth, seed`."""
    if runs.is_empty() or all(name in by for name in (*varying_settings(runs), "seed")):
        return "runs"
    differing = _settings_that_differ_within(runs, by)
    if differing in ([], ["seed"]):
        return "seeds"
    return f"runs that differ in {', '.join(differing)}"


def _settings_that_differ_within(runs: pl.DataFrame, by: Sequence[str]) -> list[str]:
    """The settings in which the runs of one row differ."""
    others = [name for name in (*varying_settings(runs), "seed") if name not in by]
    keys = list(by) or [pl.lit(0).alias("all")]
    apart = runs.group_by(keys).agg(pl.col(name).n_unique() for name in others)
    return [name for name in others if (apart[name] > 1).any()]


def _show_curves(
    ids: dict[str, list[str]], names: dict[str, str], metric: str, chance: float | None, of_what: str
) -> None:
    try:
        table, broken = run_cache.learning_curves_of({names[name]: of for name, of in ids.items()}, metric)
    except RequestError:
        st.info(f"None of these runs has a readable {metric} yet.")
        return
    for line in broken:
        st.warning(f"left out {escape_markdown(line)}")
    most = max(map(len, ids.values()))
    said = f"mean of up to {most} {of_what}, band from the least to the largest"
    if most == 1:
        said = "one run each"
    shown = set(table["setting"])
    drawn = {names[name]: colour for name, colour in _line_colours(ids).items() if names[name] in shown}
    figure = learning_curves.learning_curves_plot(
        table, metric, f"{metric} by epoch", said, chance, legend=True, colours=drawn
    )
    show_chart(figure, f"{metric} by epoch of {', '.join(drawn)}")


def _line_colours(ids: dict[str, list[str]]) -> dict[str, str]:
    """The colour of each setting; it keeps the one that it had before in this window."""
    held = st.session_state.setdefault("colours", {})
    found = assign_colours(ids, held)
    held.update({run_id: found[name] for name, of in ids.items() for run_id in of})
    return {name: COLOURS[slot] for name, slot in found.items()}


def _chance_accuracy(runs: pl.DataFrame, metric: str) -> float | None:
    """The accuracy of guessing, where all runs are of one data set."""
    if not metric.endswith("acc") or runs["data"].n_unique() != 1:
        return None
    classes = RunFolder(app_paths().runs / runs["run_id"][0]).settings().get("data", {}).get("num_classes")
    return 1 / classes if classes else None


def _named_settings(runs: pl.DataFrame, comparison: Comparison) -> pl.DataFrame:
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
    names = [run_cache.setting_name(row) or "all runs" for row in table.select(by).iter_rows(named=True)]
    if not by:
        names = ["all runs"] * table.height
    twice = {name for name, count in Counter(names).items() if count > 1}
    names = [
        f"{name} · {run_id[:6]}" if name in twice else name
        for name, run_id in zip(names, stands_for, strict=True)
    ]
    return table.with_columns(pl.Series("setting", names), pl.Series("stands for", stands_for))


def _settings_table(settings: pl.DataFrame, comparison: Comparison, of_what: str) -> int:
    """A row a setting: axes that differ, metric and interval, what became of the runs.

    Returns the number of the row that was clicked, the first one where none was.
    """
    metric = comparison.metric
    reach = pl.Series(
        INTERVAL_COLUMN, [_format_interval(metric, row) for row in settings.iter_rows(named=True)], pl.String
    )
    fates = [name for name in ("diverged", "failed", "unfinished", "pruned") if settings[name].sum()]
    caused = "cause" in settings.columns and settings["cause"].drop_nulls().len()
    cause = [pl.col("cause").str.replace_all("_", " ")] if caused else []
    known = [reach] if reach.drop_nulls().len() else []
    shown = settings.select(*comparison.by, pl.col("mean").alias(metric), *known, "n", *fates, *cause)
    chosen = st.dataframe(
        shown,
        hide_index=True,
        column_config=_column_config(metric, of_what),
        placeholder="–",
        alt="A row for each setting, best first",
        key="settings",
        on_select="rerun",
        selection_mode="single-cell",
    )
    row = next((row for row, _ in chosen.selection.cells), 0)
    return row if row < settings.height else 0


def _show_links_of_row(runs: pl.DataFrame, row: Mapping[str, Any], differ: Sequence[str]) -> None:
    """A link to each run of a row, by what it differs in from the others of the row."""
    ids = row["ids"][:MAX_LINKED]
    show_run_links(
        run_cache.run_labels(runs.filter(pl.col("run_id").is_in(ids)), differ),
        f"Look inside {row['setting']}:",
    )
    more = f" The first {MAX_LINKED} of {len(row['ids']):,}." if len(row["ids"]) > MAX_LINKED else ""
    st.caption(f"A click on a row of the table shows its runs here.{more}")


def _show_constant_settings(comparison: Comparison) -> None:
    same = {name: value for name, value in comparison.constant.items() if "." not in name}
    if same:
        st.caption(
            escape_markdown(
                "all: " + ", ".join(f"{name}={format_value(value)}" for name, value in same.items())
            )
        )


def _format_interval(metric: str, row: Mapping[str, Any]) -> str | None:
    """`58.1% … 63.0%`; None where the values are too few to tell anything: one, or all that can be."""
    if row["low"] is None or row["high"] is None:
        return None
    cut = clip_to_range(metric, Interval(row["mean"], row["low"], row["high"], row["n"]))
    if cut.low is None or cut.high is None or (is_fraction(metric) and cut.low <= 0 and cut.high >= 1):
        return None
    if is_fraction(metric):
        return f"{cut.low:.1%} … {cut.high:.1%}"
    return f"{cut.low:.3g} … {cut.high:.3g}"


def _column_config(metric: str, of_what: str) -> dict[str, Any]:
    share = metric.endswith("acc")
    number: Any = st.column_config.NumberColumn(format="percent" if share else None)
    bar: Any = (
        st.column_config.ProgressColumn(format="percent", min_value=0.0, max_value=1.0) if share else number
    )
    return {
        metric: bar,
        INTERVAL_COLUMN: st.column_config.TextColumn(
            INTERVAL_COLUMN,
            help=f"of the mean, over the {of_what} of a row; empty where they are too few to tell",
        ),
        "n": st.column_config.NumberColumn(
            "n", help=f"how many {of_what} of the row have the metric", width="small"
        ),
    }
