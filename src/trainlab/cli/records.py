"""Many runs at once: compare, list, disk usage, removal. No torch."""

import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from trainlab import analysis
from trainlab.analysis import tables
from trainlab.errors import RequestError
from trainlab.runs import housekeeping, plain_json, read_runs
from trainlab.terminal import WideWhenPiped

console = WideWhenPiped()


def compare(
    folder: Path,
    runs: Sequence[str],
    by: Sequence[str] | None,
    metric: str,
    effects: bool,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Prints one row per setting, best first; names runs that cannot be read on the error stream.

    With `effects`, JSON has both, and CSV the shares alone: two tables are no CSV.
    """
    found = read_runs(folder, list(runs) or None, settings=True)
    for broken in found.broken:
        print(f"trainlab: skipped {broken}", file=sys.stderr)
    comparison = analysis.compare(found.frame, by, metric)
    effect = analysis.effects(found.frame, by, metric) if effects else None
    if as_csv:
        print(tables.csv(tables.effects_frame(effect) if effect else comparison.table), end="")
    elif as_json:
        text = tables.comparison_json(comparison)
        if effect is None:
            print(text)
        else:
            print(f'{{"comparison": {text},\n"effects": {tables.effects_json(effect)}}}')
    else:
        console.print(tables.comparison_table(comparison))
        console.print(tables.what_all_share(comparison), style="dim", highlight=False)
        for table in tables.effects_tables(effect) if effect else []:
            console.print(table)


def list_runs(folder: Path, runs: Sequence[str], status: Sequence[str], as_json: bool) -> None:
    """Prints one row per run."""
    names = [path.name for path in housekeeping.select(folder, runs, status)]
    if not names:
        raise RequestError(f"no runs in {folder}" + (f" of status {', '.join(status)}" if status else ""))
    found = read_runs(folder, names, settings=True)
    for broken in found.broken:
        print(f"trainlab: skipped {broken}", file=sys.stderr)
    if as_json:
        print(plain_json.dumps(found.frame.to_dicts(), indent=2))
    else:
        console.print(tables.runs_table(found.frame))


def disk_usage(folder: Path, runs: Sequence[str], status: Sequence[str], as_json: bool) -> None:
    """Prints sizes, the largest run first."""
    usage = housekeeping.disk_usage(housekeeping.select(folder, runs, status))
    if as_json:
        print(plain_json.dumps(usage.to_dicts(), indent=2))
    else:
        console.print(tables.usage_table(usage))


def remove(folder: Path, runs: Sequence[str], status: Sequence[str], yes: bool) -> None:
    """Names what would go, asks, removes."""
    if not runs and not status:
        raise RequestError("runs rm: name runs or sweeps, or give --status; nothing was removed")
    selected = housekeeping.select(folder, runs, status)
    if not selected:
        console.print("no such runs: nothing to remove")
        return
    freed = tables.human_bytes(sum(housekeeping.disk_usage(selected)["bytes"]))
    console.print(f"{len(selected)} runs, {freed}: {', '.join(path.name for path in selected[:8])}"
                  + (" …" if len(selected) > 8 else ""), highlight=False)  # fmt: skip
    if not yes:
        typer.confirm("remove them?", abort=True)
    housekeeping.remove(folder, selected)
    console.print(f"removed {len(selected)} runs")
