"""One run, start to end: the story on one screen."""

import logging
import math
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.loggers import Logger
from rich.console import Console

from trainlab.build.data import build_datamodule, load_data
from trainlab.data import ImageData
from trainlab.data.datamodule import ImageDataModule
from trainlab.instantiate import instantiate
from trainlab.instantiate.parts import LOGGER
from trainlab.runs import Result, RunFolder
from trainlab.settings import RunSettings, TrainerSettings
from trainlab.terminal import markup_text
from trainlab.training import preconditions, resume
from trainlab.training.checkpoint import DescribeModel, checkpoint_callbacks
from trainlab.training.classifier import Classifier, build_classifier
from trainlab.training.environment import use_tf32
from trainlab.training.interruption import Interruption
from trainlab.training.lightning_internals import NullProfiler, is_rank_zero
from trainlab.training.progress import EpochProgress
from trainlab.training.pruning import EarlyPruning, Pruning
from trainlab.training.result_writer import ResultWriter
from trainlab.training.signal_callback import SignalCallback
from trainlab.training.stretches import Stretches
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
    images = _load_checked_data(settings, is_checked=is_checked)
    pruning = Pruning.requested_by(settings)
    folder = RunFolder(Path(settings.paths.runs) / settings.run_id)
    interruption = Interruption(_last_checkpoint_path(settings, folder))
    warn = log.warning if console is None else partial(_print_warning, console)
    with (
        use_threads(settings.trainer),
        use_tf32(settings.trainer),
        interruption.handling_signals(),
        folder.lock() if is_rank_zero() else nullcontext(),
    ):
        start = resume.find_starting_point(settings, folder)
        if is_rank_zero():
            folder.write_settings(settings)
            folder.begin(resumed_step=start.last_step)
        with ResultWriter(folder, settings, pruning, interruption, warn) as result_writer:
            result_writer.data_notes = images.notes
            _print_data_notes(images, console)
            pruning.check_forecast(settings)
            classifier = _build_classifier_to_start(settings, images, start, result_writer)
            datamodule = build_datamodule(settings, images)
            _print_thread_hint(settings, classifier, images, console)
            throughput, record_logger = Throughput(settings.data.batch_size), RecordLogger(folder)
            result_writer.attach(classifier, throughput, record_logger, images)
            trackers = _open_tracker(settings, folder, start, result_writer)
            stretches = result_writer.stretches = Stretches(settings, interruption)
            step_callbacks = [throughput, result_writer.elapsed, interruption, stretches]
            callbacks = _build_callbacks(settings, folder, images, pruning, step_callbacks)
            callbacks += _progress_callbacks(settings, throughput, classifier.total_steps, console)
            trainer = _build_trainer(settings, folder, callbacks, [record_logger, *trackers])
            # not the classifier's own: Lightning takes it back to the CPU when it is done
            result_writer.device = trainer.strategy.root_device
            stretches.attach(trainer)
            with interruption.deferred_to_step_end():
                trainer.fit(classifier, datamodule, ckpt_path=start.checkpoint, weights_only=True)
                _evaluate_final_weights(trainer, classifier, datamodule)
            return result_writer.finish(trainer.global_step, int(trainer.num_training_batches))


def _load_checked_data(settings: RunSettings, *, is_checked: bool) -> ImageData:
    """The run's images, once all has been checked that can be checked without its folder."""
    if not is_checked:
        preconditions.check_settings(settings)
    preconditions.check_hardware(settings.trainer)
    images = load_data(settings)
    preconditions.check_data(settings, images)
    resume.check_resume(settings, images.in_shape_CHW)
    return images


def _build_classifier_to_start(
    settings: RunSettings, images: ImageData, start: resume.StartingPoint, result_writer: ResultWriter
) -> Classifier:
    """The classifier, which will adapt the checkpoint that it loads where that is another run's."""
    classifier = build_classifier(settings, images)
    if start.is_from_other_run:
        classifier.adapt_checkpoint = partial(
            resume.adapt_checkpoint, classifier=classifier, warn=result_writer.warn
        )
    return classifier


