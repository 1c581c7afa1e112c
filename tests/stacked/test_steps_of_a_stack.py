"""All but the loop: data, augmentation, model, rates, clipping, optimizer of a stack against each run.

And that none of it waits for a GPU or mixes devices, on devices that are made up.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from trainlab.build.data import build_augmentation, build_datamodule, load_data
from trainlab.build.networks import build_initialized_model
from trainlab.build.optimizer import optimizer_factory, scheduler_factory
from trainlab.build.seeding import seed_for
from trainlab.config import compose
from trainlab.data.augment import augment_generator
from trainlab.stacked.augmentation import stack_augmentations
from trainlab.stacked.data import stack_data
from trainlab.stacked.normalization import stack_models
from trainlab.stacked.optimizer import clip_gradients, stack_optimizers
from trainlab.stacked.schedules import lr_table

CPU = torch.device("cpu")
STEPS = 20
BASE = (
    "logger=none", "data=digits", "data.image_size=12", "data.train_size=96", "data.val_size=20",
    "data.test_size=20", "data.batch_size=16", "model=plain_cnn", "depth=2", "width=4",
)  # fmt: skip
RUNS = {
    "sgd": [
        ("optimizer=sgd", "optimizer.lr=0.1", "augment=flip_crop"),
        ("optimizer=sgd_nesterov", "seed=1", "scheduler=onecycle", "trainer.gradient_clip=0.5"),
        ("optimizer=sgd_momentum", "seed=2", "scheduler=cosine", "data.split_seed=1"),
    ],
    "adam": [
        ("optimizer=adam", "optimizer.lr=0.01", "normalization=unit", "norm_layer=batchnorm"),
        ("optimizer=adamw", "seed=1", "optimizer.betas=[0.5,0.9]", "init=orthogonal", "norm_layer=batchnorm"),
        ("optimizer=adam", "scheduler=step", "optimizer.weight_decay=0.1", "norm_layer=batchnorm"),
    ],
    "rmsprop": [
        ("optimizer=rmsprop", "init=glorot", "trainer.gradient_clip=0.1"),
        ("optimizer=rmsprop", "optimizer.momentum=0.5", "seed=1", "augment=flip_crop"),
        ("optimizer=rmsprop", "optimizer.alpha=0.5", "optimizer.lr=0.02"),
    ],
}


def limit_of(settings):
    return settings.trainer.gradient_clip or torch.inf


def losses_alone(settings):
    """The losses of 20 steps, and the last logits, by a plain loop."""
    images = load_data(settings)
    model = build_initialized_model(settings, images).double().train()
    optimizer = optimizer_factory(settings)(model.parameters())
    scheduler = scheduler_factory(settings)(optimizer, STEPS)
    augment, loader = build_augmentation(settings), build_datamodule(settings, images).train_dataloader()
    losses, logits_NK = [], torch.empty(0)
    while len(losses) < STEPS:
        for x_NCHW, y_N in loader:
            if augment is not None:
                generator = augment_generator(seed_for(settings.seed, "augment"), len(losses))
                x_NCHW = augment(x_NCHW, generator)
            logits_NK = model(x_NCHW)
            loss = F.cross_entropy(logits_NK, y_N)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), limit_of(settings))
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            losses.append(loss.item())
            if len(losses) == STEPS:
                break
    return torch.tensor(losses, dtype=torch.float64), logits_NK.detach()


def losses_stacked(settings):
    images = [load_data(own) for own in settings]
    singles = [build_initialized_model(*pair) for pair in zip(settings, images, strict=True)]
    model = stack_models(singles).double().train()
    optimizer = stack_optimizers(settings, [p for p in model.parameters() if p.requires_grad])
    rates_TB = torch.stack([lr_table(own, STEPS) for own in settings], dim=1)
    limits_B = torch.tensor([limit_of(own) for own in settings])
    augment, batches = stack_augmentations(settings), stack_data(settings, images, CPU).train
    losses, logits_BNK = [], torch.empty(0)
    for step in range(STEPS):
        batches.set_epoch(step // len(batches))
        x_BNCHW, y_BN = batches.gather(batches.rows(step % len(batches)))
        logits_BNK = model(x_BNCHW if augment is None else augment(x_BNCHW, step))
        loss_B = F.cross_entropy(logits_BNK.flatten(0, 1), y_BN.flatten(), reduction="none")
        loss_B = loss_B.view(len(settings), -1).mean(1)
        optimizer.zero_grad()
        loss_B.sum().backward()
        optimizer.step(rates_TB[step], limits_B)
        losses.append(loss_B.detach())
    return torch.stack(losses, dim=1), logits_BNK.detach()


@pytest.mark.parametrize("kind", RUNS)
def test_twenty_steps_of_a_stack_are_those_of_each_run(kind):
    settings = [compose([*BASE, *overrides]) for overrides in RUNS[kind]]
    losses_BT, logits_BNK = losses_stacked(settings)
    for run, own in enumerate(settings):
        losses_T, logits_NK = losses_alone(own)
        assert losses_T.std() > 1e-3
        assert torch.allclose(losses_BT[run], losses_T, rtol=0, atol=1e-9)
        assert torch.allclose(logits_BNK[run], logits_NK, rtol=0, atol=1e-9)


class OpsCalled(TorchDispatchMode):
    """The names of the operations that are called."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("kind", RUNS)
def test_a_step_waits_for_nothing_and_stays_on_its_device(kind):
    """A value read back, or a tensor of another device, is an error on devices that are made up."""
    settings = [compose([*BASE, *overrides]) for overrides in RUNS[kind]]
    augment = stack_augmentations(settings)
    cuda = torch.device("cuda:0")
    with FakeTensorMode():
        parameters = [
            nn.Parameter(torch.zeros(3, *s, device=cuda)) for s in ((4, 3, 3, 3), (4,), (9, 7), (9,))
        ]
        optimizer = stack_optimizers(settings, parameters)
        lr_B = torch.zeros(3, dtype=torch.float64, device=cuda)
        for parameter in parameters:
            parameter.grad = torch.zeros_like(parameter)
        with OpsCalled() as called:
            optimizer.step(lr_B, lr_B)
            clip_gradients(parameters, lr_B)
        assert all(tensor.device == cuda for tensor in (*parameters, clip_gradients(parameters, lr_B)))
        if augment is not None:
            x_BNCHW = torch.zeros((3, 5, 1, 8, 8), dtype=torch.uint8, device=cuda)
            choices_3BN = torch.zeros((3, 3, 5), dtype=torch.int16, device=cuda)
            with called:
                assert augment.apply(x_BNCHW, choices_3BN).device == cuda
    assert any("foreach" in name for name in called.names)
    assert not any("_local_scalar_dense" in name or "nonzero" in name for name in called.names)
