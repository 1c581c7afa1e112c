"""A first layer that whitens patches of the image: no weights to train, statistics of the images instead.

Legend: N images, C channels, H × W pixels, k × k patches, K = C·k² values of a patch.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64
from torch import Tensor, nn

from trainlab.nn.initializers import LayerFittedToImages


class PatchWhitening(LayerFittedToImages):
    """Each k × k patch p (stride 1, no padding) to ±vᵢ·p/√(λᵢ + ε) + b, i = 1 … K: 2K maps.

    λᵢ, vᵢ are the eigenvalues and eigenvectors of E[p pᵀ] over the patches that `fit_to_images` was shown:
    the first K maps are uncorrelated and of unit power, and the others are their negatives, since an
    activation like ReLU lets one sign through (Page 2018, "How to train your ResNet", part 8; Jordan 2024,
    arXiv:2404.00498, section 3.1). The weights are a buffer; the bias is trained. Until it has been fitted,
    the maps are the patch's own values.
    """

    weight: Tensor

    def __init__(self, in_channels: int, kernel_size: int = 2, eps: float = 5e-4) -> None:
        super().__init__()
        self.in_channels, self.kernel_size, self.eps = in_channels, kernel_size, eps
        self.stride, self.padding = 1, 0
        values = in_channels * kernel_size**2
        self.out_channels = 2 * values
        identity_KChw = torch.eye(values).reshape(values, in_channels, kernel_size, kernel_size)
        self.register_buffer("weight", torch.cat([identity_KChw, -identity_KChw]))
        self.bias = nn.Parameter(torch.zeros(2 * values))

    @torch.no_grad()
    def fit_to_images(self, x_NCHW: Float[Tensor, "N C H W"]) -> None:
        """Takes the weights from the patches of normalized images."""
        eigenvalues_K, vectors_KK = torch.linalg.eigh(self.patch_power(x_NCHW))
        # eigh leaves the sign open: the largest entry of each vector is positive
        largest_1K = vectors_KK.gather(0, vectors_KK.abs().argmax(0, keepdim=True))
        rows_KK = (vectors_KK * largest_1K.sign() / (eigenvalues_K.clamp(min=0) + self.eps).sqrt()).T
        self.weight.copy_(torch.cat([rows_KK, -rows_KK]).reshape(self.weight.shape))

    def patch_power(self, x_NCHW: Float[Tensor, "N C H W"]) -> Float64[Tensor, "K K"]:
        """E[p pᵀ], (K, K) float64, over all patches of all images; it is their covariance at mean zero."""
        total_KK = torch.zeros(self.out_channels // 2, self.out_channels // 2, dtype=torch.float64)
        patches = 0
        for part_NCHW in x_NCHW.split(256):
            patches_NKL = F.unfold(part_NCHW.float(), self.kernel_size)
            patches_PK = patches_NKL.transpose(1, 2).reshape(-1, patches_NKL.shape[1])
            total_KK += (patches_PK.T @ patches_PK).double().cpu()
            patches += len(patches_PK)
        return total_KK / patches

    def forward(self, x_NCHW: Float[Tensor, "N C H W"]) -> Float[Tensor, "N F h w"]:
        """Maps (N, C, H, W) to (N, 2K, H − k + 1, W − k + 1)."""
        return F.conv2d(x_NCHW, self.weight, self.bias)

    def extra_repr(self) -> str:
        """What `print(network)` shows."""
        return f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, eps={self.eps}"
