"""Muon: momentum whose matrices are orthogonalized before the step; what is no matrix is stepped by SGD.

Legend: B matrices of R rows and C columns. `torch.optim.Muon` (torch 2.9 and later) takes matrices alone, no
kernels of convolutions, and one matrix at a time: this one takes a network's parameters as they come.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer

from trainlab.errors import RequestError

NEWTON_SCHULZ_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""(a, b, c) of p(σ) = aσ + bσ³ + cσ⁵: steep at zero, and no longer convergent: σ ends near 1, not at it."""

FIVE_STEPS_BAND = (0.68, 1.14)
"""Where five steps take a singular value that is at least 0.01 of the matrix's norm (three steps: 0.13)."""


def orthogonalize(
    matrices_BRC: Float[Tensor, "B R C"], steps: int = 5, eps: float = 1e-7
) -> Float[Tensor, "B R C"]:
    """U·σ'·Vᵀ for each matrix U·σ·Vᵀ, all σ' near 1, by Newton–Schulz iterations; shape and type stay.

    X ← X/‖X‖, then `steps` times X ← aX + (bA + cA²)X with A = XXᵀ (Jordan et al. 2024, "Muon: An optimizer
    for hidden layers in neural networks"): a polynomial of odd degree in each singular value. A matrix of
    zeros stays zero. On a GPU it is computed in bfloat16, which is precise enough for a σ' of "near 1".
    """
    a, b, c = NEWTON_SCHULZ_COEFFICIENTS
    x = matrices_BRC.bfloat16() if matrices_BRC.is_cuda else matrices_BRC
    is_tall = x.shape[1] > x.shape[2]
    if is_tall:
        x = x.mT
    x = x / (torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True) + eps)
    for _ in range(steps):
        gram = torch.bmm(x, x.mT)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if is_tall else x).to(matrices_BRC.dtype)


