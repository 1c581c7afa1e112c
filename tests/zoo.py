"""The planted networks by name: each is trained once, when it is first asked for.

A name says what was planted. D, S, B are digits, shapes, blobs.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial

import torch
from planted import BATCHNORM, SGD, blobs, cnn, digits, enlarged, lenet, mlp, resnet, shapes, train, vgg
from torch import nn

from trainlab.diagnosis.evidence import Evidence, ReferenceScores
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
            nn.init.zeros_(parts.get(f"{name}.norm", parts[f"{name}.conv"]).get_parameter("weight"))
    return network


def deep_sigmoid(images, depth: int, build=mlp, **options) -> Evidence:
    return train(build(images, depth=depth, activation=nn.Sigmoid, init=Glorot()), images, **options)


class InAList(nn.Module):
    """A network whose hidden layers are in a plain list: no part of it."""

    def __init__(self, network: nn.Module, images) -> None:
        super().__init__()
        self.hidden = [network]
        self.head = nn.Linear(int(images[1].max()) + 1, int(images[1].max()) + 1)

    def forward(self, x_NCHW):
        return self.head(self.hidden[0](x_NCHW))


def ending_in(network: nn.Module, last: nn.Module) -> nn.Module:
    return nn.Sequential(network, last)


def frozen_batchnorm(network: nn.Module) -> nn.Module:
    """BatchNorm stays in evaluation mode from the first step on."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            module.eval()
    return network


def viewed(images):
    """(N, H, W, C) taken for (N, C, H, W): a `view` in the place of a `permute`."""
    x_NHWC = images[0].permute(0, 2, 3, 1).contiguous()
    return x_NHWC.reshape(images[0].shape), images[1]


def coloured(images):
    """Three channels that are nearly the same, as those of pictures are."""
    x_NCHW = nn.functional.avg_pool2d(images[0], 3, stride=1, padding=1)
    return x_NCHW * torch.tensor([1.0, 0.9, 0.8])[:, None, None], images[1]


def falling_at_once(optimizer):
    return torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.1)


def decayed(lr: float, decay: float) -> Callable:
    return partial(torch.optim.SGD, lr=lr, weight_decay=decay)


