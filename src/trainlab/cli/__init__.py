"""The command line: `trainlab COMMAND …`, and `python train.py …` through it.

A command is in the file of its name (`lr-range` in `lr_range.py`), imported when it is called.
Exit codes: 0 done, 1 something failed or was interrupted, 2 the request itself is wrong (one line says how).
"""

import sys
from typing import Annotated

import typer

from trainlab import __version__, project
from trainlab.cli.command_app import LazyGroup, UsageError, add_lazy_commands
from trainlab.cli.resilient_output import resilient_output, write_error
from trainlab.cli.settings_command import explain_usage_error
from trainlab.errors import RequestError, sanitize

COMMANDS = {
    "train": "Train one run, or a sweep with -m.",
    "options": "List what can be chosen on each axis.",
    "anatomy": "Print a network's layers: shapes, parameters, multiply-adds.",
    "compare": "Compare settings: seeds folded into mean ± interval.",
    "preflight": "Say before training whether it will learn, and why not.",
    "lr-range": "Show the loss against the learning rate, in a short run.",
    "explain": "Say why a run learned or did not: cause, layer, remedy.",
    "evaluate": "Measure a saved run again on validation and test images.",
    "predict": "Class probabilities of images, by a saved run.",
    "export": "Write a saved run as safetensors and ONNX.",
    "sync": "Upload runs that were tracked offline to W&B.",
    "workspace": "Build W&B's views of a sweep, and a report of the claims.",
    "app": "Open the web app on this machine.",
    "runs": "Keep the folder of runs in order.",
    "claims": "Lessons and what papers claim, as claims that run.",
    "plot": "Draw runs: curves, pairs of axes, phase diagram.",
}
"""Every command, with its line in the help: the first one of its own help."""

TRAINING_COMMANDS = ("train", "claims", "demo")
"""Commands whose exit code is about the runs; the exit code of the others is about their output."""

command_line = typer.Typer(
    name="trainlab",
    cls=LazyGroup,
    help="Shows why a convolutional network learns or does not.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
add_lazy_commands(command_line, {"help": "Say what a command does: trainlab help [COMMAND]."}, hidden=True)
add_lazy_commands(command_line, COMMANDS)


@command_line.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Say which version this is.")] = False,
) -> None:
    """Shows why a convolutional network learns or does not."""
    if version:
        print(f"trainlab {__version__}")
        raise typer.Exit


def main(arguments: list[str] | None = None) -> None:
    """Runs a command; every wrong request ends in one line and exit code 2."""
    arguments = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    project.add_to_path()
    with resilient_output() as output:
        code = _run(arguments)
        if reason := write_error(output):
            print(f"trainlab: the output could not be written: {reason}", file=sys.stderr)
            code = code or int(arguments[0] not in TRAINING_COMMANDS)
    sys.exit(code or 0)


def _run(arguments: list[str]) -> int | None:
    """The exit code of a command; None, which is 0, where it ran to its end."""
    try:
        return command_line(arguments, prog_name="trainlab", standalone_mode=False)
    except RequestError as error:
        return _report_wrong_request(str(error))
    except UsageError as error:
        return _report_wrong_request(explain_usage_error(error))
    except typer.Abort:
        return 1


def _report_wrong_request(message: str) -> int:
    print(f"trainlab: {sanitize(' '.join(message.split()))}", file=sys.stderr)
    return 2
