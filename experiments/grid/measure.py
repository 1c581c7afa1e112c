"""Recorded runs → runs.csv, a row a run, and phase.json: all that the page is written from."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TypedDict

import polars as pl

from experiments.forecast.measure import load as forecast_table
from experiments.forecast.measure import places_here
from experiments.grid.rules import AXES
from trainlab.analysis.phase_diagram import PhaseDiagram, PhasePoint
from trainlab.runs import Result, RunFolder
from trainlab.runs.groups import read_group
from trainlab.runs.provenance import describe_commit, describe_data, describe_device, describe_host

HERE = Path(__file__).parent
TABLE, PHASE = HERE / "runs.csv", HERE / "phase.json"
GROUP, PHASE_GROUP = "grid", "phase-tanh"
GUESSING = 0.1
"""Accuracy of guessing on these 2,000 test images, 200 of each class: what a diverged run counts with."""


class Provenance(TypedDict):
    """Commits, machines and data copies of some runs, each different one once."""

    commit: list[str]
    machine: list[str]
    data: list[str]


def measure(runs: Path) -> None:
    """Writes both files.

    Raises:
        RequestError: one of the two sweeps has not been run there.
    """
    results = _results(runs, GROUP)
    pl.DataFrame([_row(result) for result in results]).sort(*AXES, "seed").write_csv(TABLE)
    content = json.dumps(_measure_phase_diagram(runs), indent=1, ensure_ascii=False)
    PHASE.write_text(content + "\n", encoding="utf-8")


def load_table() -> pl.DataFrame:
    """runs.csv, with the accuracy of guessing."""
    return pl.read_csv(TABLE, infer_schema_length=None).with_columns(guessing=pl.lit(GUESSING))


def load_phase_diagram() -> tuple[PhaseDiagram, Provenance]:
    """The phase diagram, and on what it was measured."""
    content = json.loads(PHASE.read_text(encoding="utf-8"))
    diagram = content["diagram"]
    points = tuple(PhasePoint(**point) for point in diagram["points"])
    curve = tuple((x, xi) for x, xi in diagram["curve"])
    return PhaseDiagram(diagram["scale"], points, curve, diagram["threshold"]), content["measured"]


def _results(runs: Path, group: str) -> list[Result]:
    results = (RunFolder(runs / run_id).result() for run_id in read_group(runs, group))
    return [result for result in results if result is not None and result.status in ("finished", "diverged")]


def _row(result: Result) -> dict[str, object]:
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


def provenance(result: Result) -> dict[str, str]:
    """Commit, machine and data copy of one run."""
    return {
        "commit": describe_commit(result.git),
        "machine": f"{describe_host(result.machine)}; {describe_device(result.machine)}",
        "data": describe_data(result.data),
    }


def _measure_phase_diagram(runs: Path) -> dict[str, object]:
    """The diagram with the recorded forecasts of its runs; where one is missing, all are made again."""
    from trainlab.forecast.phase_diagram_builder import build_phase_diagram

    results = _results(runs, PHASE_GROUP)
    folders = [runs / result.run_id for result in results]
    recorded = forecast_table()
    learns = dict(recorded.select("run_id", "learns").iter_rows()) if len(recorded) else {}
    has_all = all(folder.name in learns for folder in folders)
    diagram = build_phase_diagram(folders, paths=places_here(), learns=learns if has_all else None)
    return {"diagram": asdict(diagram), "measured": distinct_provenance(map(provenance, results))}


def distinct_provenance(rows: Iterable[Mapping[str, str]]) -> Provenance:
    """The provenance of several runs together."""
    rows = list(rows)
    return {
        "commit": sorted({row["commit"] for row in rows}),
        "machine": sorted({row["machine"] for row in rows}),
        "data": sorted({row["data"] for row in rows}),
    }
