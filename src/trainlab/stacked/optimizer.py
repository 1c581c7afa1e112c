"""`StackedOptimizer`: one step of the optimizers of B runs, in a handful of operations.

The gradients of all parameters are gathered into one row a run, (B, P); states are kept so. An operation
then updates all parameters of all runs, with rates and hyperparameters of each run's own, and takes one
launch on a GPU; only the last one, which moves the parameters, is one a parameter.

Legend: B runs, P parameters of one run, (B, …) a parameter of all runs.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Self, TypedDict

import torch
from torch import Tensor, nn

from trainlab.errors import RequestError
from trainlab.settings import Settings
from trainlab.stacked.optimizer_kinds import OptimizerKind, require_kind, run_optimizer
from trainlab.stacked.parameter_block import ParameterBlock, working_dtype
from trainlab.stacked.update_rules import Group, exact_dtype, number


class OptimizerState(TypedDict):
    """What `state_dict()` of a torch optimizer gives."""

    state: dict[int, dict[str, Tensor]]
    param_groups: list[dict[str, object]]


class StackedOptimizer:
    """The optimizers of B runs, of one kind, over parameters of shape (B, …).

    kind: SGD, Adam (AdamW too) or RMSprop.
    groups: the hyperparameters of each run, as in `param_groups` of its own torch optimizer.
    parameters: in the order in which the run alone hands them to its optimizer.

    Of a step nothing is read back, so that it can be captured as a CUDA graph, after one that was not.
    Raises RequestError for parameters that are not of one type, on one device, with B in front.
    """

    def __init__(self, kind: OptimizerKind, groups: Sequence[Group], parameters: Sequence[nn.Parameter]):
        self.kind = kind
        self.groups = [dict(group) for group in groups]
        self.parameters = list(parameters)
        _check_parameters(self.parameters, len(groups))
        like = torch.empty(0, dtype=working_dtype(parameters[0].dtype), device=parameters[0].device)
        self._exact_dtype = exact_dtype(like.device)
        self._rule = kind.rule(self.groups, like)
        self._decay = WeightDecay(self.groups, like)
        self._blocks = [ParameterBlock(self.parameters, range(len(parameters)), self._rule.state_names)]

    @property
    def runs(self) -> int:
        """B."""
        return len(self.groups)

    def zero_grad(self) -> None:
        """Forgets all gradients: the next backward pass writes new ones and adds to none."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, lr_B: Tensor, max_norm_B: Tensor | None = None) -> None:
        """One step of every run with its rate; parameters without a gradient are left as they are.

        max_norm_B: clips the gradients that are used as `clip_gradients` does, and leaves `grad` as it is: a
            few operations, and not one a parameter.
        """
        self._split_where_gradients_are_missing()
        blocks = [block for block in self._blocks if block.has_gradients]
        gradients = [block.gradients_BP() for block in blocks]
        if max_norm_B is not None and gradients:
            scale_B = clipping_scale_B(gradient_norms_B(gradients), max_norm_B)
            for grad_BP in gradients:
                grad_BP.mul_(scale_B[:, None])
        for block, grad_BP in zip(blocks, gradients, strict=True):
            self._step_block(block, grad_BP, lr_B.to(self._exact_dtype))

    def _step_block(self, block: ParameterBlock, grad_BP: Tensor, lr_B: Tensor) -> None:
        block.steps_B += 1
        if not self._decay.is_used:
            with block.working_state() as state:
                block.move(*self._rule.update(grad_BP, state, block.steps_B, lr_B))
            return
        parameters_BP = block.parameters_BP()
        self._decay.add_to_gradients(grad_BP, parameters_BP)
        with block.working_state() as state:
            direction_BP, scale_B = self._rule.update(grad_BP, state, block.steps_B, lr_B)
            if self._decay.is_decoupled:
                block.add(self._decay.whole_step(direction_BP, scale_B, parameters_BP, lr_B))
            else:
                block.move(direction_BP, scale_B)

    def _split_where_gradients_are_missing(self) -> None:
        if not all(block.is_uniform for block in self._blocks):
            self._blocks = [
                part
                for block in self._blocks
                for part in block.split(lambda position: self.parameters[position].grad is None)
            ]

    def state_tensors(self) -> list[Tensor]:
        """What a step changes besides the parameters, on the device."""
        return [tensor for block in self._blocks for tensor in (block.steps_B, *block.state.values())]

    def state_of_run(self, run: int, group: Group | None = None) -> OptimizerState:
        """The `state_dict()` of the run's own torch optimizer.

        group: its entry of `param_groups` at this step, of which the rate and what else its schedule has put
            there are taken (`RunSchedule.param_group`); None: as it was built.
        """
        names = self._rule.names_of_run(run)
        state: dict[int, dict[str, Tensor]] = {}
        for block in self._blocks:
            steps = float(block.steps_B[run])
            if steps and names:
                for position, values in block.state_of_run(run, names).items():
                    counter = {"step": torch.tensor(steps, dtype=torch.float32)}
                    state[position] = counter | values if self.kind.counts_steps else values
        kept = dict(self.groups[run])
        if group is not None:
            kept = {**group, **kept, "lr": group["lr"]}
        kept["params"] = list(range(len(self.parameters)))
        return {"state": dict(sorted(state.items())), "param_groups": [kept]}

    def load_state_of_run(self, run: int, state: Mapping[str, object]) -> None:
        """Lets a run go on from what `state_of_run`, or `state_dict()` of its own torch optimizer, gave.

        Hyperparameters stay those of the run's settings. Raises RequestError where it is the state of another
        optimizer or of other parameters.
        """
        entries = self._checked_entries(run, state)
        steps = [self.kind.steps_of(entries.get(position)) for position in range(len(self.parameters))]
        self._blocks = [part for block in self._blocks for part in block.split(steps.__getitem__)]
        for block in self._blocks:
            block.load_run(run, steps[block.positions[0]], entries)

    def _checked_entries(self, run: int, state: Mapping[str, object]) -> dict[int, dict[str, Tensor]]:
        entries = state.get("state")
        assert isinstance(entries, Mapping)
        expected = set(self._rule.names_of_run(run)) | ({"step"} if self.kind.counts_steps else set())
        checked: dict[int, dict[str, Tensor]] = {}
        for position, entry in entries.items():
            found = {name: value for name, value in entry.items() if isinstance(value, Tensor)}
            if not found:
                continue  # SGD without momentum
            shapes = {tuple(value.shape) for name, value in found.items() if name != "step"}
            if set(found) != expected or position >= len(self.parameters):
                fault = f"got {', '.join(sorted(found))} of parameter {position}"
                raise RequestError(
                    f"optimizer state of run {run} of the stack: {fault}, expected "
                    f"{', '.join(sorted(expected)) or 'none'} of {len(self.parameters)} parameters"
                )
            if shapes != {tuple(self.parameters[position].shape[1:])}:
                raise RequestError(
                    f"optimizer state of run {run} of the stack: got shapes {sorted(shapes)} for parameter "
                    f"{position}, expected {tuple(self.parameters[position].shape[1:])}"
                )
            checked[position] = found
        return checked

    def subset(self, indices: Sequence[int], parameters: Sequence[nn.Parameter]) -> Self:
        """The optimizers of some of the runs, in this order, over the parameters of the repacked network."""
        chosen = type(self)(self.kind, [self.groups[run] for run in indices], parameters)
        names = chosen._rule.state_names
        chosen._blocks = [block.subset(indices, chosen.parameters, names) for block in self._blocks]
        return chosen


