"""What people write today: torchvision's MNIST, ToTensor and Normalize, DataLoader, Lightning's defaults."""

import time
from collections.abc import Callable
from pathlib import Path

import lightning as L
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset
from torchmetrics.classification import MulticlassAccuracy
from torchvision import transforms
from torchvision.datasets import MNIST

from benchmarks.hand_loop import BATCH_SIZE, initialize, lenet5

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}
INITS = {
    "kaiming": lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu"),
    "glorot": nn.init.xavier_uniform_,
}


class Usual(L.LightningModule):
    """LeNet-5, cross-entropy, accuracy, Adam."""

    def __init__(self, activation: str = "relu", init: str = "kaiming"):
        super().__init__()
        self.network = lenet5(ACTIVATIONS[activation])
        initialize(self.network, INITS[init])
        self.train_accuracy = MulticlassAccuracy(10, average="micro")
        self.test_accuracy = MulticlassAccuracy(10, average="micro")

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """One batch."""
        x, y = batch
        logits = self.network(x)
        loss = F.cross_entropy(logits, y)
        self.train_accuracy(logits, y)
        self.log("train/loss", loss, prog_bar=True)
        self.log("train/acc", self.train_accuracy, on_step=False, on_epoch=True)
        return loss

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """One batch."""
        x, y = batch
        self.test_accuracy(self.network(x), y)
        self.log("test/acc", self.test_accuracy)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam with torch's defaults."""
        return torch.optim.Adam(self.parameters(), lr=1e-3)


class _Clock(L.Callback):
    """Seconds of training steps, as the platform counts them."""

    seconds = 0.0

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._since = time.perf_counter()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.seconds += time.perf_counter() - self._since


class Pipeline:
    """Trains on the first `samples` images for one epoch, and tests where asked."""

    def __init__(self, data: str, folder: str, samples: int, test_samples: int = 0):
        mean, std = (0.1307,), (0.3081,)  # as everybody copies them
        as_tensor = transforms.Compose([transforms.ToTensor(), transforms.Normalize(mean, std)])
        train = Subset(MNIST(data, train=True, transform=as_tensor), range(samples))
        test = Subset(MNIST(data, train=False, transform=as_tensor), range(test_samples))
        self._train = DataLoader(train, BATCH_SIZE, shuffle=True, drop_last=True, num_workers=0)
        self._test = DataLoader(test, BATCH_SIZE, num_workers=0) if test_samples else None
        self._folder = folder

    def run(self, seed: int, **network: str) -> tuple[float, float | None]:
        """(training samples per second, test accuracy)."""
        L.seed_everything(seed, verbose=False)
        clock, model = _Clock(), Usual(**network)
        trainer = L.Trainer(
            max_epochs=1, accelerator="cpu", callbacks=[clock], default_root_dir=Path(self._folder)
        )
        trainer.fit(model, self._train)
        accuracy = None
        if self._test is not None:
            accuracy = float(trainer.test(model, self._test, verbose=False)[0]["test/acc"])
        return trainer.global_step * BATCH_SIZE / clock.seconds, accuracy


def trainer(data: str, folder: str, samples: int) -> Callable[[], float]:
    """An epoch a round; returns training samples per second."""
    pipeline = Pipeline(data, folder, samples)
    return lambda: pipeline.run(seed=0)[0]
