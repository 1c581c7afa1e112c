"""A grid becomes a plan, a plan becomes runs, on any engine. No torch in this process.

- `plan`: a grid (`trainlab.config.grid`) becomes jobs with run ids; what is done, what is to do
- `network_checks`, `estimate`: what is checked and expected before it starts
- `stacks`: runs of one structure (`structure`) become stacks as large as the memory allows (`stack_memory`)
- `dispatcher`: tasks on an engine's backend, each run once (`running_tasks`), and signals that ask the sweep
  to stop; `reservations`: no run twice; `outcome`: how it ended
- `engine`: what an engine is; `local_engine` over `slots` and `forkserver`, `ray_engine`, `submitit_engine`
- `process_main`, `process_exit`: how a run's process begins, and why it ended; `preload`: what is imported
  once for all of them; `multiprocessing_internals`: what is not documented there
- `external_hydra_plugins`: other people's sweepers and launchers
- `display`, `summary`: what the user sees during and after; `sweep`: the story, start to end
"""

from trainlab.sweeps.outcome import SweepFailed

__all__ = ["SweepFailed"]
