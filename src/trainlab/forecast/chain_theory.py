"""A network's layers as the mean-field theory takes them, where it is a chain that the theory can express.

Legend: N images, C channels, H × W pixels.
"""

import math
from collections.abc import Sequence, Set
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trainlab.forecast.answer import TheoryLayer, TheoryReport
from trainlab.forecast.functional_model import FunctionalModel
from trainlab.nn.layers import fans, is_activation, weight_layers
from trainlab.nn.norm_layers import FeatureNorm
from trainlab.theory import mean_field
from trainlab.theory.elementwise import Elementwise
from trainlab.theory.layer_response import NormKind
from trainlab.theory.propagation import Layer, LayerPrediction, NetworkPrediction, propagate

TRAINABLE_DEPTH_SCALES = 6.0
"""With SGD and a small budget networks train up to about 6 ξ_c layers (Schoenholz et al. 2017)."""


@dataclass(frozen=True)
class ChainTheory:
    """What the theory predicts of a chain: layer by layer, and of its typical hidden layer.

    chi1: slope of the correlation map at c = 1; through BatchNorm, growth of the mean square gradient a
    layer. reach_layers: 6 ξ_c, or 6/ln χ₁ through BatchNorm, whose gradient explodes. depth: hidden layers.
    """

    layers: Sequence[Layer]
    prediction: NetworkPrediction
    chi1: float
    reach_layers: float
    depth: int


def chain_theory(network: FunctionalModel, x_NCHW: Tensor) -> ChainTheory | None:
    """The theory of the network for images like these, already normalized; None where it is no chain.

    Weight variances are those of the weights as they are. Pooling and zero padding are left out.
    """
    layers = chain_layers(network, x_NCHW)
    if not layers:
        return None
    x_ND = x_NCHW.flatten(1).double()
    square = float(x_ND.square().mean())
    pairs = len(x_ND) * (len(x_ND) - 1)
    product = (
        float((x_ND.sum(0).square().sum() - x_ND.square().sum()) / (pairs * x_ND.shape[1])) if pairs else 0.0
    )
    correlation = min(max(product / square, -1.0), 1.0) if square > 0 else 1.0
    prediction = propagate(
        layers, input_second_moment=square, input_correlation=correlation, batch_size=max(4, len(x_NCHW))
    )
    hidden = layers[:-1] or layers
    return ChainTheory(layers, prediction, *_typical(hidden), depth=len(hidden))


