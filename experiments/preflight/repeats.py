"""How far a run's end follows from its beginning: the same initial weights, trained again on other images."""

from pathlib import Path

import polars as pl

from experiments.preflight.design import REPEAT_EVERY, WIDE
from experiments.preflight.train_runs import REPEATS
from trainlab.runs import RunFolder
from trainlab.runs.groups import read_group

TABLE = Path(__file__).with_name("repeats.csv")


def record_repeats(runs: Path, table: Path = TABLE) -> pl.DataFrame:
    """Adds a row for each run that was trained twice: what came of it, and what came of it again."""
    known = pl.read_csv(table) if table.exists() else pl.DataFrame()
    have = set(known["run_id"]) if len(known) else set()
    firsts, seconds = read_group(runs, WIDE.group)[::REPEAT_EVERY], read_group(runs, REPEATS)
    rows = []
    for first, second in zip(firsts, seconds, strict=True):
        if first in have:
            continue
        one, two = (RunFolder(runs / name).result() for name in (first, second))
        if one is not None and two is not None and None not in (one.verdict.learned, two.verdict.learned):
            rows.append({
                "run_id": first, "again": second,
                "learned": one.verdict.learned, "learned_again": two.verdict.learned,
            })  # fmt: skip
    whole = pl.concat(frame for frame in (known, pl.DataFrame(rows)) if len(frame))
    whole.write_csv(table)
    return whole


def summarize_repeats(table: Path = TABLE) -> dict[str, int]:
    """How many were trained twice, and how many of the second ends were another than the first."""
    runs = pl.read_csv(table)
    changed = runs.filter(pl.col("learned") != pl.col("learned_again"))
    return {
        "runs": len(runs),
        "changed": len(changed),
        "learned_then_not": int(changed["learned"].sum()),
    }
