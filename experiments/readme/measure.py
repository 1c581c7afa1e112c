"""Records of the presets' runs → results.json, with commit, machine and data copy beside each number."""

import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from trainlab.runs import load_runs

HERE = Path(__file__).parent


class Results:
    """`results.json`: what was measured, and on what."""

    path = HERE / "results.json"

    def read(self) -> dict[str, Any]:
        """{machine, rows}."""
        return json.loads(self.path.read_text(encoding="utf-8"))

    def rows(self) -> list[dict[str, Any]]:
        """One row an arm."""
        return self.read()["rows"]

    def write(self, content: Mapping[str, Any]) -> None:
        """Replaces the file."""
        self.path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


RESULTS = Results()


def presets() -> list[dict[str, Any]]:
    """What the README reports, in its order."""
    return yaml.safe_load((HERE / "presets.yaml").read_text(encoding="utf-8"))


def measure(runs: Path) -> None:
    """Reads the presets' records and writes `results.json`."""
    rows = [row for entry in presets() for row in _rows(entry, runs)]
    RESULTS.write({"machine": machine_info(), "rows": rows})


def _rows(entry: Mapping[str, Any], runs: Path) -> list[dict[str, Any]]:
    by = entry.get("by", [])
    rows = []
    for run in load_runs(runs, f"readme-{entry['preset']}", settings=False).iter_rows(named=True):
        arm = ", ".join(str(run[axis]) for axis in by)
        result = json.loads((runs / run["run_id"] / "result.json").read_text(encoding="utf-8"))
        row = {
            "preset": entry["preset"], "says": entry["says"], "arm": arm, "run_id": run["run_id"],
            "status": result["status"], "learned": result["verdict"]["learned"],
            "test/acc": result["metrics"].get("test/acc"), "test/loss": result["metrics"].get("test/loss"),
            "epochs": result["epochs"], "seconds": round(result["seconds"], 1), "seed": result["seed"],
            "samples_per_second": round(result["samples_per_second"]), "parameters": result["parameters"],
            "data": result["data"]["name"], "copy": result["data"]["copy"],
            "threads": result["machine"]["threads"], "commit": result["git"]["commit"],
        }  # fmt: skip
        must = entry.get("must", {})
        row["reached"] = meets_targets(row, must.get(arm) if by else must)
        rows.append(row)
    order = list(entry.get("must", {})) if by else []
    return sorted(rows, key=lambda r: (order.index(r["arm"]) if r["arm"] in order else len(order), r["arm"]))


def meets_targets(row: Mapping[str, Any], must: Mapping[str, Any] | None) -> bool | None:
    """Whether a row holds all that it must; None where nothing is asked."""
    if not must:
        return None
    for name, bound in must.items():
        value = row[name]
        if isinstance(bound, bool):
            if value is not bound:
                return False
        elif not bound.get("at_least", value) <= value <= bound.get("at_most", value):
            return False
    return True


def machine_info() -> dict[str, Any]:
    """Processor, cores, operating system."""
    info = Path("/proc/cpuinfo")
    names = (
        [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        if info.exists()
        else []
    )
    return {
        "processor": names[0] if names else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
    }
