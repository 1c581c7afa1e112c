"""Recorded runs → runs.csv, a row a run, and phase.json: all that the page is written from."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl

from experiments.forecast.measure import load as forecast_table
from experiments.forecast.measure import places_here
from experiments.grid.rules import AXES
from trainlab.analysis.phase_diagram import PhaseDiagram, PhasePoint
from trainlab.runs import Result, RunFolder
from trainlab.runs.groups import read_group
from trainlab.runs.provenance import describe_host

HERE = Path(__file__).parent
TABLE, PHASE = HERE / "runs.csv", HERE / "phase.json"
GROUP, PHASE_GROUP = "grid", "phase-tanh"
GUESSING = 0.1
"""Accuracy of guessing among ten classes: what a diverged run counts with."""


def measure(runs: Path) -> None:
    """Writes both files.

    Raises:
        RequestError: one of the two sweeps has not been run there.
    """
    results = _results(runs, GROUP)
    pl.DataFrame([_row(result) for result in results]).sort(*AXES, "seed").write_csv(TABLE)
    PHASE.write_text(
        json.dumps(_measure_phase_diagram(runs), indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )


def load_table() -> pl.DataFrame:
    """runs.csv, in which a diverged run has the test accuracy of guessing."""
    guessed = pl.when(pl.col("status") == "diverged").then(GUESSING).otherwise(pl.col("test/acc"))
    return pl.read_csv(TABLE, infer_schema_length=None).with_columns(guessed.alias("test/acc"))


def load_phase_diagram() -> tuple[PhaseDiagram, dict[str, Any]]:
    """The phase diagram, and on what it was measured."""
    content = json.loads(PHASE.read_text(encoding="utf-8"))
    drawn = content["diagram"]
    points = tuple(PhasePoint(**point) for point in drawn["points"])
    curve = tuple((x, xi) for x, xi in drawn["curve"])
    return PhaseDiagram(drawn["scale"], points, curve, drawn["threshold"]), content["measured"]


def _results(runs: Path, group: str) -> list[Result]:
    found = (RunFolder(runs / run_id).result() for run_id in read_group(runs, group))
    return [result for result in found if result is not None and result.status in ("finished", "diverged")]


def _row(result: Result) -> dict[str, Any]:
    return {
        "run_id": result.run_id,
        **{axis: result.axes[axis] for axis in AXES},
        "seed": result.seed,
        "status": result.status,
        "learned": result.verdict.learned,
        "cause": result.verdict.cause,
        "test/acc": result.metrics.get("test/acc"),
        "seconds": round(result.seconds or 0.0, 2),
        "started": result.started,
        "finished": result.finished,
        **provenance(result),
    }


def provenance(result: Result) -> dict[str, Any]:
    """commit, machine and data copy of one run."""
    changed = " (with changes)" if result.git.get("dirty") else ""
    return {
        "commit": (result.git.get("commit") or "none")[:7] + changed,
        "machine": f"{describe_host(result.machine)}; {result.machine['device']}, "
        f"{result.machine['threads']} thread(s) a run",
        "data": f"{result.data['name']}: {result.data['copy']}",
    }  # fmt: skip


def _measure_phase_diagram(runs: Path) -> dict[str, Any]:
    """The diagram with the forecasts that are known of its runs; those that are not are asked."""
    from trainlab.forecast.phase_diagram_builder import build_phase_diagram

    results = _results(runs, PHASE_GROUP)
    folders = [runs / result.run_id for result in results]
    known = forecast_table()
    said = dict(known.select("run_id", "learns").iter_rows()) if len(known) else {}
    have_all = all(folder.name in said for folder in folders)
    drawn = build_phase_diagram(folders, paths=places_here(), learns=said if have_all else None)
    return {"diagram": asdict(drawn), "measured": distinct_provenance(map(provenance, results))}


def distinct_provenance(of_runs: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Each kind of provenance, all its different values."""
    rows = list(of_runs)
    return {name: sorted({row[name] for row in rows}) for name in rows[0]} if rows else {}
