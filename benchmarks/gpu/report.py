"""What the kit leaves: one JSON file that is whole after every item, a summary, the README's table."""

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from benchmarks.gpu.outcome import STATUSES, Figure, Outcome
from trainlab.json_types import Json
from trainlab.runs import json_nonfinite, safe_files

SCHEMA = 1
RESULTS = Path(__file__).parents[1] / "results" / "gpu"
DRY_RUN = Path(__file__).parents[1] / "results" / "quick-gpu-cpu.json"
NOT_RUN = "*Not run on a GPU.*"


def default_path(device: str) -> Path:
    """`benchmarks/results/gpu/CARD.json`; a dry run's file is not kept among the results."""
    if device == "cpu":
        return DRY_RUN
    return RESULTS / f"{re.sub(r'[^A-Za-z0-9]+', '-', card_name()).strip('-').lower()}.json"


def card_name() -> str:
    """The first card's name, found without torch."""
    for information in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        for text in information.read_text(encoding="utf-8", errors="replace").splitlines():
            if text.startswith("Model:"):
                return text.partition(":")[2].strip()
    if command := shutil.which("nvidia-smi"):
        query = [command, "--query-gpu=name", "--format=csv,noheader"]
        answer = subprocess.run(query, capture_output=True, text=True, check=False)
        if answer.returncode == 0 and answer.stdout.strip():
            return answer.stdout.splitlines()[0].strip()
    return "unknown card"


def write(path: Path, ended: Sequence[Outcome], about: Mapping[str, Json]) -> None:
    """All that is known so far, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {"schema": SCHEMA, **about, "items": [outcome.record() for outcome in ended]}
    safe_files.write_atomically(path, json_nonfinite.dumps(record, indent=2) + "\n")


def summary(ended: Sequence[Outcome]) -> str:
    """`3 passed, 1 FAILED, 2 skipped; thresholds: 1 reached, 1 missed`."""
    counted = Counter(outcome.status for outcome in ended)
    text = ", ".join(f"{counted[status]} {status}" for status in STATUSES if counted[status])
    thresholds = [figure.reached for outcome in ended for figure in outcome.figures if figure.at_least]
    if thresholds:
        text += f"; thresholds: {sum(map(bool, thresholds))} reached, {thresholds.count(False)} missed"
    return text


def readme_table(folder: Path = RESULTS) -> str:
    """A table a card, from its JSON file; that none was run on, where there is no file."""
    files = sorted(folder.glob("*.json"))
    return "\n\n".join(_card_table(file) for file in files) if files else NOT_RUN


def _card_table(file: Path) -> str:
    record = cast("dict", json_nonfinite.loads(file.read_bytes()))
    items = record["items"]
    lines = ["| item | | what it shows |", "|---|---|---|"]
    lines += [f"| {item['name']} | {_status(item)} | {_cell(_shown(item))} |" for item in items]
    figures = [(item["name"], figure) for item in items for figure in item["figures"]]
    lines += ["", "| figure | measured |", "|---|---:|"]
    lines += [f"| {_cell(name)}: {_cell(figure['name'])} | {_figure(figure)} |" for name, figure in figures]
    card = next((item["details"] for item in items if item["name"] == "card"), {})
    about = [str(card[key]) for key in ("name", "driver", "torch", "cuda") if card.get(key)]
    commit = (record.get("git") or {}).get("commit")
    about += [f"commit {commit[:7]}"] if commit else []
    lines += ["", f"`make gpu-check` on {'; '.join(about)}: {record['seconds']:.0f} s."]
    return "\n".join(lines)


def _status(item: Mapping[str, Json]) -> str:
    return "**failed**" if item["status"] == "FAILED" else str(item["status"])


def _shown(item: Mapping[str, Json]) -> str:
    if item["error"]:
        return str(item["error"]).splitlines()[-1]
    return str(item["headline"] or item["question"])


def _figure(record: Mapping[str, Json]) -> str:
    figure = Figure(**{key: value for key, value in record.items() if key != "reached"})  # type: ignore[arg-type]
    return figure.text().replace("missed", "**missed**")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
