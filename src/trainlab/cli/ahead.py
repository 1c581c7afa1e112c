"""`trainlab preflight`: what will become of each configuration, said before any of it is trained."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console
from rich.table import Table
from rich.text import Text

from trainlab.build.dry_run import validate_build
from trainlab.config import compose, one_line
from trainlab.config.options import package_conf
from trainlab.errors import RequestError
from trainlab.terminal import PlainConsole

FAR = 10_000
"""Layers that no network has."""

Job = tuple[str, dict[str, Any]]
"""What is particular to a configuration, and its frozen settings."""


def preflight(arguments: Sequence[str], theory_only: bool, as_json: bool) -> None:
    """Prints the forecast of one configuration, or with -m of every one of a grid, in one table.

    Raises:
        RequestError: the request is wrong, or the data are missing.
    """
    overrides = [word for word in arguments if word not in ("-m", "--multirun")]
    is_grid = len(overrides) < len(arguments)
    if flag := next((word for word in overrides if word.startswith("-")), None):
        raise RequestError(f"unknown option {flag}: expected overrides, -m, --theory or --json")
    params = _params_of_preset(overrides)
    is_grid |= bool(params)
    jobs = list(_grid(overrides, params)) if is_grid else [("the run", compose(overrides))]

    for _, settings in jobs:
        validate_build(settings)
    answers = [(label, _answer(settings, theory_only)) for label, settings in jobs]
    if as_json:
        shown = [{"configuration": label, **answer} for label, answer in answers]
        print(json.dumps(shown if is_grid else shown[0], indent=2))
        return
    console = PlainConsole()
    if is_grid:
        _show_grid(answers, theory_only, console)
    else:
        _show_one(answers[0][1], console)


def _grid(overrides: list[str], params: Mapping[str, Any]) -> Iterator[Job]:
    """Every configuration of the grid, as `trainlab train -m` would run it."""
    from trainlab.config.composer import BulkComposer
    from trainlab.instantiate import mark_trusted
    from trainlab.sweeps.grid import expand_grid

    GlobalHydra.instance().clear()
    with initialize_config_dir(str(package_conf()), version_base="1.3"):
        loader: Any = GlobalHydra.instance().config_loader()
        grid = expand_grid(overrides, params, loader)
        composer = BulkComposer(loader)
        for job in grid.jobs():
            words = [o.input_line or "" for o in job if o.get_key_element().lstrip("+") in grid.swept]
            yield " ".join(words) or "the run", mark_trusted(composer.compose(job))


def _params_of_preset(overrides: Sequence[str]) -> Mapping[str, Any]:
    """A preset's own grid, which the command line goes before; a preset that has one is a sweep."""
    preset = [word for word in overrides if word.startswith("experiment=") and "," not in word]
    if not preset:
        return {}
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(package_conf()), version_base="1.3"):
        try:
            composed = hydra_compose("train", preset, return_hydra_config=True)
        except (HydraException, OmegaConfBaseException) as error:
            raise RequestError(one_line(error)) from None
    params: Any = OmegaConf.select(composed, "hydra.sweeper.params")
    return OmegaConf.to_container(params) if params is not None else {}  # pyrefly: ignore


def _answer(settings: Mapping[str, Any], theory_only: bool) -> dict[str, Any]:
    """The forecast of one configuration as plain values."""
    from trainlab.forecast.run_forecast import forecast_run, theory_for_run

    if theory_only:
        return {"theory": theory_for_run(settings)}
    return forecast_run(settings).plain()


def _show_grid(answers: Sequence[tuple[str, dict[str, Any]]], theory_only: bool, console: Console) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    if theory_only:
        for column in ("configuration", "χ₁", "reach (layers)", "depth"):
            table.add_column(column)
        for label, answer in answers:
            theory = answer["theory"]
            numbers = [_short(theory[k]) for k in ("chi1", "reach_layers", "depth")] if theory else ["–"] * 3
            table.add_row(label, *numbers)
    else:
        for column in ("configuration", "learns", "answer", "cause", "layer", "remedy"):
            table.add_column(column, overflow="fold")
        for label, answer in answers:
            rest = (answer[k] or "" for k in ("cause", "layer", "remedy"))
            table.add_row(label, _chance(answer), _answered(answer), *rest)
    console.print(table)


