"""Loss against learning rate in one short run (Smith 2017, arXiv:1506.01186, section 3.3)."""

import math
from dataclasses import dataclass

import lightning as L
import torch
from lightning.pytorch.loggers import Logger
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from trainlab.build.data import build_datamodule, load_data
from trainlab.build.dry_run import validate_build
from trainlab.settings import Settings
from trainlab.training.classifier import build_classifier

# Decay rate of the exponential average that smooths the loss; the same as in fastai
SMOOTHING = 0.9
# The test ends where the smoothed loss is this many times its minimum: from there on it only grows
EXPLOSION_FACTOR = 4.0


@dataclass(frozen=True)
class LrRangeResult:
    """Rates, the smoothed loss (nats) at each, and the rate where it falls fastest (None: it never falls)."""

    rates: list[float]
    losses: list[float]
    suggestion: float | None


class _LossCollector(Logger):
    """A logger that keeps the loss of each step in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.losses: list[float] = []

    @property
    def name(self) -> str:
        return "lr-range"

    @property
    def version(self) -> str:
        return ""

    def log_hyperparams(self, params: object, *args: object, **kwargs: object) -> None: ...

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None: ...

    def log_losses(self, losses: list[float], first_step: int, epoch: int) -> None:
        self.losses.extend(losses)


def lr_range(settings: Settings, steps: int, smallest: float, largest: float) -> LrRangeResult:
    """Trains for `steps` steps while the learning rate grows geometrically from `smallest` to `largest`.

    Raises:
        RequestError: the settings cannot be built, or the data are missing.
    """
    if settings.trainer.threads:
        torch.set_num_threads(settings.trainer.threads)
    validate_build(settings)
    images = load_data(settings)
    classifier = build_classifier(settings, images)
    rates = [smallest * (largest / smallest) ** (i / (steps - 1)) for i in range(steps)]

    def growing_rate(optimizer: Optimizer, total_steps: int) -> LambdaLR:
        base = settings.optimizer.lr
        return LambdaLR(optimizer, lambda step: rates[min(step, steps - 1)] / base)

    classifier.scheduler = growing_rate
    collector = _LossCollector()
    trainer = L.Trainer(
        accelerator=settings.trainer.accelerator,
        devices=1,
        precision=settings.trainer.precision,
        gradient_clip_val=settings.trainer.gradient_clip,
        max_steps=steps,
        max_epochs=-1,
        limit_val_batches=0,
        logger=[collector],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(classifier, build_datamodule(settings, images))
    return analyze_losses(rates, collector.losses)


def analyze_losses(rates: list[float], losses: list[float]) -> LrRangeResult:
    """Smooths the losses (bias-corrected exponential average), cuts off the divergence, suggests a rate."""
    smoothed: list[float] = []
    average = 0.0
    for i, loss in enumerate(losses):
        average = SMOOTHING * average + (1 - SMOOTHING) * loss
        value = average / (1 - SMOOTHING ** (i + 1))
        if not math.isfinite(value) or (smoothed and value > EXPLOSION_FACTOR * min(smoothed)):
            break
        smoothed.append(value)
    return LrRangeResult(rates[: len(smoothed)], smoothed, _steepest_rate(rates, smoothed))


def _steepest_rate(rates: list[float], smoothed: list[float]) -> float | None:
    """The rate at the most negative slope of loss against log rate, before the lowest loss.

    The slope is taken over a fifth of the test: between neighbouring steps it is mostly the noise of batches.
    """
    reach = max(1, len(rates) // 10)
    lowest = min(range(len(smoothed)), key=smoothed.__getitem__, default=0)
    slopes = {
        i: (smoothed[i + reach] - smoothed[i - reach]) / math.log(rates[i + reach] / rates[i - reach])
        for i in range(reach, min(lowest + 1, len(smoothed) - reach))
    }
    if not slopes:
        return None
    steepest = min(slopes, key=slopes.__getitem__)
    return rates[steepest] if slopes[steepest] < 0 else None
