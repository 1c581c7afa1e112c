"""Training loops that are as they should be, of many kinds: nothing may be found in them."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from small_networks import (
    Attention,
    Loop,
    ResNet,
    built,
    classes,
    convolutions,
    fully_convolutional,
    lenet,
    mlp,
    pictures,
    pretrained,
    sgd,
)
from torch import Tensor, nn


def frozen_backbone() -> Loop:
    """Frozen on purpose: pretrained, in evaluation mode, and only the head in the optimizer."""
    x, y = pictures(), classes()
    model = pretrained(ResNet(), x, y)
    model.backbone.requires_grad_(False).eval()
    model.head = head = nn.Linear(16, 10)
    return Loop(model, F.cross_entropy, (x, y), lambda m: torch.optim.Adam(head.parameters(), lr=1e-3))


def two_groups(model: nn.Module) -> torch.optim.Optimizer:
    decayed = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1]
    return torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0, "lr": 1e-2}],
        lr=1e-3,
    )


def segmentation() -> Loop:
    x = pictures(4)
    y = (x[:, 0] > 0).long() + (x[:, 1] > 0).long()
    y[:, :2] = 255
    net = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 3, 1))
    return Loop(net, nn.CrossEntropyLoss(ignore_index=255), (x, y))


def regression() -> Loop:
    x = torch.randn(32, 8)
    net = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1))
    return Loop(net, nn.MSELoss(), (x, x[:, :1].sin() + 0.1))


def counts() -> Loop:
    """A regression whose output ends in a softplus, as for quantities that are never negative."""
    x = torch.randn(32, 8)
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1), nn.Softplus(), nn.Flatten(0))
    return Loop(net, nn.MSELoss(), (x, 37 * x[:, 0].abs() + 3))


def binary() -> Loop:
    x = torch.randn(32, 8)
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1), nn.Flatten(0))
    return Loop(net, nn.BCEWithLogitsLoss(pos_weight=torch.tensor(3.0)), (x, (x[:, 0] > 0).float()))


def probabilities() -> Loop:
    x = torch.randn(32, 8)
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1), nn.Sigmoid(), nn.Flatten(0))
    return Loop(net, nn.BCELoss(), (x, (x[:, 0] > 0).float()))


def words() -> Loop:
    net = nn.Sequential(nn.Embedding(50, 16), nn.Flatten(), nn.Linear(16 * 8, 5))
    return Loop(net, F.cross_entropy, (torch.randint(50, (32, 8)), classes(k=5)))


def low_rank() -> Loop:
    """A frozen, pretrained layer with a correction of low rank whose second factor begins at zero."""

    class LowRank(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.base = pretrained(mlp(64), torch.randn(32, 64), classes()).requires_grad_(False)
            self.down, self.up = nn.Linear(64, 4, bias=False), nn.Linear(4, 10, bias=False)
            nn.init.zeros_(self.up.weight)

        def forward(self, x: Tensor) -> Tensor:
            return self.base(x) + self.up(self.down(x.flatten(1)))

    return Loop(LowRank(), F.cross_entropy, (torch.randn(32, 64), classes()))


def accumulated() -> Loop:
    """A loss that is divided by the number of batches whose gradients are added up."""
    x = pictures()
    return Loop(mlp(3 * 256), lambda z, y: F.cross_entropy(z, y) / 8, (x, classes()))


def several_outputs() -> Loop:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.a, self.b = nn.Linear(8, 16), nn.Linear(16, 3), nn.Linear(16, 1)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            h = F.relu(self.body(x))
            return {"classes": self.a(h), "value": self.b(h)}

    loss = lambda out, y: F.cross_entropy(out["classes"], y) + out["value"].square().mean()  # noqa: E731
    return Loop(Two(), loss, (torch.randn(32, 8), classes(k=3)))


def named_batch() -> Loop:
    x = pictures(channels=1)
    return Loop(built(lenet(), x), nn.CrossEntropyLoss(), {"image": x, "label": classes()})


def warm_up() -> Loop:
    """A schedule that begins at a rate of zero."""
    x = pictures()

    def make(model: nn.Module) -> torch.optim.Optimizer:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, step / 100))
        return optimizer

    return Loop(mlp(3 * 256), F.cross_entropy, (x, classes()), make)


def log_softmax() -> Loop:
    x = pictures()
    return Loop(nn.Sequential(mlp(3 * 256), nn.LogSoftmax(dim=1)), nn.NLLLoss(), (x, classes()))


def soft_labels() -> Loop:
    x = pictures()
    y = 0.7 * F.one_hot(classes(), 10).float() + 0.3 * F.one_hot(classes().roll(1), 10).float()
    return Loop(mlp(3 * 256), nn.CrossEntropyLoss(), (x, y))


def bytes_through_batchnorm() -> Loop:
    x = pictures().mul(50).add(128).clamp(0, 255).round()
    return Loop(convolutions(nn.BatchNorm2d), F.cross_entropy, (x, classes()))


def sparse_words() -> Loop:
    """Gradients that are sparse, and an optimizer of their own for them."""
    words, head = nn.Embedding(50, 16, sparse=True), nn.Linear(16 * 8, 5)
    net = nn.Sequential(words, nn.Flatten(), head)
    make = lambda m: [torch.optim.SparseAdam([words.weight]), torch.optim.Adam(head.parameters())]  # noqa: E731
    return Loop(net, F.cross_entropy, (torch.randint(50, (32, 8)), classes(k=5)), make)


def scaled_layers() -> Loop:
    """Branches that begin nearly switched off, as ConvNeXt's, with the usual weight decay."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.head = nn.Linear(64, 32), nn.Linear(32, 10)
            self.branches = nn.ModuleList(nn.Linear(32, 32) for _ in range(6))
            self.scales = nn.Parameter(torch.full((6, 1, 32), 1e-6))

        def forward(self, x: Tensor) -> Tensor:
            h = self.stem(x)
            for branch, scale in zip(self.branches, self.scales, strict=True):
                h = h + scale * branch(h).relu()
            return self.head(h)

    return Loop(
        Net(), F.cross_entropy, (torch.randn(32, 64), classes()),
        lambda m: torch.optim.SGD(m.parameters(), 0.1, momentum=0.9, weight_decay=5e-4),
    )  # fmt: skip


