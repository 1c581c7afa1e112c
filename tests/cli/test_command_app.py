"""Commands are in the files of their names, and imported when they are called."""

import inspect
import subprocess
import sys
from collections.abc import Iterator
from types import FunctionType

import pytest
import typer

from trainlab import cli
from trainlab.cli.command_app import UsageError, load_command


def functions(name: str) -> Iterator[FunctionType]:
    """The functions of a command, or of the commands of a group."""
    command = load_command(name)
    for one in [command, *getattr(command, "commands", {}).values()]:
        if one.callback is not None:
            yield inspect.unwrap(one.callback)


@pytest.mark.parametrize("name", ["help", *cli.COMMANDS])
def test_a_command_is_in_the_file_of_its_name(name):
    found = list(functions(name))
    assert found
    for function in found:
        assert function.__module__ == f"trainlab.cli.{name.replace('-', '_')}"
        group = name if name in ("claims", "runs") else ""
        assert function.__name__.startswith(group)


@pytest.mark.parametrize("name", [name for name in cli.COMMANDS if name not in ("claims", "runs", "plot")])
def test_its_function_has_its_name(name):
    (function,) = functions(name)
    assert function.__name__ == name.replace("-", "_")


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_the_list_of_commands_says_what_the_command_itself_says(name):
    assert (load_command(name).help or "").partition("\n")[0] == cli.COMMANDS[name]


def test_a_command_is_imported_when_it_is_called():
    code = (
        "import sys\nfrom trainlab import cli\n"
        "try: cli.main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "names = {'trainlab.cli.' + name.replace('-', '_') for name in cli.COMMANDS}\n"
        "print(*sorted(names & set(sys.modules)), file=sys.stderr)\n"
    )
    for arguments, expected in ((["--help"], ""), (["options", "--help"], "trainlab.cli.options")):
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
        assert done.returncode == 0 and done.stderr.strip() == expected, done.stderr


def test_typer_still_has_what_is_used_of_its_inside():
    """`command_app` uses private parts of Typer: what it relies on, should a new version change it."""
    assert issubclass(typer.BadParameter, UsageError)
    with pytest.raises(UsageError) as wrong:
        cli.command_line(["anatomy", "--depth", "8"], standalone_mode=False)
    error = wrong.value
    assert getattr(error, "option_name", None) == "--depth"
    assert error.ctx is not None and error.ctx.command.name == "anatomy"
    assert "--depth" in error.format_message()
    command, *_ = cli.command_line.registered_commands
    assert command.name == "help" and command.hidden
