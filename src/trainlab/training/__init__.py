"""One run, start to end.

- `run`: the story
- `assemble`: settings become parts
- `classifier`: the LightningModule; `step_meter`: loss and accuracy of its training steps
- `tracking`: where the numbers go; `outcome`: the result, written last
- `checkpoint`: self-describing weights; `resume`: where a run starts
- `interruption`, `console`, `schedules`, `seeding`, `process`: what the names say
- `worker`: a frozen settings file in, an exit code out
"""
