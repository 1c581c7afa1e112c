"""Arguments and options that several commands have, each with its one help text."""

from pathlib import Path
from typing import Annotated

import typer

Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="SETTING=VALUE", help="As activation=tanh depth=8 …; below.")
]
RunName = Annotated[str, typer.Argument(help="A run id (its beginning is enough) or a run's folder.")]
Checkpoint = Annotated[str, typer.Option(help="Which weights: last or best.")]
RunsFolder = Annotated[
    Path, typer.Option("--runs", envvar="TRAINLAB_RUNS", help="The folder that the runs lie in.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV.")]
Selection = Annotated[list[str] | None, typer.Argument(help="Runs, sweeps or folders; all when left out.")]
Status = Annotated[
    list[str] | None, typer.Option("--status", help="Only runs of this status; may be repeated.")
]
OfSweep = Annotated[str | None, typer.Option("--group", help="Only runs of this sweep.")]
Where = Annotated[
    list[str] | None,
    typer.Option("--where", help="Only runs with this setting: activation=relu,tanh; may be repeated."),
]
Last = Annotated[int | None, typer.Option("--last", min=0, help="Only the newest so many; 0 for all.")]
Everything = Annotated[bool, typer.Option("--all", help="Runs of claims and proofs as well.")]
Experiments = Annotated[
    Path | None, typer.Option("--experiments", help="The folder of claims; ./experiments when left out.")
]
