"""`trainlab app`: the web app, on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from trainlab.cli.arguments import Experiments, RunsFolder
from trainlab.cli.command_app import command_app

cli = command_app()


@cli.command()
def app(
    folder: RunsFolder = Path("runs"),
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="The port; the first free one when left out.")
    ] = None,
    host: Annotated[
        str,
        typer.Option(help="The address or name to listen on; others can then see all that the app shows."),
    ] = "127.0.0.1",
    experiments: Experiments = None,
) -> None:
    """Open the web app on this machine."""
    from trainlab.app.paths import AppPaths
    from trainlab.app.server import serve

    serve(AppPaths(folder, experiments), port, host)
