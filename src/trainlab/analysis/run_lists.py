"""Runs and sweeps as lists for people: the newest first, what each has of its own as `k=v`."""

from collections.abc import Mapping
from datetime import UTC, datetime

import polars as pl

from trainlab.analysis.table_layout import FittedTable, SettingsColumn, TextColumn, fit_table
from trainlab.analysis.varying_settings import describe_differences, varying_settings
from trainlab.runs.result import STATUSES, WEAK_LEVELS

ACCURACY = "test/acc"
MISSING = "–"
MAX_NAMED_VALUES = 3
"""So many values of a swept setting are named; of more, their number: `depth(5)`."""


def newest_first(runs: pl.DataFrame) -> pl.DataFrame:
    """The runs by when they began, those that nobody knows of last; times are ISO 8601 in UTC."""
    began = pl.col("started").str.to_datetime(time_zone="UTC", strict=False)
    return runs.sort(began, descending=True, nulls_last=True, maintain_order=True)


def runs_list(runs: pl.DataFrame, width: int, now: datetime | None = None) -> FittedTable:
    """A line a run: run, when, group, what differs, learned (or what became of it), accuracy, cause."""
    rows, usual = describe_differences(runs)
    one_group = runs.height > 1 and runs["group"].n_unique() == 1 and runs["group"][0] is not None
    columns: list[TextColumn | SettingsColumn] = [
        TextColumn("run", runs["run_id"].to_list()),
        TextColumn("when", [format_start(started, now) for started in runs["started"]], rank=2),
        *(_unless_empty(TextColumn("group", _cell_texts(runs["group"]), rank=3)) if not one_group else []),
        SettingsColumn("differs in" if runs.height > 1 else "settings", rows),
        TextColumn(
            "learned",
            [
                _format_outcome(*of)
                for of in runs.select("status", "learned", _level_column(runs)).iter_rows()
            ],
        ),
        TextColumn("accuracy", [_percent(value) for value in _accuracy(runs)], right=True),
        *_unless_empty(TextColumn("cause", [_format_cause(cause) for cause in runs["cause"]], rank=4)),
    ]
    shown = fit_table(columns, width)
    if one_group:
        shown.notes.append(f"all of the sweep {runs['group'][0]}")
    if usual:
        shown.notes.append(f"unless a line says otherwise: {_format_settings(usual)}")
    return shown


def sweeps_list(sweeps: Mapping[str, pl.DataFrame], width: int, now: datetime | None = None) -> FittedTable:
    """A line a sweep, the newest first: its runs, what came of them, what was swept."""
    begun = {name: runs["started"].drop_nulls().max() for name, runs in sweeps.items()}
    names = sorted(sweeps, key=lambda name: str(begun[name] or ""), reverse=True)
    tables = [sweeps[name] for name in names]
    columns: list[TextColumn | SettingsColumn] = [
        TextColumn("sweep", names),
        TextColumn("when", [format_start(begun[name], now) for name in names], rank=2),
        TextColumn("runs", [str(runs.height) for runs in tables], right=True),
        TextColumn("learned", [format_learned_count(runs["learned"]) for runs in tables], right=True),
        TextColumn("best", [_percent(_accuracy(runs).max()) for runs in tables], right=True, rank=1),
        *_unless_empty(
            TextColumn("not finished", [_format_unfinished(runs["status"]) for runs in tables], rank=3)
        ),
        SettingsColumn("swept", [_swept_settings(runs) for runs in tables]),
    ]
    return fit_table(columns, width)


def sweeps_frame(sweeps: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """The same for programs: sweep, started, runs, learned (of how many it is known), best, finished."""
    rows = [
        (name, runs["started"].drop_nulls().max(), runs.height, runs["learned"].sum(),
         runs["learned"].count(), _accuracy(runs).max(), (runs["status"] == "finished").sum())
        for name, runs in sweeps.items()
    ]  # fmt: skip
    schema = {"sweep": pl.String, "started": pl.String, "runs": pl.Int64, "learned": pl.Int64,
              "judged": pl.Int64, "best": pl.Float64, "finished": pl.Int64}  # fmt: skip
    return pl.DataFrame(rows, schema=schema, orient="row").sort("started", descending=True, nulls_last=True)


def format_start(started: object, now: datetime | None = None) -> str:
    """A time as `11-27 18:44`, of another year as `2025-11-27`, in the time of this machine."""
    try:
        local = datetime.fromisoformat(str(started)).astimezone()
    except ValueError:
        return MISSING
    this_year = (now or datetime.now(UTC)).astimezone().year == local.year
    return f"{local:%m-%d %H:%M}" if this_year else f"{local:%Y-%m-%d}"


def format_learned(learned: bool | None) -> str:
    """Whether a run learned, as far as it is known."""
    return MISSING if learned is None else "yes" if learned else "no"


def format_learned_count(learned: pl.Series) -> str:
    """`yes` or `no` of one run, `3 of 4` of several; those with no verdict do not count."""
    known = learned.drop_nulls()
    if len(known) < 2:
        return format_learned(known[0] if len(known) else None)
    return f"{known.sum()} of {len(known)}"


def _swept_settings(runs: pl.DataFrame) -> list[str]:
    names = [*varying_settings(runs), *(["seed"] if runs["seed"].n_unique() > 1 else [])]
    values = {name: runs[name].unique(maintain_order=True).to_list() for name in names}
    return [
        f"{name}={','.join(map(str, levels))}"
        if len(levels) <= MAX_NAMED_VALUES
        else f"{name}({len(levels)})"
            for name, levels in values.items()]  # fmt: skip


def _format_unfinished(status: pl.Series) -> str:
    counts = [(name, (status == name).sum()) for name in STATUSES if name != "finished"]
    return ", ".join(f"{count} {name}" for name, count in counts if count)


def _level_column(runs: pl.DataFrame) -> pl.Expr:
    return pl.col("level") if "level" in runs.columns else pl.lit(None, pl.String).alias("level")


def _format_outcome(status: str, learned: bool | None, level: str | None) -> str:
    """Yes, barely, poorly or no of a run that is done; of any other, what became of it."""
    if status != "finished":
        return status
    return level if learned and level in WEAK_LEVELS else format_learned(learned)


def _unless_empty(column: TextColumn) -> list[TextColumn]:
    return [column] if set(column.cells) - {"", MISSING} else []


def _accuracy(runs: pl.DataFrame) -> pl.Series:
    values = runs[ACCURACY] if ACCURACY in runs.columns else pl.Series([None] * runs.height, dtype=pl.Float64)
    return values.cast(pl.Float64)


def _percent(share: object) -> str:
    return f"{100 * share:.1f} %" if isinstance(share, float) else MISSING


def _cell_texts(values: pl.Series) -> list[str]:
    return [str(value) if value is not None else MISSING for value in values]


def _format_cause(cause: str | None) -> str:
    return cause.replace("_", " ") if cause else ""


def _format_settings(settings: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in settings.items())
