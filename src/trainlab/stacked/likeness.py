"""Whether networks can be one stack: the same modules with the same settings, tensors of the same shapes."""

from collections.abc import Iterator, Sequence

from torch import Tensor, nn

from trainlab.errors import RequestError


def require_alike(networks: Sequence[nn.Module]) -> None:
    """Raise RequestError in one line where networks differ in more than the values of their tensors."""
    if not networks:
        raise RequestError("a stack of networks: got none, expected one at least")
    expected = dict(_features(networks[0]))
    for run, network in enumerate(networks[1:], start=1):
        got = dict(_features(network))
        for feature in [*expected, *got]:
            ours, theirs = expected.get(feature, "missing"), got.get(feature, "missing")
            if ours != theirs:
                raise RequestError(
                    f"a stack of unlike networks: {feature} is {ours} in run 0, {theirs} in run {run}"
                )


def _features(network: nn.Module) -> Iterator[tuple[str, str]]:
    """What must be the same, by name: shapes and kinds of tensors first, then each module's settings."""
    tensors: list[tuple[str, Tensor]] = list(network.named_parameters(remove_duplicate=False))
    tensors += list(network.named_buffers(remove_duplicate=False))
    yield from ((name, _shape(tensor)) for name, tensor in tensors)
    yield from ((name, _kind(tensor)) for name, tensor in tensors)
    for name, module in network.named_modules(remove_duplicate=False):
        kind = type(module).__name__
        yield name or "the network", kind if module._modules else f"{kind}({module.extra_repr()})"
        yield f"the mode of {name or 'the network'}", "training" if module.training else "evaluation"


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "one number"


def _kind(tensor: Tensor) -> str:
    kind = f"{str(tensor.dtype).removeprefix('torch.')} on {tensor.device}"
    return f"{kind}, {'trained' if tensor.requires_grad else 'fixed'}"
