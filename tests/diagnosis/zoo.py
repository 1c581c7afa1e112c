"""The planted networks by name: each is trained once, when it is first asked for.

A name says what was planted. D, S, B are digits, shapes, blobs.
"""

from collections.abc import Callable
from functools import cache, partial

import torch
from planted import BATCHNORM, SGD, blobs, cnn, digits, enlarged, lenet, mlp, resnet, shapes, train, vgg
from torch import nn

from trainlab.diagnosis.evidence import Evidence
from trainlab.nn.initializers import Glorot, Initializer, Kaiming, Normal, Orthogonal, Zeros
from trainlab.nn.norm_layers import NormLayer

ADAM = partial(torch.optim.Adam, lr=1e-3)
SLOW_BATCHNORM = NormLayer("before_activation", partial(nn.BatchNorm2d, momentum=1e-4))
D, S, B = digits(), shapes(), blobs()


class Constant(Initializer):
    """Every weight the same."""

    def _fill_weight(self, weight, layer, negative_slope) -> None:
        weight.fill_(0.1)


def sgd(lr: float) -> Callable:
    return partial(torch.optim.SGD, lr=lr)


def adam(lr: float) -> Callable:
    return partial(torch.optim.Adam, lr=lr)


def shuffled(images):
    order = torch.randperm(len(images[1]), generator=torch.Generator().manual_seed(5))
    return images[0], images[1][order]


def rescaled(images, scale: float, offset: float):
    return images[0] * scale + offset, images[1]


def biased(network: nn.Module, bias: float) -> nn.Module:
    """Every hidden unit starts so far off that no image turns it on."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            nn.init.constant_(module.bias, bias)
    return network


def frozen(network: nn.Module, layers: str = "") -> nn.Module:
    for name, parameter in network.named_parameters():
        if name.startswith(layers):
            parameter.requires_grad_(False)
    return network


class CutOff(nn.Module):
    """The loss sees the network's logits, its weights never see the loss: a stray `detach`."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, x_NCHW):
        return self.network(x_NCHW).detach() + self.bias


def zero_branches(network: nn.Module) -> nn.Module:
    """Each residual branch starts at zero, so that a block starts as the identity (Goyal et al. 2017)."""
    parts = dict(network.named_modules())
    for name in parts:
        if name.endswith(".second"):
            nn.init.zeros_(parts.get(f"{name}.norm", parts[f"{name}.conv"]).weight)
    return network


def deep_sigmoid(images, depth: int, build=mlp, **options) -> Evidence:
    return train(build(images, depth=depth, activation=nn.Sigmoid, init=Glorot()), images, **options)


BN = {"norm_layer": "batchnorm"}
MOMENTUM = partial(torch.optim.SGD, lr=0.05, momentum=0.9)
RAW_D, RAW_S = (rescaled(images, 96, 78) for images in (D, S))
OFFSET_D, OFFSET_B = (rescaled(images, 1, 10) for images in (D, B))
D32, B32 = enlarged(D, 32), enlarged(B, 32)

