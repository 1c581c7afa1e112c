"""`trainlab train`: one run here, or a sweep through Hydra's sweeper and launcher."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from trainlab import __version__
from trainlab.cli.command_app import command_app
from trainlab.cli.settings_command import settings_help
from trainlab.config.command_line import trainlab_command_line
from trainlab.instantiate.trust import worker_environment
from trainlab.settings import RunSettings, Settings, SweepSettings
from trainlab.terminal import PlainConsole, markup_text

if TYPE_CHECKING:
    from trainlab.runs import Result, RunFolder, Verdict

HELP = """\
Train one run, or a sweep with -m.

  python train.py                                                one run: plain_cnn, ReLU, Kaiming, digits
  python train.py model=lenet5 data=mnist optimizer.lr=3e-4      any option, any value
  python train.py -m activation=sigmoid,relu init=glorot,kaiming a sweep: every combination
  python train.py -m seed='range(5)' depth=2,8,16                seeds, depths
  python train.py experiment=lenet5_mnist                        a preset
  python train.py -m … sweep.plan_only=true                      what would run, how long it would take

{settings}
Hydra's own flags work as well: --cfg job prints the whole composed configuration, --info explains it.
"""
FAILED = 1
"""The exit code of a run that failed or was interrupted; 2 is that of one that was refused."""


cli = command_app()


@cli.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
)
def train(context: typer.Context) -> None:
    """Train one run, or a sweep with -m."""
    arguments = context.args
    if {"--help", "-h"} & set(arguments):
        print(HELP.format(settings=settings_help()), end="")
    elif "--version" in arguments:
        print(f"trainlab {__version__}")
    else:
        _train(arguments)


def _train(arguments: list[str]) -> None:
    """Trains the run that the arguments compose to, or hands the sweep to the sweeper.

    Raises:
        RequestError: the request is wrong.
        typer.Exit: something failed or was interrupted.
    """
    from trainlab.config.hydra_application import run_application
    from trainlab.sweeps import SweepFailed

    try:
        run_application(arguments, _run_unless_done)
    except SweepFailed:  # the summary names the runs
        raise typer.Exit(1) from None


def _run_unless_done(composed: Settings, sweep: SweepSettings) -> None:
    """Trains a composed run, unless it is done already."""
    from trainlab.config import identify
    from trainlab.runs import RunFolder
    from trainlab.runs.groups import add_to_group, group_file
    from trainlab.runs.result import DONE_STATUSES
    from trainlab.runs.run_folder import missing_artifacts, rerun_hint
    from trainlab.settings import PruningRequest

    settings = identify(composed)
    if sweep.prune != "none":
        settings = settings.replace(pruning=PruningRequest(by=sweep.prune, audit=sweep.audit))
    runs = Path(settings.paths.runs)
    if settings.group:
        group_file(runs, settings.group)  # refused now, and not once it is trained
    folder = RunFolder(runs / settings.run_id)
    console = PlainConsole()
    if sweep.plan_only:
        console.print(f"1 run: {settings.run_id} ({folder.status()}) in {folder.path}")
        return
    done = folder.result() if folder.status() in DONE_STATUSES else None
    if done and not sweep.rerun:
        how = rerun_hint(missing_artifacts(settings, folder.path))
        console.print(f"this run is done already ({how}):", soft_wrap=True)
        for line in done.warnings:
            console.print(markup_text("[yellow]warning[/yellow]: {}", line), soft_wrap=True)
    else:
        _train_run(settings, folder, console, afresh=sweep.rerun)
        done = folder.result()
    if done:
        if settings.group:
            add_to_group(runs, settings.group, [settings.run_id])
        _print_result(done, folder.path, console)


def _train_run(settings: RunSettings, folder: "RunFolder", console: PlainConsole, afresh: bool) -> None:
    """Trains in this process, or with several devices in a process that starts one for each."""
    if afresh:
        settings = settings.replace(rerun=True)
    from trainlab.training import preconditions
    from trainlab.training.environment import configure_process

    configure_process()
    preconditions.check_settings(settings)
    preconditions.check_hardware(settings.trainer)
    axes = "  ".join(f"{axis}={value}" for axis, value in settings.axes.items() if value is not None)
    console.print(markup_text("[bold]run {}[/bold] in {}", settings.run_id, folder.path), soft_wrap=True)
    console.print(f"{axes}  seed={settings.seed}  ({settings.data_copy})", style="dim")
    if settings.trainer.devices > 1:
        code = _train_on_devices(settings)
    else:
        from trainlab.training.worker import run_settings

        code = run_settings(settings, console, is_checked=True)
    if code == FAILED and folder.status() == "interrupted":
        has_checkpoint = (folder.checkpoints / "last.ckpt").exists()
        how = "goes on from its last checkpoint" if has_checkpoint else "starts it over"
        console.print(f"interrupted; the same command {how} ({folder.path})", soft_wrap=True)
    if code:
        raise typer.Exit(code)


def _train_on_devices(settings: RunSettings) -> int:
    """The exit code of a process that trains the run: Lightning starts a child for each further device from
    that process's command line, so it has to name this run and nothing else.

    A signal that stops this process is passed on to it, so that the run ends with a checkpoint.
    """
    from trainlab.runs.frozen_settings import SETTINGS_FILE, settings_yaml
    from trainlab.sweeps.process_main import forward_signals

    with tempfile.TemporaryDirectory(prefix="trainlab-") as folder:
        config = Path(folder) / SETTINGS_FILE
        config.write_text(settings_yaml(settings), encoding="utf-8")
        command = [sys.executable, "-m", "trainlab.training", str(config)]
        environment = {**os.environ, **worker_environment(settings)}
        # in a session of its own: Ctrl-C would reach it twice, from the terminal and from here
        process = subprocess.Popen(command, start_new_session=True, env=environment)
        with forward_signals(process):
            code = process.wait()
    return code if code >= 0 else FAILED


def _print_result(result: "Result", folder: Path, console: PlainConsole) -> None:
    """The outcome in a few lines, and what to do next."""
    stopped = result.stopped or {}
    if result.status == "pruned":
        console.print(markup_text("[yellow]pruned[/yellow]: {}", stopped["reason"]), soft_wrap=True)
        console.print("next: sweep.prune=none trains it")
        return
    if result.status == "diverged":
        console.print(markup_text("[red]diverged[/red]: {} at step {}", stopped["quantity"], stopped["step"]))
    shown = "  ".join(
        f"{name} {value:.2%}" if name.endswith("acc") else f"{name} {value:.4f}"
        for name, value in result.metrics.items()
        if value is not None and name.rpartition("/")[2] in ("acc", "loss")
    )
    console.print(shown, style="bold", soft_wrap=True)
    if result.verdict.learned is not None:
        console.print(f"learned: {_describe_verdict(result.verdict)}", soft_wrap=True)
    if result.samples_per_second:
        rate = f"{result.samples_per_second:,.0f} samples/s"
        console.print(f"{result.steps} steps, {result.seconds:.1f} s, {rate}")
    _print_next_commands(result, folder, console)


def _describe_verdict(verdict: "Verdict") -> str:
    """Whether it learned, and the cause where it did not."""
    answer = "yes" if verdict.learned else "no, not better than the commonest class"
    if verdict.level in ("barely", "poorly"):
        answer = verdict.level
    if not verdict.cause:
        return answer
    return f"{answer}: {verdict.cause.replace('_', ' ')}" + (f" at {verdict.layer}" if verdict.layer else "")


def _print_next_commands(result: "Result", folder: Path, console: PlainConsole) -> None:
    """What to do next with the run, and with all runs."""
    needs_explanation = result.verdict.learned is False or result.verdict.cause
    about_run = ("explain", result.run_id) if needs_explanation else ("predict", result.run_id, "IMAGE")
    for label, words in (("next: ", about_run), ("      ", ("compare",))):
        console.print(label + trainlab_command_line(*words, runs=folder.parent), soft_wrap=True)
