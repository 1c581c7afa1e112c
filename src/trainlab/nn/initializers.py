"""Initializers: each fills the weight and bias of one layer in place, and is applied to every weight layer.

An initializer is any callable `initializer(layer, negative_slope=0.0)`. `negative_slope` is the slope a of
the activation that follows the layer (leaky_relu, prelu; else 0). One that needs data has, beside it, a
method `on_batch(network, x_NCHW)`, called once after all layers.

`gain` multiplies the std of the weights relative to 1/√fan; None is the default that the paper states, and
does not depend on the activation, except on a. Biases start at zero, except in torch_default and mean_field.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trainlab.errors import RequestError
from trainlab.nn.layers import fans, kernel_shape, weight_layers, weight_matrices_shape


@runtime_checkable
class LayerInitializer(Protocol):
    """Anything that fills the weight and bias of one layer in place: a class of the user's own too."""

    def __call__(self, layer: nn.Module, negative_slope: float = ...) -> None:
        """`negative_slope` is that of the activation that follows the layer."""
        ...


@runtime_checkable
class BatchInitializer(Protocol):
    """An initializer that needs data, too."""

    def on_batch(self, network: nn.Module, x_NCHW: Float[Tensor, "N C H W"]) -> None:
        """Adjusts the weights of `network`, filled by then, to a batch as its layers see it."""
        ...


class LayerFittedToImages(nn.Module, ABC):
    """A layer whose weights are statistics of the images that the network is given: of how many."""

    fitted_on_images = 5000

    @abstractmethod
    def fit_to_images(self, x_NCHW: Float[Tensor, "N C H W"]) -> None:
        """Takes the weights from a batch of the network's input."""


def images_to_fit(network: nn.Module) -> int:
    """How many images the layers of `network` that are fitted to images want; 0 where there are none."""
    fitted = [m.fitted_on_images for m in network.modules() if isinstance(m, LayerFittedToImages)]
    return max(fitted, default=0)


def fit_to_images(network: nn.Module, x_NCHW: Float[Tensor, "N C H W"]) -> None:
    """Fits those layers of `network` that are fitted to images; x_NCHW as `network` sees it, normalized."""
    for module in network.modules():
        if isinstance(module, LayerFittedToImages):
            module.fit_to_images(x_NCHW)


@torch.no_grad()
def initialize(
    network: nn.Module, initializer: LayerInitializer, x_NCHW: Float[Tensor, "N C H W"] | None = None
) -> None:
    """Apply `initializer` to every weight layer of `network`, then its `on_batch`, where it has one.

    x_NCHW is a batch as the layers see it: float, already normalized. Raises RequestError where the
    initializer needs it and it is missing.
    """
    slopes = negative_slopes(network)
    for name, layer in weight_layers(network):
        initializer(layer, negative_slope=slopes[name])
    if not isinstance(initializer, BatchInitializer):
        return
    if x_NCHW is None:
        raise RequestError(f"init: {type(initializer).__name__} needs a batch of images, got none")
    initializer.on_batch(network, x_NCHW)


def negative_slopes(network: nn.Module) -> dict[str, float]:
    """By name of weight layer, the slope of the activation registered after it, before the next layer.

    `negative_slope` of LeakyReLU (and whatever has that attribute), the initial slope of PReLU, 0 of others.
    """
    slopes = {name: 0.0 for name, _ in weight_layers(network)}
    last = None
    for name, module in network.named_modules():
        if name in slopes:
            last = name
        elif last is not None and isinstance(module, nn.PReLU):
            slopes[last] = module.init
        elif last is not None and isinstance(slope := getattr(module, "negative_slope", None), float | int):
            slopes[last] = slope
    return slopes


class Initializer(ABC):
    """What the initializers below share: they fill the weight, and set the bias to zero."""

    @torch.no_grad()
    def __call__(self, layer: nn.Module, negative_slope: float = 0.0) -> None:
        """Fill `layer` in place; `negative_slope` is that of the activation that follows it."""
        self._fill_weight(layer.get_parameter("weight"), layer, negative_slope)
        if (bias := layer._parameters.get("bias")) is not None:
            self._fill_bias(bias)

    @abstractmethod
    def _fill_weight(self, weight: nn.Parameter, layer: nn.Module, negative_slope: float) -> None: ...

    def _fill_bias(self, bias: Float[Tensor, "*F"]) -> None:
        bias.zero_()


