"""One run, start to end.

- `run`: the story
- `preconditions`: what is refused before a run has a folder
- `classifier`: the LightningModule; `step_meter`: loss and accuracy of its training steps
- `tracking`: where the numbers go (`wandb_tracking`, `wandb_connection`)
- `result_writer`: the result, written last
- `checkpoint`: self-describing weights; `resume`: where a run starts
- `interruption`: signals end a run between two steps; `pruning`: a run that will not learn is stopped
- `signal_callback`: measurements of each layer; `reference_model`: what simple models reach on these images
- `progress`, `timing`, `threads`, `environment`: what the names say
- `lightning_internals`: Lightning made faster
- `worker`: a frozen settings file in, an exit code out; `out_of_memory`: the one that asks for fewer runs
- `lr_range`: the learning-rate range test"""
