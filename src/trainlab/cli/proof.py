"""`trainlab explain RUN --prove`: a run and its remedy side by side for a short budget, as ordinary runs."""

import copy
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
import yaml
from rich.console import Console

from trainlab.build import places
from trainlab.cli.plot import MARKS, plot
from trainlab.diagnosis.evidence import Evidence
from trainlab.diagnosis.explain import Diagnosis
from trainlab.diagnosis.of_run import evidence_of
from trainlab.errors import RequestError
from trainlab.runs import Result, RunFolder
from trainlab.runs.groups import add_to_group
from trainlab.runs.result import DONE
from trainlab.terminal import marked

MOST_STEPS = 300
"""Steps of each arm, or the run's own where it made fewer: both get the same, so that they compare."""

FIGURE = "proof.svg"


@dataclass(frozen=True)
class Arm:
    """One of the two runs: what it was called, where it lies, what it came to."""

    name: str
    folder: RunFolder
    result: Result
    evidence: Evidence

    def line(self) -> str:
        """Loss and accuracy in one line."""
        accuracy, learned = self.result.metrics.get("test/acc"), self.result.verdict.learned
        says = "learned" if learned else "did not learn"
        tested = f", test accuracy {accuracy:.1%}" if accuracy is not None else f", {self.result.status}"
        first = next(iter(self.evidence.losses.values()), float("nan"))
        return f"loss {first:.3g} → {self.evidence.late_loss():.3g}{tested}: {says}"


@dataclass(frozen=True)
class Proof:
    """Both arms, and the figure beside the run (None where figures are not installed)."""

    before: Arm
    after: Arm
    figure: Path | None

    def show(self, console: Console) -> None:
        """Prints both curves and what they came to."""
        curves = {arm.name: arm.evidence.losses for arm in (self.before, self.after)}
        console.print(marked("\n[bold]training loss[/bold] (nats)"))
        for line in plot(curves, top=1.3 * self.before.evidence.chance_loss):
            console.print(line, highlight=False, markup=False)
        for mark, arm in zip(MARKS, (self.before, self.after), strict=False):
            console.print(f"{mark} {arm.name}: {arm.line()} ({arm.folder.run_id})", highlight=False)
        if self.figure:
            console.print(str(self.figure), highlight=False, soft_wrap=True)

    def as_dict(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "figure": str(self.figure) if self.figure else None,
            "arms": [
                {
                    "name": arm.name,
                    "run_id": arm.folder.run_id,
                    "learned": arm.result.verdict.learned,
                    "metrics": dict(arm.result.metrics),
                    "losses": list(arm.evidence.losses.values()),
                }
                for arm in (self.before, self.after)
            ],
        }


def prove(run: RunFolder, diagnosis: Diagnosis, quiet: bool) -> Proof:
    """Runs the remedy of the first cause beside the run as it was; what is done already is not repeated.

    Raises:
        RequestError: there is no cause, or none with a remedy that can be run.
    """
    cause = diagnosis.cause
    if cause is None:
        raise RequestError(f"run {run.run_id}: no cause was found, so there is nothing to prove")
    overrides = diagnosis.remedies.get(cause.cause)
    if overrides is None:
        raise RequestError(f"run {run.run_id}: {cause.cause} has no remedy that could be run")
    settings = run.settings()
    steps, needed = evidence_of(run).steps or MOST_STEPS, cause.numbers.get("steps_needed")
    longer_by = needed / steps if needed else 2.0
    if not needed:  # where the run's length is in question, it is not cut
        steps = min(steps, MOST_STEPS)
    arms = []
    for name, changes in (("as it was", []), (overrides, overrides.split())):
        prepared = prepare(settings, changes, steps, longer_by)
        if not quiet:
            print(f"running {name}, {prepared['trainer']['max_steps']} steps …", flush=True)
        arms.append(_arm(name, _run(prepared, run.path.parent)))
    add_to_group(run.path.parent, f"prove-{run.run_id}", [arm.folder.run_id for arm in arms])
    return Proof(*arms, figure=_draw(run, *arms))


def prepare(
    settings: Mapping[str, Any], overrides: list[str], steps: int, longer_by: float = 2.0
) -> dict[str, Any]:
    """Frozen settings of the run with `overrides`, ending after `steps`; `longer_by` times that where they
    ask for more.

    Raises RequestError for settings that are refused.
    """
    from trainlab.config import identify
    from trainlab.config.schema import validate

    of_the_run = ("run_id", "fingerprint", "copy", "own_code", "pruning")
    prepared = {name: copy.deepcopy(value) for name, value in settings.items() if name not in of_the_run}
    longer = any(override.startswith(("trainer.max_epochs", "trainer.max_steps")) for override in overrides)
    for override in overrides:
        _apply(prepared, *override.split("=", 1))
    prepared["trainer"] |= {
        "max_steps": round(steps * (longer_by if longer else 1)),
        "max_epochs": None,
        "progress_bar": False,
    }
    prepared |= {"group": None, "early_stop": None, "checkpoint": "none", "signals": True, "resume": True}
    prepared["logger"] = {"_target_": None}
    prepared["paths"] = {**places(settings), "data": settings["paths"]["data"]}
    return identify(validate(prepared))


def _apply(settings: dict[str, Any], key: str, value: str) -> None:
    """One override, on settings that are composed already: an axis's option is composed on its own."""
    from trainlab.config import AXES, compose

    if key in AXES:
        option = compose([f"{key}={value}"])
        settings[key], settings["axes"][key] = option[key], option["axes"][key]
        return
    plain = yaml.safe_load(value)
    if key == "depth":
        settings["depth"] = settings["axes"]["depth"] = settings["model"]["depth"] = plain
        return
    *path, name = key.split(".")
    node = settings
    for part in path:
        node = node[part]
    node[name] = float(plain) if name in ("lr", "gradient_clip") else plain


def _run(settings: Mapping[str, Any], runs: Path) -> RunFolder:
    """The run of these settings in a process of its own, unless it is done. Exits 1 where it failed."""
    folder = RunFolder(runs / settings["run_id"])
    if folder.status() not in DONE:
        folder.write_settings({**settings, "paths": {**settings["paths"], "runs": str(runs.resolve())}})
        command = [sys.executable, "-m", "trainlab.training", str(folder.path / "config.yaml")]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode == 2:
            raise RequestError(done.stderr.strip().removeprefix("trainlab: "))
        if done.returncode:
            print(done.stderr.strip(), file=sys.stderr)
            print(f"trainlab: run {folder.run_id} failed; nothing is proved", file=sys.stderr)
            raise typer.Exit(1)
    return folder


def _arm(name: str, folder: RunFolder) -> Arm:
    result = folder.result()
    assert result is not None, "a run that has ended has a result"
    return Arm(name, folder, result, evidence_of(folder))


def _draw(run: RunFolder, before: Arm, after: Arm) -> Path | None:
    """The figure beside the run; None, and a word why, where figures are not installed."""
    from trainlab.figures import proof, style

    curves = {before.name: before.evidence.losses, after.name: after.evidence.losses}
    try:
        chart = proof.figure(curves, before.evidence.chance_loss, f"run {run.run_id} and its remedy")
        return style.write(chart, run.path / FIGURE)
    except RequestError as missing:
        print(f"trainlab: no figure: {missing}", file=sys.stderr)
        return None