@dataclass(frozen=True)
class VarianceScaling(Initializer):
    """N(0, std²), or U(±√3 std), which has the same variance; the std comes from the fans.

    Raises RequestError for a gain that is negative or not finite.
    """

    gain: float | None = None
    uniform: bool = False

    def __post_init__(self) -> None:
        require_nonnegative(self, gain=self.gain)

    @abstractmethod
    def std(self, layer: nn.Module, negative_slope: float) -> float:
        """Std of the weights of `layer`, the gain included."""

    def _fill_weight(self, weight: nn.Parameter, layer: nn.Module, negative_slope: float) -> None:
        std = self.std(layer, negative_slope)
        if self.uniform:
            weight.uniform_(-math.sqrt(3) * std, math.sqrt(3) * std)
        else:
            weight.normal_(0, std)


class Kaiming(VarianceScaling):
    """Std gain/√fan_in, gain √(2/(1 + a²)) (He et al. 2015, Eq. 10 and 15; fan_in = k² c_in)."""

    def std(self, layer: nn.Module, negative_slope: float) -> float:
        """gain / √fan_in."""
        gain = math.sqrt(2 / (1 + negative_slope**2)) if self.gain is None else self.gain
        return gain / math.sqrt(fans(layer)[0])


class Glorot(VarianceScaling):
    """Std gain·√(2/(fan_in + fan_out)), gain 1 (Glorot & Bengio 2010, Eq. 12 and 16)."""

    def std(self, layer: nn.Module, negative_slope: float) -> float:
        """gain · √(2 / (fan_in + fan_out))."""
        return _gain_or_one(self.gain) * math.sqrt(2 / sum(fans(layer)))


class LeCun(VarianceScaling):
    """Std gain/√fan_in, gain 1 (LeCun et al. 1998, Efficient BackProp, Eq. 16)."""

    def std(self, layer: nn.Module, negative_slope: float) -> float:
        """gain / √fan_in."""
        return _gain_or_one(self.gain) / math.sqrt(fans(layer)[0])


@dataclass(frozen=True)
class Normal(Initializer):
    """N(0, std²) whatever the fans: the habit before Glorot (Krizhevsky et al. 2012: std 0.01).

    Raises RequestError for a std that is negative or not finite.
    """

    std: float = 0.01

    def __post_init__(self) -> None:
        require_nonnegative(self, std=self.std)

    def _fill_weight(self, weight: nn.Parameter, layer: nn.Module, negative_slope: float) -> None:
        weight.normal_(0, self.std)


@dataclass(frozen=True)
class MeanField(Initializer):
    """Weights N(0, σ_w²/fan_in), biases N(0, σ_b²): a point of mean field theory (Poole et al. 2016).

    The default (2, 0) is the critical point of ReLU. Raises RequestError for a variance that is negative or
    not finite.
    """

    sigma_w2: float = 2.0
    sigma_b2: float = 0.0

    def __post_init__(self) -> None:
        require_nonnegative(self, sigma_w2=self.sigma_w2, sigma_b2=self.sigma_b2)

    def _fill_weight(self, weight: nn.Parameter, layer: nn.Module, negative_slope: float) -> None:
        weight.normal_(0, math.sqrt(self.sigma_w2 / fans(layer)[0]))

    def _fill_bias(self, bias: Float[Tensor, "*F"]) -> None:
        bias.normal_(0, math.sqrt(self.sigma_b2))


@dataclass(frozen=True)
class Orthogonal(Initializer):
    """Orthonormal rows or columns, whichever are fewer, times `gain` (1) (Saxe et al. 2014).

    The matrix of a convolution is (c_out, k² c_in), group by group; of unshared weights one per position.
    Raises RequestError for a gain that is negative or not finite.
    """

    gain: float | None = None

    def __post_init__(self) -> None:
        require_nonnegative(self, gain=self.gain)

    def _fill_weight(self, weight: nn.Parameter, layer: nn.Module, negative_slope: float) -> None:
        weight.copy_(_gain_or_one(self.gain) * orthogonal_weight(layer))


class DeltaOrthogonal(Orthogonal):
    """All taps zero but the centre, an orthogonal matrix times `gain` (1) (Xiao et al. 2018, Alg. 1).

    With c_in ≤ c_out, stride 1 and circular padding the convolution keeps every norm: ‖conv(x)‖ = ‖x‖.
    With c_in > c_out no linear map can: the rows of the centre are orthonormal, so that it keeps the norm of
    what it does not discard. A dense layer is a kernel of one tap: an orthogonal matrix.
    """

    def _fill_weight(self, weight: nn.Parameter, layer: nn.Module, negative_slope: float) -> None:
        weight.copy_(_gain_or_one(self.gain) * delta_orthogonal_weight(layer))


