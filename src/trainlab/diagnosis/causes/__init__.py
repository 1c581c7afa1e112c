"""Why a network does not learn: a group of causes a module, a function for each cause.

- `input_images`, `labels_and_splits`: the data; `wiring_faults`: how the network was put together
- `gradient_flow`, `hidden_units`: signal and gradient, layer by layer
- `step_size`, `batch_statistics`, `run_length`: optimizer, batch and budget

Each looks for its cause in the evidence of a run and gives a finding, or None.
"""
