"""Will it learn? Said before any training, of any network with any optimizer.

Legend: N images, C channels, H × W pixels, K classes.
"""

import math
import operator
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import nn

from trainlab.diagnosis.evidence import SettingsSummary
from trainlab.errors import RequestError
from trainlab.forecast import degenerate_cases
from trainlab.forecast.answer import Forecast, ProbabilityByStep, format_by_steps, steps_needed
from trainlab.forecast.chain_theory import chain_theory, theory_as_dict
from trainlab.forecast.expected_cause import (
    ForecastCase,
    exact_findings,
    expected_cause,
    label_reference,
    out_of_scope_finding,
)
from trainlab.forecast.features import compute_features
from trainlab.forecast.functional_model import FunctionalModel
from trainlab.forecast.image_sample import Batches, take_sample
from trainlab.forecast.isolation import preserve_global_state
from trainlab.forecast.layer_report import report_layers, untrained_layer_notes
from trainlab.forecast.logistic_model import (
    CANNOT_TELL,
    WILL_LEARN,
    answer_for,
    border,
    learning_probability,
    threshold,
)
from trainlab.forecast.measurement import InitialMeasurer, StepBudget
from trainlab.forecast.optimizer_factory import (
    OptimizerFactory,
    OptimizerLike,
    ScheduleLike,
    schedule_factors,
)

SCHEDULE_SAMPLES = 30
"""Steps at which a schedule is looked at: so many from the first on, and so many over the run."""


def preflight(
    model: nn.Module,
    batches: Batches,
    optimizer: OptimizerLike,
    steps: int = 2000,
    *,
    schedule: ScheduleLike | None = None,
    gradient_clip: float | None = None,
    setup: SettingsSummary | None = None,
) -> Forecast:
    """The probability that `model` learns within `steps` steps of `optimizer`, and why not.

        preflight(model, loader, optimizer=lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9), steps=2000)

    batches: a DataLoader, or an iterable of (x_NCHW float, already normalized; y_N int64), of which about 256
    images are taken, in batches as large as the training's; or one such pair. `optimizer`: a function that
    makes an optimizer of given parameters, an optimizer's class, or the optimizer itself, over the network's
    parameters. `schedule`: a function of an optimizer and the steps that gives a torch scheduler, or the
    scheduler itself; it is advanced once a step. `gradient_clip`: the largest norm of a gradient. `setup` is
    what is known of the run, for the remedies.

    What is handed over stays as it was to the bit, and so do all random states and flags of the process:
    network and optimizer are copied and the copies asked (hooks of the network run on the copy). Of an
    iterator the batches that were read are gone. Each module keeps its mode, but a network that is wholly in
    eval mode is taken as after `train()`; `notes` says what was assumed.

    Raises RequestError, in one line, for what cannot be forecast.
    """
    steps = _whole_steps(steps)
    _check_clip(gradient_clip)
    with preserve_global_state(batches):
        subject = FunctionalModel(model)
        make = OptimizerFactory(optimizer, subject.parameters)
        budget = step_budget(steps, schedule, make)
        sample = take_sample(batches, subject)
        subject.batch_size, subject.steps = sample.batch_size, steps
        known = degenerate_cases.certain_forecast(subject, sample)
        if known is not None:
            return known
        measured = InitialMeasurer(subject, sample, make, gradient_clip)
        now = measured.at(budget)
        found = compute_features(now)
        chance = learning_probability(found)
        setup = setup or SettingsSummary(**make.setup, max_steps=steps, gradient_clip=gradient_clip)
        told = label_reference(sample, now.linearized)
        case = ForecastCase(now, found, sample, setup, (), told, subject.lag)
        doubt = out_of_scope_finding(case) is not None
        if doubt:  # the fit has seen no such run
            chance = min(chance, border()[0])
        view: dict[str, Any] = {
            "features": found,
            "layers": report_layers(now),
            "theory": theory_as_dict(chain_theory(subject, sample.first.x_NCHW)),
            "notes": (
                *subject.notes,
                *make.notes,
                *untrained_layer_notes(model, now),
                *(f.says for f in exact_findings(case)),
            ),
        }
        if answer_for(chance) == WILL_LEARN:
            return Forecast(chance, "expected to learn", **view)
        view["by_steps"] = [(steps, chance)]
        if not doubt:
            view["by_steps"] = probabilities_by_steps(
                measured, chance, steps, lambda n: step_budget(n, schedule, make)
            )
        view["needs_steps"] = steps_needed(view["by_steps"])
        if chance >= threshold():
            return Forecast(chance, f"{CANNOT_TELL}: {format_by_steps(view['by_steps'])}", **view)
        finding, remedy = expected_cause(replace(case, by_steps=view["by_steps"]))
        return Forecast(
            chance, finding.says, finding.cause, finding.layer, dict(finding.numbers), remedy, **view
        )


def step_budget(
    steps: int, schedule: ScheduleLike | None, make: OptimizerFactory | None = None
) -> StepBudget:
    """Mean and largest factor of a schedule over so many steps, found by running it alone."""
    found = schedule_factors(schedule, make, steps)
    if not found:
        return StepBudget(steps)
    some = {round(i * (steps - 1) / (SCHEDULE_SAMPLES - 1)) for i in range(SCHEDULE_SAMPLES)} | set(
        range(min(steps, SCHEDULE_SAMPLES))
    )
    return StepBudget(
        steps, math.fsum(found) / steps, max(found), [(step, found[step]) for step in sorted(some)]
    )


def _whole_steps(steps: Any) -> int:
    whole = int(steps) if isinstance(steps, float) and steps.is_integer() else steps
    try:
        count = operator.index(whole)
    except TypeError:
        raise RequestError(f"preflight: steps={steps!r}, expected a whole number, at least 1") from None
    if isinstance(steps, bool) or count < 1:
        raise RequestError(f"preflight: steps={steps}, expected at least 1")
    return count


def _check_clip(clip: Any) -> None:
    is_number = isinstance(clip, int | float) and not isinstance(clip, bool)
    if clip is not None and not (is_number and clip > 0):
        raise RequestError(f"preflight: gradient_clip={clip!r}, expected the largest norm, above 0, or None")


LONGER_RUNS = (2, 4, 8, 16)
"""Times the steps that were asked about."""


def probabilities_by_steps(
    measured: InitialMeasurer, chance: float, steps: int, budget_of: Callable[[int], StepBudget]
) -> ProbabilityByStep:
    """The probability within `steps`, and within longer runs until one is expected to learn.

    A run that learns in fewer steps is no worse off with more: where the measurement says less for more steps
    (the direction that it follows leads astray), what it said for fewer stands.
    """
    found = [(steps, chance)]
    for times in LONGER_RUNS:
        if answer_for(found[-1][1]) == WILL_LEARN:
            break
        longer = learning_probability(compute_features(measured.at(budget_of(times * steps))))
        found.append((times * steps, max(longer, found[-1][1])))
    return found