class Muon(Optimizer):
    """Hidden weights by orthogonalized momentum, output layer and all vectors by SGD (Jordan et al. 2024).

    Of a weight with R outputs, its other dimensions flattened to C, and M its momentum (Nesterov's where
    `nesterov`): W ← W − lr · √max(1, R/C) · orthogonalize(M). The step has one size whatever the gradient's
    scale. Matrices of equal shape are orthogonalized in one batch. The last weight of two dimensions or more
    is the output layer: its rows are classes, and it is stepped by SGD, like biases and norm layers.

    lr, momentum, nesterov: of the orthogonalized weights.
    weight_decay: W ← (1 − lr · weight_decay) W before the step, of the orthogonalized weights.
    newton_schulz_steps: iterations; three are enough for a short run.
    normalize_weights: W ← W · √R/‖W‖ before each step. For weights below a BatchNorm alone, where the norm of
        W changes nothing but the size of the next step beside it.
    output_lr, vector_lr: the rates of SGD for the output layer, and for vectors.
    sgd_momentum: of both, with `nesterov` as above.
    sgd_decay_per_step: the share of its value that a step at the full rate takes from what SGD moves,
        whatever that rate is (weight_decay = share / rate).

    Raises RequestError for a value out of range.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float = 0.02,
        momentum: float = 0.95,
        *,
        nesterov: bool = True,
        weight_decay: float = 0.0,
        newton_schulz_steps: int = 5,
        normalize_weights: bool = False,
        output_lr: float = 0.02,
        vector_lr: float = 0.02,
        sgd_momentum: float = 0.9,
        sgd_decay_per_step: float = 0.0,
    ) -> None:
        _check_positive(lr=lr, output_lr=output_lr, vector_lr=vector_lr)
        _check_momentum(momentum=momentum, sgd_momentum=sgd_momentum)
        if newton_schulz_steps < 1:
            raise RequestError(
                f"optimizer.newton_schulz_steps: got {newton_schulz_steps}, expected at least 1"
            )
        hidden, output, vectors = _split(list(params))

        def sgd(parameters: list[nn.Parameter], rate: float) -> dict[str, object]:
            decay = sgd_decay_per_step / rate
            return {"params": parameters, "lr": rate, "momentum": sgd_momentum, "weight_decay": decay}

        orthogonalized = {
            "params": hidden,
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "orthogonalized": True,
        }
        groups = [orthogonalized, sgd(output, output_lr), sgd(vectors, vector_lr)]
        defaults = {
            "nesterov": nesterov,
            "orthogonalized": False,
            "newton_schulz_steps": newton_schulz_steps,
            "normalize_weights": normalize_weights,
        }
        super().__init__([group for group in groups if group["params"]], defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor | float] | None = None) -> Tensor | float | None:  # type: ignore[override]
        """One step of all groups; `closure`, where there is one, computes loss and gradients before."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if not parameters:
                continue
            if group["orthogonalized"]:
                self._step_orthogonalized(parameters, group)
            else:
                self._step_sgd(parameters, group)
        return loss

    def _step_orthogonalized(self, parameters: Sequence[nn.Parameter], group: dict) -> None:
        """The decay does not enter the momentum."""
        lr, steps = group["lr"], group["newton_schulz_steps"]
        directions = [self._direction(p, p.grad, group) for p in parameters if p.grad is not None]
        for parameter, update in zip(parameters, orthogonalize_all(directions, steps), strict=True):
            rows, columns = len(parameter), parameter[0].numel()
            if group["normalize_weights"]:
                parameter.mul_(rows**0.5 / torch.linalg.vector_norm(parameter).clamp(min=1e-12))
            if group["weight_decay"]:
                parameter.mul_(1 - lr * group["weight_decay"])
            parameter.add_(update, alpha=-lr * max(1.0, rows / columns) ** 0.5)

    def _step_sgd(self, parameters: Sequence[nn.Parameter], group: dict) -> None:
        """As torch.optim.SGD does."""
        for parameter in parameters:
            gradient = parameter.grad
            assert gradient is not None
            if group["weight_decay"]:
                gradient = gradient.add(parameter, alpha=group["weight_decay"])
            parameter.add_(self._direction(parameter, gradient, group), alpha=-group["lr"])

    def _direction(
        self, parameter: Float[nn.Parameter, "*shape"], gradient: Float[Tensor, "*shape"], group: dict
    ) -> Float[Tensor, "*shape"]:
        """Momentum M ← μM + g, or Nesterov's look ahead g + μM."""
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        buffer = state["momentum_buffer"]
        buffer.mul_(group["momentum"]).add_(gradient)
        return gradient.add(buffer, alpha=group["momentum"]) if group["nesterov"] else buffer


def orthogonalize_all(tensors: Sequence[Tensor], steps: int = 5) -> list[Tensor]:
    """Each tensor (R, …) orthogonalized as a matrix (R, C); those of equal shape in one batch."""
    by_shape: dict[tuple[int, int], list[int]] = defaultdict(list)
    for i, tensor in enumerate(tensors):
        by_shape[len(tensor), tensor[0].numel()].append(i)
    done: dict[int, Tensor] = {}
    for indices in by_shape.values():
        batch_BRC = torch.stack([tensors[i].flatten(1) for i in indices])
        for i, matrix_RC in zip(indices, orthogonalize(batch_BRC, steps), strict=True):
            done[i] = matrix_RC.reshape(tensors[i].shape)
    return [done[i] for i in range(len(tensors))]


def _split(
    parameters: Sequence[nn.Parameter],
) -> tuple[list[nn.Parameter], list[nn.Parameter], list[nn.Parameter]]:
    """Hidden weights, the output layer's weight (the last of two dimensions or more), vectors."""
    matrices = [p for p in parameters if p.dim() >= 2]
    return matrices[:-1], matrices[-1:], [p for p in parameters if p.dim() < 2]


def _check_positive(**rates: float) -> None:
    for name, rate in rates.items():
        if not rate > 0:
            raise RequestError(f"optimizer.{name}: got {rate}, expected above 0")


def _check_momentum(**values: float) -> None:
    for name, value in values.items():
        if not 0 <= value < 1:
            raise RequestError(f"optimizer.{name}: got {value}, expected 0 or more, and below 1")
