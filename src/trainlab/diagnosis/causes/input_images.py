"""Causes that lie in the images as they enter the network: all alike, out of scale, their axes scrambled."""

import math
import statistics

from trainlab.diagnosis.evidence import Evidence
from trainlab.diagnosis.known_causes import Finding

SCALES = (0.1, 10.0)
"""Root mean square of the input, and of the first z: initializers are made for 1; a factor of 10 is off."""

OFFSET = 10.0
"""An input whose mean is so many standard deviations from zero is an offset with a little image on it."""

SAME_IMAGE = 1e-10
"""1 − correlation below which inputs are one image: float32 rounds off at about 1e-14."""

SMOOTH, TORN = 0.5, 0.25
"""Neighbouring pixels of pictures correlate by 0.8 and more; in the wrong order of axes by much less."""


def constant_input(evidence: Evidence) -> Finding | None:
    """All images are the same where they enter the network (after the input normalization)."""
    std, correlation = (evidence.signals.network_series(f"input_{name}") for name in ("std", "correlation"))
    if not std or not all(math.isfinite(value) for value in std.values()):
        return None
    step = min(std)
    if std[step] > 0 and not 1 - correlation.get(step, 0.0) < SAME_IMAGE:
        return None
    numbers = {"input_std": std[step], "input_correlation": correlation.get(step, math.nan)}
    return Finding(
        "constant_input", "every image enters the network as the same numbers", numbers, None, step
    )


def input_out_of_scale(evidence: Evidence) -> Finding | None:
    """The input is far off zero mean and unit scale, and so is the first layer's z.

    A norm layer before the first activation repairs the scale: then z is sound, and this is no cause.
    """
    signals = evidence.signals
    mean, std = signals.network_series("input_mean"), signals.network_series("input_std")
    if not mean or not signals.layers:
        return None
    step, layer = min(mean), signals.layers[0]
    offset, spread = mean[step], std.get(step, math.nan)
    numbers = {"input_mean": offset, "input_std": spread}
    if not (math.isfinite(offset) and math.isfinite(spread)):
        return Finding(
            "input_out_of_scale", "the input holds numbers that are not finite", numbers, layer, step
        )
    z_rms = math.hypot(
        signals.series(layer, "preactivation_mean").get(step, math.nan),
        signals.series(layer, "preactivation_std").get(step, math.nan),
    )
    low, high = SCALES
    if not is_out_of_scale(offset, spread) or not (z_rms < low or z_rms > high):
        return None
    description = (
        f"the input has mean {offset:.3g} and std {spread:.3g}; the first layer's z has size {z_rms:.3g}"
    )
    return Finding("input_out_of_scale", description, {**numbers, "preactivation_rms": z_rms}, layer, step)


def is_out_of_scale(mean: float, std: float) -> bool:
    """Whether numbers of this mean and spread are far from zero mean and unit scale."""
    low, high = SCALES
    return not low <= math.hypot(mean, std) <= high or abs(mean) > OFFSET * std


def image_axes_scrambled(evidence: Evidence) -> Finding | None:
    """A pixel is less like the one below it than it would be with the axes taken in another order."""
    as_is = evidence.signals.network_series("neighbours")
    reordered = evidence.signals.network_series("neighbours_reordered")
    shared = sorted(as_is.keys() & reordered.keys())
    if not shared:
        return None
    medians = (statistics.median(series[step] for step in shared) for series in (as_is, reordered))
    return scrambled_axes(*medians, since_step=shared[0])


def scrambled_axes(neighbours: float, reordered: float, since_step: int | None = None) -> Finding | None:
    """From the two correlations of `signals.wiring.neighbour_correlations`."""
    if not (reordered > SMOOTH and reordered - neighbours > TORN):
        return None
    description = (
        f"a pixel and the one below it correlate by {neighbours:.2f}, with the axes in another order by "
        f"{reordered:.2f}: the images are scrambled, by view or reshape in the place of permute"
    )
    numbers = {"neighbours": neighbours, "neighbours_reordered": reordered}
    return Finding("image_axes_scrambled", description, numbers, None, since_step)
