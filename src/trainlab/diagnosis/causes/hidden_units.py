"""Causes that show in a layer's units: copies of one another, dead, saturated, blind to what differs."""

import math

from trainlab.diagnosis.evidence import Evidence, Series, first_sustained_step
from trainlab.diagnosis.known_causes import Finding

COPIES = 1e-4
"""Share of a weight that differs between units, below which they are copies: float32's rounding adds up."""

LATE_STEPS, LATE = 8, 0.1
"""Steps, and share of the run, for which units that were copies at first must have been so."""

MOST_DEAD = 0.8
"""Share of dead units from which a layer counts as dead: networks learn with half of their ReLUs off."""

MOST_SATURATED = 0.5
"""Share of z on the flat tails from which a layer counts as saturated: more than half."""

COLLAPSED = 1e-3
"""1 − correlation below which images look the same: they differ in √(2 · 0.001) = 4.5% of their length."""

BY_NETWORK = 0.01
"""The network is to blame where it leaves less than this share of the 1 − correlation of its input."""

STILL_DIFFERENT = 1e-9
"""1 − correlation of z above which units die of their own: below, layers before left no difference."""


def symmetric_weights(evidence: Evidence) -> Finding | None:
    """A hidden layer whose units are copies of one another from the first steps on, for a good part of the
    run.

    At the first step alone it is no fault: a residual branch may start at zero, and grows apart at once.
    Copies part late by the rounding of float32 alone, which large steps double again and again.
    """
    signals = evidence.signals
    for layer in signals.layers[:-1]:
        spread = signals.series(layer, "unit_spread")
        start = first_sustained_step(spread, lambda value: value < COPIES)
        until = _copies_until(spread)
        if start is not None and len(spread) > 1 and start < max(spread):
            description = (
                f"the units of {layer} differ in {spread[max(spread)]:.1g} of their weights: they are copies"
            )
        elif until is not None and until >= max(LATE_STEPS, LATE * max(spread)):
            start = min(spread)
            description = (
                f"the units of {layer} were copies of one another up to step {until}: what sets them "
                "apart since then is rounding"
            )
        else:
            continue
        return Finding("symmetric_weights", description, {"unit_spread": spread[max(spread)]}, layer, start)
    return None


def _copies_until(spread: Series) -> int | None:
    """The last measured step up to which units have been copies from the first measured step on."""
    until = None
    for step in sorted(spread):
        if not spread[step] < COPIES:
            break
        until = step
    return until


def dead_units(evidence: Evidence) -> Finding | None:
    """The first layer most of whose units give the same output for all images, though their z differ."""
    signals = evidence.signals
    for layer, dead in signals.by_layer("dead").items():
        start = first_sustained_step(dead, lambda value: value >= MOST_DEAD)
        correlation = signals.series(layer, "correlation")
        if start is None or not 1 - correlation.get(start, math.nan) > STILL_DIFFERENT:
            continue
        share = dead[max(dead)]
        description = f"{share:.0%} of the units of {layer} give the same output for every image"
        return Finding("dead_units", description, {"dead": share}, layer, start)
    return None


def saturation(evidence: Evidence) -> Finding | None:
    """The layer with the most z on the flat tails, where that is more than half."""
    findings: list[Finding] = []
    for layer, saturated in evidence.signals.by_layer("saturated").items():
        start = first_sustained_step(saturated, lambda value: value >= MOST_SATURATED)
        if start is not None:
            share = saturated[start]
            description = f"{share:.0%} of the pre-activations of {layer} lie on the activation's flat tails"
            findings.append(Finding("saturation", description, {"saturated": share}, layer, start))
    return min(findings, key=lambda f: (f.since_step, -f.numbers["saturated"]), default=None)


def collapsed_correlation(evidence: Evidence) -> Finding | None:
    """From some layer on to the last hidden one, different images look the same; the input's do not."""
    signals = evidence.signals
    image = signals.network_series("input_correlation")
    first, deepest = None, None
    for layer in reversed(signals.layers[:-1]):
        correlation = signals.series(layer, "correlation")
        start = first_sustained_step(correlation, lambda value: 1 - value < COLLAPSED)
        deepest = start if deepest is None else deepest
        if start is None or deepest is None or start > deepest:
            break
        if not 1 - correlation[start] < BY_NETWORK * (1 - image.get(start, 0.0)):
            break
        first = layer, start
    if first is None:
        return None
    layer, start = first
    at_layer = signals.series(layer, "correlation")
    at_last = signals.series(signals.layers[-2], "correlation")
    numbers = {
        "correlation": at_layer[start],
        "difference": _difference(at_layer[start]),
        "difference_at_last": _difference(at_last[max(at_last)]),
    }
    description = (
        f"at {layer} different images differ in {numbers['difference']:.1g} of their length, at the last "
        f"hidden layer in {numbers['difference_at_last']:.1g}; as input in "
        f"{_difference(image.get(start, 0.0)):.1g}"
    )
    return Finding("collapsed_correlation", description, numbers, layer, start)


def _difference(correlation: float) -> float:
    """|u − v| of two unit vectors of this cosine: √(2 (1 − c)). Rounding may take c above 1."""
    return math.sqrt(2 * max(1 - correlation, 0.0))
