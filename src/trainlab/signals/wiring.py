"""How a network is wired and fed, as far as one training step shows it: faults that no layer's numbers show.

Legend: N images, C channels, H × W pixels, K classes.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.module import register_module_forward_hook

from trainlab.signals.tensor_sampling import wide_dtype

SUM_TO_ONE = 1e-3
"""How far the sum of an image's outputs may be from 1 for them to be probabilities."""


class UnregisteredLayers:
    """Layers with weights that run inside a network and are no part of it: nothing trains them.

    A plain Python list of layers hides them from `parameters()`. They are counted while `remove` has not
    been called, between the network's own entry and exit (`inside`).
    """

    def __init__(self, network: nn.Module) -> None:
        self.inside = False
        self._own = set(network.modules())
        self._found: set[nn.Module] = set()
        self._handle = register_module_forward_hook(self._count)

    def __len__(self) -> int:
        return len(self._found)

    def _count(self, module: nn.Module, *_: object) -> None:
        if (
            self.inside
            and module not in self._own
            and next(module.parameters(recurse=False), None) is not None
        ):
            self._found.add(module)

    def remove(self) -> None:
        """Stops counting."""
        self._handle.remove()


class LeftOverGradient:
    """What of a weight's gradient was there before the backward pass: a loop without `zero_grad` adds it
    up."""

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight
        self._new: Tensor | None = None
        self._handle = weight.register_hook(self._take)

    def _take(self, grad: Tensor) -> None:
        self._new = grad.detach().clone()

    def remove(self) -> None:
        """Takes the hook off the weight."""
        self._handle.remove()

    def share(self) -> Tensor | None:
        """‖gradient − the pass's own‖ / ‖the pass's own‖; None where there was none."""
        if self._new is None or self.weight.grad is None:
            return None
        size = torch.linalg.vector_norm(self._new)
        left = torch.linalg.vector_norm(self.weight.grad - self._new)
        return left / size.clamp(min=torch.finfo(size.dtype).tiny)


def output_quantities(logits_NK: Tensor) -> Mapping[str, Tensor]:
    """Shares of images whose outputs are probabilities; of outputs below zero; of outputs of exactly zero."""
    kind = wide_dtype(logits_NK.device)
    lowest_N, sum_N = logits_NK.amin(1), logits_NK.sum(1)
    are_N = (lowest_N >= 0) & ((sum_N - 1).abs() <= SUM_TO_ONE)
    return {
        "outputs_probabilities": are_N.mean(dtype=kind),
        "outputs_negative": (logits_NK < 0).mean(dtype=kind),
        "outputs_zero": (logits_NK == 0).mean(dtype=kind),
    }


def batchnorm_quantities(network: nn.Module) -> Mapping[str, Tensor]:
    """Share of the BatchNorm layers in evaluation mode, with statistics of 0 and 1 as they were made with.

    No row where the network itself is in evaluation mode, or has no such layer.
    """
    layers = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]
    if not layers or not network.training:
        return {}
    frozen = [
        _has_initial_statistics(layer) if not layer.training else torch.zeros((), device=_device(layer))
        for layer in layers
    ]
    return {"batchnorm_frozen": torch.stack(frozen).mean()}


def _device(layer: _BatchNorm) -> torch.device:
    assert layer.running_mean is not None
    return layer.running_mean.device


def _has_initial_statistics(layer: _BatchNorm) -> Tensor:
    assert layer.running_mean is not None and layer.running_var is not None
    return ((layer.running_mean == 0).all() & (layer.running_var == 1).all()).float()


def neighbour_correlations(x: Tensor, images: int) -> Mapping[str, Tensor]:
    """How alike vertical neighbours are, and how alike they would be with the axes in another order.

    `neighbours`: the correlation −1..1 of a pixel with the one below it. `neighbours_reordered`: the larger
    of those of the two arrangements that a `view` in the place of a `permute` confuses with it, (N, H, W, C)
    read as (N, C, H, W) and the other way round. Only images of several channels have rows.
    """
    if x.dim() != 4 or x.shape[1] < 2 or x.shape[1] > 4 or min(x.shape[2:]) < 4:
        return {}
    x = x[:images].detach().float()
    N, C, H, W = x.shape
    as_is = _vertical_correlation(x)
    if not bool(torch.isfinite(as_is)):
        return {}
    orders: tuple[Callable[[], Tensor], ...] = (
        lambda: x.reshape(N, H, W, C).permute(0, 3, 1, 2),
        lambda: x.permute(0, 2, 3, 1).reshape(N, C, H, W),
    )
    return {
        "neighbours": as_is,
        "neighbours_reordered": torch.stack([_vertical_correlation(f()) for f in orders]).amax(),
    }


def _vertical_correlation(x_NCHW: Tensor) -> Tensor:
    centred_NCHW = x_NCHW - x_NCHW.mean((0, 2, 3), keepdim=True)
    product = (centred_NCHW[:, :, :-1] * centred_NCHW[:, :, 1:]).mean()
    return product / centred_NCHW.square().mean()
