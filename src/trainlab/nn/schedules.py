"""Learning-rate schedules, each built for the run's own number of steps and advanced once a step.

An option is called as `option(optimizer, total_steps)` and returns a torch scheduler, or None.
"""

from collections.abc import Sequence

from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    OneCycleLR,
    SequentialLR,
)

from trainlab.errors import RequestError


def constant(optimizer: Optimizer, total_steps: int) -> None:
    """The learning rate stays as it is."""


def cosine(optimizer: Optimizer, total_steps: int, warmup_fraction: float = 0.0) -> LRScheduler:
    """lr · ½(1 + cos(π t/T)) (Loshchilov & Hutter 2017, eq. 5, one cycle), after a linear warm-up.

    `warmup_fraction` is the share of `total_steps` in which the rate rises from 1% to lr.
    """
    warmup_steps = round(warmup_fraction * total_steps)
    falling = CosineAnnealingLR(optimizer, T_max=max(1, total_steps - warmup_steps))
    if not warmup_steps:
        return falling
    rising = LinearLR(optimizer, start_factor=0.01, total_iters=warmup_steps)
    return SequentialLR(optimizer, [rising, falling], milestones=[warmup_steps])


def onecycle(optimizer: Optimizer, total_steps: int, warmup_fraction: float = 0.3) -> LRScheduler:
    """Up from lr/25 to lr in `warmup_fraction` of the run, then down to lr/250,000 (Smith & Topin 2018).

    Momentum stays as configured: cycling it would change a second axis unasked.
    """
    rates = [group["lr"] for group in optimizer.param_groups]
    return OneCycleLR(
        optimizer, max_lr=rates, total_steps=total_steps, pct_start=warmup_fraction, cycle_momentum=False
    )


def step(
    optimizer: Optimizer, total_steps: int, at_fractions: Sequence[float] = (0.5, 0.75), factor: float = 0.1
) -> LRScheduler:
    """lr times `factor` at each of the given fractions of the run (He et al. 2015, section 4.2)."""
    milestones = sorted({max(1, round(f * total_steps)) for f in at_fractions})
    return MultiStepLR(optimizer, milestones=milestones, gamma=factor)


def linear(optimizer: Optimizer, total_steps: int, end_factor: float = 0.0) -> LRScheduler:
    """lr · (1 − (1 − end_factor) t/T): a straight line down, each parameter group from its own rate."""
    return LambdaLR(optimizer, lambda t: 1 - (1 - end_factor) * min(t / total_steps, 1.0))


def triangular(
    optimizer: Optimizer,
    total_steps: int,
    peak_fraction: float = 0.23,
    start_factor: float = 0.2,
    end_factor: float = 0.07,
) -> LRScheduler:
    """From start_factor · lr straight up to lr at `peak_fraction` of the run, then down to end_factor · lr.

    One triangle of Smith 2017 (arXiv:1506.01186), with the ends of the fast recipes for CIFAR-10.
    Raises RequestError for a peak outside the run.
    """
    if not 0 <= peak_fraction <= 1:
        raise RequestError(f"scheduler.peak_fraction: got {peak_fraction}, expected 0 to 1")
    peak = peak_fraction * total_steps

    def factor(t: int) -> float:
        if t < peak:
            return start_factor + (1 - start_factor) * t / peak
        left = (total_steps - min(t, total_steps)) / max(total_steps - peak, 1e-9)
        return end_factor + (1 - end_factor) * left

    return LambdaLR(optimizer, factor)