class Dirac(Initializer):
    """Map i of a convolution hands channel i on, as far as there are both; other maps start as torch's do.

    The centre tap of these is 1 and all others 0 (Zagoruyko & Komodakis 2017, arXiv:1706.00388, for the first
    c_in maps only, as in Jordan 2024, arXiv:2404.00498, section 3.2), so that the input reaches the end of a
    deep network. Other weights, all those of dense layers too: U(±1/√fan_in). Biases zero.
    """

    def _fill_weight(self, weight: nn.Parameter, layer: nn.Module, negative_slope: float) -> None:
        bound = 1 / math.sqrt(fans(layer)[0])
        weight.uniform_(-bound, bound)
        kernel = kernel_shape(layer)
        if not kernel:
            return
        groups, rows, columns = weight_matrices_shape(layer)
        channels = columns // kernel.numel()
        taps_GRCT = weight.reshape(groups, rows, channels, kernel.numel()).clone()
        handed_on = torch.arange(min(rows, channels), device=weight.device)
        taps_GRCT[:, : len(handed_on)] = 0
        taps_GRCT[:, handed_on, handed_on, _centre_tap_index(kernel)] = 1
        weight.copy_(taps_GRCT.reshape(weight.shape))


class TorchDefault(Initializer):
    """The layer's own `reset_parameters()`: in torch, weights and biases U(±1/√fan_in).

    Raises RequestError for a layer that has none.
    """

    def __call__(self, layer: nn.Module, negative_slope: float = 0.0) -> None:
        """Let `layer` fill its weight and bias itself."""
        self._fill_weight(layer.get_parameter("weight"), layer, negative_slope)

    def _fill_weight(self, weight: nn.Parameter, layer: nn.Module, negative_slope: float) -> None:
        reset = getattr(layer, "reset_parameters", None)
        if not callable(reset):
            raise RequestError(f"init=torch_default: {type(layer).__name__} has no reset_parameters()")
        reset()


class Zeros(Initializer):
    """All weights zero: the units of a layer stay equal, nothing is learned but the output's bias."""

    def _fill_weight(self, weight: nn.Parameter, layer: nn.Module, negative_slope: float) -> None:
        weight.zero_()


def require_nonnegative(initializer: Initializer, **values: float | None) -> None:
    """Raise RequestError for a gain, std or variance that is negative or not finite; None is a default."""
    for name, value in values.items():
        if value is not None and not 0 <= value < math.inf:
            kind = type(initializer).__name__
            raise RequestError(f"init: {kind} got {name}={value}, expected a finite number of at least 0")


def _gain_or_one(gain: float | None) -> float:
    return 1.0 if gain is None else gain


def random_orthogonal(groups: int, rows: int, columns: int) -> Float[Tensor, "{groups} {rows} {columns}"]:
    """`groups` matrices (R, C) of orthonormal rows (R ≤ C) or columns (R ≥ C), uniform over all such.

    From the QR decomposition of Gaussian matrices; the signs of R's diagonal make it uniform (Mezzadri 2007).
    """
    tall = torch.randn(groups, max(rows, columns), min(rows, columns))
    q, r = torch.linalg.qr(tall)
    q = q * r.diagonal(dim1=1, dim2=2).sign()[:, None, :]
    return q if rows >= columns else q.transpose(1, 2)


def orthogonal_weight(layer: nn.Module) -> Tensor:
    """A weight for `layer` each of whose matrices is orthogonal."""
    return random_orthogonal(*weight_matrices_shape(layer)).reshape(layer.get_parameter("weight").shape)


def delta_orthogonal_weight(layer: nn.Module) -> Tensor:
    """A weight for `layer` that is zero but at the kernel's centre tap, an orthogonal matrix.

    The centre of an even kernel is the tap before the middle.
    """
    kernel = kernel_shape(layer)
    groups, rows, columns = weight_matrices_shape(layer)
    channels = columns // kernel.numel()
    taps_GRCT = torch.zeros(groups, rows, channels, kernel.numel())
    taps_GRCT[..., _centre_tap_index(kernel)] = random_orthogonal(groups, rows, channels)
    return taps_GRCT.reshape(layer.get_parameter("weight").shape)


def _centre_tap_index(kernel: torch.Size) -> int:
    """Index of the centre tap in the flattened kernel."""
    index = 0
    for taps in kernel:
        index = index * taps + (taps - 1) // 2
    return index
