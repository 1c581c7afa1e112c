"""What is measured inside a network while it trains.

- `catalogue`: the quantities by name; `quantities`: how they are computed; `tensor_sampling`: on what part
- `capture`: what a training step's own passes show, by hooks; `recorder`: from a step to rows
- `wiring`: faults in how the network is put together; `label_probe`: do the labels follow from the images?
- `measured_steps`: at which steps
"""
