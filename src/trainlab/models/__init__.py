"""Architectures, one a file, each assembled of activation, norm layer and pooling; and their layer table."""

from trainlab.models.anatomy import LayerRow, Totals, anatomy, totals
from trainlab.models.lenet5 import LeNet5
from trainlab.models.locally_connected import LocallyConnected
from trainlab.models.mlp import MLP
from trainlab.models.plain_cnn import PlainCNN
from trainlab.models.resnet import ResNet
from trainlab.models.vgg import VGG

__all__ = [
    "MLP",
    "VGG",
    "LayerRow",
    "LeNet5",
    "LocallyConnected",
    "PlainCNN",
    "ResNet",
    "Totals",
    "anatomy",
    "totals",
]
