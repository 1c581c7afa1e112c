"""The first view of the page Compare: learning curves and the table of settings."""

from collections import Counter
from collections.abc import Mapping, Sequence

import polars as pl
import streamlit as st

from trainlab.analysis import Comparison
from trainlab.analysis.compare import STATUS_COUNTS, clip_to_range, is_fraction
from trainlab.analysis.tables import format_values
from trainlab.analysis.varying_settings import varying_settings
from trainlab.app import run_cache
from trainlab.app.paths import app_paths
from trainlab.app.run_choices import run_labels, setting_name
from trainlab.app.widgets import (
    escape_markdown,
    multiselect_from_url,
    show_chart,
    show_run_links,
    url_control,
)
from trainlab.diagnosis.evidence import SettingsSummary
from trainlab.errors import RequestError
from trainlab.figures import learning_curves
from trainlab.figures.style import COLOURS
from trainlab.runs.frozen_settings import read_settings
from trainlab.stats.intervals import Interval
from trainlab.units import format_value

MAX_LINES, DEFAULT_LINES = 8, 5
MAX_SEEDS = 20
"""Of a setting with more runs, so many are read for its curve."""
MAX_LINKED = 20
"""Of a setting with more runs, so many have a link."""
MAX_OFFERED = 300
"""Settings offered as curves: the best; a filter brings up others."""
INTERVAL_COLUMN = "95% interval"
CURVE_METRICS = ("val/acc", "val/loss", "train/acc", "train/loss")


def curves_view(runs: pl.DataFrame, comparison: Comparison) -> list[str]:
    """Curves with a band over runs, and the table of settings; returns the runs whose curves are shown."""
    settings = _named_settings(runs, comparison)
    groups: dict[str, list[str]] = dict(settings.select("representative", "ids").iter_rows())
    names: dict[str, str] = dict(settings.select("representative", "setting").iter_rows())
    left, right = st.columns([4, 1.2], vertical_alignment="bottom")
    with left:
        lines = multiselect_from_url(
            "Curves",
            dict(list(names.items())[:MAX_OFFERED]),
            "lines",
            same_as={run_id: name for name, ids in groups.items() for run_id in ids},
            most=MAX_LINES,
            placeholder=f"the {min(DEFAULT_LINES, len(names))} best; choose up to {MAX_LINES}",
        )
    metric = url_control(right.selectbox, "Curve of", CURVE_METRICS, key="curve") or CURVE_METRICS[0]
    shown = {name: groups[name][:MAX_SEEDS] for name in lines or list(names)[:DEFAULT_LINES]}
    replicates = _describe_replicates(runs, comparison.by)
    _show_curves(shown, names, metric, _chance_accuracy(runs, metric), replicates)
    row = settings.row(_settings_table(settings, comparison, replicates), named=True)
    _show_links_of_row(runs, row["setting"], row["ids"], _settings_that_differ_within(runs, comparison.by))
    _show_constant_settings(comparison)
    return [run_id for ids in shown.values() for run_id in ids]


def _describe_replicates(runs: pl.DataFrame, by: Sequence[str]) -> str:
    """What the runs of one row are: `seeds`, or `runs that differ in depth, seed`."""
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
    distinct = runs.group_by(keys).agg(pl.col(name).n_unique() for name in others)
    return [name for name in others if (distinct[name] > 1).any()]


def _show_curves(
    groups: Mapping[str, Sequence[str]],
    names: Mapping[str, str],
    metric: str,
    chance: float | None,
    replicates: str,
) -> None:
    try:
        table, broken = run_cache.learning_curves_of(
            {names[group]: ids for group, ids in groups.items()}, metric
        )
    except RequestError:
        st.info(f"None of these runs has a readable {metric} yet.")
        return
    for line in broken:
        st.warning(f"left out {escape_markdown(line)}")
    most = max(map(len, groups.values()))
    subtitle = f"mean of up to {most} {replicates}, band from the least to the largest"
    if most == 1:
        subtitle = "one run each"
    readable = set(table["setting"])
    colours = {names[group]: colour for group, colour in _line_colours(groups).items()}
    colours = {name: colour for name, colour in colours.items() if name in readable}
    figure = learning_curves.learning_curves_plot(
        table, metric, f"{metric} by epoch", subtitle, chance, legend=True, colours=colours
    )
    show_chart(figure, f"{metric} by epoch of {', '.join(colours)}")


