"""How φ and a norm layer answer a wide layer's pre-activations: signal, slope, scatter at finite width."""

from dataclasses import dataclass, replace
from typing import Literal

from trainlab.theory import moments
from trainlab.theory.batchnorm import batchnorm_moments
from trainlab.theory.elementwise import Elementwise

NormKind = Literal["batchnorm", "instancenorm", "layernorm", "groupnorm"]
NormPosition = Literal["before_activation", "after_activation"]
OVER_SAMPLES, OVER_FEATURES = ("batchnorm", "instancenorm"), ("layernorm", "groupnorm")


@dataclass(frozen=True)
class Scatter:
    """Mean and variance, over random networks, of log(mean square / its value at infinite width)."""

    log_shift: float = 0.0
    log_variance: float = 0.0

    def after(self, follow: float, own: float = 0.0) -> "Scatter":
        """To first order, after a step whose log output follows the log input with slope `follow`.

        `own` is the relative variance the step adds (a factor of mean 1, so that its log shifts by −own/2).
        """
        return Scatter(follow * self.log_shift - own / 2, follow**2 * self.log_variance + own)


@dataclass(frozen=True)
class Signal:
    """Mean square over units, mean product of two inputs over units, and the scatter of the mean square."""

    square: float
    product: float
    scatter: Scatter

    @property
    def correlation(self) -> float:
        """Of two inputs; 1 where the signal is zero: all inputs look the same."""
        return min(max(self.product / self.square, -1.0), 1.0) if self.square > 0 else 1.0

    @property
    def over_samples(self) -> float:
        """Variance over a batch, each two of whose inputs share `product`."""
        return max(self.square - self.product, 0.0)


@dataclass(frozen=True)
class Response:
    """What leaves φ and its norm layer, and the mean square slope from h to it.

    To first order in 1/width, with δ for deviations of logs from infinite width:
    δ log(output) = follow · δ log q + noise of variance own, δ log(slope) = slope_follow · δ log q + noise of
    variance slope_own, the two noises with covariance own_both.
    """

    square: float
    product: float
    slope: float
    follow: float
    own: float
    slope_follow: float
    slope_own: float
    own_both: float

    def output(self, h: Signal) -> Signal:
        """The signal after the layer."""
        return Signal(self.square, self.product, h.scatter.after(self.follow, self.own))


def respond(
    phi: Elementwise,
    h: Signal,
    units: float,
    norm: NormKind | None,
    position: NormPosition,
    *,
    batch_size: int | None,
    eps: float,
) -> Response:
    """The response of φ to h, with the norm layer before or after it; `units` is the width."""
    if norm is None:
        return _activation(phi, h, units)
    if position == "after_activation":
        return _normalized_after(_activation(phi, h, units), phi, h, eps, over_samples=norm in OVER_SAMPLES)
    if norm in OVER_SAMPLES:
        return _batchnorm_before(phi, h, units, batch_size, eps)
    return _layernorm_before(phi, h, units, eps)


def _activation(phi: Elementwise, h: Signal, units: float) -> Response:
    """x = φ(h). Own noise: (κ − 1)/units of ‖φ(h)‖², (3κ' − 1)/units of ‖φ'(h) g‖² for a Gaussian g."""
    q = h.square
    return Response(
        square=moments.second_moment(phi, q),
        product=moments.product(phi, q, h.correlation),
        slope=moments.slope_second_moment(phi, q),
        follow=moments.log_second_moment_slope(phi, q),
        own=(moments.kurtosis(phi, q) - 1) / units,
        slope_follow=moments.log_slope_slope(phi, q),
        slope_own=(3 * moments.slope_kurtosis(phi, q) - 1) / units,
        own_both=moments.co_moment(phi, q) / units,
    )


def _layernorm_before(phi: Elementwise, h: Signal, units: float, eps: float) -> Response:
    """y = h/√(q + ε): the angle stays, the slope is divided by q, and follows the q of the network.

    y has its mean and mean square fixed: what φ² owes to these two (its regression on z and z² − 1) no longer
    scatters; the measured q does, by 2/units.
    """
    scale = 1 / (h.square + eps)
    q = h.square * scale
    plain = _activation(phi, Signal(q, h.product * scale, Scatter()), units)
    owed = moments.second_moment_skew(phi, q) ** 2 + 2 * plain.follow**2
    return replace(
        plain,
        slope=plain.slope * scale,
        follow=0.0,
        own=max(plain.own - owed / units, 0.0),
        slope_follow=-1.0,
        slope_own=plain.slope_own + 2 / units,
        own_both=0.0,
    )


def _batchnorm_before(
    phi: Elementwise, h: Signal, units: float, batch_size: int | None, eps: float
) -> Response:
    """y over the batch has mean 0 and variance 1: what the inputs share is gone, and with it scale and angle.

    One input's own deviation stays, but for its share of the statistics: d log E y₁² / d log q₁ is
    1 − E y₁⁴/B, with E y₁⁴ = 3 (B−1)/(B+1) on the sphere. It cannot grow: the batch's mean is fixed. The
    slope is that of the whole batch, and does not follow one input.
    """
    scale = 1 / (h.over_samples + eps)
    q = h.over_samples * scale
    plain = _activation(phi, Signal(q, 0.0, Scatter()), units)
    batch = batchnorm_moments(phi, batch_size, q)
    kept = 1 - 3 * (batch_size - 1) / (batch_size * (batch_size + 1)) if batch_size else 1.0
    return replace(
        plain,
        square=batch.second_moment,
        product=batch.product,
        slope=batch.jacobian * scale,
        follow=kept * min(plain.follow, 1.0),
        slope_follow=0.0,
    )


def _normalized_after(
    plain: Response, phi: Elementwise, h: Signal, eps: float, *, over_samples: bool
) -> Response:
    """x = (φ(h) − mean)/√(variance + ε), the mean over the batch or over the features."""
    mean_square = plain.product if over_samples else moments.mean(phi, h.square) ** 2
    scale = 1 / (max(plain.square - mean_square, 0.0) + eps)
    return replace(
        plain,
        square=(plain.square - mean_square) * scale,
        product=(plain.product - mean_square) * scale,
        slope=plain.slope * scale,
        follow=min(plain.follow, 1.0) if over_samples else 0.0,
        own=plain.own if over_samples else 0.0,
        slope_follow=0.0 if over_samples else plain.slope_follow - plain.follow,
    )
