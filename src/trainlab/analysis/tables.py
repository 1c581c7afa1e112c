"""Tables for the terminal (rich), for other programs (JSON) and for spreadsheets (CSV)."""

import io
import math
from collections.abc import Sequence
from dataclasses import replace

import polars as pl
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from trainlab.analysis.compare import STATUS_COUNTS, Comparison, is_fraction
from trainlab.analysis.effects import Effects
from trainlab.analysis.table_layout import FittedTable, SettingsColumn, TextColumn, fit_table
from trainlab.errors import sanitize
from trainlab.runs import json_nonfinite
from trainlab.runs.result import WEAK_LEVELS
from trainlab.units import format_bytes, format_percent, pluralize

UNLIMITED_WIDTH = 10_000
"""Characters: a console so wide that no table wraps, to measure its natural width."""


def fit_comparison(
    comparison: Comparison, width: int, title: str | None = None, most: int | None = None
) -> FittedTable:
    """The comparison within `width`: a column per setting if they fit, else one column of `k=v`.

    `most`: number of rows shown, the best first.
    """
    full = comparison.table
    best = replace(comparison, table=full.head(most or full.height))
    table = comparison_table(best, title)
    wide = Console(width=UNLIMITED_WIDTH, file=io.StringIO())
    if Measurement.get(wide, wide.options, table).maximum <= width:
        shown = FittedTable(table)
    else:
        shown = fit_table(
            [SettingsColumn("setting", _setting_labels(best)), *_outcome_columns(best)], width, title
        )
    if best.table.height < full.height:
        shown.notes.append(f"the best {best.table.height:,} of {full.height:,} settings; a pipe gets all")
    shown.notes.extend(filter(None, [comparison.worst_note, constant_settings_note(comparison)]))
    return shown


def comparison_table(comparison: Comparison, title: str | None = None) -> Table:
    """One row per setting: its settings, learned, the metric; empty columns are left out."""
    frame = comparison.table
    table = Table(title=title, title_justify="left")
    for name in comparison.by:
        table.add_column(Text(name), justify="right" if frame.schema[name].is_numeric() else "left")
    outcome = _outcome_columns(comparison)
    for column in outcome:
        table.add_column(Text(column.name), justify="right" if column.align_right else "left")
    settings = [[format_cell(value) for value in row] for row in frame.select(comparison.by).iter_rows()]
    for number, row in enumerate(settings or [[]] * frame.height):
        table.add_row(*map(Text, [*row, *(column.cells[number] for column in outcome)]))
    return table


def _setting_labels(comparison: Comparison) -> list[list[str]]:
    """The values that define each setting, as `k=v`."""
    rows = comparison.table.select(comparison.by).iter_rows()
    return [
        [
            f"{name}={format_cell(value)}"
            for name, value in zip(comparison.by, row, strict=True)
            if value is not None
        ]
        for row in rows
    ]


def _outcome_columns(comparison: Comparison) -> list[TextColumn]:
    """Results of each setting: learned, the metric, how many runs have it, other statuses, the cause."""
    frame, metric = comparison.table, comparison.metric
    several = frame["runs"].max() != 1
    estimates = [
        format_estimate(metric, *row) for row in frame.select("mean", "low", "high", "values").iter_rows()
    ]
    columns = [TextColumn(metric, estimates, align_right=True)]
    if "learned" in frame.columns and "judged" in frame.columns and metric != "learned":
        weak = [pl.col(level) if level in frame.columns else pl.lit(0).alias(level) for level in WEAK_LEVELS]
        verdicts = [
            _format_learned_count(*row) for row in frame.select("learned", "judged", *weak).iter_rows()
        ]
        columns.insert(0, TextColumn("learned", verdicts))
    if several:
        columns.append(TextColumn("n", [str(n) for n in frame["n"]], align_right=True))
    for name in STATUS_COUNTS:
        if frame[name].sum():
            counts = [str(count or "–") for count in frame[name]]
            columns.append(TextColumn(name, counts, align_right=True, rank=1))
    if "cause" not in comparison.by and frame["cause"].drop_nulls().len():
        causes = [(cause or "–").replace("_", " ") for cause in frame["cause"]]
        columns.append(TextColumn("cause", causes, rank=2))
    return columns


