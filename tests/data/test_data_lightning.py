"""Under Lightning's own Trainer: epochs differ, every image of an evaluation comes once, resume is exact."""

import logging
import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from trainlab.data import ImageData, Split

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from lightning import LightningModule, Trainer
    from lightning.pytorch.callbacks import ModelCheckpoint

    from trainlab.data import datamodule
    from trainlab.data.datamodule import ImageDataModule

pytestmark = pytest.mark.filterwarnings("ignore")
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


class Recorder(LightningModule):
    """Writes down which images came in each step."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen, self.validated = [], []

    def training_step(self, batch, step):
        self.seen.append((self.current_epoch, step, batch[1].tolist()))
        return self.weight.sum()

    def validation_step(self, batch, step):
        self.validated.append(batch[1].tolist())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.fixture
def images():
    rows = np.arange(40)
    x_NHWC = np.zeros((40, 2, 2, 1), dtype=np.uint8)
    train, val = Split(x_NHWC, rows, rows[:23]), Split(x_NHWC, rows, rows[23:])
    return ImageData(train, val, val, (0.0,), (1.0,), ("a", "b"), "0" * 16, "none")


def trainer(folder, **options):
    settings: dict[str, Any] = {"enable_checkpointing": False, "num_sanity_val_steps": 0, **options}
    return Trainer(
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        **settings,
    )


def test_epochs_differ_and_validation_is_whole(images, tmp_path):
    model = Recorder()
    trainer(tmp_path, max_epochs=3).fit(model, ImageDataModule(images, 5, seed=3))
    assert [(epoch, step) for epoch, step, _ in model.seen] == [(e, s) for e in range(3) for s in range(4)]
    epochs = [[row for epoch, _, rows in model.seen if epoch == e for row in rows] for e in range(3)]
    assert epochs[0] != epochs[1] != epochs[2]
    assert all(len(set(rows)) == 20 for rows in epochs)
    assert model.validated == 3 * [list(range(23, 28)), list(range(28, 33)), list(range(33, 38)), [38, 39]]


def test_a_batch_larger_than_the_split_is_the_whole_split(images, tmp_path):
    model = Recorder()
    trainer(tmp_path, max_epochs=2).fit(model, ImageDataModule(images, 64))
    assert [sorted(rows) for _, _, rows in model.seen] == [list(range(23))] * 2


@pytest.mark.parametrize("steps", [1, 3, 4, 6, 8])
def test_resume_sees_what_an_unbroken_run_sees(steps, images, tmp_path):
    unbroken = Recorder()
    trainer(tmp_path, max_epochs=3).fit(unbroken, ImageDataModule(images, 5, seed=1))

    broken = Recorder()
    saver = ModelCheckpoint(tmp_path, filename="at", every_n_train_steps=steps)
    first = trainer(tmp_path, max_steps=steps, enable_checkpointing=True, callbacks=[saver])
    first.fit(broken, ImageDataModule(images, 5, seed=1))
    resumed = Recorder()
    trainer(tmp_path, max_epochs=3).fit(
        resumed, ImageDataModule(images, 5, seed=1), ckpt_path=tmp_path / "at.ckpt", weights_only=True
    )
    assert broken.seen + resumed.seen == unbroken.seen


def on_rank(images, device, rank=0, world_size=1):
    loaders = ImageDataModule(images, 4)
    strategy = SimpleNamespace(root_device=torch.device(device))
    loaders.trainer = SimpleNamespace(global_rank=rank, world_size=world_size, strategy=strategy)  # pyrefly: ignore
    return loaders


def test_each_rank_loads_its_own_share(images):
    shares = [
        [row for _, y_N in on_rank(images, "cpu", r, 2).val_dataloader() for row in y_N.tolist()]
        for r in (0, 1)
    ]
    assert shares == [list(range(23, 40, 2)), list(range(24, 40, 2))]


@pytest.mark.parametrize(
    ("device", "budget", "resident", "pinned"),
    [("cuda:0", 10**9, True, False), ("cuda:0", 50, False, True), ("cpu", 10**9, False, False)],
)
def test_what_fits_lies_on_the_gpu_and_the_rest_is_pinned(
    device, budget, resident, pinned, images, monkeypatch
):
    asked = []
    monkeypatch.setattr(datamodule, "BatchLoader", lambda *args, **options: asked.append(options))
    monkeypatch.setattr(datamodule, "ON_DEVICE_BYTES", budget)
    on_rank(images, device).train_dataloader()
    assert asked[0]["device"] == (torch.device(device) if resident else None)
    assert asked[0]["pin_memory"] is pinned
