"""Architectures, a file each, made of activation, norm layer and pooling; their layer table, feature maps.

A model is called once, with everything by name, and is a module from normalized images x_NCHW to logits_NK:

- `in_shape_CHW`: channels, height and width of the images
- `num_classes`: K
- `activation`: called with nothing, gives a new module for each place
- `norm_layer`: a `trainlab.nn.norm_layers.NormLayer`: `before(shape)` and `after(shape)` give the modules on
  either side of an activation, {} where there are none; `keeps_bias` whether the layer below keeps its bias
- `pool`: called with nothing, gives a new module; None for none
- and whatever else its YAML has, as `depth: ${depth}`, `width: ${width}`

It takes all five, also those that it does not use; a sweep over one of these says so. A static method
`depths(limit)` may list the depths that it takes, ascending, up to `limit` (`allowed_depths`): for the
controls of the app, and for remedies. One of your own, with its two files in your project's folder, is
`trainlab train model=two_layers`:

    # my_models.py
    from torch import nn

    class TwoLayers(nn.Module):
        def __init__(self, in_shape_CHW, num_classes, activation, norm_layer, pool, width=32):
            super().__init__()
            channels, height, width_of_image = in_shape_CHW
            self.net = nn.Sequential(
                nn.Conv2d(channels, width, 3, padding=1, bias=norm_layer.keeps_bias),
                *norm_layer.before((width, height, width_of_image)).values(),
                activation(),
                *norm_layer.after((width, height, width_of_image)).values(),
                *([pool()] if pool is not None else []),
                nn.AdaptiveAvgPool2d(2),
                nn.Flatten(),
                nn.Linear(4 * width, num_classes),
            )

        def forward(self, x_NCHW):
            return self.net(x_NCHW)

    # conf/model/two_layers.yaml
    # @package _global_
    # One convolution, one dense layer
    width: 32
    model:
      _target_: my_models.TwoLayers
      _partial_: true
      width: ${width}
"""

from trainlab.models.anatomy import LayerRow, Totals, anatomy, totals
from trainlab.models.blocks import allowed_depths
from trainlab.models.feature_maps import ConvolutionView, feature_maps
from trainlab.models.lenet5 import LeNet5
from trainlab.models.locally_connected import LocallyConnected
from trainlab.models.mlp import MLP
from trainlab.models.plain_cnn import PlainCNN
from trainlab.models.resnet import ResNet
from trainlab.models.vgg import VGG
from trainlab.models.whitened_cnn import WhitenedCNN

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
    "WhitenedCNN",
    "allowed_depths",
    "anatomy",
    "feature_maps",
    "totals",
]