def _format_learned_count(learned: int, judged: int, barely: int, poorly: int) -> str:
    """`yes`, `no`, `barely`, `poorly` for one run; for several `3 of 4 (1 barely)`."""
    if judged <= 1:
        weak = "barely" if barely else "poorly" if poorly else "yes"
        return (weak if learned else "no") if judged else "–"
    counts = {"barely": barely, "poorly": poorly}
    weak = ", ".join(f"{count} {level}" for level, count in counts.items() if count)
    return f"{learned} of {judged}" + (f" ({weak})" if weak else "")


def comparison_json(comparison: Comparison) -> str:
    """{metric, by, constant, note, rows}; `note` says with what diverged and failed runs count."""
    content = {
        "metric": comparison.metric,
        "note": comparison.worst_note or None,
        "by": comparison.by,
        "constant": comparison.constant,
        "rows": comparison.table.to_dicts(),
    }
    return json_nonfinite.dumps(content, indent=2)


def effects_tables(effects: Effects) -> list[Table]:
    """The means of each level and, where seed variance is known, the shares of axes and pairs."""
    levels = _levels_table(effects)
    if effects.has_seeds:
        return [_shares_table(effects), levels]
    levels.caption = "how much each axis matters beside chance takes more seeds: seed=range(3)"
    return [levels]


def effects_json(effects: Effects) -> str:
    """{metric, balanced, settings, possible, missing, rest, shares, interactions, others, levels}."""
    content = {
        "metric": effects.metric,
        "balanced": effects.balanced,
        "settings": effects.measured_settings,
        "possible": effects.possible_settings,
        "missing": effects.missing.to_dicts(),
        "rest": effects.unexplained,
        "shares": effects.shares.to_dicts(),
        "interactions": effects.interactions.to_dicts(),
        "others": effects.other_sources.to_dicts(),
        "levels": effects.levels.to_dicts(),
    }
    return json_nonfinite.dumps(content, indent=2)


def effects_frame(effects: Effects) -> pl.DataFrame:
    """All shares as one table: source (`activation`, `activation × init`, `seeds`), share, interval, note."""
    pairs = effects.interactions.select(
        pl.format("{} × {}", "first", "second").alias("source"), pl.exclude("first", "second")
    )
    return pl.concat([effects.shares.rename({"axis": "source"}), pairs, effects.other_sources])


def usage_table(usage: pl.DataFrame) -> Table:
    """Disk usage per run, with the sum below."""
    sizes = [name for name in usage.columns if name.endswith("bytes")]
    table = Table(show_footer=True)
    table.add_column("run_id", footer=pluralize(usage.height, "run"))
    for name in sizes:
        table.add_column(name.removesuffix("_bytes"), justify="right", footer=format_bytes(sum(usage[name])))
    for row in usage.iter_rows(named=True):
        table.add_row(row["run_id"], *(format_bytes(row[name]) for name in sizes))
    return table


def to_csv(frame: pl.DataFrame) -> str:
    """A table as CSV with a header; null is empty, values of a list are separated by blanks."""
    text = io.StringIO()
    lists = [name for name, kind in frame.schema.items() if kind == pl.List(pl.Float64)]
    frame.with_columns(
        pl.col(name).list.eval(pl.element().cast(pl.String)).list.join(" ") for name in lists
    ).write_csv(text)
    return sanitize(text.getvalue())


def format_estimate(
    metric: str,
    mean: float | None,
    low: float | None,
    high: float | None,
    values: Sequence[float] | None = None,
) -> str:
    """A mean with half the width of its interval: `98.80 ± 0.12 %`; with `values` too few for one, these.

    An interval beyond the range of the metric is clipped to it, and omitted where it covers all of it.
    """
    if mean is None:
        return "–"
    if low is None or high is None:
        return format_metric(metric, mean) + (f" ({format_values(metric, values)})" if values else "")
    margin = (high - low) / 2
    if not is_fraction(metric):
        return f"{mean:.4g} ± {margin:.2g}"
    if low >= 0 and high <= 1:
        return f"{100 * mean:.2f} ± {100 * margin:.2f} %"
    if low <= 0 and high >= 1:
        return format_metric(metric, mean)
    return f"{100 * mean:.2f} % ({100 * max(low, 0):.1f} … {100 * min(high, 1):.1f})"


