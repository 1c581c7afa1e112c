"""Which trained networks are offered: runs with a checkpoint, those that read digits best first. No torch."""

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl
import streamlit as st

from trainlab.runs import read_runs

MOST = 100
DIGITS = ("mnist", "digits")
"""Data sets of drawn digits, the larger first."""
SECONDS = 5
"""How long the list is kept, so that not every stroke reads the folder of runs."""


@st.cache_data(ttl=SECONDS, max_entries=8, show_spinner=False)
def offered(root: str, wanted: str | None = None) -> dict[str, str]:
    """Run ids with what is said of each, at most `MOST`, and the wanted one; empty where there is none.

    Raises RequestError where the folder cannot be read.
    """
    if not Path(root).is_dir():
        return {}
    runs = read_runs(root).frame
    if runs.is_empty() or "data" not in runs.columns:
        return {}
    place = pl.col("data").replace_strict({name: i for i, name in enumerate(DIGITS)}, default=len(DIGITS))
    accuracy = (
        pl.col("test/acc") if "test/acc" in runs.columns else pl.lit(None, pl.Float64).alias("test/acc")
    )
    runs = runs.with_columns(accuracy).filter(
        pl.col("test/acc").is_not_null() | (pl.col("run_id") == (wanted or ""))
    )
    rows = runs.sort(place, "test/acc", descending=[False, True], nulls_last=True).iter_rows(named=True)
    trained = (row for row in rows if any((Path(root) / row["run_id"] / "checkpoints").glob("*.ckpt")))
    best = list(islice(trained, MOST))
    best += [row for row in trained if row["run_id"] == wanted]
    return {row["run_id"]: label(row) for row in best}


def label(row: Mapping[str, Any]) -> str:
    """`plain_cnn 12 · relu · kaiming · digits · 95.3% · bcd646980814`."""
    depth = f" {row['depth']}" if row.get("depth") is not None else ""
    norm = row.get("norm_layer")
    said = [
        f"{row.get('model')}{depth}",
        row.get("activation"),
        row.get("init"),
        None if norm == "none" else norm,
    ]
    accuracy = row.get("test/acc")
    said += [row.get("data"), "not tested" if accuracy is None else f"{accuracy:.1%}", row["run_id"]]
    return " · ".join(str(part) for part in said if part is not None)
