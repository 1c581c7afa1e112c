"""`trainlab explain RUN --prove`: a run with and without its remedy, for a short budget, as ordinary runs."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import typer
import yaml
from rich.console import Console

from trainlab.cli.terminal_plot import MARKERS, render_curves
from trainlab.diagnosis.evidence import Evidence
from trainlab.diagnosis.explain import Diagnosis
from trainlab.diagnosis.run_diagnosis import load_evidence
from trainlab.errors import RequestError
from trainlab.instantiate import resolve_paths
from trainlab.runs import Result, RunFolder
from trainlab.runs.groups import add_to_group
from trainlab.runs.result import DONE_STATUSES
from trainlab.section import NOTHING
from trainlab.settings import RunSettings, Settings
from trainlab.terminal import markup_text

MAX_STEPS = 300
"""Steps of each of the two runs, or as many as the run had where these are fewer."""

FIGURE_FILE = "proof.svg"


@dataclass(frozen=True)
class ComparedRun:
    """One of the two runs, with its result."""

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
        return f"loss {first:.3g} → {self.evidence.final_loss():.3g}{tested}: {says}"


@dataclass(frozen=True)
class RemedyComparison:
    """Both runs, and the figure in the run's folder (None where altair is not installed)."""

    before: ComparedRun
    after: ComparedRun
    figure: Path | None

    def show(self, console: Console) -> None:
        """Prints both loss curves and results."""
        curves = {arm.name: arm.evidence.losses for arm in (self.before, self.after)}
        console.print(markup_text("\n[bold]training loss[/bold] (nats)"))
        for line in render_curves(curves, top=1.3 * self.before.evidence.chance_loss):
            console.print(line, highlight=False, markup=False)
        for mark, arm in zip(MARKERS, (self.before, self.after), strict=False):
            console.print(f"{mark} {arm.name}: {arm.line()} ({arm.folder.run_id})", highlight=False)
        if self.figure:
            console.print(str(self.figure), highlight=False, soft_wrap=True)

    def as_dict(self) -> dict[str, object]:
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


def verify_remedy(run: RunFolder, diagnosis: Diagnosis, quiet: bool) -> RemedyComparison:
    """Trains the run as it was and with the remedy of its first cause; runs that are done are not repeated.

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
    steps, needed = load_evidence(run).steps or MAX_STEPS, cause.numbers.get("steps_needed")
    longer_by = needed / steps if needed else 2.0
    if not needed:  # where the run's length is in question, it is not cut
        steps = min(steps, MAX_STEPS)
    arms = []
    for name, changes in (("as it was", []), (overrides, overrides.split())):
        prepared = comparison_settings(settings, changes, steps, longer_by)
        if not quiet:
            print(f"running {name}, {prepared.trainer.max_steps} steps …", flush=True)
        arms.append(_compared_run(name, _run_to_end(prepared, run.path.parent)))
    add_to_group(run.path.parent, f"prove-{run.run_id}", [arm.folder.run_id for arm in arms])
    return RemedyComparison(*arms, figure=_save_figure(run, *arms))


def comparison_settings(
    settings: RunSettings, overrides: list[str], steps: int, longer_by: float = 2.0
) -> RunSettings:
    """Frozen settings of the run with `overrides`, ending after `steps`, or `longer_by` times that where the
    overrides change the number of epochs or steps.

    Raises RequestError for settings that are refused.
    """
    from trainlab.config import identify

    prepared = settings.unidentified()
    longer = any(override.startswith(("trainer.max_epochs", "trainer.max_steps")) for override in overrides)
    for override in overrides:
        prepared = _apply_override(prepared, *override.split("=", 1))
    max_steps = round(steps * (longer_by if longer else 1))
    trainer = prepared.trainer.replace(max_steps=max_steps, max_epochs=None, progress_bar=False)
    paths = resolve_paths(settings).replace(data=settings.paths.data).untrusted()
    prepared = prepared.replace(
        trainer=trainer, logger=NOTHING, paths=paths, group=None, early_stop=None, checkpoint="none",
        signals=True, resume=True,
    )  # fmt: skip
    return identify(prepared)


def _apply_override(settings: Settings, key: str, value: str) -> Settings:
    """Composed settings with one override; the option of an axis is composed by itself."""
    from trainlab.config import AXIS_DESCRIPTIONS, compose

    if key in AXIS_DESCRIPTIONS:
        option = compose([f"{key}={value}"])
        section = getattr(option, key).untrusted()
        return settings.replace(**{key: section, "axes": {**settings.axes, key: option.axes[key]}})
    plain = yaml.safe_load(value)
    if key == "depth":
        axes, model = {**settings.axes, "depth": plain}, settings.model.replace(depth=plain)
        return settings.replace(depth=plain, axes=axes, model=model)
    return settings.with_value(key, float(plain) if key.endswith(("lr", "gradient_clip")) else plain)


def _run_to_end(settings: RunSettings, runs: Path) -> RunFolder:
    """Trains these settings in a process of their own, unless it is done. Exits with 1 where that fails."""
    folder = RunFolder(runs / settings.run_id)
    if folder.status() not in DONE_STATUSES:
        folder.write_settings(settings.replace(paths=settings.paths.replace(runs=str(runs.resolve()))))
        command = [sys.executable, "-m", "trainlab.training", str(folder.path / "config.yaml")]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode == 2:
            raise RequestError(done.stderr.strip().removeprefix("trainlab: "))
        if done.returncode:
            print(done.stderr.strip(), file=sys.stderr)
            print(f"trainlab: run {folder.run_id} failed; nothing is proved", file=sys.stderr)
            raise typer.Exit(1)
    return folder


def _compared_run(name: str, folder: RunFolder) -> ComparedRun:
    result = folder.result()
    assert result is not None, "a run that has ended has a result"
    return ComparedRun(name, folder, result, load_evidence(folder))


def _save_figure(run: RunFolder, before: ComparedRun, after: ComparedRun) -> Path | None:
    """Saves the figure in the run's folder; None, and a message, where altair is not installed."""
    from trainlab.figures import learning_curves, style

    curves = {before.name: before.evidence.losses, after.name: after.evidence.losses}
    try:
        chart = learning_curves.loss_comparison_plot(
            curves, before.evidence.chance_loss, f"run {run.run_id} and its remedy"
        )
        return style.save_figure(chart, run.path / FIGURE_FILE)
    except RequestError as missing:
        print(f"trainlab: no figure: {missing}", file=sys.stderr)
        return None
