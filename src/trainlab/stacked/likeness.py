"""Whether networks can be one stack: the same modules with the same settings, tensors of the same shapes."""

from collections.abc import Iterator, Sequence

from torch import Tensor, nn

from trainlab.errors import RequestError


def require_alike(networks: Sequence[nn.Module]) -> None:
    """Raise RequestError in one line where networks differ in more than the values of their tensors."""
    if not networks:
        raise RequestError("a stack of networks: got none, expected one at least")
    for features in (_shapes, _kinds, _settings):
        expected = features(networks[0])
        for run, network in enumerate(networks[1:], start=1):
            got = features(network)
            for feature in [*expected, *got]:
                ours, theirs = expected.get(feature, "missing"), got.get(feature, "missing")
                if ours != theirs:
                    raise RequestError(
                        f"a stack of unlike networks: {feature} is {ours} in run 0, {theirs} in run {run}"
                    )


def _shapes(network: nn.Module) -> dict[str, str]:
    return {name: "×".join(map(str, tensor.shape)) or "one number" for name, tensor in _tensors(network)}


def _kinds(network: nn.Module) -> dict[str, str]:
    return {
        name: f"{str(tensor.dtype).removeprefix('torch.')} on {tensor.device}, "
        f"{'trained' if tensor.requires_grad else 'fixed'}"
        for name, tensor in _tensors(network)
    }


def _settings(network: nn.Module) -> dict[str, str]:
    settings = {}
    for name, module in network.named_modules(remove_duplicate=False):
        kind = type(module).__name__
        settings[name or "the network"] = kind if module._modules else f"{kind}({module.extra_repr()})"
        settings[f"the mode of {name or 'the network'}"] = "training" if module.training else "evaluation"
    return settings


def _tensors(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from network.named_parameters(remove_duplicate=False)
    yield from network.named_buffers(remove_duplicate=False)
