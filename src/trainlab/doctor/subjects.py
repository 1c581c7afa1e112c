"""What can be watched: a network and optimizers that belong together. What cannot is refused in one line."""

import gc
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

import torch
from torch import nn
from torch.nn.parallel import DataParallel
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from trainlab.doctor.parameter_facts import held_by
from trainlab.errors import RequestError, closest_name
from trainlab.forecast.isolation import unwrap_model
from trainlab.nn.layers import weight_layers

SHARDED = ("FullyShardedDataParallel", "FSDPModule", "DeepSpeedEngine")
"""Classes by which a network's parameters lie in pieces on several devices."""

OptimizerLike = Optimizer | Iterable[Optimizer] | Mapping[str, Optimizer]

_watched: "weakref.WeakSet[nn.Module]" = weakref.WeakSet()


def network_of(model: nn.Module) -> nn.Module:
    """The network that is trained, without compilation or parallel wrapping around it.

    Raises RequestError for what is no network of its own parameters, in one line that says why.
    """
    if not isinstance(model, nn.Module):
        what = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
        raise RequestError(f"watch: got {what}, expected a torch.nn.Module that was built")
    if isinstance(model, DataParallel) and len(model.device_ids) > 1:
        raise RequestError(
            "watch: DataParallel trains copies of the network on several devices, which cannot be seen; "
            "DistributedDataParallel can be watched"
        )
    if sharded := _class_named(model, SHARDED):
        raise RequestError(
            f"watch: {sharded} keeps the parameters in pieces, of which no layer's numbers can be read; "
            "watch the network on one device, or with DistributedDataParallel"
        )
    network = unwrap_model(model)
    if isinstance(network, torch.jit.ScriptModule):
        raise RequestError(
            "watch: the network is scripted (torch.jit), its layers run where no hook is called"
        )
    if _is_exported(network):
        raise RequestError(
            "watch: the network is exported, its layers are no modules any more; watch the original"
        )
    parameters = dict(network.named_parameters())
    if not parameters:
        raise RequestError("watch: the network has no parameters, there is nothing to train")
    if lazy := next((name for name, p in parameters.items() if is_lazy(p)), None):
        raise RequestError(f"watch: {lazy} has no shape yet: pass one batch through the network first")
    return network


def optimizers_of(optimizer: OptimizerLike, network: nn.Module) -> list[Optimizer]:
    """The optimizers, unwrapped. Raises RequestError where they hold no parameter of the network."""
    given: list[object]
    if isinstance(optimizer, Mapping):
        given = list(optimizer.values())
    elif isinstance(optimizer, Sequence):
        given = list(optimizer)
    else:
        given = [optimizer]
    found = [_unwrapped(one) for one in given]
    if not found:
        raise RequestError("watch: got no optimizer, expected one or more")
    own = {id(parameter) for parameter in network.parameters()}
    held = held_by(found)
    if not any(id(parameter) in own for parameter in held):
        raise RequestError(
            f"watch: the optimizer holds {len(held)} parameters, and none of the {len(own)} of this network: "
            "it was made for another one, or before this one was built anew; make it with model.parameters()"
        )
    return list(dict.fromkeys(found))


def is_compiled(network: nn.Module, given: nn.Module) -> bool:
    """Whether the network, or a part of it, runs compiled: then hooks on its modules are not called.

    It may have been compiled before, and be given here as it was: torch.compile's wrapper refers to it.
    """
    if any(isinstance(one, dict) and one.get("_orig_mod") is network for one in gc.get_referrers(network)):
        return True
    return any(
        "_orig_mod" in vars(module).get("_modules", {}) or vars(module).get("_compiled_call_impl") is not None
        for module in (*given.modules(), *network.modules())
    )


def is_other_process() -> bool:
    """Whether another one of the processes that train together is the one that speaks."""
    together = torch.distributed.is_available() and torch.distributed.is_initialized()
    return together and torch.distributed.get_rank() > 0


def layer_filter(layers: str | Sequence[str] | None, network: nn.Module) -> Callable[[str], bool]:
    """Which layers are wanted: by patterns (`features.*`), of which one must fit. Raises RequestError."""
    if layers is None:
        return _any_layer
    patterns = [layers] if isinstance(layers, str) else list(layers)
    names = [name or "network" for name, _ in weight_layers(network)]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            near = closest_name(pattern, names)
            hint = f"did you mean '{near}'? " if near else ""
            raise RequestError(
                f"watch: no weight layer is called '{pattern}': {hint}there are {', '.join(names[:20])}"
            )
    return lambda name: any(fnmatchcase(name, pattern) for pattern in patterns)


def claim(network: nn.Module) -> None:
    """This network is watched from now on. Raises RequestError where it is already."""
    if network in _watched:
        raise RequestError(
            "watch: this network is watched already: stop() the first doctor before another begins"
        )
    _watched.add(network)


def release(network: nn.Module) -> None:
    """It is watched no more."""
    _watched.discard(network)


def _any_layer(name: str) -> bool:
    return True


def _unwrapped(optimizer: object) -> Optimizer:
    """The optimizer inside a trainer's wrapper."""
    inner = getattr(optimizer, "optimizer", None)
    if isinstance(inner, Optimizer):
        optimizer = inner
    if not isinstance(optimizer, Optimizer) or not hasattr(optimizer, "_optimizer_step_pre_hooks"):
        what = f"the class {optimizer.__name__}" if isinstance(optimizer, type) else type(optimizer).__name__
        raise RequestError(
            f"watch: got {what} for the optimizer, expected a torch.optim.Optimizer, or several"
        )
    return optimizer


def _class_named(model: nn.Module, names: Sequence[str]) -> str | None:
    classes = [kind.__name__ for module in model.modules() for kind in type(module).__mro__]
    return next((name for name in names if name in classes), None)


def _is_exported(network: nn.Module) -> bool:
    """A graph that has parameters and calls no module that has some."""
    if not isinstance(network, torch.fx.GraphModule):
        return False
    called = [str(node.target) for node in network.graph.nodes if node.op == "call_module"]
    return not any(next(network.get_submodule(name).parameters(), None) is not None for name in called)
