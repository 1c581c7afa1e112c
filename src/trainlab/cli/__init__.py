"""The one front door: `trainlab COMMAND …`, and `python train.py …` through it.

A command a function; what it needs is imported when it runs, so that `--help` answers at once.
Exit codes: 0 done, 1 something failed or was interrupted, 2 the request itself is wrong (one line says how).
"""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from trainlab import __version__, project
from trainlab.cli.arguments import AsCsv, AsJson, Everything, Last, OfSweep, RunsFolder, Selection, Where
from trainlab.cli.plot import plot_app
from trainlab.cli.resilient_output import resilient_output, write_error
from trainlab.cli.runs import runs_app
from trainlab.errors import RequestError, sanitize

# typer brings its own click since 0.17; this is the parent of what it lets us import
UsageError = typer.BadParameter.__mro__[1]

app = typer.Typer(
    name="trainlab",
    help="Shows why a convolutional network learns or does not.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(runs_app, name="runs")
claims_app = typer.Typer(help="Lessons and what papers claim, as claims that run.")
app.add_typer(claims_app, name="claims")
app.add_typer(plot_app, name="plot")


class TakesSettings(TyperCommand):
    """A command over settings: its help lists them, and its flags are told from them."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """What can be set, as `trainlab train --help` has it."""
        from trainlab.cli.launch import settings_help

        formatter.write("\n" + settings_help(sweeps=ctx.info_name == "preflight"))


Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="SETTING=VALUE", help="As activation=tanh depth=8 …; below.")
]
PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


@app.callback(invoke_without_command=True)
def door(
    version: Annotated[bool, typer.Option("--version", help="Say which version this is.")] = False,
) -> None:
    """Shows why a convolutional network learns or does not."""
    if version:
        print(f"trainlab {__version__}")
        raise typer.Exit


@app.command("help", hidden=True)
def show_help(command: Annotated[list[str] | None, typer.Argument()] = None) -> None:
    """Say what a command does: trainlab help [COMMAND]."""
    app([*(command or []), "--help"], prog_name="trainlab", standalone_mode=False)


@app.command(context_settings=PASS_ON)
def train(context: typer.Context) -> None:
    """Train one run, or a sweep with -m."""
    from trainlab.cli import launch

    launch.train(context.args)


@app.command()
def options(axis: Annotated[str | None, typer.Argument(help="One axis; all when left out.")] = None) -> None:
    """List what can be chosen on each axis."""
    from trainlab.cli import look

    look.options(axis)


@app.command(cls=TakesSettings)
def anatomy(overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Print a network's layers: shapes, parameters, multiply-adds."""
    from trainlab.cli import look

    look.anatomy(overrides or [], as_json)


@app.command()
def compare(
    runs: Annotated[
        list[str] | None, typer.Argument(help="Runs, sweeps or folders; all when left out.")
    ] = None,
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
    from trainlab.cli import records
    from trainlab.cli.run_selection import RunFilter

    choice = RunFilter(runs or [], [], group, where or [], last, everything)
    records.compare(folder, choice, by.split(",") if by else None, metric, effects, as_json, as_csv)


@app.command(cls=TakesSettings)
def preflight(
    overrides: Overrides = None,
    grid: Annotated[
        bool, typer.Option("-m", "--multirun", help="Every configuration of a grid: activation=relu,tanh …")
    ] = False,
    theory: Annotated[bool, typer.Option("--theory", help="The theory alone, with no pass forward.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say before training whether it will learn, and why not."""
    from trainlab.cli import ahead

    ahead.preflight([*(overrides or []), *(["-m"] if grid else [])], theory, as_json)


@app.command("lr-range", cls=TakesSettings)
def lr_range(
    overrides: Overrides = None,
    steps: Annotated[int, typer.Option(min=10, help="Steps from the smallest to the largest rate.")] = 100,
    smallest: Annotated[float, typer.Option(help="Learning rate of the first step.")] = 1e-6,
    largest: Annotated[float, typer.Option(help="Learning rate of the last step.")] = 10.0,
    as_json: AsJson = False,
) -> None:
    """Show the loss against the learning rate, in a short run."""
    from trainlab.cli import saved

    saved.lr_range(overrides or [], steps, smallest, largest, as_json)


Checkpoint = Annotated[str, typer.Option(help="Which weights: last or best.")]
RunName = Annotated[str, typer.Argument(help="A run id (its beginning is enough) or a run's folder.")]


@app.command()
def explain(
    run: RunName,
    prove: Annotated[
        bool, typer.Option("--prove", help="Run the remedy beside it for a short budget, show both curves.")
    ] = False,
    folder: RunsFolder = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Say why a run learned or did not: cause, layer, remedy."""
    from trainlab.cli import verdicts

    verdicts.explain(folder, run, prove, as_json)


@app.command()
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
    from trainlab.cli import saved

    saved.evaluate(folder, run, checkpoint, data, cache, as_json)


@app.command()
def predict(
    run: RunName,
    images: Annotated[list[Path], typer.Argument(help="Image files.")],
    folder: RunsFolder = Path("runs"),
    checkpoint: Checkpoint = "last",
    as_json: AsJson = False,
) -> None:
    """Class probabilities of images, by a saved run."""
    from trainlab.cli import saved

    sys.exit(saved.predict(folder, run, images, checkpoint, as_json))


@app.command()
def export(
    run: RunName,
    folder: RunsFolder = Path("runs"),
    checkpoint: Checkpoint = "last",
    to: Annotated[Path | None, typer.Option(help="Where to; the run's own folder when left out.")] = None,
) -> None:
    """Write a saved run as safetensors and ONNX."""
    from trainlab.cli import saved

    saved.export(folder, run, checkpoint, to)


@app.command()
def sync(
    runs: Selection = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be uploaded; upload nothing.")
    ] = False,
    folder: RunsFolder = Path("runs"),
) -> None:
    """Upload runs that were tracked offline to W&B."""
    from trainlab.cli import uploads

    sys.exit(uploads.sync(folder, runs or [], dry_run))


@app.command()
def workspace(
    sweep: Annotated[str | None, typer.Argument(help="The name of a sweep.")] = None,
    report: Annotated[bool, typer.Option("--report", help="Also the claims, as a report.")] = False,
    entity: Annotated[str | None, typer.Option(help="Whose on W&B; the key's own when left out.")] = None,
    project: Annotated[
        str | None, typer.Option(help="The project on W&B; the runs' own when left out.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write a file instead, the report beside it as .report.md.")
    ] = None,
    folder: RunsFolder = Path("runs"),
    experiments: Annotated[
        Path | None, typer.Option(help="The folder of claims; ./experiments when left out.")
    ] = None,
) -> None:
    """Build W&B's views of a sweep, and a report of the claims."""
    from trainlab.cli import views

    sys.exit(views.workspace(folder, sweep, report, entity, project, out, experiments))


Claims = Annotated[list[str] | None, typer.Argument(help="Names of claims; all when left out.")]
Experiments = Annotated[
    Path | None, typer.Option("--experiments", help="The folder of claims; ./experiments when left out.")
]

InCollection = Annotated[
    str | None, typer.Option("--collection", help="Only those of course, or of papers; both when left out.")
]


@claims_app.command("list")
def claims_list(collection: InCollection = None, experiments: Experiments = None) -> None:
    """List the claims: question and verdict, in their order."""
    from trainlab.cli import claims

    claims.show(experiments, collection)


@claims_app.command("check")
def claims_check(
    names: Claims = None, collection: InCollection = None, experiments: Experiments = None
) -> None:
    """Check that claims can be read and composed; nothing is run."""
    from trainlab.cli import claims

    claims.check(experiments, names or [], collection)


@claims_app.command("run")
def claims_run(
    names: Claims = None,
    collection: InCollection = None,
    profile: Annotated[str, typer.Option(help="The budget: cpu (two cores) or gpu.")] = "cpu",
    folder: RunsFolder = Path("runs"),
    experiments: Experiments = None,
    slots: Annotated[int | None, typer.Option(min=1, help="How many runs at the same time.")] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run failed runs again.")] = False,
) -> None:
    """Run what is missing of claims, and write their pages."""
    from trainlab.cli import claims

    sys.exit(claims.run(experiments, names or [], collection, profile, folder, slots, retry_failed))


@claims_app.command("report")
def claims_report(
    names: Claims = None,
    collection: InCollection = None,
    experiments: Experiments = None,
    to: Annotated[Path | None, typer.Option(help="Where to; claims.html beside the claims.")] = None,
) -> None:
    """Write one page of all claims that were run."""
    from trainlab.cli import claims

    claims.report(experiments, names or [], collection, to)


@app.command("app")
def web_app(
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


def main(arguments: list[str] | None = None) -> None:
    """Runs a command; every wrong request ends in one line and exit code 2."""
    arguments = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    project.add_to_path()
    with resilient_output() as output:
        code = _code(arguments)
        if reason := write_error(output):
            print(f"trainlab: the output could not be written: {reason}", file=sys.stderr)
            code = code or int(arguments[0] not in WHAT_RUNS)
    sys.exit(code or 0)


WHAT_RUNS = ("train", "claims", "demo")
"""Commands whose exit code is about the runs; all others are asked for their output."""


def _code(arguments: list[str]) -> int | None:
    try:
        return app(arguments, prog_name="trainlab", standalone_mode=False)
    except RequestError as error:
        return _wrong(str(error))
    except UsageError as error:
        return _wrong(error.format_message() + _as_a_setting(error))  # pyrefly: ignore
    except typer.Abort:
        return 1


def _as_a_setting(error: Exception) -> str:
    """For `trainlab anatomy --depth 8`: how a setting is written."""
    context, option = getattr(error, "ctx", None), getattr(error, "option_name", None)
    if option is None or context is None or not isinstance(context.command, TakesSettings):
        return ""
    from trainlab.config.overrides import flag_as_setting

    return f"; settings are written name=value: {flag_as_setting(option)}"


def _wrong(line: str) -> int:
    print(f"trainlab: {sanitize(' '.join(line.split()))}", file=sys.stderr)
    return 2
