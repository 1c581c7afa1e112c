"""How a network is wired and fed, as far as one training step shows it: faults that no layer's numbers show.

Legend: N images, C channels, H × W pixels, K classes.
"""

from collections.abc import Iterable, Mapping

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.module import register_module_forward_hook

from trainlab.signals.quantities import Scalar
from trainlab.signals.rows import Conditional
from trainlab.signals.run_dimension import OneRun
from trainlab.signals.tensor_sampling import wide_dtype
from trainlab.signals.weak_hooks import hook_weakly

SUM_TO_ONE = 1e-3
"""How far the sum of an image's outputs may be from 1 for them to be probabilities."""


class UnregisteredLayers:
    """Layers with weights that run inside a network and are no part of it: nothing trains them.

    A plain Python list of layers hides them from `parameters()`. They are counted while `remove` has not
    been called, between the network's own entry and exit (`inside`). `own`: all modules of the network.
    """

    def __init__(self, own: Iterable[nn.Module]) -> None:
        self.inside = False
        self._own = set(own)
        self._found: set[nn.Module] = set()
        self._handle = hook_weakly(register_module_forward_hook, self._count)

    def __len__(self) -> int:
        return len(self._found)

    @property
    def found(self) -> list[nn.Module]:
        """The layers, in no order."""
        return list(self._found)

    def _count(self, module: nn.Module, inputs: object, output: object) -> None:
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

    def gradients(self) -> tuple[Tensor, Tensor] | None:
        """The weight's gradient as it is now, and what the pass gave it; None where there was no pass."""
        return None if self._new is None or self.weight.grad is None else (self.weight.grad, self._new)


def left_over_share(grad: Float[Tensor, "*shape"], new: Float[Tensor, "*shape"]) -> Scalar:
    """‖gradient − the pass's own‖ / ‖the pass's own‖."""
    size = torch.linalg.vector_norm(new)
    left = torch.linalg.vector_norm(grad - new)
    return left / size.clamp(min=torch.finfo(size.dtype).tiny)


def output_quantities(logits_NK: Shaped[Tensor, "N K"]) -> Mapping[str, Scalar]:
    """Shares of images whose outputs are probabilities; of outputs below zero; of outputs of exactly zero."""
    kind = wide_dtype(logits_NK.device)
    lowest_N, sum_N = logits_NK.amin(1), logits_NK.sum(1)
    are_N = (lowest_N >= 0) & ((sum_N - 1).abs() <= SUM_TO_ONE)
    return {
        "outputs_probabilities": are_N.mean(dtype=kind),
        "outputs_negative": (logits_NK < 0).mean(dtype=kind),
        "outputs_zero": (logits_NK == 0).mean(dtype=kind),
    }


def batchnorm_quantities(network: nn.Module, runs: OneRun) -> Mapping[str, Tensor | float]:
    """Share of the BatchNorm layers in evaluation mode, with statistics of 0 and 1 as they were made with.

    No row where the network itself is in evaluation mode, or has no such layer.
    """
    layers = [
        layer
        for layer in network.modules()
        if isinstance(template := runs.template(layer), _BatchNorm) and template.running_mean is not None
    ]
    if not layers or not network.training:
        return {}
    still = [layer for layer in layers if not layer.training]
    if not still:
        return {"batchnorm_frozen": 0.0}
    statistics = [(layer.get_buffer("running_mean"), layer.get_buffer("running_var")) for layer in still]
    frozen = [runs.each(_are_initial)(mean_C, var_C) for mean_C, var_C in statistics]
    return {"batchnorm_frozen": torch.stack(frozen).sum(0) / len(layers)}


def _are_initial(mean_C: Float[Tensor, " C"], var_C: Float[Tensor, " C"]) -> Scalar:
    return ((mean_C == 0).all() & (var_C == 1).all()).float()


def neighbour_correlations(x: Float[Tensor, "N ..."], images: int) -> Mapping[str, Conditional]:
    """How alike vertical neighbours are, and how alike they would be with the axes in another order.

    `neighbours`: the correlation −1..1 of a pixel with the one below it. `neighbours_reordered`: the larger
    of those of the two arrangements that a `view` in the place of a `permute` confuses with it, (N, H, W, C)
    read as (N, C, H, W) and the other way round. Only images of several channels have rows, and finite ones.
    """
    if x.dim() != 4 or x.shape[1] < 2 or x.shape[1] > 4 or min(x.shape[2:]) < 4:
        return {}
    x = x[:images].detach().float()
    N, C, H, W = x.shape
    as_is = _vertical_correlation(x)
    orders = (
        x.reshape(N, H, W, C).permute(0, 3, 1, 2),
        x.permute(0, 2, 3, 1).reshape(N, C, H, W),
    )
    reordered = torch.stack([_vertical_correlation(order_NCHW) for order_NCHW in orders]).amax()
    is_finite = torch.isfinite(as_is)
    return {
        "neighbours": Conditional(as_is, is_finite),
        "neighbours_reordered": Conditional(reordered, is_finite),
    }


def _vertical_correlation(x_NCHW: Float[Tensor, "N C H W"]) -> Scalar:
    centred_NCHW = x_NCHW - x_NCHW.mean((0, 2, 3), keepdim=True)
    product = (centred_NCHW[:, :, :-1] * centred_NCHW[:, :, 1:]).mean()
    return product / centred_NCHW.square().mean()