def _show_one(answer: Mapping[str, Any], console: Console) -> None:
    if "learns" in answer:
        says = "" if _is_said_below(answer) else f": {answer['says']}"
        head = Text.assemble("learns: ", _chance(answer), f", {answer['answer']}", style="bold")
        console.print(Text.assemble(head, says), soft_wrap=True)
        if answer["by_steps"]:
            console.print(f"steps: {_steps(answer)}", highlight=False, soft_wrap=True)
        if answer["cause"]:
            where = f" in {answer['layer']}" if answer["layer"] else ""
            console.print(f"expected cause: {answer['cause']}{where}", highlight=False)
        if answer["evidence"]:
            numbers = "  ".join(f"{name} {_short(value)}" for name, value in answer["evidence"].items())
            console.print(f"evidence: {numbers}", highlight=False, soft_wrap=True)
        if answer["remedy"]:
            console.print(f"remedy: {answer['remedy']}", highlight=False)
        for note in answer["notes"]:
            console.print(f"note: {note}", style="dim", highlight=False, markup=False, soft_wrap=True)
    theory = answer["theory"]
    if theory is None:
        console.print("theory: none; the network is no chain of layers", style="dim")
    else:
        far = _reach(theory["reach_layers"])
        said = f"theory: χ₁ {_short(theory['chi1'])}, carries a signal through {far}; "
        console.print(f"{said}this network has {theory['depth']}", highlight=False)
    console.print(_layers(answer, theory))
    for note in theory["notes"] if theory else ():
        console.print(f"note: {note}", style="dim", highlight=False)


def _layers(answer: Mapping[str, Any], theory: Mapping[str, Any] | None) -> Table:
    """Theory beside measurement, a row a layer."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("layer")
    for column in ("z", "z, theory", "same", "same, theory", "gradient", "gradient, theory", "moves"):
        table.add_column(column, justify="right")
    predicted = {row["name"]: row for row in theory["layers"]} if theory else {}
    names = [row["name"] for row in answer.get("layers", ())] or list(predicted)
    measured = {row["name"]: row for row in answer.get("layers", ())}
    for name in names:
        seen, expected = measured.get(name, {}), predicted.get(name, {})
        cells = [(seen, "scale"), (expected, "scale"), (seen, "correlation"), (expected, "correlation")]
        cells += [(seen, "gradient"), (expected, "gradient"), (seen, "moves")]
        table.add_row(name, *(_short(row.get(key)) for row, key in cells))
    table.caption = (
        "z: scale of what enters the activation; same: correlation of different images; gradient: norm at "
        "the layer's output, over the last hidden one's; moves: of its own length, in all steps"
    )
    table.caption_style = "dim"
    table.caption_justify = "left"
    return table


def _chance(answer: Mapping[str, Any]) -> Text:
    from trainlab.units import format_probability

    return Text(format_probability(answer["learns"]), _colour(answer))


def _colour(answer: Mapping[str, Any]) -> str:
    return {"will learn": "green", "will not learn": "red"}.get(answer["answer"], "yellow")


def _is_said_below(answer: Mapping[str, Any]) -> bool:
    """What is said of a run that it cannot tell is the line of its steps."""
    return answer["answer"] == "cannot tell" and not answer["cause"]


def _answered(answer: Mapping[str, Any]) -> str:
    """The answer, with the steps with which it would be another."""
    needs = answer["needs_steps"]
    return f"{answer['answer']}; in {needs:,} steps it will" if needs else answer["answer"]


def _steps(answer: Mapping[str, Any]) -> str:
    from trainlab.forecast.answer import format_by_steps

    needs = answer["needs_steps"]
    if needs:
        return f"{format_by_steps(answer['by_steps'])}; expected to learn in {needs:,}"
    return format_by_steps(answer["by_steps"])


def _reach(layers: float) -> str:
    """How deep a signal gets, in words: at the edge of chaos no depth ends it."""
    return "any number of layers" if layers > FAR else f"about {_short(layers)} layers"


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
