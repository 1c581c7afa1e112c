"""One run, start to end: the story on one screen."""

import logging
import math
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.loggers import Logger
from rich.console import Console

from trainlab.build.data import build_datamodule, load_data
from trainlab.data.datamodule import ImageDataModule
from trainlab.instantiate import instantiate
from trainlab.instantiate.parts import LOGGER
from trainlab.runs import Result, RunFolder
from trainlab.settings import RunSettings, TrainerSettings
from trainlab.terminal import markup_text
from trainlab.training import preconditions, resume
from trainlab.training.checkpoint import DescribeModel
from trainlab.training.classifier import Classifier, build_classifier
from trainlab.training.interruption import Interruption
from trainlab.training.lightning_internals import Checkpoint, NullProfiler, is_rank_zero
from trainlab.training.progress import EpochProgress
from trainlab.training.pruning import EarlyPruning, Pruning
from trainlab.training.result_writer import ResultWriter
from trainlab.training.signal_callback import SignalCallback
from trainlab.training.threads import suggest_threads, use_threads
from trainlab.training.timing import Throughput
from trainlab.training.tracking import RecordLogger, open_tracker, run_context

log = logging.getLogger(__name__)


def train(settings: RunSettings, console: Console | None = None, *, is_checked: bool = False) -> Result:
    """Trains, validates and tests one run of frozen, identified settings; its folder holds all that it was.

    With a `console` it shows what it does. A loss that turns NaN or infinite is a result (`diverged`).
    `is_checked`: `check_settings` has accepted these settings already, on this machine.

    Raises:
        RequestError: the settings cannot be built, or the data are missing or others; nothing is recorded.
        Interrupted: a signal asked it to stop; recorded as `interrupted`, with a checkpoint to go on from.
        Pruned: a sweep asked whether it is worth its cost, and it is not; recorded as `pruned`.
        Exception: whatever the run raised; recorded as `failed` before it is raised again.
    """
    if not is_checked:
        preconditions.check_settings(settings)
    preconditions.check_hardware(settings.trainer)
    images = load_data(settings)
    preconditions.check_data(settings, images)
    resume.check_resume(settings, images.in_shape_CHW)
    pruning = Pruning.requested_by(settings)
    folder = RunFolder(Path(settings.paths.runs) / settings.run_id)
    interruption = Interruption(_last_checkpoint_path(settings, folder))
    with (
        use_threads(settings.trainer),
        interruption.handling_signals(),
        folder.lock() if is_rank_zero() else nullcontext(),
    ):
        start = resume.find_starting_point(settings, folder)
        if is_rank_zero():
            folder.write_settings(settings)
            folder.begin(resumed_step=start.last_step)
        say = log.warning if console is None else partial(_print_warning, console)
        with ResultWriter(folder, settings, pruning, interruption, say) as recorder:
            recorder.data_notes = images.notes
            if console is not None:
                for note in images.notes:
                    console.print(f"data: {note}", markup=False, highlight=False, soft_wrap=True)
            pruning.check_forecast(settings)
            classifier = build_classifier(settings, images)
            if start.is_foreign:
                classifier.adapt_checkpoint = partial(
                    resume.adopt_checkpoint, classifier=classifier, warn=recorder.warn
                )
            loaders = build_datamodule(settings, images)
            if console is not None and (advised := suggest_threads(settings, classifier, images)):
                console.print(f"hint: {advised}", highlight=False, soft_wrap=True)
            throughput = Throughput(settings.data.batch_size)
            record = RecordLogger(folder)
            recorder.watch(classifier, throughput, record, images)
            of_run = run_context(settings, folder.path, start.last_step is not None, recorder.warn)
            mirror = recorder.mirror(open_tracker(instantiate(settings.logger, LOGGER), of_run))
            # signals stand first: an interruption raises at a step's end
            callbacks = _signal_callbacks(settings, folder, pruning)
            callbacks += [throughput, recorder.elapsed, interruption, DescribeModel(settings, images)]
            callbacks += _checkpoint_callbacks(settings, folder) + _early_stopping(settings)
            callbacks += _progress_callbacks(settings, throughput, classifier.total_steps, console)
            trainer = _build_trainer(settings, folder, callbacks, [record, *([mirror] if mirror else [])])
            with interruption.deferred_to_step_end():
                trainer.fit(classifier, loaders, ckpt_path=start.checkpoint, weights_only=True)
                _evaluate_final_weights(trainer, classifier, loaders)
            return recorder.finish(trainer)


