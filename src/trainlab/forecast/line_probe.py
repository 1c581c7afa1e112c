"""Along the optimizer's own direction: how far it may go in its steps, and what that does for other images.

Two things are kept apart. Angle: is the change of the logits along the labels, on images that the direction
was not made from? Scale: how large is it after all the steps, beside one nat and beside the logits' own
spread? An optimizer's scale can make up for a small gradient, nothing makes up for a wrong angle.

Legend: N held-out images, K classes; z logits less their mean over the images, y one-hot labels less theirs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from trainlab.forecast.effective_update import EffectiveUpdate
from trainlab.forecast.functional_model import FunctionalModel
from trainlab.forecast.image_sample import ImagePart

PROBE_POINTS = 6
"""Points along each line, from one step to all of them."""


@dataclass(frozen=True)
class LinePoint:
    """The network `steps` steps along, on held-out images.

    gain: nats by which the centered logits beat the class shares, H(y) − CE(z + log share).
    alignment: cosine −1..1 of z with y. change_alignment, change_rms: of z(steps) − z(0).
    spread: root mean square of z. accuracy, loss: of the logits as they are, share 0..1 and nats.
    majority_share, entropy: of the labels alone: share of the most common class, loss of guessing the shares.
    """

    steps: float
    gain: float
    alignment: float
    change_alignment: float
    change_rms: float
    spread: float
    accuracy: float
    majority_share: float
    entropy: float
    loss: float


def evaluate_logits(steps: float, logits_NK: Tensor, start_NK: Tensor, y_N: Tensor) -> LinePoint:
    """The numbers of one point; where logits are not finite, the worst there are."""
    onehot_NK = F.one_hot(y_N, logits_NK.shape[1]).double()
    y_NK, share_K = centered(onehot_NK), onehot_NK.mean(0).clamp(min=1e-9)
    majority_share, entropy = float(share_K.max()), -float((onehot_NK.mean(0) * share_K.log()).sum())
    if not torch.isfinite(logits_NK).all() or not torch.isfinite(start_NK).all():
        return LinePoint(
            steps, -math.inf, 0.0, 0.0, math.inf, math.inf, 0.0, majority_share, entropy, math.inf
        )
    z_NK, z0_NK = centered(logits_NK), centered(start_NK)
    change_NK = z_NK - z0_NK
    return LinePoint(
        steps=steps,
        gain=entropy - float(F.cross_entropy(z_NK + share_K.log(), y_N)),
        alignment=cosine(z_NK, y_NK),
        change_alignment=cosine(change_NK, y_NK),
        change_rms=float(change_NK.square().mean().sqrt()),
        spread=float(z_NK.square().mean().sqrt()),
        accuracy=float((logits_NK.argmax(1) == y_N).double().mean()),
        majority_share=majority_share,
        entropy=entropy,
        loss=float(F.cross_entropy(logits_NK.double(), y_N)),
    )


def centered(x_NK: Tensor) -> Tensor:
    """Less the mean over the images, in float64."""
    x_NK = x_NK.double()
    return x_NK - x_NK.mean(0)


def cosine(a: Tensor, b: Tensor) -> float:
    """Of two tensors as vectors; 0 where one of them is zero."""
    size = float(a.norm() * b.norm())
    return float((a * b).sum()) / size if size > 0 else 0.0


def probed_steps(steps: int, count: int) -> Sequence[float]:
    """1 … steps, evenly in the logarithm."""
    return [steps ** (i / (count - 1)) for i in range(count)] if steps > 1 else [1.0]


class LineProbes:
    """What displaced weights do for held-out images; each point is computed once."""

    def __init__(self, network: FunctionalModel, held_out: ImagePart) -> None:
        self.network, self.held_out = network, held_out
        self.points: dict[int, dict[float, LinePoint]] = {}
        self.start_NK: Tensor | None = None

    def start(self) -> LinePoint:
        if self.start_NK is None:
            self.start_NK = self.network.logits(self.held_out.x_NCHW)
        return evaluate_logits(0.0, self.start_NK, self.start_NK, self.held_out.y_N)

    def along(self, update: EffectiveUpdate, steps: int) -> list[LinePoint]:
        """Evenly in the logarithm up to `steps`; of a longer run, the points of the first one and its end."""
        points = self.points.setdefault(id(update), {})
        for count in [steps] if points else probed_steps(steps, PROBE_POINTS):
            if count not in points:
                points[count] = self.at(update, count)
        return [points[count] for count in sorted(points) if count <= steps]

    def at(self, update: EffectiveUpdate, steps: float) -> LinePoint:
        logits_NK = self.network.logits(
            self.held_out.x_NCHW, update.displaced_weights(self.network.weights, steps)
        )
        assert self.start_NK is not None
        return evaluate_logits(steps, logits_NK, self.start_NK, self.held_out.y_N)
