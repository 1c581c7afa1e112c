"""Will it learn? Answered before any training, for any network with any optimizer.

Legend: N images, C channels, H × W pixels, K classes.
"""

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import replace

from torch import nn

from trainlab.diagnosis.evidence import SettingsSummary
from trainlab.errors import RequestError
from trainlab.forecast import degenerate_cases
from trainlab.forecast.answer import Forecast, ProbabilityByStep, format_by_steps, steps_needed
from trainlab.forecast.chain_theory import chain_theory, theory_report
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
    learning_probability,
    no_answer_interval,
)
from trainlab.forecast.measurement import InitialMeasurement, InitialMeasurer, StepBudget
from trainlab.forecast.optimizer_factory import (
    OptimizerFactory,
    OptimizerLike,
    ScheduleLike,
    schedule_factors,
)

SCHEDULE_SAMPLES = 30
"""Steps at which a schedule is sampled: so many from the first on, and so many over the run."""

LONGER_RUNS = (2, 4, 8, 16)
"""Times the given steps for which the probability is computed too."""


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
    network and optimizer are copied and only the copies are run (hooks of the network run on the copy). Of an
    iterator the batches that were read are gone. Each module keeps its mode, but a network that is wholly in
    eval mode is taken as after `train()`; `notes` tells what was assumed.

    Raises RequestError, in one line, for what cannot be forecast.
    """
    steps = _whole_steps(steps)
    _check_clip(gradient_clip)
    with preserve_global_state(batches):
        network = FunctionalModel(model)
        make_optimizer = OptimizerFactory(optimizer, network.parameters)
        budget = step_budget(steps, schedule, make_optimizer)
        sample = take_sample(batches, network)
        network.batch_size, network.steps = sample.batch_size, steps
        certain = degenerate_cases.certain_forecast(network, sample)
        if certain is not None:
            return certain
        measurer = InitialMeasurer(network, sample, make_optimizer, gradient_clip)
        measured = measurer.measure(budget)
        if setup is None:
            setup = replace(make_optimizer.settings_summary(), max_steps=steps, gradient_clip=gradient_clip)
        return _forecast(
            network,
            measurer,
            measured,
            setup,
            notes=(*network.notes, *make_optimizer.notes, *untrained_layer_notes(model, measured)),
            budget_for=lambda count: step_budget(count, schedule, make_optimizer),
        )


def _forecast(
    network: FunctionalModel,
    measurer: InitialMeasurer,
    measured: InitialMeasurement,
    setup: SettingsSummary,
    notes: Sequence[str],
    budget_for: Callable[[int], StepBudget],
) -> Forecast:
    """From the measurement to the probability, and to the expected cause where it is needed."""
    sample, steps = measurer.sample, measured.budget.steps
    features = compute_features(measured)
    probability = learning_probability(features)
    reference = label_reference(sample, measured.linearized)
    case = ForecastCase(measured, features, sample, setup, (), reference, network.statistics_lag)
    is_out_of_scope = out_of_scope_finding(case) is not None
    if is_out_of_scope:
        probability = min(probability, no_answer_interval()[0])
    exact = [finding.description for finding in exact_findings(case)]
    forecast = Forecast(
        probability,
        "expected to learn",
        features=features,
        layers=report_layers(measured),
        theory=theory_report(chain_theory(network, sample.first.x_NCHW)),
        notes=(*notes, *exact),
    )
    if forecast.answer == WILL_LEARN:
        return forecast
    by_steps: ProbabilityByStep = [(steps, probability)]
    if not is_out_of_scope:
        by_steps = probabilities_by_steps(measurer, probability, steps, budget_for)
    forecast = replace(forecast, by_steps=by_steps, needs_steps=steps_needed(by_steps))
    if forecast.will_learn:
        return replace(forecast, says=f"{CANNOT_TELL}: {format_by_steps(by_steps)}")
    finding, remedy = expected_cause(replace(case, by_steps=by_steps))
    return replace(
        forecast,
        says=finding.description,
        cause=finding.cause,
        layer=finding.layer,
        evidence=dict(finding.numbers),
        remedy=remedy,
    )


def step_budget(
    steps: int, schedule: ScheduleLike | None, make_optimizer: OptimizerFactory | None = None
) -> StepBudget:
    """Mean and largest factor of a schedule over so many steps, found by running it alone."""
    factors = schedule_factors(schedule, make_optimizer, steps)
    if not factors:
        return StepBudget(steps)
    evenly = {round(i * (steps - 1) / (SCHEDULE_SAMPLES - 1)) for i in range(SCHEDULE_SAMPLES)}
    sampled = sorted(evenly | set(range(min(steps, SCHEDULE_SAMPLES))))
    course = [(step, factors[step]) for step in sampled]
    return StepBudget(steps, math.fsum(factors) / steps, max(factors), course)


def probabilities_by_steps(
    measurer: InitialMeasurer, probability: float, steps: int, budget_for: Callable[[int], StepBudget]
) -> ProbabilityByStep:
    """The probability within `steps`, and within longer runs until one is expected to learn.

    A run that learns in fewer steps is no worse off with more: where the measurement gives less for more
    steps (the direction that it follows leads astray), what it gave for fewer stands.
    """
    by_steps = [(steps, probability)]
    for times in LONGER_RUNS:
        if answer_for(by_steps[-1][1]) == WILL_LEARN:
            break
        measured = measurer.measure(budget_for(times * steps))
        longer = learning_probability(compute_features(measured))
        by_steps.append((times * steps, max(longer, by_steps[-1][1])))
    return by_steps


def _whole_steps(steps: object) -> int:
    whole = int(steps) if isinstance(steps, float) and steps.is_integer() else steps
    try:
        count = operator.index(whole)  # pyrefly: ignore[bad-argument-type]
    except TypeError:
        raise RequestError(f"preflight: steps={steps!r}, expected a whole number, at least 1") from None
    if isinstance(steps, bool) or count < 1:
        raise RequestError(f"preflight: steps={steps}, expected at least 1")
    return count


def _check_clip(clip: object) -> None:
    is_number = isinstance(clip, int | float) and not isinstance(clip, bool)
    if clip is not None and not (is_number and clip > 0):
        raise RequestError(f"preflight: gradient_clip={clip!r}, expected the largest norm, above 0, or None")