def stack_optimizers(settings: Sequence[Settings], parameters: Sequence[nn.Parameter]) -> StackedOptimizer:
    """The optimizers of the runs' settings over the stack's parameters, each of shape (B, …).

    Raises RequestError: an optimizer that cannot be built or has no stacked form, or several kinds of them.
    """
    optimizers = [run_optimizer(one, parameters[0]) for one in settings]
    kind = require_kind(optimizers)
    groups = [{k: v for k, v in o.param_groups[0].items() if k != "params"} for o in optimizers]
    return StackedOptimizer(kind, groups, parameters)


def _check_parameters(parameters: Sequence[nn.Parameter], runs: int) -> None:
    if not parameters:
        raise RequestError("a stack without trainable parameters: expected one at least")
    kinds = {(parameter.dtype, parameter.device) for parameter in parameters}
    if len(kinds) > 1:
        found = ", ".join(sorted(f"{dtype} on {device}" for dtype, device in kinds))
        raise RequestError(f"parameters of a stack: got {found}, expected one type on one device")
    shapes = [tuple(parameter.shape) for parameter in parameters if parameter.shape[:1] != (runs,)]
    if shapes:
        raise RequestError(f"parameters of a stack: got shapes {shapes[:3]}, expected {runs} runs in front")


@torch.no_grad()
def clip_gradients(parameters: Iterable[nn.Parameter], max_norm_B: Tensor) -> Tensor:
    """Scales the gradients of each run as `torch.nn.utils.clip_grad_norm_` does; returns the norms (B,).

    parameters: of shape (B, …); those without a gradient are passed over.
    max_norm_B: the largest norm that is left as it is; inf: no clipping.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients:
        return torch.zeros_like(max_norm_B)
    norms_B = gradient_norms_B([torch.cat([g.reshape(len(g), -1) for g in gradients], dim=1)])
    scale_B = clipping_scale_B(norms_B, max_norm_B)
    scales = [scale_B.to(g.dtype).view(-1, *[1] * (g.dim() - 1)) for g in gradients]
    torch._foreach_mul_(gradients, scales)
    return norms_B


def gradient_norms_B(gradients: Sequence[Tensor]) -> Tensor:
    """The norm of each run's gradients, of blocks of shape (B, P)."""
    norms = [torch.linalg.vector_norm(grad_BP, dim=1) for grad_BP in gradients]
    return norms[0] if len(norms) == 1 else torch.linalg.vector_norm(torch.stack(norms), dim=0)


