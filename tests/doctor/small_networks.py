"""Small networks of the usual kinds, and batches for them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.1)


@dataclass
class Loop:
    """What a user has in hand. `make_optimizer` is called with the network."""

    model: nn.Module
    loss: Callable[..., Any]
    batch: Any
    make_optimizer: Callable[[nn.Module], Any] = sgd

    def __post_init__(self) -> None:
        self.optimizer = self.make_optimizer(self.model)


def pictures(n: int = 32, channels: int = 3, size: int = 16) -> Tensor:
    """Smooth images of zero mean and unit scale."""
    noise = F.avg_pool2d(torch.randn(n, channels, size + 4, size + 4), 5, stride=1)
    return (noise - noise.mean()) / noise.std()


def classes(n: int = 32, k: int = 10) -> Tensor:
    return torch.arange(n) % k


def lenet(channels: int = 1, k: int = 10) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 3), nn.ReLU(),
        nn.Flatten(), nn.LazyLinear(32), nn.ReLU(), nn.Linear(32, k),
    )  # fmt: skip


def built(model: nn.Module, x: Tensor) -> nn.Module:
    """With lazy layers made."""
    with torch.no_grad():
        model(x[:2])
    return model


def mlp(inputs: int = 256, k: int = 10) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, 64), nn.ReLU(), nn.Linear(64, k))


def convolutions(norm: Callable[[int], nn.Module], k: int = 10, channels: int = 3) -> nn.Sequential:
    layers: list[nn.Module] = []
    for i, o in ((channels, 16), (16, 32)):
        layers += [nn.Conv2d(i, o, 3, padding=1, bias=False), norm(o), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, k))


def fully_convolutional() -> nn.Sequential:
    """Its last convolution is followed by a ReLU and a mean over positions, as SqueezeNet's."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, stride=4), nn.ReLU(), nn.Conv2d(16, 10, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )  # fmt: skip


class Block(nn.Module):
    """x + f(x), with the last norm layer's scale at zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width),
        )  # fmt: skip
        nn.init.zeros_(self.body[-1].get_parameter("weight"))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.body(x))


class ResNet(nn.Module):
    def __init__(self, k: int = 10) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), Block(16), Block(16)
        )
        self.head = nn.Linear(16, k)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.backbone(x).mean((2, 3)))


def pretrained(model: Network, x: Tensor, y: Tensor, steps: int = 15) -> Network:
    """Trained for a few steps, so that weights and statistics are those of no initializer."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    model.zero_grad()
    return model


class Attention(nn.Module):
    """Patches, a class token, one block of attention, a head of zeros as ViT has it."""

    def __init__(self, k: int = 10) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 32, 4, stride=4)
        self.token, self.place = (
            nn.Parameter(torch.zeros(1, 1, 32)),
            nn.Parameter(torch.randn(1, 17, 32) * 0.02),
        )
        self.block = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, norm_first=True)
        self.norm, self.head = nn.LayerNorm(32), nn.Linear(32, k)
        nn.init.zeros_(self.head.weight)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(x), -1, -1), tokens], 1) + self.place
        return self.head(self.norm(self.block(tokens)[:, 0]))
