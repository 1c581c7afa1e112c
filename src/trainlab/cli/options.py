"""`trainlab options`: what can be chosen on each axis."""

from typing import Annotated

import typer
from rich.table import Table

from trainlab.cli.command_app import command_app
from trainlab.config import AXIS_DESCRIPTIONS, catalogue
from trainlab.terminal import PlainConsole

cli = command_app()


@cli.command()
def options(axis: Annotated[str | None, typer.Argument(help="One axis; all when left out.")] = None) -> None:
    """List what can be chosen on each axis."""
    console = PlainConsole()
    for name in [axis] if axis else list(AXIS_DESCRIPTIONS):
        table = Table(
            title=f"{name}=  ({AXIS_DESCRIPTIONS.get(name, '')})",
            title_justify="left",
            box=None,
            header_style="dim",
        )
        for column in ("option", "what it is", "paper"):
            table.add_column(column, overflow="fold")
        for option in catalogue(name).values():
            line = f"the same as {option.alias_of}" if option.alias_of else option.line
            table.add_row(option.name, line, option.paper or "")
        console.print(table)
        console.print()
