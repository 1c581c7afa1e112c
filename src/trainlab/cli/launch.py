"""`trainlab train`: one run here, or a sweep through Hydra's sweeper and launcher."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from trainlab.config.command_line import trainlab_command_line
from trainlab.config.options import AXES, package_conf
from trainlab.errors import RequestError
from trainlab.instantiate.trust import mark_trusted, worker_environment
from trainlab.terminal import PlainConsole, markup_text

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
SETTINGS = """\
Axes (trainlab options AXIS lists what there is):
{axes}
Values: seed depth width group checkpoint signals resume early_stop
        optimizer.lr .momentum .weight_decay
        data.batch_size .train_size .val_size .test_size .image_size .num_classes
        trainer.max_epochs .max_steps .devices .threads .precision .gradient_clip
        paths.data .cache .runs
"""
OF_SWEEPS = """\
Sweeps: sweep.plan_only .retry_failed .rerun .run_timeout
        sweep.prune=preflight|early .audit=SHARE (of the pruned, trained all the same)
        hydra.launcher.slots .threads .runs_per_gpu
"""


def settings_help(sweeps: bool = True) -> str:
    """What can be set, for the help of a command."""
    axes = "".join(f"  {axis + '=':<16} {line}\n" for axis, line in AXES.items())
    return SETTINGS.format(axes=axes) + (OF_SWEEPS if sweeps else "")


FAILED = 1
"""The exit code of a run that failed or was interrupted; 2 is that of one that was refused."""


class RunFailed(Exception):
    """A run failed or was interrupted, and has said so; `code` is its exit code."""

    def __init__(self, code: int):
        super().__init__(f"the run ended with exit code {code}")
        self.code = code


HYDRAS_FLAGS = (
    "--hydra-help", "--resolve", "--run", "-r", "--multirun", "-m", "--shell-completion", "-sc",
    "--info", "-i",
)  # fmt: skip
HYDRAS_FLAGS_WITH_A_VALUE = (
    "--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd",
    "--experimental-rerun",
)  # fmt: skip


def settings_among(arguments: Sequence[str]) -> list[str]:
    """The words that are no flags of Hydra's: settings, and whatever was meant as one."""
    words, rest = [], list(arguments)
    while rest:
        flag, equals, _ = (word := rest.pop(0)).partition("=")
        has_value = flag in HYDRAS_FLAGS_WITH_A_VALUE or (
            flag in ("--info", "-i") and "=" not in "".join(rest[:1])
        )
        if has_value and not equals:
            del rest[:1]
        elif not has_value and flag not in HYDRAS_FLAGS:
            words.append(word)
    return words


def train(arguments: list[str]) -> None:
    """Composes the arguments with Hydra and does what they say; exits 1 where something failed.

    Raises:
        RequestError: the request is wrong.
    """
    if {"--help", "-h"} & set(arguments):
        print(HELP.format(settings=settings_help()), end="")
        return
    if "--version" in arguments:
        from trainlab import __version__

        print(f"trainlab {__version__}")
        return
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import HydraException
    from hydra.types import RunMode
    from omegaconf.errors import OmegaConfBaseException

    from trainlab.config.hydra_messages import COMPOSITION_ERRORS, is_composition_error, one_line
    from trainlab.config.overrides import check_overrides, quote_text_values
    from trainlab.config.presets import add_preset_launcher, refuse_sweep_settings
    from trainlab.sweeps import SweepFailed

    check_overrides(settings_among(arguments))
    arguments = add_preset_launcher(quote_text_values(arguments))
    # Hydra's parser wants its flags before the overrides; people write them anywhere
    flags = [word for word in arguments if word in ("-m", "--multirun")]
    if flags and {"--cfg", "-c", "--info", "-i"} & set(arguments):
        raise RequestError("--cfg and --info are about one run: expected no -m beside them")
    sys.argv = ["train.py", *flags, *(word for word in arguments if word not in flags)]
    composed: list[tuple[Any, Any]] = []

    def one_run(configuration: Any) -> None:
        """What Hydra calls with the composed configuration of one run."""
        hydra_config = HydraConfig.get()
        if hydra_config.mode == RunMode.RUN:
            # the run begins once Hydra is done: it would print a line of its own before each error
            composed.append((configuration, hydra_config))
        else:
            _one_run(configuration, hydra_config.runtime.choices)

    # exceptions come to us instead of being printed over twenty lines with exit code 1
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        hydra.main(config_path=str(package_conf()), config_name="train", version_base="1.3")(one_run)()
    except (HydraException, OmegaConfBaseException) as error:
        if isinstance(error.__cause__, RequestError):
            raise error.__cause__ from None
        raise RequestError(one_line(error)) from None
    except COMPOSITION_ERRORS as error:
        if not is_composition_error(error):
            raise
        shown = f": {' '.join(arguments)}" if str(error).startswith("Config group override") else ""
        raise RequestError(f"{one_line(error)}{shown}") from None  # activation=3
    except SweepFailed:
        sys.exit(1)  # its summary has said which
    try:
        for configuration, hydra_config in composed:
            refuse_sweep_settings(hydra_config, configuration.sweep.run_timeout)
            _one_run(configuration, hydra_config.runtime.choices)
    except RunFailed as failed:
        sys.exit(failed.code)


