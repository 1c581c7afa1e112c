"""Is a network that of one run or of a stack of runs? What the measuring code asks, and nothing else differs.

Legend: B runs; a template is the module of a single run whose stacked form a module is.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch
from torch import nn

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class OneRun:
    """The network of one run: its tensors have no run dimension."""

    count = 1
    """How many runs."""

    dims = 0
    """How many dimensions of a tensor stand before those of a single run's."""

    def template(self, module: nn.Module) -> nn.Module:
        """The module that says what kind of layer `module` is, and its shapes in a single run."""
        return module

    def called_inside(self, module: nn.Module) -> list[nn.Module]:
        """Modules that are called in the place of `module`, and are no submodules of it."""
        return []

    def each(self, function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        """`function` of one run's tensors, as a function of the tensors as they are."""
        return function


class ManyRuns(OneRun):
    """A stacked network: every tensor has the run dimension first; a stacked leaf's `single` is its template.

    What is computed for each run is computed for all of them at once (torch.func.vmap): as many operations
    on the device as for one run, and no run's numbers reach another's.
    """

    dims = 1

    def __init__(self, runs: int) -> None:
        self.count = runs

    def template(self, module: nn.Module) -> nn.Module:
        """The `single` of a stacked leaf; a module without one is its own template."""
        single = getattr(module, "single", None)
        return single if isinstance(single, nn.Module) else module

    def called_inside(self, module: nn.Module) -> list[nn.Module]:
        """A leaf's template, or its module of each run (`singles`), with all that is in them."""
        template = self.template(module)
        singles = [] if template is module else getattr(module, "singles", [template])
        return [part for single in singles for part in single.modules()]

    def each(self, function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        """Over the first dimension of every tensor among the arguments, which are tensors alone."""
        # "same": what is drawn inside (the probe's fixed permutations) is drawn once, for all runs
        return torch.func.vmap(function, randomness="same")