BN = {"norm_layer": "batchnorm"}
MOMENTUM = partial(torch.optim.SGD, lr=0.05, momentum=0.9)
RAW_D, RAW_S = (rescaled(images, 96, 78) for images in (D, S))
OFFSET_D, OFFSET_B = (rescaled(images, 1, 10) for images in (D, B))
COLOURED_S = coloured(S)
VIEWED_S = viewed(COLOURED_S)
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
    # wiring and loop
    "softmax mlp D": lambda: train(ending_in(mlp(D), nn.Softmax(1)), D),
    "softmax cnn S": lambda: train(ending_in(cnn(S), nn.Softmax(1)), S),
    "softmax resnet B": lambda: train(ending_in(resnet(B), nn.Softmax(1)), B),
    "relu at the end mlp D": lambda: train(ending_in(mlp(D), nn.ReLU()), D),
    "relu at the end cnn S": lambda: train(ending_in(cnn(S), nn.ReLU()), S),
    "relu at the end resnet B": lambda: train(ending_in(resnet(B), nn.ReLU()), B),
    "in a list mlp D": lambda: train(InAList(mlp(D), D), D),
    "in a list cnn S": lambda: train(InAList(cnn(S), S), S),
    "in a list resnet B": lambda: train(InAList(resnet(B), B), B),
    "no zero_grad mlp D": lambda: train(mlp(D), D, zero_grad=False),
    "no zero_grad cnn S, adam": lambda: train(cnn(S), S, zero_grad=False, optimizer=ADAM),
    "no zero_grad cnn B": lambda: train(cnn(B), B, zero_grad=False, optimizer=sgd(0.01)),
    "frozen batchnorm mlp D": lambda: train(frozen_batchnorm(mlp(D, norm_layer=BATCHNORM)), D, **BN),
    "frozen batchnorm cnn S": lambda: train(frozen_batchnorm(cnn(S, norm_layer=BATCHNORM)), S, **BN),
    "frozen batchnorm resnet B": lambda: train(frozen_batchnorm(resnet(B, norm_layer=BATCHNORM)), B, **BN),
    "clipped mlp D": lambda: train(mlp(D), D, clip=1e-4),
    "clipped cnn S": lambda: train(cnn(S), S, clip=1e-4),
    "clipped resnet B": lambda: train(resnet(B), B, clip=1e-5),
    "clipped at 1 mlp D": lambda: train(mlp(D), D, clip=1.0),
    "clipped mlp D, adam": lambda: train(mlp(D), D, clip=1e-4, optimizer=adam(3e-3), optimizer_name="adam"),
    "fading mlp D": lambda: train(mlp(D), D, schedule=falling_at_once),
    "fading cnn S": lambda: train(cnn(S), S, schedule=falling_at_once),
    "fading resnet B": lambda: train(resnet(B), B, schedule=falling_at_once, optimizer=sgd(0.01)),
    "cosine mlp D": lambda: train(
        mlp(D), D, schedule=lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 60)
    ),
    "decayed mlp D": lambda: train(mlp(D), D, optimizer=decayed(0.1, 1.0), weight_decay=1.0),
    "decayed cnn S": lambda: train(cnn(S), S, optimizer=decayed(0.1, 1.0), weight_decay=1.0),
    "decayed resnet B": lambda: train(resnet(B), B, optimizer=decayed(0.1, 1.0), weight_decay=1.0),
    "decayed a little mlp D": lambda: train(mlp(D), D, optimizer=decayed(0.1, 5e-4), weight_decay=5e-4),
    "viewed mlp S": lambda: train(mlp(VIEWED_S), VIEWED_S),
    "viewed cnn S": lambda: train(cnn(VIEWED_S), VIEWED_S),
    "viewed resnet S": lambda: train(resnet(VIEWED_S), VIEWED_S),
    "coloured cnn S": lambda: train(cnn(COLOURED_S), COLOURED_S),
    # data that are not what they seem, on networks that learned
    "permuted test mlp D": lambda: permuted_test("mlp D"),
    "permuted test cnn B": lambda: permuted_test("cnn B"),
    "two classes swapped mlp D": lambda: permuted_test("mlp D", (1, 0, *range(2, 10))),
    "copies in the test mlp D": lambda: beside(evidence("mlp D"), test_in_training=1.0),
    "copies in the test cnn B": lambda: beside(evidence("cnn B"), test_in_training=0.2),
    "copies in the test dead mlp D": lambda: beside(evidence("adam cnn S"), test_in_training=0.05),
    "a few copies mlp D": lambda: beside(evidence("mlp D"), test_in_training=0.001),
    "rare 3 mlp D": lambda: never_answered("mlp D", 3),
    "rare 0 cnn B": lambda: never_answered("cnn B", 0),
    "rare 9 mlp D": lambda: never_answered("mlp D", 9),
    "rare and found mlp D": lambda: beside(evidence("mlp D"), rarest_class=3, rarest_share=0.01),
    "by heart mlp D": lambda: by_heart("shuffled mlp D", 0.9, 0.2),
    "by heart cnn S": lambda: by_heart("short cnn S", 0.8, 0.25),
    "by heart cnn B": lambda: by_heart("shuffled batchnorm resnet B", 1.0, 0.4),
    "by heart, validated mlp D": lambda: by_heart("shuffled mlp D", 0.9, 0.8),
    "short sigmoid 3 mlp D, seed 1": lambda: deep_sigmoid(D, 3, seed=1),
    "short sigmoid 3 mlp D, seed 2": lambda: deep_sigmoid(D, 3, seed=2),
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


LINEAR = ReferenceScores(
    accuracy=0.9, best_accuracy=0.9, permuted_accuracy=0.1, images=1000, held_images=500, classes=4
)
"""A reference that was fitted to the run's own images, and finds what can be found."""


def beside(known: Evidence, **reference) -> Evidence:
    return replace(known, reference=replace(LINEAR, **reference))


def permuted_test(name: str, order: Sequence[int] | None = None) -> Evidence:
    """The same network, its test images in folders of other names; its validation images in the right
    ones."""
    known = evidence(name)
    assert known.confusion_KK is not None
    classes = len(known.confusion_KK)
    order = order or [(k + 1) % classes for k in range(classes)]
    metrics = {**known.metrics, "val/acc": known.test_accuracy}
    return replace(known, confusion_KK=[known.confusion_KK[k] for k in order], metrics=metrics)


def never_answered(name: str, rare: int) -> Evidence:
    """The same network, which gives the answer of another class to most images of one that it hardly saw."""
    known = evidence(name)
    confusion_KK = [list(row) for row in known.confusion_KK]
    missed = confusion_KK[rare][rare] * 9 // 10
    confusion_KK[rare][rare] -= missed
    confusion_KK[rare][(rare + 1) % len(confusion_KK)] += missed
    known = replace(known, confusion_KK=confusion_KK)
    return beside(known, rarest_class=rare, rarest_share=0.02, rarest_name="three")


def by_heart(name: str, train: float, validation: float) -> Evidence:
    """A network that knows its training images, on images whose labels can be learned."""
    known = evidence(name)
    return replace(beside(known), metrics={"train/acc": train, "val/acc": validation})


@cache
def evidence(name: str) -> Evidence:
    return ZOO[name]()