def _last_checkpoint_path(settings: RunSettings, folder: RunFolder) -> Path | None:
    """Where an interrupted run leaves its state; None when the user wants no checkpoint."""
    return None if settings.checkpoint == "none" else folder.checkpoints / "last.ckpt"


def _print_warning(console: Console, warning: str) -> None:
    console.print(markup_text("[yellow]warning[/yellow]: {}", warning), soft_wrap=True)


def _evaluate_final_weights(trainer: L.Trainer, classifier: Classifier, loaders: ImageDataModule) -> None:
    """Test metrics of the final weights, and validation metrics where the run ended between two validations.

    Nothing is chosen by them: the best checkpoint, where it was asked for, is a file beside.
    """
    if classifier.diverged:
        return
    if classifier.validated_step != trainer.global_step:
        trainer.validate(classifier, loaders, verbose=False)
    trainer.test(classifier, loaders, verbose=False)


def _build_trainer(
    settings: RunSettings, folder: RunFolder, callbacks: list[Callback], loggers: list[Logger]
) -> L.Trainer:
    hardware = settings.trainer
    return L.Trainer(
        accelerator=hardware.accelerator,
        devices=hardware.devices,
        strategy=hardware.strategy,
        precision=hardware.precision,
        max_epochs=hardware.max_epochs or -1,
        max_steps=hardware.max_steps or -1,
        gradient_clip_val=hardware.gradient_clip,
        check_val_every_n_epoch=hardware.val_every_epochs,
        profiler=hardware.profiler or NullProfiler(),
        # torch's own, which is for GPUs only; on the CPU nn/norm_layers.py does it
        sync_batchnorm=hardware.devices > 1 and _on_gpu(hardware),
        # the loaders cut each global batch into one part a process themselves
        use_distributed_sampler=False,
        # the deterministic kernel where there is one; on one CPU thread there is one order anyway, and asking
        # for it costs LeNet-5 a thirtieth of its speed
        deterministic="warn" if _on_gpu(hardware) or torch.get_num_threads() > 1 else False,
        callbacks=callbacks,
        logger=loggers,
        default_root_dir=folder.path,
        enable_checkpointing=settings.checkpoint != "none",
        enable_progress_bar=False,  # see progress.py: Lightning's own would write over our lines
        enable_model_summary=False,
        num_sanity_val_steps=0,
        # losses are handed to the loggers by the classifier, some fifty steps at once
        log_every_n_steps=1_000_000_000,
    )


def _on_gpu(hardware: TrainerSettings) -> bool:
    return hardware.accelerator in ("auto", "gpu") and torch.cuda.is_available()


def _signal_callbacks(settings: RunSettings, folder: RunFolder, pruning: Pruning) -> list[Callback]:
    measured: list[Callback] = [SignalCallback(folder, settings.signals)] if settings.signals else []
    if pruning.by == "early" and settings.trainer.devices == 1:  # one of several cannot stop alone
        measured.append(EarlyPruning(folder, settings.signals, pruning))
    return measured


def _checkpoint_callbacks(settings: RunSettings, folder: RunFolder) -> list[Callback]:
    """`last.ckpt` is kept while the run goes, to go on from; `best.ckpt` where it was asked for."""
    wanted = settings.checkpoint
    every_epoch = partial(
        Checkpoint, dirpath=folder.checkpoints, enable_version_counter=False, save_on_train_epoch_end=True
    )
    callbacks: list[Callback] = []
    if wanted != "none":
        callbacks.append(every_epoch(filename="last", save_top_k=1, monitor=None))
    if wanted in ("best", "both"):
        callbacks.append(every_epoch(filename="best", monitor="val/acc", mode="max"))
    return callbacks


def _early_stopping(settings: RunSettings) -> list[Callback]:
    if settings.early_stop is None:
        return []
    # in epochs; Lightning counts looks at the validation split, of which there may be one in several epochs
    patience = math.ceil(settings.early_stop / settings.trainer.val_every_epochs)
    # a loss that is not finite is the classifier's to judge
    return [EarlyStopping("val/loss", patience=patience, mode="min", check_finite=False)]


def _progress_callbacks(
    settings: RunSettings, throughput: Throughput, total_steps: int, console: Console | None
) -> list[Callback]:
    if console is None:
        return []
    return [EpochProgress(console, throughput, total_steps, bar=settings.trainer.progress_bar)]
