"""The optimizer and the learning-rate schedule of a run's settings, and the number of its steps."""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from trainlab.build.data import build_datamodule
from trainlab.data import ImageData
from trainlab.instantiate import instantiate
from trainlab.instantiate.parts import OPTIMIZER, SCHEDULER
from trainlab.settings import Settings

# One pass over each tensor instead of a dozen operations: 0.1 ms a step and not 0.3 for LeNet-5 (SGD: slower)
ON_CPU = {"torch.optim.Adam": {"fused": True}, "torch.optim.AdamW": {"fused": True}}
# `capturable` keeps the count of steps on the device: a CUDA graph can hold the step, and nothing waits
ON_CUDA = {
    "torch.optim.Adam": {"fused": True, "capturable": True},
    "torch.optim.AdamW": {"fused": True, "capturable": True},
    "torch.optim.SGD": {"fused": True},
    "torch.optim.RMSprop": {"capturable": True},
}
IMPLEMENTATION_FLAGS = ("fused", "capturable", "foreach", "differentiable")
"""How an optimizer computes, and not what: options of a group that belong to a device."""


def optimizer_factory(settings: Settings) -> Callable[[Iterable[nn.Parameter]], Optimizer]:
    """What makes the optimizer of given parameters, by the kernel of torch that suits their device best.

    Its state loads from a checkpoint that was written on another kind of device.
    """
    node = settings.optimizer
    built = instantiate(node, OPTIMIZER)
    if node.target not in ON_CUDA or any(flag in node.arguments for flag in IMPLEMENTATION_FLAGS):
        return built

    def build_for_device(parameters: Iterable[nn.Parameter]) -> Optimizer:
        parameters = list(parameters)
        kinds = {parameter.device.type for parameter in parameters}
        choices = ON_CPU if kinds <= {"cpu"} else ON_CUDA if kinds == {"cuda"} else {}
        optimizer = built(parameters, **choices.get(str(node.target), {}))
        if hasattr(optimizer, "_step_supports_amp_scaling"):
            # else Lightning refuses to clip, and a loss scale would be taken off behind the signals' back
            optimizer._step_supports_amp_scaling = False
        optimizer.register_load_state_dict_pre_hook(_keep_implementation)
        optimizer.register_load_state_dict_post_hook(_lay_out_as_parameters)
        return optimizer

    return build_for_device


def _keep_implementation(optimizer: Optimizer, state: dict) -> dict:
    """The state to load, computed as this optimizer does it and not as the one that it was saved from."""
    groups = [
        {**saved, **{flag: own[flag] for flag in IMPLEMENTATION_FLAGS if flag in own}}
        for saved, own in zip(state["param_groups"], optimizer.param_groups, strict=False)
    ]
    # torch checks their number, and says so
    return {**state, "param_groups": groups + state["param_groups"][len(groups) :]}


def _lay_out_as_parameters(optimizer: Optimizer) -> None:
    """State in each parameter's order of memory: fused kernels take that for granted, and mix up values."""
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if not isinstance(value, Tensor) or value.shape != parameter.shape:
                continue
            if value.stride() != parameter.stride():
                state[name] = torch.empty_strided(
                    parameter.shape, parameter.stride(), dtype=value.dtype, device=value.device
                ).copy_(value)


def scheduler_factory(settings: Settings) -> Callable[[Optimizer, int], LRScheduler | None]:
    """What makes the schedule of an optimizer, for a total number of steps; None: the rate is constant."""
    return instantiate(settings.scheduler, SCHEDULER)


def total_steps(settings: Settings, images: ImageData) -> int:
    """Optimizer steps of the whole run, by its budget."""
    budget = settings.trainer
    by_epochs = (budget.max_epochs or math.inf) * len(build_datamodule(settings, images).train_dataloader())
    return int(min(by_epochs, budget.max_steps or math.inf))
