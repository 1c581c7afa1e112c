"""BatchNorm over the batch of all processes, on the CPU; torch's own SyncBatchNorm is for GPUs only."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class _AverageOverProcesses(torch.autograd.Function):
    """The mean of a tensor over all processes; its gradient is the mean of their gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _average(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _average(gradients[0])


def _average(x: Tensor) -> Tensor:
    total = x.detach().clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()


class SyncBatchNorm2d(nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d` whose training statistics are those of the global batch.

    x_NCHW holds one process' equal share of it. With μ and σ² over N, H, W of all processes,
    y = γ (x − μ)/√(σ² + ε) + β, and the running variance takes the unbiased estimate (Ioffe & Szegedy 2015,
    algorithm 1). In eval mode, and without a process group, it is BatchNorm2d itself.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalizes x_NCHW; same shape."""
        if not self.training or not dist.is_initialized():
            return super().forward(input)
        mean_C = _AverageOverProcesses.apply(input.mean(dim=(0, 2, 3)))
        centred = input - mean_C[:, None, None]
        var_C = _AverageOverProcesses.apply(centred.square().mean(dim=(0, 2, 3)))
        self._update(mean_C.detach(), var_C.detach(), input.numel() // input.shape[1] * dist.get_world_size())
        normalized = centred * (var_C + self.eps).rsqrt()[:, None, None]
        if self.affine:
            normalized = normalized * self.weight[:, None, None] + self.bias[:, None, None]
        return normalized

    @torch.no_grad()
    def _update(self, mean_C: Tensor, var_C: Tensor, count: int) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return  # track_running_stats=False
        self.num_batches_tracked.add_(1)
        momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean_C, momentum)
        self.running_var.lerp_(var_C * count / max(1, count - 1), momentum)


def synchronize_batchnorm(network: nn.Module) -> None:
    """Turns each BatchNorm2d of a network into a SyncBatchNorm2d, in place: same parameters, same state."""
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SyncBatchNorm2d
