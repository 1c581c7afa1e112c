"""`trainlab lr-range`: the loss against the learning rate, in one short run."""

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from trainlab.cli.arguments import AsJson, Overrides
from trainlab.cli.command_app import command_app
from trainlab.cli.settings_command import SettingsCommand
from trainlab.config import compose
from trainlab.errors import RequestError
from trainlab.terminal import PlainConsole, markup_text

cli = command_app()


@cli.command("lr-range", cls=SettingsCommand)
def lr_range(
    overrides: Overrides = None,
    steps: Annotated[int, typer.Option(min=10, help="Steps from the smallest to the largest rate.")] = 100,
    smallest: Annotated[float, typer.Option(help="Learning rate of the first step.")] = 1e-6,
    largest: Annotated[float, typer.Option(help="Learning rate of the last step.")] = 10.0,
    as_json: AsJson = False,
) -> None:
    """Show the loss against the learning rate, in a short run."""
    if not 0 < smallest < largest:
        raise RequestError(f"--smallest={smallest} --largest={largest}: expected 0 < smallest < largest")
    settings = compose(overrides or [])
    from trainlab.training.environment import configure_process
    from trainlab.training.lr_range import lr_range as range_test

    configure_process()
    result = range_test(settings, steps, smallest, largest)
    if as_json:
        print(json.dumps(asdict(result), indent=2))
        return
    console = PlainConsole()
    table = Table(box=None)
    for column in ("learning rate", "loss", ""):
        table.add_column(column, justify="right" if column else "left")
    top = max(result.losses, default=1.0)
    for rate, loss in list(zip(result.rates, result.losses, strict=True))[:: max(1, steps // 25)]:
        table.add_row(f"{rate:.2e}", f"{loss:.4f}", "█" * round(40 * loss / top))
    console.print(table)
    if result.suggestion is None:
        console.print(
            "the loss does not fall at any of these rates: look at trainlab anatomy and the initializer"
        )
    else:
        console.print(
            markup_text("it falls fastest at [bold]optimizer.lr={}[/bold]", f"{result.suggestion:.1e}")
        )
