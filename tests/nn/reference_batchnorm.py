"""BatchNorm written from the formula (Ioffe & Szegedy 2015, Alg. 1): the twin of torch.nn.BatchNorm2d."""

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass
class ReferenceBatchNorm:
    """Per channel over N, H, W: y = γ (x − μ)/√(v + ε) + β, v biased; running: unbiased."""

    channels: int
    eps: float = 1e-5
    momentum: float = 0.1
    training: bool = True
    gamma_C: Tensor = field(init=False)
    beta_C: Tensor = field(init=False)
    running_mean_C: Tensor = field(init=False)
    running_var_C: Tensor = field(init=False)

    def __post_init__(self):
        self.gamma_C, self.beta_C = torch.ones(self.channels), torch.zeros(self.channels)
        self.running_mean_C, self.running_var_C = torch.zeros(self.channels), torch.ones(self.channels)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        if self.training:
            count = x_NCHW.numel() // self.channels
            mean_C = x_NCHW.sum((0, 2, 3)) / count
            variance_C = (x_NCHW - mean_C.reshape(1, -1, 1, 1)).square().sum((0, 2, 3)) / count
            unbiased_C = variance_C * count / (count - 1)
            self.running_mean_C = (1 - self.momentum) * self.running_mean_C + self.momentum * mean_C
            self.running_var_C = (1 - self.momentum) * self.running_var_C + self.momentum * unbiased_C
        else:
            mean_C, variance_C = self.running_mean_C, self.running_var_C
        self.std_C = (variance_C + self.eps).sqrt()
        self.xhat_NCHW = (x_NCHW - mean_C.reshape(1, -1, 1, 1)) / self.std_C.reshape(1, -1, 1, 1)
        return self.gamma_C.reshape(1, -1, 1, 1) * self.xhat_NCHW + self.beta_C.reshape(1, -1, 1, 1)

    def backward(self, g_NCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(dx, dγ, dβ): dx = γ/√(v + ε) · (g − mean g − x̂ · mean(g · x̂)); in eval mode γ/√(v + ε) · g."""
        dgamma_C = (g_NCHW * self.xhat_NCHW).sum((0, 2, 3))
        dbeta_C = g_NCHW.sum((0, 2, 3))
        scale = (self.gamma_C / self.std_C).reshape(1, -1, 1, 1)
        if not self.training:
            return scale * g_NCHW, dgamma_C, dbeta_C
        count = g_NCHW.numel() // self.channels
        mean_g = (dbeta_C / count).reshape(1, -1, 1, 1)
        mean_gx = (dgamma_C / count).reshape(1, -1, 1, 1)
        return scale * (g_NCHW - mean_g - self.xhat_NCHW * mean_gx), dgamma_C, dbeta_C
