"""The long tables of a run: metrics and signals, appended while it trains, parquet once it is over.

While a run trains its rows are lines of JSON: what was appended survives a kill, and at most the last line is
torn. At the end they become a parquet file. Where both exist, the lines are the newer ones."""

import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from trainlab.runs import json_nonfinite
from trainlab.runs.result import CorruptRunError
from trainlab.runs.safe_files import atomic_replacement, read_bounded, write_atomically

MAX_TABLE_BYTES = 2**31
"""Of one table; ten million rows are 100 MB."""


@dataclass(frozen=True)
class TableSpec:
    """The name and the columns of a table; a float column also holds what is not finite."""

    name: str
    columns: dict[str, type[pl.DataType]]

    def lines(self, folder: Path) -> Path:
        """Where its rows lie while the run is going."""
        return folder / f"{self.name}.jsonl"

    def parquet(self, folder: Path) -> Path:
        """Where its rows lie once the run is over."""
        return folder / f"{self.name}.parquet"


METRICS = TableSpec("metrics", {"step": pl.Int64, "epoch": pl.Int64, "name": pl.String, "value": pl.Float64})
SIGNALS = TableSpec(
    "signals", {"step": pl.Int64, "layer": pl.String, "quantity": pl.String, "value": pl.Float64}
)
CONFUSION = TableSpec("confusion", {"true": pl.Int64, "predicted": pl.Int64, "count": pl.Int64})

_PYTHON_TYPES: dict[type[pl.DataType], type] = {pl.Int64: int, pl.String: str, pl.Float64: float}


class RowLog:
    """Appends rows to a run's table; what was appended survives the death of the process."""

    def __init__(self, folder: Path, table: TableSpec) -> None:
        self._table = table
        self._cells = [_PYTHON_TYPES[kind] for kind in table.columns.values()]
        self._file = table.lines(folder).open("ab")

    def append(self, rows: Iterable[Sequence]) -> None:
        """Append rows, each with its cells in the table's order of columns; None is null.

        Numbers may be of any kind that `float()` or `int()` takes. Raises OSError (disk full).
        """
        text = "".join(self._line(row) for row in rows)
        if text:
            self._file.write(text.encode())
            self._file.flush()

    def _line(self, row: Sequence) -> str:
        cells = [None if cell is None else kind(cell) for kind, cell in zip(self._cells, row, strict=True)]
        if isinstance(cells[-1], float):
            cells[-1] = json_nonfinite.encode_number(cells[-1])
        return json.dumps(dict(zip(self._table.columns, cells, strict=True)), separators=(",", ":")) + "\n"

    def close(self) -> None:
        """Close the file; the rows are there already."""
        self._file.close()

    def __enter__(self) -> "RowLog":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_table(folder: Path, table: TableSpec) -> pl.DataFrame:
    """The table of a run, going or over; empty where it has none. Raises CorruptRunError for bad parquet."""
    lines, parquet = table.lines(folder), table.parquet(folder)
    try:
        return _read_lines(lines, table)
    except FileNotFoundError:
        pass  # the run is over, or has not begun
    except OSError as error:
        raise CorruptRunError(folder, f"{lines.name} cannot be read ({error.strerror})") from error
    try:
        return pl.read_parquet(read_bounded(parquet, MAX_TABLE_BYTES)).select(
            pl.col(name).cast(kind) for name, kind in table.columns.items()
        )
    except FileNotFoundError:
        return pl.DataFrame(schema=table.columns)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise CorruptRunError(folder, f"{parquet.name} cannot be read ({error})") from error


def _read_lines(path: Path, table: TableSpec) -> pl.DataFrame:
    """Rows of JSON lines. A line that is torn (a write that a kill or a full disk cut) is passed over."""
    kinds = [(name, _PYTHON_TYPES[kind]) for name, kind in table.columns.items()]
    rows: list[list] = []
    for line in read_bounded(path, MAX_TABLE_BYTES).splitlines():
        try:
            row = json.loads(line)
            rows.append([None if row[name] is None else kind(row[name]) for name, kind in kinds])
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            continue
    return pl.DataFrame(rows, schema=table.columns, orient="row")


def truncate_after(folder: Path, table: TableSpec, step: int) -> None:
    """Make the table ready to be continued after `step`: drop later rows, turn parquet into lines again."""
    kept = read_table(folder, table).filter(pl.col("step") <= step)
    if not kept.is_empty():
        text = "".join(json_nonfinite.dumps(row) + "\n" for row in kept.iter_rows(named=True))
        write_atomically(table.lines(folder), text)
        table.parquet(folder).unlink(missing_ok=True)
    else:
        delete_table(folder, table)


def delete_table(folder: Path, table: TableSpec) -> None:
    """Remove the table."""
    table.lines(folder).unlink(missing_ok=True)
    table.parquet(folder).unlink(missing_ok=True)


def lines_to_parquet(folder: Path, table: TableSpec) -> None:
    """Turn the lines into parquet (zstd). Whenever this is cut, one of the two is whole."""
    lines = table.lines(folder)
    if lines.exists():
        write_table(folder, table, _read_lines(lines, table))
        lines.unlink()


def write_table(folder: Path, table: TableSpec, rows: pl.DataFrame) -> None:
    """Write the whole table as parquet, atomically. Raises OSError (disk full).

    In memory first: where the disk is full, polars raises an error of its own for what it writes itself.
    """
    parquet = io.BytesIO()
    rows.write_parquet(parquet, compression="zstd")
    with atomic_replacement(table.parquet(folder)) as beside:
        beside.write_bytes(parquet.getbuffer())
