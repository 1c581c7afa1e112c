"""A network of 27 weights, for twins that need every one of them: a whole Hessian, a whole Jacobian."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from trainlab.forecast.functional_model import FunctionalModel
from trainlab.forecast.image_sample import ImagePart, ImageSample
from trainlab.forecast.isolation import preserve_global_state
from trainlab.forecast.measurement import InitialMeasurer, StepBudget


class Tiny(nn.Module):
    """4 inputs, 3 tanh units, 3 classes; few enough weights for a whole Hessian."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.activation, self.output = nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3)

    def forward(self, x_NCHW):
        return self.output(self.activation(self.hidden(x_NCHW.flatten(1))))


def tiny_subject() -> FunctionalModel:
    torch.manual_seed(3)
    return FunctionalModel(Tiny().double())


def tiny_sample() -> ImageSample:
    torch.manual_seed(4)
    x_NCHW, y_N = torch.randn(64, 1, 2, 2, dtype=torch.double), torch.arange(64) % 3
    return ImageSample(
        ImagePart(x_NCHW[:16], y_N[:16]),
        ImagePart(x_NCHW[16:32], y_N[16:32]),
        ImagePart(x_NCHW[32:], y_N[32:]),
    )


def flat(weights) -> torch.Tensor:
    return torch.cat([w.flatten() for w in weights.values()])


def unflat(vector, like) -> dict:
    parts = vector.split([w.numel() for w in like.values()])
    return {name: part.view_as(w) for (name, w), part in zip(like.items(), parts, strict=True)}


def loss_of(functional: FunctionalModel, part: ImagePart):
    def loss(vector):
        return F.cross_entropy(functional.forward(part.x_NCHW, unflat(vector, functional.weights)), part.y_N)

    return loss


SGD = partial(torch.optim.SGD, lr=0.3)


def measured(functional, sample, make=SGD, steps=50, **more):
    with preserve_global_state():
        return InitialMeasurer(functional, sample, make, **more).measure(StepBudget(steps))
