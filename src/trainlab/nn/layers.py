"""Weight layers: which they are, how wide their fans, their weights as matrices, and the one torch lacks.

Legend: N images, C channels in, F maps out, k × k kernel, K = C·k² inputs of one output, L output positions.
"""

import math
from collections.abc import Generator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules import activation as torch_activations
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from trainlab.errors import RequestError

NORMS_WITH_WEIGHT_MATRICES = (nn.LayerNorm, nn.RMSNorm)
"""Normalization layers whose scale may have two dimensions and more: it is no weight to initialize."""


class LocallyConnected2d(nn.Module):
    """A convolution whose weights are not shared: every output position has a kernel and a bias of its own.

    y[n, f, i, j] = b[f, i, j] + Σ_K w[(i, j), f, K] · patch[n, K, (i, j)]: the patches are views of the input
    (`unfold`), copied once into the layout of one batched product over all positions.
    oh · ow · F · (k²C + 1) parameters. Raises RequestError where the kernel does not fit into the image.
    """

    bias: nn.Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        in_size_HW: tuple[int, int],
        stride: int = 1,
        padding: int = 0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        height, width = ((n + 2 * padding - kernel_size) // stride + 1 for n in in_size_HW)
        if min(height, width) < 1:
            raise RequestError(
                f"locally connected layer: a kernel of {kernel_size} × {kernel_size} does not fit into "
                f"{in_size_HW[0]} × {in_size_HW[1]} pixels with padding {padding}"
            )
        self.out_size_HW = (height, width)
        self.fan_in = in_channels * kernel_size**2
        self.fan_out = out_channels * kernel_size**2
        self.weight = nn.Parameter(torch.empty(height * width, out_channels, self.fan_in))
        biases = torch.empty(out_channels, height, width)
        self.register_parameter("bias", nn.Parameter(biases) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weights and biases U(±1/√fan_in): what torch.nn.Conv2d starts with."""
        bound = 1 / math.sqrt(self.fan_in)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def forward(self, x_NCHW: Float[Tensor, "N C H W"]) -> Float[Tensor, "N F h w"]:
        """Maps (N, C, H, W) to (N, F, oh, ow)."""
        if self.padding:
            x_NCHW = nn.functional.pad(x_NCHW, [self.padding] * 4)
        patches_NChwkk = x_NCHW.unfold(2, self.kernel_size, self.stride).unfold(
            3, self.kernel_size, self.stride
        )
        patches_LNK = patches_NChwkk.permute(2, 3, 0, 1, 4, 5).reshape(-1, len(x_NCHW), self.fan_in)
        y_LNF = torch.bmm(patches_LNK, self.weight.transpose(1, 2))
        y_NFhw = y_LNF.permute(1, 2, 0).unflatten(2, self.out_size_HW)
        return y_NFhw if self.bias is None else y_NFhw + self.bias

    def extra_repr(self) -> str:
        """What `print(network)` shows."""
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"padding={self.padding}, out_size={self.out_size_HW}"
        )


def weight_layers(network: nn.Module) -> list[tuple[str, nn.Module]]:
    """The layers that an initializer fills, by name, in order of registration.

    See `is_weight_layer`.
    """
    return [(name, module) for name, module in network.named_modules() if is_weight_layer(module)]


def is_weight_layer(module: nn.Module) -> bool:
    """Whether a module owns a parameter `weight` of two dimensions or more, and does not normalize.

    Convolutions, dense and locally connected layers and a user's own.
    """
    weight = module._parameters.get("weight")
    return (
        isinstance(weight, nn.Parameter)
        and weight.dim() >= 2
        and not isinstance(module, NORMS_WITH_WEIGHT_MATRICES)
    )


def fans(layer: nn.Module) -> tuple[int, int]:
    """(fan_in, fan_out): inputs that one output sums, and outputs that one input goes to.

    A layer of its own kind says so in attributes `fan_in` and `fan_out`. Of a convolution: k² c_in / groups
    and k² c_out / groups (He et al. 2015, n and n̂). Else of a weight (outputs, inputs, …).
    """
    own = getattr(layer, "fan_in", None), getattr(layer, "fan_out", None)
    if isinstance(own[0], int) and isinstance(own[1], int):
        return own[0], own[1]
    weight = layer.get_parameter("weight")
    taps = weight[0, 0].numel()
    rows, columns = weight.shape[:2]
    if isinstance(layer, _ConvTransposeNd):
        return rows // layer.groups * taps, columns * taps
    return columns * taps, rows // _groups(layer) * taps


def weight_matrices_shape(layer: nn.Module) -> tuple[int, int, int]:
    """(G, outputs, inputs) of the weight as G separate matrices, which `reshape` to the weight's shape.

    G counts the groups of a convolution, or the positions of unshared weights. A weight of another kind is
    one matrix (outputs, everything else).
    """
    weight = layer.get_parameter("weight")
    if isinstance(layer, LocallyConnected2d):
        return weight.shape[0], weight.shape[1], weight.shape[2]
    groups = _groups(layer)
    return groups, weight.shape[0] // groups, weight[0].numel()


def kernel_shape(layer: nn.Module) -> torch.Size:
    """The kernel's size in taps; of a dense layer an empty one (of one tap)."""
    if isinstance(layer, LocallyConnected2d):
        return torch.Size([layer.kernel_size, layer.kernel_size])
    return layer.get_parameter("weight").shape[2:]


def _groups(layer: nn.Module) -> int:
    return layer.groups if isinstance(layer, _ConvNd) and not layer.transposed else 1


NOT_ELEMENTWISE = (
    nn.Softmax, nn.Softmax2d, nn.LogSoftmax, nn.Softmin, nn.GLU, nn.MultiheadAttention,
)  # fmt: skip


def is_activation(name: str, module: nn.Module) -> bool:
    """Whether a module is an activation: torch's elementwise ones, and any that is named `activation`."""
    if name.rpartition(".")[2] == "activation":
        return True
    return type(module).__module__ == torch_activations.__name__ and not isinstance(module, NOT_ELEMENTWISE)


@contextmanager
def restored_modes(network: nn.Module) -> Generator[None, None, None]:
    """Each module of `network` is in training or evaluation mode after the block as it was before."""
    modes = {module: module.training for module in network.modules()}
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
