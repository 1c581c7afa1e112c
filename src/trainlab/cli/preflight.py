"""`trainlab preflight`: whether each configuration will learn, forecast before any training."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from trainlab.cli.arguments import AsJson, Overrides
from trainlab.cli.command_app import command_app
from trainlab.cli.settings_command import SettingsCommand
from trainlab.config.composer import users_composer
from trainlab.errors import RequestError
from trainlab.forecast.answer import Forecast, LayerReport, format_by_steps
from trainlab.settings import Settings
from trainlab.terminal import PlainConsole
from trainlab.units import format_probability

EDGE_OF_CHAOS_LAYERS = 10_000
"""A reach beyond the depth of any network: shown as any number of layers."""

Theory = Mapping[str, Any]
"""What the theory of signal propagation says: chi1, reach_layers, depth, layers and notes."""

cli = command_app()


@cli.command(cls=SettingsCommand)
def preflight(
    overrides: Overrides = None,
    grid: Annotated[
        bool, typer.Option("-m", "--multirun", help="Every configuration of a grid: activation=relu,tanh …")
    ] = False,
    theory: Annotated[bool, typer.Option("--theory", help="The theory alone, with no pass forward.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say before training whether it will learn, and why not."""
    words = overrides or []
    if flag := next((word for word in words if word.startswith("-")), None):
        raise RequestError(f"unknown option {flag}: expected overrides, -m, --theory or --json")
    composer = users_composer()
    params = composer.preset_grid(words)
    is_grid = grid or bool(params)
    if is_grid:
        expanded = composer.grid(words, params)
        configurations = [(expanded.label(job), composer.job(job)) for job in expanded.jobs()]
    else:
        configurations = [("the run", composer.one(words))]
    from trainlab.build.dry_run import validate_build

    for _, settings in configurations:
        validate_build(settings)
    answers = [_answer(label, settings, theory) for label, settings in configurations]
    if as_json:
        rows = [{"configuration": answer.configuration, **answer.as_dict()} for answer in answers]
        print(json.dumps(rows if is_grid else rows[0], indent=2))
    elif is_grid:
        _print_grid(answers, theory)
    else:
        _print_answer(answers[0])


@dataclass(frozen=True)
class Answer:
    """A configuration, its forecast (None with `--theory`) and its theory (None where it is no chain)."""

    configuration: str
    forecast: Forecast | None
    theory: Theory | None

    def as_dict(self) -> dict[str, object]:
        """What `--json` prints."""
        return {"theory": self.theory} if self.forecast is None else self.forecast.to_dict()


def _answer(configuration: str, settings: Settings, theory_only: bool) -> Answer:
    from trainlab.forecast.run_forecast import forecast_run, theory_for_run

    if theory_only:
        return Answer(configuration, None, theory_for_run(settings))
    forecast = forecast_run(settings)
    return Answer(configuration, forecast, forecast.theory)


def _print_grid(answers: Sequence[Answer], theory_only: bool) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    columns = (
        ("χ₁", "reach (layers)", "depth") if theory_only else ("learns", "answer", "cause", "layer", "remedy")
    )
    for column in ("configuration", *columns):
        table.add_column(column, overflow="ellipsis" if theory_only else "fold")
    for answer in answers:
        if answer.forecast is not None:
            forecast = answer.forecast
            rest = (forecast.cause or "", forecast.layer or "", forecast.remedy or "")
            table.add_row(answer.configuration, _probability(forecast), _answer_with_steps(forecast), *rest)
        else:
            theory = answer.theory
            keys = ("chi1", "reach_layers", "depth")
            table.add_row(answer.configuration, *(_short(theory[key]) if theory else "–" for key in keys))
    PlainConsole().print(table)


def _print_answer(answer: Answer) -> None:
    console = PlainConsole()
    forecast, theory = answer.forecast, answer.theory
    if forecast is not None:
        _print_forecast(console, forecast)
    if theory is None:
        console.print("theory: none; the network is no chain of layers", style="dim")
    else:
        reach = _describe_reach(theory["reach_layers"])
        console.print(
            f"theory: χ₁ {_short(theory['chi1'])}, carries a signal through {reach}; "
            f"this network has {theory['depth']}"
        )
    console.print(_layer_table(forecast.layers if forecast else (), theory))
    for note in theory["notes"] if theory else ():
        console.print(f"note: {note}", style="dim")


def _print_forecast(console: PlainConsole, forecast: Forecast) -> None:
    """The answer, its steps, cause, evidence and remedy, a line each."""
    # where it cannot tell and names no cause, `says` repeats the line of the steps
    is_repeated = forecast.answer == "cannot tell" and not forecast.cause
    head = Text.assemble("learns: ", _probability(forecast), f", {forecast.answer}", style="bold")
    console.print(Text.assemble(head, "" if is_repeated else f": {forecast.says}"), soft_wrap=True)
    if forecast.by_steps:
        console.print(f"steps: {_describe_steps(forecast)}", soft_wrap=True)
    if forecast.cause:
        console.print(
            f"expected cause: {forecast.cause}" + (f" in {forecast.layer}" if forecast.layer else "")
        )
    if forecast.evidence:
        numbers = "  ".join(f"{name} {_short(value)}" for name, value in forecast.evidence.items())
        console.print(f"evidence: {numbers}", soft_wrap=True)
    if forecast.remedy:
        console.print(f"remedy: {forecast.remedy}")
    console.print_notes(f"note: {note}" for note in forecast.notes)


def _layer_table(measured: Sequence[LayerReport], theory: Theory | None) -> Table:
    """Theory beside measurement, a row a layer."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("layer")
    for column in ("z", "z, theory", "same", "same, theory", "gradient", "gradient, theory", "moves"):
        table.add_column(column, justify="right")
    predicted = {row["name"]: row for row in theory["layers"]} if theory else {}
    by_name = {layer.name: layer for layer in measured}
    for name in by_name or predicted:
        layer, expected = by_name.get(name, LayerReport(name)), predicted.get(name, {})
        values = (
            layer.scale, expected.get("scale"), layer.correlation, expected.get("correlation"),
            layer.gradient, expected.get("gradient"), layer.moves,
        )  # fmt: skip
        table.add_row(name, *map(_short, values))
    table.caption = (
        "z: scale of what enters the activation; same: correlation of different images; gradient: norm at "
        "the layer's output, over the last hidden one's; moves: of its own length, in all steps"
    )
    table.caption_style = "dim"
    table.caption_justify = "left"
    return table


def _probability(forecast: Forecast) -> Text:
    colour = {"will learn": "green", "will not learn": "red"}.get(forecast.answer, "yellow")
    return Text(format_probability(forecast.learns), colour)


def _answer_with_steps(forecast: Forecast) -> str:
    """The answer, with the number of steps in which it would learn."""
    needs = forecast.needs_steps
    return f"{forecast.answer}; in {needs:,} steps it will" if needs else forecast.answer


def _describe_steps(forecast: Forecast) -> str:
    """The probability by number of steps, and the fewest in which it is expected to learn."""
    by_steps = format_by_steps(forecast.by_steps)
    needs = forecast.needs_steps
    return f"{by_steps}; expected to learn in {needs:,}" if needs else by_steps


def _describe_reach(layers: float) -> str:
    """How many layers a signal passes: at the edge of chaos any number."""
    return "any number of layers" if layers > EDGE_OF_CHAOS_LAYERS else f"about {_short(layers)} layers"


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
