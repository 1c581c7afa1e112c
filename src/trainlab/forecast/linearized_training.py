"""The run in closed form: the network as if it were linear in its weights, trained on a few hundred images.

With f(w) ≈ f₀ + J Δw the steps Δw ← Δw − D Jᵀ(softmax f − y)/N stay in the span of D Jᵀ r, with D what the
optimizer makes of a unit of gradient (Jacot et al. 2018; Lee et al. 2019). Of that span the first directions
hold nearly all that happens: a Krylov basis from two residuals r, that of the start and that of the labels
less their shares. In it a step is a product of small matrices, and no network is evaluated.

Legend: A images that are fitted, B images held out, K classes, M directions of the basis.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.autograd.forward_ad as forward_ad
import torch.nn.functional as F
from torch import Tensor

from trainlab.errors import RequestError
from trainlab.forecast.effective_update import effective_update
from trainlab.forecast.functional_model import FunctionalModel, Weights, displace, inner_product
from trainlab.forecast.gradients import (
    DIFFERENCE_STEP,
    Gradients,
    centered_one_hot,
    scale_weights,
    small_step_scale,
    weights_norm,
)
from trainlab.forecast.image_sample import ImageSample
from trainlab.forecast.line_probe import LinePoint, evaluate_logits
from trainlab.forecast.optimizer_factory import MakeOptimizer

FITTED_SEED = 3
"""The seed of dropout for the images that are fitted."""

KRYLOV_DEPTH = 3
"""Applications of the kernel to each of the two residuals: a basis of six directions."""

KRYLOV_DEPTH_OF_HEAVY = 1
"""The same for a network so heavy that not even the fewest images can be afforded."""

INDEPENDENT = 1e-8
"""Share of a direction that must be new for it to count: float32 leaves no less."""

MOST_STEPS = 1000
"""Steps simulated one by one; a longer run is that many longer steps, unless they would be unstable."""

UNSTABLE = 4.0
"""Rate times the kernel's largest eigenvalue from which on single steps diverge: softmax curves by ½."""


@dataclass(frozen=True)
class LinearizedRun:
    """`end`: the linear network after all steps, on held-out images; `fit_loss`: on those it is fitted to.

    kernel: largest eigenvalue of D-preconditioned kernel, J D Jᵀ / A: the rate times the curvature.
    """

    end: LinePoint
    best_accuracy: float
    fit_loss: float
    kernel: float


@dataclass(frozen=True)
class LinearizedNetwork:
    """Logits at the start, and what a unit of each direction adds to them, on both sets of images."""

    start_AK: Tensor
    start_BK: Tensor
    C_AKxM: Tensor
    C_BKxM: Tensor
    y_A: Tensor
    y_B: Tensor

    def run(self, steps: int) -> LinearizedRun:
        """The run of `steps` steps."""
        return _run(self, steps)


def linearize(
    network: FunctionalModel, sample: ImageSample, make: MakeOptimizer, one: Gradients, two: Gradients
) -> LinearizedNetwork | None:
    """None where logits or their derivatives are not finite, or nothing moves."""
    fitted = _FittedImages(network, sample)
    rate = _rate(make, network.weights, one.loss_gradient, two.loss_gradient)
    basis = _krylov(fitted, rate)
    if basis is None or basis[0].shape[1] == 0:
        return None
    return LinearizedNetwork(fitted.start_AK, fitted.start_BK, *basis, fitted.y_A, sample.held_out.y_N)


