"""How soon a run gets somewhere: the step at which a metric of its training curves first passes a value."""

import polars as pl

from trainlab.claims.sources import Goal

STEP_LOSS = "train/loss_step"
"""The metric that is recorded at each step; the others are recorded once an epoch."""


def first_step(metrics: pl.DataFrame, goal: Goal) -> int | None:
    """Steps taken when the goal is first reached; None where it never is.

    metrics: the run's table. Of train/loss it is the mean over the last `window` steps; a run of fewer steps
    has none. A value that is not finite reaches nothing.
    """
    name = STEP_LOSS if goal.metric == "train/loss" else goal.metric
    rows = metrics.filter(pl.col("name") == name).sort("step")
    value = pl.col("value").rolling_mean(goal.window) if name == STEP_LOSS else pl.col("value")
    is_there = value < goal.below if goal.above is None else value > goal.above
    reached = rows.select("step", there=value.is_finite() & is_there).filter("there")
    return None if reached.is_empty() else int(reached["step"][0]) + (name == STEP_LOSS)
