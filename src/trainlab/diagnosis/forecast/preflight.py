"""Will it learn? Said before any training, of any network with any optimizer.

Legend: N images, C channels, H × W pixels, K classes.
"""

import math
import operator
from dataclasses import replace
from typing import Any

from torch import nn

from trainlab.diagnosis.forecast import certain
from trainlab.diagnosis.forecast.asked import Asked, Maker, Schedule, factors
from trainlab.diagnosis.forecast.batches import Batches
from trainlab.diagnosis.forecast.budgets import in_words, needed, over_budgets
from trainlab.diagnosis.forecast.calibration import (
    CANNOT_TELL,
    WILL_LEARN,
    answer_of,
    border,
    probability,
    threshold,
)
from trainlab.diagnosis.forecast.features import features
from trainlab.diagnosis.forecast.labels import reference
from trainlab.diagnosis.forecast.measure import Budget, Measured
from trainlab.diagnosis.forecast.notes import of_layers
from trainlab.diagnosis.forecast.outcome import Forecast
from trainlab.diagnosis.forecast.reasons import Case, exact, reason, unseen
from trainlab.diagnosis.forecast.sample import take
from trainlab.diagnosis.forecast.subject import Subject
from trainlab.diagnosis.forecast.theory import theory_of
from trainlab.diagnosis.forecast.untouched import untouched
from trainlab.diagnosis.forecast.view import measured_layers, plain_theory
from trainlab.diagnosis.setup import Setup
from trainlab.errors import RequestError

COURSE = 30
"""Steps at which a schedule is looked at: so many from the first on, and so many over the run."""


def preflight(
    model: nn.Module,
    batches: Batches,
    optimizer: Asked,
    steps: int = 2000,
    *,
    schedule: Schedule | None = None,
    gradient_clip: float | None = None,
    setup: Setup | None = None,
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
    with untouched(batches):
        subject = Subject(model)
        make = Maker(optimizer, subject.parameters)
        budget = budget_of(steps, schedule, make)
        sample = take(batches, subject)
        subject.batch_size, subject.steps = sample.batch_size, steps
        known = certain.answer(subject, sample)
        if known is not None:
            return known
        measured = Measured(subject, sample, make, gradient_clip)
        now = measured.at(budget)
        found = features(now)
        chance = probability(found)
        setup = setup or Setup(**make.setup, max_steps=steps, gradient_clip=gradient_clip)
        told = reference(sample, now.linearized)
        case = Case(now, found, sample, setup, (), told, subject.lag)
        doubt = unseen(case) is not None
        if doubt:  # the fit has seen no such run
            chance = min(chance, border()[0])
        view: dict[str, Any] = {
            "features": found,
            "layers": measured_layers(now),
            "theory": plain_theory(theory_of(subject, sample.first.x_NCHW)),
            "notes": (*subject.notes, *make.notes, *of_layers(model, now), *(f.says for f in exact(case))),
        }
        if answer_of(chance) == WILL_LEARN:
            return Forecast(chance, "expected to learn", **view)
        view["by_steps"] = [(steps, chance)]
        if not doubt:
            view["by_steps"] = over_budgets(measured, chance, steps, lambda n: budget_of(n, schedule, make))
        view["needs_steps"] = needed(view["by_steps"])
        if chance >= threshold():
            return Forecast(chance, f"{CANNOT_TELL}: {in_words(view['by_steps'])}", **view)
        finding, remedy = reason(replace(case, by_steps=view["by_steps"]))
        return Forecast(
            chance, finding.says, finding.cause, finding.layer, dict(finding.numbers), remedy, **view
        )


def budget_of(steps: int, schedule: Schedule | None, make: Maker | None = None) -> Budget:
    """Mean and largest factor of a schedule over so many steps, found by running it alone."""
    found = factors(schedule, make, steps)
    if not found:
        return Budget(steps)
    some = {round(i * (steps - 1) / (COURSE - 1)) for i in range(COURSE)} | set(range(min(steps, COURSE)))
    return Budget(steps, math.fsum(found) / steps, max(found), [(step, found[step]) for step in sorted(some)])


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