class _FittedImages:
    """Both parts that gradients may be taken from, with the graph of their logits; the part held out."""

    def __init__(self, network: FunctionalModel, sample: ImageSample) -> None:
        self.network, self.x_B = network, sample.held_out.x_NCHW
        self.x_A = torch.cat([sample.first.x_NCHW, sample.second.x_NCHW])
        self.y_A = torch.cat([sample.first.y_N, sample.second.y_N])
        self._has_tangents = True
        self.depth = KRYLOV_DEPTH if sample.is_affordable else KRYLOV_DEPTH_OF_HEAVY
        self.leaves = network.leaf_weights()
        self.logits_AK = network.logits(self.x_A, self.leaves, FITTED_SEED)
        self.start_AK = self.logits_AK.detach().double()
        with torch.no_grad():
            self.start_BK = network.logits(self.x_B).double()

    def residuals(self) -> list[Tensor]:
        classes = self.start_AK.shape[1]
        onehot_AK = F.one_hot(self.y_A, classes).double()
        return [self.start_AK.softmax(1) - onehot_AK, -centered_one_hot(self.y_A, classes).double()]

    def gradient(self, r_AK: Tensor) -> dict[str, Tensor]:
        """Jᵀ r / A."""
        cotangent = (r_AK / len(r_AK)).to(self.logits_AK.dtype)
        leaves = list(self.leaves.values())
        gradients = torch.autograd.grad(
            self.logits_AK, leaves, cotangent, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        return dict(zip(self.leaves, gradients, strict=True))

    def change(self, direction: Weights) -> tuple[Tensor, Tensor]:
        """J direction, on both sets of images, by forward differentiation."""
        return self._change(self.x_A, direction, FITTED_SEED), self._change(self.x_B, direction, None)

    def _change(self, x_NCHW: Tensor, direction: Weights, seed: int | None) -> Tensor:
        if self._has_tangents:
            try:
                return self._tangent(x_NCHW, direction, seed)
            except RequestError:  # a function of the network's own that torch cannot differentiate forward
                self._has_tangents = False
        return self._difference(x_NCHW, direction, seed)

    def _tangent(self, x_NCHW: Tensor, direction: Weights, seed: int | None) -> Tensor:
        with torch.no_grad(), forward_ad.dual_level(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, about itself, the first time
            dual = {
                name: forward_ad.make_dual(w, direction[name]) for name, w in self.network.weights.items()
            }
            primal, tangent = forward_ad.unpack_dual(self.network.logits(x_NCHW, dual, seed))
        return torch.zeros_like(primal).double() if tangent is None else tangent.double()

    def _difference(self, x_NCHW: Tensor, direction: Weights, seed: int | None) -> Tensor:
        weights = self.network.weights
        by = small_step_scale(weights, direction, DIFFERENCE_STEP)
        with torch.no_grad():
            ahead, back = (
                self.network.logits(x_NCHW, displace(weights, direction, s * by), seed).double()
                for s in (1, -1)
            )
        return (ahead - back) / (2 * by)


def _rate(make: MakeOptimizer, weights: Weights, one: Weights, two: Weights) -> dict[str, Tensor]:
    """D: the update that the optimizer makes of a steady gradient, over that gradient, weight by weight."""
    size = {name: ((one[name].square() + two[name].square()) / 2).sqrt() for name in one}
    update = effective_update(make, weights, [size]).steady
    return {
        name: torch.where(size[name] > 0, -update[name] / size[name].clamp(min=1e-38), 0.0).clamp(min=0)
        for name in size
    }


def _krylov(fitted: _FittedImages, rate: Mapping[str, Tensor]) -> tuple[Tensor, Tensor] | None:
    """J of an orthonormal basis (in the metric D⁻¹) on both sets of images: (A·K, M) and (B·K, M)."""
    gradients, directions, on_A, on_B = [], [], [], []
    residuals = fitted.residuals()
    for _ in range(fitted.depth):
        following = []
        for r_AK in residuals:
            size = float(r_AK.norm())
            if not 0 < size < float("inf"):
                continue
            gradient = fitted.gradient(r_AK / size)
            direction = {name: rate[name] * gradient[name] for name in gradient}
            length = weights_norm(direction)
            if not 0 < length < float("inf"):
                continue
            # of unit length: what is all but lost on the way back would be subnormal on the way forward
            gradient, direction = scale_weights(gradient, 1 / length), scale_weights(direction, 1 / length)
            change_AK, change_BK = fitted.change(direction)
            gradients.append(gradient)
            directions.append(direction)
            on_A.append(change_AK.flatten())
            on_B.append(change_BK.flatten())
            following.append(change_AK)
        residuals = following
    if not gradients:
        return None
    gram_MM = torch.tensor(
        [[inner_product(g, d) for d in directions] for g in gradients], dtype=torch.float64
    )
    C_AKxM, C_BKxM = torch.stack(on_A, 1), torch.stack(on_B, 1)
    if not all(bool(torch.isfinite(t).all()) for t in (gram_MM, C_AKxM, C_BKxM)):
        return None
    mix_MM = _orthonormal(gram_MM).to(C_AKxM.device)
    return C_AKxM @ mix_MM, C_BKxM @ mix_MM


def _orthonormal(gram_MM: Tensor) -> Tensor:
    """Orthonormal combinations of directions with these inner products, as many as are new, in columns."""
    scale_M = gram_MM.diagonal().clamp(min=1e-300).rsqrt()
    values_M, vectors_MM = torch.linalg.eigh(scale_M[:, None] * gram_MM * scale_M)
    new_M = values_M > INDEPENDENT
    return scale_M[:, None] * vectors_MM[:, new_M] / values_M[new_M].sqrt()


def _run(network: LinearizedNetwork, steps: int) -> LinearizedRun:
    C_AKxM, C_BKxM = network.C_AKxM, network.C_BKxM
    images, classes = network.start_AK.shape
    kernel = float(torch.linalg.svdvals(C_AKxM)[0].square()) / images
    stride = 1.0 if kernel > UNSTABLE else max(1.0, steps / MOST_STEPS)
    onehot_AK = F.one_hot(network.y_A, classes).double()
    # semi-implicit where a step stands for several: as stable as the steps that it stands for
    curvature_MM = C_AKxM.T @ C_AKxM / (2 * images)
    damped_MM = torch.linalg.inv(torch.eye(len(curvature_MM)).to(curvature_MM) + (stride - 1) * curvature_MM)
    alpha_M = torch.zeros(C_AKxM.shape[1]).to(C_AKxM)
    best = 0.0
    count = min(steps, MOST_STEPS)
    marks = {max(1, count // 10), max(1, count // 3), count}
    point, logits_AK = None, network.start_AK
    for step in range(1, count + 1):
        pull_AK = logits_AK.softmax(1) - onehot_AK
        alpha_M = alpha_M - stride * (damped_MM @ (C_AKxM.T @ pull_AK.flatten())) / images
        logits_AK = network.start_AK + (C_AKxM @ alpha_M).view(images, classes)
        if step in marks:
            logits_BK = network.start_BK + (C_BKxM @ alpha_M).view(-1, classes)
            point = evaluate_logits(step * stride, logits_BK, network.start_BK, network.y_B)
            best = max(best, point.accuracy)
    assert point is not None
    return LinearizedRun(point, best, float(F.cross_entropy(logits_AK, network.y_A)), kernel)
