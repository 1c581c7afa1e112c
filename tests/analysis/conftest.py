import polars as pl
import pytest

from trainlab.runs.run_table import IDENTITY_COLUMNS, OUTCOME_COLUMNS


@pytest.fixture(scope="session")
def runs_of():
    """A table as `load_runs` gives it, from rows that say only what matters."""

    def make(rows: list[dict]) -> pl.DataFrame:
        fixed = IDENTITY_COLUMNS | OUTCOME_COLUMNS
        rows = [
            {"run_id": f"r{number}", "status": "finished", "seed": 0} | row for number, row in enumerate(rows)
        ]
        free = dict.fromkeys(name for row in rows for name in row if name not in fixed)
        columns = [
            pl.Series(name, [row.get(name) for row in rows], dtype=kind) for name, kind in fixed.items()
        ]
        return pl.DataFrame(
            columns + [pl.Series(name, [row.get(name) for row in rows], strict=False) for name in free]
        )

    return make
