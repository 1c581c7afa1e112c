"""A grid becomes a plan, a plan becomes runs, on any engine. No torch in this process.

- `grid`: a command line → a product of overrides; `plan`: jobs with run ids, what is done, what is to do
- `handover`: a run is claimed and its settings are frozen on disk; `outcome`: how it ended
- `pool`: runs on this machine, over `server` (warm processes), `slots`, `entry` (where a process begins)
- `engines`: the same jobs on Ray or SLURM
- `display`, `summary`, `estimate`: what the user sees while, after and before
- `sweep`: the story, start to end
"""

from trainlab.sweeps.failed import SweepFailed

__all__ = ["SweepFailed"]