def _open_tracker(
    settings: RunSettings, folder: RunFolder, start: resume.StartingPoint, result_writer: ResultWriter
) -> list[Logger]:
    """The run's tracker, which the result writer closes; empty where there is none."""
    context = run_context(settings, folder.path, start.last_step is not None, result_writer.warn)
    tracker = open_tracker(instantiate(settings.logger, LOGGER), context)
    if tracker is None:
        return []
    result_writer.attach_tracker(tracker)
    return [tracker]


def _build_callbacks(
    settings: RunSettings,
    folder: RunFolder,
    images: ImageData,
    pruning: Pruning,
    step_callbacks: Sequence[Callback],
) -> list[Callback]:
    """All callbacks but the display, in the order in which Lightning calls them."""
    return [
        # signals stand first: an interruption raises at a step's end
        *_signal_callbacks(settings, folder, pruning),
        *step_callbacks,
        DescribeModel(settings, images),
        *checkpoint_callbacks(settings, folder),
        *_early_stopping(settings),
    ]


def _print_data_notes(images: ImageData, console: Console | None) -> None:
    if console is not None:
        for note in images.notes:
            console.print(f"data: {note}", markup=False, highlight=False, soft_wrap=True)


def _print_thread_hint(
    settings: RunSettings, classifier: Classifier, images: ImageData, console: Console | None
) -> None:
    if console is not None and (thread_hint := suggest_threads(settings, classifier, images)):
        console.print(f"hint: {thread_hint}", highlight=False, soft_wrap=True)


def _last_checkpoint_path(settings: RunSettings, folder: RunFolder) -> Path | None:
    """Where an interrupted run leaves its state; None when the user wants no checkpoint."""
    return None if settings.checkpoint == "none" else folder.checkpoints / "last.ckpt"


def _print_warning(console: Console, warning: str) -> None:
    console.print(markup_text("[yellow]warning[/yellow]: {}", warning), soft_wrap=True)


def _evaluate_final_weights(trainer: L.Trainer, classifier: Classifier, datamodule: ImageDataModule) -> None:
    """Test metrics of the final weights, and validation metrics where the run ended between two validations.

    Nothing is chosen by them: the best checkpoint, where it was asked for, is a file beside.
    """
    if classifier.diverged:
        return
    if classifier.validated_step != trainer.global_step:
        trainer.validate(classifier, datamodule, verbose=False)
    if classifier.diverged:
        return
    trainer.test(classifier, datamodule, verbose=False)


def _build_trainer(
    settings: RunSettings, folder: RunFolder, callbacks: list[Callback], loggers: list[Logger]
) -> L.Trainer:
    trainer_settings = settings.trainer
    return L.Trainer(
        accelerator=trainer_settings.accelerator,
        devices=trainer_settings.devices,
        strategy=trainer_settings.strategy,
        precision=trainer_settings.precision,
        max_epochs=trainer_settings.max_epochs or -1,
        max_steps=trainer_settings.max_steps or -1,
        gradient_clip_val=trainer_settings.gradient_clip,
        check_val_every_n_epoch=trainer_settings.val_every_epochs,
        profiler=trainer_settings.profiler or NullProfiler(),
        # torch's own, which is for GPUs only; on the CPU nn/norm_layers.py does it
        sync_batchnorm=trainer_settings.devices > 1 and _on_gpu(trainer_settings),
        # the loaders cut each global batch into one part a process themselves
        use_distributed_sampler=False,
        # the deterministic kernel where there is one; on one CPU thread there is one order anyway, and asking
        # for it costs LeNet-5 a thirtieth of its speed
        deterministic="warn" if _on_gpu(trainer_settings) or torch.get_num_threads() > 1 else False,
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


def _on_gpu(trainer_settings: TrainerSettings) -> bool:
    return trainer_settings.accelerator in ("auto", "gpu") and torch.cuda.is_available()


def _signal_callbacks(settings: RunSettings, folder: RunFolder, pruning: Pruning) -> list[Callback]:
    measured: list[Callback] = [SignalCallback(folder, settings.signals)] if settings.signals else []
    if pruning.by == "early" and settings.trainer.devices == 1:  # one of several cannot stop alone
        measured.append(EarlyPruning(folder, settings.signals, pruning))
    return measured


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
