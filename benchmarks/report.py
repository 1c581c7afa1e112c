"""What a benchmark leaves: a JSON file, and a table on the terminal."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.measure import Measure

SCHEMA = 1


def write(path: Path, measures: Sequence[Measure], about: Mapping[str, object]) -> None:
    """All that was measured and on what, as JSON."""
    record = {"schema": SCHEMA, **about, "measures": [measure.record() for measure in measures]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def show(measures: Sequence[Measure], console: Console) -> None:
    """A row a figure."""
    table = Table(title="benchmarks", title_justify="left")
    for heading, justify in (("measure", "left"), ("figure", "right"), ("must be", "right"), ("", "left")):
        table.add_column(heading, justify=justify)  # pyrefly: ignore
    for measure in measures:
        table.add_row(measure.name, _figure(measure), _threshold(measure), _verdict(measure))
    console.print(table)


def _figure(measure: Measure) -> str:
    return "–" if measure.value is None else f"{measure.value:,.3g} {measure.unit}"


def _threshold(measure: Measure) -> str:
    if measure.at_least is not None:
        return f"≥ {measure.at_least:g}"
    return f"≤ {measure.at_most:g}" if measure.at_most is not None else ""


def _verdict(measure: Measure) -> str:
    if measure.skipped:
        return f"skipped: {measure.skipped}"
    return {True: "[green]reached[/green]", False: "[red]missed[/red]", None: "reported"}[measure.reached]