def clipping_scale_B(norms_B: Tensor, max_norm_B: Tensor) -> Tensor:
    """min(1, max/(norm + 10⁻⁶)), as torch has it; exactly 1 without a maximum, whatever the norm."""
    scale_B = (max_norm_B.to(norms_B.dtype) / (norms_B + 1e-6)).clamp(max=1.0)
    return scale_B.masked_fill(max_norm_B == torch.inf, 1.0)


class WeightDecay:
    """The decays of B runs, of which some may be of either kind, or zero."""

    def __init__(self, groups: Sequence[Group], like: Tensor) -> None:
        decays = [number(group["weight_decay"]) for group in groups]
        are_apart = [bool(group.get("decoupled_weight_decay")) for group in groups]
        coupled = [0.0 if apart else decay for decay, apart in zip(decays, are_apart, strict=True)]
        decoupled = [decay if apart else 0.0 for decay, apart in zip(decays, are_apart, strict=True)]
        self._is_coupled = any(coupled)
        self._coupled_B1 = torch.tensor(coupled, dtype=like.dtype, device=like.device)[:, None]
        self._decoupled_B = torch.tensor(decoupled, dtype=exact_dtype(like.device), device=like.device)
        self.is_decoupled = any(decoupled)
        self.is_used = self._is_coupled or self.is_decoupled

    def add_to_gradients(self, grad_BP: Tensor, parameters_BP: Tensor) -> None:
        """g ← g + λθ, where the decay is part of the gradient."""
        if self._is_coupled:
            grad_BP.addcmul_(parameters_BP, self._coupled_B1)

    def whole_step(
        self, direction_BP: Tensor, scale_B: Tensor, parameters_BP: Tensor, lr_B: Tensor
    ) -> Tensor:
        """direction · scale − lr λθ (Loshchilov & Hutter 2019, algorithm 2). Overwrites `parameters_BP`."""
        shrinking_B1 = (-lr_B * self._decoupled_B).to(direction_BP.dtype)[:, None]
        scale_B1 = scale_B.to(direction_BP.dtype)[:, None]
        return parameters_BP.mul_(shrinking_B1).addcmul_(direction_BP, scale_B1)