ZOO: dict[str, Callable[[], Evidence]] = {
    # sound
    "mlp D": lambda: train(mlp(D), D),
    "tanh mlp D": lambda: train(mlp(D, activation=nn.Tanh, init=Glorot()), D),
    "cnn B": lambda: train(cnn(B), B),
    "orthogonal cnn B": lambda: train(cnn(B, init=Orthogonal()), B),
    "adam cnn S": lambda: train(cnn(S), S, optimizer=adam(3e-3), steps=120),
    "batchnorm cnn D": lambda: train(cnn(D, norm_layer=BATCHNORM), D, **BN),
    "batchnorm resnet B": lambda: train(resnet(B, norm_layer=BATCHNORM), B, **BN),
    "zero branches resnet B": lambda: train(zero_branches(resnet(B, norm_layer=BATCHNORM)), B, **BN),
    "zero branches without norm resnet B": lambda: train(zero_branches(resnet(B)), B),
    "tanh lenet D": lambda: train(lenet(D32, activation=nn.Tanh, init=Glorot()), D32, steps=30),
    # data
    "one class D": lambda: train(mlp(D), (D[0], torch.full_like(D[1], 3)), steps=20),
    "one class S": lambda: train(cnn(S), (S[0], torch.full_like(S[1], 1)), steps=20),
    "one class B": lambda: train(resnet(B), (B[0], torch.full_like(B[1], 2)), steps=20),
    "rare class D": lambda: train(mlp(D), (D[0], (D[1] == 3).long()), steps=20),
    "constant D": lambda: train(mlp(D), (torch.full_like(D[0], 0.5), D[1])),
    "constant S": lambda: train(cnn(S), (torch.zeros_like(S[0]), S[1])),
    "constant B": lambda: train(resnet(B, norm_layer=BATCHNORM), (torch.ones_like(B[0]), B[1]), **BN),
    "raw mlp D": lambda: train(mlp(D), RAW_D, optimizer=sgd(0.01)),
    "raw sigmoid cnn S": lambda: train(cnn(S, activation=nn.Sigmoid, init=Glorot()), RAW_S, optimizer=ADAM),
    "faint cnn B": lambda: train(cnn(B), rescaled(B, 1e-3, 0)),
    "offset mlp D": lambda: train(mlp(D), rescaled(D, 0.1, 50)),
    "raw batchnorm cnn D": lambda: train(cnn(D, norm_layer=BATCHNORM), RAW_D, **BN),
    "unit scale mlp D": lambda: train(mlp(D), rescaled(D, 0.3, 0.3)),
    "shuffled mlp D": lambda: train(mlp(D), shuffled(D), steps=110),
    "shuffled cnn S": lambda: train(cnn(S), shuffled(S), steps=110),
    "shuffled batchnorm resnet B": lambda: train(
        resnet(B, norm_layer=BATCHNORM), shuffled(B), steps=250, **BN
    ),
    "shuffled and short D": lambda: train(mlp(D), shuffled(D), steps=20),
    # units
    "zeros mlp D": lambda: train(mlp(D, init=Zeros()), D),
    "zeros sigmoid cnn S": lambda: train(cnn(S, activation=nn.Sigmoid, init=Zeros()), S),
    "zeros resnet B": lambda: train(resnet(B, norm_layer=BATCHNORM, init=Zeros()), B, **BN),
    "constant weights cnn D": lambda: train(cnn(D, init=Constant()), D),
    "constant weights tanh mlp B": lambda: train(mlp(B, activation=nn.Tanh, init=Constant()), B),
    "dead mlp D": lambda: train(biased(mlp(D), -20), D),
    "dead cnn S": lambda: train(biased(cnn(S), -20), S),
    "dead lenet D": lambda: train(biased(lenet(D32), -20), D32, steps=30),
    "dead resnet B": lambda: train(biased(resnet(B), -60), B),
    "one image mlp D": lambda: train(mlp(D), D, batch_size=1, optimizer=sgd(0.02), steps=150),
    "saturated tanh mlp D": lambda: train(mlp(D, activation=nn.Tanh, init=Glorot(gain=30)), D),
    "saturated deep tanh mlp D": lambda: train(
        mlp(D, depth=12, activation=nn.Tanh, init=Glorot(gain=4)), D, optimizer=sgd(0.01)
    ),
    "saturated hardtanh cnn S": lambda: train(cnn(S, activation=nn.Hardtanh, init=Glorot(gain=30)), S),
    "saturated softsign cnn S": lambda: train(cnn(S, activation=nn.Softsign, init=Glorot(gain=30)), S),
    # signal and gradient
    "sigmoid 12 mlp D": lambda: deep_sigmoid(D, 12),
    "sigmoid 12 mlp D, adam": lambda: deep_sigmoid(D, 12, optimizer=ADAM),
    "sigmoid 6 cnn S, adam": lambda: deep_sigmoid(S, 6, cnn, optimizer=ADAM),
    "sigmoid vgg B, adam": lambda: train(
        vgg(B32, activation=nn.Sigmoid, init=Glorot()), B32, steps=30, optimizer=ADAM
    ),
    "sigmoid 2 mlp D": lambda: deep_sigmoid(D, 2),
    "small weights cnn B": lambda: train(cnn(B, depth=8, init=Normal(0.01)), B),
    "small weights cnn S": lambda: train(cnn(S, depth=8, init=Normal(0.01)), S),
    "small weights cnn S, adam": lambda: train(cnn(S, depth=8, init=Normal(0.01)), S, optimizer=ADAM),
    "glorot relu 24 mlp D": lambda: train(mlp(D, depth=24, init=Glorot()), D, optimizer=sgd(0.01)),
    "glorot relu 24 mlp D, adam": lambda: train(
        mlp(D, depth=24, init=Glorot()), D, optimizer=ADAM, steps=100
    ),
    "small tanh 12 mlp D": lambda: train(mlp(D, depth=12, activation=nn.Tanh, init=Glorot(gain=0.3)), D),
    "large weights mlp D": lambda: train(mlp(D, depth=12, init=Kaiming(gain=4)), D),
    "large weights mlp D, adam": lambda: train(mlp(D, depth=12, init=Kaiming(gain=4)), D, optimizer=ADAM),
    "large weights cnn B": lambda: train(cnn(B, depth=8, init=Kaiming(gain=3)), B),
    "resnet 15 without norm B": lambda: train(resnet(B, depth=15, init=Kaiming(gain=2)), B),
    "all frozen mlp D": lambda: train(frozen(mlp(D)), D),
    "all frozen cnn S": lambda: train(frozen(cnn(S)), S),
    "cut off resnet B": lambda: train(CutOff(resnet(B)), B),
    "frozen first layer mlp D": lambda: train(frozen(mlp(D), "hidden.1"), D),
    "frozen and shuffled mlp D": lambda: train(frozen(mlp(D), "hidden.1"), shuffled(D), steps=110),
    # steps
    "sgd 1e6 mlp D": lambda: train(mlp(D), D, optimizer=sgd(1e6), steps=20),
    "sgd 10 mlp D": lambda: train(mlp(D), D, optimizer=sgd(10)),
    "sgd 3 cnn S": lambda: train(cnn(S), S, optimizer=sgd(3)),
    "adam 1 mlp D": lambda: train(mlp(D), D, optimizer=adam(1)),
    "adam 0.3 cnn B": lambda: train(cnn(B), B, optimizer=adam(0.3)),
    "sgd 30 tanh lenet D": lambda: train(
        lenet(D32, activation=nn.Tanh, init=Glorot()), D32, steps=30, optimizer=sgd(30)
    ),
    "sgd 1e-5 mlp D": lambda: train(mlp(D), D, optimizer=sgd(1e-5)),
    "adam 1e-7 cnn S": lambda: train(cnn(S), S, optimizer=adam(1e-7)),
    "sgd 1e-4 resnet B": lambda: train(resnet(B), B, optimizer=sgd(1e-4)),
    "two steps mlp D": lambda: train(mlp(D), D, steps=2, optimizer=sgd(0.02)),
    "short cnn S": lambda: train(cnn(S), S, optimizer=adam(3e-3), steps=20),
    "short sigmoid 3 mlp D": lambda: deep_sigmoid(D, 3),
    # batch
    "slow batchnorm mlp D": lambda: train(mlp(D, norm_layer=SLOW_BATCHNORM), OFFSET_D, **BN),
    "slow batchnorm cnn B": lambda: train(cnn(B, norm_layer=SLOW_BATCHNORM), OFFSET_B, **BN),
    "slow batchnorm resnet B": lambda: train(resnet(B, norm_layer=SLOW_BATCHNORM), OFFSET_B, **BN),
    # on digits, or without momentum, it depends on the last bits whether this learns a little
    "two images batchnorm mlp S": lambda: train(
        mlp(S, norm_layer=BATCHNORM), S, batch_size=2, optimizer=MOMENTUM, **BN
    ),
    "two images cnn S": lambda: train(cnn(S), S, batch_size=2),
    "two images batchnorm cnn S": lambda: train(cnn(S, norm_layer=BATCHNORM), S, batch_size=2, **BN),
    "eight images mlp B": lambda: train(mlp(B), B, batch_size=8, optimizer=SGD),
}

SOUND = (
    "mlp D", "tanh mlp D", "cnn B", "orthogonal cnn B", "adam cnn S", "batchnorm cnn D", "batchnorm resnet B",
    "zero branches resnet B", "zero branches without norm resnet B", "tanh lenet D", "unit scale mlp D",
    "raw batchnorm cnn D", "sigmoid 2 mlp D",
)  # fmt: skip
"""Networks in which nothing is wrong; most have learned, the rest are slow."""


@cache
def evidence(name: str) -> Evidence:
    return ZOO[name]()
