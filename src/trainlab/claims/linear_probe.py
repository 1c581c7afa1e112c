"""How well a linear classifier does on what one layer of a trained network makes of the images.

A linear probe (Alain & Bengio 2017, arXiv:1610.01644): what it reads off a layer is there in plain view.

Legend: N images it is fitted to, M images it is tested on, D features, K classes.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from trainlab.data import ImageData
from trainlab.data.images import Split
from trainlab.data.loader import BatchLoader
from trainlab.data.splits import rng
from trainlab.errors import RequestError, unknown_name
from trainlab.nn.normalization import NormalizedNetwork

INPUT, LOGITS = "input", "logits"
"""Layers that are no module of the network: the normalized pixels, and its output."""

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Of the ridge, in units of the mean of the kernel matrix's diagonal: the best on a fifth is taken."""

HELD_OUT_SHARE = 0.2
BATCH_SIZE = 256


@torch.no_grad()
def probe_accuracy(model: NormalizedNetwork, images: ImageData, layer: str, most: int) -> float:
    """The accuracy on the test split of a ridge classifier, fitted to at most `most` training images.

    f(x) = (x − x̄) · W + ȳ with W = Xᵀ (X Xᵀ + λ)⁻¹ (Y − ȳ), Y one-hot; λ is chosen on a fifth of the
    training images that it is first left out of, and then fitted to all of them. The features are all
    activations of the layer, of every map and position; the network is in evaluation mode and as it was.

    Raises RequestError for a layer that there is not, or too few images.
    """
    train = images.train
    if most < 2 * images.num_classes or len(train) < 2 * images.num_classes:
        raise RequestError(f"probe: got {min(most, len(train))} images, expected 2 a class at least")
    chosen = Split(train.x_NHWC, train.y_N, rng(0, "probe").permutation(train.index)[:most])
    parts = list(_features(model, chosen, layer))
    x_ND, y_N = torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts])
    mean_D, scale = x_ND.mean(0), x_ND.std().clamp(min=1e-12)
    x_ND = (x_ND - mean_D) / scale
    kernel_NN = (x_ND @ x_ND.T).double() / x_ND.shape[1]
    one_hot_NK = nn.functional.one_hot(y_N, images.num_classes).double()
    penalty = _choose_penalty(kernel_NN, one_hot_NK, y_N)
    dual_NK, shares_K = _fit(kernel_NN, one_hot_NK, penalty)
    weight_DK = x_ND.T @ dual_NK.float() / x_ND.shape[1]
    correct = 0
    for x_MD, y_M in _features(model, images.test, layer):
        scores_MK = (x_MD - mean_D) / scale @ weight_DK + shares_K.float()
        correct += int((scores_MK.argmax(1) == y_M).sum())
    return correct / len(images.test)


def _features(model: NormalizedNetwork, split: Split, layer: str) -> Iterator[tuple[Tensor, Tensor]]:
    """What the layer gives for each batch, flattened (N, D), and the labels."""
    module = _module(model, layer)
    seen: list[Tensor] = []
    handle = module.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    try:
        for x_NCHW, y_N in BatchLoader(split, BATCH_SIZE):
            seen.clear()
            model(x_NCHW)
            yield seen[-1].flatten(1).float(), y_N
    finally:
        handle.remove()


def _module(model: NormalizedNetwork, layer: str) -> nn.Module:
    special = {INPUT: model.normalization, LOGITS: model.network}
    if layer in special:
        return special[layer]
    named = {name: module for name, module in model.network.named_modules() if name}
    if layer not in named:
        raise unknown_name("layer of a probe", layer, [*special, *named])
    return named[layer]


def _choose_penalty(kernel_NN: Tensor, one_hot_NK: Tensor, y_N: Tensor) -> float:
    """The best of `PENALTIES` on the last fifth of the images; of equals the smallest."""
    fitted = len(y_N) - max(1, round(HELD_OUT_SHARE * len(y_N)))

    def accuracy(penalty: float) -> float:
        dual_NK, shares_K = _fit(kernel_NN[:fitted, :fitted], one_hot_NK[:fitted], penalty)
        scores_NK = kernel_NN[fitted:, :fitted] @ dual_NK + shares_K
        return float((scores_NK.argmax(1) == y_N[fitted:]).double().mean())

    return max(PENALTIES, key=accuracy)


def _fit(kernel_NN: Tensor, one_hot_NK: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """(dual weights (N, K), shares of the classes)."""
    shares_K = one_hot_NK.mean(0)
    ridge = penalty * kernel_NN.diagonal().mean().clamp(min=1e-12)
    factor_NN = torch.linalg.cholesky(kernel_NN + ridge * torch.eye(len(kernel_NN), dtype=kernel_NN.dtype))
    return torch.cholesky_solve(one_hot_NK - shares_K, factor_NN), shares_K