def divides_itself() -> Loop:
    """Takes 0 … 255 and divides by 255 in its own forward."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = mlp(768)

        def forward(self, x: Tensor) -> Tensor:
            return self.body(x / 255)

    return Loop(Net(), F.cross_entropy, (pictures().mul(50).add(128).clamp(0, 255).round(), classes()))


def autoencoder() -> Loop:
    x = torch.rand(32, 64)
    net = nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 64), nn.Sigmoid())
    return Loop(net, F.mse_loss, (x, x))


def metric() -> Loop:
    """A loss with weights of its own, which are in the optimizer too."""

    class Centres(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(10, 8))

        def forward(self, z: Tensor, y: Tensor) -> Tensor:
            return F.cross_entropy(16 * F.linear(F.normalize(z), F.normalize(self.weight)), y)

    loss = Centres()
    return Loop(
        nn.Linear(64, 8), loss, (torch.randn(32, 64), classes()),
        lambda m: torch.optim.SGD([*m.parameters(), *loss.parameters()], 0.1),
    )  # fmt: skip


def quasi_newton() -> Loop:
    return Loop(
        mlp(64),
        F.cross_entropy,
        (torch.randn(32, 64), classes()),
        lambda m: torch.optim.LBFGS(m.parameters()),
    )


def two_arguments() -> Loop:
    x = {"input1": torch.randn(32, 4), "input2": torch.randn(32, 4)}
    return Loop(nn.Bilinear(4, 4, 3), F.cross_entropy, (x, classes(k=3)))


def compiled_name() -> Loop:
    """A network inside a wrapper, as torch.compile and DDP make them."""
    x = pictures()
    return Loop(nn.DataParallel(mlp(3 * 256)), F.cross_entropy, (x, classes()))


def _with(
    model: Callable[[], nn.Module],
    loss: Callable[..., Any] = F.cross_entropy,
    make_optimizer: Callable[[nn.Module], torch.optim.Optimizer] = sgd,
) -> Callable[[], Loop]:
    return lambda: Loop(model(), loss, (pictures(), classes()), make_optimizer)


def _grey_lenet() -> Loop:
    x = pictures(channels=1)
    return Loop(
        built(lenet(), x), F.cross_entropy, (x, classes()), lambda m: torch.optim.Adam(m.parameters())
    )


HEALTHY: dict[str, Callable[[], Loop]] = {
    "lenet": _grey_lenet,
    "mlp": _with(lambda: mlp(3 * 256)),
    "batchnorm": _with(lambda: convolutions(nn.BatchNorm2d)),
    "groupnorm": _with(lambda: convolutions(lambda c: nn.GroupNorm(4, c))),
    "resnet": _with(ResNet),
    "fully convolutional": _with(fully_convolutional),
    "frozen backbone": frozen_backbone,
    "dropout": _with(lambda: nn.Sequential(mlp(3 * 256)[0], nn.Dropout(0.8), *mlp(3 * 256)[1:])),
    "attention": _with(Attention, make_optimizer=lambda m: torch.optim.AdamW(m.parameters(), lr=1e-3)),
    "two groups": _with(lambda: convolutions(nn.BatchNorm2d), make_optimizer=two_groups),
    "weight decay": _with(
        lambda: convolutions(nn.BatchNorm2d),
        make_optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4),
    ),
    "label smoothing": _with(lambda: mlp(3 * 256), nn.CrossEntropyLoss(label_smoothing=0.1)),
    "class weights": _with(lambda: mlp(3 * 256), nn.CrossEntropyLoss(weight=torch.arange(1.0, 11))),
    "sum over the batch": _with(lambda: mlp(3 * 256), nn.CrossEntropyLoss(reduction="sum")),
    "segmentation": segmentation,
    "regression": regression,
    "counts": counts,
    "binary": binary,
    "probabilities": probabilities,
    "words": words,
    "low rank": low_rank,
    "accumulated": accumulated,
    "several outputs": several_outputs,
    "named batch": named_batch,
    "warm-up": warm_up,
    "log-softmax": log_softmax,
    "soft labels": soft_labels,
    "bytes through BatchNorm": bytes_through_batchnorm,
    "wrapped": compiled_name,
    "sparse words": sparse_words,
    "scaled layers": scaled_layers,
    "divides itself": divides_itself,
    "autoencoder": autoencoder,
    "metric": metric,
    "quasi-Newton": quasi_newton,
    "two arguments": two_arguments,
    "half precision": lambda: Loop(
        mlp(64).bfloat16(), F.cross_entropy, (torch.randn(32, 64).bfloat16(), classes())
    ),
}


def healthy(name: str) -> Loop:
    """The loop of this name, the same in every call."""
    torch.manual_seed(0)
    return HEALTHY[name]()
