"""Comparing runs: one row per setting, the effect of each axis, tables of both. No torch."""

from trainlab.analysis.compare import Comparison, compare
from trainlab.analysis.effects import Effects, estimate_effects
from trainlab.stats.intervals import Interval, bootstrap_interval, mean_interval, wilson_interval

__all__ = [
    "Comparison",
    "Effects",
    "Interval",
    "bootstrap_interval",
    "compare",
    "estimate_effects",
    "mean_interval",
    "wilson_interval",
]
