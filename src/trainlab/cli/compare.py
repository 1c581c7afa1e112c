"""`trainlab compare`: a row for each setting, its seeds folded into mean and interval. No torch."""

from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from trainlab import analysis
from trainlab.analysis import Comparison, tables
from trainlab.analysis.varying_settings import varying_settings
from trainlab.cli.arguments import AsCsv, AsJson, Everything, Last, OfSweep, RunsFolder, Selection, Where
from trainlab.cli.command_app import command_app
from trainlab.cli.run_filter import RunFilter, filter_runs, row_limit
from trainlab.config.command_line import command_line_for_run, trainlab_command_line
from trainlab.errors import RequestError
from trainlab.runs import CorruptRunError, RunFolder
from trainlab.terminal import PlainConsole
from trainlab.units import format_value

MAX_SETTINGS = 50
"""A table of more settings is not run again with one command."""

cli = command_app()


@cli.command()
def compare(
    runs: Selection = None,
    by: Annotated[str | None, typer.Option(help="Axes to group by, separated by commas.")] = None,
    metric: Annotated[str, typer.Option(help="The metric to compare and sort by.")] = "test/acc",
    effects: Annotated[bool, typer.Option("--effects", help="Add the effect of each axis.")] = False,
    group: OfSweep = None,
    where: Where = None,
    last: Last = None,
    everything: Everything = False,
    folder: RunsFolder = Path("runs"),
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Compare settings: seeds folded into mean ± interval."""
    chosen = filter_runs(folder, RunFilter(runs or [], [], group, where or [], last, everything))
    axes = by.split(",") if by else None
    comparison = analysis.compare(chosen.frame, axes, metric)
    effect = analysis.estimate_effects(chosen.frame, axes, metric) if effects else None
    if as_csv:  # of the two tables one, since two are no CSV
        print(tables.to_csv(tables.effects_frame(effect) if effect else comparison.table), end="")
        return
    if as_json:
        text = tables.comparison_json(comparison)
        if effect is not None:
            text = f'{{"comparison": {text},\n"effects": {tables.effects_json(effect)}}}'
        print(text)
        return
    console = PlainConsole()
    listing = tables.fit_comparison(comparison, console.width, most=row_limit(console))
    console.print(listing.table)
    console.print_notes(listing.notes)
    for table in tables.effects_tables(effect) if effect else []:
        console.print(table)
    console.print_notes(
        [*chosen.notes, *_older_rules(folder, chosen.frame), *_more_seeds(folder, chosen.frame, comparison)]
    )


def _older_rules(folder: Path, runs: pl.DataFrame) -> list[str]:
    """A note where verdicts were recorded by older rules, since today's may differ."""
    from trainlab.diagnosis.verdict import RULES_VERSION

    old = runs.filter(pl.col("verdict_version") < RULES_VERSION)
    if old.is_empty():
        return []
    command = trainlab_command_line("explain", old["run_id"][0], runs=folder)
    says = f"{old.height} of these verdicts by older rules than today's (version {RULES_VERSION})"
    return [f"{says}: {command} judges anew"]


def _more_seeds(folder: Path, runs: pl.DataFrame, comparison: Comparison) -> list[str]:
    """A note where every setting has one seed: the command that adds two more, for intervals."""
    if not comparison.has_single_seeds:
        return []
    return [f"one seed each: no intervals; with three: {more_seeds_command(runs, folder)}"]


def more_seeds_command(runs: pl.DataFrame, folder: Path) -> str:
    """The command of the sweep of all these settings with three seeds; where they are no whole grid, what to
    add to the command that made them."""
    seed = runs["seed"].drop_nulls().min()
    first = int(seed) if isinstance(seed, int) else 0
    seeds = f"seed=range({first},{first + 3})" if first else "seed=range(3)"
    general = f"the same command with -m '{seeds}'"
    names = varying_settings(runs)
    levels = {name: runs[name].unique(maintain_order=True).to_list() for name in names}
    settings = runs.select(names).n_unique() if names else 1
    combinations = 1
    for values in levels.values():
        combinations *= len(values)
    if settings != combinations or settings > MAX_SETTINGS or "data_copy" in names:
        return general
    if any(value is None for values in levels.values() for value in values):
        return general
    swept = [f"{name}={','.join(map(format_value, values))}" for name, values in levels.items()]
    try:
        frozen = RunFolder(folder / runs["run_id"][0]).settings()
        return command_line_for_run(frozen, " ".join([*swept, seeds]), folder, sweep=True)
    except (CorruptRunError, RequestError, KeyError, TypeError, AttributeError):
        return general  # its settings cannot be read: the table stands all the same
