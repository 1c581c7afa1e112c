"""`trainlab explain`: why a run learned or did not, from its folder alone. No torch, unless it proves."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from trainlab.cli.saved import one_run
from trainlab.config.command import command
from trainlab.diagnosis import words
from trainlab.diagnosis.evidence import Evidence
from trainlab.diagnosis.explain import Diagnosis, diagnose, sentence
from trainlab.diagnosis.finding import Finding
from trainlab.diagnosis.layers import LayerRow, layer_rows
from trainlab.diagnosis.of_run import evidence_of
from trainlab.errors import RequestError
from trainlab.runs import BrokenRun, Result, RunFolder, plain_json
from trainlab.terminal import WideWhenPiped

console = WideWhenPiped()

OUTCOMES = {
    True: "[green]learned[/green]",
    False: "[red]did not learn[/red]",
    None: "is not known to have learned",
}


def explain(folder: Path, named: str, prove: bool, as_json: bool) -> None:
    """Prints the verdict on one run; with `prove`, runs its remedy beside it for a short budget.

    Raises:
        RequestError: no such run, one that cannot be read, or nothing to prove.
    """
    run = RunFolder(one_run(folder, named))
    try:
        status, result, evidence = run.status(), run.result(), evidence_of(run)
    except BrokenRun as broken:
        raise RequestError(str(broken)) from broken
    diagnosis = diagnose(evidence)
    proof = None
    if prove:
        from trainlab.cli.proof import prove as run_both

        proof = run_both(run, diagnosis, quiet=as_json)
    if as_json:
        report = as_dict(run, status, diagnosis, layer_rows(evidence.signals))
        print(plain_json.dumps(report | ({"proof": proof.as_dict()} if proof else {}), indent=2))
        return
    _print(run, status, result, diagnosis, evidence)
    if proof:
        proof.show(console)


def as_dict(run: RunFolder, status: str, diagnosis: Diagnosis, rows: Sequence[LayerRow]) -> dict[str, Any]:
    """What `--json` prints."""
    return {
        "run_id": run.run_id,
        "status": status,
        "learned": diagnosis.learned,
        "numbers": dict(diagnosis.numbers),
        "causes": [
            {
                "cause": finding.cause,
                "sentence": sentence(finding),
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


def _print(
    run: RunFolder, status: str, result: Result | None, diagnosis: Diagnosis, evidence: Evidence
) -> None:
    _line(f"run [bold]{run.run_id}[/bold] {OUTCOMES[diagnosis.learned]}: {words.measured(diagnosis)}")
    if says := words.status(status, result):
        _line(says, style="dim")
    if diagnosis.cause is not None:
        _print_cause(run, diagnosis.cause, diagnosis)
    elif diagnosis.learned is not True:
        _line(words.no_cause(evidence))
    if rows := layer_rows(evidence.signals):
        console.print()
        console.print(layer_table(rows))
        _line("at the first step, and → at the last; moved: Σ ‖Δw‖/‖w‖ over the run", style="dim")


def _print_cause(run: RunFolder, finding: Finding, diagnosis: Diagnosis) -> None:
    overrides = diagnosis.remedies.get(finding.cause)
    grid = Table.grid(padding=(0, 2))
    grid.add_row("cause", f"[bold]{words.place(finding)}[/bold]")
    grid.add_row("", sentence(finding))
    grid.add_row("evidence", finding.says)
    grid.add_row("", words.numbers(finding))
    if overrides:
        grid.add_row("remedy", f"[bold]{overrides}[/bold]")
        grid.add_row("", command(run.settings(), overrides))
        grid.add_row("prove it", f"trainlab explain {run.run_id} --prove --runs {run.path.parent}")
    for other in diagnosis.findings[1:]:
        grid.add_row("also" if other is diagnosis.findings[1] else "", f"{words.place(other)}: {other.says}")
    console.print()
    console.print(grid, highlight=False)


def layer_table(rows: Sequence[LayerRow]) -> Table:
    """The layers, the input's side first; a column that no layer has is left out.

    Gradient, signal and correlation as they were at the first step; units may saturate and die later.
    """
    table = Table(box=None, padding=(0, 1, 0, 0))
    shown = [name for name in LayerRow._fields if any(getattr(row, name) is not None for row in rows)]
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
        return f"{first:.0%}" if first == last else f"{100 * first:.0f}→{100 * last:.0f}%"
    return f"{first:.4f}" if name == "correlation" else f"{first:.2g}"


def _line(text: str, style: str | None = None) -> None:
    console.print(text, style=style, highlight=False, soft_wrap=True)
