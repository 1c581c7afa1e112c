"""`trainlab help [COMMAND]`: the same as `trainlab [COMMAND] --help`."""

from typing import Annotated

import typer

from trainlab.cli.command_app import command_app

cli = command_app()


@cli.command()
def help(command: Annotated[list[str] | None, typer.Argument()] = None) -> None:
    """Say what a command does: trainlab help [COMMAND]."""
    from trainlab.cli import command_line

    command_line([*(command or []), "--help"], prog_name="trainlab", standalone_mode=False)
