"""What is measured inside a network while it trains.

- `catalogue`: the quantities by name; `quantities`: how they are computed; `tensor_sampling`: on what part
- `capture`: what a training step's own passes show, by hooks; `step_quantities`: computed from that; `rows`
- `recorder`: a step of one run; `stacked_recorder`: of many at once; `run_dimension`: all that differs
- `wiring`: faults in how the network is put together; `label_probe`: do the labels follow from the images?
- `measured_steps`: at which steps; `weak_hooks`: hooks that keep nothing alive
"""
