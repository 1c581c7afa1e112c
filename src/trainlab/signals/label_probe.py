"""Do the labels follow from the images? A classifier on the measured batch, compared with permuted labels.

Each image of the batch is classified by a kernel ridge regression on the batch's others (leave one out), and
again with the labels permuted. Nothing is kept between steps, no random state of torch is touched: the
numbers of a resumed run are those of a run that was never stopped. One step's numbers mean nothing:
`diagnosis` adds them up over all measured ones.

Legend: N images of a `batch`, D features, K classes, R permutations.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

MOST_IMAGES = 64
"""Images of a batch that are taken: the cost grows with their third power (64 take one or two ms)."""

FEWEST_IMAGES = 16
"""In a smaller batch most images have no other of their class beside them."""

MOST_PIXELS_A_SIDE = 16
"""Images are averaged down to at most so many pixels a side."""

SAME_IMAGE = 1e-5
"""Share of the median squared distance below which two images are one: float32's rounding."""

SMOOTHED_SPREAD = 0.05
"""How far the targets of the other classes may lie apart, in shares of the label's own distance."""

ROUNDING = 0.02
"""Of a probability that is the difference of two numbers of 16 bits."""

PERMUTATIONS = 4
RIDGE = 0.1
"""Added to the kernel's diagonal, which is 1."""


def pixel_features(x: Float[Tensor, "batch ..."], most: int = MOST_IMAGES) -> Float[Tensor, "N D"]:
    """x_ND float32 of a batch that enters a network: pixels, averaged to at most 16 × 16, standardized.

    Of the first `most` images.
    """
    x_ND = averaged_pixels(x[:most])
    return (x_ND - x_ND.mean(0)) / x_ND.std(correction=0).clamp(min=1e-12)


def averaged_pixels(x: Float[Tensor, "N ..."]) -> Float[Tensor, "N D"]:
    """x_ND float32: the pixels of images, averaged to at most 16 × 16; other inputs as they are."""
    x = x.detach().float()
    if x.dim() == 4 and max(x.shape[2:]) > MOST_PIXELS_A_SIDE:
        x = F.adaptive_avg_pool2d(
            x, (min(MOST_PIXELS_A_SIDE, x.shape[2]), min(MOST_PIXELS_A_SIDE, x.shape[3]))
        )
    return x.flatten(1)


def labels_from_gradient(
    grad_NK: Float[Tensor, "batch K"], logits_NK: Float[Tensor, "batch K"]
) -> Int[Tensor, " N"] | None:
    """y_N from the gradient of a mean cross-entropy by the logits; None of another loss."""
    y_N, are_told = told_labels(grad_NK, logits_NK)
    return y_N if bool(are_told) else None


def told_labels(
    grad_NK: Float[Tensor, "batch K"], logits_NK: Float[Tensor, "batch K"]
) -> tuple[Int[Tensor, " N"], Bool[Tensor, ""]]:
    """y_N that the gradient by the logits tells if it is a cross-entropy's, (softmax − target) / N; is it?

    Softmax pulls every other class down: of a one-hot target one entry of a row is negative, the label's. Of
    a smoothed one several may be.
    """
    y_N, are_told = _one_hot_labels(grad_NK[:MOST_IMAGES])
    smoothed_N, are_smoothed = _smoothed_labels(
        len(grad_NK) * grad_NK[:MOST_IMAGES].float(), logits_NK[:MOST_IMAGES].detach().float()
    )
    return torch.where(are_told, y_N, smoothed_N), are_told | are_smoothed


def _one_hot_labels(grad_NK: Float[Tensor, "N K"]) -> tuple[Int[Tensor, " N"], Bool[Tensor, ""]]:
    largest = grad_NK.abs().amax(1)
    is_one = (grad_NK < -1e-6 * largest[:, None]).sum(1) <= 1
    balanced = grad_NK.sum(1).abs() <= 1e-3 * largest
    return grad_NK.argmin(1), (is_one & balanced).all()


