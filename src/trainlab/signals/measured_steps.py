"""At which steps signals are measured: densely where training changes fast, which is at its start."""

DEFAULT_MEASUREMENTS = 24
"""Measurements of a run at `signals=on`, where it is long enough for them."""

AFFORDED_SHARE = 1 / 40
"""Of the steps of a short run, at most about this share is measured at `signals=on`."""

FEWEST_MEASUREMENTS = 8
"""Measurements of the shortest runs: a verdict needs some."""

ENDLESS_STEPS = 2**24
"""Spacing of a run whose end is not known."""


def measured_steps(signals: bool | int, total_steps: float) -> list[int]:
    """The steps (0, 1, …) to measure in a run of `total_steps` steps (infinite where the end is not known).

    `signals` is False (none), True (the default schedule) or the number of measurements. A run that is
    resumed has the same schedule: it is a function of the whole run's length.
    """
    last_step = (ENDLESS_STEPS if total_steps == float("inf") else int(total_steps)) - 1
    if signals is False or last_step < 0:
        return []
    return log_spaced_steps(
        last_step, default_measurement_count(last_step + 1) if signals is True else signals
    )


def default_measurement_count(steps: int) -> int:
    """Measurements at `signals=on`: one costs a small net 0.4 to 1.4 steps, so short runs have fewer."""
    return max(FEWEST_MEASUREMENTS, min(DEFAULT_MEASUREMENTS, int(steps * AFFORDED_SHARE)))


def log_spaced_steps(last_step: int, count: int) -> list[int]:
    """min(count, last_step + 1) steps: 0, 1, then growing by a factor, to `last_step`: 0, 1, 2, 4, … at best.

    Where the factor would give a step twice, the next whole step is taken, and the factor of the rest
    adjusted. A count of 2 is the first and the last step, 1 the last alone.
    """
    if count <= 1:
        return [last_step] if count else []
    steps = [0]
    while steps[-1] < last_step:
        here, left = steps[-1], count - len(steps)
        grown = round(here * (last_step / here) ** (1 / left)) if here else 1
        steps.append(max(here + 1, grown) if left > 1 else last_step)
    return steps
