"""What people write today: a Dataset that opens an image and transforms it, a DataLoader, Lightning."""

import logging
import time
from collections.abc import Callable
from pathlib import Path

import lightning as L
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.gpu.step_time import BATCH_SIZE
from benchmarks.hand_loop import initialize
from trainlab.data import ImageData

WORKERS = 4


class OneByOne(Dataset):
    """As torchvision's MNIST and CIFAR10: pixels in memory, a PIL image and its transforms at each access."""

    def __init__(self, images: ImageData, count: int):
        chosen = images.train.index[:count]
        self._pixels = np.ascontiguousarray(images.train.x_NHWC[chosen])
        self._labels = images.train.y_N[chosen].tolist()
        mean, std = tuple(images.mean_C), tuple(images.std_C)
        self._transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(mean, std)])

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        pixels = self._pixels[index]
        image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        return self._transform(image), self._labels[index]


class Usual(L.LightningModule):
    """Cross-entropy, Adam, loss logged at each step."""

    def __init__(self, network: Callable[[], nn.Module]):
        super().__init__()
        self.network = network()
        initialize(self.network)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """One batch."""
        x_NCHW, y_N = batch
        logits_NK = self.network(x_NCHW)
        loss = F.cross_entropy(logits_NK, y_N)
        self.log("train/loss", loss, prog_bar=True)
        self.log("train/acc", (logits_NK.argmax(1) == y_N).float().mean(), on_step=False, on_epoch=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam with torch's defaults."""
        return torch.optim.Adam(self.parameters(), lr=1e-3)


class _Clock(L.Callback):
    """Seconds of each epoch."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._since = time.perf_counter()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds.append(time.perf_counter() - self._since)


def samples_per_second(
    network: Callable[[], nn.Module], images: ImageData, count: int, accelerator: str, folder: Path
) -> float:
    """Of the second epoch of `count` images: the first has the start of workers and device in it."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    data = OneByOne(images, count)
    loader = DataLoader(
        data, BATCH_SIZE, shuffle=True, drop_last=True, num_workers=WORKERS, persistent_workers=True,
        pin_memory=accelerator == "gpu",
    )  # fmt: skip
    clock = _Clock()
    trainer = L.Trainer(
        max_epochs=2, accelerator=accelerator, devices=1, callbacks=[clock], default_root_dir=folder,
        logger=False, enable_checkpointing=False, enable_model_summary=False, enable_progress_bar=False,
    )  # fmt: skip
    trainer.fit(Usual(network), loader)
    return len(loader) * BATCH_SIZE / clock.seconds[-1]
