"""Small networks with a known fault, really trained for a few dozen steps, without Lightning.

Legend: N images, K classes.
"""

from collections.abc import Callable
from functools import cache, partial

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from trainlab.data import shapeset
from trainlab.diagnosis.evidence import Evidence, SettingsSummary
from trainlab.models import MLP, VGG, LeNet5, PlainCNN, ResNet
from trainlab.nn.initializers import Kaiming, initialize
from trainlab.nn.norm_layers import NormLayer
from trainlab.signals.measured_steps import log_spaced_steps
from trainlab.signals.recorder import SignalRecorder

Images = tuple[Tensor, Tensor]
"""x_NCHW float32, standardized; y_N."""

BATCHNORM = NormLayer("before_activation", nn.BatchNorm2d)
TEST_IMAGES = 400
SGD = partial(torch.optim.SGD, lr=0.1)


@cache
def digits() -> Images:
    """Handwritten digits, 1 × 8 × 8, ten classes."""
    x_ND, y_N = load_digits(return_X_y=True)
    return standardized(torch.tensor(x_ND).float().view(-1, 1, 8, 8)), torch.tensor(y_N).long()


@cache
def shapes() -> Images:
    """Drawn shapes, 1 × 16 × 16, nine classes of unequal size."""
    x_NHW, y_N = shapeset.generate(1500, seed=0)
    x_NCHW = nn.functional.avg_pool2d(torch.tensor(x_NHW).float()[:, None], 2)
    return standardized(x_NCHW), torch.tensor(y_N).long()


@cache
def blobs() -> Images:
    """A coloured template a class in noise, 3 × 8 × 8, four classes: easy."""
    generator = torch.Generator().manual_seed(0)
    y_N = torch.randint(4, (1500,), generator=generator)
    templates_KCHW = torch.randn(4, 3, 8, 8, generator=generator)
    return standardized(templates_KCHW[y_N] + torch.randn(1500, 3, 8, 8, generator=generator)), y_N


DATA: dict[str, Callable[[], Images]] = {"digits": digits, "shapes": shapes, "blobs": blobs}


def standardized(x_NCHW: Tensor) -> Tensor:
    return (x_NCHW - x_NCHW.mean()) / x_NCHW.std()


def enlarged(images: Images, size: int) -> Images:
    return nn.functional.interpolate(images[0], size=(size, size)), images[1]


def mlp(images: Images, depth: int = 3, width: int = 32, **parts) -> nn.Module:
    return _built(partial(MLP, depth=depth, width=width), images, **parts)


def cnn(images: Images, depth: int = 3, width: int = 8, **parts) -> nn.Module:
    return _built(partial(PlainCNN, depth=depth, width=width), images, **parts)


def resnet(images: Images, depth: int = 3, width: int = 4, **parts) -> nn.Module:
    return _built(partial(ResNet, depth=depth, width=width), images, **parts)


def lenet(images: Images, **parts) -> nn.Module:
    return _built(LeNet5, images, **parts)


def vgg(images: Images, **parts) -> nn.Module:
    return _built(partial(VGG, depth=11, width=4), images, **parts)


def _built(model, images: Images, *, init=None, activation=nn.ReLU, norm_layer=None, seed: int = 0):
    torch.manual_seed(seed)
    x_NCHW, y_N = images
    norm_layer = norm_layer or NormLayer()
    network = model(tuple(x_NCHW.shape[1:]), int(y_N.max()) + 1, activation=activation, norm_layer=norm_layer)
    initialize(network, init or Kaiming(), x_NCHW[:64])
    return network


def train(
    network: nn.Module,
    images: Images,
    *,
    steps: int = 60,
    batch_size: int = 64,
    optimizer: Callable = SGD,
    measurements: int = 8,
    seed: int = 0,
    zero_grad: bool = True,
    clip: float | None = None,
    weight_decay: float | None = None,
    schedule: Callable | None = None,
    **axes: str,
) -> Evidence:
    """Trains as the platform does and returns what it would have recorded; `axes` are its options' names."""
    x_NCHW, y_N = images[0][TEST_IMAGES:], images[1][TEST_IMAGES:]
    if "optimizer_name" in axes:  # `optimizer` is what makes it
        axes["optimizer"] = axes.pop("optimizer_name")
    generator = torch.Generator().manual_seed(seed)
    trained = [p for p in network.parameters() if p.requires_grad]
    updates = optimizer(trained) if trained else None
    scheduler = schedule(updates) if schedule else None
    recorder, measured = SignalRecorder(network), set(log_spaced_steps(steps - 1, measurements))
    signals, metrics, correct, seen = [], [], 0, 0
    for step in range(steps):
        batch_B = torch.randint(len(x_NCHW), (batch_size,), generator=generator)
        if step in measured:
            recorder.start()
        logits_BK = network(x_NCHW[batch_B])
        loss = nn.functional.cross_entropy(logits_BK, y_N[batch_B])
        if updates:
            if zero_grad:
                updates.zero_grad()
            loss.backward()
            recorder.before_update()
            if clip:
                nn.utils.clip_grad_norm_(trained, clip)
            rate = updates.param_groups[0]["lr"]
            updates.step()
            if scheduler:
                scheduler.step()
                signals += [(step, "network", "learning_rate", rate)] if step in measured else []
        if step in measured:
            signals += [(step, *row) for row in recorder.finish(loss).rows]
        metrics.append((step, 0, "train/loss_step", float(loss.detach())))
        if step >= steps // 2:
            correct, seen = correct + int((logits_BK.argmax(1) == y_N[batch_B]).sum()), seen + batch_size
    metrics.append((steps - 1, 0, "train/acc", correct / seen))
    diverged = next((step for step, _, _, value in metrics if not abs(value) < float("inf")), None)
    confusion_KK = None if diverged is not None else confusion(network, images)
    lr = updates.param_groups[0].get("initial_lr", updates.param_groups[0]["lr"]) if updates else None
    setup = SettingsSummary(
        axes, num_classes=int(images[1].max()) + 1, batch_size=batch_size, lr=lr, max_steps=steps,
        gradient_clip=clip, weight_decay=weight_decay,
    )  # fmt: skip
    return Evidence.from_tables(signals, metrics, confusion_KK, setup, diverged)


@torch.no_grad()
def confusion(network: nn.Module, images: Images) -> list[list[int]]:
    network.eval()
    x_NCHW, y_N = images[0][:TEST_IMAGES], images[1][:TEST_IMAGES]
    predicted_N, classes = network(x_NCHW).argmax(1), int(images[1].max()) + 1
    return torch.bincount(y_N * classes + predicted_N, minlength=classes**2).view(classes, classes).tolist()
