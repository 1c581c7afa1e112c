"""A copy of the network at its initialization as a function of its weights, in training and in evaluation.

Legend: N images, K classes, B images of a training batch, C channels.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from trainlab.errors import RequestError, error_with_type
from trainlab.forecast.isolation import copy_model, unwrap_model

Weights = Mapping[str, Tensor]
"""A value for each trainable parameter, by its name in the network."""

NEGLIGIBLE_LAG = 0.01
"""Share of their initial values in BatchNorm's running statistics below which these count as the data's."""


class FunctionalModel:
    """A copy of `model` as a function of its trainable weights.

    Each module has the mode in which it was handed over; a network that is wholly in eval mode is taken as
    one that `train()` is called on before training, and `notes` tells so. In a pass of training BatchNorm
    normalizes batches of `batch_size` images (None: all at once) and dropout draws from `seed`, the same for
    the same one. In any other pass there is no dropout, and BatchNorm normalizes by all images, which
    stand for its running statistics, as far as these have come in `steps` steps (None: all the way). Every
    pass gets copies of images and buffers, so that no statistic moves. Use inside
    `preserve_global_state()`.

    parameters: of the network that was handed over, those that are trained, in the order of `weights`.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = copy_model(model)
        self.notes: list[str] = []
        own = unwrap_model(model)
        self.parameters = [p for p in own.parameters() if p.requires_grad]
        self.weights: dict[str, Tensor] = {
            name: p.detach() for name, p in self.model.named_parameters() if p.requires_grad
        }
        self.device = next((p.device for p in self.model.parameters()), torch.device("cpu"))
        self.batch_size: int | None = None
        self.steps: int | None = None
        self._is_training_pass = False
        self._batch_statistics: dict[_BatchNorm, tuple[Tensor, Tensor]] | None = None
        self._set_modes()

    def _set_modes(self) -> None:
        modules = list(self.model.modules())
        if not any(module.training for module in modules):
            self.model.train()
            self.notes.append("the network came in eval mode: it is taken as after model.train()")
        apply_own_train_methods(modules)
        norms = [m for m in modules if isinstance(m, _BatchNorm)]
        frozen = [m for m in norms if not m.training and m.track_running_stats]
        if frozen:
            self.notes.append(
                f"{len(frozen)} of {len(norms)} BatchNorm layers are in eval mode, and stay so: "
                "they normalize by their running statistics, not by the batch"
            )
        self.has_batch_statistics = any(m.training for m in norms)
        for module in norms:
            if module.training and type(module).forward is _BatchNorm.forward:
                module.forward = partial(_batch_norm_by_batches, module, self)
        # what keeps statistics is tested as it is trained: there are none yet that it could be tested with
        self._mode_dependent = [m for m in modules if m.training and not _keeps_statistics(m)]

    def logits(self, x_NCHW: Tensor, weights: Weights | None = None, seed: int | None = None) -> Tensor:
        """Logits_NK at `weights`, or at the model's own; in a pass of training, where `seed` is given.

        Raises RequestError where the network does not give (N, K) for such images.
        """
        return self.check_logits(self.forward(x_NCHW, weights, seed), len(x_NCHW))

    @staticmethod
    def check_logits(logits_NK: object, images: int) -> Tensor:
        """The network's output, if it is logits of shape (N, K). Raises RequestError where it is not."""
        if not isinstance(logits_NK, Tensor):
            raise RequestError(
                f"preflight: got {type(logits_NK).__name__} from the network, expected logits of shape (N, K)"
            )
        shape = tuple(logits_NK.shape)
        if len(shape) != 2 or shape[0] != images:
            raise RequestError(f"preflight: got {shape} from the network, expected logits of shape (N, K)")
        if shape[1] < 2:
            raise RequestError(
                f"preflight: got {shape} from the network, expected logits of shape (N, K) with one of "
                "K ≥ 2 columns a class: two logits for two classes"
            )
        return logits_NK.float()

    def forward(self, x_NCHW: Tensor, weights: Weights | None = None, seed: int | None = None) -> Tensor:
        """The network's raw output. Raises RequestError where it cannot be run on such images."""
        return self.forward_in_place(x_NCHW.clone(), weights, seed)

    def forward_in_place(
        self, x_NCHW: Tensor, weights: Weights | None = None, seed: int | None = None
    ) -> Tensor:
        """The same for these very images, which the network may change."""
        used = self.weights if weights is None else weights
        self._batch_statistics = None
        if seed is None and self.statistics_lag > NEGLIGIBLE_LAG:
            self._batch_statistics = {}
            self._call(x_NCHW.clone(), used, seed)
        return self._call(x_NCHW, used, seed)

    def _call(self, x_NCHW: Tensor, used: Weights, seed: int | None) -> Tensor:
        buffers = {name: b.clone() for name, b in self.model.named_buffers()}
        self._set_training_pass(seed is not None)
        torch.manual_seed(seed or 0)
        try:
            return functional_call(self.model, {**buffers, **used}, (x_NCHW,))
        except (RequestError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            raise RequestError(f"preflight: {explain_failed_pass(self.model, x_NCHW, error)}") from error

    def _set_training_pass(self, is_training_pass: bool) -> None:
        if is_training_pass != self._is_training_pass:
            self._is_training_pass = is_training_pass
        for module in self._mode_dependent:
            module.training = is_training_pass

    def leaf_weights(self, weights: Weights | None = None) -> dict[str, nn.Parameter]:
        """The weights as leaves that gradients can be taken by; modules still find parameters in them."""
        return {name: nn.Parameter(w.detach()) for name, w in (weights or self.weights).items()}

    @property
    def statistics_lag(self) -> float:
        """Largest share of their first values in BatchNorm's running statistics after `steps` steps."""
        norms = [m for m in self.model.modules() if isinstance(m, _BatchNorm) and m.training]
        return max((_initial_share(m, self.steps) for m in norms), default=0.0) if self.steps else 0.0

    def batch_count(self, images: int) -> int:
        """Into how many batches BatchNorm parts so many images in the pass that goes on."""
        if not self._is_training_pass or self.batch_size is None:
            return 1
        return max(1, round(images / self.batch_size))


def apply_own_train_methods(modules: Sequence[nn.Module]) -> None:
    """What a module's own `train` does (freezing a part of it) is done; what was in eval mode stays so."""
    for module in modules:
        if module.training and type(module).train is not nn.Module.train:
            still = [m for m in module.modules() if not m.training]
            module.train()
            for part in still:
                part.training = False


def _keeps_statistics(module: nn.Module) -> bool:
    return any(b is not None and b.is_floating_point() for b in module._buffers.values())


def _batch_norm_by_batches(norm: _BatchNorm, network: FunctionalModel, x: Tensor) -> Tensor:
    """BatchNorm of a part, whose images are normalized in batches as large as those of the training."""
    norm._check_input_dim(x)
    parts = network.batch_count(len(x))
    if parts > 1:
        return _batch_norm_in_parts(norm, x, parts)
    if network._batch_statistics is not None and network.steps is not None and norm.running_mean is not None:
        if norm in network._batch_statistics:
            return _batch_norm_lagging(
                norm, x, *network._batch_statistics[norm], _initial_share(norm, network.steps)
            )
        axes = [axis for axis in range(x.dim()) if axis != 1]
        network._batch_statistics[norm] = x.mean(axes), x.var(axes, correction=0)
    return _BatchNorm.forward(norm, x)


def _initial_share(norm: _BatchNorm, steps: int) -> float:
    """(1 − momentum)^steps; 0 where no statistics run, or their mean does."""
    return (
        (1 - norm.momentum) ** steps if norm.momentum is not None and norm.running_mean is not None else 0.0
    )


def _batch_norm_in_parts(norm: _BatchNorm, x: Tensor, parts: int) -> Tensor:
    if len(x) % parts:
        return torch.cat([_batch_norm_in_parts(norm, part, 1) for part in x.tensor_split(parts)])
    # a batch's channels stand beside another's: one pass for all of them
    beside = x.unflatten(0, (parts, -1)).transpose(0, 1).flatten(1, 2)
    scale, offset = (None if p is None else p.repeat(parts) for p in (norm.weight, norm.bias))
    y = F.batch_norm(beside, None, None, scale, offset, True, 0.0, norm.eps)
    return y.unflatten(1, (parts, -1)).transpose(0, 1).flatten(0, 1)


def _batch_norm_lagging(norm: _BatchNorm, x: Tensor, mean_C: Tensor, var_C: Tensor, kept: float) -> Tensor:
    """By running statistics in which the first ones still have the share `kept`, training's the rest."""
    assert norm.running_mean is not None and norm.running_var is not None
    mean_C = kept * norm.running_mean + (1 - kept) * mean_C
    var_C = kept * norm.running_var + (1 - kept) * var_C
    shape = [1, -1] + [1] * (x.dim() - 2)
    z = (x - mean_C.view(shape)) / (var_C.view(shape) + norm.eps).sqrt()
    if norm.weight is None:
        return z
    return z * norm.weight.view(shape) + norm.bias.view(shape)


def displace(weights: Weights, by: Weights, times: float) -> dict[str, Tensor]:
    """weights + times · by."""
    return {name: torch.add(w, by[name], alpha=times) for name, w in weights.items()}


def inner_product(a: Weights, b: Weights) -> float:
    """Σ a b over all weights, in float64."""
    return float(sum(torch.sum(a[name].detach().double() * b[name].detach().double()) for name in a))


def explain_failed_pass(model: nn.Module, x_NCHW: Tensor, error: Exception) -> str:
    """Why the network does not take these images, in one line: their layout, where that is it."""
    shape = f"({', '.join(['N', *map(str, x_NCHW.shape[1:])])})"
    first = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    if first is not None and x_NCHW.dim() == 3:
        return f"the images have the shape (N, H, W), here {shape}, expected (N, C, H, W): x.unsqueeze(1)"
    wanted = first.in_channels if first is not None else None
    if x_NCHW.dim() == 4 and wanted is not None and x_NCHW.shape[1] != wanted:
        if x_NCHW.shape[3] == wanted:
            got = f"the images have the shape (N, H, W, C), here {shape}"
            return f"{got}, expected (N, C, H, W): x.permute(0, 3, 1, 2)"
        return f"the images have {x_NCHW.shape[1]} channels, the network's first convolution takes {wanted}"
    return f"the network cannot be run on images of shape {shape}: {error_with_type(error)}"
