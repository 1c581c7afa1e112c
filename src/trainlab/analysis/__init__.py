"""Comparing runs. No torch.

- `compare`: one row per setting; `effects`: how much each axis matters; `phase_diagram`: scale against depth
- `varying_settings`: what differs between two runs; `run_lists`: one row per run
- `tables`, `table_layout`: all of it on a terminal
"""

from trainlab.analysis.compare import Comparison, compare
from trainlab.analysis.effects import Effects, estimate_effects
from trainlab.stats.intervals import Interval, mean_interval, wilson_interval

__all__ = [
    "Comparison",
    "Effects",
    "Interval",
    "compare",
    "estimate_effects",
    "mean_interval",
    "wilson_interval",
]
