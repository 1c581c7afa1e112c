"""The swept pieces of a network: input normalization, initializers, norm layers, pooling, layers.

How each is called, with one of your own. A module of your project is named by a YAML file in the project's
`conf/`, and chosen by that file's name: `trainlab train activation=sine`. What is called later than where the
settings are read says `_partial_: true`; other keys of the YAML are arguments, and settings of the axis
(`activation.frequency=2`). Legend: N images, C channels, H × W pixels.

An activation is called with nothing, once for each of its places, and is a module:

    # my_pieces.py
    import torch
    from torch import nn

    class Sine(nn.Module):
        def __init__(self, frequency=1.0):
            super().__init__()
            self.frequency = frequency

        def forward(self, x):
            return torch.sin(self.frequency * x)

    # conf/activation/sine.yaml
    _target_: my_pieces.Sine
    _partial_: true
    frequency: 1.0

A pooling is called in the same way; one that leaves the maps as they are may request a stride of the
convolution before it by its attribute `conv_stride`:

    # my_pieces.py
    class Smallest(nn.Module):
        def forward(self, x_NCHW):
            return -nn.functional.max_pool2d(-x_NCHW, 2)

    # conf/pool/smallest.yaml
    _target_: my_pieces.Smallest
    _partial_: true

A normalization layer is called with the number of channels, or features, for each of its places; `position`
says on which side of the activation it stands:

    # my_pieces.py
    class RMS(nn.Module):
        def __init__(self, num_features):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(num_features))

        def forward(self, x):
            scale = self.scale.reshape(-1, *[1] * (x.dim() - 2))
            return scale * x / x.square().mean(1, keepdim=True).add(1e-5).sqrt()

    # conf/norm_layer/rms.yaml
    position: before_activation
    layer:
      _target_: my_pieces.RMS
      _partial_: true

An initializer is called with each weight layer and the slope of the activation behind it (0 but for leaky
ones), and fills the layer's weight and bias in place:

    # my_pieces.py
    class Constant:
        def __init__(self, std=0.05):
            self.std = std

        @torch.no_grad()
        def __call__(self, layer, negative_slope=0.0):
            layer.weight.normal_(0.0, self.std)
            if layer.bias is not None:
                layer.bias.zero_()

    # conf/init/constant.yaml
    _target_: my_pieces.Constant
    std: 0.05

An input normalization is called with the statistics of the training split in the unit scale, `mean_C` and
`std_C`, and turns pixels 0..255 into the network's input:

    # my_pieces.py
    from trainlab.nn.normalization import InputNormalization

    class Dark(InputNormalization):
        def forward(self, x_NCHW):
            return 1 - x_NCHW.float() / 255

    # conf/normalization/dark.yaml
    _target_: my_pieces.Dark
    _partial_: true

An optimizer is called with the parameters, a schedule with the optimizer and the number of steps of the whole
run (it returns a torch scheduler, or None), an augmentation with a batch of pixels and the generator that it
draws from:

    # my_pieces.py
    def signs(parameters, lr):
        return torch.optim.Rprop(parameters, lr=lr)

    def linear(optimizer, total_steps):
        return torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, total_iters=total_steps)

    def mirror(x_NCHW, generator):
        chosen_N = torch.rand(len(x_NCHW), generator=generator) < 0.5
        return torch.where(chosen_N[:, None, None, None], x_NCHW.flip(3), x_NCHW)

    # conf/optimizer/signs.yaml
    _target_: my_pieces.signs
    _partial_: true
    lr: 0.001

    # conf/scheduler/linear.yaml
    _target_: my_pieces.linear
    _partial_: true

    # conf/augment/mirror.yaml
    _target_: my_pieces.mirror
    _partial_: true

A saved run that names a class of yours is loaded once you say so: `TRAINLAB_ALLOW=my_pieces.`
"""
