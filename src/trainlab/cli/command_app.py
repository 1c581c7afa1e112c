"""Typer apps as this command line makes them, and commands that are imported when they are called.

The only module that uses private parts of Typer: it vendors Click, and exports few of its classes.
"""

from collections.abc import Mapping
from importlib import import_module

import typer
from typer._click import Command, Context, HelpFormatter
from typer._click.exceptions import UsageError
from typer.core import TyperGroup

__all__ = [
    "Context", "HelpFormatter", "LazyGroup", "UsageError", "add_lazy_commands", "command_app", "load_command"
]  # fmt: skip


def command_app(help: str | None = None, group: type[TyperGroup] = TyperGroup) -> typer.Typer:
    """The Typer app of one command, or of a group of commands."""
    return typer.Typer(
        help=help, cls=group, rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False
    )


class LazyGroup(TyperGroup):
    """A group that imports a command when it is called, so that `--help` answers at once.

    The commands that Typer has registered give names and summaries to the help and to completion.
    """

    def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, Command | None, list[str]]:
        """The name of the command in `args`, the command itself, and the arguments that are left for it."""
        name, summary, rest = super().resolve_command(ctx, args)
        return name, None if name is None or summary is None else load_command(name), rest


def add_lazy_commands(app: typer.Typer, summaries: Mapping[str, str], hidden: bool = False) -> None:
    """Registers commands of a `LazyGroup` by name, each with its line in the help."""

    def imported_when_called() -> None:
        """Never called: `LazyGroup` resolves the name to the command itself."""

    for name, summary in summaries.items():
        app.command(name, help=summary, hidden=hidden)(imported_when_called)


def load_command(name: str) -> Command:
    """The command (or group) of this name: the Typer app `cli` of the module of its name."""
    module = import_module(f"trainlab.cli.{name.replace('-', '_')}")
    return typer.main.get_command(module.cli)
