"""A plain convolutional network of any depth and width: 3 × 3 convolutions in stages, without shortcuts."""

from collections.abc import Sequence

from torch import Tensor, nn

from trainlab.errors import RequestError
from trainlab.models.blocks import (
    MAX_LISTED_DEPTH,
    MAX_POOL,
    NO_NORM,
    AverageHead,
    ConvStage,
    DenseHead,
    ModuleFactory,
    ShapeCHW,
    convolution_with,
    max_poolings,
    remove_biases,
    require_at_least,
    require_head,
    require_poolings,
)
from trainlab.nn.norm_layers import NormLayer

DEFAULT_STAGES = 3


class PlainCNN(nn.Module):
    """`depth` 3 × 3 convolutions in `stages`, pooling between them, global average pooling, one dense layer.

    | stage | maps                  | convolutions   | then    |
    |-------|-----------------------|----------------|---------|
    | 1     | width                 | depth / stages | pool    |
    | 2     | 2 · width             | depth / stages | pool    |
    | last  | 2^(stages − 1) · width | depth / stages | average |

    Where depth is no multiple of stages, the later stages have one more. `stages` None is three, or fewer
    where the depth or the image has no room for them. `padding` is what the image is continued with: zeros
    when None, which cost signal at the border of every layer; circular, as theory has it, does not. `bias`
    False leaves the biases out, as theory often does. `head` mean, or None, averages each of the last maps;
    dense gives the output layer every position of them instead. Takes normalized x_NCHW, returns logits_NK.

    Raises RequestError for a size below 1, more stages than convolutions, more poolings than the image holds,
    and an unknown padding or head.
    """

    @staticmethod
    def depths(limit: int = MAX_LISTED_DEPTH) -> Sequence[int]:
        """Convolutions: any number, here up to `limit`."""
        return range(1, limit + 1)

    def __init__(
        self,
        in_shape_CHW: ShapeCHW,
        num_classes: int,
        *,
        depth: int = 4,
        width: int = 16,
        stages: int | None = None,
        activation: ModuleFactory = nn.ReLU,
        norm_layer: NormLayer = NO_NORM,
        pool: ModuleFactory | None = MAX_POOL,
        padding: str | None = None,
        bias: bool | None = None,
        head: str | None = None,
    ) -> None:
        super().__init__()
        require_at_least("depth", depth, 1)
        require_at_least("width", width, 1)
        if stages is None:
            stages = min(DEFAULT_STAGES, depth, max_poolings(in_shape_CHW) + 1)
        require_at_least("model.stages", stages, 1)
        if stages > depth:
            raise RequestError(
                f"model.stages: got {stages}, expected at most depth={depth}, one convolution each"
            )
        require_poolings("plain_cnn", in_shape_CHW, stages - 1)
        head = head or "mean"
        require_head(head)
        convolution = convolution_with(padding)

        self.stages = nn.Sequential()
        shape = in_shape_CHW
        for i in range(stages):
            stage = ConvStage(
                shape,
                channels=width * 2**i,
                count=(depth + i) // stages,
                pool=pool if i < stages - 1 else None,
                activation=activation,
                norm_layer=norm_layer,
                convolution=convolution,
            )
            self.stages.add_module(str(i + 1), stage)
            shape = stage.out_shape_CHW
        self.head = AverageHead(shape[0], num_classes) if head == "mean" else DenseHead(shape, num_classes)
        if bias is False:
            remove_biases(self)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Normalized images to logits (N, K)."""
        return self.head(self.stages(x_NCHW))
