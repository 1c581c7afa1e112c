"""The one LightningModule: any image classifier, trained with cross-entropy.

Shapes: x_NCHW pixels 0..255 (uint8), y_N class indices (int64), logits_NK.
"""

from collections.abc import Callable, Iterable
from typing import TypedDict

import torch
import torch.nn.functional as F
from lightning.pytorch.utilities.types import OptimizerConfig, OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassConfusionMatrix

from trainlab.build.data import build_augmentation, needs_place
from trainlab.build.networks import build_initialized_model
from trainlab.build.optimizer import optimizer_factory, scheduler_factory, total_steps
from trainlab.build.seeding import seed_for
from trainlab.data import ImageData
from trainlab.data.alternating_flip import BatchPlace
from trainlab.data.augment import augment_generator
from trainlab.data.loader import BatchLoader
from trainlab.nn.losses import as_loss_dtype, smoothed_cross_entropy
from trainlab.nn.norm_layers import synchronize_batchnorm
from trainlab.nn.normalization import NormalizedNetwork
from trainlab.settings import Settings
from trainlab.training.cuda_graph import CAPTURE
from trainlab.training.device_rates import DeviceRates
from trainlab.training.lightning_internals import CheckpointDict, FastModule
from trainlab.training.step_meter import StepMeter, first_not_finite
from trainlab.training.view_averaging import averaged_logits

# Steps between two readings of the training loss; a reading waits for the device.
READ_EVERY_STEPS = 50
RECENT_LOSS = "train/loss_lately"
"""The mean loss since the last reading, for trackers; each step's own, `train/loss_step`: the record."""


class Divergence(TypedDict):
    """The step at which a loss was NaN or infinite, and which loss: "train/loss", "val/loss"."""

    step: int
    quantity: str


