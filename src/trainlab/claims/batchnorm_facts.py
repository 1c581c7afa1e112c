"""BatchNorm's arithmetic, counted on the first BatchNorm layer of an arm's network; and its lag in a run.

Called in a process of its own; torch is imported inside the functions. All raise RequestError where a network
has no BatchNorm.

Legend: N images, C channels (planes of an image), H × W positions.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trainlab.errors import RequestError
from trainlab.settings import settings_from_json

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.nn.modules.batchnorm import _BatchNorm

    from trainlab.data import Split

IMAGES = 16


def batchnorm_facts(frozen: str) -> dict[str, float]:
    """What holds of the first BatchNorm layer of the network of frozen settings, in float64.

    `means`: how many means it keeps. `formula_error`: the largest difference from γ (x − μ)/√(v + ε) + β with
    one mean and one variance a plane, each a loop over N, H and W. `one_image_error`: the same with the mean
    and the variance of each image alone. `identity_error`: the largest change of x where γ = √(v + ε) and
    β = μ. x: normal numbers with another mean and scale in each plane.
    """
    import torch

    layer = _first_layer(frozen)
    C = layer.num_features
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> "Tensor":
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    x_NCHW = normal(IMAGES, C, 6, 5) * (1 + normal(1, C, 1, 1).abs()) + 3 * normal(1, C, 1, 1)
    moments = [_moments(plane_NHW) for plane_NHW in x_NCHW.unbind(1)]
    mean_C = torch.stack([mean for mean, _ in moments])
    variance_C = torch.stack([variance for _, variance in moments])
    mean_NC = x_NCHW.mean((2, 3))
    variance_NC = x_NCHW.var((2, 3), correction=0)
    shift_C, scale_C = normal(C), normal(C)
    with torch.no_grad():
        out_NCHW = _with(layer, scale_C, shift_C)(x_NCHW)
        identity_NCHW = _with(layer, (variance_C + layer.eps).sqrt(), mean_C)(x_NCHW)

    def formula(mean: "Tensor", variance: "Tensor") -> "Tensor":
        normalized_NCHW = (x_NCHW - mean[..., None, None]) / (variance[..., None, None] + layer.eps).sqrt()
        return scale_C[:, None, None] * normalized_NCHW + shift_C[:, None, None]

    def largest(difference: "Tensor") -> float:
        return float(difference.abs().max())

    running = layer.running_mean
    return {
        "means": 0.0 if running is None else float(running.numel()),
        "formula_error": largest(out_NCHW - formula(mean_C, variance_C)),
        "one_image_error": largest(out_NCHW - formula(mean_NC, variance_NC)),
        "identity_error": largest(identity_NCHW - x_NCHW),
    }


def batchnorm_lags(folders: Sequence[Path]) -> list[float]:
    """Of each run, the share of their way that its running means still have to go over its training split.

    Raises RequestError: a checkpoint or its data cannot be read.
    """
    import torch

    from trainlab.build.data import load_data
    from trainlab.serving.saved_model import load_run_model

    torch.set_num_threads(1)
    lags = []
    for folder in folders:
        model, description = load_run_model(folder)
        settings = description["settings"]
        lags.append(lag(model, load_data(settings).train, settings.data.batch_size))
    return lags


def lag(model: "nn.Module", train: "Split", batch_size: int) -> float:
    """1 − ⟨m, μ⟩/⟨μ, μ⟩ over the planes of all BatchNorm layers: what is left of the way from 0 to μ.

    m are the running means, which start at 0; μ the means over the training split, in batches as in training,
    with the same weights (`distribution_shifts.recalibrated`). A step moves m by a tenth (PyTorch's momentum)
    of the way to its batch's mean; where the weights stand still 0.9ᵗ is left after t steps, but for what
    batches differ in (Ioffe & Szegedy 2015, arXiv:1502.03167, section 3.1). Raises RequestError without
    BatchNorm.
    """
    import torch

    from trainlab.claims.distribution_shifts import recalibrated

    def means_C(network: "nn.Module") -> "Tensor":
        means = [layer.running_mean for layer in _layers(network)]
        return torch.cat([mean_C.double() for mean_C in means if mean_C is not None])

    running_C, true_C = means_C(model), means_C(recalibrated(model, train, len(train), batch_size))
    return 1.0 - float(running_C @ true_C) / float(true_C @ true_C)


def _layers(network: "nn.Module") -> "list[_BatchNorm]":
    from torch.nn.modules.batchnorm import _BatchNorm

    layers = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    if not layers:
        raise RequestError("batchnorm: the network has no BatchNorm")
    return layers


def _first_layer(frozen: str) -> "_BatchNorm":
    from trainlab.build import networks

    settings = settings_from_json(frozen)
    if settings.data.num_classes is None:
        raise RequestError(f"data {settings.data.name}: expected data.num_classes")
    shape = networks.input_shape_CHW(settings)
    layer = _layers(networks.build_network(settings, shape, settings.data.num_classes))[0]
    if layer.weight is None or layer.bias is None:
        raise RequestError("batchnorm: the layer has no γ and β")
    return layer.double().train()


def _moments(plane_NHW: "Tensor") -> "tuple[Tensor, Tensor]":
    """The mean and the variance of one plane: all its numbers in all images added up, over N·H·W."""
    total, squares = plane_NHW.new_zeros(()), plane_NHW.new_zeros(())
    for image_HW in plane_NHW:
        for row_W in image_HW:
            total = total + row_W.sum()
    mean = total / plane_NHW.numel()
    for image_HW in plane_NHW:
        for row_W in image_HW:
            squares = squares + ((row_W - mean) ** 2).sum()
    return mean, squares / plane_NHW.numel()


def _with(layer: "_BatchNorm", scale_C: "Tensor", shift_C: "Tensor") -> "_BatchNorm":
    """The layer with these γ and β."""
    import torch

    with torch.no_grad():
        layer.weight.copy_(scale_C)
        layer.bias.copy_(shift_C)
    return layer
