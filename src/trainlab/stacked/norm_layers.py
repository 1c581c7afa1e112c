"""Normalization layers of B networks: each run by its own statistics, all at once where memory allows.

Legend: B runs, N images, C channels, H × W map, F features.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainlab.stacked.layout import grouped, is_one_block, ungrouped
from trainlab.stacked.leaf import StackedLeaf, StackedTensors


class StackedBatchNorm2d(StackedLeaf):
    """`nn.BatchNorm2d` of each run: mean and variance over N, H, W; γ, β and running statistics (B, C)."""

    weight: Tensor | None
    bias: Tensor | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(self, singles: Sequence[nn.BatchNorm2d], tensors: StackedTensors) -> None:
        super().__init__(singles)
        tensors.fill(self, singles)
        self.eps, self.momentum = singles[0].eps, singles[0].momentum

    def forward(self, x_BNCHW: Tensor) -> Tensor:
        """Normalized maps, of the same shape."""
        mean, var = self.running_mean, self.running_var
        if not self.training or mean is None or var is None:
            return self._normalize(x_BNCHW, mean, var, self.training or mean is None, 0.0)
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        if self.momentum is not None:
            return self._normalize(x_BNCHW, mean, var, True, self.momentum)
        # the mean over all batches so far: the share of a new one is 1 / their number, each run's own
        new_mean, new_var = torch.zeros_like(mean), torch.zeros_like(var)
        y_BNCHW = self._normalize(x_BNCHW, new_mean, new_var, True, 1.0)
        share_B1 = self.num_batches_tracked.to(mean.dtype).reciprocal()[:, None]
        mean.lerp_(new_mean, share_B1)
        var.lerp_(new_var, share_B1)
        return y_BNCHW

    def _normalize(
        self, x_BNCHW: Tensor, mean: Tensor | None, var: Tensor | None, use_batch: bool, momentum: float
    ) -> Tensor:
        tensors = (mean, var, self.weight, self.bias)
        if x_BNCHW.is_cuda or is_one_block(x_BNCHW, 0, 2):
            mean, var, weight, bias = (None if t is None else t.flatten() for t in tensors)
            x_BCNHW = x_BNCHW.transpose(1, 2)
            if x_BCNHW.is_contiguous():  # after a batched product: the values of a channel lie together
                x_1DM = x_BCNHW.reshape(1, -1, x_BCNHW[0, 0].numel())
                y_1DM = F.batch_norm(x_1DM, mean, var, weight, bias, use_batch, momentum, self.eps)
                return y_1DM.view_as(x_BCNHW).transpose(1, 2)
            y = F.batch_norm(grouped(x_BNCHW), mean, var, weight, bias, use_batch, momentum, self.eps)
            return ungrouped(y, self.runs)
        parts = [[None] * self.runs if t is None else t.unbind() for t in tensors]
        outputs = [
            F.batch_norm(x, m, v, weight, bias, use_batch, momentum, self.eps)
            for x, m, v, weight, bias in zip(x_BNCHW.unbind(), *parts, strict=True)
        ]
        return torch.stack([y.movedim(1, 3) for y in outputs]).movedim(4, 2)


class StackedGroupNorm(StackedLeaf):
    """`nn.GroupNorm` of each run: over groups of channels of each image; γ, β (B, C)."""

    weight: Tensor | None
    bias: Tensor | None

    def __init__(self, singles: Sequence[nn.GroupNorm], tensors: StackedTensors) -> None:
        super().__init__(singles)
        tensors.fill(self, singles)
        self.num_groups, self.eps = singles[0].num_groups, singles[0].eps

    def forward(self, x_BNC: Tensor) -> Tensor:
        """Normalized maps or features (B, N, C, …), of the same shape."""
        if x_BNC.dim() > 3 and is_one_block(x_BNC, 0, 2) and x_BNC.stride(0) < x_BNC.stride(1):
            weight, bias = (None if t is None else t.flatten() for t in (self.weight, self.bias))
            groups = self.runs * self.num_groups
            return ungrouped(F.group_norm(grouped(x_BNC), groups, weight, bias, self.eps), self.runs)
        B, N = x_BNC.shape[:2]
        y_BNC = F.group_norm(x_BNC.flatten(0, 1), self.num_groups, eps=self.eps).unflatten(0, (B, N))
        if self.weight is None or self.bias is None:
            return y_BNC
        shape = (B, 1, -1, *[1] * (x_BNC.dim() - 3))
        return torch.addcmul(self.bias.view(shape), y_BNC, self.weight.view(shape))


class StackedInstanceNorm2d(StackedLeaf):
    """`nn.InstanceNorm2d` of each run: over H, W of each channel of each image; γ, β (B, C)."""

    weight: Tensor | None
    bias: Tensor | None
    running_mean: Tensor | None
    running_var: Tensor | None

    def __init__(self, singles: Sequence[nn.InstanceNorm2d], tensors: StackedTensors) -> None:
        super().__init__(singles)
        tensors.fill(self, singles)
        self.eps, self.track_running_stats = singles[0].eps, singles[0].track_running_stats
        self.momentum = 0.0 if singles[0].momentum is None else singles[0].momentum

    def forward(self, x_BNCHW: Tensor) -> Tensor:
        """Normalized maps, of the same shape."""
        tensors = (self.running_mean, self.running_var, self.weight, self.bias)
        mean, var, weight, bias = (None if t is None else t.flatten() for t in tensors)
        from_image = self.training or not self.track_running_stats
        x = grouped(x_BNCHW)
        y = F.instance_norm(x, mean, var, weight, bias, from_image, self.momentum, self.eps)
        return ungrouped(y, self.runs)


class StackedFeatureNorm(StackedLeaf):
    """`FeatureNorm` of each run: its stacked layer for maps takes features as F maps of 1 × 1."""

    layer: nn.Module

    def __init__(self, singles: Sequence[nn.Module], layer: nn.Module) -> None:
        super().__init__(singles)
        self.layer = layer

    def forward(self, x_BNF: Tensor) -> Tensor:
        """Features (B, N, F) normalized, of the same shape."""
        return self.layer(x_BNF[..., None, None]).flatten(2)
