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

# Weight of the past in the smoothed loss; fastai's choice
SMOOTHING = 0.9
# The test ends once the smoothed loss is this many times its best: from there on it only explodes
EXPLOSION_FACTOR = 4.0


@dataclass(frozen=True)
class LrRangeResult:
    """Rates, the smoothed loss (nats) at each, and the rate of its fastest fall (None if it never falls)."""

    rates: list[float]
    losses: list[float]
    suggestion: float | None


class _LossCollector(Logger):
    """Takes the losses of the steps, for nothing but this test."""

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
    """Trains `steps` steps while the rate grows geometrically from `smallest` to `largest`.

    Raises:
        RequestError: the settings cannot be built, or the data are missing.
    """
    if settings.trainer.threads:
        torch.set_num_threads(settings.trainer.threads)
    validate_build(settings)
    images = load_data(settings)
    classifier = build_classifier(settings, images)
    rates = [smallest * (largest / smallest) ** (i / (steps - 1)) for i in range(steps)]

    def growing(optimizer: Optimizer, total_steps: int) -> LambdaLR:
        base = settings.optimizer.lr
        return LambdaLR(optimizer, lambda step: rates[min(step, steps - 1)] / base)

    classifier.scheduler = growing
    taken = _LossCollector()
    trainer = L.Trainer(
        accelerator=settings.trainer.accelerator,
        devices=1,
        precision=settings.trainer.precision,
        gradient_clip_val=settings.trainer.gradient_clip,
        max_steps=steps,
        max_epochs=-1,
        limit_val_batches=0,
        logger=[taken],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(classifier, build_datamodule(settings, images))
    return analyze_losses(rates, taken.losses)


def analyze_losses(rates: list[float], losses: list[float]) -> LrRangeResult:
    """Smooths the losses (exponential average, bias removed), cuts off the explosion, finds the rate."""
    smooth: list[float] = []
    average = 0.0
    for i, loss in enumerate(losses):
        average = SMOOTHING * average + (1 - SMOOTHING) * loss
        value = average / (1 - SMOOTHING ** (i + 1))
        if not math.isfinite(value) or (smooth and value > EXPLOSION_FACTOR * min(smooth)):
            break
        smooth.append(value)
    return LrRangeResult(rates[: len(smooth)], smooth, _steepest_rate(rates, smooth))


def _steepest_rate(rates: list[float], smooth: list[float]) -> float | None:
    """The rate at the most negative slope of loss against log rate, before the lowest loss.

    The slope is taken over a fifth of the test: from one step to the next it is mostly the batch's noise.
    """
    reach = max(1, len(rates) // 10)
    lowest = min(range(len(smooth)), key=smooth.__getitem__, default=0)
    slopes = {
        i: (smooth[i + reach] - smooth[i - reach]) / math.log(rates[i + reach] / rates[i - reach])
        for i in range(reach, min(lowest + 1, len(smooth) - reach))
    }
    if not slopes:
        return None
    steepest = min(slopes, key=slopes.__getitem__)
    return rates[steepest] if slopes[steepest] < 0 else None
