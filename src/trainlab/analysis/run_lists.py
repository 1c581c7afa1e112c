"""Lists of runs and of sweeps for the terminal: the newest first, differing settings as `k=v`."""

from collections.abc import Mapping
from datetime import UTC, datetime

import polars as pl

from trainlab.analysis.table_layout import FittedTable, SettingsColumn, TextColumn, fit_table
from trainlab.analysis.varying_settings import describe_differences, varying_settings
from trainlab.runs.result import STATUSES, WEAK_LEVELS
from trainlab.units import format_percent

ACCURACY = "test/acc"
MISSING = "–"
MAX_NAMED_VALUES = 3
"""A swept setting with more values is shown by their number: `depth(5)`."""


def newest_first(runs: pl.DataFrame) -> pl.DataFrame:
    """The runs by their start (ISO 8601 in UTC), those without one last."""
    start = pl.col("started").str.to_datetime(time_zone="UTC", strict=False)
    return runs.sort(start, descending=True, nulls_last=True, maintain_order=True)


def runs_list(runs: pl.DataFrame, width: int, now: datetime | None = None) -> FittedTable:
    """One line per run: run, when, group, what differs, learned (or its status), accuracy, cause."""
    rows, common = describe_differences(runs)
    one_group = runs.height > 1 and runs["group"].n_unique() == 1 and runs["group"][0] is not None
    columns: list[TextColumn | SettingsColumn] = [
        TextColumn("run", runs["run_id"].to_list()),
        TextColumn("when", [format_start(started, now) for started in runs["started"]], rank=2),
        *(_unless_empty(TextColumn("group", _cell_texts(runs["group"]), rank=3)) if not one_group else []),
        SettingsColumn("differs in" if runs.height > 1 else "settings", rows),
        TextColumn(
            "learned",
            [
                _format_outcome(*row)
                for row in runs.select("status", "learned", _level_column(runs)).iter_rows()
            ],
        ),
        TextColumn("accuracy", [format_percent(value) for value in _accuracy(runs)], align_right=True),
        *_unless_empty(TextColumn("cause", [_format_cause(cause) for cause in runs["cause"]], rank=4)),
    ]
    shown = fit_table(columns, width)
    if one_group:
        shown.notes.append(f"all of the sweep {runs['group'][0]}")
    if common:
        shown.notes.append(f"unless a line says otherwise: {_format_settings(common)}")
    return shown


def sweeps_list(sweeps: Mapping[str, pl.DataFrame], width: int, now: datetime | None = None) -> FittedTable:
    """One line per sweep, the newest first: runs, how many learned, best accuracy, what was swept."""
    starts = {name: runs["started"].drop_nulls().max() for name, runs in sweeps.items()}
    names = sorted(sweeps, key=lambda name: str(starts[name] or ""), reverse=True)
    tables = [sweeps[name] for name in names]
    best = [format_percent(_best_accuracy(runs)) for runs in tables]
    columns: list[TextColumn | SettingsColumn] = [
        TextColumn("sweep", names),
        TextColumn("when", [format_start(starts[name], now) for name in names], rank=2),
        TextColumn("runs", [str(runs.height) for runs in tables], align_right=True),
        TextColumn("learned", [format_learned_count(runs["learned"]) for runs in tables], align_right=True),
        TextColumn("best", best, align_right=True, rank=1),
        *_unless_empty(
            TextColumn("not finished", [_format_unfinished(runs["status"]) for runs in tables], rank=3)
        ),
        SettingsColumn("swept", [_swept_settings(runs) for runs in tables]),
    ]
    return fit_table(columns, width)


def sweeps_frame(sweeps: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """The same as data: sweep, started, runs, learned, judged (runs with a verdict), best, finished."""
    rows = [
        (name, runs["started"].drop_nulls().max(), runs.height, runs["learned"].sum(),
         runs["learned"].count(), _best_accuracy(runs), (runs["status"] == "finished").sum())
        for name, runs in sweeps.items()
    ]  # fmt: skip
    schema = {"sweep": pl.String, "started": pl.String, "runs": pl.Int64, "learned": pl.Int64,
              "judged": pl.Int64, "best": pl.Float64, "finished": pl.Int64}  # fmt: skip
    return pl.DataFrame(rows, schema=schema, orient="row").sort("started", descending=True, nulls_last=True)


def format_start(started: object, now: datetime | None = None) -> str:
    """A time as `11-27 18:44`, in another year as `2025-11-27`, in local time."""
    try:
        local = datetime.fromisoformat(str(started)).astimezone()
    except ValueError:
        return MISSING
    this_year = (now or datetime.now(UTC)).astimezone().year == local.year
    return f"{local:%m-%d %H:%M}" if this_year else f"{local:%Y-%m-%d}"


def format_learned(learned: bool | None) -> str:
    return MISSING if learned is None else "yes" if learned else "no"


def format_learned_count(learned: pl.Series) -> str:
    """`yes` or `no` for one run, `3 of 4` for several; runs without a verdict do not count."""
    known = learned.drop_nulls()
    if len(known) < 2:
        return format_learned(known[0] if len(known) else None)
    return f"{known.sum()} of {len(known)}"


def _swept_settings(runs: pl.DataFrame) -> list[str]:
    names = [*varying_settings(runs), *(["seed"] if runs["seed"].n_unique() > 1 else [])]
    values = {name: runs[name].unique(maintain_order=True).to_list() for name in names}
    return [
        f"{name}({len(levels)})" if len(levels) > MAX_NAMED_VALUES else f"{name}={','.join(map(str, levels))}"
        for name, levels in values.items()
    ]


def _format_unfinished(status: pl.Series) -> str:
    counts = [(name, (status == name).sum()) for name in STATUSES if name != "finished"]
    return ", ".join(f"{count} {name}" for name, count in counts if count)


def _level_column(runs: pl.DataFrame) -> pl.Expr:
    return pl.col("level") if "level" in runs.columns else pl.lit(None, pl.String).alias("level")


def _format_outcome(status: str, learned: bool | None, level: str | None) -> str:
    """Yes, barely, poorly or no for a finished run; its status for any other."""
    if status != "finished":
        return status
    return level if learned and level in WEAK_LEVELS else format_learned(learned)


def _unless_empty(column: TextColumn) -> list[TextColumn]:
    return [column] if set(column.cells) - {"", MISSING} else []


def _accuracy(runs: pl.DataFrame) -> pl.Series:
    values = runs[ACCURACY] if ACCURACY in runs.columns else pl.Series([None] * runs.height, dtype=pl.Float64)
    return values.cast(pl.Float64)


def _best_accuracy(runs: pl.DataFrame) -> float | None:
    best = _accuracy(runs).max()
    return best if isinstance(best, float) else None


def _cell_texts(values: pl.Series) -> list[str]:
    return [str(value) if value is not None else MISSING for value in values]


def _format_cause(cause: str | None) -> str:
    return cause.replace("_", " ") if cause else ""


def _format_settings(settings: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in settings.items())
