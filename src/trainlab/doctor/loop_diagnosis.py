"""From what a watched loop has shown to findings: those to tell at once, and those of its report."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from trainlab.diagnosis.causes import wiring_faults
from trainlab.diagnosis.causes.step_size import diverged
from trainlab.diagnosis.consequences import without_consequences
from trainlab.diagnosis.evidence import Evidence
from trainlab.diagnosis.explain import EXACT_CHECKS, LOOP_CHECKS, diagnose, run_checks
from trainlab.diagnosis.known_causes import Finding

FEWEST_STEPS = 50
"""Steps before which a loss that does not fall yet shows nothing."""

AT_ONCE = frozenset(check.__name__ for check in (*LOOP_CHECKS, wiring_faults.gradients_add_up))
"""Checks that ask for several looks themselves."""

NO_FAULT = ("too_few_steps", "not_known")
"""Findings that say that nothing was found."""

LAGGING, LAG_STEPS = 0.5, 20
"""Share of BatchNorm's running statistics that is still what they were made with, and the steps after which
that is told."""

PASSES_WITHOUT_STEP = 64
"""Backward passes without a step of the optimizer, more than are accumulated."""


@dataclass
class SureFindings:
    """Tells each cause once, when it is sure.

    - a fact of the loop or of the wiring: at the second look that shows it (of the first three steps, two)
    - a loss that is not finite: at once
    - what signal, gradient and steps show: where the loss does not fall after 50 steps, at the second look in
      a row that shows it as the likeliest cause
    """

    told: dict[str, Finding] = field(default_factory=dict)
    _last: frozenset[str] = frozenset()

    def new(self, evidence: Evidence) -> list[Finding]:
        """What has become sure with this look."""
        exact = self._exact(evidence)
        causes = {finding.cause: finding for finding, _ in exact}
        sure = [f for f, at_once in exact if at_once or f.cause in self._last]
        if evidence.steps >= FEWEST_STEPS or diverged(evidence) is not None:
            likeliest = _likeliest(evidence)
            sure += [f for name, f in likeliest.items() if name in self._last or name == "diverged"]
            causes |= likeliest
        self._last = frozenset(causes)
        new = [finding for finding in sure if finding.cause not in self.told]
        self.told |= {finding.cause: finding for finding in new}
        return new

    @staticmethod
    def _exact(evidence: Evidence) -> list[tuple[Finding, bool]]:
        checks: Sequence[Callable[[Evidence], Finding | None]] = (*LOOP_CHECKS, *EXACT_CHECKS)
        return [
            (found, check.__name__ in AT_ONCE) for check in checks if (found := check(evidence)) is not None
        ]


def _likeliest(evidence: Evidence) -> dict[str, Finding]:
    """The first finding of a loop whose loss does not fall."""
    return {finding.cause: finding for finding in find_causes(evidence)[:1]}


def find_causes(evidence: Evidence) -> list[Finding]:
    """All that was found, the likeliest cause first; not that nothing was.

    Before FEWEST_STEPS only what is exact, or a loss that is not finite: no loss has to have fallen by then.
    """
    if evidence.steps < FEWEST_STEPS and diverged(evidence) is None:
        return list(without_consequences(run_checks((*LOOP_CHECKS, *EXACT_CHECKS), evidence)))
    return [finding for finding in diagnose(evidence).findings if finding.cause not in NO_FAULT]


def lagging_statistics(network: nn.Module, steps: int) -> Finding | None:
    """BatchNorm's running statistics are mostly what they were made with: arithmetic, 1 − (1 − m)ⁿ."""
    if steps < LAG_STEPS:
        return None
    for name, norm in network.named_modules():
        seen = getattr(norm, "num_batches_tracked", None)
        if not isinstance(norm, _BatchNorm) or norm.momentum is None or seen is None or not int(seen):
            continue
        left = (1 - norm.momentum) ** int(seen)
        if left > LAGGING:
            description = (
                f"with momentum {norm.momentum:g} the running statistics of {name} hold {1 - left:.0%} of "
                f"the data after {int(seen)} batches, and {left:.0%} of the mean 0 and variance 1 that they "
                "were made with: in evaluation mode it is another network"
            )
            return Finding("batchnorm_statistics_lag", description, {"statistics_seen": 1 - left}, name)
    return None


def missing_steps(steps: int, backward_passes: int, passes_since_step: int) -> Finding | None:
    """Gradients are computed, and the watched optimizers do not step (any more)."""
    if steps == 0 and backward_passes > 2:
        description = f"{backward_passes} backward passes, and no step of the watched optimizer"
    elif steps and passes_since_step >= max(PASSES_WITHOUT_STEP, 8 * (backward_passes // steps)):
        description = (
            f"since step {steps} {passes_since_step} backward passes, and no step of the watched optimizer: "
            "another one may have taken its place"
        )
    else:
        return None
    numbers = {"backward_passes": float(backward_passes), "steps": float(steps)}
    return Finding("no_optimizer_step", description, numbers, None, steps)
