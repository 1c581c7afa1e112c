"""Architectures, a file each, made of activation, norm layer and pooling; their layer table, feature maps."""

from trainlab.models.anatomy import LayerRow, Totals, anatomy, totals
from trainlab.models.feature_maps import ConvolutionView, feature_maps
from trainlab.models.lenet5 import LeNet5
from trainlab.models.locally_connected import LocallyConnected
from trainlab.models.mlp import MLP
from trainlab.models.plain_cnn import PlainCNN
from trainlab.models.resnet import ResNet
from trainlab.models.vgg import VGG

__all__ = [
    "MLP",
    "VGG",
    "ConvolutionView",
    "LayerRow",
    "LeNet5",
    "LocallyConnected",
    "PlainCNN",
    "ResNet",
    "Totals",
    "anatomy",
    "feature_maps",
    "totals",
]