def _smoothed_labels(
    delta_NK: Float[Tensor, "N K"], logits_NK: Float[Tensor, "N K"]
) -> tuple[Int[Tensor, " N"], Bool[Tensor, ""]]:
    """The targets are softmax − δ: probabilities, of which one stands out and all others are equal."""
    target_NK = logits_NK.softmax(1) - delta_NK
    highest_N2, lowest_N = target_NK.topk(2, dim=1).values, target_NK.amin(1)
    spread_N = highest_N2[:, 1] - lowest_N
    others_are_equal = spread_N < SMOOTHED_SPREAD * (highest_N2[:, 0] - highest_N2[:, 1])
    are_probabilities = (lowest_N > -ROUNDING) & ((target_NK.sum(1) - 1).abs() < ROUNDING)
    return target_NK.argmax(1), (others_are_equal & are_probabilities).all()


def probe_labels(
    x_ND: Float[Tensor, "N D"], y_N: Int[Tensor, " N"], classes: int, *, is_linear: bool = False
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Shares of the images that the others classify correctly: by the labels as they are, and permuted.

    Kernel ridge regression with k(a, b) = exp(−|a − b|² / median), or linear with k(a, b) = a·b / D, on
    centred one-hot labels; left out one at a time without solving N times: f_i = y_i − α_i / (K + λ)⁻¹_ii
    (Rasmussen & Williams 2006, eq. 5.12). Images that are in the batch twice are left out: their copy would
    give them away.
    """
    distances_NN = torch.cdist(x_ND, x_ND).square()
    width = _median(distances_NN)
    kernel_NN = x_ND @ x_ND.T / x_ND.shape[1] if is_linear else torch.exp(-distances_NN / width)
    inverse_NN, _ = torch.linalg.inv_ex(kernel_NN + RIDGE * torch.eye(len(x_ND), device=x_ND.device))
    generator = torch.Generator().manual_seed(0)
    orders = [torch.randperm(len(y_N), generator=generator) for _ in range(PERMUTATIONS)]
    orders_RN = torch.stack(orders).to(y_N.device)
    others_NN = distances_NN + torch.eye(len(x_ND), device=x_ND.device) * distances_NN.max()
    once_N = others_NN.amin(1) > SAME_IMAGE * width
    labels = (y_N, *(y_N[order_N] for order_N in orders_RN))
    right = [_left_out(inverse_NN, labels_N, classes, once_N) for labels_N in labels]
    return right[0], torch.stack(right[1:]).mean()


def _median(distances_NN: Float[Tensor, "N N"]) -> Float[Tensor, ""]:
    """The lower median: torch's own has no deterministic kernel on CUDA."""
    ordered = distances_NN.flatten().sort().values
    return ordered[(len(ordered) - 1) // 2].clamp(min=1e-12)


def predict_labels(
    x_ND: Float[Tensor, "N D"], y_N: Int[Tensor, " N"], others_MD: Float[Tensor, "M D"], classes: int
) -> Int[Tensor, " M"]:
    """Predicted classes of other images, by the kernel ridge regression of `probe_labels` on these."""
    distances_NN = torch.cdist(x_ND, x_ND).square()
    width = _median(distances_NN)
    one_hot_NK = (y_N[:, None] == torch.arange(classes, device=y_N.device)).to(x_ND.dtype)
    kernel_NN = torch.exp(-distances_NN / width) + RIDGE * torch.eye(len(x_ND), device=x_ND.device)
    weights_NK = torch.linalg.solve(kernel_NN, one_hot_NK - one_hot_NK.mean(0))
    kernel_MN = torch.exp(-torch.cdist(others_MD, x_ND).square() / width)
    return (kernel_MN @ weights_NK + one_hot_NK.mean(0)).argmax(1)


def _left_out(
    inverse_NN: Float[Tensor, "N N"], y_N: Int[Tensor, " N"], classes: int, once_N: Bool[Tensor, " N"]
) -> Float[Tensor, ""]:
    one_hot_NK = (y_N[:, None] == torch.arange(classes, device=y_N.device)).to(inverse_NN.dtype)
    # the image's own class is left out of the shares, or it would always be predicted a little less
    shares_NK = (one_hot_NK.sum(0) - one_hot_NK) / (len(y_N) - 1)
    centred_NK = one_hot_NK - one_hot_NK.mean(0)
    left_out_NK = centred_NK - inverse_NN @ centred_NK / inverse_NN.diagonal()[:, None] + shares_NK
    right_N = (left_out_NK.argmax(1) == y_N).to(inverse_NN.dtype)
    return (right_N * once_N).sum() / once_N.sum().clamp(min=1)
