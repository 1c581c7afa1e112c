"""Records of the presets' runs → results.json, with commit, machine and data copy beside each number."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypedDict, cast

import yaml

from trainlab.runs import Result, RunFolder, load_runs

HERE = Path(__file__).parent
RESULTS_FILE = HERE / "results.json"

Targets = Mapping[str, bool | Mapping[str, float]]
"""Of an arm: for each column of its row a value, or {at_least, at_most}."""


class Preset(TypedDict, total=False):
    """A preset that the README reports: the axes that name its arms, and targets (with `by` of each arm)."""

    preset: str
    says: str
    by: list[str]
    must: Targets | dict[str, Targets]


ResultRow = TypedDict(
    "ResultRow",
    {
        "preset": str, "says": str, "arm": str, "run_id": str, "status": str, "learned": bool | None,
        "test/acc": float | None, "test/loss": float | None, "epochs": float, "seconds": float,
        "seed": int, "samples_per_second": int, "parameters": int | None, "data": str, "copy": str,
        "threads": int, "commit": str | None, "reached": bool | None,
    },
)  # fmt: skip
"""One arm of a preset."""


class Machine(TypedDict):
    """Where the runs were made, as their records say: each different value once."""

    processor: str
    cores: str
    python: str


class Results(TypedDict):
    """`results.json`: a row an arm, and on what it was measured."""

    machine: Machine
    rows: list[ResultRow]


def read_results() -> Results:
    return json.loads(RESULTS_FILE.read_text(encoding="utf-8"))


def load_presets() -> list[Preset]:
    """What the README reports, in its order."""
    return yaml.safe_load((HERE / "presets.yaml").read_text(encoding="utf-8"))


def measure(runs: Path) -> None:
    """Reads the presets' records and writes `results.json`."""
    rows = [row for preset in load_presets() for row in _preset_rows(preset, runs)]
    records = [RunFolder(runs / row["run_id"]).result() for row in rows]
    machine = machine_of([record for record in records if record is not None])
    results: Results = {"machine": machine, "rows": rows}
    RESULTS_FILE.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _preset_rows(preset: Preset, runs: Path) -> list[ResultRow]:
    by, targets = preset.get("by", []), preset.get("must", {})
    rows = []
    for run in load_runs(runs, f"readme-{preset['preset']}", settings=False).iter_rows(named=True):
        result = RunFolder(runs / run["run_id"]).result()
        if result is not None:
            arm = ", ".join(str(run[axis]) for axis in by)
            row = _result_row(preset, arm, result)
            row["reached"] = meets_targets(row, cast(Targets | None, targets.get(arm) if by else targets))
            rows.append(row)
    order = list(targets) if by else []
    return sorted(rows, key=lambda r: (order.index(r["arm"]) if r["arm"] in order else len(order), r["arm"]))


def _result_row(preset: Preset, arm: str, result: Result) -> ResultRow:
    return {
        "preset": preset["preset"], "says": preset["says"], "arm": arm, "run_id": result.run_id,
        "status": result.status, "learned": result.verdict.learned,
        "test/acc": result.metrics.get("test/acc"), "test/loss": result.metrics.get("test/loss"),
        "epochs": result.epochs or 0.0, "seconds": round(result.seconds or 0.0, 1), "seed": result.seed or 0,
        "samples_per_second": round(result.samples_per_second or 0.0), "parameters": result.parameters,
        "data": str(result.data["name"]), "copy": str(result.data["copy"]),
        "threads": cast(int, result.machine["threads"]), "commit": cast(str | None, result.git.get("commit")),
        "reached": None,
    }  # fmt: skip


def meets_targets(row: Mapping[str, object], targets: Targets | None) -> bool | None:
    """Whether a row reaches all of its targets; None without targets."""
    if not targets:
        return None
    return all(_meets_target(row[name], target) for name, target in targets.items())


def _meets_target(value: object, target: bool | Mapping[str, float]) -> bool:
    if isinstance(target, bool):
        return value is target
    if not isinstance(value, int | float):
        return False
    return target.get("at_least", value) <= value <= target.get("at_most", value)


def machine_of(records: Sequence[Result]) -> Machine:
    """Processor, cores and Python of the runs: a page may be written on another machine than theirs."""
    return {
        "processor": _different(record.machine.get("processor") for record in records),
        "cores": _different(record.machine.get("cores") for record in records),
        "python": _different(record.versions.get("python") for record in records),
    }


def _different(values: Iterable[object]) -> str:
    return " and ".join(sorted({"not recorded" if value is None else str(value) for value in values}))
