"""The forecast: measured at initialization, no training.

- `preflight`: the story
- `copied`, `asked`, `batches`: what a user hands over, copied or checked; `untouched`: the process around it
- `subject`: the network, held still; `sample`: the images; `push`: what the optimizer makes of a gradient
- `ray`: along the optimizer's direction, on images it was not made from; `passes`: gradients
- `linear`: the run in closed form, as if the network were linear; `measure`: all that is measured
- `features`, `calibration`: from measurements to a probability; `certain`: what needs none
- `reasons`: the expected cause; `theory`, `view`: theory beside measurement; `outcome`: the answer
"""
