"""Forward variance and backward gradient of an actual network at its initialization, layer by layer.

Layer l: h = W x + b, then φ and a norm layer in either order. With n·Var W = σw² (n the fan-in), and with the
mean-field assumption that pre-activations are Gaussian (He et al. 2015, arXiv:1502.01852, Eq. 8 and 14):

    forward    q_l = fan_in Var W · E x_{l−1}² + Var b,  E x_l² = E φ(√q_l z)²
    backward   E (∂L/∂x_{l−1})² = fan_out Var W · E φ'(√q_l z)² · E (∂L/∂x_l)²

A finite network scatters around that. For ReLU log ‖x_L‖² ~ N(−b/2, b) about the mean, with b = 5 Σ 1/n_l and
n_l the widths (Hanin & Rolnick 2018, arXiv:1803.01719); in general a layer adds (κ − 1)/n_l, κ the kurtosis
of φ, to what the layers before it hand on. So every prediction has a band, to first order in 1/width.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from trainlab.errors import RequestError, unknown_name
from trainlab.theory.elementwise import Elementwise, Phi
from trainlab.theory.layer_response import (
    OVER_FEATURES,
    OVER_SAMPLES,
    NormKind,
    NormPosition,
    Response,
    Scatter,
    Signal,
    respond,
)
from trainlab.theory.quadrature import LARGEST_Q

_LARGEST_EXPONENT = 200.0


@dataclass(frozen=True)
class Layer:
    """One weight layer as plain data, with what follows it.

    fan_in, fan_out: weights per output and per input unit: k² C_in and k² C_out / stride² for a convolution;
      effective values (zero padding at the border, sparse or delta-orthogonal kernels) may be floats.
    width: independent units of its output: features, channels (default: fan_out, right for a dense layer).
    weight_variance, bias_variance: of the initializer, per weight.
    activation: φ, or None for none (the last layer). norm: "batchnorm", "instancenorm", "layernorm",
      "groupnorm" or None, with scale 1 and shift 0.
    """

    name: str
    fan_in: float
    fan_out: float
    weight_variance: float
    bias_variance: float = 0.0
    width: float | None = None
    activation: Phi | Elementwise | None = None
    norm: NormKind | None = None
    norm_position: NormPosition = "before_activation"

    def __post_init__(self) -> None:
        for field in ("fan_in", "fan_out", "width"):
            got = getattr(self, field)
            if got is not None and not 0 < got < math.inf:
                raise RequestError(f"layer '{self.name}': {field} must be positive and finite, got {got}")
        for field in ("weight_variance", "bias_variance"):
            if not 0 <= (got := getattr(self, field)) < math.inf:
                raise RequestError(f"layer '{self.name}': {field} must be 0 or more and finite, got {got}")
        if self.norm not in (None, *OVER_SAMPLES, *OVER_FEATURES):
            raise unknown_name("norm", self.norm, [*OVER_SAMPLES, *OVER_FEATURES])
        if self.norm_position not in ("before_activation", "after_activation"):
            raise unknown_name("norm_position", self.norm_position, ["before_activation", "after_activation"])

    @property
    def units(self) -> float:
        """`width`, or the fan-out of a dense layer."""
        return self.width or self.fan_out


@dataclass(frozen=True)
class Band:
    """A prediction with the scatter of finite networks: log(value/mean) ~ N(log_shift, log_variance).

    mean: the value at infinite width.
    """

    mean: float
    log_shift: float
    log_variance: float

    @property
    def low(self) -> float:
        """2.5% of networks lie below."""
        return self._quantile(-1.96)

    @property
    def high(self) -> float:
        """2.5% of networks lie above."""
        return self._quantile(1.96)

    def _quantile(self, deviations: float) -> float:
        exponent = self.log_shift + deviations * math.sqrt(self.log_variance)
        return self.mean * math.exp(min(exponent, _LARGEST_EXPONENT))


@dataclass(frozen=True)
class LayerPrediction:
    """What one layer does to signal and gradient.

    variance: q, mean square of the pre-activation h, before a norm layer.
    correlation: of the pre-activations of two different inputs, before a norm layer.
    second_moment: mean square of the layer's output x over units, of one input, with its band.
    gradient_factor: mean square of the loss gradient at the layer's input over that at its output.
    gradient: the same over that at the network's output: the product of the factors from here up, with its
      band.
    """

    name: str
    variance: float
    correlation: float
    second_moment: Band
    gradient_factor: float
    gradient: Band


@dataclass(frozen=True)
class NetworkPrediction:
    """All layers, first to last, and what the numbers leave out (sentences, possibly none)."""

    layers: tuple[LayerPrediction, ...]
    notes: tuple[str, ...]


def propagate(
    layers: Sequence[Layer],
    *,
    input_second_moment: float = 1.0,
    input_correlation: float = 0.0,
    batch_size: int | None = None,
    norm_eps: float = 1e-5,
) -> NetworkPrediction:
    """Predict variance, correlation and gradient through `layers`, in forward order.

    input_second_moment, input_correlation: E x² of the input's pixels and the mean product of two inputs
    over it (1 and 0 for standardized images). batch_size: independent samples that share a BatchNorm
    statistic; None for many. The Jacobian of BatchNorm at a finite batch is that of Yang et al.
    (`trainlab.theory.batchnorm`). All-zero weights give zeros; variances are followed within 1e-200 … 1e200.

    Raises RequestError for no layers, or an input that is not a variance and a correlation.
    """
    if not layers:
        raise RequestError("a prediction needs at least one layer, got none")
    if not 0 <= input_second_moment < math.inf or not -1 <= input_correlation <= 1:
        raise RequestError(
            "input_second_moment must be 0 or more and input_correlation −1 to 1, "
            f"got {input_second_moment} and {input_correlation}"
        )
    x = Signal(input_second_moment, input_second_moment * input_correlation, Scatter())
    passed = []
    for layer, phi in zip(layers, _prepared_activations(layers), strict=True):
        h = _linear(layer, x)
        response = respond(
            phi, h, layer.units, layer.norm, layer.norm_position, batch_size=batch_size, eps=norm_eps
        )
        x = response.output(h)
        passed.append((layer, h, response))
    predictions = _backward(passed, layers[0].fan_in)
    return NetworkPrediction(predictions, tuple(_notes(layers, predictions)))


def _prepared_activations(layers: Sequence[Layer]) -> list[Elementwise]:
    """φ of each layer; a φ that several layers share is prepared once."""
    ready: dict[int, Elementwise] = {}
    for layer in layers:
        if id(layer.activation) not in ready:
            ready[id(layer.activation)] = Elementwise.prepared(layer.activation or _identity)
    return [ready[id(layer.activation)] for layer in layers]


def _identity(u: torch.Tensor) -> torch.Tensor:
    return u


def _linear(layer: Layer, x: Signal) -> Signal:
    gain = layer.fan_in * layer.weight_variance
    square = min(gain * x.square + layer.bias_variance, LARGEST_Q)
    h = Signal(square, gain * x.product + layer.bias_variance, x.scatter)
    return replace(h, scatter=x.scatter.after(_weight_share(layer, h)))


def _weight_share(layer: Layer, h: Signal) -> float:
    """d log q / d log E x²: the part of the pre-activation's variance that is not the bias's."""
    return 1 - layer.bias_variance / h.square if h.square > 0 else 0.0


def _backward(
    passed: list[tuple[Layer, Signal, Response]], input_units: float
) -> tuple[LayerPrediction, ...]:
    """From the network's output down: the gradient at each layer's input, with the band of its mean square.

    δ log(gradient) = follow · δ log q_l + noise of the layers from l up, q_l the variance in layer l.
    Given the gradient above, that at a layer's input is a Gaussian vector of as many units as the layer below
    has, so that its own mean square scatters by 2/n.
    """
    predictions: list[LayerPrediction] = []
    gradient, noise, shift, follow = 1.0, 0.0, 0.0, 0.0
    for index in reversed(range(len(passed))):
        layer, h, response = passed[index]
        factor = layer.fan_out * layer.weight_variance * response.slope
        gradient *= factor
        # `follow` is that of the layers above with respect to this layer's output.
        noise += response.slope_own + 2 * follow * response.own_both + follow**2 * response.own
        shift -= (response.slope_own + follow * response.own) / 2
        follow = response.slope_follow + follow * response.follow
        units_below = passed[index - 1][0].units if index else input_units
        scatter = max(noise + follow**2 * h.scatter.log_variance, 0.0) + 2 / units_below
        output = response.output(h)
        predictions.append(
            LayerPrediction(
                name=layer.name,
                variance=h.square,
                correlation=h.correlation,
                second_moment=Band(output.square, output.scatter.log_shift, output.scatter.log_variance),
                gradient_factor=factor,
                gradient=Band(gradient, shift + follow * h.scatter.log_shift - 1 / units_below, scatter),
            )
        )
        follow *= _weight_share(layer, h)
    return tuple(reversed(predictions))


def _notes(layers: Sequence[Layer], predictions: Sequence[LayerPrediction]) -> Iterator[str]:
    """What the prediction leaves out, for these layers."""
    norms = {layer.norm for layer in layers}
    if "instancenorm" in norms:
        yield "instancenorm is treated as batchnorm over the positions of one image"
    if "batchnorm" in norms:
        yield "batchnorm is that of independent samples; convolutions share it over correlated pixels"
    if any(layer.norm and layer.norm_position == "after_activation" for layer in layers):
        yield "the gradient's band leaves out the scatter of statistics taken after the activation"
    if any(max(p.second_moment.log_variance, p.gradient.log_variance) > 1 for p in predictions):
        # the scatter of the logarithm, known to first order in 1/width, is then no small number any more
        yield "at this width and depth one network may be several times off the theory, in either direction"