class Classifier(FastModule):
    """Trains `model`, which takes pixels and returns logits_NK; metrics are `train|val|test/loss|acc`.

    `total_steps` is what the schedule is built for; `adapt_checkpoint` turns another run's checkpoint into a
    start for this one. A loss that is NaN or infinite sets `diverged` and stops the run.
    """

    def __init__(
        self,
        model: NormalizedNetwork,
        num_classes: int,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        scheduler: Callable[[Optimizer, int], LRScheduler | None],
        total_steps: int,
        augment: Callable[..., Tensor] | None,
        seed: int,
        label_smoothing: float = 0.0,
        test_views: str = "one",
    ):
        super().__init__()
        self.model = model
        self.optimizer, self.scheduler, self.total_steps = optimizer, scheduler, total_steps
        self.augment, self.seed = augment, seed
        self._augments_by_place = augment is not None and needs_place(augment)
        self.label_smoothing, self.test_views = label_smoothing, test_views
        self.meter = StepMeter()
        self.diverged: Divergence | None = None
        self.validated_step: int | None = None
        self.adapt_checkpoint: Callable[[CheckpointDict], None] | None = None
        self.rates: DeviceRates | None = None
        self.confusion_KK: Tensor | None = None
        self.eval_loss = MeanMetric(nan_strategy="disable")  # a NaN is a result
        self.eval_confusion = MulticlassConfusionMatrix(num_classes, validate_args=False)
        self.views_correct = MeanMetric()

    @property
    def parameter_count(self) -> int:
        """Trainable and other parameters of the model."""
        return sum(p.numel() for p in self.model.parameters())

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Logits_NK of pixels."""
        return self.model(x_NCHW)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Mean cross-entropy (nats) of one batch."""
        x_NCHW, y_N = batch
        loss, logits_NK = self.loss_and_logits(self.augment_batch(x_NCHW), y_N)
        self.meter.add(loss.detach(), logits_NK.detach(), y_N)
        return loss

    def loss_and_logits(self, x_NCHW: Tensor, y_N: Tensor) -> tuple[Tensor, Tensor]:
        """Mean cross-entropy (nats) of a batch as it enters the network, and logits_NK.

        With smoothed labels the gradient is that of the smoothed loss.
        """
        logits_NK = self.model(x_NCHW)
        logits_NK = as_loss_dtype(logits_NK)
        return smoothed_cross_entropy(logits_NK, y_N, self.label_smoothing), logits_NK

    def augment_batch(self, x_NCHW: Tensor) -> Tensor:
        """The batch as the step that comes next sees it: the one that the loader gave last."""
        if self.augment is None:
            return x_NCHW
        # a function of the step, so that a resumed run augments as it would have
        generator = augment_generator(
            seed_for(self.seed, "augment"), self.global_step, self.trainer.global_rank
        )
        if not self._augments_by_place:
            return self.augment(x_NCHW, generator)
        loader = self.trainer.train_dataloader
        assert isinstance(loader, BatchLoader)
        place = BatchPlace(loader.latest_positions, loader.epoch, seed_for(self.seed, "augment"))
        return self.augment(x_NCHW, generator, place=place)

    def on_train_epoch_start(self) -> None:
        """Dropout draws from torch's own generator: each epoch starts it at a known place."""
        self.meter.reset()  # Lightning does not call this hook when it resumes in mid-epoch
        torch.manual_seed(seed_for(self.seed, "dropout", self.current_epoch, self.trainer.global_rank))

    def on_train_batch_end(self, outputs: object, batch: object, batch_idx: int) -> None:
        """Reads the losses every so often; a reading waits for the device."""
        if len(self.meter.pending) >= READ_EVERY_STEPS:
            self.log_losses_and_check_finite()

    def on_train_epoch_end(self) -> None:
        """The epoch's running loss and accuracy go to all loggers."""
        self.log_losses_and_check_finite()
        self.log_dict(self.meter.epoch(), sync_dist=True)

    def log_losses_and_check_finite(self) -> None:
        """Hands the losses of the last steps to the loggers; stops the run where one is not finite.

        Of several processes all must call it at the same step: they share their losses, so that each sees
        the loss of the global batch, and all stop where it is not finite in one of them.
        """
        losses = self.meter.read(self._sum_over_processes if self.trainer.world_size > 1 else None)
        if not losses:
            return
        first_step = self.global_step - len(losses)
        first_bad = first_not_finite(losses)
        if first_bad is not None:
            self._stop_diverged(first_step + first_bad, "train/loss")
        for logger in self.loggers:
            if hasattr(logger, "log_losses"):
                logger.log_losses(losses, first_step, self.current_epoch)
            else:
                logger.log_metrics({RECENT_LOSS: sum(losses) / len(losses)}, step=self.global_step - 1)

    def _sum_over_processes(self, sums: Tensor) -> Tensor:
        return self.trainer.strategy.reduce(sums, reduce_op="sum")

    def _stop_diverged(self, step: int, quantity: str) -> None:
        if self.diverged is None:
            self.diverged = {"step": step, "quantity": quantity}
        self.trainer.should_stop = True

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._evaluate(batch)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._evaluate(batch)
        x_NCHW, y_N = batch
        if self.test_views != "one" and len(y_N):
            logits_NK = averaged_logits(self.model, x_NCHW, self.test_views)
            self.views_correct.update((logits_NK.argmax(1) == y_N).float())

    def _evaluate(self, batch: tuple[Tensor, Tensor]) -> None:
        x_NCHW, y_N = batch
        if not len(y_N):  # the last global batch may leave nothing for this rank
            return
        logits_NK = self.model(x_NCHW)
        # one value an image: with nan_strategy="disable" torchmetrics forgets weights
        self.eval_loss.update(F.cross_entropy(as_loss_dtype(logits_NK), y_N, reduction="none"))
        self.eval_confusion.update(logits_NK, y_N)

    def on_validation_epoch_end(self) -> None:
        """`val/loss`, `val/acc`."""
        self.log_losses_and_check_finite()  # a step's loss says sooner, and where it was
        metrics, _ = self._finish_evaluation("val")
        self.validated_step = self.global_step
        if not torch.isfinite(metrics["val/loss"]):
            self._stop_diverged(self.global_step, "val/loss")
        self.log_dict(metrics, sync_dist=True)  # the same on all processes already

    def on_test_epoch_end(self) -> None:
        """`test/loss`, `test/acc`; the confusion matrix stays in `confusion_KK` (row: true class).

        Where views are averaged, `test/acc_tta` is the accuracy by their logits: of no other number part.
        """
        metrics, self.confusion_KK = self._finish_evaluation("test")
        if self.test_views != "one":
            metrics["test/acc_tta"] = self.views_correct.compute()
            self.views_correct.reset()
        self.log_dict(metrics, sync_dist=True)  # the same on all processes already

    def _finish_evaluation(self, split: str) -> tuple[dict[str, Tensor], Tensor]:
        confusion_KK = self.eval_confusion.compute()  # over all processes
        accuracy = confusion_KK.diagonal().sum() / confusion_KK.sum()
        metrics = {f"{split}/loss": self.eval_loss.compute(), f"{split}/acc": accuracy}
        self.eval_loss.reset()
        self.eval_confusion.reset()
        return metrics, confusion_KK.cpu()

    def configure_optimizers(self) -> OptimizerConfig | OptimizerLRSchedulerConfig:
        """The optimizer, and a schedule that advances each step."""
        optimizer, scheduler = self.build_optimizer_and_scheduler()
        if self.device.type in CAPTURE and DeviceRates.suit(optimizer):
            self.rates = DeviceRates(optimizer)
        if scheduler is None:
            return {"optimizer": optimizer}
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def build_optimizer_and_scheduler(self) -> tuple[Optimizer, LRScheduler | None]:
        """A new optimizer over all trainable parameters, and its schedule for the whole run."""
        optimizer = self.optimizer(p for p in self.parameters() if p.requires_grad)
        # not Lightning's estimate: it would set the loaders up before a checkpoint's place in them is known
        return optimizer, self.scheduler(optimizer, self.total_steps)

    def on_save_checkpoint(self, checkpoint: CheckpointDict) -> None:
        """What a resumed run needs to go on bit for bit: the epoch's sums and dropout's generator."""
        self.log_losses_and_check_finite()
        checkpoint["meter"] = self.meter.state_dict()
        checkpoint["random_state"] = torch.get_rng_state()
        if self.device.type == "cuda":  # dropout draws from the generator of its device
            checkpoint["device_random_state"] = torch.cuda.get_rng_state(self.device)

    def on_load_checkpoint(self, checkpoint: CheckpointDict) -> None:
        """See `on_save_checkpoint`."""
        if self.adapt_checkpoint is not None:
            self.adapt_checkpoint(checkpoint)
        self.meter.load_state_dict(checkpoint["meter"])
        self._resumed_random_state = checkpoint["random_state"], checkpoint.get("device_random_state")

    def on_train_start(self) -> None:
        """Lightning draws random numbers between loading a checkpoint and the first step."""
        state, of_device = self.__dict__.pop("_resumed_random_state", (None, None))
        if state is not None:
            torch.set_rng_state(state.cpu())
        if of_device is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(of_device.cpu(), self.device)


def build_classifier(settings: Settings, images: ImageData) -> Classifier:
    """The LightningModule around an initialized model, with optimizer, schedule and augmentation."""
    model = build_initialized_model(settings, images)
    if settings.trainer.devices > 1:
        synchronize_batchnorm(model)  # on GPUs, Lightning puts torch's own in their place
    return Classifier(
        model,
        images.num_classes,
        optimizer=optimizer_factory(settings),
        scheduler=scheduler_factory(settings),
        total_steps=total_steps(settings, images),
        augment=build_augmentation(settings),
        seed=settings.seed,
        label_smoothing=settings.trainer.label_smoothing,
        test_views=settings.trainer.test_views,
    )