def _typical(hidden: Sequence[Layer]) -> tuple[float, float]:
    """(χ₁, layers it reaches) of the middle hidden layer."""
    layer = hidden[len(hidden) // 2]
    phi = Elementwise.prepared(layer.activation or torch.nn.Identity())
    if layer.norm in ("batchnorm", "instancenorm"):
        growth = mean_field.batchnorm_gradient_growth(phi) ** 2
        return growth, TRAINABLE_DEPTH_SCALES / max(abs(float(torch.tensor(growth).log())), 1e-9)
    sigma_w2 = layer.fan_in * layer.weight_variance
    scales = mean_field.depth_scales(phi, sigma_w2, layer.bias_variance)
    return mean_field.chi1(phi, sigma_w2, layer.bias_variance), TRAINABLE_DEPTH_SCALES * scales.xi_c


def chain_layers(network: FunctionalModel, x_NCHW: Tensor) -> list[Layer]:
    """The weight layers in the order in which they run, each with its activation and norm layer.

    Empty where the network is not one chain of modules, each fed by the one before it: a shortcut, a branch,
    a layer that runs twice, an activation that is no elementwise function, two norm layers in a row.
    """
    order = _execution_order(network, x_NCHW[:2])
    names = {module: name for name, module in weight_layers(network.model)}
    activations = {m for name, m in network.model.named_modules() if is_activation(name, m)}
    layers: list[Layer] = []
    parts: list[nn.Module] = []
    for module in reversed(order):
        parts.insert(0, module)
        if module in names:
            layer = _layer(names[module], module, parts[1:], activations)
            if layer is None:
                return []
            layers.insert(0, layer)
            parts = []
    return layers if len(layers) == len(names) else []


def _layer(
    name: str, module: nn.Module, following: Sequence[nn.Module], activation_modules: Set[nn.Module]
) -> Layer | None:
    activations = [i for i, m in enumerate(following) if m in activation_modules]
    norms = [i for i, m in enumerate(following) if _norm_kind(m)]
    if len(activations) > 1 or len(norms) > 1 or any(_is_fixed_map(m) for m in following):
        return None
    weight = module.get_parameter("weight").detach().double()
    bias = module._parameters.get("bias")
    fan_in, fan_out = fans(module)
    is_after = bool(norms and activations and norms[0] > activations[0])
    return Layer(
        name=name,
        fan_in=fan_in,
        fan_out=fan_out,
        weight_variance=float(weight.square().mean()),
        bias_variance=float(bias.detach().double().square().mean()) if bias is not None else 0.0,
        width=module.get_parameter("weight").shape[0],
        activation=following[activations[0]] if activations else None,
        norm=_norm_kind(following[norms[0]]) if norms else None,
        norm_position="after_activation" if is_after else "before_activation",
    )


def _norm_kind(module: nn.Module) -> NormKind | None:
    if isinstance(module, FeatureNorm):
        return _norm_kind(module.layer)
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        return "batchnorm" if module.training or module.running_mean is None else None
    if isinstance(module, nn.modules.instancenorm._InstanceNorm):
        return "instancenorm"
    if isinstance(module, nn.GroupNorm):
        return "layernorm" if module.num_groups == 1 else "groupnorm"
    return "layernorm" if isinstance(module, nn.LayerNorm) else None


def _is_fixed_map(module: nn.Module) -> bool:
    """Whether it is a BatchNorm in eval mode that does anything: with mean 0 and variance 1 it does not."""
    norm = module.layer if isinstance(module, FeatureNorm) else module
    if not isinstance(norm, nn.modules.batchnorm._BatchNorm) or norm.training:
        return False
    statistics = ((norm.running_mean, 0.0), (norm.running_var, 1.0), (norm.weight, 1.0), (norm.bias, 0.0))
    return any(value is not None and bool((value != usual).any()) for value, usual in statistics)


def _execution_order(network: FunctionalModel, x_NCHW: Tensor) -> list[nn.Module]:
    """Modules in the order in which they run; none where one takes another tensor than the last one gave."""
    order: list[nn.Module] = []
    x_NCHW = x_NCHW.clone()
    last: list[Tensor] = [x_NCHW]
    is_chain = True

    def check(module: nn.Module, inputs: tuple[object, ...], output: Tensor) -> None:
        nonlocal is_chain
        is_chain &= bool(inputs) and inputs[0] is last[0] and module not in order
        order.append(module)
        last[0] = output

    handles = [m.register_forward_hook(check) for m in _leaf_modules(network.model)]
    try:
        with torch.no_grad():
            output = network.forward_in_place(x_NCHW)
    finally:
        for handle in handles:
            handle.remove()
    return order if is_chain and output is last[0] else []


def _leaf_modules(module: nn.Module) -> list[nn.Module]:
    """Modules that do something themselves."""
    children = list(module.children())
    if not children or isinstance(module, FeatureNorm):
        return [module]
    return [leaf for child in children for leaf in _leaf_modules(child)]


def theory_report(theory: ChainTheory | None) -> TheoryReport | None:
    """As plain values; None stays None."""
    if theory is None:
        return None
    pairs = list(zip(theory.layers, theory.prediction.layers, strict=True))
    layers: list[TheoryLayer] = []
    gradient = 1.0
    for layer, predicted in reversed(pairs):
        layers.insert(0, _report_layer(layer, predicted, gradient if layer.activation is not None else None))
        if layer.activation is not None:
            # of the norm over all units and positions, which pooling keeps: not of the mean square
            gradient *= math.sqrt(predicted.gradient_factor * layer.fan_in / layer.fan_out)
    return {
        "chi1": theory.chi1,
        "reach_layers": theory.reach_layers,
        "depth": theory.depth,
        "notes": list(theory.prediction.notes),
        "layers": layers,
    }


def _report_layer(layer: Layer, predicted: LayerPrediction, gradient: float | None) -> TheoryLayer:
    is_normalized = layer.norm is not None and layer.norm_position == "before_activation"
    is_over_batch = is_normalized and layer.norm in ("batchnorm", "instancenorm")
    return {
        "name": layer.name,
        "scale": 1.0 if is_normalized else math.sqrt(predicted.variance),
        "correlation": None if is_over_batch else predicted.correlation,
        "gradient": gradient,
    }