def _one_run(composed: Any, choices: Mapping[str, str]) -> None:
    """Trains a composed run, unless it is done already."""
    from omegaconf import OmegaConf

    from trainlab.config import freeze, identify
    from trainlab.config.validation import validate_sweep_settings
    from trainlab.runs import RunFolder
    from trainlab.runs.groups import add_to_group, group_file
    from trainlab.runs.result import DONE_STATUSES
    from trainlab.runs.run_folder import missing_artifacts, rerun_hint

    sweep = validate_sweep_settings(OmegaConf.to_container(composed.sweep))
    settings = identify(mark_trusted(freeze(composed, choices)))
    if sweep["prune"] != "none":
        settings["pruning"] = {"by": sweep["prune"], "audit": sweep["audit"]}
    runs = Path(settings["paths"]["runs"])
    if settings["group"]:
        group_file(runs, settings["group"])  # refused now, and not once it is trained
    folder = RunFolder(runs / settings["run_id"])
    console = PlainConsole()
    if sweep["plan_only"]:
        console.print(f"1 run: {settings['run_id']} ({folder.status()}) in {folder.path}")
        return
    done = folder.result() if folder.status() in DONE_STATUSES else None
    if done and not sweep["rerun"]:
        how = rerun_hint(missing_artifacts(settings, folder.path))
        console.print(f"this run is done already ({how}):", highlight=False, soft_wrap=True)
        for line in done.warnings:
            console.print(markup_text("[yellow]warning[/yellow]: {}", line), soft_wrap=True)
    else:
        _work(settings, folder, console, afresh=sweep["rerun"])
        done = folder.result()
    if done:
        if settings["group"]:
            add_to_group(runs, settings["group"], [settings["run_id"]])
        _show(done, folder.path, console)


def _work(settings: Mapping[str, Any], folder: Any, console: Console, afresh: bool) -> None:
    """Trains in this process, or in processes of their own where one device is not enough."""
    if afresh:
        settings = {**settings, "rerun": True}
    from trainlab.training import preconditions
    from trainlab.training.environment import configure_process

    configure_process()
    preconditions.check_settings(settings)
    preconditions.check_hardware(settings["trainer"])
    axes = "  ".join(f"{axis}={value}" for axis, value in settings["axes"].items() if value is not None)
    console.print(markup_text("[bold]run {}[/bold] in {}", settings["run_id"], folder.path), soft_wrap=True)
    console.print(f"{axes}  seed={settings['seed']}  ({settings['copy']})", style="dim", highlight=False)
    if settings["trainer"]["devices"] > 1:
        code = _work_on_devices(settings)
    else:
        from trainlab.training.worker import run_settings

        code = run_settings(settings, console)
    if code == FAILED and folder.status() == "interrupted":
        has_checkpoint = (folder.checkpoints / "last.ckpt").exists()
        how = "goes on from its last checkpoint" if has_checkpoint else "starts it over"
        console.print(f"interrupted; the same command {how} ({folder.path})", soft_wrap=True)
    if code:
        raise RunFailed(code)


def _work_on_devices(settings: Mapping[str, Any]) -> int:
    """Lightning starts its children from the command line: this one names one run and nothing else.

    A signal that stops this process is handed on, so that the run ends with a checkpoint.
    """
    from trainlab.runs.frozen_settings import SETTINGS_FILE, settings_yaml
    from trainlab.sweeps.process_main import forward_signals

    with tempfile.TemporaryDirectory(prefix="trainlab-") as folder:
        config = Path(folder) / SETTINGS_FILE
        config.write_text(settings_yaml(settings), encoding="utf-8")
        command = [sys.executable, "-m", "trainlab.training", str(config)]
        # in a session of its own: Ctrl-C would reach it twice, from the terminal and from here
        told = {**os.environ, **worker_environment(settings)}
        process = subprocess.Popen(command, start_new_session=True, env=told)
        with forward_signals(process):
            code = process.wait()
    return code if code >= 0 else FAILED


def _show(result: Any, folder: Path, console: Console) -> None:
    """The outcome in a few lines, and what to do next."""
    metrics = result.metrics
    if result.status == "pruned":
        console.print(markup_text("[yellow]pruned[/yellow]: {}", result.stopped["reason"]), soft_wrap=True)
        console.print("next: sweep.prune=none trains it", highlight=False)
        return
    if result.status == "diverged":
        console.print(
            markup_text(
                "[red]diverged[/red]: {} at step {}", result.stopped["quantity"], result.stopped["step"]
            )
        )
    shown = "  ".join(
        f"{name} {value:.2%}" if name.endswith("acc") else f"{name} {value:.4f}"
        for name, value in metrics.items()
        if value is not None and name.rpartition("/")[2] in ("acc", "loss")
    )
    console.print(shown, style="bold", soft_wrap=True)
    verdict = result.verdict
    if verdict.learned is not None:
        where = f" at {verdict.layer}" if verdict.layer else ""
        cause = f": {verdict.cause.replace('_', ' ')}{where}" if verdict.cause else ""
        no = "no, not better than the commonest class"
        says = {"barely": "barely", "poorly": "poorly"}.get(
            verdict.level or "", "yes" if verdict.learned else no
        )
        console.print(f"learned: {says}{cause}", highlight=False, soft_wrap=True)
    if result.samples_per_second:
        console.print(
            f"{result.steps} steps, {result.seconds:.1f} s, {result.samples_per_second:,.0f} samples/s",
            highlight=False,
        )
    use = (
        ("explain", result.run_id)
        if verdict.learned is False or verdict.cause
        else ("predict", result.run_id, "IMAGE")
    )
    for number, words in enumerate((use, ("compare",))):
        hint = trainlab_command_line(*words, runs=folder.parent)
        console.print("      " * bool(number) + "next: " * (not number) + hint, highlight=False,
                      markup=False, soft_wrap=True)  # fmt: skip
