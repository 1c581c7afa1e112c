"""A network made to be trained in seconds: whitened patches, three stages of convolutions, scaled logits."""

from collections.abc import Sequence

from torch import Tensor, nn

from trainlab.errors import RequestError
from trainlab.models.blocks import (
    MAX_LISTED_DEPTH,
    MAX_POOL,
    NO_NORM,
    ConvBlock,
    ModuleFactory,
    ShapeCHW,
    output_shape,
    require_at_least,
    require_poolings,
)
from trainlab.nn.norm_layers import NormLayer
from trainlab.nn.pooling import conv_stride
from trainlab.nn.whitening import PatchWhitening

MAPS_BY_STAGE = (1, 4, 4)
"""Maps per stage, in units of `width`."""

UNSCALED_FEATURES = 32
"""Up to so many features logits are left as they are."""


class WhitenedCNN(nn.Module):
    """Patch whitening → activation, three stages, global maximum, one dense layer; logits times a scale.

    A stage is convolution → pooling → norm → activation, then depth/3 − 1 times convolution → norm →
    activation, all 3 × 3: pooling before the first norm makes what follows four times cheaper. Maps are
    64-256-256 at the default width of 64. The form is that of the networks that reach 94% on CIFAR-10 in
    seconds (Page 2018; tysam 2023, hlb-CIFAR10; Jordan 2024, arXiv:2404.00498). `logit_scale` keeps the
    first logits small while the features are many: 32/features, at most 1, when None (1/8 at width 64). Takes
    normalized x_NCHW, returns logits_NK.

    Raises RequestError for a depth that is no multiple of three, a size below 1, images that are too small.
    """

    @staticmethod
    def depths(limit: int = MAX_LISTED_DEPTH) -> Sequence[int]:
        """Convolutions behind the whitening: the multiples of three up to `limit`."""
        return range(3, limit + 1, 3)

    def __init__(
        self,
        in_shape_CHW: ShapeCHW,
        num_classes: int,
        *,
        depth: int = 6,
        width: int = 64,
        logit_scale: float | None = None,
        activation: ModuleFactory = nn.ReLU,
        norm_layer: NormLayer = NO_NORM,
        pool: ModuleFactory | None = MAX_POOL,
    ) -> None:
        super().__init__()
        stages = len(MAPS_BY_STAGE)
        if depth < stages or depth % stages:
            raise RequestError(
                f"model=whitened_cnn: got depth={depth}, expected a multiple of {stages}: 3, 6, 9, …"
            )
        require_at_least("width", width, 1)
        whitening = PatchWhitening(in_shape_CHW[0])
        shape = output_shape(whitening, in_shape_CHW)
        require_poolings("whitened_cnn", shape, stages)
        self.whitening = nn.Sequential()
        self.whitening.add_module("patches", whitening)
        self.whitening.add_module("activation", activation())
        self.stages = nn.Sequential()
        for i, maps in enumerate(MAPS_BY_STAGE):
            stage = PoolFirstStage(
                shape,
                maps * width,
                depth // stages,
                pool=pool,
                activation=activation,
                norm_layer=norm_layer,
            )
            self.stages.add_module(str(i + 1), stage)
            shape = stage.out_shape_CHW
        self.head = MaximumHead(shape, num_classes)
        self.logit_scale = min(1.0, UNSCALED_FEATURES / shape[0]) if logit_scale is None else logit_scale

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Normalized images to logits (N, K)."""
        return self.head(self.stages(self.whitening(x_NCHW))) * self.logit_scale


class PoolFirstStage(nn.Sequential):
    """Convolution → pooling → [norm] → activation → [norm], then `count` − 1 blocks without pooling."""

    def __init__(
        self,
        in_shape_CHW: ShapeCHW,
        channels: int,
        count: int,
        *,
        pool: ModuleFactory | None,
        activation: ModuleFactory,
        norm_layer: NormLayer,
    ) -> None:
        super().__init__()
        pooling = None if pool is None else pool()
        conv = nn.Conv2d(
            in_shape_CHW[0],
            channels,
            3,
            stride=conv_stride(pooling),
            padding=1,
            bias=norm_layer.keeps_bias,
        )
        shape = output_shape(conv, in_shape_CHW)
        self.conv1 = nn.Sequential()
        self.conv1.add_module("conv", conv)
        if pooling is not None:
            self.conv1.add_module("pool", pooling)
            shape = output_shape(pooling, shape)
        parts = {**norm_layer.before(shape), "activation": activation(), **norm_layer.after(shape)}
        for name, module in parts.items():
            self.conv1.add_module(name, module)
        for i in range(1, count):
            block = ConvBlock(
                shape, channels, kernel=3, padding=1, activation=activation, norm_layer=norm_layer
            )
            self.add_module(f"conv{i + 1}", block)
        self.out_shape_CHW: ShapeCHW = (channels, *shape[1:])


class MaximumHead(nn.Sequential):
    """Global maximum, then one dense layer without bias: maps (N, C, H, W) to logits (N, K)."""

    def __init__(self, in_shape_CHW: ShapeCHW, num_classes: int) -> None:
        channels, height, width = in_shape_CHW
        super().__init__()
        # not AdaptiveMaxPool2d, whose gradient on a GPU differs from run to run
        self.add_module("pool", nn.MaxPool2d((height, width)))
        self.add_module("flatten", nn.Flatten())
        self.add_module("linear", nn.Linear(channels, num_classes, bias=False))