def format_metric(metric: str, value: float | None) -> str:
    """One value of a metric: fractions in percent."""
    if value is None:
        return "–"
    if math.isinf(value):
        return "∞"
    return f"{100 * value:.2f} %" if is_fraction(metric) else f"{value:.4g}"


def format_values(metric: str, values: Sequence[float]) -> str:
    """Some values in one unit, which the mean beside them has: `98.9, 98.7`."""
    scale = 100 if is_fraction(metric) else 1
    return ", ".join("∞" if math.isinf(value) else f"{scale * value:.3g}" for value in values)


def format_cell(value: object) -> str:
    """Any value, short."""
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else sanitize(str(value))


def constant_settings_note(comparison: Comparison) -> str:
    """The settings in which the compared runs do not differ: `all: model=lenet5, data=mnist`."""
    same = ", ".join(f"{name}={format_cell(value)}" for name, value in comparison.constant.items())
    return f"all: {same}" if same else ""


def _shares_table(effects: Effects) -> Table:
    table = Table(
        title=f"share of the variance of {effects.metric}", caption="; ".join(_grid_remarks(effects))
    )
    table.add_column("axis")
    table.add_column("share", justify="right")
    table.add_column("95% over seeds", justify="right")
    table.add_column("note")
    pairs = effects.interactions.with_columns((pl.col("first") + " × " + pl.col("second")).alias("axis"))
    for frame in (effects.shares, pairs, effects.other_sources.rename({"source": "axis"}, strict=False)):
        for row in frame.iter_rows(named=True):
            table.add_row(
                row["axis"],
                format_percent(row["share"]),
                format_share_interval(row["low"], row["high"]),
                row["note"],
            )
        table.add_section()
    return table


def _grid_remarks(effects: Effects) -> list[str]:
    """How complete the grid is, and what the single axes leave unexplained."""
    remarks = []
    if any((frame["share"] < 0).any() for frame in (effects.shares, effects.interactions)):
        remarks.append("a share below 0 is less than chance alone would give: nothing to see")
    if effects.unexplained is not None:
        remarks.append(f"left to interactions and seeds: {100 * effects.unexplained:.1f} %")
    if effects.measured_settings < effects.possible_settings:
        counts = f"{effects.measured_settings} of {effects.possible_settings}"
        remarks.append(f"{counts} combinations have a {effects.metric}")
    elif not effects.balanced:
        remarks.append("not every combination was run equally often")
    if len(effects.missing):
        statuses = effects.missing["status"].fill_null("not run").value_counts(sort=True)
        counts = ", ".join(f"{count} {status}" for status, count in statuses.iter_rows())
        remarks.append(f"the others: {counts}")
    return remarks


def format_share_interval(low: float | None, high: float | None) -> str:
    """The interval of a share: `10.1 … 14.9`."""
    return "–" if low is None or high is None else f"{100 * low:.1f} … {100 * high:.1f}"


def _format_level_interval(metric: str, low: float | None, high: float | None) -> str:
    """The interval of a mean; `–` where it covers the range of the metric, or is unknown."""
    if low is None or high is None or (is_fraction(metric) and low <= 0 and high >= 1):
        return "–"
    return f"{format_metric(metric, low)} … {format_metric(metric, high)}"


def _levels_table(effects: Effects) -> Table:
    table = Table(title=f"{effects.metric} by level")
    table.add_column("axis")
    table.add_column("level")
    for name in ("settings", "mean", "95% in blocks", *([] if effects.balanced else ["adjusted"])):
        table.add_column(name, justify="right")
    for (axis,), rows in effects.levels.group_by("axis", maintain_order=True):
        for row in rows.iter_rows(named=True):
            adjusted = [] if effects.balanced else [format_metric(effects.metric, row["adjusted"])]
            interval = _format_level_interval(effects.metric, row["low"], row["high"])
            mean = format_metric(effects.metric, row["mean"])
            table.add_row(str(axis), row["level"], str(row["settings"]), mean, interval, *adjusted)
        table.add_section()
    return table
