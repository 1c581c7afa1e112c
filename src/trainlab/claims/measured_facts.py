"""Facts of layers and networks that are computed on the spot and hold for any weights: nothing is trained.

Each is one number, in float64, of random images and, where an arm is named, of its network at
initialization. Called in a process of its own; torch is imported inside the functions.

Legend: N images, C planes, H × W positions.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from trainlab.claims.sources import FACTS
from trainlab.errors import RequestError, unknown_name
from trainlab.settings import Settings, settings_from_json

if TYPE_CHECKING:
    from torch import Tensor, nn

    from trainlab.nn.normalization import NormalizedNetwork

Argument = float | int
IMAGES = 8
"""Random images that a fact is computed on."""
PLANES = 6


def measured_fact(name: str, arguments: Mapping[str, Argument], layer: str | None, frozen: str) -> float:
    """The number of a fact of `FACTS`; `frozen` are the arm's settings, empty for a fact of no network.

    Raises RequestError for arguments out of range, or a network that it cannot be asked of.
    """
    import torch

    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        if FACTS[name].needs_arm:
            return _OF_A_NETWORK[name](settings_from_json(frozen), layer or "", arguments)
        return _OF_A_LAYER[name](arguments)


# Of a layer


def _running_statistics(arguments: Mapping[str, Argument]) -> float:
    """Share of the batch's mean that the running mean has reached after `steps` equal batches."""
    import torch
    from torch import nn

    momentum, steps = float(arguments.get("momentum", 0.1)), int(arguments.get("steps", 10))
    if not 0 <= momentum <= 1:
        raise RequestError(f"fact: momentum: got {momentum:g}, expected 0 to 1")
    if steps < 0:
        raise RequestError(f"fact: steps: got {steps}, expected at least 0")
    x_NCHW = (
        torch.randn(IMAGES, PLANES, 4, 4, dtype=torch.float64) + torch.arange(1.0, PLANES + 1)[:, None, None]
    )
    norm = nn.BatchNorm2d(PLANES, momentum=momentum).double()
    for _ in range(steps):
        norm(x_NCHW)
    assert norm.running_mean is not None
    return float((norm.running_mean / x_NCHW.mean((0, 2, 3))).mean())


# Of a network


def _equivariance(settings: Settings, layer: str, arguments: Mapping[str, Argument]) -> float:
    """Largest |f(Tx) − T f(x)|, over the largest |f(x)|; T rolls the image by `shift` pixels, f is a layer.

    Of an output without positions (logits), T does nothing there: invariance.
    """
    import torch

    shift = int(arguments.get("shift", 1))
    network = _initialized(settings).network.double().eval()
    x_NCHW = _random_images(settings).double()
    y, moved_y = (_output_of(network, layer, x) for x in (x_NCHW, torch.roll(x_NCHW, (shift, shift), (2, 3))))
    if y.dim() == 4:
        H, h = x_NCHW.shape[2], y.shape[2]
        if H % h or shift % (H // h):
            raise RequestError(
                f"fact equivariance: layer {layer} has {h} positions for {H}, so that a shift of {shift} "
                f"pixels is none of whole positions; expected a multiple of {-(-H // h)}"
            )
        y = torch.roll(y, (shift * h // H,) * 2, (2, 3))
    return float((moved_y - y).abs().max() / y.abs().max())


def _contrast_invariance(settings: Settings, layer: str, arguments: Mapping[str, Argument]) -> float:
    """Largest change of a logit when every pixel x becomes factor · x + offset, over the largest logit."""
    factor, offset = float(arguments.get("factor", 0.5)), float(arguments.get("offset", 40.0))
    if factor <= 0:
        raise RequestError(f"fact contrast_invariance: factor: got {factor:g}, expected more than 0")
    model = _initialized(settings).double().eval()
    pixels_NCHW = _random_images(settings).double().sigmoid() * 255
    y_NK, other_NK = model(pixels_NCHW), model(factor * pixels_NCHW + offset)
    return float((other_NK - y_NK).abs().max() / y_NK.abs().max())


def _initialized(settings: Settings) -> "NormalizedNetwork":
    """The arm's network with its first weights; the images that an initializer looks at are random ones."""
    from trainlab.build import networks
    from trainlab.instantiate import instantiate
    from trainlab.instantiate.parts import INIT
    from trainlab.nn.initializers import fit_to_images, initialize

    classes = settings.data.num_classes
    if classes is None:
        raise RequestError(f"data {settings.data.name}: expected data.num_classes")
    shape = networks.input_shape_CHW(settings)
    model = networks.build_model(settings, shape, classes, [0.5] * shape[0], [0.25] * shape[0])
    x_NCHW = _random_images(settings)
    fit_to_images(model.network, x_NCHW)
    initialize(model.network, instantiate(settings.init, INIT), x_NCHW)
    return model


def _random_images(settings: Settings) -> "Tensor":
    import torch

    from trainlab.build import networks

    generator = torch.Generator().manual_seed(1)
    return torch.randn(IMAGES, *networks.input_shape_CHW(settings), generator=generator)


def _output_of(network: "nn.Module", layer: str, x_NCHW: "Tensor") -> "Tensor":
    named = dict(network.named_modules()) | {"logits": network}
    if layer not in named or not layer:
        raise unknown_name("layer", layer, [name for name in named if name])
    seen: list[Tensor] = []
    handle = named[layer].register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    try:
        network(x_NCHW)
    finally:
        handle.remove()
    return seen[-1]


_OF_A_LAYER: dict[str, Callable[[Mapping[str, Argument]], float]] = {
    "running_statistics": _running_statistics,
}
_OF_A_NETWORK: dict[str, Callable[[Settings, str, Mapping[str, Argument]], float]] = {
    "equivariance": _equivariance,
    "contrast_invariance": _contrast_invariance,
}
