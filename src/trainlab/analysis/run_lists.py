"""Runs and sweeps as lists for people: the newest first, what each has of its own as `k=v`."""

from collections.abc import Mapping
from datetime import UTC, datetime

import polars as pl

from trainlab.analysis.compare import varying_settings
from trainlab.analysis.differences import differences
from trainlab.analysis.listing import Column, Listing, Settings, listing
from trainlab.runs.result import STATUSES, WEAK

ACCURACY = "test/acc"
NONE = "–"
MOST_LEVELS = 3
"""So many values of a swept setting are named; of more, their number: `depth(5)`."""


def newest_first(runs: pl.DataFrame) -> pl.DataFrame:
    """The runs by when they began, those that nobody knows of last; times are ISO 8601 in UTC."""
    began = pl.col("started").str.to_datetime(time_zone="UTC", strict=False)
    return runs.sort(began, descending=True, nulls_last=True, maintain_order=True)


def runs_list(runs: pl.DataFrame, width: int, now: datetime | None = None) -> Listing:
    """A line a run: run, when, group, what differs, learned (or what became of it), accuracy, cause."""
    rows, usual = differences(runs)
    one_group = runs.height > 1 and runs["group"].n_unique() == 1 and runs["group"][0] is not None
    columns: list[Column | Settings] = [
        Column("run", runs["run_id"].to_list()),
        Column("when", [when(started, now) for started in runs["started"]], rank=2),
        *(_unless_empty(Column("group", _texts(runs["group"]), rank=3)) if not one_group else []),
        Settings("differs in" if runs.height > 1 else "settings", rows),
        Column(
            "learned", [_learned(*of) for of in runs.select("status", "learned", _level(runs)).iter_rows()]
        ),
        Column("accuracy", [_percent(value) for value in _accuracy(runs)], right=True),
        *_unless_empty(Column("cause", [_words(cause) for cause in runs["cause"]], rank=4)),
    ]
    shown = listing(columns, width)
    if one_group:
        shown.notes.append(f"all of the sweep {runs['group'][0]}")
    if usual:
        shown.notes.append(f"unless a line says otherwise: {_as_text(usual)}")
    return shown


def sweeps_list(sweeps: Mapping[str, pl.DataFrame], width: int, now: datetime | None = None) -> Listing:
    """A line a sweep, the newest first: its runs, what came of them, what was swept."""
    begun = {name: runs["started"].drop_nulls().max() for name, runs in sweeps.items()}
    names = sorted(sweeps, key=lambda name: str(begun[name] or ""), reverse=True)
    tables = [sweeps[name] for name in names]
    columns: list[Column | Settings] = [
        Column("sweep", names),
        Column("when", [when(begun[name], now) for name in names], rank=2),
        Column("runs", [str(runs.height) for runs in tables], right=True),
        Column("learned", [learned_of(runs["learned"]) for runs in tables], right=True),
        Column("best", [_percent(_accuracy(runs).max()) for runs in tables], right=True, rank=1),
        *_unless_empty(Column("not finished", [_unfinished(runs["status"]) for runs in tables], rank=3)),
        Settings("swept", [_swept(runs) for runs in tables]),
    ]
    return listing(columns, width)


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


def when(started: object, now: datetime | None = None) -> str:
    """A time as `11-27 18:44`, of another year as `2025-11-27`, in the time of this machine."""
    try:
        local = datetime.fromisoformat(str(started)).astimezone()
    except ValueError:
        return NONE
    this_year = (now or datetime.now(UTC)).astimezone().year == local.year
    return f"{local:%m-%d %H:%M}" if this_year else f"{local:%Y-%m-%d}"


def yes_or_no(learned: bool | None) -> str:
    """Whether a run learned, as far as it is known."""
    return NONE if learned is None else "yes" if learned else "no"


def learned_of(learned: pl.Series) -> str:
    """`yes` or `no` of one run, `3 of 4` of several; those with no verdict do not count."""
    known = learned.drop_nulls()
    if len(known) < 2:
        return yes_or_no(known[0] if len(known) else None)
    return f"{known.sum()} of {len(known)}"


def _swept(runs: pl.DataFrame) -> list[str]:
    names = [*varying_settings(runs), *(["seed"] if runs["seed"].n_unique() > 1 else [])]
    values = {name: runs[name].unique(maintain_order=True).to_list() for name in names}
    return [f"{name}={','.join(map(str, levels))}" if len(levels) <= MOST_LEVELS else f"{name}({len(levels)})"
            for name, levels in values.items()]  # fmt: skip


def _unfinished(status: pl.Series) -> str:
    counts = [(name, (status == name).sum()) for name in STATUSES if name != "finished"]
    return ", ".join(f"{count} {name}" for name, count in counts if count)


def _level(runs: pl.DataFrame) -> pl.Expr:
    return pl.col("level") if "level" in runs.columns else pl.lit(None, pl.String).alias("level")


def _learned(status: str, learned: bool | None, level: str | None) -> str:
    """Yes, barely, poorly or no of a run that is done; of any other, what became of it."""
    if status != "finished":
        return status
    return level if learned and level in WEAK else yes_or_no(learned)


def _unless_empty(column: Column) -> list[Column]:
    return [column] if set(column.cells) - {"", NONE} else []


def _accuracy(runs: pl.DataFrame) -> pl.Series:
    values = runs[ACCURACY] if ACCURACY in runs.columns else pl.Series([None] * runs.height, dtype=pl.Float64)
    return values.cast(pl.Float64)


def _percent(share: object) -> str:
    return f"{100 * share:.1f} %" if isinstance(share, float) else NONE


def _texts(values: pl.Series) -> list[str]:
    return [str(value) if value is not None else NONE for value in values]


def _words(cause: str | None) -> str:
    return cause.replace("_", " ") if cause else ""


def _as_text(settings: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in settings.items())
