"""A copy of network, loss and optimizers to try a step on; what the user handed over stays as it was."""

import copy
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from trainlab.errors import RequestError
from trainlab.forecast.functional_model import apply_own_train_methods
from trainlab.forecast.isolation import copy_model, unwrap_model
from trainlab.forecast.optimizer_factory import copy_optimizer

LossFunction = Callable[..., object]
"""`loss_fn(output, target)`."""


class Sandbox:
    """Copies that belong together: the optimizers hold the copied network's parameters.

    names: of the network's parameters, by the `id` of the original's. own: the user's network, unwrapped.
    Raises RequestError for what is no network, or cannot be copied.
    """

    def __init__(
        self, model: nn.Module, loss_fn: LossFunction | None, optimizers: Sequence[Optimizer]
    ) -> None:
        self._memo: dict[int, object] = {}
        self.network = copy_model(model, self._memo, "check")
        self.own = unwrap_model(model)
        apply_own_train_methods(list(self.network.modules()))
        self._memo |= {id(own): twin for own, twin in zip(*self._parameters(), strict=True)}
        self.loss_fn = None if loss_fn is None else self._copied_loss(loss_fn)
        self.optimizers = [copy_optimizer(optimizer, self._memo, "check") for optimizer in optimizers]
        self.device = next(self.network.parameters()).device

    def _parameters(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        return list(self.own.parameters()), list(self.network.parameters())

    def _copied_loss(self, loss_fn: LossFunction) -> LossFunction:
        if isinstance(loss_fn, nn.Module):
            return copy.deepcopy(loss_fn, self._memo)
        owner = getattr(loss_fn, "__self__", None)
        twin = self._memo.get(id(owner))
        if isinstance(loss_fn, types.MethodType) and twin is not None:  # a method of the network
            return types.MethodType(loss_fn.__func__, twin)
        return loss_fn

    def forward(self, inputs: object) -> object:
        """What the copied network gives for a tensor, a tuple of arguments or a dictionary of them."""
        return call_network(self.network, inputs)


def call_network(network: nn.Module, inputs: object) -> object:
    """network(x), network(*x) or network(**x)."""
    if isinstance(inputs, Mapping):
        return network(**{str(name): value for name, value in inputs.items()})
    if isinstance(inputs, tuple | list):
        return network(*inputs)
    return network(inputs)


@contextmanager
def preserve_objects(modules: Iterable[nn.Module], optimizers: Iterable[Optimizer]) -> Iterator[None]:
    """Parameters, buffers, gradients, modes and groups are put back, whatever a function of the user's does.

    Only copies are run; but a loss or a step that was written as a closure may reach the originals.
    """
    restores = [*(_module_state(module) for module in modules), *map(_group_state, optimizers)]
    try:
        yield
    finally:
        for restore in restores:
            restore()


def _module_state(module: nn.Module) -> Callable[[], None]:
    tensors = [(t, t.detach().clone()) for t in (*module.parameters(), *module.buffers())]
    grads = [(p, p.grad, None if p.grad is None else p.grad.detach().clone()) for p in module.parameters()]
    modes = [(part, part.training) for part in module.modules()]
    trained = [(p, p.requires_grad) for p in module.parameters()]

    @torch.no_grad()
    def restore() -> None:
        for tensor, value in tensors:
            if not _same_bits(tensor, value):
                tensor.copy_(value)
        for parameter, grad, value in grads:
            parameter.grad = grad
            if grad is not None and value is not None and not (grad.is_sparse or _same_bits(grad, value)):
                grad.copy_(value)
        for part, mode in modes:
            part.training = mode
        for parameter, is_trained in trained:
            if parameter.requires_grad != is_trained:
                parameter.requires_grad_(is_trained)

    return restore


def _same_bits(a: Tensor, b: Tensor) -> bool:
    return bool(((a == b) | (a.isnan() & b.isnan())).all())


def _group_state(optimizer: Optimizer) -> Callable[[], None]:
    groups = [
        (group, {name: value for name, value in group.items() if name != "params"})
        for group in optimizer.param_groups
    ]

    def restore() -> None:
        for group, values in groups:
            group.update(values)

    return restore


def checked_network(model: object) -> nn.Module:
    """The network. Raises RequestError for what cannot be copied, hooked and trained as one."""
    if isinstance(model, torch.jit.ScriptModule):
        raise RequestError("check: got a scripted module, expected the nn.Module that it was made from")
    if not isinstance(model, nn.Module):
        what = f"the class {model.__name__}" if isinstance(model, type) else f"a {type(model).__name__}"
        raise RequestError(f"check: got {what} for the network, expected an nn.Module that was built")
    if next(model.parameters(), None) is None:
        raise RequestError("check: the network has no parameters: there is nothing to train")
    return model


def checked_optimizers(optimizer: object) -> list[Optimizer]:
    """None, one optimizer or several. Raises RequestError for a class or a function."""
    if optimizer is None:
        return []
    several = list(optimizer) if isinstance(optimizer, tuple | list) else [optimizer]
    several = [getattr(one, "optimizer", one) if not isinstance(one, Optimizer) else one for one in several]
    for one in several:
        if not isinstance(one, Optimizer):
            what = f"the class {one.__name__}" if isinstance(one, type) else f"a {type(one).__name__}"
            raise RequestError(
                f"check: got {what} for the optimizer, expected the optimizer itself, or a list of several: "
                "torch.optim.SGD(model.parameters(), lr=0.1)"
            )
    return several
