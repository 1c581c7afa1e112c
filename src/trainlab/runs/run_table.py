"""Many records as one table, one row per run, and the long tables of a single run."""

import json
import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from trainlab.runs import index, json_nonfinite, tables_on_disk
from trainlab.runs.frozen_settings import SETTINGS_FILE, read_settings
from trainlab.runs.index import IndexEntry
from trainlab.runs.resolve_runs import is_run_folder, resolve_many, run_folder_names
from trainlab.runs.result import RESULT_FILE, CorruptRunError
from trainlab.runs.run_folder import unfinished_status

log = logging.getLogger(__name__)

# Columns that every table has, whatever was swept. Between the two lie the axes and the settings asked for;
# metrics have a "/" in their name. `data_copy` is where two copies of the same data set differ.
IDENTITY_COLUMNS = {"run_id": pl.String, "status": pl.String, "group": pl.String}
OUTCOME_COLUMNS = {
    "seed": pl.Int64,
    "learned": pl.Boolean,
    "level": pl.String,
    "cause": pl.String,
    "layer": pl.String,
    "remedy": pl.String,
    "verdict_version": pl.Int64,
    "epochs": pl.Float64,
    "steps": pl.Int64,
    "parameters": pl.Int64,
    "samples_per_second": pl.Float64,
    "seconds": pl.Float64,
    "device": pl.String,
    "threads": pl.Int64,
    "devices": pl.Int64,
    "data_copy": pl.String,
    "data_fingerprint": pl.String,
    "guessing": pl.Float64,
    "stopped": pl.String,
    "error": pl.String,
    "started": pl.String,
    "finished": pl.String,
}

_PYTHON: dict[type[pl.DataType], type] = {pl.String: str, pl.Int64: int, pl.Boolean: bool}


@dataclass(frozen=True)
class LoadedRuns:
    """A table of runs, and the errors of the folders that could not be read."""

    frame: pl.DataFrame
    broken: list[CorruptRunError] = field(default_factory=list)


def load_runs(
    root: Path | str = "runs", select: str | Iterable[str] | None = None, *, settings: bool = False
) -> pl.DataFrame:
    """One row per run under `root`: run_id, status, group, axes, seed, metrics and the rest of the record.

    `select` keeps to runs named by a sweep, ids or their beginnings, or folders. With `settings`, settings in
    which these runs differ become columns with dotted names. A broken run is named in the log and left out.
    Raises RequestError where there is no such folder or name.
    """
    runs = read_runs(root, select, settings=settings)
    for broken in runs.broken:
        log.warning("skipped %s", broken)
    return runs.frame


def read_runs(
    root: Path | str = "runs",
    select: str | Iterable[str] | None = None,
    *,
    settings: bool = False,
    also: Iterable[str] = (),
) -> LoadedRuns:
    """As `load_runs`, with the corrupt runs beside the table; settings in `also` are columns in any case."""
    root = Path(root)
    if select is None:
        folders = [root / name for name in run_folder_names(root)]
    else:
        folders = resolve_many(root, [select] if isinstance(select, str) else select)
    entries, broken = _read_entries(folders)
    return LoadedRuns(_build_frame(entries, settings, frozenset(also)), broken)


def run_statuses(root: Path | str, run_ids: Iterable[str]) -> dict[str, str]:
    """The status of each run, as a sweep goes by it: a broken record is "interrupted", no folder "absent"."""
    root = Path(root)
    folders = [root / run_id for run_id in run_ids]
    entries, broken = _read_entries(folders)
    known = {str(entry["row"]["run_id"]): str(entry["row"]["status"]) for entry in entries}
    known |= {problem.path.name: unfinished_status(problem.path) for problem in broken}
    return {folder.name: known.get(folder.name, "absent") for folder in folders}


def read_metrics(folder: Path | str) -> pl.DataFrame:
    """step, epoch, name, value of a run, going or over. Raises CorruptRunError."""
    return tables_on_disk.read_table(Path(folder), tables_on_disk.METRICS)


def read_signals(folder: Path | str) -> pl.DataFrame:
    """step, layer, quantity, value of a run, going or over. Raises CorruptRunError."""
    return tables_on_disk.read_table(Path(folder), tables_on_disk.SIGNALS)


def read_confusion(folder: Path | str) -> pl.DataFrame:
    """true, predicted, count of a run; empty before its test. Raises CorruptRunError."""
    return tables_on_disk.read_table(Path(folder), tables_on_disk.CONFUSION)


def _read_entries(folders: list[Path]) -> tuple[list[IndexEntry], list[CorruptRunError]]:
    """An entry per readable run, from the index where it is current; what it lacks is added to it."""
    entries: list[IndexEntry] = []
    broken: list[CorruptRunError] = []
    for root in dict.fromkeys(folder.parent for folder in folders):
        known, is_outdated = index.read_index(root)
        fresh: list[IndexEntry] = []
        for folder in (folder for folder in folders if folder.parent == root):
            try:
                entry = _read_or_reuse_entry(folder, known.get(folder.name), fresh)
            except CorruptRunError as problem:
                broken.append(problem)
            else:
                entries += [entry] if entry else []
        with suppress(OSError):  # a read-only folder is read the slow way each time
            _update_index(root, known, is_outdated, fresh)
    return entries, broken


