"""What is measured inside a network while it trains.

`catalogue` names the quantities, `quantities` and `saturation` compute them, `sample` says on what part of a
tensor, `capture` takes it from a training step's own passes, `recorder` turns a step into rows, `schedule`
says at which steps.
"""
