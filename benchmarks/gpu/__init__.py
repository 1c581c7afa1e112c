"""The proof kit: on any machine with a GPU, within minutes, everything that a CPU cannot show.

`make gpu-check`, or `python -m benchmarks gpu [--device gpu|cpu] [--seconds 480] [--out FILE] [--only …]`.
A line for each item as it ends, one JSON file that is complete after every item. An item that fails, hangs or
is too slow ends alone. `--device cpu` is the dry run: every item in its smallest form.

- `kit`: the command; `catalogue`: the items in their order; `runner`: one process for each, the total time
- `lab`: what an item works with; `item_process`: the process of one item; `outcome`: what it leaves behind
- `card`, `single_runs`, `same_numbers`, `interruptions`, `several_at_once`, `stacks`: whether it works
- `networks_per_second`, `sweeps_per_second`, `samples_per_second`, `step_share`: how fast it is, with the
  contenders `by_hand` and `usual_loader`; `rate_process`: processes that train at the same time
"""