def _read_or_reuse_entry(
    folder: Path, known: IndexEntry | None, fresh: list[IndexEntry]
) -> IndexEntry | None:
    """The entry of one folder, None where no run is (any more). Raises CorruptRunError."""
    try:
        if known and index.is_current(known, (folder / RESULT_FILE).stat()):
            return known
        entry = index.read_entry(folder)
    except (FileNotFoundError, NotADirectoryError):
        unfinished = _unfinished_entry(folder)
        is_interrupted = unfinished is not None and unfinished["row"]["status"] == "interrupted"
        if not is_interrupted or not (folder / RESULT_FILE).exists():
            return unfinished
        entry = index.read_entry(folder)  # it has ended between the two reads
    fresh.append(entry)
    return entry


def _update_index(
    root: Path, known: dict[str, IndexEntry], is_outdated: bool, fresh: list[IndexEntry]
) -> None:
    """Append the entries that were read anew; rewrite an outdated index without those of removed runs."""
    if not is_outdated:
        index.append_entries(root, fresh)
        return
    alive = {run_id: entry for run_id, entry in known.items() if (root / run_id / RESULT_FILE).exists()}
    index.rewrite_index(root, (alive | {entry["run_id"]: entry for entry in fresh}).values())


def _unfinished_entry(folder: Path) -> IndexEntry | None:
    """The row of a run without a record, from its settings."""
    status = unfinished_status(folder)
    if status == "absent":
        if folder.is_dir() and not is_run_folder(folder):
            raise CorruptRunError(folder, "not a run: it has neither result.json nor config.yaml")
        return None
    try:
        settings = read_settings(folder)
    except CorruptRunError:
        if status == "running":  # it holds the lock and has not written its settings yet
            settings = {}
        elif folder.is_dir():
            raise
        else:
            return None
    axes = settings.get("axes")
    row = {
        "run_id": folder.name,
        "status": status,
        "group": settings.get("group"),
        "seed": settings.get("seed"),
        "axes": axes if isinstance(axes, Mapping) else {},
        "metrics": {},
        "started": _begin_time(folder),
    }
    return {"row": row, "settings": index.flat_settings_json(folder, settings)}


def _begin_time(folder: Path) -> str | None:
    """When a run without a record was begun, as its settings say it: ISO 8601 in UTC."""
    with suppress(OSError):
        seconds = (folder / SETTINGS_FILE).stat().st_mtime
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    return None


def _build_frame(entries: list[IndexEntry], with_settings: bool, also: frozenset[str]) -> pl.DataFrame:
    records = [entry["row"] for entry in entries]
    fixed = {*IDENTITY_COLUMNS, *OUTCOME_COLUMNS}
    axes = _columns_of([_mapping_in(record, "axes") for record in records])
    axes = {name: values for name, values in axes.items() if name not in fixed and "/" not in name}
    measured = _columns_of([_mapping_in(record, "metrics") for record in records])
    measured = {name: values for name, values in measured.items() if "/" in name}
    chosen = _differing_settings(entries, fixed | axes.keys(), also) if with_settings else {}
    columns = [_typed_column(name, kind, records) for name, kind in IDENTITY_COLUMNS.items()]
    columns += [_inferred_column(name, values) for name, values in (axes | chosen).items()]
    columns += [_typed_column("seed", OUTCOME_COLUMNS["seed"], records)]
    columns += [_float_column(name, values) for name, values in measured.items()]
    columns += [
        _typed_column(name, kind, records) for name, kind in OUTCOME_COLUMNS.items() if name != "seed"
    ]
    return pl.DataFrame(columns)


def _mapping_in(record: Mapping[str, object], key: str) -> Mapping[str, object]:
    value = record[key]
    return value if isinstance(value, Mapping) else {}


def _columns_of(mappings: list[Mapping]) -> dict[str, list]:
    """Rows of mappings as columns, null where a row has no such key, in the order of first appearance."""
    names = dict.fromkeys(name for mapping in mappings for name in mapping)
    return {name: [mapping.get(name) for mapping in mappings] for name in names}


def _differing_settings(
    entries: list[IndexEntry], taken: set[str], also: frozenset[str] = frozenset()
) -> dict[str, list]:
    columns = _columns_of([json.loads(entry["settings"]) for entry in entries])
    texts = {
        name: [_scalar(value) for value in values] for name, values in columns.items() if name not in taken
    }
    return {name: values for name, values in texts.items() if len(set(values)) > 1 or name in also}


def _scalar(value: object) -> object:
    return (
        value if value is None or isinstance(value, bool | int | float | str) else json_nonfinite.dumps(value)
    )


def _typed_column(name: str, kind: type[pl.DataType], records: list[dict]) -> pl.Series:
    """A column of a fixed type; what does not fit is null."""
    values = [record.get(name) for record in records]
    if kind == pl.Float64:
        return _float_column(name, values)
    python = _PYTHON[kind]
    return pl.Series(
        name, [value if isinstance(value, python) else None for value in values], dtype=kind, strict=False
    )


def _float_column(name: str, values: list) -> pl.Series:
    return pl.Series(name, [_to_float(value) for value in values], dtype=pl.Float64)


def _to_float(value: float | str | None) -> float | None:
    """A number of a record or of the index, where "NaN" is text; null for an integer beyond any float."""
    try:
        return None if value is None else float(value)
    except (OverflowError, ValueError):
        return None


def _inferred_column(name: str, values: list) -> pl.Series:
    """A column of whole numbers, numbers, truth values or, where these are mixed, text."""
    kinds = {type(value) for value in values if value is not None}
    if kinds and kinds <= {int, float}:
        return pl.Series(name, values, dtype=pl.Int64 if kinds == {int} else pl.Float64, strict=False)
    if kinds == {bool}:
        return pl.Series(name, values, dtype=pl.Boolean)
    return pl.Series(
        name, [None if value is None else str(_scalar(value)) for value in values], dtype=pl.String
    )