def _line_colours(groups: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The colour of each group of runs; it keeps the one that it had before in this window."""
    previous: dict[str, int] = st.session_state.setdefault("colours", {})
    assigned = assign_colours(groups, previous)
    previous.update({run_id: assigned[name] for name, ids in groups.items() for run_id in ids})
    return {name: COLOURS[number] for name, number in assigned.items()}


def assign_colours(
    groups: Mapping[str, Sequence[str]], previous: Mapping[str, int], count: int = len(COLOURS)
) -> dict[str, int]:
    """A number from 0 to `count` - 1 for each group of runs, all distinct up to `count` groups.

    groups: run ids by the name of their group. previous: the last number of each run. A group keeps its
    number; a new one has the number that its name hashes to, the same for all users, or the next free one.
    """
    assigned: dict[str, int] = {}
    for name, run_ids in groups.items():
        number = next((previous[run_id] for run_id in run_ids if run_id in previous), None)
        if number is not None and number not in assigned.values():
            assigned[name] = number
    for name in sorted(groups):
        if name not in assigned:
            preferred = sum(name.encode()) % count
            assigned[name] = _next_free(preferred, set(assigned.values()), count)
    return {name: assigned[name] for name in groups}


def _next_free(preferred: int, taken: set[int], count: int) -> int:
    candidates = ((preferred + i) % count for i in range(count))
    return next((number for number in candidates if number not in taken), preferred)


def _chance_accuracy(runs: pl.DataFrame, metric: str) -> float | None:
    """The accuracy of guessing, where all runs are of one data set."""
    if not metric.endswith("acc") or runs["data"].n_unique() != 1:
        return None
    record = read_settings(app_paths().runs / runs["run_id"][0])
    classes = SettingsSummary.from_record(record).num_classes
    return 1 / classes if classes else None


def _named_settings(runs: pl.DataFrame, comparison: Comparison) -> pl.DataFrame:
    """The comparison's table with each setting's name (`setting`), run `ids` and `representative`.

    A run's id represents the setting in the address, as its name changes when runs with other settings come:
    the run that began first, or the one that the address asks for.
    """
    by = list(comparison.by)
    runs = runs.sort("started", "run_id", nulls_last=True)
    if not by:
        table = comparison.table.with_columns(pl.Series("ids", [runs["run_id"].to_list()]))
    else:
        ids_of = runs.group_by(by, maintain_order=True).agg(pl.col("run_id").alias("ids"))
        table = comparison.table.join(ids_of, on=by, how="left", nulls_equal=True, maintain_order="left")
    requested = set(st.query_params.get_all("lines"))
    representatives = [
        next((run_id for run_id in ids if run_id in requested), ids[0]) for ids in table["ids"].to_list()
    ]
    names = [setting_name(row) or "all runs" for row in table.select(by).iter_rows(named=True)]
    if not by:
        names = ["all runs"] * table.height
    counts = Counter(names)
    names = [
        f"{name} · {run_id[:6]}" if counts[name] > 1 else name
        for name, run_id in zip(names, representatives, strict=True)
    ]
    return table.with_columns(pl.Series("setting", names), pl.Series("representative", representatives))


def _settings_table(settings: pl.DataFrame, comparison: Comparison, replicates: str) -> int:
    """One row per setting: axes that differ, metric and interval, statuses of the runs.

    Returns the number of the row that was clicked, by default the first.
    """
    metric = comparison.metric
    bounds = settings.select("mean", "low", "high", "n", "values").iter_rows()
    intervals = [
        format_values(metric, values) if values else _format_interval(metric, Interval(*row))
        for *row, values in bounds
    ]
    interval = [pl.Series(INTERVAL_COLUMN, intervals, pl.String)] if any(intervals) else []
    statuses = [name for name in STATUS_COUNTS if settings[name].sum()]
    has_cause = "cause" in settings.columns and settings["cause"].drop_nulls().len()
    cause = [pl.col("cause").str.replace_all("_", " ")] if has_cause else []
    shown = settings.select(*comparison.by, pl.col("mean").alias(metric), *interval, "n", *statuses, *cause)
    config = st.column_config
    fraction = config.ProgressColumn(format="percent", min_value=0.0, max_value=1.0)
    chosen = st.dataframe(
        shown,
        hide_index=True,
        column_config={
            metric: fraction if metric.endswith("acc") else config.NumberColumn(),
            INTERVAL_COLUMN: config.TextColumn(
                INTERVAL_COLUMN,
                help=f"of the mean, over the {replicates} of a row; of fewer than four the values themselves",
            ),
            "n": config.NumberColumn(
                "n", help=f"how many {replicates} of the row have the metric", width="small"
            ),
        },
        placeholder="–",
        alt="A row for each setting, best first",
        key="settings",
        on_select="rerun",
        selection_mode="single-cell",
    )
    row = next((row for row, _ in chosen.selection.cells), 0)
    return row if row < settings.height else 0


def _format_interval(metric: str, interval: Interval) -> str | None:
    """`58.1% … 63.0%`; None without bounds, or where they cover the whole range of the metric."""
    clipped = clip_to_range(metric, interval)
    if clipped.low is None or clipped.high is None:
        return None
    if not is_fraction(metric):
        return f"{clipped.low:.3g} … {clipped.high:.3g}"
    return None if clipped.low <= 0 and clipped.high >= 1 else f"{clipped.low:.1%} … {clipped.high:.1%}"


def _show_links_of_row(
    runs: pl.DataFrame, setting: str, run_ids: Sequence[str], differing: Sequence[str]
) -> None:
    """A link to each run of a row, labelled by what it differs in from the others of the row."""
    linked = runs.filter(pl.col("run_id").is_in(run_ids[:MAX_LINKED]))
    show_run_links(run_labels(linked, differing), f"Look inside {setting}:")
    more = f" The first {MAX_LINKED} of {len(run_ids):,}." if len(run_ids) > MAX_LINKED else ""
    st.caption(f"A click on a row of the table shows its runs here.{more}")


def _show_constant_settings(comparison: Comparison) -> None:
    constant = [
        f"{name}={format_value(value)}" for name, value in comparison.constant.items() if "." not in name
    ]
    if constant:
        st.caption(escape_markdown(f"all: {', '.join(constant)}"))
