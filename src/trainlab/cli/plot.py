"""`trainlab plot …`: pictures of many runs, written as SVG or PNG."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from trainlab.cli.arguments import Everything, Last, RunsFolder, Selection, Where
from trainlab.cores import available_cores
from trainlab.errors import RequestError
from trainlab.units import pluralize


class CurvesUnlessNamed(TyperGroup):
    """`plot RUN…` draws curves; `plot pair`, `plot phase`, … are commands of their own."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Puts `curves` before what is no command; nothing at all is every run, as elsewhere."""
        if not args or (args[0] not in self.commands and args[0] != "--help"):
            args = ["curves", *args]
        return super().parse_args(ctx, args)


plot_app = typer.Typer(cls=CurvesUnlessNamed, add_completion=False)

Runs = Annotated[list[str], typer.Argument(help="Runs, sweeps or folders.")]
Target = Annotated[Path, typer.Option("--to", "--out", help="The file to write, .svg or .png.")]
ENDINGS = (".svg", ".png")


@plot_app.callback()
def plot() -> None:
    """Draw runs: curves, pairs of axes, phase diagram."""


@plot_app.command()
def curves(
    runs: Selection = None,
    by: Annotated[
        str | None, typer.Option(help="Settings to tell curves apart by, separated by commas.")
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(help="What to draw, as val/loss; may be repeated. Loss and accuracy when left out."),
    ] = None,
    where: Where = None,
    last: Last = None,
    everything: Everything = False,
    folder: RunsFolder = Path("runs"),
    out: Annotated[
        Path | None, typer.Option("--out", "--to", help="A file to draw into: .svg, .png or .html.")
    ] = None,
) -> None:
    """Draw loss and accuracy of runs: trainlab plot RUN…"""
    from trainlab.cli.curves import draw
    from trainlab.cli.run_selection import RunFilter

    choice = RunFilter(runs or [], where=where or [], last=last, everything=everything)
    draw(folder, choice, by.split(",") if by else None, metric or [], out)


@plot_app.command()
def phase(
    runs: Runs,
    scale: Annotated[
        str | None, typer.Option(help="The x axis, as init.sigma_w2; the initializer's when left out.")
    ] = None,
    forecast: Annotated[
        bool, typer.Option("--forecast/--no-forecast", help="Ask the preflight of each run (seconds a run).")
    ] = True,
    processes: Annotated[int, typer.Option(min=1, help="Processes that ask it.")] = available_cores(),
    folder: RunsFolder = Path("runs"),
    to: Target = Path("phase.svg"),
) -> None:
    """Draw scale against depth: what learned, what theory says."""
    _checked(to)
    from rich.progress import Progress

    from trainlab.figures import phase_diagram
    from trainlab.forecast.phase_diagram_builder import build_phase_diagram
    from trainlab.runs.resolve_runs import resolve_many

    folders = resolve_many(folder, runs)
    with Progress(transient=True) as progress:
        asked = progress.add_task("preflight", total=len(folders)) if forecast else None
        drawn = build_phase_diagram(
            folders, scale, processes if forecast else 0,
            each=None if asked is None else lambda *_: progress.advance(asked),
        )  # fmt: skip
    _write(
        phase_diagram.phase_diagram_plot(
            drawn, "Where it trains", f"{pluralize(len(drawn.points), 'run')}: {', '.join(runs)}"
        ),
        to,
    )


@plot_app.command()
def pair(
    runs: Runs,
    by: Annotated[
        str | None,
        typer.Option(help="Two axes, separated by a comma; the largest interaction when left out."),
    ] = None,
    metric: Annotated[str, typer.Option(help="The metric to show.")] = "test/acc",
    folder: RunsFolder = Path("runs"),
    to: Target = Path("pair.svg"),
) -> None:
    """Draw what two axes do together, beyond each alone."""
    _checked(to)
    from trainlab.analysis import estimate_effects
    from trainlab.figures import grid_heatmaps as drawing
    from trainlab.runs import load_runs

    table = load_runs(folder, runs, settings=True)
    axes = by.split(",") if by else None
    if axes is not None and len(axes) != 2:
        raise RequestError(f"--by {by}: expected two axes, as in --by activation,init")
    if axes is None:
        largest = estimate_effects(table, metric=metric).interactions.drop_nulls("share").head(1).to_dicts()
        if not largest:
            raise RequestError("plot pair: no interaction can be estimated; name two axes with --by")
        axes = [largest[0]["first"], largest[0]["second"]]
    cells = drawing.interaction_cells(table, axes, metric)
    said = f"{', '.join(runs)}; mean over all other settings"
    _write(drawing.interaction_heatmap(cells, axes, metric, f"{axes[0]} × {axes[1]}", said), to)


@plot_app.command()
def combinations(
    runs: Runs,
    by: Annotated[
        str | None, typer.Option(help="Axes, separated by commas: rows and columns inside, then of tables.")
    ] = None,
    folder: RunsFolder = Path("runs"),
    to: Target = Path("combinations.svg"),
) -> None:
    """Draw which combinations of all axes learn."""
    _checked(to)
    from trainlab.figures import grid_heatmaps as drawing
    from trainlab.runs import load_runs

    cells = drawing.combination_cells(load_runs(folder, runs, settings=True), by.split(",") if by else None)
    said = f"{', '.join(runs)}; number: mean test accuracy, %"
    _write(drawing.combination_heatmap(cells, "Which combinations learn", said), to)


def _checked(to: Path) -> None:
    if to.suffix.lower() not in ENDINGS:
        raise RequestError(f"--to {to}: expected a file that ends in {' or '.join(ENDINGS)}")


def _write(chart: Any, to: Path) -> None:
    from trainlab.figures.style import save_figure

    try:
        print(save_figure(chart, to))
    except OSError as error:
        raise RequestError(f"cannot write {to}: {error.strerror}") from None
