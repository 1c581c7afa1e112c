"""`trainlab explain`: why a run learned or did not, from its folder alone. No torch, unless it proves."""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from trainlab.cli.arguments import AsJson, RunName, RunsFolder
from trainlab.cli.command_app import command_app
from trainlab.cli.run_filter import find_run
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
LABEL_WIDTH = 10
"""Columns of the labels on the left. Commands are never wrapped, so that they can be pasted."""
UNITS = (
    "at the first step, and → at the last; gradient: norm of ∂loss/∂z over the batch; moved: Σ ‖Δw‖/‖w‖ over "
    "the run; signal: standard deviation of z; correlation: cosine of the z of two images"
)


cli = command_app()


@cli.command()
def explain(
    run: RunName,
    prove: Annotated[
        bool, typer.Option("--prove", help="Run the remedy beside it for a short budget, show both curves.")
    ] = False,
    folder: RunsFolder = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Say why a run learned or did not: cause, layer, remedy."""
    run_folder = RunFolder(find_run(folder, run))
    try:
        diagnosed = diagnose_run(run_folder)
    except CorruptRunError as broken:
        raise RequestError(str(broken)) from broken
    comparison = None
    if prove:
        from trainlab.cli.verify_remedy import verify_remedy

        if diagnosed.evidence.setup.is_own_loop:
            raise RequestError(
                f"run {run_folder.run_id} is a loop of your own, which cannot be trained from here: mend it, "
                "and watch it again"
            )
        comparison = verify_remedy(run_folder, diagnosed.today, quiet=as_json)
    if as_json:
        report = as_dict(run_folder, diagnosed, summarize_layers(diagnosed.evidence.signals))
        if comparison is not None:
            report["proof"] = comparison.as_dict()
        print(json_nonfinite.dumps(report, indent=2))
        return
    _print_report(run_folder, diagnosed, is_proved=comparison is not None)
    if comparison is not None:
        comparison.show(console)


def as_dict(run: RunFolder, diagnosed: RunDiagnosis, rows: Sequence[LayerSummary]) -> dict[str, object]:
    """What `--json` prints: today's verdict, and beside it the recorded one with its version."""
    diagnosis = diagnosed.today
    recorded = None if diagnosed.recorded is None else dataclasses.asdict(diagnosed.recorded)
    return {
        "run_id": run.run_id,
        "status": diagnosed.status,
        "learned": diagnosis.learned,
        "level": diagnosis.level,
        "version": RULES_VERSION,
        "recorded": recorded and recorded | {"version": diagnosed.recorded_version},
        "differs": diagnosed.differs,
        "numbers": dict(diagnosis.numbers),
        "causes": [
            {
                "cause": finding.cause,
                "sentence": cause_sentence(finding),
                "layer": finding.layer,
                "since_step": finding.since_step,
                "says": finding.description,
                "evidence": dict(finding.numbers),
                "remedy": diagnosis.remedies.get(finding.cause),
            }
            for finding in diagnosis.findings
        ],
        "layers": [row._asdict() for row in rows],
    }


def _print_report(run: RunFolder, diagnosed: RunDiagnosis, is_proved: bool) -> None:
    diagnosis = diagnosed.today
    head = markup_text("run [bold]{}[/bold] ", run.run_id)
    accuracy = presentation.describe_accuracy(diagnosis)
    _print_line(Text.assemble(head, _outcome_text(diagnosed), f": {accuracy}"))
    if says := presentation.describe_status(diagnosed.status, diagnosed.result):
        _print_line(says, style="dim")
    if diagnosed.status == "interrupted" and run.has_earlier():
        _print_line(
            f"it was being done anew: until it is, its record before lies in {EARLIER_FOLDER}/", style="dim"
        )
    if diagnosed.differs and diagnosed.recorded is not None:
        version = diagnosed.recorded_version or 1
        _print_line(presentation.describe_recorded_verdict(diagnosed.recorded, version), style="dim")
    if diagnosis.cause is not None:
        is_own_loop = diagnosed.evidence.setup.is_own_loop
        _print_cause(run, diagnosis.cause, diagnosis, is_proved, is_own_loop)
    elif diagnosis.learned is not True:
        _print_line(presentation.describe_missing_cause(diagnosed.evidence))
    if rows := summarize_layers(diagnosed.evidence.signals):
        console.print()
        console.print(layer_table(rows))
        _print_line(UNITS, style="dim")


def _outcome_text(diagnosed: RunDiagnosis) -> Text:
    if diagnosed.status == "running":
        return Text("is still running")
    level = diagnosed.today.level or ("well" if diagnosed.today.learned else "")
    says = presentation.describe_outcome(diagnosed.today.learned, diagnosed.today.level)
    return Text(says, COLOURS.get(level, ""))


def _print_cause(
    run: RunFolder, finding: Finding, diagnosis: Diagnosis, is_proved: bool, is_own_loop: bool
) -> None:
    remedy = diagnosis.remedies.get(finding.cause)
    found = [
        ("cause", markup_text("[bold]{}[/bold]", presentation.describe_finding(finding))),
        ("", cause_sentence(finding)),
        ("evidence", finding.description),
        ("", presentation.format_numbers(finding)),
    ]
    console.print()
    _print_labelled(found + ([("remedy", markup_text("[bold]{}[/bold]", remedy))] if remedy else []))
    if remedy and not is_own_loop:
        _print_line(f"{'':{LABEL_WIDTH}}{command_line_for_run(run.settings(), remedy, run.path.parent)}")
        if not is_proved:
            command = trainlab_command_line("explain", run.run_id, "--prove", runs=run.path.parent)
            _print_line(f"{'prove it':{LABEL_WIDTH}}{command}")
    others = [
        f"{presentation.describe_finding(other)}: {other.description}" for other in diagnosis.findings[1:]
    ]
    _print_labelled([("" if number else "also", says) for number, says in enumerate(others)])


def _print_labelled(rows: Sequence[tuple[str, str | Text]]) -> None:
    """Prints labels on the left, and their texts in a column of their own, in which they wrap."""
    grid = Table.grid(padding=0)
    grid.add_column(width=LABEL_WIDTH)
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


def _cell(name: str, value: str | float | tuple[float, float] | None) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, float):
        return f"{value:.2g}"
    first, last = value
    if name in ("saturated", "dead"):
        return f"{_percent(first)}%" if first == last else f"{_percent(first)}→{_percent(last)}%"
    return f"{first:.4f}" if name == "correlation" else f"{first:.2g}"


def _percent(share: float) -> str:
    """A share in percent, without the sign; – where the units have no finite value."""
    return f"{100 * share:.0f}" if math.isfinite(share) else "–"


def _print_line(text: str | Text, style: str | None = None) -> None:
    console.print(text, style=style, highlight=False, soft_wrap=True)
