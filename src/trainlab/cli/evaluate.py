"""`trainlab evaluate`: a saved run measured again."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from trainlab.cli.arguments import AsJson, Checkpoint, RunName, RunsFolder
from trainlab.cli.command_app import command_app
from trainlab.cli.run_filter import find_run_with_checkpoint
from trainlab.errors import RequestError
from trainlab.terminal import PlainConsole

cli = command_app()


@cli.command()
def evaluate(
    run: RunName,
    folder: RunsFolder = Path("runs"),
    checkpoint: Checkpoint = "last",
    data: Annotated[
        Path | None, typer.Option(help="Where the data lie, if not where the run had them.")
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(envvar="TRAINLAB_CACHE", help="Where decoded images are kept; ./cache when left out."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure a saved run again on validation and test images."""
    path = find_run_with_checkpoint(folder, run, checkpoint)
    if data is not None and not data.is_dir():
        raise RequestError(f"--data {data}: no such folder")
    from trainlab.serving.evaluate import evaluate as measure
    from trainlab.serving.saved_model import load_run_model

    model, description = load_run_model(path, checkpoint)
    warnings: list[str] = []
    metrics = measure(model, description["settings"], data, cache=cache, warn=warnings.append)
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if as_json:
        print(json.dumps(metrics | ({"warnings": warnings} if warnings else {}), indent=2))
        return
    console = PlainConsole()
    for split in ("val", "test"):
        console.print(
            f"{split:<5} loss {metrics[f'{split}/loss']:.4f}  accuracy {metrics[f'{split}/acc']:.2%}",
            highlight=False,
        )
