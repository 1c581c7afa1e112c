"""`trainlab explain`: why a run learned or did not, from its folder alone. No torch, unless it proves."""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from trainlab.cli.saved import one_run
from trainlab.config.command_line import command_line_for_run, trainlab_command_line
from trainlab.diagnosis import presentation
from trainlab.diagnosis.explain import Diagnosis, cause_sentence
from trainlab.diagnosis.known_causes import Finding
from trainlab.diagnosis.presentation import LayerSummary, summarize_layers
from trainlab.diagnosis.run_diagnosis import RunDiagnosis, diagnose_run
from trainlab.diagnosis.verdict import RULES_VERSION
from trainlab.errors import RequestError
from trainlab.runs import CorruptRunError, RunFolder, json_nonfinite
from trainlab.runs.run_folder import EARLIER_FOLDER
from trainlab.terminal import PlainConsole, markup_text

console = PlainConsole()

COLOURS = {"not": "red", "barely": "yellow", "poorly": "yellow", "well": "green"}
LABEL = 10
"""Columns of the labels on the left. A command is a line of its own, never wrapped: it is pasted."""
UNITS = (
    "at the first step, and → at the last; gradient: norm of ∂loss/∂z over the batch; moved: Σ ‖Δw‖/‖w‖ over "
    "the run; signal: standard deviation of z; correlation: cosine of the z of two images"
)


def explain(folder: Path, named: str, prove: bool, as_json: bool) -> None:
    """Prints the verdict on one run; with `prove`, runs its remedy beside it for a short budget.

    Raises:
        RequestError: no such run, one that cannot be read, or nothing to prove.
    """
    run = RunFolder(one_run(folder, named))
    try:
        known = diagnose_run(run)
    except CorruptRunError as broken:
        raise RequestError(str(broken)) from broken
    proof = None
    if prove:
        from trainlab.cli.verify_remedy import verify_remedy as run_both

        proof = run_both(run, known.today, quiet=as_json)
    if as_json:
        report = as_dict(run, known, summarize_layers(known.evidence.signals))
        print(json_nonfinite.dumps(report | ({"proof": proof.as_dict()} if proof else {}), indent=2))
        return
    _print(run, known, proved=proof is not None)
    if proof:
        proof.show(console)


def as_dict(run: RunFolder, known: RunDiagnosis, rows: Sequence[LayerSummary]) -> dict[str, Any]:
    """What `--json` prints: today's verdict, and beside it the recorded one with its version."""
    diagnosis = known.today
    recorded = None if known.recorded is None else dataclasses.asdict(known.recorded)
    return {
        "run_id": run.run_id,
        "status": known.status,
        "learned": diagnosis.learned,
        "level": diagnosis.level,
        "version": RULES_VERSION,
        "recorded": recorded and recorded | {"version": known.recorded_version},
        "differs": known.differs,
        "numbers": dict(diagnosis.numbers),
        "causes": [
            {
                "cause": finding.cause,
                "sentence": cause_sentence(finding),
                "layer": finding.layer,
                "since_step": finding.since_step,
                "says": finding.says,
                "evidence": dict(finding.numbers),
                "remedy": diagnosis.remedies.get(finding.cause),
            }
            for finding in diagnosis.findings
        ],
        "layers": [row._asdict() for row in rows],
    }


def _print(run: RunFolder, known: RunDiagnosis, proved: bool) -> None:
    diagnosis = known.today
    head = markup_text("run [bold]{}[/bold] ", run.run_id)
    _line(Text.assemble(head, _outcome(known), f": {presentation.describe_accuracy(diagnosis)}"))
    if says := presentation.describe_status(known.status, known.result):
        _line(says, style="dim")
    if known.status == "interrupted" and run.has_earlier():
        _line(
            f"it was being done anew: until it is, its record before lies in {EARLIER_FOLDER}/", style="dim"
        )
    if known.differs and known.recorded is not None:
        _line(
            presentation.describe_recorded_verdict(known.recorded, known.recorded_version or 1), style="dim"
        )
    if diagnosis.cause is not None:
        _print_cause(run, diagnosis.cause, diagnosis, proved)
    elif diagnosis.learned is not True:
        _line(presentation.describe_missing_cause(known.evidence))
    if rows := summarize_layers(known.evidence.signals):
        console.print()
        console.print(layer_table(rows))
        _line(UNITS, style="dim")


def _outcome(known: RunDiagnosis) -> Text:
    if known.status == "running":
        return Text("is still running")
    level = known.today.level or ("well" if known.today.learned else "")
    says = presentation.describe_outcome(known.today.learned, known.today.level)
    return Text(says, COLOURS.get(level, ""))


def _print_cause(run: RunFolder, finding: Finding, diagnosis: Diagnosis, proved: bool) -> None:
    overrides = diagnosis.remedies.get(finding.cause)
    found = [
        ("cause", markup_text("[bold]{}[/bold]", presentation.describe_finding(finding))),
        ("", cause_sentence(finding)),
        ("evidence", finding.says),
        ("", presentation.format_numbers(finding)),
    ]
    console.print()
    _rows(found + ([("remedy", markup_text("[bold]{}[/bold]", overrides))] if overrides else []))
    if overrides:
        _line(f"{'':{LABEL}}{command_line_for_run(run.settings(), overrides, run.path.parent)}")
        if not proved:
            asked = trainlab_command_line("explain", run.run_id, "--prove", runs=run.path.parent)
            _line(f"{'prove it':{LABEL}}{asked}")
    others = [f"{presentation.describe_finding(other)}: {other.says}" for other in diagnosis.findings[1:]]
    _rows([("" if number else "also", says) for number, says in enumerate(others)])


def _rows(rows: Sequence[tuple[str, str | Text]]) -> None:
    """Labels on the left, and what they stand for in a column of its own, which wraps in itself."""
    grid = Table.grid(padding=0)
    grid.add_column(width=LABEL)
    for row in rows:
        grid.add_row(*row)
    if rows:
        console.print(grid, highlight=False)


def layer_table(rows: Sequence[LayerSummary]) -> Table:
    """The layers, the input's side first; a column that no layer has is left out.

    Gradient, signal and correlation as they were at the first step; units may saturate and die later.
    """
    table = Table(box=None, padding=(0, 1, 0, 0))
    shown = [name for name in LayerSummary._fields if any(getattr(row, name) is not None for row in rows)]
    for name in shown:
        table.add_column(name, justify="left" if name == "layer" else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(_cell(name, getattr(row, name)) for name in shown))
    return table


def _cell(name: str, value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, float):
        return f"{value:.2g}"
    first, last = value
    if name in ("saturated", "dead"):
        return f"{_percent(first)}%" if first == last else f"{_percent(first)}→{_percent(last)}%"
    return f"{first:.4f}" if name == "correlation" else f"{first:.2g}"


def _percent(share: float) -> str:
    """A share without its sign; – where the units have no finite value, and nothing can be counted."""
    return f"{100 * share:.0f}" if math.isfinite(share) else "–"


def _line(text: str | Text, style: str | None = None) -> None:
    console.print(text, style=style, highlight=False, soft_wrap=True)
